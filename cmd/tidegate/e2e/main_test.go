package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binary is the gateway under test, built once by TestMain.
var binary string

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tidegate-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "tidegate")
	build := exec.Command("go", "build", "-o", binary, "github.com/tidegate/tidegate/cmd/tidegate")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the gateway: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// need finds a peer program, or ends the test: as skipped, or as failed where peers are required.
func need(t *testing.T, program, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if path = "/usr/sbin/" + program; exists(path) { // Debian keeps daemons there, off the path of users
		return path
	}
	missing(t, fmt.Sprintf("%s is not installed (Debian package %s)", program, debianPackage))
	return ""
}

// needPython finds Debian's Python with a module.
func needPython(t *testing.T, module, debianPackage string) string {
	t.Helper()
	const python = "/usr/bin/python3" // Debian's modules are installed for this one
	if err := exec.Command(python, "-c", "import "+module).Run(); err != nil {
		missing(t, fmt.Sprintf("%s has no module %s (Debian package %s)", python, module, debianPackage))
	}
	return python
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("TIDEGATE_REQUIRE_PEERS") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

package tidegate_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// goMod is what the docs must agree with in a go.mod.
type goMod struct {
	Require []struct {
		Path, Version string
		Indirect      bool
	}
	Tool []struct{ Path string }
}

func readGoMod(t *testing.T, file string) goMod {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", file).Output()
	if err != nil {
		t.Fatalf("go mod edit -json %s: %v", file, err)
	}
	var m goMod
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatalf("decode %s: %v", file, err)
	}
	return m
}

// row matches a line of a table of dependencies: | `module` | version | licence | imported by | why |
var row = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (\\S+) \\| ([^|]+) \\| ([^|]+) \\| ([^|]+) \\|$")

// dependencyRows returns version and importers of each module in the tables of text.
func dependencyRows(text string) map[string][2]string {
	rows := map[string][2]string{}
	for _, m := range row.FindAllStringSubmatch(text, -1) {
		rows[m[1]] = [2]string{m[2], m[4]}
	}
	return rows
}

// TestDependenciesDoc compares docs/DEPENDENCIES.md with go.mod, with .ci/tools.mod and with who really imports what.
func TestDependenciesDoc(t *testing.T) {
	text, err := os.ReadFile("docs/DEPENDENCIES.md")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][2]string{}
	owners := importers(listPackages(t))
	for _, r := range readGoMod(t, "go.mod").Require {
		if !r.Indirect {
			want[r.Path] = [2]string{r.Version, importedBy(r.Path, owners[r.Path])}
		}
	}
	tools := readGoMod(t, ".ci/tools.mod")
	for _, r := range tools.Require {
		for _, tool := range tools.Tool {
			if tool.Path == r.Path || strings.HasPrefix(tool.Path, r.Path+"/") {
				want[r.Path] = [2]string{r.Version, "make check"}
			}
		}
	}
	for _, finding := range differences(dependencyRows(string(text)), want) {
		t.Error("docs/DEPENDENCIES.md: " + finding)
	}
}

// importedBy is how the tables name the packages that import a module. Who imports one that any package may import is not kept there.
func importedBy(modulePath string, folders []string) string {
	switch {
	case len(folders) == 0:
		return "tests"
	case exempt(modulePath):
		return "any"
	default:
		return strings.Join(folders, ", ")
	}
}

// differences returns where the tables differ from what is there.
func differences(got, want map[string][2]string) []string {
	all := maps.Clone(got)
	maps.Copy(all, want)
	var found []string
	for _, module := range slices.Sorted(maps.Keys(all)) {
		g, inGot := got[module]
		w, inWant := want[module]
		switch {
		case !inWant:
			found = append(found, fmt.Sprintf("%s is listed and is no direct dependency", module))
		case !inGot:
			found = append(found, fmt.Sprintf("%s %s, imported by %s, is not listed", module, w[0], w[1]))
		case g != w:
			found = append(found, fmt.Sprintf("%s is listed as %s, imported by %s; it is %s, imported by %s", module, g[0], g[1], w[0], w[1]))
		}
	}
	return found
}

func TestDependenciesDocCanFail(t *testing.T) {
	listed := dependencyRows("| `a.org/a` | v1.0.0 | MIT | buffer | why |\n| `b.org/b` | v1.0.0 | MIT | buffer | why |\n" +
		"| `c.org/c` | v1.0.0 | MIT | buffer | why |\n| `d.org/d` | v1.0.0 | MIT | buffer | why |\n")
	real := map[string][2]string{
		"a.org/a": {"v1.0.0", "buffer"}, "b.org/b": {"v1.1.0", "buffer"}, "c.org/c": {"v1.0.0", "bridge"}, "e.org/e": {"v1.0.0", "tests"},
	}
	wantFindings(t, differences(listed, real), []string{
		"b.org/b is listed as v1.0.0", "it is v1.0.0, imported by bridge", "d.org/d is listed and is no", "e.org/e v1.0.0, imported by tests, is not",
	})
}

// unitKeys returns the settings of a systemd unit, as Section.Key; a key that is given several times has its values in order.
func unitKeys(text string) (map[string][]string, error) {
	keys := map[string][]string{}
	section := ""
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		key, value, isSetting := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			section = line[1 : len(line)-1]
		case !isSetting || section == "":
			return nil, fmt.Errorf("line %d: neither a section, a setting nor a comment: %q", i+1, line)
		default:
			keys[section+"."+key] = append(keys[section+"."+key], value)
		}
	}
	return keys, nil
}

// TestUnit holds systemd/tidegate.service against the binary that it starts and, where it is installed, against systemd.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile("systemd/tidegate.service")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := unitKeys(string(text))
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "tidegate")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/tidegate").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Run("reaches serial ports", func(t *testing.T) { testDevices(t, keys) })
	t.Run("starts the daemon", func(t *testing.T) { testExecStart(t, keys, binary) })
	t.Run("verifies", func(t *testing.T) { testVerify(t, string(text), binary) })
}

func testExecStart(t *testing.T, keys map[string][]string, binary string) {
	for key, want := range map[string]string{"Service.Type": "notify", "Install.WantedBy": "multi-user.target"} {
		if !slices.Equal(keys[key], []string{want}) {
			t.Errorf("%s is %q, want %q", key, keys[key], want)
		}
	}
	argv := strings.Fields(strings.Join(keys["Service.ExecStart"], " "))
	if len(argv) < 2 {
		t.Fatalf("ExecStart is %q, want a program and its verb", argv)
	}
	help, err := exec.CommandContext(t.Context(), binary, argv[1], "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("tidegate %s --help: %v\n%s", argv[1], err, help)
	}
	for _, arg := range argv[2:] {
		if strings.HasPrefix(arg, "-") && !regexp.MustCompile(`(?m)^\s+(-\w, )?`+regexp.QuoteMeta(arg)+`[\s,]`).Match(help) {
			t.Errorf("ExecStart gives %s, which tidegate %s does not know:\n%s", arg, argv[1], help)
		}
	}
}

// serialClasses are the device classes of serial ports, as the kernel's drivers register them in /proc/devices: the name of the node without
// its number. A port of a class that is missing in the unit is refused, whatever its permissions are.
var serialClasses = []string{
	"ttyS", "ttyUSB", "ttyACM", "ttyXRUSB", "ttyAMA", "ttySC", "ttymxc", "ttyLP", "ttyO", "ttyAML", "ttySTM", "ttyPS", "ttyTHS", "ttySAC",
}

func testDevices(t *testing.T, keys map[string][]string) {
	if got := keys["Service.DevicePolicy"]; !slices.Equal(got, []string{"closed"}) {
		t.Errorf("DevicePolicy is %q, want closed", got)
	}
	var want []string
	for _, class := range serialClasses {
		want = append(want, "char-"+class+" rw")
	}
	got := slices.Sorted(slices.Values(keys["Service.DeviceAllow"]))
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("DeviceAllow is\n%q, want\n%q", got, want)
	}
}

func testVerify(t *testing.T, text, binary string) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed: apt-get install systemd")
	}
	unit := filepath.Join(t.TempDir(), "tidegate.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(text, "/usr/bin/tidegate", binary)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", unit).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

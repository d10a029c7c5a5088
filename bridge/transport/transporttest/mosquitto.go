package transporttest

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience bounds what mosquitto may take to start.
const patience = 20 * time.Second

// FreePort returns a port of 127.0.0.1 that was free a moment ago.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// WriteFile writes a file of its own and returns its path.
func WriteFile(t testing.TB, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Mosquitto runs mosquitto with a configuration until the test ends. The test is skipped where it is not installed.
func Mosquitto(t testing.TB, configuration string) {
	t.Helper()
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		t.Skip("mosquitto is not installed: apt-get install mosquitto")
	}
	cmd := exec.Command(program, "-v", "-c", WriteFile(t, "user root\n"+configuration))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	running, ended := make(chan struct{}), make(chan struct{})
	var log strings.Builder // of the goroutine, until ended is closed
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if strings.HasSuffix(lines.Text(), " running") {
				close(running)
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("mosquitto:\n%s", log.String())
		}
	})
	select {
	case <-running:
	case <-ended:
		t.Fatal("mosquitto did not start")
	case <-time.After(patience):
		t.Fatal("mosquitto does not say that it runs")
	}
}

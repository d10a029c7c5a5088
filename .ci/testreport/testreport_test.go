package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// modules are small modules in testdata/NAME.txt, one file after each "-- path --" line; what testreport says of NAME stands in
// testdata/NAME.golden.
func TestReportOfRealRuns(t *testing.T) {
	tests := []struct {
		name, golden  string
		peersRequired bool
		want          bool
	}{
		{name: "passing", golden: "passing", want: true},
		{name: "passing", golden: "passing-peers-required", peersRequired: true, want: false},
		{name: "failing", golden: "failing", want: false},
		{name: "empty", golden: "empty", want: false},
		{name: "broken", golden: "broken", want: false},
	}
	for _, tt := range tests {
		t.Run(tt.golden, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("go", "test", "-json", "-p=1", "./...")
			cmd.Dir = writeModule(t, filepath.Join("testdata", tt.name+".txt"))
			var out bytes.Buffer
			ok, err := report(cmd, &out, tt.peersRequired)
			if err != nil {
				t.Fatal(err)
			}
			if ok != tt.want {
				t.Errorf("report says %v, want %v", ok, tt.want)
			}
			compareGolden(t, filepath.Join("testdata", tt.golden+".golden"), scrub(out.String()))
		})
	}
}

// scrub takes out what differs from run to run.
func scrub(s string) string {
	s = regexp.MustCompile(`\d+\.\d+s`).ReplaceAllString(s, "0.00s")
	s = regexp.MustCompile(`(?m)^(goroutine \d+.*|\t.*|panic\(.*|testing\..*|created by .*|github\.com/.*\(.*)\n`).ReplaceAllString(s, "")
	s = regexp.MustCompile(` +0\.00s`).ReplaceAllString(s, " 0.00s")
	return s
}

func writeModule(t *testing.T, archive string) string {
	t.Helper()
	text, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for part := range strings.SplitSeq("\n"+string(text), "\n-- ") {
		name, body, found := strings.Cut(part, " --\n")
		if !found {
			continue
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// compareGolden compares got with a file. UPDATE_GOLDEN=1 writes the file instead.
func compareGolden(t *testing.T, path, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant (%s):\n%s", got, path, want)
	}
}

func TestReportNamesACommandThatCannotRun(t *testing.T) {
	_, err := report(exec.Command(filepath.Join(t.TempDir(), "nothing")), &bytes.Buffer{}, false)
	if err == nil || !strings.Contains(err.Error(), "start go test") {
		t.Errorf("error is %v, want one about starting go test", err)
	}
}

func TestReason(t *testing.T) {
	tests := []struct{ name, output, want string }{
		{
			"one line", "=== RUN   TestX\n    x_test.go:12: mosquitto is not installed\n--- SKIP: TestX (0.00s)\n",
			"mosquitto is not installed",
		},
		{
			"last message wins", "    x_test.go:3: listening on :0\n    x_test.go:12: socat is not installed\n--- SKIP: TestX (0.00s)\n",
			"socat is not installed",
		},
		{
			"wrapped", "    x_test.go:12: needs fuse\n        and root\n--- SKIP: TestX (0.00s)\n", "needs fuse and root",
		},
		{"subtest", "        peer_test.go:1: a: b\n    --- SKIP: TestX/a (0.00s)\n", "a: b"},
		{"silent", "=== RUN   TestX\n--- SKIP: TestX (0.00s)\n", "no reason given"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var x test
			x.output.WriteString(tt.output)
			if got := x.reason(); got != tt.want {
				t.Errorf("reason is %q, want %q", got, tt.want)
			}
		})
	}
}

func TestIsMissing(t *testing.T) {
	for reason, want := range map[string]bool{
		"socat is not installed: apt-get install socat":                         true,
		"/usr/bin/python3 has no module serial (Debian package python3-serial)": true,
		`exec: "mbpoll": executable file not found in $PATH`:                    true,
		"needs a user other than root":                                          false,
	} {
		if got := isMissing(reason); got != want {
			t.Errorf("isMissing(%q) is %v, want %v", reason, got, want)
		}
	}
}

func TestSubtestsCountInPlaceOfTheirParent(t *testing.T) {
	run := newRun(false)
	for _, e := range []event{
		{Action: "run", Package: "p", Test: "TestA"},
		{Action: "run", Package: "p", Test: "TestA/x/y"},
		{Action: "pass", Package: "p", Test: "TestA/x/y"},
		{Action: "run", Package: "p", Test: "TestA/z"},
		{Action: "fail", Package: "p", Test: "TestA/z"},
		{Action: "fail", Package: "p", Test: "TestA"},
		{Action: "run", Package: "p", Test: "TestB"},
		{Action: "run", Package: "p", Test: "TestB/x"},
		{Action: "pass", Package: "p", Test: "TestB/x"},
		{Action: "fail", Package: "p", Test: "TestB"}, // on its own, after its subtest
		{Action: "fail", Package: "p"},
	} {
		run.add(e)
	}
	if run.passed != 2 || run.failed != 2 {
		t.Errorf("%d passed, %d failed (%q), want 2 and 2", run.passed, run.failed, run.failures)
	}
}

func TestPackageThatNeverEndsHasFailed(t *testing.T) {
	run := newRun(false)
	run.add(event{Action: "run", Package: "p", Test: "TestA"})
	run.end(nil)
	if run.failed != 1 || len(run.failures) != 1 || !strings.Contains(run.failures[0], "did not finish") {
		t.Errorf("%d failed, failures %q; want TestA, which did not finish", run.failed, run.failures)
	}
}

// Command testreport runs go test and tells a person what happened: every failure in full, one line for each package, and at
// the end which tests were skipped and why. It closes with "N passed, N failed, N skipped" alone on a line.
//
//	go run ./.ci/testreport [-flags of go test] [packages]
//
// It exits with 1 when a test failed, when go test itself failed, or when no test ran. With TIDEGATE_REQUIRE_PEERS=1 a
// test that was skipped because a program is not installed counts as failed: a machine that says it has every peer must
// not pass by running nothing.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// requirePeers is the environment variable under which a missing peer program is a failure.
const requirePeers = "TIDEGATE_REQUIRE_PEERS"

func main() {
	cmd := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...)
	cmd.Stderr = os.Stderr
	ok, err := report(cmd, os.Stdout, os.Getenv(requirePeers) == "1")
	if err != nil {
		fmt.Fprintf(os.Stderr, "testreport: %v\n", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// report runs cmd, which must print test2json events, and writes what they say to w. It reports whether everything passed;
// an error is a failure to run cmd at all.
func report(cmd *exec.Cmd, w io.Writer, peersRequired bool) (ok bool, err error) {
	events, err := cmd.StdoutPipe()
	if err != nil {
		return false, fmt.Errorf("connect to go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return false, fmt.Errorf("start go test: %w", err)
	}
	run := newRun(peersRequired)
	out := bufio.NewWriter(w)
	readErr := readEvents(events, run, out)
	waitErr := cmd.Wait()

	var exit *exec.ExitError
	if waitErr != nil && !errors.As(waitErr, &exit) {
		return false, fmt.Errorf("run go test: %w", waitErr)
	}
	run.end(waitErr)
	writeSummary(out, run)
	if err := errors.Join(readErr, out.Flush()); err != nil {
		return false, fmt.Errorf("report tests: %w", err)
	}
	return run.failed == 0 && run.passed > 0, nil
}

// readEvents feeds every line of r to run and writes each package as it ends. A line that is no event, such as what a test
// binary wrote past its own test framework, is passed on as it is.
func readEvents(r io.Reader, run *testRun, out *bufio.Writer) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			if e, ok := parseEvent(line); !ok {
				_, _ = out.Write(line)
			} else if pkg := run.add(e); pkg != nil {
				writePackage(out, pkg)
			}
			_ = out.Flush() // a failed flush stays with out and is returned at the end
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
	}
}

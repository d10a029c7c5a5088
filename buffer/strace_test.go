package buffer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// requirePeer skips the test when a program is missing, unless it must not be.
func requirePeer(t *testing.T, name string, try ...string) {
	t.Helper()
	err := exec.CommandContext(t.Context(), name, try...).Run()
	if err == nil {
		return
	}
	if os.Getenv("TIDEGATE_REQUIRE_PEERS") == "1" {
		t.Fatalf("%s does not work here: %v", name, err)
	}
	t.Skipf("%s does not work here (%v): apt-get install %s", name, err, name)
}

// commitUnderTrace makes a record durable and writes a mark before and after, then commits, acknowledges and checkpoints a good deal, and
// writes how often it believes to have synchronised.
func commitUnderTrace(path string) error {
	s, err := Open(context.Background(), Options{Path: path})
	if err != nil {
		return err
	}
	q := s.Queue("session/x")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	publish := func(payload string) {
		if err == nil {
			err = commitAndWait(s, q, payload)
		}
	}
	publish("first") // whatever Open has left to do is done
	fmt.Println("MARK publish")
	publish("one")
	fmt.Println("MARK done")
	big := strings.Repeat("x", 100<<10)
	for pos := range uint64(120) { // beyond two checkpoints
		publish(big)
		s.Ack(q, pos+1)
	}
	cancel()
	if _, late := within(ended, "the end of Run"); err != nil || late != nil {
		return errors.Join(err, late)
	}
	fmt.Println("MARK counted", s.writer.meter.fsyncs, s.writer.meter.bytes)
	return s.Close()
}

var traceLine = regexp.MustCompile(`(?:^|\s)(fsync|fdatasync|pwrite64|write)\((\d+)<([^>]*)>.*= (\d+)$`)

// trace is what strace has seen of one process, in order.
type trace struct {
	calls []tracedCall
}

type tracedCall struct{ name, file, line, result string }

// traced runs the part of commitUnderTrace under strace.
func traced(t *testing.T, path string) trace {
	t.Helper()
	requirePeer(t, "strace", "-o", os.DevNull, "true")
	log := filepath.Join(t.TempDir(), "trace")
	cmd := child(t, "trace", path, "strace", "-f", "-y", "-o", log, "-e", "trace=fsync,fdatasync,pwrite64,write", "-e", "signal=none")
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return parseTrace(string(b))
}

// parseTrace puts the calls in the order in which they ended: a call that another thread interrupts stands in two lines.
func parseTrace(text string) (tr trace) {
	unfinished := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		pid, rest, _ := strings.Cut(line, " ")
		if head, ok := strings.CutSuffix(rest, " <unfinished ...>"); ok {
			unfinished[pid] = head
			continue
		}
		if _, tail, ok := strings.Cut(rest, " resumed>"); ok {
			rest = unfinished[pid] + tail
		}
		if m := traceLine.FindStringSubmatch(rest); m != nil {
			tr.calls = append(tr.calls, tracedCall{name: m[1], file: m[3], line: rest, result: m[4]})
		}
	}
	return tr
}

// between returns the calls between two marks.
func (tr trace) between(t *testing.T, from, to string) []tracedCall {
	t.Helper()
	begin, end := -1, -1
	for i, c := range tr.calls {
		switch {
		case c.name == "write" && strings.Contains(c.line, from):
			begin = i
		case c.name == "write" && strings.Contains(c.line, to):
			end = i
		}
	}
	if begin < 0 || end < begin {
		t.Fatalf("marks %q and %q are not in the trace of %d calls", from, to, len(tr.calls))
	}
	return tr.calls[begin+1 : end]
}

// TestTrace looks at a process from outside.
func TestTrace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "buffer.db")
	tr := traced(t, path)
	t.Run("synchronised before done", func(t *testing.T) { tr.wantSyncBeforeDone(t) })
	t.Run("counts are those of the kernel", func(t *testing.T) { tr.wantCounts(t, path) })
}

// wantSyncBeforeDone checks that between the publish and its acknowledgement lies a write of the record to the log, and behind it a sync
// of the log. That is what a kill cannot show: the page cache survives it.
func (tr trace) wantSyncBeforeDone(t *testing.T) {
	written, synced := -1, -1
	calls := tr.between(t, "MARK publish", "MARK done")
	for i, c := range calls {
		switch {
		case !strings.HasSuffix(c.file, "-wal"):
		case c.name == "pwrite64":
			written = i
		case c.result == "0":
			synced = i
		}
	}
	t.Logf("%d calls between publish and done; the log is written last by number %d and synchronised by number %d", len(calls), written, synced)
	if written < 0 || synced < written {
		t.Error("it was acknowledged before it was safe")
	}
}

// wantCounts holds the store's own count of syncs and bytes against what strace sees.
func (tr trace) wantCounts(t *testing.T, path string) {
	var syncs, bytes, ownSyncs, ownBytes int
	for _, c := range tr.calls {
		isFile := strings.HasPrefix(c.file, path) && !strings.HasSuffix(c.file, ".lock")
		switch {
		case strings.Contains(c.line, "MARK counted"):
			if _, err := fmt.Sscanf(c.line[strings.Index(c.line, "MARK"):], "MARK counted %d %d", &ownSyncs, &ownBytes); err != nil {
				t.Fatal(err)
			}
		case isFile && c.name != "pwrite64":
			syncs++
		case isFile:
			n := 0
			_, _ = fmt.Sscan(c.result, &n)
			bytes += n
		}
	}
	// Making the file is not counted: it is before the first commit.
	const madeSyncs, madeBytes = 10, 40 * (newPageSize + walFrameHead)
	t.Logf("strace: %d syncs, %d bytes; counted: %d syncs, %d bytes", syncs, bytes, ownSyncs, ownBytes)
	if ownSyncs > syncs || syncs-ownSyncs > madeSyncs || ownBytes > bytes || bytes-ownBytes > madeBytes {
		t.Error("the counts differ by more than the making of the file")
	}
}

// TestRealErrorsOfTheDisk lets the kernel refuse calls of sync and write: nothing is acknowledged that is not safe, and the store finds
// back by itself.
func TestRealErrorsOfTheDisk(t *testing.T) {
	for name, inject := range map[string]string{ // strace counts the calls of each thread apart
		"fsync fails":      "inject=fsync:error=EIO:when=30..33",
		"the disk is full": "inject=pwrite64:error=ENOSPC:when=150..153",
	} {
		t.Run(name, func(t *testing.T) { wantSafeThroughFaults(t, "faulty", inject) })
	}
}

package buffer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// childPath is set for a process that this test binary starts of itself, to a database and the part it plays.
const (
	childPath = "TIDEGATE_BUFFER_CHILD"
	childRole = "TIDEGATE_BUFFER_ROLE"
)

// How long a child may take: longer than any single wait in it, and then its parent waits a little longer, so that the child tells where it
// hangs before it is killed.
const (
	childPatience  = 2 * patience
	parentPatience = childPatience + 10*time.Second
)

func TestMain(m *testing.M) {
	path := os.Getenv(childPath)
	if path == "" {
		os.Exit(m.Run())
	}
	role := os.Getenv(childRole)
	debug.SetTraceback("all")
	time.AfterFunc(childPatience, func() { panic(fmt.Sprintf("the child %q has not ended within %v", role, childPatience)) })
	roles := map[string]func(string) error{"publish": publishUntilKilled, "trace": commitUnderTrace, "faulty": commitOnFaultyDisk, "flow": flowThroughFault}
	if err := roles[role](path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child prepares this test binary to play a part on the database at path, under another program if one is given. Both are killed when
// they take longer than parentPatience, and when this process dies.
func child(t *testing.T, role, path string, under ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), parentPatience)
	t.Cleanup(cancel)
	line := append(under, self)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = append(os.Environ(), childPath+"="+path, childRole+"="+role)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second // strace may be gone and what it has traced hold the pipe
	return cmd
}

// within waits for something in a child, for a bounded time: a child that hangs must say where.
func within[T any](c <-chan T, what string) (v T, err error) {
	select {
	case v = <-c:
		return v, nil
	case <-time.After(patience):
		return v, fmt.Errorf("%s has not come within %v", what, patience)
	}
}

// commitAndWait makes a record durable for a queue.
func commitAndWait(s *Store, q gateway.QueueID, payload string) error {
	done := make(chan error, 1)
	s.Commit(&gateway.Change{Record: record(payload), To: to(q)}, func(err error) { done <- err })
	err, late := within(done, fmt.Sprintf("the answer for record %.20q", payload))
	return errors.Join(err, late)
}

// commitOnFaultyDisk makes records durable for a session that is away, one after the other, until some commits have failed and others have
// succeeded since. It writes how many records there are and how many commits have failed.
func commitOnFaultyDisk(path string) error {
	return throughFaults(path, func(*Store, <-chan struct{}) flowed { return flowed{} })
}

// throughFaults does what commitOnFaultyDisk says, and something beside it until a channel closes.
func throughFaults(path string, beside func(*Store, <-chan struct{}) flowed) error {
	s, err := Open(context.Background(), Options{Path: path})
	if err != nil {
		return err
	}
	away := s.Queue("session/x")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	flow := make(chan flowed, 1)
	stop := make(chan struct{})
	go func() { flow <- beside(s, stop) }()
	n := 0
	for since := 0; n < 5000 && since < 20; n++ {
		if err := commitAndWait(s, away, fmt.Sprint(n)); err != nil {
			return err
		}
		if s.Stats().Failures > 0 {
			since++
		}
	}
	close(stop)
	f, err := within(flow, "the end of what goes on beside")
	if err != nil {
		return err
	}
	fmt.Println("records", n, "failures", s.Stats().Failures, "flowed", f.while)
	cancel()
	end, err := within(ended, "the end of Run")
	if err != nil {
		return err
	}
	if err := errors.Join(end, s.Close()); err != nil {
		fmt.Fprintln(os.Stderr, "stop:", err) // strace counts for each thread: its window may come so late
	}
	return f.err
}

// wantSafeThroughFaults has a child play a part on a disk whose calls fail as strace is told to inject, and checks that all it was told is
// safe is there. It returns how many readings have passed meanwhile.
func wantSafeThroughFaults(t *testing.T, role, inject string) (flowed int) {
	t.Helper()
	requirePeer(t, "strace", "-o", os.DevNull, "true")
	path := filepath.Join(t.TempDir(), "buffer.db")
	out, err := child(t, role, path, "strace", "-f", "-o", os.DevNull, "-e", "trace=fsync,pwrite64", "-e", inject, "-e", "signal=none").Output()
	if err != nil {
		t.Fatal(err)
	}
	var n, failures int
	if _, err := fmt.Sscanf(string(out), "records %d failures %d flowed %d", &n, &failures, &flowed); err != nil || failures == 0 {
		t.Fatalf("%d failures, %v: the disk did not fail", failures, err)
	}
	t.Logf("%d records, %d commits failed, %d readings passed meanwhile", n, failures, flowed)
	r := newRig(t, Options{Path: path})
	if got := payloads(r.read(r.Queue("session/x"), 0)); len(got) != n || !inSequence(got) {
		t.Errorf("%d records in the file, want %d in their order", len(got), n)
	}
	return flowed
}

package e2e_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for something that must happen. It is no measure of speed.
const patience = 90 * time.Second

// process is a program that the test has started, with the lines that it has printed.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended and all its output is read
	err   error         // of Wait; valid once ended is closed

	mu      sync.Mutex
	changed *sync.Cond
	lines   []string
}

// start starts a program; it is killed at the end of the test if it still runs.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return startCommand(t, name, exec.Command(args[0], args[1:]...))
}

// startCommand is start for a command with more to it than arguments.
func startCommand(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: cmd, ended: make(chan struct{})}
	p.changed = sync.NewCond(&p.mu)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = in, in
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	in.Close()
	go p.read(out)
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("last lines of %s:\n%s", name, strings.Join(p.tail(40), "\n"))
		}
	})
	return p
}

func (p *process) read(out *os.File) {
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, scanner.Text())
		p.changed.Broadcast()
		p.mu.Unlock()
	}
	out.Close()
	p.err = p.cmd.Wait()
	close(p.ended)
	p.mu.Lock()
	p.changed.Broadcast()
	p.mu.Unlock()
}

// all returns the lines printed so far.
func (p *process) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.lines...)
}

func (p *process) tail(n int) []string {
	lines := p.all()
	return lines[max(0, len(lines)-n):]
}

// waitFor waits until the lines satisfy done, and fails the test when they do not in time or the process ends before.
func (p *process) waitFor(what string, done func(lines []string) bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		p.mu.Lock()
		p.changed.Broadcast()
		p.mu.Unlock()
	})()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !done(p.lines) {
		select {
		case <-ctx.Done():
			p.t.Fatalf("%s: did not see %s", p.name, what)
		case <-p.ended:
			p.t.Fatalf("%s ended (%v) before %s", p.name, p.err, what)
		default:
		}
		p.changed.Wait()
	}
}

// waitLine waits for a line that contains text and returns it.
func (p *process) waitLine(text string) string {
	p.t.Helper()
	found := ""
	p.waitFor("a line with "+text, func(lines []string) bool {
		for _, l := range lines {
			if strings.Contains(l, text) {
				found = l
				return true
			}
		}
		return false
	})
	return found
}

// interrupt asks the process to end, as Ctrl-C or systemd would, and returns how it ended.
func (p *process) interrupt(sig syscall.Signal) error {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("signal %s: %v", p.name, err)
	}
	select {
	case <-p.ended:
		return p.err
	case <-time.After(patience):
		p.t.Fatalf("%s did not end after %v", p.name, sig)
		return nil
	}
}

// kill ends the process with SIGKILL, the way a power cut ends it as far as the process is concerned.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

package bustest

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// PTY is a serial port of which the test holds the other end. It differs from a real one in that its line has no pace and its
// adapter no modem lines.
type PTY struct {
	Port   string   // what the bus opens: a name that stays the same when the port is unplugged and plugged in again
	Path   string   // the node behind it
	Master *os.File // the other end

	t testing.TB
}

// NewPTY makes a pseudo terminal for the length of the test.
func NewPTY(t testing.TB) *PTY {
	t.Helper()
	p := &PTY{Port: filepath.Join(t.TempDir(), "port"), t: t}
	p.Plug()
	t.Cleanup(p.Unplug)
	return p
}

// Plug makes the port appear, as a new one behind the same name.
func (p *PTY) Plug() {
	p.t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		p.t.Skipf("no pseudo terminals here: %v", err)
	}
	p.Master = os.NewFile(uintptr(fd), "ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		p.t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		p.t.Fatal(err)
	}
	p.Path = fmt.Sprintf("/dev/pts/%d", n)
	if err := os.Symlink(p.Path, p.Port); err != nil {
		p.t.Fatal(err)
	}
}

// Unplug takes the port away: its name is gone, and who has it open gets EIO.
func (p *PTY) Unplug() {
	_ = os.Remove(p.Port)
	_ = p.Master.Close()
}

// Hold keeps the port open until the function that it returns is called: without that, reading from Master fails while the bus has the
// port closed.
func (p *PTY) Hold() (release func()) {
	p.t.Helper()
	f, err := os.OpenFile(p.Path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	return sync.OnceFunc(func() { _ = f.Close() })
}

// PlayLine plays a conversation back on a serial port, which it returns.
func PlayLine(t testing.TB, ops []IO) (port string) {
	t.Helper()
	pty, player := NewPTY(t), newPlayer(t, ops)
	release := pty.Hold()
	done := make(chan struct{})
	go func() {
		defer close(done)
		player.play(pty.Master)
	}()
	t.Cleanup(func() {
		pty.Unplug()
		<-done
		release()
	})
	return pty.Port
}

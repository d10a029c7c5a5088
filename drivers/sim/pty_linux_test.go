package sim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// onPTY runs a slave with the fault unit as unit 7 on a real pty.
func onPTY(t *testing.T, opts SlaveOptions) (*PTY, *Unit, *Slave) {
	t.Helper()
	u := faultUnit(t)
	pty, s := unitsOnPTY(t, map[byte]*Unit{7: u}, opts)
	return pty, u, s
}

// unitsOnPTY runs slaves on a real pty.
func unitsOnPTY(t *testing.T, units map[byte]*Unit, opts SlaveOptions) (*PTY, *Slave) {
	t.Helper()
	pty, err := OpenPTY(filepath.Join(t.TempDir(), "tty"))
	if err != nil {
		t.Fatal(err)
	}
	s := NewSlave(pty, units, opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		if err := pty.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return pty, s
}

// master opens a port as a serial library does, sets raw mode by itself and flushes what an earlier owner did not read.
func master(t *testing.T, port string) *os.File {
	t.Helper()
	fd, err := unix.Open(port, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("open %s: %v", port, err)
	}
	termios := unix.Termios{Cflag: unix.CS8 | unix.CREAD | unix.CLOCAL | unix.PARENB | unix.B115200}
	termios.Cc[unix.VMIN] = 1
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &termios); err != nil {
		t.Fatalf("set termios: %v", err)
	}
	if err := unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIOFLUSH); err != nil {
		t.Fatalf("flush: %v", err)
	}
	f := os.NewFile(uintptr(fd), port)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// ask sends a request and reads an answer of the length wanted.
func ask(t *testing.T, port *os.File, request, want []byte) {
	t.Helper()
	if _, err := port.Write(request); err != nil {
		t.Fatal(err)
	}
	expectBytes(t, port, want)
}

func expectBytes(t *testing.T, port *os.File, want []byte) {
	t.Helper()
	if err := port.SetReadDeadline(time.Now().Add(hangs)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(port, got); err != nil {
		t.Fatalf("read answer: %v after % X", err, got[:n])
	}
	if !bytes.Equal(got, want) {
		t.Errorf("answer = % X, want % X", got, want)
	}
}

func TestPTYAnswers(t *testing.T) {
	for _, line := range []Line{{}, {Baud: 9600}, {Baud: 19200, Parity: EvenParity}, {Baud: 115200}} {
		t.Run(line.String(), func(t *testing.T) {
			pty, _, s := onPTY(t, SlaveOptions{Line: line})
			port := master(t, pty.Port())
			for range 3 {
				ask(t, port, readTwo, readTwoReply)
			}
			if got := s.Stats(); got.Frames != 3 || got.BadFrames != 0 || got.LostBytes != 0 {
				t.Errorf("stats = %+v", got)
			}
		})
	}
}

// TestPTYIsTransparent sends bytes that a terminal in any other mode would change or act upon, both ways, with the port as a
// program sets it and as it is found.
func TestPTYIsTransparent(t *testing.T) {
	for name, open := range map[string]func(*testing.T, string) *os.File{"set by the master": master, "as found": openOnly} {
		t.Run(name, func(t *testing.T) {
			pty, u, _ := onPTY(t, SlaveOptions{})
			port := open(t, pty.Path())
			var all []byte
			for i := range 256 {
				all = append(all, byte(i))
			}
			u.Inject(GarbageBefore(all...), 1)
			request := appendCRC([]byte{7, 6, 0, 0, 0x0D, 0x0A})
			ask(t, port, request, slices.Concat(all, request))
			for v := range 128 {
				echo := appendCRC([]byte{7, 6, 0, 1, byte(2 * v), byte(2*v + 1)})
				ask(t, port, echo, echo)
			}
		})
	}
}

// openOnly opens a port and changes nothing about it.
func openOnly(t *testing.T, port string) *os.File {
	t.Helper()
	f, err := os.OpenFile(port, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// TestPTYSurvivesItsMaster opens and closes the port; between two owners nobody has it open but the simulation.
func TestPTYSurvivesItsMaster(t *testing.T) {
	pty, _, _ := onPTY(t, SlaveOptions{})
	for range 5 {
		port := master(t, pty.Port())
		ask(t, port, readTwo, readTwoReply)
		if err := port.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPTYFreesAnExclusivePort plays a master that was killed before it could give up its exclusive use.
func TestPTYFreesAnExclusivePort(t *testing.T) {
	pty, _, _ := onPTY(t, SlaveOptions{})
	port := master(t, pty.Port())
	if err := unix.IoctlSetInt(int(port.Fd()), unix.TIOCEXCL, 0); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the end of the exclusive use", func() bool {
		exclusive, err := unix.IoctlGetInt(int(port.Fd()), unix.TIOCGEXCL)
		return err == nil && exclusive == 0
	})
}

func TestPTYFaults(t *testing.T) {
	pty, u, _ := onPTY(t, SlaveOptions{Line: Line{Baud: 115200}})
	port := master(t, pty.Port())
	u.Inject(NoAnswer(), 1)
	u.Inject(GarbageAfter(0xFE), 1)
	if _, err := port.Write(readTwo); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the request without an answer", func() bool { return u.Stats().Requests == 1 })
	ask(t, port, readTwo, append(slices.Clone(readTwoReply), 0xFE))
	u.Inject(Split(4, 5*time.Millisecond), 1)
	ask(t, port, readTwo, readTwoReply)
	spoiled := slices.Clone(readTwoReply)
	spoiled[len(spoiled)-1] ^= 0xFF
	u.Inject(BadCRC(), 1)
	ask(t, port, readTwo, spoiled)
}

// TestPTYDoesNotWaitForReaders asks so often without reading that the pty is full, and then goes on as if nothing had been.
func TestPTYDoesNotWaitForReaders(t *testing.T) {
	pty, u, s := onPTY(t, SlaveOptions{})
	port := master(t, pty.Port())
	u.Inject(GarbageBefore(make([]byte, 1000)...), -1)
	for i := uint64(0); s.Stats().LostBytes == 0; i++ {
		if _, err := port.Write(readTwo); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the next frame", func() bool { return s.Stats().Frames > i })
		if i > 10_000 {
			t.Fatal("no bytes are lost although nobody reads")
		}
	}
	u.Heal()
	expectAnswerAmongOthers(t, port)
}

// expectAnswerAmongOthers finds an answer that only its own request causes behind others that were on the way before.
func expectAnswerAmongOthers(t *testing.T, port *os.File) {
	t.Helper()
	mark := appendCRC([]byte{7, 6, 0, 0, 0xCA, 0xFE})
	var got []byte
	waitFor(t, "an answer once there is room again", func() bool {
		if _, err := port.Write(mark); err != nil {
			t.Fatal(err)
		}
		var buf [4096]byte
		if err := port.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := port.Read(buf[:])
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		got = append(got, buf[:n]...)
		return bytes.Contains(got, mark)
	})
}

func TestPTYHangsUpWhenClosed(t *testing.T) {
	pty, err := OpenPTY("")
	if err != nil {
		t.Fatal(err)
	}
	port := master(t, pty.Port())
	if err := pty.Close(); err != nil {
		t.Fatal(err)
	}
	if err := pty.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
	if _, err := port.Write(readTwo); !errors.Is(err, unix.EIO) {
		t.Errorf("write to an unplugged port = %v, want EIO", err)
	}
}

func TestPTYLink(t *testing.T) {
	folder := t.TempDir()
	link := filepath.Join(folder, "tty")
	pty, err := OpenPTY(link)
	if err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(link); err != nil || target != pty.Path() || pty.Port() != link {
		t.Errorf("link leads to %q, %v; want %q", target, err, pty.Path())
	}
	if err := pty.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(link); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link is still there after Close: %v", err)
	}
}

func TestPTYLinkRefused(t *testing.T) {
	running, err := OpenPTY("")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = running.Close() }()
	tests := []struct {
		name    string
		prepare func(link string) error
		want    string // with LINK for the link
	}{
		{
			"file", func(link string) error { return os.WriteFile(link, []byte("precious"), 0o600) },
			"link pty: LINK exists and is not a link of a simulation: choose another name or remove it",
		},
		{
			"folder", func(link string) error { return os.Mkdir(link, 0o700) },
			"link pty: LINK exists and is not a link of a simulation: choose another name or remove it",
		},
		{
			"link to somewhere else", func(link string) error { return os.Symlink("/dev/null", link) },
			"link pty: LINK is a link to /dev/null and not one of a simulation: choose another name or remove it",
		},
		{
			"link to a port that is unplugged", func(link string) error { return os.Symlink("/dev/ttyUSB77", link) },
			"link pty: LINK is a link to /dev/ttyUSB77 and not one of a simulation: choose another name or remove it",
		},
		{
			"link of a simulation that runs", func(link string) error { return os.Symlink(running.Path(), link) },
			"link pty: LINK leads to " + running.Path() + ", which another simulation serves: stop that or choose another name",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			link := filepath.Join(t.TempDir(), "tty")
			if err := tt.prepare(link); err != nil {
				t.Fatal(err)
			}
			before, _ := os.Lstat(link)
			_, err := OpenPTY(link)
			if want := string(bytes.ReplaceAll([]byte(tt.want), []byte("LINK"), []byte(link))); err == nil || err.Error() != want {
				t.Errorf("OpenPTY = %v\nwant      %s", err, want)
			}
			if after, err := os.Lstat(link); err != nil || !os.SameFile(before, after) {
				t.Errorf("what was there has been replaced (%v)", err)
			}
		})
	}
}

func TestPTYLinkInAMissingFolder(t *testing.T) {
	if _, err := OpenPTY(filepath.Join(t.TempDir(), "missing", "tty")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("OpenPTY = %v, want that the folder does not exist", err)
	}
}

// TestPTYReplacesStaleLinks plays two things that kill -9 leaves behind: a link to nothing, and a link whose number another
// program has been given since.
func TestPTYReplacesStaleLinks(t *testing.T) {
	foreign, err := newPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = foreign.Close() }()
	unlock := unix.Flock_t{Type: unix.F_UNLCK}
	if err := unix.FcntlFlock(uintptr(foreign.slave), unix.F_OFD_SETLK, &unlock); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/dev/pts/99999", foreign.Path()} {
		link := filepath.Join(t.TempDir(), "tty")
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		pty, err := OpenPTY(link)
		if err != nil {
			t.Fatalf("link to %s: %v", target, err)
		}
		if got, _ := os.Readlink(link); got != pty.Path() {
			t.Errorf("link leads to %s, want %s", got, pty.Path())
		}
		if err := pty.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPTYLeavesAForeignLink closes a pty whose link somebody has made lead elsewhere.
func TestPTYLeavesAForeignLink(t *testing.T) {
	link := filepath.Join(t.TempDir(), "tty")
	pty, err := OpenPTY(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", link); err != nil {
		t.Fatal(err)
	}
	if err := pty.Close(); err != nil {
		t.Error(err)
	}
	if target, err := os.Readlink(link); err != nil || target != "/dev/null" {
		t.Errorf("link = %q, %v; want it left alone", target, err)
	}
}

// TestPTYDoesNotLeak counts descriptors.
func TestPTYDoesNotLeak(t *testing.T) {
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := open()
	taken := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(taken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := OpenPTY(taken); err == nil {
			t.Fatal("a file was replaced")
		}
		pty, err := OpenPTY("")
		if err != nil {
			t.Fatal(err)
		}
		if err := pty.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := open(); after != before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
}

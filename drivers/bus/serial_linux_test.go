package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/drivers/bus/bustest"
)

func serialBus(t *testing.T, port string) *Bus {
	t.Helper()
	b, err := New(Options{Port: port, Mode: Mode{Baud: 115200, Parity: ParityEven}, ReopenMin: time.Nanosecond, ReopenMax: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// serveLine answers each request, of which all have the length of this one, until the port is unplugged. It then closes done.
func serveLine(t *testing.T, p *bustest.PTY, request, answer string) (done chan struct{}) {
	t.Helper()
	done = make(chan struct{})
	release, master := p.Hold(), p.Master
	go func() {
		defer close(done)
		defer release()
		buf := make([]byte, len(request))
		for {
			if _, err := io.ReadFull(master, buf); err != nil {
				return
			}
			if _, err := master.WriteString(answer); err != nil {
				return
			}
		}
	}()
	return done
}

// A pty has no modem lines: it can be opened only because none are asked for.
func TestSerialPort(t *testing.T) {
	p := bustest.NewPTY(t)
	serveLine(t, p, "ping", "pong!")
	b := serialBus(t, p.Port)
	for range 30 {
		mustExchange(t, b, ask("ping", "pong!"), "pong!")
	}
	if s := b.Stats(); s.Opens != 1 || s.Busy == 0 {
		t.Errorf("Stats() = %+v", s)
	}
}

// The library reports a timeout as (0, nil), on which io.ReadFull spins for ever.
func TestSerialTimeout(t *testing.T) {
	p := bustest.NewPTY(t)
	b := serialBus(t, p.Port)
	c := ask("ping", "pong!")
	c.Timeout = 120 * time.Millisecond // longer than two slices
	var reply *ReplyError
	if _, err := b.Exchange(t.Context(), c); !errors.As(err, &reply) {
		t.Fatalf("Exchange() error = %v, want a ReplyError", err)
	}
	if !b.Stats().Open {
		t.Error("the port was closed")
	}
}

// A request that nobody takes must not fill the kernel's buffer until a write blocks for ever.
func TestSerialPeerThatNeverReads(t *testing.T) {
	p := bustest.NewPTY(t)
	b := serialBus(t, p.Port)
	b.opts.Mode.Baud = maxBaud
	c := ask(strings.Repeat("x", 250), "pong!")
	c.Timeout = time.Millisecond
	var reply *ReplyError
	for range 400 { // 100 kB; a pty holds a few kB
		if _, err := b.Exchange(t.Context(), c); !errors.As(err, &reply) {
			t.Fatalf("Exchange() error = %v, want a ReplyError", err)
		}
	}
}

// What was sent while nobody had the port open, and what comes late, is not the answer to the next request.
func TestSerialStaleInput(t *testing.T) {
	p := bustest.NewPTY(t)
	b := serialBus(t, p.Port)
	if _, err := p.Master.WriteString("stale"); err != nil {
		t.Fatal(err)
	}
	c := ask("ping", "pong!")
	c.Timeout = time.Millisecond
	var reply *ReplyError
	for i := range 5 {
		if _, err := b.Exchange(t.Context(), c); !errors.As(err, &reply) || len(reply.Received) > 0 {
			t.Fatalf("exchange %d: error = %v, want no answer", i, err)
		}
		if _, err := p.Master.WriteString("pong!"); err != nil { // late
			t.Fatal(err)
		}
	}
}

func TestSerialUnplug(t *testing.T) {
	p := bustest.NewPTY(t)
	served := serveLine(t, p, "ping", "pong!")
	b := serialBus(t, p.Port)
	mustExchange(t, b, ask("ping", "pong!"), "pong!")
	p.Unplug()
	<-served
	var offline *OfflineError
	_, err := b.Exchange(t.Context(), ask("ping", "pong!"))
	if !errors.As(err, &offline) || !strings.HasSuffix(err.Error(), p.Port+": the port is gone: was the adapter unplugged?") {
		t.Fatalf("Exchange() error = %v, want that the port is gone", err)
	}
	if _, err = b.Exchange(t.Context(), ask("ping", "pong!")); !errors.Is(err, offline) && !strings.Contains(err.Error(), "no such device") {
		t.Fatalf("Exchange() error = %v, want no such device", err)
	}
	p.Plug()
	serveLine(t, p, "ping", "pong!")
	mustExchange(t, b, ask("ping", "pong!"), "pong!")
}

func TestSerialOpenInWords(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "ttyUSB0")
	for _, tc := range []struct{ name, port, want string }{
		{"Missing", missing, "open " + missing + ": no such device: is the adapter plugged in? (ls /dev/serial/by-id shows those that are)"},
		{"File", file, "open " + file + ": not a serial port: use a device such as those under /dev/serial/by-id"},
		{"Null", "/dev/null", "open /dev/null: not a serial port: use a device such as those under /dev/serial/by-id"},
		{"Directory", dir, "open " + dir + ": this is a directory: use the name of a device in it"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := serialBus(t, tc.port).Exchange(t.Context(), ask("ping", "pong!"))
			var offline *OfflineError
			if !errors.As(err, &offline) || offline.Err.Error() != tc.want {
				t.Errorf("error = %v\nwant    %v", err, tc.want)
			}
		})
	}
	for _, tc := range []struct {
		errno error
		want  string
	}{
		{unix.EACCES, "permission denied: add the user to group dialout"},
		{unix.EBUSY, "in use by another bus or program, and a port has one owner (fuser -v /dev/x shows it)"},
		{unix.ENXIO, "no such device or address: the device node is there but no hardware answers: is the adapter still plugged in?"},
		{unix.EMFILE, "too many open files: raise LimitNOFILE or lower the number of connections"},
		{io.EOF, "EOF"},
	} {
		if got := nodeReason("/dev/x", tc.errno).Error(); got != tc.want {
			t.Errorf("nodeReason(%v) = %q, want %q", tc.errno, got, tc.want)
		}
	}
}

// TIOCEXCL does not keep root out, and these tests may run as root: the lock does.
func TestSerialPortHasOneOwner(t *testing.T) {
	p := bustest.NewPTY(t)
	serveLine(t, p, "ping", "pong!")
	first, second := serialBus(t, p.Port), serialBus(t, p.Path) // two names of one port
	mustExchange(t, first, ask("ping", "pong!"), "pong!")
	_, err := second.Exchange(t.Context(), ask("ping", "pong!"))
	if err == nil || !strings.Contains(err.Error(), "in use by another bus or program") {
		t.Fatalf("second owner: error = %v, want that the port is in use", err)
	}
	mustExchange(t, first, ask("ping", "pong!"), "pong!")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	mustExchange(t, second, ask("ping", "pong!"), "pong!")
}

// TestReleasedWhileAProgramIsStarted lets another descriptor refer to the same open node, as in a program between fork and exec, which has
// all descriptors of its parent.
func TestReleasedWhileAProgramIsStarted(t *testing.T) {
	p := bustest.NewPTY(t)
	node, err := claim(p.Port)
	if err != nil {
		t.Fatal(err)
	}
	child, err := unix.Dup(int(node.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Close(child); err != nil {
			t.Error(err)
		}
	}()
	if err := release(node); err != nil {
		t.Fatal(err)
	}
	next, err := claim(p.Port)
	if err != nil {
		t.Fatal(err)
	}
	if err := release(next); err != nil {
		t.Error(err)
	}
}

func TestSpeedError(t *testing.T) {
	for _, tc := range []struct {
		want, got int
		text      string
	}{
		{9600, 9600, ""},
		{115200, 117647, ""}, // 2 % off, as a divider gives it
		{12345, 9600, "the port cannot do 12345 baud, it runs at 9600: choose another rate"},
	} {
		err := speedError(tc.want, tc.got)
		if got := fmt.Sprint(err); got != tc.text && (err != nil || tc.text != "") {
			t.Errorf("speedError(%d, %d) = %v, want %q", tc.want, tc.got, err, tc.text)
		}
	}
}

// scriptPort is a library port that does what the library's real one may do.
type scriptPort struct {
	serial.Port
	reads, writes []result
	written       []byte
}

type result struct {
	n    int
	err  error
	data string
}

func (p *scriptPort) SetReadTimeout(time.Duration) error { return nil }

func (p *scriptPort) Read(b []byte) (int, error) {
	r := p.reads[0]
	p.reads = p.reads[1:]
	return copy(b, r.data), r.err
}

func (p *scriptPort) Write(b []byte) (int, error) {
	r := p.writes[0]
	p.writes = p.writes[1:]
	p.written = append(p.written, b[:max(r.n, 0)]...)
	return r.n, r.err
}

func TestSerialWriteInParts(t *testing.T) {
	for _, tc := range []struct {
		name   string
		writes []result
		want   string
		err    error
	}{
		{"Whole", []result{{n: 6}}, "abcdef", nil},
		{"Partial", []result{{n: 2}, {n: 3}, {n: 1}}, "abcdef", nil},
		{"Interrupted", []result{{n: 0, err: unix.EINTR}, {n: 4}, {n: 0, err: unix.EINTR}, {n: 2}}, "abcdef", nil},
		{"Nothing", []result{{n: 2}, {n: 0}}, "ab", io.ErrShortWrite},
		{"Failed", []result{{n: 2}, {n: 0, err: unix.ENOSPC}}, "ab", unix.ENOSPC},
	} {
		t.Run(tc.name, func(t *testing.T) {
			port := &scriptPort{writes: tc.writes}
			err := (&serialLink{port: port}).write([]byte("abcdef"), time.Time{})
			if !errors.Is(err, tc.err) || string(port.written) != tc.want || len(port.writes) > 0 {
				t.Errorf("write() = %v after %q, %d writes left; want %v after %q", err, port.written, len(port.writes), tc.err, tc.want)
			}
		})
	}
}

func TestSerialReadInterrupted(t *testing.T) {
	port := &scriptPort{reads: []result{{}, {err: unix.EINTR}, {data: "x"}, {}}}
	l := &serialLink{port: port}
	var b [4]byte
	if n, err := l.read(t.Context(), b[:], time.Now().Add(time.Minute)); n != 1 || err != nil {
		t.Fatalf("read() = %d, %v, want 1 byte", n, err)
	}
	if _, err := l.read(t.Context(), b[:], time.Now()); err != errTimeout {
		t.Fatalf("read() error = %v, want errTimeout", err)
	}
}

// The library's port goes on using its descriptor after Close. By then it may belong to somebody's database.
func TestSerialUseAfterCloseReachesNoForeignFile(t *testing.T) {
	p := bustest.NewPTY(t)
	o := &serialOpener{path: p.Path, mode: Mode{Baud: 9600}, open: serial.Open}
	l, err := o.openLink()
	if err != nil {
		t.Fatal(err)
	}
	defer o.reserve.release(len(o.reserve.files))
	port := l.port
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	var files []*os.File
	for i := range 64 {
		f, err := os.Create(filepath.Join(t.TempDir(), fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	if _, err := port.Write([]byte("poison")); err != nil { // what would happen without the guard
		t.Logf("the library's own port refused the write after Close: %v", err)
	}
	if spoilt := written(t, files); spoilt != 1 {
		t.Logf("the library's write after Close reached %d files", spoilt)
	}
	for _, f := range files {
		if err := f.Truncate(0); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.write([]byte("poison"), time.Time{}); err != errClosed {
		t.Errorf("write() error = %v, want errClosed", err)
	}
	if _, err := l.read(t.Context(), make([]byte, 8), time.Now()); err != errClosed {
		t.Errorf("read() error = %v, want errClosed", err)
	}
	if err := l.purge(); err != errClosed {
		t.Errorf("purge() error = %v, want errClosed", err)
	}
	if err := l.close(); err != errClosed {
		t.Errorf("close() error = %v, want errClosed", err)
	}
	if spoilt := written(t, files); spoilt > 0 {
		t.Errorf("%d foreign files were written to", spoilt)
	}
}

// written counts the files that are not empty.
func written(t *testing.T, files []*os.File) (n int) {
	t.Helper()
	for _, f := range files {
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 0 {
			n++
		}
	}
	return n
}

// Conversations, Close and foreign files at the same time: no byte may go astray.
func TestSerialCloseDuringConversations(t *testing.T) {
	p := bustest.NewPTY(t)
	serveLine(t, p, "ping", "pong!")
	b := serialBus(t, p.Port)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _ = b.Exchange(ctx, ask("ping", "pong!"))
			}
		})
	}
	dir := t.TempDir()
	var files []*os.File
	for i := range 300 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	cancel()
	wg.Wait()
	if spoilt := written(t, files); spoilt > 0 {
		t.Errorf("%d foreign files were written to", spoilt)
	}
	for _, f := range files {
		_ = f.Close()
	}
}

package bus

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/drivers/bus/bustest"
)

// crowd takes all descriptors below 1024 and some above, as an embedded broker with 1,500 clients does.
func crowd(t *testing.T) {
	t.Helper()
	const enough = 1500 + 64 // clients, and what else a gateway has open
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	raised := old
	raised.Cur, raised.Max = max(old.Cur, 2*enough), max(old.Max, 2*enough)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err != nil {
		t.Skipf("cannot raise the limit of open files to %d: %v", 2*enough, err)
	}
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &old) })
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		if f.Fd() >= enough {
			return
		}
	}
}

func TestSerialPortAmongManyDescriptors(t *testing.T) {
	p := bustest.NewPTY(t)
	b := serialBus(t, p.Port)
	p.Unplug()
	if _, err := b.Exchange(t.Context(), ask("ping", "pong!")); err == nil { // the adapter is not plugged in at the start
		t.Fatal("a port that is not there was opened")
	}
	crowd(t)
	for i := range 5 {
		p.Plug()
		served := serveLine(t, p, "ping", "pong!")
		mustExchange(t, b, ask("ping", "pong!"), "pong!")
		p.Unplug()
		<-served
		if _, err := b.Exchange(t.Context(), ask("ping", "pong!")); err == nil {
			t.Fatal("an unplugged port answered")
		}
		if s := b.Stats(); s.Opens != uint64(i+1) || s.Panics != 0 {
			t.Fatalf("Stats() = %+v, want %d openings and no panic", s, i+1)
		}
	}
}

func TestSerialPortWithoutLowDescriptors(t *testing.T) {
	p := bustest.NewPTY(t)
	serveLine(t, p, "ping", "pong!")
	crowd(t)
	b := serialBus(t, p.Port) // its reserve comes too late
	_, err := b.Exchange(t.Context(), ask("ping", "pong!"))
	var offline *OfflineError
	if !errors.As(err, &offline) || !strings.Contains(err.Error(), "all file descriptors below 1024 are in use") {
		t.Errorf("Exchange() error = %v, want what is wrong", err)
	}
	if n := b.Stats().Panics; n != 0 {
		t.Errorf("%d panics reached the bus", n)
	}
}

// The bus's boundary holds even if a port with such descriptors came to be used.
func TestSerialLibraryPanicIsContained(t *testing.T) {
	p := bustest.NewPTY(t)
	b := serialBus(t, p.Port)
	crowd(t)
	port, err := serial.Open(p.Path, b.opts.Mode.native())
	if err != nil {
		t.Fatal(err)
	}
	b.link, b.last = &serialLink{port: port, node: os.NewFile(^uintptr(0), "none")}, time.Now()
	var caught *PanicError
	if _, err := b.Exchange(t.Context(), ask("ping", "pong!")); !errors.As(err, &caught) {
		t.Errorf("Exchange() error = %v, want a PanicError", err)
	}
	if b.Stats().Open || b.link != nil {
		t.Error("the port is still in use")
	}
}

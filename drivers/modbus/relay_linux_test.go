package modbus

import (
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/drivers/bus/bustest"
)

// distortion is what a line does to one request and its answer.
type distortion func(request, answer []byte) []burst

// burst is a part of what the master hears; the pause comes before it.
type burst struct {
	pause time.Duration
	data  []byte
}

func swallow(_, _ []byte) []burst { return nil }

func delayed(d time.Duration) distortion {
	return func(_, answer []byte) []burst { return []burst{{d, answer}} }
}

func before(noise ...byte) distortion {
	return func(_, answer []byte) []burst { return []burst{{0, slices.Concat(noise, answer)}} }
}

func behind(noise ...byte) distortion {
	return func(_, answer []byte) []burst { return []burst{{0, slices.Concat(answer, noise)}} }
}

func flipped(_, answer []byte) []burst {
	answer[4] ^= 0x10
	return []burst{{0, answer}}
}

func cut(_, answer []byte) []burst {
	return []burst{{0, answer[:3]}, {20 * time.Millisecond, answer[3:]}}
}

func echoed(request, answer []byte) []burst {
	return []burst{{0, request}, {0, answer}}
}

// relay is the line between the driver and a real slave.
type relay struct {
	t             testing.TB
	master, slave *bustest.PTY
	over          chan struct{}
	inject        chan distortion // each for one request
	lasting       chan distortion // for all from now on; nil ends that
}

// The lengths of the catalogue's only request and its answer: two registers.
const (
	askSize    = 8
	answerSize = 9
)

// newRelay makes a line whose ends are master.Port and slave.Port.
func newRelay(t testing.TB) *relay {
	t.Helper()
	r := &relay{
		t: t, master: bustest.NewPTY(t), slave: bustest.NewPTY(t), over: make(chan struct{}),
		inject: make(chan distortion, 10), lasting: make(chan distortion, 1),
	}
	release := []func(){r.master.Hold(), r.slave.Hold()}
	makeRaw(t, r.slave.Master)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.run()
	}()
	t.Cleanup(func() {
		close(r.over)
		r.master.Unplug()
		r.slave.Unplug()
		<-ended
		for _, f := range release {
			f()
		}
	})
	return r
}

// makeRaw keeps the terminal from echoing before the slave has opened it.
func makeRaw(t testing.TB, master *os.File) {
	t.Helper()
	onTerminal(t, master, func(fd int, mode *unix.Termios) error {
		mode.Iflag, mode.Oflag, mode.Lflag = 0, 0, 0
		return unix.IoctlSetTermios(fd, unix.TCSETS, mode)
	})
}

// onTerminal calls fn with a terminal's descriptor and mode.
func onTerminal(t testing.TB, master *os.File, fn func(fd int, mode *unix.Termios) error) {
	t.Helper()
	conn, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Control(func(fd uintptr) {
		mode, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		if err == nil {
			err = fn(int(fd), mode)
		}
		if err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// run passes on one request and its answer after the other, until a port is gone.
func (r *relay) run() {
	var always distortion
	for {
		request, answer := make([]byte, askSize), make([]byte, answerSize)
		if _, err := io.ReadFull(r.master.Master, request); err != nil {
			return
		}
		if _, err := r.slave.Master.Write(request); err != nil {
			return
		}
		_ = r.slave.Master.SetReadDeadline(time.Now().Add(patience / 2))
		n, _ := io.ReadFull(r.slave.Master, answer) // a slave that is not there yet says nothing
		select {
		case always = <-r.lasting:
		default:
		}
		d := always
		select {
		case d = <-r.inject:
		default:
		}
		bursts := []burst{{0, answer[:n]}}
		if d != nil && n == answerSize {
			bursts = d(request, answer)
		}
		if !r.say(bursts) {
			return
		}
	}
}

func (r *relay) say(bursts []burst) bool {
	for _, b := range bursts {
		pause := time.NewTimer(b.pause)
		select {
		case <-pause.C:
		case <-r.over:
			pause.Stop()
			return false
		}
		if _, err := r.master.Master.Write(b.data); err != nil {
			return false
		}
	}
	return true
}

// realSlave rehearses with a slave of libmodbus behind a line that distorts.
func realSlave(t testing.TB, m misfortune, command []string) result {
	r := newRelay(t)
	start(t, command[0], append(command[1:], "rtu", r.slave.Port, "115200")...)
	o := Options{Bus: rtuBus(r.master.Port)}
	o.Devices = []Device{{Name: "d", Points: []Point{{Address: Address{Holding, 2}, Type: Uint32}}, Timeout: patience}}
	probe := newTestDriver(t, o)
	within(t, "the first answer of the slave", func() bool {
		readings, _ := poll(t, probe, 0)
		return values(readings) == "131075"
	})
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	begin, end := func() {
		for range max(m.count, 1) {
			r.inject <- m.wire
		}
	}, func() {}
	if m.count == lasts {
		begin, end = func() { r.lasting <- m.wire }, func() { r.lasting <- nil }
	}
	return rehearse(t, m, o, begin, end).judge(t)
}

package simtest_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
)

// hangs is how long a test waits for what must come before it calls it hung.
const hangs = 20 * time.Second

func unit(t *testing.T) map[byte]*sim.Unit {
	t.Helper()
	u := sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 1}}})
	if err := u.Set(sim.HoldingRegisters, 0, 0x1234); err != nil {
		t.Fatal(err)
	}
	return map[byte]*sim.Unit{1: u}
}

type deadliner interface {
	io.ReadWriteCloser
	SetDeadline(t time.Time) error
}

func ask(t *testing.T, port deadliner, request, want string) {
	t.Helper()
	if err := port.SetDeadline(time.Now().Add(hangs)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(port, request); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(port, got); err != nil || !bytes.Equal(got, []byte(want)) {
		t.Fatalf("answer = % X, %v; want % X", got, err, want)
	}
}

// expectGone waits for the end of a connection or port.
func expectGone(t *testing.T, port deadliner) {
	t.Helper()
	if _, err := port.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("read from an unplugged endpoint: %v", err)
	}
	if err := port.Close(); err != nil {
		t.Error(err)
	}
}

func TestTCP(t *testing.T) {
	e := simtest.TCP(t, unit(t), sim.ServerOptions{})
	for range 3 {
		conn, err := net.Dial("tcp", e.Address)
		if err != nil {
			t.Fatal(err)
		}
		ask(t, conn, "\x00\x01\x00\x00\x00\x06\x01\x03\x00\x00\x00\x01", "\x00\x01\x00\x00\x00\x05\x01\x03\x02\x12\x34")
		if got := e.Server.Stats().Requests; got != 1 {
			t.Errorf("%d requests, want 1", got)
		}
		e.Unplug()
		expectGone(t, conn)
		if _, err := net.Dial("tcp", e.Address); err == nil {
			t.Error("an unplugged endpoint accepts connections")
		}
		e.Plug()
	}
}

func TestRTU(t *testing.T) {
	e := simtest.RTU(t, unit(t), sim.SlaveOptions{Line: sim.Line{Baud: 115200}})
	for range 3 {
		port, err := os.OpenFile(e.Port, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		ask(t, port, "\x01\x03\x00\x00\x00\x01\x84\x0A", "\x01\x03\x02\x12\x34\xB5\x33")
		if got := e.Slave.Stats().Frames; got != 1 {
			t.Errorf("%d frames, want 1", got)
		}
		e.Unplug()
		expectGone(t, port)
		if _, err := os.Stat(e.Port); !os.IsNotExist(err) {
			t.Errorf("the port is still there: %v", err)
		}
		e.Plug()
	}
}

// TestSameUnitTwice serves one unit on both endpoints and stops one of them early.
func TestSameUnitTwice(t *testing.T) {
	units := unit(t)
	tcp, rtu := simtest.TCP(t, units, sim.ServerOptions{}), simtest.RTU(t, units, sim.SlaveOptions{})
	conn, err := net.Dial("tcp", tcp.Address)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, conn, "\x00\x01\x00\x00\x00\x06\x01\x06\x00\x00\x56\x78", "\x00\x01\x00\x00\x00\x06\x01\x06\x00\x00\x56\x78")
	tcp.Unplug()
	expectGone(t, conn)
	port, err := os.OpenFile(rtu.Port, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, port, "\x01\x03\x00\x00\x00\x01\x84\x0A", "\x01\x03\x02\x56\x78\x87\xC6")
	if err := port.Close(); err != nil {
		t.Error(err)
	}
	if got := units[1].Stats().Requests; got != 2 {
		t.Errorf("%d requests, want 2", got)
	}
}

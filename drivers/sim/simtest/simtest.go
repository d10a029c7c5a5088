// Package simtest starts simulated Modbus devices for the length of a test.
//
//	unit := sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 10}}})
//	tcp := simtest.TCP(t, map[byte]*sim.Unit{1: unit}, sim.ServerOptions{})
//	rtu := simtest.RTU(t, map[byte]*sim.Unit{1: unit}, sim.SlaveOptions{Line: sim.Line{Baud: 19200}})
//
// tcp.Address and rtu.Port are what a master is to open; both stay the same when the endpoint is unplugged and plugged in again.
package simtest

import (
	"context"
	"net"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/tidegate/tidegate/drivers/sim"
)

// TCPEndpoint is a Modbus TCP server that runs.
type TCPEndpoint struct {
	Address string      // host:port
	Server  *sim.Server // the one that runs, or ran last

	t     testing.TB
	units map[byte]*sim.Unit
	opts  sim.ServerOptions
	stop  func()
}

// TCP starts a Modbus TCP server on a free port of the loopback interface and stops it at the end of the test.
func TCP(t testing.TB, units map[byte]*sim.Unit, opts sim.ServerOptions) *TCPEndpoint {
	t.Helper()
	e := &TCPEndpoint{Address: "127.0.0.1:0", t: t, units: units, opts: opts}
	e.Plug()
	t.Cleanup(func() { e.stop() })
	return e
}

// Plug starts the endpoint again on the same address after Unplug.
func (e *TCPEndpoint) Plug() {
	e.t.Helper()
	listener, err := net.Listen("tcp", e.Address)
	if err != nil {
		e.t.Fatalf("start simulated TCP device: %v", err)
	}
	e.Address = listener.Addr().String()
	e.Server = sim.NewServer(listener, e.units, e.opts)
	e.stop = run(e.t, e.Server.Run)
}

// Unplug closes the listener and all connections.
func (e *TCPEndpoint) Unplug() { e.stop() }

// RTUEndpoint is a line with RTU slaves that runs.
type RTUEndpoint struct {
	Port  string     // the name that a master opens: a link in the test's own folder
	Slave *sim.Slave // the one that runs, or ran last

	t     testing.TB
	units map[byte]*sim.Unit
	opts  sim.SlaveOptions
	stop  func()
}

// RTU starts RTU slaves on a pseudo terminal and stops them at the end of the test. It skips the test on systems other than Linux.
func RTU(t testing.TB, units map[byte]*sim.Unit, opts sim.SlaveOptions) *RTUEndpoint {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("simulated serial lines need Linux")
	}
	e := &RTUEndpoint{Port: filepath.Join(t.TempDir(), "tty"), t: t, units: units, opts: opts}
	e.Plug()
	t.Cleanup(func() { e.stop() })
	return e
}

// Plug makes a new pseudo terminal under the same name after Unplug.
func (e *RTUEndpoint) Plug() {
	e.t.Helper()
	pty, err := sim.OpenPTY(e.Port)
	if err != nil {
		e.t.Fatalf("start simulated serial line: %v", err)
	}
	e.Slave = sim.NewSlave(pty, e.units, e.opts)
	stop := run(e.t, e.Slave.Run)
	e.stop = func() {
		stop()
		if err := pty.Close(); err != nil {
			e.t.Errorf("close simulated serial line: %v", err)
		}
	}
}

// Unplug takes the port away as an unplugged adapter does: its name is gone, and a master that has it open gets EIO.
func (e *RTUEndpoint) Unplug() { e.stop() }

// run calls f in a goroutine of its own. The function that it returns ends f, waits for that and reports f's error; it may be called twice.
func run(t testing.TB, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- f(ctx)
		close(done)
	}()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("simulated devices: %v", err)
		}
	}
}

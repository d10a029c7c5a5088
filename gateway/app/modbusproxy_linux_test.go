package app_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/bus/bustest"
	"github.com/tidegate/tidegate/drivers/bus/trace"
	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
	"github.com/tidegate/tidegate/gateway/app"
)

// sharedLine is a serial line whose unit 1 the gateway polls, and a server that lets other masters on it.
const sharedLine = `
[[bus]]
name = "line"
transport = "rtu"
port = "PORT"
baud = 115200
timeout = "300ms"

[[device]]
name = "boiler"
bus = "line"
unit_id = 1
interval = "50ms"

[[device.point]]
name = "setpoint"
address = "holding:0"
type = "uint16"

[[modbus_server]]
name = "line"
listen = "127.0.0.1:0"
proxy = "line"
max_connections = 64
max_per_address = 64
`

// proxySite is a gateway with that configuration.
type proxySite struct {
	*plcSite
	trace string
	stop  func()
}

func startProxy(t *testing.T, port string) *proxySite {
	t.Helper()
	s := &proxySite{plcSite: &plcSite{T: t}, trace: filepath.Join(t.TempDir(), "trace.jsonl")}
	var err error
	s.app, err = app.New(t.Context(), app.Options{
		Config: load(t, t.TempDir(), minimal+strings.ReplaceAll(sharedLine, "PORT", port)),
		Logger: slog.New(slog.DiscardHandler), Version: "test", TraceFile: s.trace,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.stop = run(t, s.app)
	s.subscribe()
	return s
}

// slaves are units 1, 2 and so on, with a cell for most that there is.
func slaves(n int) map[byte]*sim.Unit {
	units := map[byte]*sim.Unit{}
	for id := range byte(n) {
		cells := []sim.Range{{First: 0, Count: 125}}
		units[id+1] = sim.NewUnit(sim.Layout{Coils: cells, DiscreteInputs: cells, InputRegisters: cells, HoldingRegisters: cells})
	}
	return units
}

// send writes a request, and receive reads the answer to it; both are of hexadecimal.
func (s *proxySite) send(c net.Conn, transaction uint16, unit byte, request string) {
	s.Helper()
	pdu, err := hex.DecodeString(strings.ReplaceAll(request, " ", ""))
	if err != nil {
		s.Fatal(err)
	}
	frame := binary.BigEndian.AppendUint16(nil, transaction)
	frame = binary.BigEndian.AppendUint16(append(frame, 0, 0), uint16(1+len(pdu)))
	if _, err := c.Write(append(append(frame, unit), pdu...)); err != nil {
		s.Fatal(err)
	}
}

func (s *proxySite) receive(c net.Conn) (transaction uint16, answer string) {
	s.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		s.Fatal(err)
	}
	head := make([]byte, 7)
	if _, err := io.ReadFull(c, head); err != nil {
		s.Fatal(err)
	}
	pdu := make([]byte, binary.BigEndian.Uint16(head[4:])-1)
	if _, err := io.ReadFull(c, pdu); err != nil {
		s.Fatal(err)
	}
	return binary.BigEndian.Uint16(head), fmt.Sprintf("% x", pdu)
}

// ask asks on a connection of its own.
func (s *proxySite) ask(unit byte, request string) string {
	s.Helper()
	c := s.dial()
	defer c.Close()
	s.send(c, 7, unit, request)
	_, answer := s.receive(c)
	return answer
}

func (s *proxySite) expect(unit byte, request, want string) {
	s.Helper()
	if got := s.ask(unit, request); got != want {
		s.Errorf("unit %d, %s: got %s, want %s", unit, request, got, want)
	}
}

func TestModbusProxy(t *testing.T) {
	units := slaves(2)
	line := simtest.RTU(t, units, sim.SlaveOptions{})
	s := startProxy(t, line.Port)
	s.shown("setpoint", "0")

	s.expect(1, "03 0000 007d", "03 fa"+strings.Repeat(" 00", 250)) // of the unit that is polled
	s.expect(2, "10 0003 0002 04 0102 0304", "10 00 03 00 02")
	s.expect(2, "03 0003 0002", "03 04 01 02 03 04")
	s.expect(2, "16 0003 fff0 0005", "16 00 03 ff f0 00 05")
	s.expect(2, "17 0003 0001 0005 0001 02 0009", "17 02 01 05")
	s.expect(2, "0f 0000 000a 02 ff 03", "0f 00 00 00 0a")
	s.expect(2, "01 0000 000a", "01 02 ff 03")
	s.expect(2, "03 007d 0001", "83 02") // the device's own exceptions
	s.expect(2, "07", "87 01")
	s.expect(2, "41 01 02", "c1 01")
	s.expect(2, "03 0000 0000", "83 03") // nothing that a device should see

	s.expect(1, "06 0000 002a", "06 00 00 00 2a")
	s.shown("setpoint", "42")

	units[2].Inject(sim.NoAnswer(), 1)
	s.expect(2, "03 0000 0001", "83 0b")
	s.expect(2, "03 0003 0001", "03 02 01 05")
	units[2].Inject(sim.BadCRC(), 1)
	s.expect(2, "03 0000 0001", "83 0b")
	units[2].Inject(sim.ExceptionAnswer(6), 1)
	s.expect(2, "03 0000 0001", "83 06")
	s.expect(99, "03 0000 0001", "83 0b")

	s.broadcast()
	s.shown("setpoint", "77")
	s.expect(2, "03 0000 0001", "03 02 00 4d")

	line.Unplug()
	s.eventually("that the port is gone", func() bool { return s.ask(2, "03 0000 0001") == "83 0a" })
	line.Plug()
	s.eventually("that the port is back", func() bool { return s.ask(2, "03 0000 0001") == "03 02 00 4d" })
	s.counted()
	s.traced()
}

// broadcast writes to all units. Nobody answers, and the connection goes on.
func (s *proxySite) broadcast() {
	s.Helper()
	c := s.dial()
	defer c.Close()
	s.send(c, 1, 0, "06 0000 004d")
	s.send(c, 2, 1, "03 0000 0001")
	if transaction, answer := s.receive(c); transaction != 2 || answer != "03 02 00 4d" {
		s.Errorf("after a broadcast: transaction %d, %s", transaction, answer)
	}
}

// counted looks for the passed requests in the metrics.
func (s *proxySite) counted() {
	s.Helper()
	r, err := http.Get("http://" + s.app.HTTPAddr().String() + "/metrics")
	if err != nil {
		s.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		s.Fatal(err)
	}
	passed := 0.0
	for l := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(l, `tidegate_bus_passed_total{bus="line"} `); found {
			if _, err := fmt.Sscan(value, &passed); err != nil {
				s.Fatal(err)
			}
		}
	}
	if passed < 20 {
		s.Errorf("%v requests of other masters were counted, want 20 at least", passed)
	}
}

// traced looks for a passed conversation and for a poll in the trace.
func (s *proxySite) traced() {
	s.Helper()
	s.stop()
	seen := map[string]trace.Outcome{}
	for _, x := range bustest.ReadTrace(s.T, s.trace) {
		seen[hex.EncodeToString(x.Sent)] = x.Outcome
	}
	for _, sent := range []string{"010300000001840a", "02410102d1d9"} {
		if seen[sent] != trace.Answer {
			s.Errorf("the trace has %q for %s; it has %v", seen[sent], sent, seen)
		}
	}
}

// Four connections ask as fast as they can, one of them a unit that is not there; the gateway polls on, and nobody is refused.
func TestGreedyMastersOnTheLine(t *testing.T) {
	units := slaves(4)
	line := simtest.RTU(t, units, sim.SlaveOptions{Line: sim.Line{Baud: 115200}})
	s := startProxy(t, line.Port)
	s.shown("setpoint", "0")
	var masters sync.WaitGroup
	for unit := byte(1); unit <= 4; unit++ {
		masters.Go(func() {
			c := s.dial()
			defer c.Close()
			unit, want := unit, "03 14"+strings.Repeat(" 00", 20)
			if unit == 4 {
				unit, want = 99, "83 0b"
			}
			for i := range uint16(60) {
				s.send(c, i, unit, "03 0000 000a")
				if transaction, answer := s.receive(c); transaction != i || answer != want {
					t.Errorf("unit %d: transaction %d, %s", unit, transaction, answer)
					return
				}
			}
		})
	}
	masters.Wait()
	s.stop()
	asked := 0
	for _, x := range bustest.ReadTrace(t, s.trace) {
		if len(x.Sent) > 0 && x.Sent[0] == 99 {
			asked++
		}
	}
	if asked < 1 || asked > 3 {
		t.Errorf("the unit that is not there was asked %d times in 60", asked)
	}
}

// Masters that nobody here wrote read and write over the server at the same time. Each says the same as when it has the simulator for itself.
func TestMastersShareTheLine(t *testing.T) {
	const python = "/usr/bin/python3"
	mbpoll := need(t, "mbpoll", "mbpoll")
	if _, err := output(t, python, "-c", "import pymodbus.client, serial"); err != nil {
		missing(t, python+" has no module pymodbus (Debian packages python3-pymodbus, python3-serial)")
	}
	master := filepath.Join("..", "..", "drivers", "sim", "testdata", "master.py")
	alone := simtest.TCP(t, slaves(1), sim.ServerOptions{})
	host, port, _ := net.SplitHostPort(alone.Address)
	want, err := output(t, python, master, "tcp", host, port, "1")
	if err != nil || strings.Count(want, "\n") < 15 {
		t.Fatalf("%v\n%s", err, want)
	}
	line := simtest.RTU(t, slaves(4), sim.SlaveOptions{Line: sim.Line{Baud: 115200}})
	s := startProxy(t, line.Port)
	s.shown("setpoint", "0")
	host, port = s.hostPort()
	var masters sync.WaitGroup
	for _, unit := range []string{"2", "3", "4"} {
		masters.Go(func() {
			if got, err := output(t, python, master, "tcp", host, port, unit); err != nil || got != want {
				t.Errorf("unit %s: %v, got:\n%swant:\n%s", unit, err, got, want)
			}
		})
	}
	for range 5 {
		out, err := output(t, mbpoll, "-m", "tcp", "-p", port, "-a", "1", "-0", "-1", "-t", "4", "-r", "0", "-c", "125", host)
		if err != nil || !strings.Contains(out, "[124]: \t0") {
			t.Errorf("mbpoll: %v\n%s", err, out)
		}
	}
	if out, err := output(t, mbpoll, "-m", "tcp", "-p", port, "-a", "1", "-0", "-1", "-t", "4", "-r", "0", host, "4711"); err != nil {
		t.Errorf("mbpoll: %v\n%s", err, out)
	}
	s.shown("setpoint", "4711")
	masters.Wait()
}

// Both ends are programs that nobody here wrote: a master over TCP and a slave on a line, while the gateway polls the same unit.
func TestMastersAndSlavesOfOthers(t *testing.T) {
	const python = "/usr/bin/python3"
	socat := need(t, "socat", "socat")
	if _, err := output(t, python, "-c", "import pymodbus.client, pymodbus.server, serial"); err != nil {
		missing(t, python+" has no module pymodbus (Debian packages python3-pymodbus, python3-serial, python3-serial-asyncio)")
	}
	peers := filepath.Join("..", "..", "drivers", "modbus", "testdata", "peers")
	for name, command := range map[string]func(t *testing.T) []string{
		"Pymodbus":  func(*testing.T) []string { return []string{python, filepath.Join(peers, "pymodbus_server.py")} },
		"Libmodbus": func(t *testing.T) []string { return []string{libmodbusSlave(t, peers)} },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			ours, theirs := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
			background(t, socat, "pty,raw,echo=0,link="+ours, "pty,raw,echo=0,link="+theirs)
			cmd := command(t)
			s := startProxy(t, ours)
			s.eventually("the line", func() bool {
				_, err := os.Stat(theirs)
				return !errors.Is(err, os.ErrNotExist)
			})
			background(t, cmd[0], append(cmd[1:], "rtu", theirs, "115200")...)
			s.shown("setpoint", "0")
			host, port := s.hostPort()
			out, err := output(t, python, filepath.Join("..", "..", "drivers", "sim", "testdata", "master.py"), "tcp", host, port, "1")
			for _, want := range []string{"write coil done", "mask done", "read and write 0002 0007 BEEF", "hole BEEF 0005 0001"} {
				if !strings.Contains(out, want) || err != nil {
					t.Errorf("%v: no %q in\n%s", err, want, out)
				}
			}
			s.expect(1, "03 0063 0002", "83 02")
			s.shown("setpoint", "51966") // 0xCAFE, which the master has written
		})
	}
}

// libmodbusSlave compiles a slave made of libmodbus.
func libmodbusSlave(t *testing.T, peers string) string {
	t.Helper()
	gcc, bin := need(t, "gcc", "gcc"), filepath.Join(t.TempDir(), "slave")
	if out, err := output(t, gcc, "-O1", "-o", bin, "-I/usr/include/modbus", filepath.Join(peers, "libmodbus_slave.c"), "-lmodbus"); err != nil {
		missing(t, "no program can be made with libmodbus (Debian package libmodbus-dev): "+err.Error()+"\n"+out)
	}
	return bin
}

// background runs a program until the end of the test.
func background(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

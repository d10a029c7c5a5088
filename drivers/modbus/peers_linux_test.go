package modbus

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/bus/bustest"
	"github.com/tidegate/tidegate/gateway"
)

// debianPython is the interpreter that Debian's python3-pymodbus is installed for; another may be first in the path.
const debianPython = "/usr/bin/python3"

// needPeer skips the test, or fails it where peers are required, unless a program that nobody here wrote is installed.
func needPeer(t testing.TB, name string, probe ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	out, err := exec.CommandContext(ctx, probe[0], probe[1:]...).CombinedOutput()
	if err == nil {
		return
	}
	if os.Getenv("TIDEGATE_REQUIRE_PEERS") == "1" {
		t.Fatalf("%s does not run: %v\n%s", name, err, out)
	}
	t.Skipf("%s does not run: %v", name, err)
}

// start runs a peer until the end of the test.
func start(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s %s said:\n%s", name, strings.Join(args, " "), log.String())
		}
	})
}

// freePort returns a TCP port for a peer that cannot choose one itself. It is none of those that the system gives to whoever asks for any, which
// another test may do before the peer listens.
func freePort(t testing.TB) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(20000 + rand.IntN(10000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no free port was found")
	return ""
}

// ptyPair makes two serial ports that are connected to each other.
func ptyPair(t testing.TB) (ours, theirs string) {
	t.Helper()
	needPeer(t, "socat (Debian: socat)", "socat", "-V")
	dir := t.TempDir()
	ours, theirs = filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
	start(t, "socat", "pty,raw,echo=0,link="+ours, "pty,raw,echo=0,link="+theirs)
	within(t, "the pair of ports", func() bool {
		_, err1 := os.Stat(ours)
		_, err2 := os.Stat(theirs)
		return err1 == nil && err2 == nil
	})
	return ours, theirs
}

// pymodbus returns the command of a device made of pymodbus.
func pymodbus(t testing.TB) []string {
	t.Helper()
	needPeer(t, "pymodbus (Debian: python3-pymodbus, python3-serial, python3-serial-asyncio)", debianPython, "-c", "import pymodbus.server, serial")
	return []string{debianPython, filepath.Join("testdata", "peers", "pymodbus_server.py")}
}

// libmodbus compiles a device made of libmodbus and returns its command.
func libmodbus(t testing.TB) []string {
	t.Helper()
	needPeer(t, "gcc (Debian: gcc, libc6-dev)", "gcc", "--version")
	bin := filepath.Join(t.TempDir(), "slave")
	needPeer(t, "libmodbus (Debian: libmodbus-dev)", "gcc", "-O1", "-Wall", "-o", bin, "-I/usr/include/modbus",
		filepath.Join("testdata", "peers", "libmodbus_slave.c"), "-lmodbus")
	return []string{bin}
}

// Real devices: programs that nobody here wrote, over TCP and over a pair of ptys.
func TestPeers(t *testing.T) {
	for name, command := range map[string]func(testing.TB) []string{"Pymodbus": pymodbus, "Libmodbus": libmodbus} {
		t.Run(name+"TCP", func(t *testing.T) {
			t.Parallel()
			cmd, port := command(t), freePort(t)
			start(t, cmd[0], append(cmd[1:], "tcp", "127.0.0.1", port)...)
			peerTest(t, Options{Bus: tcpBus("127.0.0.1:" + port)})
		})
		t.Run(name+"RTU", func(t *testing.T) {
			t.Parallel()
			cmd := command(t)
			ours, theirs := ptyPair(t)
			start(t, cmd[0], append(cmd[1:], "rtu", theirs, "115200")...)
			o := Options{Bus: rtuBus(ours)}
			peerTest(t, o)
			steady(t, func(t testing.TB) { absentUnit(t, o) })
		})
	}
}

// recorded starts a device with this command, which listens on TCP, and returns the address of a recorder before it.
func recorded(t *testing.T, command []string) (endpoint string, said func() []bustest.IO) {
	t.Helper()
	port := freePort(t)
	start(t, command[0], append(command[1:], "tcp", "127.0.0.1", port)...)
	within(t, "the peer", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return bustest.RecordTCP(t, "127.0.0.1:"+port)
}

var record = flag.Bool("record", false, "write the conversation with pymodbus to testdata/pymodbus.wire")

// A conversation with pymodbus that was written down is played back, so that it is part of every run. With -record it is written anew.
func TestRecordedConversation(t *testing.T) {
	file := filepath.Join("testdata", "pymodbus.wire")
	if *record {
		endpoint, ops := recorded(t, pymodbus(t))
		peerTest(t, Options{Bus: tcpBus(endpoint)})
		writeWire(t, file, ops())
	}
	peerTest(t, Options{Bus: tcpBus(bustest.PlayTCP(t, readWire(t, file)))})
}

// writeWire keeps a conversation as lines of ">" for a request and "<" for its answer.
func writeWire(t *testing.T, file string, ops []bustest.IO) {
	t.Helper()
	var b strings.Builder
	b.WriteString("# The conversation of peerTest with pymodbus, written by: go test -run RecordedConversation -record\n")
	for _, op := range ops {
		fmt.Fprintf(&b, "> %s\n< %s\n", op.W, op.R)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readWire(t *testing.T, file string) (ops []bustest.IO) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		switch {
		case line[0] == '>':
			ops = append(ops, bustest.IO{W: line[1:]})
		case line[0] == '<' && len(ops) > 0:
			ops[len(ops)-1].R = line[1:]
		}
	}
	return ops
}

// peerPoints have the values of testdata/peers.
func peerPoints() []Point {
	points := []Point{
		{Point: gateway.Point{Name: "coil"}, Address: Address{Coil, 3}, Type: Bool},
		{Point: gateway.Point{Name: "coil_off"}, Address: Address{Coil, 20}, Type: Bool},
		{Point: gateway.Point{Name: "discrete"}, Address: Address{Discrete, 17}, Type: Bool},
		{Point: gateway.Point{Name: "discrete_off"}, Address: Address{Discrete, 90}, Type: Bool},
		{Point: gateway.Point{Name: "input"}, Address: Address{Input, 99}, Type: Uint16, Scale: 0.01},
		{Point: gateway.Point{Name: "long"}, Address: Address{Holding, 2}, Type: Uint32},
		{Point: gateway.Point{Name: "float"}, Address: Address{Holding, 10}, Type: Float32, Order: CDAB},
		{Point: gateway.Point{Name: "temperature"}, Address: Address{Holding, 12}, Type: Int16, Scale: 0.1},
		{Point: gateway.Point{Name: "last"}, Address: Address{Holding, 99}, Type: Uint16},
		{Point: gateway.Point{Name: "beyond"}, Address: Address{Holding, 100}, Type: Uint16},
	}
	for i := range points {
		points[i].Writable = points[i].Address.Table.writable()
	}
	return points
}

func peerTest(t *testing.T, o Options) {
	o.MaxGap = gap(100)
	o.Devices = []Device{{Name: "peer", Interval: time.Second, Points: peerPoints(), Timeout: time.Second}}
	d := newTestDriver(t, o)
	within(t, "the first answer of the peer", func() bool {
		readings, _ := poll(t, d, 0)
		return readings[0].Quality == gateway.QualityGood
	})
	d.devices[0].timeout = hangs // it is there, and answers what is asked once
	wantValues(t, d, 0, "true false true false 9.9 131075 1.010204e-39 1.2 99 <exception 2>")
	for _, tc := range []struct {
		point int
		value gateway.Value
	}{
		{0, gateway.Bool(false)},
		{1, gateway.Bool(true)},
		{5, gateway.Uint(4000000000)},
		{6, gateway.Float32(230.1)},
		{7, gateway.Float64(-12.3)},
		{8, gateway.Uint(65535)},
	} {
		r, err := d.Write(t.Context(), 0, tc.point, tc.value)
		if err != nil || r.Value != tc.value {
			t.Errorf("write %v to point %d: read %v back, %v", tc.value, tc.point, r.Value, err)
		}
	}
	if _, err := d.Write(t.Context(), 0, 9, gateway.Uint(1)); err == nil || !strings.Contains(err.Error(), "exception 2") {
		t.Errorf("write beyond the end: error %v, want exception 2", err)
	}
	wantValues(t, d, 0, "false true true false 9.9 4000000000 230.1 -12.3 65535 <exception 2>")
	if s := d.Stats(); s.Errors != 0 || s.Panics != 0 {
		t.Errorf("Stats() = %+v, want no errors", s)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// absentUnit asks in turn a unit that is not there and one that is. The timeout is longer than the half second that libmodbus waits for
// the answer of the other unit, and for which it takes our next request.
func absentUnit(t testing.TB, o Options) {
	o.Devices = []Device{
		{Name: "absent", Unit: 77, Points: holding(0), Timeout: 700 * time.Millisecond},
		{Name: "peer", Points: []Point{{Address: Address{Input, 7}, Type: Uint16}}, Timeout: time.Second},
	}
	d := newTestDriver(t, o)
	for range 2 {
		readings, errs := poll(t, d, 0)
		if values(readings) != "<timeout>" || len(errs) != 1 || !errors.Is(errs[0], ErrNoAnswer) {
			t.Fatalf("readings %s, errors %v, want no answer", values(readings), errs)
		}
		wantValues(t, d, 1, "70")
	}
}

package sim

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// debianPython is the interpreter that Debian's python3-pymodbus is installed for; another may be first in the path.
const debianPython = "/usr/bin/python3"

// needPeer skips the test, or fails it where peers are required, unless a program of somebody else's is there.
func needPeer(t *testing.T, name string, probe ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), probe[0], probe[1:]...).CombinedOutput()
	if err == nil {
		return
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	why := name + " does not run: " + err.Error() + " " + lines[len(lines)-1]
	if os.Getenv("TIDEGATE_REQUIRE_PEERS") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func needPymodbus(t *testing.T) {
	t.Helper()
	needPeer(t, "pymodbus (Debian: python3-pymodbus, python3-serial, python3-serial-asyncio)", debianPython, "-c", "import pymodbus.client, serial")
}

func needMbpoll(t *testing.T) {
	t.Helper()
	needPeer(t, "mbpoll (Debian: mbpoll)", "mbpoll", "-V")
}

// peerUnit has the cells of testBank.
func peerUnit(t *testing.T) *Unit {
	t.Helper()
	u := NewUnit(Layout{})
	u.bank = testBank(t)
	return u
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*hangs)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// pymodbusTranscript is what testdata/master.py prints when everything is right. pymodbus fills bits up to whole bytes.
const pymodbusTranscript = `coils 1011001110000000
discrete 0011010101000000
holding 022B 0000 0064 1234 FFFF
input 000A 0102 0304
write coil done
write register done
write coils done
write registers done
mask done
read and write 0064 0035 BEEF
coils 1100101110000000
holding CAFE 0000 0064 0035 BEEF
holding behind the hole 0001 0002 0003 0000
hole exception 2
value refused exception 3
`

func TestPymodbusReadsTCP(t *testing.T) {
	needPymodbus(t)
	u := peerUnit(t)
	s := serveUnit(t, u, ServerOptions{})
	host, port, err := net.SplitHostPort(s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if got := command(t, debianPython, "testdata/master.py", "tcp", host, port, "7"); got != pymodbusTranscript {
		t.Errorf("pymodbus read\n%s\nwant\n%s", got, pymodbusTranscript)
	}
	if got := u.Stats(); got.Requests != 15 || got.Exceptions != 2 {
		t.Errorf("stats = %+v", got)
	}
}

func TestPymodbusReadsPTY(t *testing.T) {
	needPymodbus(t)
	for _, line := range []Line{{Baud: 19200}, {Baud: 115200}} {
		t.Run(line.String(), func(t *testing.T) {
			pty, s := unitsOnPTY(t, map[byte]*Unit{7: peerUnit(t)}, SlaveOptions{Line: line})
			got := command(t, debianPython, "testdata/master.py", "rtu", pty.Port(), strconv.Itoa(line.Baud), "7")
			if got != pymodbusTranscript {
				t.Errorf("pymodbus read\n%s\nwant\n%s", got, pymodbusTranscript)
			}
			if got := s.Stats(); got.Frames != 15 || got.BadFrames != 0 {
				t.Errorf("stats = %+v", got)
			}
		})
	}
}

// values returns what mbpoll printed for each reference: "[0]: 1234" on a line of its own.
func values(out string) (values []string) {
	for line := range strings.Lines(out) {
		if reference, value, found := strings.Cut(line, "]:"); found && strings.HasPrefix(reference, "[") {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

func TestMbpollReadsTCP(t *testing.T) {
	needMbpoll(t)
	s, u := serve(t, ServerOptions{})
	_, port, err := net.SplitHostPort(s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	mbpoll := func(args ...string) []string {
		return values(command(t, "mbpoll", append([]string{"-m", "tcp", "-p", port, "-a", "7", "-0", "-1", "127.0.0.1"}, args...)...))
	}
	if got := strings.Join(mbpoll("-t", "4:hex", "-r", "0", "-c", "4"), " "); got != "0x0102 0x0304 0x0506 0x0708" {
		t.Errorf("holding registers: %s", got)
	}
	mbpoll("-t", "4", "-r", "2", "4711")
	if got := get(t, u, HoldingRegisters, 2); got != 4711 {
		t.Errorf("after a write: %d", got)
	}
}

func TestMbpollReadsPTY(t *testing.T) {
	needMbpoll(t)
	var passed atomic.Int64 // of the demo's time
	_, rtu := Demo(func() time.Time { return fuzzStart.Add(time.Duration(passed.Load())) })
	pty, _ := unitsOnPTY(t, rtu, SlaveOptions{Line: Line{Baud: 115200, Parity: EvenParity}})
	mbpoll := func(unit string, args ...string) []string {
		return values(command(t, "mbpoll", append([]string{"-m", "rtu", "-b", "115200", "-P", "even", "-a", unit, "-0", "-1", pty.Port()}, args...)...))
	}
	// Without -B mbpoll takes the low word first, as the demo's meter on the line has it; L1 begins at its mean.
	if got := mbpoll("2", "-t", "3:float", "-r", "0", "-c", "1"); len(got) != 1 || got[0] != "230" {
		t.Errorf("voltage_l1 = %v, want 230", got)
	}
	mbpoll("1", "-t", "4", "-r", "0", "64936") // -600 rpm
	passed.Add(int64(time.Minute))
	if got := mbpoll("1", "-t", "3:hex", "-r", "1", "-c", "1"); len(got) != 1 || got[0] != "0xFDA8" {
		t.Errorf("speed = %v, want 0xFDA8 (-600)", got)
	}
}

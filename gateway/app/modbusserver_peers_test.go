package app_test

import (
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/drivers/sim"
)

// written is what the device has when a master has gone through all that it does.
func (s *plcSite) written() {
	s.Helper()
	if got := s.get(sim.HoldingRegisters, 0, 3) + s.get(sim.Coils, 0, 1); got != "[0000 41f0 0001][0001]" {
		s.Errorf("the device has %s", got)
	}
	s.shown("setpoint", "30")
}

func (s *plcSite) hostPort() (host, port string) {
	s.Helper()
	host, port, err := net.SplitHostPort(s.addr())
	if err != nil {
		s.Fatal(err)
	}
	return host, port
}

func TestModbusServerWithPymodbus(t *testing.T) {
	const python = "/usr/bin/python3" // Debian's modules are installed for this one
	if err := exec.Command(python, "-c", "import pymodbus.client").Run(); err != nil {
		missing(t, python+" has no module pymodbus (Debian package python3-pymodbus)")
	}
	s := startPLC(t)
	host, port := s.hostPort()
	out, err := output(t, python, "testdata/modbus_master.py", host, port)
	const want = `power 0900
setpoint 21.5
write setpoint done
scaled 1851 0007
half a value exception 2
above max exception 3
write mode done
mask done
pump 0
write coil done
write coils done
write and read 0001 0201
hole exception 2
identity Tidegate tidegate 1.2.3 plc
`
	if err != nil || out != want {
		t.Errorf("%v, got:\n%swant:\n%s", err, out, want)
	}
	s.written()
}

func TestModbusServerWithLibmodbus(t *testing.T) {
	need(t, "gcc", "gcc")
	bin := filepath.Join(t.TempDir(), "master")
	if out, err := exec.Command("gcc", "-O1", "-Wall", "-o", bin, "-I/usr/include/modbus", "testdata/modbus_master.c", "-lmodbus").CombinedOutput(); err != nil {
		missing(t, "no program can be made with libmodbus (Debian package libmodbus-dev): "+err.Error()+"\n"+string(out))
	}
	s := startPLC(t)
	host, port := s.hostPort()
	out, err := output(t, bin, host, port)
	const want = `power 0900
setpoint 21.5
write setpoint done
scaled 1851 0007
half a value Illegal data address
above max Illegal data value
write mode done
mask done
pump 0
write coil done
write coils done
write and read 0001 0201
hole Illegal data address
`
	if err != nil || out != want {
		t.Errorf("%v, got:\n%swant:\n%s", err, out, want)
	}
	s.written()
}

func TestModbusServerWithMbpoll(t *testing.T) {
	mbpoll := need(t, "mbpoll", "mbpoll")
	s := startPLC(t)
	host, port := s.hostPort()
	poll := func(args ...string) string {
		t.Helper()
		out, err := output(t, mbpoll, append([]string{"-m", "tcp", "-p", port, "-a", "1", "-0", "-1", "-o", "10"}, args...)...)
		if err != nil {
			t.Errorf("mbpoll %v: %v\n%s", args, err, out)
		}
		return out
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-t", "3", "-r", "0", host}, "[0]: \t2304"},
		{[]string{"-t", "4:float", "-r", "0", host}, "[0]: \t21.5"}, // the low word first, as mbpoll has it without -B
		{[]string{"-t", "4:float", "-B", "-r", "20", host}, "[20]: \t230.4"},
		{[]string{"-t", "4", "-r", "10", "-c", "2", host}, "[11]: \t7"},
		{[]string{"-t", "0", "-r", "7", host}, "[7]: \t1"},
		{[]string{"-t", "4:float", "-r", "0", host, "62.25"}, "Written 1 references."},
		{[]string{"-t", "4", "-r", "10", host}, "[10]: \t6225"},
		{[]string{"-t", "4", "-r", "10", host, "3000", "1"}, "Written 2 references."},
	} {
		if out := poll(c.args...); !strings.Contains(out, c.want) {
			t.Errorf("mbpoll %v: want %q in\n%s", c.args, c.want, out)
		}
	}
	s.written()
	if out, err := output(t, mbpoll, "-m", "tcp", "-p", port, "-0", "-1", "-t", "4", "-r", "10", host, "9001"); err == nil || !strings.Contains(out, "Illegal data value") {
		t.Errorf("above max: %v\n%s", err, out)
	}
}

package modbus

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/drivers/bus/bustest"
	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
)

// slaveCells is how many registers the real slaves of a line have: as many as one request reads at most.
const slaveCells = 125

// realSlaves are programs that nobody here wrote, behind a simulated line that keeps the pace for them. Each has a port of its own without
// pace and hears all that is said on the line, as if all shared it.
type realSlaves struct {
	t     testing.TB
	ports []*os.File   // of the units from 1 on
	took  atomic.Int64 // nanoseconds from the newest request to its answer
}

// startSlaves starts slaves with this command and waits until they listen.
func startSlaves(t testing.TB, command []string, baud, count int) *realSlaves {
	t.Helper()
	s := &realSlaves{t: t}
	for unit := 1; unit <= count; unit++ {
		port := bustest.NewPTY(t)
		t.Cleanup(port.Hold())
		makeRaw(t, port.Master)
		start(t, command[0], append(command[1:], "rtu", port.Port, strconv.Itoa(baud), strconv.Itoa(unit), strconv.Itoa(slaveCells))...)
		within(t, "the slave's opening of its port", func() bool { return speedOf(t, port.Master) == native(t, baud) })
		s.ports = append(s.ports, port.Master)
	}
	return s
}

// speedOf returns the rate that a terminal is set to, which is the last thing that a slave does to it before it listens.
func speedOf(t testing.TB, terminal *os.File) (speed uint32) {
	t.Helper()
	onTerminal(t, terminal, func(_ int, mode *unix.Termios) error {
		speed = mode.Cflag & unix.CBAUD
		return nil
	})
	return speed
}

// native returns a rate in the kernel's terms. None of them is the one that a pseudo terminal begins with.
func native(t testing.TB, baud int) uint32 {
	t.Helper()
	speed, ok := map[int]uint32{9600: unix.B9600, 19200: unix.B19200, 115200: unix.B115200}[baud]
	if !ok {
		t.Fatalf("no slaves for %d baud", baud)
	}
	return speed
}

// ask is what the line calls with each request. The slaves see it at once, and the line sees the answer as soon as they have written it.
func (s *realSlaves) ask(frame []byte) []byte {
	begin := time.Now()
	asked := s.ports[frame[0]-1]
	s.tell(frame, asked)
	s.tellOthers(frame, asked)
	answer, err := readAnswer(asked)
	s.took.Store(int64(time.Since(begin)))
	if err != nil {
		s.t.Errorf("answer of real slave %d: %v", frame[0], err)
	}
	s.tellOthers(answer, asked)
	return answer
}

// thought returns how long the answer took that came last; 0 of slaves that are not real.
func (s *realSlaves) thought() time.Duration {
	if s == nil {
		return 0
	}
	return time.Duration(s.took.Load())
}

func (s *realSlaves) tell(frame []byte, port *os.File) {
	if _, err := port.Write(frame); err != nil {
		s.t.Errorf("write to real slave: %v", err)
	}
}

func (s *realSlaves) tellOthers(frame []byte, but *os.File) {
	for _, port := range s.ports {
		if port != but {
			s.tell(frame, port)
		}
	}
}

// readAnswer reads the answer to a read of registers.
func readAnswer(port *os.File) ([]byte, error) {
	if err := port.SetReadDeadline(time.Now().Add(hangs)); err != nil {
		return nil, err
	}
	buf := make([]byte, 256)
	n, err := io.ReadAtLeast(port, buf, 5)
	if err != nil {
		return nil, err
	}
	length := 5 // an exception
	if buf[1]&exceptionBit == 0 {
		length = 5 + int(buf[2])
	}
	m, err := io.ReadAtLeast(port, buf[n:], length-n)
	return buf[:n+m], err
}

// Real slaves on a line that keeps its pace are read without a fault, in turn, and are given their silences.
func TestRealSlavesOnAPacedLine(t *testing.T) {
	command := libmodbus(t)
	for _, baud := range []int{9600, 19200, 115200} {
		t.Run(strconv.Itoa(baud), func(t *testing.T) {
			t.Parallel()
			slaves := startSlaves(t, command, baud, 3)
			line := simtest.RTU(t, nil, sim.SlaveOptions{Line: sim.Line{Baud: baud}, Ask: slaves.ask})
			o := Options{Bus: bus.Options{Port: line.Port, Mode: bus.Mode{Baud: baud}}}
			for unit := range byte(3) {
				o.Devices = append(o.Devices, Device{Name: fmt.Sprint(unit), Unit: unit + 1, Points: holding(2, 99, uint16(122+unit))})
			}
			d := newTestDriver(t, o)
			for range 3 {
				for unit := range 3 {
					wantValues(t, d, unit, fmt.Sprint("2 99 ", 122+unit))
				}
			}
			if s := line.Slave.Stats(); s.Frames == 0 || s.BadFrames > 0 || s.GapViolations > 0 || slaves.thought() <= 0 {
				t.Errorf("line: %+v, the last answer took %v", s, slaves.thought())
			}
		})
	}
}

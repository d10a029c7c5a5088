package bus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/drivers/bus/bustest"
)

// There is no UART here: these tests go as far as what the kernel is asked.

func TestKernelSwitch(t *testing.T) {
	for _, tc := range []struct {
		rs485 RS485
		want  serialRS485
	}{
		{RS485{}, serialRS485{flags: 1 | 2}},
		{RS485{Low: true}, serialRS485{flags: 1 | 4}},
		{RS485{DelayBefore: 1500 * time.Microsecond, DelayAfter: 3 * time.Millisecond}, serialRS485{flags: 1 | 2, delayBefore: 2, delayAfter: 3}},
	} {
		var got serialRS485
		err := switchWith(func(fd uintptr, request uint, argument unsafe.Pointer) error {
			if fd != 7 || request != 0x542F {
				t.Errorf("ioctl %#x of %d, want TIOCSRS485 of 7", request, fd)
			}
			got = *(*serialRS485)(argument)
			return nil
		}, 7, tc.rs485)
		if err != nil || got != tc.want {
			t.Errorf("%+v: asked for %+v, %v, want %+v", tc.rs485, got, err, tc.want)
		}
	}
	if size := unsafe.Sizeof(serialRS485{}); size != 32 {
		t.Errorf("struct serial_rs485 has %d bytes, want 32", size)
	}
}

// A pty refuses as adapters do whose driver has no such switch: the port is not used, and the error says what else there is.
func TestKernelSwitchRefused(t *testing.T) {
	p := bustest.NewPTY(t)
	b, err := New(Options{Port: p.Port, Mode: Mode{Baud: 9600}, RS485: RS485{Mode: RS485Kernel}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Exchange(t.Context(), ask("ping", "pong!"))
	if err == nil || !strings.Contains(err.Error(), `the driver of this port cannot switch an RS-485 transmitter: leave rs485 out`) {
		t.Errorf("error = %v, want that the driver cannot", err)
	}
	other := serialBus(t, p.Port) // and is free again
	serveLine(t, p, "ping", "pong!")
	mustExchange(t, other, ask("ping", "pong!"), "pong!")
}

// A pty has no RTS line either.
func TestRTSRefused(t *testing.T) {
	p := bustest.NewPTY(t)
	b, err := New(Options{Port: p.Port, Mode: Mode{Baud: 9600}, RS485: RS485{Mode: RS485RTS}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = b.Exchange(t.Context(), ask("ping", "pong!")); err == nil || !strings.Contains(err.Error(), "switch the RS-485 transmitter by rts") {
		t.Errorf("error = %v, want that RTS cannot be switched", err)
	}
}

// switched is a port that writes down in which order it is used.
type switched struct {
	serial.Port
	did  []string
	fail string
}

func (p *switched) note(what string) error {
	p.did = append(p.did, what)
	if what == p.fail {
		return unix.EIO
	}
	return nil
}

func (p *switched) SetRTS(on bool) error { return p.note(fmt.Sprint("rts ", on)) }
func (p *switched) Drain() error         { return p.note("drain") }
func (p *switched) Write(b []byte) (int, error) {
	return len(b), p.note(fmt.Sprintf("write %s", b))
}

// The transmitter is on while something is sent, and off whatever happens.
func TestTransmitterByRTS(t *testing.T) {
	for _, tc := range []struct {
		name, fail, want string
		low              bool
		err              error
	}{
		{"High", "", "rts false, rts true, write ping, drain, rts false", false, nil},
		{"Low", "", "rts true, rts false, write ping, drain, rts true", true, nil},
		{"WriteFails", "write ping", "rts false, rts true, write ping, rts false", false, errBroken},
		{"DrainFails", "drain", "rts false, rts true, write ping, drain, rts false", false, errBroken},
		{"SwitchFails", "rts true", "rts false, rts true", false, errBroken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			port := &switched{fail: tc.fail}
			mode := Mode{Baud: 115200}
			tr, err := newTransmitter(RS485{Mode: RS485RTS, Low: tc.low, DelayBefore: time.Millisecond, DelayAfter: time.Millisecond}, port)
			if err != nil {
				t.Fatal(err)
			}
			l := &serialLink{port: port, mode: mode, transmitter: tr}
			start := time.Now()
			err = l.write([]byte("ping"), time.Time{})
			if (err != nil) != (tc.err != nil) {
				t.Errorf("write() error = %v", err)
			}
			if err == nil && time.Since(start) < 2*time.Millisecond+mode.Chars(4) {
				t.Error("the transmitter was off before the last character had left")
			}
			if got := strings.Join(port.did, ", "); got != tc.want {
				t.Errorf("did %s\nwant %s", got, tc.want)
			}
		})
	}
}

// gpioChip plays the kernel's side of a GPIO chip: it hands out a descriptor for a line, and follows its level.
type gpioChip struct {
	t      *testing.T
	line   uint32
	levels []bool
	err    error
}

func (c *gpioChip) control(_ uintptr, request uint, argument unsafe.Pointer) error {
	switch request {
	case gpioGetLine:
		r := (*gpioLineRequest)(argument)
		if c.err != nil {
			return c.err
		}
		if r.lines != 1 || r.flags != gpioOutput || !strings.HasPrefix(string(r.consumer[:]), "tidegate\x00") {
			c.t.Errorf("request %+v", r)
		}
		c.line = r.offsets[0]
		fd, err := unix.Open(os.DevNull, unix.O_RDONLY, 0)
		r.fd = int32(fd)
		return err
	case gpioSetValues:
		v := (*gpioLineValues)(argument)
		c.levels = append(c.levels, v.bits&v.mask == 1)
		return nil
	}
	c.t.Errorf("ioctl %#x", request)
	return unix.ENOTTY
}

func TestTransmitterByGPIO(t *testing.T) {
	if size := unsafe.Sizeof(gpioLineRequest{}); size != 592 || unsafe.Sizeof(gpioLineValues{}) != 16 {
		t.Fatalf("struct gpio_v2_line_request has %d bytes, want 592", size)
	}
	path := filepath.Join(t.TempDir(), "gpiochip0")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	chip := &gpioChip{t: t}
	line, err := openGPIO(chip.control, RS485{Mode: RS485GPIO, Chip: path, Line: 17})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(line.set(true), line.set(false)); err != nil || chip.line != 17 || fmt.Sprint(chip.levels) != "[true false]" {
		t.Errorf("line %d went through %v, %v, want 17 high and low", chip.line, chip.levels, err)
	}
	line.close()
	for _, tc := range []struct {
		chip string
		err  error
		want string
	}{
		{path, unix.EBUSY, "another program or driver has it"},
		{path, unix.EINVAL, "does the chip have that line?"},
		{path, unix.EIO, "input/output error"},
		{path + "x", nil, "no such file or directory"},
	} {
		chip.err = tc.err
		_, err := openGPIO(chip.control, RS485{Mode: RS485GPIO, Chip: tc.chip, Line: 17})
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "line 17 of ") {
			t.Errorf("error = %v, want %q", err, tc.want)
		}
	}
}

func TestRS485Refuses(t *testing.T) {
	for _, tc := range []struct {
		rs485 RS485
		want  string
	}{
		{RS485{Mode: 9}, "port p: RS-485 mode 9 is not known"},
		{RS485{Mode: RS485RTS, DelayAfter: 2 * time.Second}, "port p: a delay of the RS-485 transmitter is outside 0 to 1s"},
		{RS485{Mode: RS485GPIO}, "port p: the GPIO line of the RS-485 transmitter needs its chip, such as /dev/gpiochip0"},
		{RS485{Mode: RS485GPIO, Chip: "/dev/gpiochip0", Line: -1}, "port p: line -1 of /dev/gpiochip0: lines count from 0"},
	} {
		if _, err := New(Options{Port: "p", Mode: Mode{Baud: 9600}, RS485: tc.rs485}); err == nil || err.Error() != tc.want {
			t.Errorf("New() error = %v, want %s", err, tc.want)
		}
	}
	var names []string
	for m := RS485Off; m <= RS485GPIO; m++ {
		names = append(names, m.String())
	}
	if got := strings.Join(names, " "); got != "off kernel rts gpio" {
		t.Errorf("modes %s", got)
	}
}

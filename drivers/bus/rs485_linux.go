package bus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// controller passes a request to the driver of an open device; in tests it writes down what it was asked.
type controller func(fd uintptr, request uint, argument unsafe.Pointer) error

func ioctl(fd uintptr, request uint, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, uintptr(request), uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}

// serialRS485 is struct serial_rs485 of linux/serial.h. The delays are milliseconds.
type serialRS485 struct {
	flags       uint32
	delayBefore uint32
	delayAfter  uint32
	_           [5]uint32
}

// The flags of serialRS485.
const (
	rs485Enabled   = 1 << 0
	rs485RTSOnSend = 1 << 1
	rs485RTSAfter  = 1 << 2
)

func (r RS485) kernel() serialRS485 {
	s := serialRS485{flags: rs485Enabled | rs485RTSOnSend, delayBefore: milliseconds(r.DelayBefore), delayAfter: milliseconds(r.DelayAfter)}
	if r.Low {
		s.flags = rs485Enabled | rs485RTSAfter
	}
	return s
}

// milliseconds rounds up: a delay that is too short costs characters.
func milliseconds(d time.Duration) uint32 {
	return uint32((d + time.Millisecond - 1) / time.Millisecond)
}

// switchByKernel hands the transmitter to the driver of the UART. The setting belongs to the port, whose node is our own descriptor: the
// library opens the port behind it. It is never tried unasked, because there are adapters that it confuses.
func switchByKernel(node *os.File, r RS485) error { return switchWith(ioctl, node.Fd(), r) }

func switchWith(control controller, fd uintptr, r RS485) error {
	setting := r.kernel()
	err := control(fd, unix.TIOCSRS485, unsafe.Pointer(&setting))
	switch {
	case errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: the driver of this port cannot switch an RS-485 transmitter: leave rs485 out for an adapter that does it itself, "+
			"or use mode \"rts\" or \"gpio\"", err)
	case err != nil:
		return fmt.Errorf("switch the port to RS-485: %w", err)
	}
	return nil
}

// transmitter is switched on for each request and off behind it, by a line of the port or of a GPIO chip.
type transmitter struct {
	set           func(high bool) error
	high          bool // the level that switches it on
	before, after time.Duration
	free          func()
}

// newTransmitter returns the transmitter, switched off; nil when nobody has to switch it.
func newTransmitter(r RS485, port serial.Port) (*transmitter, error) {
	t := &transmitter{high: !r.Low, before: r.DelayBefore, after: r.DelayAfter, free: func() {}}
	switch r.Mode {
	case RS485RTS:
		t.set = port.SetRTS
	case RS485GPIO:
		line, err := openGPIO(ioctl, r)
		if err != nil {
			return nil, err
		}
		t.set, t.free = line.set, line.close
	default:
		return nil, nil
	}
	if err := t.set(!t.high); err != nil {
		t.free()
		return nil, fmt.Errorf("switch the RS-485 transmitter by %v: %w: does the port have that line?", r.Mode, err)
	}
	return t, nil
}

// close leaves the line to others.
func (t *transmitter) close() {
	_ = t.set(!t.high) // there is nothing left to do about a line that does not obey
	t.free()
}

// transmit sends p with the transmitter on. It returns when the last character has left: the kernel knows best, but drivers of USB
// adapters say so too early, and so the characters' own time is waited for as well.
func (l *serialLink) transmit(p []byte) (err error) {
	t, ctx := l.transmitter, context.Background() // a second at most, and the transmitter must be off afterwards
	if err := t.set(t.high); err != nil {
		return fmt.Errorf("switch the RS-485 transmitter on: %w", err)
	}
	defer func() {
		if off := t.set(!t.high); off != nil && err == nil {
			err = fmt.Errorf("switch the RS-485 transmitter off: %w", off)
		}
	}()
	if err := l.pause(ctx, t.before); err != nil {
		return err
	}
	end := time.Now().Add(l.mode.Chars(len(p)))
	if err := l.send(p); err != nil {
		return err
	}
	if err := l.port.Drain(); err != nil && !errors.Is(err, unix.EINTR) {
		return readReason(err)
	}
	return l.pause(ctx, time.Until(end)+t.after)
}

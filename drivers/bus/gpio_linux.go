package bus

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The second version of the character device's interface, from linux/gpio.h.

// gpioLineRequest is struct gpio_v2_line_request: it asks for lines, and brings a descriptor of them.
type gpioLineRequest struct {
	offsets    [64]uint32
	consumer   [32]byte
	flags      uint64 // from here on struct gpio_v2_line_config
	attributes uint32
	_          [5]uint32
	_          [10]gpioAttribute
	lines      uint32 // of offsets
	eventSize  uint32
	_          [5]uint32
	fd         int32
}

// gpioAttribute is struct gpio_v2_line_config_attribute.
type gpioAttribute struct {
	id      uint32
	_       uint32
	value   uint64
	applies uint64
}

// gpioLineValues is struct gpio_v2_line_values: the bits of the lines that are in mask.
type gpioLineValues struct{ bits, mask uint64 }

const (
	gpioOutput = 1 << 3 // GPIO_V2_LINE_FLAG_OUTPUT

	gpioGetLine   = 0xC250B407 // _IOWR(0xB4, 0x07, struct gpio_v2_line_request)
	gpioSetValues = 0xC010B40F // _IOWR(0xB4, 0x0F, struct gpio_v2_line_values)
)

// gpioLine is one output of a GPIO chip, which is ours until it is closed.
type gpioLine struct {
	control controller
	fd      int
}

// openGPIO takes a line as an output, at first low.
func openGPIO(control controller, r RS485) (*gpioLine, error) {
	where := fmt.Sprintf("line %d of %s", r.Line, r.Chip)
	chip, err := os.OpenFile(r.Chip, os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s for the RS-485 transmitter: %w", where, err)
	}
	defer func() { _ = chip.Close() }() // the line lives on without it
	request := gpioLineRequest{offsets: [64]uint32{uint32(r.Line)}, flags: gpioOutput, lines: 1}
	copy(request.consumer[:len(request.consumer)-1], "tidegate")
	err = control(chip.Fd(), gpioGetLine, unsafe.Pointer(&request))
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, fmt.Errorf("%s for the RS-485 transmitter: %w: another program or driver has it (gpioinfo shows which)", where, err)
	case errors.Is(err, unix.EINVAL):
		return nil, fmt.Errorf("%s for the RS-485 transmitter: %w: does the chip have that line? (gpioinfo shows them)", where, err)
	case err != nil:
		return nil, fmt.Errorf("%s for the RS-485 transmitter: %w", where, err)
	}
	return &gpioLine{control: control, fd: int(request.fd)}, nil
}

func (l *gpioLine) set(high bool) error {
	values := gpioLineValues{mask: 1}
	if high {
		values.bits = 1
	}
	return l.control(uintptr(l.fd), gpioSetValues, unsafe.Pointer(&values))
}

func (l *gpioLine) close() { _ = unix.Close(l.fd) }

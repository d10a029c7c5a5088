package bus

import (
	"errors"
	"fmt"
	"time"
)

// RS485Mode says who switches the transmitter of a two-wire RS-485 line. Most adapters do it themselves, and need none of this.
type RS485Mode uint8

// The modes: nobody on this side, the driver of the UART (TIOCSRS485), the RTS line of the port, or a GPIO line.
const (
	RS485Off RS485Mode = iota
	RS485Kernel
	RS485RTS
	RS485GPIO
)

// String returns the word used in configuration.
func (m RS485Mode) String() string {
	switch m {
	case RS485Off:
		return "off"
	case RS485Kernel:
		return "kernel"
	case RS485RTS:
		return "rts"
	case RS485GPIO:
		return "gpio"
	default:
		return fmt.Sprintf("RS-485 mode %d", uint8(m))
	}
}

// RS485 is how the transmitter is switched.
type RS485 struct {
	Mode RS485Mode
	// Low says that the transmitter is on while the line that switches it is low, instead of high.
	Low         bool
	DelayBefore time.Duration // from switching on to the first character; RS485Kernel knows whole milliseconds
	DelayAfter  time.Duration // from the last character to switching off
	Chip        string        // of RS485GPIO: "/dev/gpiochip0"
	Line        int           // of RS485GPIO: the number of the line on its chip
}

// maxSwitchDelay bounds the delays, which the devices wait through as well.
const maxSwitchDelay = time.Second

func (r RS485) check() error {
	switch {
	case r.Mode > RS485GPIO:
		return fmt.Errorf("%v is not known", r.Mode)
	case r.DelayBefore < 0 || r.DelayAfter < 0 || r.DelayBefore > maxSwitchDelay || r.DelayAfter > maxSwitchDelay:
		return fmt.Errorf("a delay of the RS-485 transmitter is outside 0 to %v", maxSwitchDelay)
	case r.Mode == RS485GPIO && r.Chip == "":
		return errors.New("the GPIO line of the RS-485 transmitter needs its chip, such as /dev/gpiochip0")
	case r.Mode == RS485GPIO && r.Line < 0:
		return fmt.Errorf("line %d of %s: lines count from 0", r.Line, r.Chip)
	}
	return nil
}

package modbus

import (
	"errors"
	"fmt"

	"github.com/tidegate/tidegate/drivers/bus"
)

// Framing is how a protocol data unit is wrapped.
type Framing uint8

// The framings. RTU and ASCII are those of serial lines, and pass through serial device servers over TCP; FramingTCP, with the MBAP
// header, is that of TCP, TLS and UDP.
const (
	FramingDefault Framing = iota
	FramingTCP
	FramingRTU
	FramingASCII
)

// String returns the word used in configuration.
func (f Framing) String() string {
	names := [...]string{"default", "tcp", "rtu", "ascii"}
	if int(f) < len(names) {
		return names[f]
	}
	return fmt.Sprintf("framing %d", uint8(f))
}

// framing returns the one that is meant.
func (o Options) framing() Framing {
	switch {
	case o.Framing != FramingDefault:
		return o.Framing
	case o.Bus.Port != "":
		return FramingRTU
	default:
		return FramingTCP
	}
}

// line returns the bus's options with what the framing asks of it.
func (o Options) line() bus.Options {
	b := o.Bus
	b.Marked = o.framing() == FramingASCII
	b.Untagged = o.framing() != FramingTCP
	return b
}

// maxInFlight is the most that Modbus Messaging on TCP/IP V1.0b, 4.3.1, has in mind for a server.
const maxInFlight = 16

func (o Options) checkFraming() error {
	var errs []error
	bits, framing := o.Bus.Mode.DataBits, o.framing()
	switch serial := o.Bus.Port != ""; {
	case framing > FramingASCII:
		errs = append(errs, fmt.Errorf("%v is not known", framing))
	case serial && framing == FramingTCP:
		errs = append(errs, errors.New("the framing of Modbus TCP does not work on a serial line: use rtu or ascii"))
	case serial && framing == FramingRTU && bits != 8 && bits != 0:
		errs = append(errs, fmt.Errorf("data bits %d: Modbus RTU sends whole bytes, use 8", bits))
	case serial && framing == FramingASCII && bits != 7 && bits != 8 && bits != 0:
		errs = append(errs, fmt.Errorf("data bits %d: Modbus ASCII sends characters of 7 bits, use 7, or 8 when the devices do", bits))
	case !serial && framing != FramingTCP && o.Bus.Network != bus.NetworkTCP:
		errs = append(errs, fmt.Errorf("%v frames go over tcp, not over %v", framing, o.Bus.Network))
	}
	if o.UnitGap < 0 {
		errs = append(errs, errors.New("unit gap is negative"))
	}
	switch n := o.MaxInFlight; {
	case n < 0 || n > maxInFlight:
		errs = append(errs, fmt.Errorf("max in flight %d is outside 1 to %d", n, maxInFlight))
	case n > 1 && o.Bus.Network == bus.NetworkUDP:
		errs = append(errs, fmt.Errorf("max in flight %d: each datagram is one frame, and udp carries one at a time here", n))
	case n > 1 && framing != FramingTCP:
		errs = append(errs, fmt.Errorf("max in flight %d: answers in %v frames do not tell which request they are to", n, framing))
	}
	return errors.Join(errs...)
}

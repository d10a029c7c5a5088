package bus

import (
	"fmt"
	"time"
)

// Parity is the parity bit of a serial character.
type Parity uint8

// The parities of a serial line. Mark and space parity are used by no field bus that this package serves.
const (
	ParityNone Parity = iota
	ParityEven
	ParityOdd
)

// String returns the word used in configuration.
func (p Parity) String() string {
	switch p {
	case ParityNone:
		return "none"
	case ParityEven:
		return "even"
	case ParityOdd:
		return "odd"
	default:
		return fmt.Sprintf("parity %d", uint8(p))
	}
}

// Mode is how characters travel on a serial line.
type Mode struct {
	Baud     int // bits per second
	DataBits int // 5 to 8; 0 means 8
	Parity   Parity
	StopBits int // 1 or 2; 0 means 1
}

// The slowest and fastest rate that Linux has a name for.
const (
	minBaud = 50
	maxBaud = 4000000
)

// fastBaud is the rate above which the silences of Modbus are fixed, and fastSilence the t3.5 that then holds (Modbus over Serial
// Line V1.02, 2.5.1.1).
const (
	fastBaud    = 19200
	fastSilence = 1750 * time.Microsecond
)

// check is needed because a tty takes any number: a pseudo terminal opens happily at -1 baud.
func (m Mode) check() error {
	switch {
	case m.Baud < minBaud || m.Baud > maxBaud:
		return fmt.Errorf("baud %d is outside %d to %d: 9600, 19200, 38400 and 115200 are common", m.Baud, minBaud, maxBaud)
	case m.DataBits < 5 || m.DataBits > 8:
		return fmt.Errorf("data bits %d: a character has 5 to 8", m.DataBits)
	case m.Parity > ParityOdd:
		return fmt.Errorf("%v: use none, even or odd", m.Parity)
	case m.StopBits < 1 || m.StopBits > 2:
		return fmt.Errorf("stop bits %d: a character ends with 1 or 2", m.StopBits)
	}
	return nil
}

// withDefaults fills in what was left out.
func (m Mode) withDefaults() Mode {
	if m.DataBits == 0 {
		m.DataBits = 8
	}
	if m.StopBits == 0 {
		m.StopBits = 1
	}
	return m
}

// Chars returns how long n characters take on the wire, start, parity and stop bits included.
func (m Mode) Chars(n int) time.Duration {
	m = m.withDefaults()
	bits := 1 + m.DataBits + m.StopBits
	if m.Parity != ParityNone {
		bits++
	}
	return time.Duration(n*bits) * time.Second / time.Duration(m.Baud)
}

// Silence returns t3.5, the silence that ends a frame and that must come before the next one.
func (m Mode) Silence() time.Duration {
	if m.Baud > fastBaud {
		return fastSilence
	}
	return m.Chars(7) / 2
}

// String writes the mode as people do: "19200 8E1".
func (m Mode) String() string {
	m = m.withDefaults()
	return fmt.Sprintf("%d %d%c%d", m.Baud, m.DataBits, "NEO?"[min(m.Parity, 3)], m.StopBits)
}

package sim

import (
	"strconv"
	"time"
)

// Parity is the parity bit of a character.
type Parity int

const (
	// NoParity sends no parity bit.
	NoParity Parity = iota
	// EvenParity sends a bit that makes the number of ones even.
	EvenParity
	// OddParity sends a bit that makes the number of ones odd.
	OddParity
)

// Line is the speed and the character format of a serial line. Only durations follow from it: a pty carries whole bytes and
// cannot have parity or framing errors.
type Line struct {
	Baud     int // bits per second; 0 or less: no pace
	DataBits int // 0: 8
	Parity   Parity
	StopBits int // 0: 1
}

// fastBaud is the speed above which Modbus over Serial Line V1.02, section 2.5.1.1, recommends fixed silences.
const (
	fastBaud = 19200
	fastT15  = 750 * time.Microsecond
	fastT35  = 1750 * time.Microsecond
)

// paced tells whether the line has a speed at all.
func (l Line) paced() bool { return l.Baud > 0 }

// bits returns the number of bits of one character, the start bit included.
func (l Line) bits() int {
	bits := 1 + orDefault(l.DataBits, 8) + orDefault(l.StopBits, 1)
	if l.Parity != NoParity {
		bits++
	}
	return bits
}

// Chars returns how long n characters take one right behind the other, 0 without pace.
func (l Line) Chars(n int) time.Duration {
	if !l.paced() {
		return 0
	}
	return time.Duration(int64(n) * int64(l.bits()) * int64(time.Second) / int64(l.Baud))
}

// T15 returns the longest silence allowed within a frame: 1.5 characters, or 750 us above 19200 baud; 0 without pace.
func (l Line) T15() time.Duration { return l.silence(3, fastT15) }

// T35 returns the shortest silence between two frames: 3.5 characters, or 1.75 ms above 19200 baud; 0 without pace.
func (l Line) T35() time.Duration { return l.silence(7, fastT35) }

func (l Line) silence(halfChars int, fast time.Duration) time.Duration {
	if l.Baud > fastBaud {
		return fast
	}
	return l.Chars(halfChars) / 2
}

// String gives the line as people write it: "19200 8E1", or "unpaced".
func (l Line) String() string {
	if !l.paced() {
		return "unpaced"
	}
	parity := [...]string{NoParity: "N", EvenParity: "E", OddParity: "O"}[l.Parity]
	return strconv.Itoa(l.Baud) + " " + strconv.Itoa(orDefault(l.DataBits, 8)) + parity + strconv.Itoa(orDefault(l.StopBits, 1))
}

func orDefault(n, byDefault int) int {
	if n == 0 {
		return byDefault
	}
	return n
}

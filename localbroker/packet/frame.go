package packet

import "fmt"

// The largest packet that the protocol can carry: a remaining length of four
// bytes, and the fixed header before it.
const (
	MaxRemaining = 268_435_455
	MaxSize      = 1 + 4 + MaxRemaining
)

// Frame is one whole packet, cut out of a stream and not yet looked into. (Its fields
// are in this order so that it fits in registers.)
type Frame struct {
	First  byte   // packet type and flags
	Padded bool   // the remaining length was written with more bytes than it needs
	Body   []byte // what follows the remaining length: a part of the input
}

// Type returns the packet's type.
func (f Frame) Type() Type { return Type(f.First >> 4) }

// Flags returns the four flag bits of the fixed header.
func (f Frame) Flags() byte { return f.First & 0x0f }

// NextFrame cuts the first packet off b and returns it with its length in bytes,
// fixed header included. A length of 0 without an error means that b holds only
// a part of the packet: read more and ask again.
//
// A packet larger than limit bytes, fixed header included, is refused as soon as its
// header is there, however little of its body has arrived; limit <= 0 sets no limit
// other than MaxSize. What can never become a packet is refused at its first byte. The
// version need not be known; what depends on it is left to the packet's Parse.
func NextFrame(b []byte, limit int) (f Frame, n int, err error) {
	if len(b) == 0 {
		return Frame{}, 0, nil
	}
	if b[0] < 0x20 && b[0] != TypeConnect.first() {
		return Frame{}, 0, badFirst(b[0])
	}
	if len(b) < 2 {
		return Frame{}, 0, nil
	}
	length, used := int(b[1]), 1
	if length >= 0x80 {
		if length, used = decodeVarint(b[1:]); used <= 0 {
			return Frame{}, 0, badLength(b[0], used)
		}
	}
	n = 1 + used + length
	if limit > 0 && n > limit {
		return Frame{}, 0, tooLarge(b[0], n, limit)
	}
	if len(b) < n {
		return Frame{}, 0, nil
	}
	return Frame{First: b[0], Body: b[1+used : n : n], Padded: used > 1 && b[used] == 0}, n, nil
}

// badFirst explains a first byte that no version knows: type 0, or CONNECT with flags.
func badFirst(first byte) error {
	t := Type(first >> 4)
	if t == TypeConnect {
		return ruleFlags.breach(t, 0, "")
	}
	return ruleType.breach(t, 0, "")
}

// badLength explains why a remaining length could not be decoded; it is no
// error if bytes of it are still to come.
func badLength(first byte, used int) error {
	if used == 0 {
		return nil
	}
	return ruleLength.breach(Type(first>>4), 0, "remaining length")
}

func tooLarge(first byte, n, limit int) error {
	e := ruleTooLarge.breach(Type(first>>4), 0, "")
	e.Problem = fmt.Sprintf("packet of %d bytes is larger than the %d allowed here", n, limit)
	return e
}

// decodeVarint decodes a Variable Byte Integer (MQTT 5, section 1.5.5; 3.1.1, section
// 2.2.3) and returns how many bytes it took: 0 if b ends within it, -1 if it goes on
// after the fourth byte.
func decodeVarint(b []byte) (value, used int) {
	for i := range min(len(b), 4) {
		value |= int(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return value, i + 1
		}
	}
	if len(b) < 4 {
		return 0, 0
	}
	return 0, -1
}

// appendVarint appends x as a Variable Byte Integer. x must not exceed MaxRemaining.
func appendVarint(dst []byte, x int) []byte {
	for x >= 0x80 {
		dst = append(dst, byte(x)|0x80)
		x >>= 7
	}
	return append(dst, byte(x))
}

// varintSize returns the number of bytes that appendVarint appends for x.
func varintSize(x int) int {
	n := 1
	for x >= 0x80 {
		x >>= 7
		n++
	}
	return n
}

package modbus

import (
	"bytes"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/gateway"
)

// exceptionSize is the length of an RTU exception: unit, function, code, CRC. writeSize is that of an answer to a write: unit, function,
// address, value or quantity, CRC.
const (
	exceptionSize = 5
	writeSize     = 8
)

// rtuReply recognises one answer on a serial line, whatever else is there: noise before and behind it, the echo of the request, frames of
// other units.
type rtuReply struct {
	framing *rtuFraming
	request []byte // the whole frame
	unit    byte
	q       request
	head    []byte
}

func newRTUReply(f *rtuFraming, frame []byte, q request) *rtuReply {
	return &rtuReply{framing: f, request: frame, unit: frame[0], q: q, head: q.head()}
}

// find takes the first place at which the answer lies whole, with a right check sum. A place where it might lie that is not complete yet
// does not hide a later one, because noise may look like the beginning of an answer.
func (r *rtuReply) find(received []byte) (bus.Found, error) {
	found := bus.Found{Need: exceptionSize}
	partial := false
	for i := r.framing.echo.length(received, r.request, r.q); i < len(received); i++ {
		size := r.match(received[i:])
		switch missing := size - (len(received) - i); {
		case size == 0:
		case missing > 0 && !partial:
			partial, found.Need = true, missing
		case missing > 0:
		case checksumOK(received[i : i+size]):
			r.framing.echo.listen(received[:i], r.request, r.q)
			return bus.Found{Frame: received[i : i+size]}, nil
		default:
			found.Damaged = true
		}
	}
	found.Damaged = found.Damaged && !partial
	return found, nil
}

// match returns how long an answer would be that begins with b, as far as there are bytes to compare: 0 when b cannot be its beginning.
func (r *rtuReply) match(b []byte) int {
	switch {
	case b[0] != r.unit:
		return 0
	case len(b) == 1:
		return exceptionSize
	case b[1] == r.q.function|exceptionBit:
		return exceptionSize
	case b[1] != r.q.function:
		return 0
	}
	seen := b[2:min(len(b), 2+len(r.head))]
	if !bytes.HasPrefix(r.head, seen) {
		return 0
	}
	return rtuOverhead + r.q.sizeOf(b[1:])
}

// blame looks for the frame that was meant: one that is damaged, or that answers something else. It returns nil for noise and for
// conversations of others.
func (r *rtuReply) blame(received []byte) *failure {
	short := false
	for i := r.framing.echo.length(received, r.request, r.q); i < len(received); i++ {
		b := received[i:]
		size := r.match(b)
		switch {
		case size > 0 && size <= len(b):
			return &failure{reason: gateway.ReasonCRC, err: framef("check sum is wrong")}
		case size > 0 && len(b) > 2:
			short = true
		}
		if f := r.stray(b); f != nil && !bytes.HasPrefix(b, r.request) {
			return f
		}
	}
	if short {
		return &failure{reason: gateway.ReasonFrame, err: framef("the answer is cut short")}
	}
	return nil
}

// stray tells what is wrong with a valid frame at the beginning of b; nil when there is none, or it belongs to others.
func (r *rtuReply) stray(b []byte) *failure {
	size := r.valid(b)
	if size == 0 {
		return nil
	}
	return r.q.stray(r.unit, b[0], b[1:size-2])
}

// valid returns the length of the frame at the beginning of b, going by the lengths that answers have; 0 when there is none.
func (r *rtuReply) valid(b []byte) int {
	if len(b) < exceptionSize {
		return 0
	}
	for _, size := range []int{rtuOverhead + r.q.sizeOf(b[1:]), exceptionSize + int(b[2]), exceptionSize, writeSize} {
		if size <= len(b) && checksumOK(b[:size]) {
			return size
		}
	}
	return 0
}

// checksumOK reports whether a frame ends with the CRC of what comes before, low byte first.
func checksumOK(frame []byte) bool {
	n := len(frame) - 2
	sum := crc16(frame[:n])
	return frame[n] == byte(sum) && frame[n+1] == byte(sum>>8)
}

// crc16 computes the check sum of Modbus over Serial Line V1.02, appendix B: CRC-16 with the polynomial 0xA001 (reflected) from 0xFFFF.
// Bit by bit the longest frame takes two microseconds, and 22 ms on the fastest usual wire: a table would save nothing.
func crc16(b []byte) uint16 {
	sum := uint16(0xFFFF)
	for _, c := range b {
		sum ^= uint16(c)
		for range 8 {
			carry := sum & 1
			sum = sum>>1 ^ 0xA001*carry
		}
	}
	return sum
}

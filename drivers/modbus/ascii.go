package modbus

import (
	"bytes"
	"encoding/hex"

	"github.com/goburrow/modbus"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/gateway"
)

// An ASCII frame is a colon, two hexadecimal digits for each byte of unit, protocol data unit and check sum (LRC), and CR LF (Modbus over
// Serial Line V1.02, 2.5.2). It needs no silence before it, and may pause for a second between two characters.
const (
	asciiStart    = ':'
	asciiMaxFrame = 1 + 2*(1+253+1) + 2
	// asciiException is the shortest answer: unit, function, code and check sum.
	asciiException = 1 + 2*4 + 2
)

// asciiFraming is that frame.
type asciiFraming struct {
	packager *modbus.ASCIIClientHandler
	echo     echo
}

func newASCIIFraming() *asciiFraming {
	return &asciiFraming{packager: modbus.NewASCIIClientHandler("")}
}

func (f *asciiFraming) encode(unit byte, q request) ([]byte, error) {
	f.packager.SlaveId = unit
	return f.packager.Encode(&modbus.ProtocolDataUnit{FunctionCode: q.function, Data: q.data})
}

func (f *asciiFraming) reply(frame []byte, q request) reply {
	unit, _ := asciiBytes(frame)
	return &asciiReply{framing: f, request: frame, unit: unit[0], q: q}
}

func (f *asciiFraming) decode(frame, answer []byte) (*modbus.ProtocolDataUnit, error) {
	return unwrap(f.packager, frame, answer)
}

func (f *asciiFraming) expect(q request) int { return asciiSize(q.answerSize()) }
func (f *asciiFraming) tagged() bool         { return false }

// asciiSize returns the length of a frame with a protocol data unit of n bytes.
func asciiSize(n int) int { return 1 + 2*(1+n+1) + 2 }

// asciiBytes returns the unit and protocol data unit of a whole frame, and whether its check sum is right. It is nil when there is
// anything else than digits.
func asciiBytes(frame []byte) (b []byte, sound bool) {
	digits := frame[1 : len(frame)-2]
	b = make([]byte, len(digits)/2)
	if _, err := hex.Decode(b, digits); err != nil || len(b) < 3 {
		return nil, false
	}
	sum := byte(0)
	for _, c := range b {
		sum += c
	}
	return b[:len(b)-1], sum == 0 // the LRC is what makes the sum of all bytes 0
}

// asciiReply recognises one answer in ASCII frames, whatever else is there.
type asciiReply struct {
	framing *asciiFraming
	request []byte // the whole frame
	unit    byte
	q       request
}

// find takes the first whole frame that answers the request. A colon always begins a frame, so that the next one ends what noise began.
func (r *asciiReply) find(received []byte) (bus.Found, error) {
	found := bus.Found{Need: asciiException}
	at := r.framing.echo.length(received, r.request, r.q)
	before := at
	for {
		frame, next := nextASCII(received, at)
		if frame == nil {
			found.Need = r.missing(received[next:])
			found.Damaged = found.Damaged && next == len(received)
			return found, nil
		}
		before, at = next-len(frame), next
		b, sound := asciiBytes(frame)
		switch {
		case sound && b[0] == r.unit && r.q.answeredBy(b[1:]):
			r.framing.echo.listen(received[:before], r.request, r.q)
			return bus.Found{Frame: frame}, nil
		case !sound && r.meant(b):
			found.Damaged = true
		}
	}
}

// nextASCII returns the first whole frame from at on and where it ends; without one, where a frame begins that is not complete yet, or
// the end of what was received.
func nextASCII(received []byte, at int) (frame []byte, next int) {
	start := -1
	for i := at; i < len(received); i++ {
		switch {
		case received[i] == asciiStart:
			start = i
		case start >= 0 && i-start >= asciiMaxFrame:
			start = -1
		case start >= 0 && received[i] == '\n' && received[i-1] == '\r':
			if i-start+1 >= asciiException-2 {
				return received[start : i+1], i + 1
			}
			start = -1
		}
	}
	if start < 0 {
		start = len(received)
	}
	return nil, start
}

// missing returns how many characters a frame that has begun like this still lacks, at least.
func (r *asciiReply) missing(begun []byte) int {
	size := asciiException
	if len(begun) >= 5 {
		var b [2]byte
		if _, err := hex.Decode(b[:], begun[1:5]); err == nil && b[1] == r.q.function && !r.q.foreign() {
			size = asciiSize(r.q.answerSize())
		}
	}
	return max(1, size-len(begun))
}

// meant reports whether a damaged frame was probably the answer: one of another unit to something else is none.
func (r *asciiReply) meant(b []byte) bool {
	return b == nil || b[0] == r.unit || b[1]&^exceptionBit == r.q.function
}

// blame looks for the frame that was meant: one that is damaged, or that answers something else.
func (r *asciiReply) blame(received []byte) *failure {
	for at := r.framing.echo.length(received, r.request, r.q); ; {
		frame, next := nextASCII(received, at)
		if frame == nil && len(received)-next > 5 {
			return &failure{reason: gateway.ReasonFrame, err: framef("the answer is cut short")}
		}
		if frame == nil {
			return nil
		}
		at = next
		b, sound := asciiBytes(frame)
		if !sound && r.meant(b) {
			return &failure{reason: gateway.ReasonCRC, err: framef("check sum is wrong")}
		}
		if !sound || bytes.Equal(frame, r.request) {
			continue
		}
		if f := r.q.stray(r.unit, b[0], b[1:]); f != nil {
			return f
		}
	}
}

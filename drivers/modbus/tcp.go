package modbus

import (
	"encoding/binary"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/gateway"
)

// The MBAP header is transaction, protocol and length of two bytes each, and the unit. The length counts what follows it, unit included.
const (
	mbapSize  = 7
	mbapUnit  = 6
	minLength = 1 + 2   // unit, function and at least one byte: an exception's code
	maxLength = 1 + 253 // unit and the longest protocol data unit (Modbus Application Protocol V1.1b3, 4.1)
)

// tcpReply recognises the answer with the request's transaction id.
type tcpReply struct {
	transaction uint16
	unit        byte
	q           request
}

func newTCPReply(frame []byte, q request) *tcpReply {
	return &tcpReply{transaction: binary.BigEndian.Uint16(frame), unit: frame[mbapUnit], q: q}
}

// find skips answers to older transactions. What cannot be a header is an error, which closes the connection: in a stream there is no
// way to find the next frame.
func (r *tcpReply) find(received []byte) (bus.Found, error) {
	for skip := 0; ; {
		rest := received[skip:]
		if len(rest) < mbapSize {
			return bus.Found{Skip: skip, Need: mbapSize - len(rest)}, nil
		}
		size, err := frameSize(rest)
		if err != nil && speaksRTU(r.unit, r.q, rest) {
			return bus.Found{}, errSpeaksRTU
		}
		if err != nil {
			return bus.Found{}, err
		}
		if len(rest) < size {
			return bus.Found{Skip: skip, Need: size - len(rest)}, nil
		}
		transaction := binary.BigEndian.Uint16(rest)
		if transaction == r.transaction {
			return bus.Found{Frame: rest[:size]}, nil
		}
		if r.transaction-transaction >= 1<<15 {
			return bus.Found{}, framef("answer has a transaction id that was never sent")
		}
		skip += size
	}
}

// frameSize returns the length of the frame that begins with this header.
func frameSize(header []byte) (int, error) {
	if protocol := binary.BigEndian.Uint16(header[2:]); protocol != 0 {
		return 0, framef("protocol id is %#04x and not 0: the peer does not speak Modbus TCP", protocol)
	}
	length := int(binary.BigEndian.Uint16(header[4:]))
	if length < minLength || length > maxLength {
		return 0, framef("length %d in the header is outside %d to %d", length, minLength, maxLength)
	}
	return mbapUnit + length, nil
}

// blame sees only an answer that is not complete or older.
func (r *tcpReply) blame(received []byte) *failure {
	if len(received) == 0 {
		return nil
	}
	if speaksRTU(r.unit, r.q, received) { // an exception, which is too short for a header
		return &failure{reason: gateway.ReasonFrame, err: errSpeaksRTU}
	}
	return &failure{reason: gateway.ReasonFrame, err: framef("the answer is not complete")}
}

package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The MBAP header is transaction, protocol and length of two bytes each, and the unit (Modbus Messaging on TCP/IP V1.0b, 3.1.3). The length
// counts what follows it, unit included.
const (
	headerSize = 7
	maxPDU     = 253 // Modbus Application Protocol V1.1b3, 4.1
	maxADU     = headerSize + maxPDU
)

// errHeader says that what a peer sends is not Modbus TCP.
var errHeader = errors.New("it does not speak Modbus TCP")

// frame is a request as it came: transaction and unit are repeated in its answer.
type frame struct {
	transaction uint16
	unit        byte
	pdu         []byte // 1 to 253 bytes, in the buffer that it was read into
}

// readFrame reads one request into buf. Its errors are those of r, or wrap errHeader.
func readFrame(r io.Reader, buf *[maxADU]byte) (frame, error) {
	if _, err := io.ReadFull(r, buf[:headerSize]); err != nil {
		return frame{}, err
	}
	protocol, length := binary.BigEndian.Uint16(buf[2:]), int(binary.BigEndian.Uint16(buf[4:]))
	if protocol != 0 {
		return frame{}, fmt.Errorf("%w: protocol id %#04x instead of 0", errHeader, protocol)
	}
	if length < 2 || length > 1+maxPDU {
		return frame{}, fmt.Errorf("%w: length %d is outside 2 to %d", errHeader, length, 1+maxPDU)
	}
	pdu := buf[headerSize : headerSize+length-1]
	if _, err := io.ReadFull(r, pdu); err != nil {
		return frame{}, err
	}
	return frame{transaction: binary.BigEndian.Uint16(buf[:]), unit: buf[6], pdu: pdu}, nil
}

// appendFrame appends the answer to f with its header.
func appendFrame(b []byte, f frame, answer []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, f.transaction)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(1+len(answer)))
	b = append(b, f.unit)
	return append(b, answer...)
}

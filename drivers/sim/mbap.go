package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MBAP header, Modbus Messaging on TCP/IP V1.0b, section 3.1.3: transaction id, protocol id (0), length of what follows, unit id.
const (
	mbapSize = 7
	maxADU   = mbapSize + maxPDU
)

// errBadHeader says that what a master sends on TCP is not Modbus TCP.
var errBadHeader = errors.New("not a Modbus TCP header")

// request is one request as it comes on TCP.
type request struct {
	transaction uint16
	unit        byte
	pdu         []byte
}

// readRequest reads one request into buf, to which its pdu then points. It fails with errBadHeader, after which nothing more can be
// understood on the connection, with io.EOF between two requests, and with the reader's errors.
func readRequest(r io.Reader, buf *[maxADU]byte) (request, error) {
	if _, err := io.ReadFull(r, buf[:mbapSize]); err != nil {
		return request{}, err
	}
	protocol, length := binary.BigEndian.Uint16(buf[2:]), int(binary.BigEndian.Uint16(buf[4:]))
	if protocol != 0 {
		return request{}, fmt.Errorf("%w: protocol id %d instead of 0", errBadHeader, protocol)
	}
	if length < 2 || length > 1+maxPDU {
		return request{}, fmt.Errorf("%w: length %d is not in 2 to %d", errBadHeader, length, 1+maxPDU)
	}
	pdu := buf[mbapSize : mbapSize+length-1]
	if _, err := io.ReadFull(r, pdu); err != nil {
		return request{}, fmt.Errorf("read request: %w", err)
	}
	return request{transaction: binary.BigEndian.Uint16(buf[:]), unit: buf[6], pdu: pdu}, nil
}

// appendADU appends an answer with its header.
func appendADU(b []byte, transaction uint16, unit byte, pdu []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, transaction)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(1+len(pdu)))
	b = append(b, unit)
	return append(b, pdu...)
}

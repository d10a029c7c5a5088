package modbus

import (
	"bytes"
	"encoding/binary"

	"github.com/goburrow/modbus"

	"github.com/tidegate/tidegate/drivers/bus"
)

// The functions that the gateway does not use itself but passes on for other masters (Modbus Application Protocol V1.1b3, 6). On a line the
// length of their answers must be known, since a frame does not tell it.
const (
	readExceptionStatus = 7
	diagnostics         = 8
	eventCounter        = 11
	eventLog            = 12
	reportServerID      = 17
	readFileRecord      = 20
	writeFileRecord     = 21
	readFIFO            = 24
)

// maxPDU is the longest protocol data unit (Modbus Application Protocol V1.1b3, 4.1).
const maxPDU = 253

// longestFIFO is the bytes of the longest queue behind its byte count (6.18).
const longestFIFO = 64

// newForeign takes the protocol data unit of another master's request apart, or says with which exception it is to be refused: one whose parts do not fit
// together would have a device on a line wait for more, and the next request would be taken for that. data is not copied.
func newForeign(pdu []byte) (q request, exception byte) {
	if len(pdu) == 0 || len(pdu) > maxPDU || pdu[0] == 0 || pdu[0] >= exceptionBit {
		return request{}, illegalFunction
	}
	q = request{function: pdu[0], data: pdu[1:]}
	if !q.wellFormed() {
		return request{}, illegalValue
	}
	q.count = q.asks()
	if q.isRead() && q.answerSize() > maxPDU {
		return request{}, illegalValue
	}
	return q, 0
}

// wellFormed reports whether a request has the length that its function and its counts say.
func (q request) wellFormed() bool {
	n := len(q.data)
	switch q.function {
	case modbus.FuncCodeReadCoils, modbus.FuncCodeReadDiscreteInputs, modbus.FuncCodeReadHoldingRegisters, modbus.FuncCodeReadInputRegisters:
		return n == 4 && q.asks() > 0
	case modbus.FuncCodeWriteSingleCoil, modbus.FuncCodeWriteSingleRegister:
		return n == 4
	case modbus.FuncCodeWriteMultipleCoils, modbus.FuncCodeWriteMultipleRegisters:
		return n > 5 && n == 5+int(q.data[4])
	case modbus.FuncCodeMaskWriteRegister:
		return n == 6
	case modbus.FuncCodeReadWriteMultipleRegisters:
		return n > 9 && n == 9+int(q.data[8]) && q.asks() > 0
	case readExceptionStatus, eventCounter, eventLog, reportServerID:
		return n == 0
	case diagnostics:
		return n >= 2
	case readFileRecord, writeFileRecord:
		return n > 1 && n == 1+int(q.data[0])
	case readFIFO:
		return n == 2
	case encapsulated:
		return n == 3 || n > 0 && q.data[0] != identificationType
	}
	return true
}

// asks returns how many registers or bits a request asks for: 1 for one that asks for something else, 0 for one that writes, that is repeated in its
// answer, or of which it is not known.
func (q request) asks() int {
	switch q.function {
	case modbus.FuncCodeReadCoils, modbus.FuncCodeReadDiscreteInputs, modbus.FuncCodeReadHoldingRegisters, modbus.FuncCodeReadInputRegisters,
		modbus.FuncCodeReadWriteMultipleRegisters:
		return int(binary.BigEndian.Uint16(q.data[2:]))
	case readExceptionStatus, eventCounter, eventLog, reportServerID, readFileRecord, readFIFO:
		return 1
	case encapsulated:
		if q.data[0] == identificationType {
			return 1
		}
	}
	return 0
}

// foreign reports whether the function is one that the gateway does not use itself.
func (q request) foreign() bool {
	switch q.function {
	case modbus.FuncCodeReadCoils, modbus.FuncCodeReadDiscreteInputs, modbus.FuncCodeReadHoldingRegisters, modbus.FuncCodeReadInputRegisters,
		modbus.FuncCodeWriteSingleCoil, modbus.FuncCodeWriteSingleRegister, modbus.FuncCodeWriteMultipleCoils, modbus.FuncCodeWriteMultipleRegisters,
		modbus.FuncCodeMaskWriteRegister, modbus.FuncCodeReadWriteMultipleRegisters:
		return false
	case encapsulated:
		return q.data[0] != identificationType
	}
	return true
}

// tellsEcho reports whether the answer can never be equal to the request, so that it shows whether the line echoes.
func (q request) tellsEcho() bool { return q.isRead() && !q.foreign() }

// open reports whether nobody but the device knows how long the answer is.
func (q request) open() bool {
	switch q.function {
	case readExceptionStatus, diagnostics, eventCounter, eventLog, reportServerID, readFileRecord, writeFileRecord, readFIFO:
		return false
	}
	return q.foreign()
}

// foreignHead returns what is known to follow the function code in the answer.
func (q request) foreignHead() []byte {
	switch q.function {
	case diagnostics:
		return q.data[:2]
	case writeFileRecord, encapsulated:
		return q.data[:1]
	}
	return nil
}

// longestForeign returns the length of the answer, or of the longest one.
func (q request) longestForeign() int {
	switch q.function {
	case readExceptionStatus, diagnostics, eventCounter, writeFileRecord:
		return q.foreignSize(nil)
	case readFIFO:
		return 3 + longestFIFO
	}
	return maxPDU
}

// foreignSize returns the length of the answer that begins with pdu; more than that has when it takes more to tell.
func (q request) foreignSize(pdu []byte) int {
	switch q.function {
	case readExceptionStatus:
		return 2
	case eventCounter:
		return 5
	case diagnostics, writeFileRecord: // as long as the request
		return 1 + len(q.data)
	case eventLog, reportServerID, readFileRecord:
		if len(pdu) < 2 {
			return 2
		}
		return 2 + int(pdu[1])
	case readFIFO:
		if len(pdu) < 3 {
			return 3
		}
		return 3 + min(int(binary.BigEndian.Uint16(pdu[1:])), longestFIFO)
	}
	return len(pdu) + 1
}

// openReply recognises an answer on a line whose end only silence tells.
type openReply struct{ *rtuReply }

// find takes the first place from which on everything is one frame with a right check sum, or an exception.
func (r *openReply) find(received []byte) (bus.Found, error) {
	const shortest, longest = rtuOverhead + 1, rtuOverhead + maxPDU
	for i := max(r.framing.echo.length(received, r.request, r.q), len(received)-longest); i+shortest <= len(received); i++ {
		b := received[i:]
		switch {
		case b[0] != r.unit:
		case b[1] == r.q.function|exceptionBit && len(b) >= exceptionSize && checksumOK(b[:exceptionSize]):
			return bus.Found{Frame: b[:exceptionSize]}, nil
		case b[1] == r.q.function && bytes.HasPrefix(b[2:], r.head) && checksumOK(b):
			return bus.Found{Frame: b, Open: true}, nil
		}
	}
	return bus.Found{Need: 1}, nil
}

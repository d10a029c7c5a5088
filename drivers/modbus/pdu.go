package modbus

import (
	"bytes"
	"encoding/binary"

	"github.com/goburrow/modbus"
)

// exceptionBit marks the function code of an exception (Modbus Application Protocol V1.1b3, 4.1).
const exceptionBit = 0x80

// request is a protocol data unit to send.
type request struct {
	function byte
	data     []byte // behind the function code
	count    int    // registers or bits asked for; 0 for a write
}

// newRead asks for count registers or bits.
func newRead(a Address, count int) request {
	function := [...]byte{
		Coil: modbus.FuncCodeReadCoils, Discrete: modbus.FuncCodeReadDiscreteInputs,
		Input: modbus.FuncCodeReadInputRegisters, Holding: modbus.FuncCodeReadHoldingRegisters,
	}[a.Table]
	return request{function: function, data: words(a.Offset, uint16(count)), count: count}
}

// newCoilWrite sets one coil; 0xFF00 is on (Modbus Application Protocol V1.1b3, 6.5).
func newCoilWrite(offset uint16, on bool) request {
	value := uint16(0)
	if on {
		value = 0xFF00
	}
	return request{function: modbus.FuncCodeWriteSingleCoil, data: words(offset, value)}
}

// newRegisterWrite writes registers, each of two bytes: a single one with function 6, which more devices know, several with 16.
func newRegisterWrite(offset uint16, registers []byte) request {
	if len(registers) == 2 {
		return request{function: modbus.FuncCodeWriteSingleRegister, data: words(offset, binary.BigEndian.Uint16(registers))}
	}
	data := append(words(offset, uint16(len(registers)/2)), byte(len(registers)))
	return request{function: modbus.FuncCodeWriteMultipleRegisters, data: append(data, registers...)}
}

func words(a, b uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(make([]byte, 0, 16), a), b)
}

// isRead reports whether the request asks for data; the others write.
func (q request) isRead() bool { return q.count > 0 }

// head returns what follows the function code in the right answer: the byte count of a read, and for a write its address and value or
// quantity again.
func (q request) head() []byte {
	switch q.function {
	case modbus.FuncCodeReadCoils, modbus.FuncCodeReadDiscreteInputs:
		return []byte{byte((q.count + 7) / 8)}
	case modbus.FuncCodeReadHoldingRegisters, modbus.FuncCodeReadInputRegisters:
		return []byte{byte(2 * q.count)}
	default:
		return q.data[:4]
	}
}

// answerSize returns the length of the right answer's protocol data unit.
func (q request) answerSize() int {
	head := q.head()
	if q.isRead() {
		return 2 + int(head[0])
	}
	return 1 + len(head)
}

// check returns the data of an answer, behind the byte count, if it is the answer to this request.
func (q request) check(function byte, data []byte) ([]byte, error) {
	head := q.head()
	switch {
	case function == q.function|exceptionBit && len(data) == 1:
		return nil, &Error{Function: q.function, Exception: data[0]}
	case function != q.function:
		return nil, framef("answer has function %d, asked for %d", function, q.function)
	case q.isRead() && (1+len(data) != q.answerSize() || data[0] != head[0]):
		return nil, framef("answer has %d bytes behind the function, asked for %d", len(data), q.answerSize()-1)
	case !q.isRead() && !bytes.Equal(data, head):
		return nil, framef("answer % x does not repeat the request's % x", data, head)
	}
	return data[len(head):], nil
}

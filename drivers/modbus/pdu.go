package modbus

import (
	"bytes"
	"encoding/binary"

	"github.com/goburrow/modbus"

	"github.com/tidegate/tidegate/gateway"
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
	return newRegistersWrite(offset, registers)
}

// newCoilsWrite sets count coils from bits, eight to a byte, the first in the lowest bit (Modbus Application Protocol V1.1b3, 6.11).
func newCoilsWrite(offset uint16, count int, bits []byte) request {
	data := append(words(offset, uint16(count)), byte(len(bits)))
	return request{function: modbus.FuncCodeWriteMultipleCoils, data: append(data, bits...)}
}

// newRegistersWrite writes registers with function 16, however many they are.
func newRegistersWrite(offset uint16, registers []byte) request {
	data := append(words(offset, uint16(len(registers)/2)), byte(len(registers)))
	return request{function: modbus.FuncCodeWriteMultipleRegisters, data: append(data, registers...)}
}

// newMaskWrite changes bits of one register: it becomes (old AND and) OR (or AND NOT and) (Modbus Application Protocol V1.1b3, 6.16).
func newMaskWrite(offset, and, or uint16) request {
	return request{function: modbus.FuncCodeMaskWriteRegister, data: binary.BigEndian.AppendUint16(words(offset, and), or)}
}

// newReadWrite writes registers and then reads count others, in one conversation (Modbus Application Protocol V1.1b3, 6.17).
func newReadWrite(read uint16, count int, write uint16, registers []byte) request {
	data := binary.BigEndian.AppendUint16(words(read, uint16(count)), write)
	data = binary.BigEndian.AppendUint16(data, uint16(len(registers)/2))
	data = append(data, byte(len(registers)))
	return request{function: modbus.FuncCodeReadWriteMultipleRegisters, data: append(data, registers...), count: count}
}

func words(a, b uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(make([]byte, 0, 16), a), b)
}

// isRead reports whether the request asks for data; the others write. What writes and reads at once is a read here.
func (q request) isRead() bool { return q.count > 0 }

// readHead is what comes before the data in the answer to a read: function and byte count.
const readHead = 2

// isPlain reports whether the request reads and does nothing else.
func (q request) isPlain() bool { return q.function <= modbus.FuncCodeReadInputRegisters }

// head returns what follows the function code in the right answer: the byte count of a read, and for a write its address and value or
// quantity again.
func (q request) head() []byte {
	if q.foreign() {
		return q.foreignHead()
	}
	switch q.function {
	case modbus.FuncCodeReadCoils, modbus.FuncCodeReadDiscreteInputs:
		return []byte{byte((q.count + 7) / 8)}
	case modbus.FuncCodeReadHoldingRegisters, modbus.FuncCodeReadInputRegisters, modbus.FuncCodeReadWriteMultipleRegisters:
		return []byte{byte(2 * q.count)}
	case modbus.FuncCodeMaskWriteRegister:
		return q.data
	case encapsulated:
		return q.data[:2]
	default:
		return q.data[:4]
	}
}

// answerSize returns the length of the right answer's protocol data unit, or of a usual one where only the answer itself tells.
func (q request) answerSize() int {
	if q.foreign() {
		return q.longestForeign()
	}
	head := q.head()
	switch {
	case q.function == encapsulated:
		return usualIdentification
	case q.isRead():
		return readHead + int(head[0])
	}
	return 1 + len(head)
}

// sizeOf returns the length of the right answer that begins with pdu; more than that has when it takes more to tell.
func (q request) sizeOf(pdu []byte) int {
	switch {
	case q.foreign():
		return q.foreignSize(pdu)
	case q.function == encapsulated:
		return identificationSize(pdu)
	}
	return q.answerSize()
}

// answeredBy reports whether a protocol data unit is the right answer or an exception.
func (q request) answeredBy(pdu []byte) bool {
	if pdu[0] == q.function|exceptionBit {
		return len(pdu) == 2
	}
	return pdu[0] == q.function && (q.open() || len(pdu) == q.sizeOf(pdu)) && bytes.HasPrefix(pdu[1:], q.head())
}

// stray tells what is wrong with a valid frame that is not the answer: one of this unit to something else, or this answer from another
// unit. It returns nil for a conversation of others.
func (q request) stray(asked, unit byte, pdu []byte) *failure {
	f := &failure{reason: gateway.ReasonFrame}
	switch head := q.head(); {
	case unit != asked && pdu[0]&^exceptionBit != q.function:
		return nil
	case unit != asked:
		f.gone, f.err = true, framef("unit %d answered, asked unit %d", unit, asked)
	case pdu[0] != q.function:
		f.err = framef("answer has function %d, asked for %d", pdu[0], q.function)
	case q.isRead() && len(head) == 1 && len(pdu) > 1:
		f.err = framef("answer has %d bytes, asked for %d", pdu[1], head[0])
	default:
		f.err = framef("answer % x does not repeat the request's % x", pdu[1:], head)
	}
	return f
}

// check returns the data of an answer, behind its head, if it is the answer to this request.
func (q request) check(function byte, data []byte) ([]byte, error) {
	head := q.head()
	switch {
	case function == q.function|exceptionBit && len(data) == 1:
		return nil, &Error{Function: q.function, Exception: data[0]}
	case function != q.function:
		return nil, framef("answer has function %d, asked for %d", function, q.function)
	case q.function == encapsulated:
		return q.checkIdentification(data)
	case q.isRead() && (1+len(data) != q.answerSize() || data[0] != head[0]):
		return nil, framef("answer has %d bytes behind the function, asked for %d", len(data), q.answerSize()-1)
	case !q.isRead() && !bytes.Equal(data, head):
		return nil, framef("answer % x does not repeat the request's % x", data, head)
	}
	return data[len(head):], nil
}

package server

import (
	"encoding/binary"

	"github.com/tidegate/tidegate/drivers/modbus"
)

// The function codes that a [Map] knows (Modbus Application Protocol V1.1b3, 6).
const (
	readCoils              = 1
	readDiscreteInputs     = 2
	readHoldingRegisters   = 3
	readInputRegisters     = 4
	writeSingleCoil        = 5
	writeSingleRegister    = 6
	writeMultipleCoils     = 15
	writeMultipleRegisters = 16
	maskWriteRegister      = 22
	readWriteRegisters     = 23
	encapsulated           = 43
)

// The most that one request may ask for or bring.
const (
	maxReadBits       = 2000 // 6.1, 6.2
	maxReadRegisters  = 125  // 6.3, 6.4, 6.17
	maxWriteBits      = 1968 // 6.11
	maxWriteRegisters = 123  // 6.12
	maxReadWrite      = 121  // 6.17, the written part
)

// span is a part of a table.
type span struct {
	table          modbus.Table
	address, count int
}

// end is behind the last address.
func (s span) end() int { return s.address + s.count }

// request is what a PDU asks for. First it writes, then it reads; either part is empty when its count is 0.
type request struct {
	function byte
	read     span
	write    span
	data     []byte // to write: two bytes for each register, one, 0 or 1, for each coil
	and, or  uint16 // of a mask write, which has no data
	rest     []byte // behind the function code of an encapsulated interface
}

// parse takes a PDU apart. The exception is 1 for a function that is not known, 3 for a length, quantity or value that is wrong, and 2 for
// addresses behind the last one.
func parse(pdu []byte) (request, Exception) {
	q := request{function: pdu[0]}
	exception := q.parse(pdu[1:])
	if exception == 0 && (q.read.end() > 1<<16 || q.write.end() > 1<<16) {
		exception = IllegalAddress
	}
	return q, exception
}

func (q *request) parse(data []byte) Exception {
	switch q.function {
	case readCoils, readDiscreteInputs, readHoldingRegisters, readInputRegisters:
		return q.parseRead(data)
	case writeSingleCoil, writeSingleRegister:
		return q.parseSingle(data)
	case writeMultipleCoils:
		return q.parseCoils(data)
	case writeMultipleRegisters:
		return q.parseRegisters(data, maxWriteRegisters)
	case maskWriteRegister:
		return q.parseMask(data)
	case readWriteRegisters:
		return q.parseReadWrite(data)
	case encapsulated:
		q.rest = data
		return 0
	}
	return IllegalFunction
}

func (q *request) parseRead(data []byte) Exception {
	table, most := modbus.Coil, maxReadBits
	switch q.function {
	case readDiscreteInputs:
		table = modbus.Discrete
	case readHoldingRegisters:
		table, most = modbus.Holding, maxReadRegisters
	case readInputRegisters:
		table, most = modbus.Input, maxReadRegisters
	}
	if len(data) != 4 {
		return IllegalValue
	}
	return spanOf(&q.read, table, data, most)
}

// spanOf reads address and quantity.
func spanOf(s *span, table modbus.Table, data []byte, most int) Exception {
	*s = span{table, word(data), word(data[2:])}
	if s.count < 1 || s.count > most {
		return IllegalValue
	}
	return 0
}

func word(b []byte) int { return int(binary.BigEndian.Uint16(b)) }

// parseSingle reads one coil, which is 0x0000 or 0xFF00 (6.5), or one register (6.6).
func (q *request) parseSingle(data []byte) Exception {
	if len(data) != 4 {
		return IllegalValue
	}
	if q.function == writeSingleRegister {
		q.write, q.data = span{modbus.Holding, word(data), 1}, data[2:]
		return 0
	}
	q.write = span{modbus.Coil, word(data), 1}
	switch word(data[2:]) {
	case 0x0000:
		q.data = []byte{0}
	case 0xFF00:
		q.data = []byte{1}
	default:
		return IllegalValue
	}
	return 0
}

// parseCoils unpacks the bits (6.11).
func (q *request) parseCoils(data []byte) Exception {
	bits, e := q.parseBlock(modbus.Coil, data, maxWriteBits, func(count int) int { return (count + 7) / 8 })
	if e != 0 {
		return e
	}
	q.data = make([]byte, q.write.count)
	for i := range q.data {
		q.data[i] = bits[i/8] >> (i % 8) & 1
	}
	return 0
}

// parseRegisters takes the registers as they are (6.12).
func (q *request) parseRegisters(data []byte, most int) (e Exception) {
	q.data, e = q.parseBlock(modbus.Holding, data, most, func(count int) int { return 2 * count })
	return e
}

// parseBlock reads address, quantity, byte count, and returns the bytes behind that, of which size says how many a quantity takes.
func (q *request) parseBlock(table modbus.Table, data []byte, most int, size func(count int) int) ([]byte, Exception) {
	if len(data) < 5 {
		return nil, IllegalValue
	}
	if e := spanOf(&q.write, table, data, most); e != 0 {
		return nil, e
	}
	if n := size(q.write.count); int(data[4]) != n || len(data) != 5+n {
		return nil, IllegalValue
	}
	return data[5:], 0
}

func (q *request) parseMask(data []byte) Exception {
	if len(data) != 6 {
		return IllegalValue
	}
	q.write = span{modbus.Holding, word(data), 1}
	q.and, q.or = uint16(word(data[2:])), uint16(word(data[4:]))
	return 0
}

func (q *request) parseReadWrite(data []byte) Exception {
	if len(data) < 4 {
		return IllegalValue
	}
	if e := spanOf(&q.read, modbus.Holding, data, maxReadRegisters); e != 0 {
		return e
	}
	return q.parseRegisters(data[4:], maxReadWrite)
}

// written returns the answer to a write: the first words of the request again.
func written(pdu []byte) []byte {
	if pdu[0] == maskWriteRegister {
		return append([]byte(nil), pdu[:7]...)
	}
	return append([]byte(nil), pdu[:5]...)
}

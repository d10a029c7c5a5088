package sim

import "encoding/binary"

// Limits of Modbus Application Protocol V1.1b3, chapter 6.
const (
	maxReadBits       = 2000 // 6.1, 6.2
	maxReadRegisters  = 125  // 6.3, 6.4, 6.17
	maxWriteBits      = 1968 // 6.11
	maxWriteRegisters = 123  // 6.12
	maxReadWriteWords = 121  // 6.17, the written part

	// maxPDU is the longest protocol data unit, 256 characters of RS-485 less unit id and CRC (section 4.1).
	maxPDU = 253
)

// Function codes that a Bank answers; identify.go has one more.
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

	exceptionBit = 0x80
)

// Exception is an exception code of Modbus Application Protocol V1.1b3, section 7.
type Exception byte

// The exception codes that the simulation gives of its own accord; [ExceptionAnswer] can give any.
const (
	IllegalFunction     Exception = 1
	IllegalDataAddress  Exception = 2
	IllegalDataValue    Exception = 3
	GatewayTargetFailed Exception = 11

	noException Exception = 0
)

// pdu is the exception answer to a request with the function code given.
func (e Exception) pdu(function byte) []byte { return []byte{function | exceptionBit, byte(e)} }

// Respond carries out one request, function code and data without unit id and checksum, and returns the answer in the same
// form. It depends on nothing but the tables and the request. Function codes 1 to 6, 15, 16, 22, 23
// and 43/14 are answered, all others with exception 1, and a request whose quantity, byte count or length is wrong with exception 3.
// Only an empty request has no answer (nil). A request that fails changes nothing.
func (b *Bank) Respond(pdu []byte) []byte {
	if len(pdu) == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	answer, exception := b.dispatch(pdu[0], pdu[1:])
	if exception != noException {
		return exception.pdu(pdu[0])
	}
	return answer
}

func (b *Bank) dispatch(function byte, data []byte) ([]byte, Exception) {
	switch function {
	case readCoils:
		return b.readBits(Coils, function, data)
	case readDiscreteInputs:
		return b.readBits(DiscreteInputs, function, data)
	case readHoldingRegisters:
		return b.readRegisters(HoldingRegisters, function, data)
	case readInputRegisters:
		return b.readRegisters(InputRegisters, function, data)
	case writeSingleCoil:
		return b.writeCoil(data)
	case writeSingleRegister:
		return b.writeRegister(data)
	case writeMultipleCoils:
		return b.writeCoils(data)
	case writeMultipleRegisters:
		return b.writeRegisters(data)
	case maskWriteRegister:
		return b.maskRegister(data)
	case readWriteRegisters:
		return b.readWrite(data)
	case encapsulated:
		return identify(data)
	}
	return nil, IllegalFunction
}

func (b *Bank) readBits(t Table, function byte, data []byte) ([]byte, Exception) {
	address, count, ok := addressAndCount(data, maxReadBits)
	if !ok || len(data) != 4 {
		return nil, IllegalDataValue
	}
	cells, ok := b.window(t, address, count)
	if !ok {
		return nil, IllegalDataAddress
	}
	size := (count + 7) / 8
	answer := make([]byte, 2+size)
	answer[0], answer[1] = function, byte(size)
	for i, bit := range cells {
		answer[2+i/8] |= byte(bit) << (i % 8)
	}
	return answer, noException
}

func (b *Bank) readRegisters(t Table, function byte, data []byte) ([]byte, Exception) {
	address, count, ok := addressAndCount(data, maxReadRegisters)
	if !ok || len(data) != 4 {
		return nil, IllegalDataValue
	}
	cells, ok := b.window(t, address, count)
	if !ok {
		return nil, IllegalDataAddress
	}
	return registersAnswer(function, cells), noException
}

func (b *Bank) writeCoil(data []byte) ([]byte, Exception) {
	if len(data) != 4 {
		return nil, IllegalDataValue
	}
	var bit uint16
	switch word(data, 2) {
	case 0x0000:
	case 0xFF00:
		bit = 1
	default: // section 6.5: all other values are illegal
		return nil, IllegalDataValue
	}
	return echo(writeSingleCoil, data), b.store(Coils, word(data, 0), bit)
}

func (b *Bank) writeRegister(data []byte) ([]byte, Exception) {
	if len(data) != 4 {
		return nil, IllegalDataValue
	}
	return echo(writeSingleRegister, data), b.store(HoldingRegisters, word(data, 0), word(data, 2))
}

func (b *Bank) writeCoils(data []byte) ([]byte, Exception) {
	_, count, ok := addressAndCount(data, maxWriteBits)
	size := (count + 7) / 8
	if !ok || len(data) != 5+size || int(data[4]) != size {
		return nil, IllegalDataValue
	}
	bits := make([]uint16, count)
	for i := range bits {
		bits[i] = uint16(data[5+i/8]>>(i%8)) & 1
	}
	return echo(writeMultipleCoils, data[:4]), b.store(Coils, word(data, 0), bits...)
}

func (b *Bank) writeRegisters(data []byte) ([]byte, Exception) {
	_, count, ok := addressAndCount(data, maxWriteRegisters)
	if !ok || len(data) != 5+2*count || int(data[4]) != 2*count {
		return nil, IllegalDataValue
	}
	return echo(writeMultipleRegisters, data[:4]), b.store(HoldingRegisters, word(data, 0), words(data[5:])...)
}

func (b *Bank) maskRegister(data []byte) ([]byte, Exception) {
	if len(data) != 6 {
		return nil, IllegalDataValue
	}
	address, and, or := word(data, 0), word(data, 2), word(data, 4)
	cells, ok := b.window(HoldingRegisters, int(address), 1)
	if !ok {
		return nil, IllegalDataAddress
	}
	return echo(maskWriteRegister, data), b.store(HoldingRegisters, address, cells[0]&and|or&^and)
}

// readWrite writes before it reads (section 6.17), but looks at both address ranges before it writes.
func (b *Bank) readWrite(data []byte) ([]byte, Exception) {
	readAddress, readCount, ok := addressAndCount(data, maxReadRegisters)
	if !ok {
		return nil, IllegalDataValue
	}
	_, writeCount, ok := addressAndCount(data[4:], maxReadWriteWords)
	if !ok || len(data) != 9+2*writeCount || int(data[8]) != 2*writeCount {
		return nil, IllegalDataValue
	}
	cells, ok := b.window(HoldingRegisters, readAddress, readCount)
	if !ok {
		return nil, IllegalDataAddress
	}
	if exception := b.store(HoldingRegisters, word(data, 4), words(data[9:])...); exception != noException {
		return nil, exception
	}
	return registersAnswer(readWriteRegisters, cells), noException
}

// store is the master's way to write: all values or none.
func (b *Bank) store(t Table, address uint16, values ...uint16) Exception {
	cells, ok := b.window(t, int(address), len(values))
	if !ok {
		return IllegalDataAddress
	}
	for i, v := range values {
		if b.accept != nil && !b.accept(t, address+uint16(i), v) {
			return IllegalDataValue
		}
	}
	copy(cells, values)
	return noException
}

// addressAndCount reads the two words that most requests begin with; false if they are missing or the count is not in 1..limit.
func addressAndCount(data []byte, limit int) (address, count int, ok bool) {
	if len(data) < 4 {
		return 0, 0, false
	}
	address, count = int(word(data, 0)), int(word(data, 2))
	return address, count, count >= 1 && count <= limit
}

func registersAnswer(function byte, cells []uint16) []byte {
	answer := make([]byte, 2, 2+2*len(cells))
	answer[0], answer[1] = function, byte(2*len(cells))
	for _, c := range cells {
		answer = binary.BigEndian.AppendUint16(answer, c)
	}
	return answer
}

// echo is the answer to a write: the request's own first words.
func echo(function byte, data []byte) []byte { return append([]byte{function}, data...) }

func word(data []byte, offset int) uint16 { return binary.BigEndian.Uint16(data[offset:]) }

func words(data []byte) []uint16 {
	values := make([]uint16, len(data)/2)
	for i := range values {
		values[i] = word(data, 2*i)
	}
	return values
}

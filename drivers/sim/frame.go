package sim

// RTU framing, Modbus over Serial Line V1.02, section 2.5.1: unit id, protocol data unit, CRC with its low byte first.
const (
	minFrame = 4   // unit id, function code, CRC
	maxFrame = 256 // section 2.5.1, an application data unit on a serial line
)

// crcTable holds the CRC of each byte for the reflected polynomial 0xA001 (section 6.2.2).
var crcTable = newCRCTable()

func newCRCTable() (table [256]uint16) {
	for i := range table {
		crc := uint16(i)
		for range 8 {
			carry := crc & 1
			crc >>= 1
			if carry == 1 {
				crc ^= 0xA001
			}
		}
		table[i] = crc
	}
	return table
}

// crc16 returns the checksum that Modbus puts behind an RTU frame.
func crc16(data []byte) uint16 {
	crc := uint16(0xFFFF)
	for _, b := range data {
		crc = crc>>8 ^ crcTable[byte(crc)^b]
	}
	return crc
}

// appendCRC returns the frame with its checksum.
func appendCRC(frame []byte) []byte {
	crc := crc16(frame)
	return append(frame, byte(crc), byte(crc>>8))
}

// validFrame tells whether the bytes are exactly one RTU frame. Over a frame with its checksum the CRC is 0.
func validFrame(frame []byte) bool {
	return len(frame) >= minFrame && len(frame) <= maxFrame && crc16(frame) == 0
}

// requestLength tells how long the request is that begins with these bytes, CRC included; 0 if its
// function code is not known or not enough of it is there to tell.
func requestLength(begin []byte) int {
	if len(begin) < 2 {
		return 0
	}
	switch begin[1] {
	case readCoils, readDiscreteInputs, readHoldingRegisters, readInputRegisters, writeSingleCoil, writeSingleRegister:
		return 8
	case maskWriteRegister:
		return 10
	case writeMultipleCoils, writeMultipleRegisters:
		return countedLength(begin, 6)
	case readWriteRegisters:
		return countedLength(begin, 10)
	}
	return 0
}

// countedLength is the length of a frame whose byte count is at an offset and whose data follow it.
func countedLength(begin []byte, offset int) int {
	if len(begin) <= offset {
		return 0
	}
	return offset + 1 + int(begin[offset]) + 2
}

// cutFrames takes whole valid requests from the beginning of what was received on a line without pace, and returns them
// and what is left. It stops at anything that is not, or not yet, a valid request.
func cutFrames(received []byte) (frames [][]byte, rest []byte) {
	for {
		n := requestLength(received)
		if n == 0 || n > len(received) || !validFrame(received[:n]) {
			return frames, received
		}
		frames = append(frames, received[:n])
		received = received[n:]
	}
}

// salvageFrames finds what can be found in bytes that silence has ended: requests with noise around them, or one frame of
// a function code whose length is not known.
func salvageFrames(received []byte) (frames [][]byte) {
	if validFrame(received) {
		return [][]byte{received}
	}
	for len(received) >= minFrame {
		found, rest := cutFrames(received)
		frames = append(frames, found...)
		received = rest[min(1, len(rest)):]
	}
	return frames
}

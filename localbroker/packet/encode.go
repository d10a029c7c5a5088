package packet

import (
	"encoding/binary"
	"unicode/utf8"
)

// begin appends the first byte of a packet and leaves room for a remaining length of
// one byte; seal puts it in once the body is there. start is where that is.
func begin(dst []byte, first byte) (out []byte, start int) {
	return append(dst, first, 0), len(dst) + 1
}

// seal writes the length of everything after start into the room left there, and
// moves the body up if it takes more than one byte.
func seal(dst []byte, start int) []byte {
	n := len(dst) - start - 1
	extra := varintSize(n) - 1
	if extra > 0 {
		var room [3]byte
		dst = append(dst, room[:extra]...)
		copy(dst[start+1+extra:], dst[start+1:start+1+n])
	}
	appendVarint(dst[:start], n)
	return dst
}

// appendBytes appends data with its length before it. Data that is too long for
// the length field is cut, so that the frame stays sound; Validate refuses it.
func appendBytes[T ~string | ~[]byte](dst []byte, data T) []byte {
	if len(data) > maxField {
		data = data[:cut(data)]
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(data)))
	return append(dst, data...)
}

// cut returns where to cut data so that no UTF-8 character is torn.
func cut[T ~string | ~[]byte](data T) int {
	n := maxField
	for n > maxField-utf8.UTFMax && !utf8.RuneStart(data[n]) {
		n--
	}
	return n
}

// fieldSize returns the number of bytes that data takes with its length before it.
func fieldSize[T ~string | ~[]byte](data T) int {
	if len(data) > maxField {
		return 2 + cut(data)
	}
	return 2 + len(data)
}

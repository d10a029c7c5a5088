package modbus

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// decodeText reads the characters of a text: up to the first NUL, without the spaces that fill it up. What is not UTF-8 is Latin-1 (ISO 8859-1),
// whose characters are the first 256 of Unicode.
func decodeText(b []byte) string {
	if end := bytes.IndexByte(b, 0); end >= 0 {
		b = b[:end]
	}
	b = bytes.TrimRight(b, " ")
	if utf8.Valid(b) {
		return string(b)
	}
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes)
}

// encodeText fills a text up with NUL to size bytes.
func encodeText(s string, size int) ([]byte, error) {
	switch {
	case !utf8.ValidString(s):
		return nil, errors.New("text is not UTF-8")
	case strings.ContainsRune(s, 0):
		return nil, errors.New("text holds a NUL, which would end it")
	case len(s) > size:
		return nil, fmt.Errorf("text has %d bytes, and the point holds %d", len(s), size)
	}
	return append([]byte(s), make([]byte, size-len(s))...), nil
}

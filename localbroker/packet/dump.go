package packet

import (
	"bytes"
	"fmt"
)

// dumpSize is how many bytes of a bad packet are shown: enough for the fixed header and
// the first fields, little enough for a line in a log.
const dumpSize = 32

// Dump renders the first bytes of b in hexadecimal for a log, with the number of all:
//
//	10 10 00 00 00 00 04 4d 51 54 54 04 02 00 3c (15 bytes)
func Dump(b []byte) string {
	if len(b) > dumpSize {
		return fmt.Sprintf("% x ... (%d bytes)", b[:dumpSize], len(b))
	}
	return fmt.Sprintf("% x (%d bytes)", b, len(b))
}

// Hint names the known cause that bytes which do not parse look like, "" if none comes to
// mind. b begins where the packet that failed begins.
func Hint(b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case bytes.HasPrefix(b, []byte{0x16, 0x03}):
		return "this looks like TLS on a listener without TLS"
	case looksLikeHTTP(b):
		return "this looks like HTTP or WebSocket on a listener for plain MQTT"
	case bytes.HasPrefix(b, []byte("PROXY ")) || bytes.HasPrefix(b, []byte("\r\n\r\n\x00\r\nQUIT\n")):
		return "this looks like the PROXY protocol, which is not supported here"
	case looksLikeArrayBuffer(b):
		return "this looks like a known bug of MQTT.js in mini programs, which sends the whole ArrayBuffer " +
			"behind each piece of a packet; another version of MQTT.js or of its Buffer shim helps"
	}
	return ""
}

func looksLikeHTTP(b []byte) bool {
	for _, method := range []string{"GET ", "POST ", "HEAD ", "PUT ", "OPTIONS "} {
		if bytes.HasPrefix(b, []byte(method)) {
			return true
		}
	}
	return false
}

// looksLikeArrayBuffer recognises what MQTT.js puts on the wire where its WebSocket is given
// chunk.buffer in place of chunk: the bytes around a chunk are sent as well, mostly zeros.
// MQTT.js writes the remaining length into a buffer of four bytes and hands out the part in
// use, so CONNECT has the unused zeros right after it; later packets have them behind.
func looksLikeArrayBuffer(b []byte) bool {
	if b[0] == 0 {
		return true
	}
	if b[0] != TypeConnect.first() || len(b) < 1+4 {
		return false
	}
	_, used := decodeVarint(b[1:])
	return used > 0 && used < 4 && bytes.Count(b[1+used:1+4], []byte{0}) == 4-used
}

// Package packettest holds MQTT packets byte for byte, good and bad, for the tests of
// everything that reads or writes them.
package packettest

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// Case is one packet as bytes, with what it must parse to or which rule it breaks.
type Case struct {
	// Name is unique: packet type, version, and what is special.
	Name    string
	Version packet.Version // of the connection
	Raw     []byte         // one frame from its first byte to its last
	// Packet is what Raw parses to; nil if Raw must be refused.
	Packet packet.Packet
	// Encoded is how Packet is written: Raw itself, unless a peer wrote it in another way.
	Encoded []byte
	// Clause and Code say which rule a packet breaks that must be refused.
	Clause string
	Code   packet.ReasonCode
}

// Valid reports whether the case must parse.
func (c Case) Valid() bool { return c.Packet != nil }

// FromClient reports whether a client may send packets of this type.
func (c Case) FromClient() bool {
	switch packet.Type(c.Raw[0] >> 4) {
	case packet.TypeConnack, packet.TypeSuback, packet.TypeUnsuback, packet.TypePingresp:
		return false
	}
	return true
}

// Cases returns all cases. Every call builds them anew, so that the caller may change them.
func Cases() []Case {
	return slices.Concat(
		frameCases(),
		connectCases(), connectV5Cases(), badConnectCases(),
		connackCases(),
		publishCases(), badPublishCases(),
		ackCases(),
		subscribeCases(), badSubscribeCases(), unsubscribeCases(),
		subackCases(),
		controlCases(),
		propertyCases(),
		peerCases(),
	)
}

// Bytes turns the notation of this package into bytes: hexadecimal bytes separated by spaces,
// text in single quotes (without spaces), and "xx*N" for a byte repeated N times. A
// "|" is there for the eye. It panics on anything else.
func Bytes(notation string) []byte {
	var out []byte
	for _, token := range strings.Fields(notation) {
		b, err := tokenBytes(token)
		if err != nil {
			panic(fmt.Sprintf("packettest: %q in %q: %v", token, notation, err))
		}
		out = append(out, b...)
	}
	return out
}

func tokenBytes(token string) ([]byte, error) {
	if token == "|" {
		return nil, nil
	}
	if len(token) >= 2 && token[0] == '\'' && token[len(token)-1] == '\'' {
		return []byte(token[1 : len(token)-1]), nil
	}
	digits, count, repeated := strings.Cut(token, "*")
	b, err := hex.DecodeString(digits)
	if err != nil || !repeated {
		return b, err
	}
	n, err := strconv.Atoi(count)
	return slices.Repeat(b, n), err
}

// good is a packet that is written exactly as it was read.
func good(name string, v packet.Version, raw string, p packet.Packet) Case {
	return Case{Name: name, Version: v, Raw: Bytes(raw), Packet: p, Encoded: Bytes(raw)}
}

// loose is a packet that is written in another way than it was read.
func loose(name string, v packet.Version, raw string, p packet.Packet, encoded string) Case {
	return Case{Name: name, Version: v, Raw: Bytes(raw), Packet: p, Encoded: Bytes(encoded)}
}

// malformed is a packet that must be refused as malformed.
func malformed(name string, v packet.Version, raw, clause string) Case {
	return bad(name, v, raw, clause, packet.ReasonMalformedPacket)
}

// protocolError is a packet that must be refused as a protocol error.
func protocolError(name string, v packet.Version, raw, clause string) Case {
	return bad(name, v, raw, clause, packet.ReasonProtocolError)
}

func bad(name string, v packet.Version, raw, clause string, code packet.ReasonCode) Case {
	return Case{Name: name, Version: v, Raw: Bytes(raw), Clause: clause, Code: code}
}

// Package packet is the wire format of MQTT 3.1, 3.1.1 and 5: bytes to packets
// and back. It does no I/O, keeps no state and starts nothing.
//
// # Reading
//
// [NextFrame] cuts the first packet off a byte slice, or says that more bytes
// are needed. It refuses a packet that claims to be larger than the caller
// allows while only its header is there, so a reader never has to make room for
// a claim. A frame is then parsed into the struct of its type, which may be used
// again for the next packet:
//
//	for len(buf) > 0 {
//		frame, n, err := packet.NextFrame(buf, limit)
//		if err != nil || n == 0 {
//			break // close the connection; or read more
//		}
//		buf = buf[n:]
//		switch frame.Type() {
//		case packet.TypePublish:
//			err = publish.Parse(frame, version)
//		...
//		}
//	}
//
// Nothing is copied that need not be: in every parsed packet a field of type
// []byte is a part of the input and is good only as long as the input is; a
// field of type string is a copy. Parsing a PUBLISH or an acknowledgement
// allocates nothing.
//
// # Writing
//
// Append adds a packet to a byte slice. What a person or another program has
// supplied goes through Validate first. Append itself refuses nothing: a string
// that is too long is cut, so that its frame stays sound, and only a packet of more
// than MaxSize bytes, which Validate refuses, would not be. [Publish.Encode] is for a
// PUBLISH with many receivers: encoded once, then copied for each of them with
// its own packet identifier.
//
// # Strictness
//
// A packet that breaks a rule of its version is refused with an [Error] that
// names the normative statement. Where MQTT 3.1 says that bits are not used or
// are to be disregarded, they are disregarded for 3.1 only: header flags of
// other packets than CONNECT and PUBLISH, DUP at QoS 0, the reserved connect flag,
// will flags without a will, and a user name or password that is announced but not there.
//
// These rules depend on who sends, or on what went before, and are left to the
// caller:
//   - the first packet is CONNECT, and there is only one [MQTT-3.1.0-1, MQTT-3.1.0-2];
//   - which packet types, DISCONNECT and AUTH reason codes a client or a server may send;
//   - an empty client identifier, and one longer than 23 bytes in 3.1;
//   - a topic alias above the maximum or without a mapping; subscription identifiers
//     in a PUBLISH from a client [MQTT-3.3.4-6];
//   - a session expiry in DISCONNECT where CONNECT had none [MQTT-3.14.2-2];
//   - whether a payload that claims to be UTF-8 is.
package packet

package packet

import "strings"

// Error says which rule of the standard a packet breaks. Every error that a
// parser or a validator of this package returns is an *Error, and after any of
// them the connection has to be closed (MQTT-4.8.0-1, in MQTT 5 MQTT-4.13.1-1).
type Error struct {
	Packet  Type       // of the offending packet, as far as it could be told
	Version Version    // of the connection; 0 while that is not known
	Code    ReasonCode // for the CONNACK or DISCONNECT of MQTT 5
	Clause  string     // normative statement, "MQTT-3.1.2-3", or "section 2.2.3"; "" if the limit is our own
	Field   string     // the field that is wrong, "will topic"; "" for the packet as a whole
	Problem string     // what is wrong with it
}

// Error returns the whole story in one line, for example
//
//	malformed PUBLISH: topic name: contains a wildcard [MQTT-3.3.2-2]
func (e *Error) Error() string {
	var b strings.Builder
	switch e.Code {
	case ReasonMalformedPacket:
		b.WriteString("malformed ")
	case ReasonProtocolError:
		b.WriteString("protocol error in ")
	default:
		b.WriteString("refused ")
	}
	b.WriteString(e.Packet.String())
	if e.Field != "" {
		b.WriteString(": " + e.Field)
	}
	b.WriteString(": " + e.Problem)
	if e.Clause != "" {
		b.WriteString(" [" + e.Clause + "]")
	}
	return b.String()
}

// Connack returns the CONNACK that answers a CONNECT which failed to parse with
// e, to be appended for e.Version. It is false if no answer is due: 3.1.1 has one
// for an unacceptable protocol level only [MQTT-3.1.2-2, MQTT-3.1.4-1], and
// nobody can tell how to answer what is not MQTT at all.
func (e *Error) Connack() (Connack, bool) {
	answer := e.Version == V5 || e.Version != 0 && e.Code == ReasonUnsupportedVersion
	if e.Packet != TypeConnect || !answer {
		return Connack{}, false
	}
	return Connack{Code: e.Code}, true
}

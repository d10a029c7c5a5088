package packet

import "encoding/binary"

// Ack is a PUBACK, PUBREC, PUBREL or PUBCOMP packet, which differ in their Kind
// only.
type Ack struct {
	Kind  Type // TypePuback, TypePubrec, TypePubrel or TypePubcomp
	ID    uint16
	Code  ReasonCode // MQTT 5 only
	Props Properties // MQTT 5 only
}

// Type returns the kind of acknowledgement.
func (a *Ack) Type() Type { return a.Kind }

// Parse reads frame f, an acknowledgement of any kind, into a.
func (a *Ack) Parse(f Frame, v Version) error {
	a.Kind = f.Type()
	var d decoder
	d.start(f, a.Kind, v)
	if a.Kind < TypePuback || a.Kind > TypePubcomp {
		d.fail(ruleOtherType, "")
	}
	a.ID = d.packetID()
	a.Code = d.reason(&a.Props)
	d.end()
	return d.result()
}

// Append appends the packet to dst.
func (a *Ack) Append(dst []byte, v Version) []byte {
	dst, start := begin(dst, a.Kind.first())
	dst = binary.BigEndian.AppendUint16(dst, a.ID)
	return seal(appendReason(dst, a.Kind, v, a.Code, &a.Props), start)
}

// AppendAck appends an acknowledgement that reports success: four bytes that are the same in
// every version.
func AppendAck(dst []byte, kind Type, id uint16) []byte {
	return append(dst, kind.first(), 2, byte(id>>8), byte(id))
}

// AppendAckCode appends an acknowledgement with a reason code and an empty set of properties. Only MQTT 5 has codes other than success.
func AppendAckCode(dst []byte, kind Type, id uint16, code ReasonCode) []byte {
	if code == ReasonSuccess {
		return AppendAck(dst, kind, id)
	}
	return append(dst, kind.first(), 4, byte(id>>8), byte(id), byte(code), 0)
}

// reason reads the reason code and properties that end the acknowledgements, DISCONNECT
// and AUTH of MQTT 5. If they are missing, that stands for success without
// properties; in all but AUTH the properties alone may be missing (sections 3.4.2.1,
// 3.14.2.2.1, 3.15.2.1).
func (d *decoder) reason(props *Properties) ReasonCode {
	props.Reset()
	if d.v != V5 || !d.more() {
		return ReasonSuccess
	}
	code := ReasonCode(d.byte("reason code"))
	if !code.validIn(d.t) {
		d.fail(ruleReasonCode, "reason code")
	}
	if d.more() || d.t == TypeAuth {
		d.properties(props, d.t)
	}
	return code
}

// appendReason is the counterpart of decoder.reason. It writes nothing for success without
// properties, and else always the length of the properties: it may be left out when there are none, but
// clients read over the end of such a packet (the mini-program bundle of MQTT.js 4.1).
func appendReason(dst []byte, t Type, v Version, code ReasonCode, props *Properties) []byte {
	if v != V5 {
		return dst
	}
	size := props.size(t)
	if size == 0 && code == ReasonSuccess {
		return dst
	}
	dst = append(dst, byte(code))
	return props.appendSized(dst, t, size)
}

package packet

import "encoding/binary"

// Suback is a SUBACK packet.
type Suback struct {
	ID uint16
	// Codes holds an answer to each filter in the order of the SUBSCRIBE: the granted QoS or a
	// failure. 3.1 and 3.1.1 know one failure, ReasonUnspecifiedError; Append writes all others
	// as that.
	Codes []ReasonCode
	Props Properties // MQTT 5 only
}

// Type returns TypeSuback.
func (*Suback) Type() Type { return TypeSuback }

// Parse reads frame f into s.
func (s *Suback) Parse(f Frame, v Version) error {
	var d decoder
	d.start(f, TypeSuback, v)
	s.ID = d.packetID()
	d.properties(&s.Props, TypeSuback)
	s.Codes = d.codes(s.Codes[:0])
	return d.result()
}

// codes reads the list of reason codes that ends SUBACK and UNSUBACK.
func (d *decoder) codes(codes []ReasonCode) []ReasonCode {
	if !d.more() {
		d.fail(ruleNoReasonCode, "list of reason codes")
	}
	for _, b := range d.b {
		code := ReasonCode(b)
		if !code.validIn(d.t) || d.v != V5 && code > ReasonUnspecifiedError {
			d.fail(ruleReasonCode, "reason code")
			return codes
		}
		codes = append(codes, code)
	}
	d.b = nil
	return codes
}

// Append appends the packet to dst.
func (s *Suback) Append(dst []byte, v Version) []byte {
	dst, start := begin(dst, TypeSuback.first())
	dst = binary.BigEndian.AppendUint16(dst, s.ID)
	if v == V5 {
		dst = s.Props.append(dst, TypeSuback)
	}
	for _, code := range s.Codes {
		if v != V5 && code.Failed() {
			code = ReasonUnspecifiedError
		}
		dst = append(dst, byte(code))
	}
	return seal(dst, start)
}

// Unsuback is an UNSUBACK packet.
type Unsuback struct {
	ID    uint16
	Codes []ReasonCode // MQTT 5 only: an answer to each filter
	Props Properties   // MQTT 5 only
}

// Type returns TypeUnsuback.
func (*Unsuback) Type() Type { return TypeUnsuback }

// Parse reads frame f into u.
func (u *Unsuback) Parse(f Frame, v Version) error {
	var d decoder
	d.start(f, TypeUnsuback, v)
	u.ID = d.packetID()
	d.properties(&u.Props, TypeUnsuback)
	u.Codes = u.Codes[:0]
	if v == V5 {
		u.Codes = d.codes(u.Codes)
	}
	d.end()
	return d.result()
}

// Append appends the packet to dst.
func (u *Unsuback) Append(dst []byte, v Version) []byte {
	dst, start := begin(dst, TypeUnsuback.first())
	dst = binary.BigEndian.AppendUint16(dst, u.ID)
	if v == V5 {
		dst = u.Props.append(dst, TypeUnsuback)
		for _, code := range u.Codes {
			dst = append(dst, byte(code))
		}
	}
	return seal(dst, start)
}

package packet

// Connack is a CONNACK packet.
type Connack struct {
	SessionPresent bool // 3.1.1 and 5
	// Code is ReasonSuccess or why the connection is refused. For 3.1 and 3.1.1 Append
	// writes the return code that comes nearest, and Parse gives the reason code that says
	// what the return code says.
	Code  ReasonCode
	Props Properties // MQTT 5 only
}

// Type returns TypeConnack.
func (*Connack) Type() Type { return TypeConnack }

// Parse reads frame f into c.
func (c *Connack) Parse(f Frame, v Version) error {
	var d decoder
	d.start(f, TypeConnack, v)
	flags := d.byte("acknowledge flags")
	if v == V31 {
		flags = 0 // 3.1 does not use this byte
	}
	if flags > 1 {
		d.fail(ruleConnackFlags, "acknowledge flags")
	}
	c.SessionPresent = flags == 1
	c.Code = d.connectReason()
	d.properties(&c.Props, TypeConnack)
	d.end()
	if c.SessionPresent && c.Code != ReasonSuccess {
		d.fail(ruleSessionPresent, "session present flag")
	}
	return d.result()
}

func (d *decoder) connectReason() ReasonCode {
	code := d.byte("reason code")
	switch {
	case d.v == V5 && ReasonCode(code).validIn(TypeConnack):
		return ReasonCode(code)
	case d.v != V5 && int(code) < len(connackV3):
		return connackV3[code]
	}
	d.fail(ruleReasonCode, "reason code")
	return ReasonUnspecifiedError
}

// Append appends the packet to dst.
func (c *Connack) Append(dst []byte, v Version) []byte {
	dst, start := begin(dst, TypeConnack.first())
	var flags byte
	if c.SessionPresent && v != V31 {
		flags = 1
	}
	if v == V5 {
		dst = c.Props.append(append(dst, flags, byte(c.Code)), TypeConnack)
	} else {
		dst = append(dst, flags, c.Code.returnCode())
	}
	return seal(dst, start)
}

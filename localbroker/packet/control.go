package packet

// Pingreq is a PINGREQ packet.
type Pingreq struct{}

// Type returns TypePingreq.
func (*Pingreq) Type() Type { return TypePingreq }

// Parse checks that f is a PINGREQ and nothing more.
func (*Pingreq) Parse(f Frame, v Version) error { return parseEmpty(f, TypePingreq, v) }

// Append appends the packet to dst.
func (*Pingreq) Append(dst []byte, _ Version) []byte { return append(dst, TypePingreq.first(), 0) }

// Pingresp is a PINGRESP packet.
type Pingresp struct{}

// Type returns TypePingresp.
func (*Pingresp) Type() Type { return TypePingresp }

// Parse checks that f is a PINGRESP and nothing more.
func (*Pingresp) Parse(f Frame, v Version) error { return parseEmpty(f, TypePingresp, v) }

// Append appends the packet to dst.
func (*Pingresp) Append(dst []byte, _ Version) []byte { return append(dst, TypePingresp.first(), 0) }

func parseEmpty(f Frame, t Type, v Version) error {
	var d decoder
	d.start(f, t, v)
	d.end()
	return d.result()
}

// Disconnect is a DISCONNECT packet. Before MQTT 5 it comes from clients only and says that
// the will must not be published.
type Disconnect struct {
	Code  ReasonCode // MQTT 5 only
	Props Properties // MQTT 5 only
}

// Type returns TypeDisconnect.
func (*Disconnect) Type() Type { return TypeDisconnect }

// Parse reads frame f into p.
func (p *Disconnect) Parse(f Frame, v Version) error {
	var d decoder
	d.start(f, TypeDisconnect, v)
	p.Code = d.reason(&p.Props)
	d.end()
	return d.result()
}

// Append appends the packet to dst.
func (p *Disconnect) Append(dst []byte, v Version) []byte {
	dst, start := begin(dst, TypeDisconnect.first())
	return seal(appendReason(dst, TypeDisconnect, v, p.Code, &p.Props), start)
}

// Auth is an AUTH packet. It exists in MQTT 5 only.
type Auth struct {
	Code  ReasonCode
	Props Properties
}

// Type returns TypeAuth.
func (*Auth) Type() Type { return TypeAuth }

// Parse reads frame f into a.
func (a *Auth) Parse(f Frame, v Version) error {
	var d decoder
	d.start(f, TypeAuth, v)
	a.Code = d.reason(&a.Props)
	d.end()
	return d.result()
}

// Append appends the packet to dst.
func (a *Auth) Append(dst []byte, v Version) []byte {
	dst, start := begin(dst, TypeAuth.first())
	return seal(appendReason(dst, TypeAuth, v, a.Code, &a.Props), start)
}

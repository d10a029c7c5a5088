package packet

import (
	"encoding/binary"
	"slices"
)

// Publish is a PUBLISH packet.
type Publish struct {
	Dup     bool // sent before; never at QoS 0
	Retain  bool
	QoS     QoS
	ID      uint16     // packet identifier; 0 at QoS 0
	Topic   []byte     // may be empty in MQTT 5 if there is a topic alias
	Payload []byte     // opaque
	Props   Properties // MQTT 5 only
}

const (
	flagRetain = 1 << 0
	flagDup    = 1 << 3
)

// Type returns TypePublish.
func (*Publish) Type() Type { return TypePublish }

// Parse reads frame f into p, of which nothing old is left. Topic, Payload and the
// byte slices of Props are parts of f.Body.
func (p *Publish) Parse(f Frame, v Version) error {
	var d decoder
	d.b, d.t, d.v = f.Body, TypePublish, v
	p.header(&d, f)
	p.Topic = d.binary("topic name")
	p.ID = 0
	if p.QoS > 0 {
		p.ID = d.packetID()
	}
	d.properties(&p.Props, TypePublish)
	p.Payload = d.b
	if d.err == nil {
		d.err = p.checkTopic(v)
	}
	return d.result()
}

// header reads the flags of the fixed header.
func (p *Publish) header(d *decoder, f Frame) {
	p.Dup, p.Retain = f.First&flagDup != 0, f.First&flagRetain != 0
	p.QoS = QoS(f.First >> 1 & 3)
	if p.QoS == 0 && d.v == V31 {
		p.Dup = false // 3.1 gives DUP a meaning above QoS 0 only
	}
	switch {
	case f.Type() != TypePublish:
		d.fail(ruleOtherType, "")
	case f.Padded && d.v == V5:
		d.fail(ruleVarintPadded, "remaining length")
	case p.QoS > QoS2:
		d.fail(ruleQoS3, "QoS")
	case p.Dup && p.QoS == 0:
		d.fail(ruleDupQoS0, "DUP flag")
	}
}

func (p *Publish) checkTopic(v Version) *Error {
	r := checkTopic(view(p.Topic))
	switch {
	case r == 0:
		return nil
	case r == ruleTopicWildcard:
		r = rulePublishWildcard
	case r == ruleTopicEmpty && v == V5 && p.Props.TopicAlias.Set:
		return nil
	case r == ruleTopicEmpty && v == V5:
		r = ruleNoTopic
	}
	return r.breach(TypePublish, v, "topic name")
}

// Validate returns an *Error if p cannot be sent in version v. The packet identifier
// and the DUP flag are not looked at, so that a message can be checked before it is
// given them.
func (p *Publish) Validate(v Version) error {
	d := decoder{t: TypePublish, v: v}
	if p.QoS > QoS2 {
		d.fail(ruleQoS3, "QoS")
	}
	d.check(p.checkTopic(v))
	d.check(p.Props.validate(v, TypePublish))
	if p.Size(v) > MaxSize {
		d.fail(ruleTooLarge, "payload")
	}
	return d.result()
}

// Size returns the length in bytes of the whole packet in version v, for
// comparison with a client's Maximum Packet Size.
func (p *Publish) Size(v Version) int {
	body, _ := p.bodySize(v)
	return 1 + varintSize(body) + body
}

// bodySize returns the remaining length, and that part of it which the properties take.
func (p *Publish) bodySize(v Version) (body, props int) {
	body = fieldSize(p.Topic) + len(p.Payload)
	if p.QoS > 0 {
		body += 2
	}
	if v == V5 {
		props = p.Props.size(TypePublish)
		body += varintSize(props) + props
	}
	return body, props
}

// Append appends the packet to dst. It allocates only if dst is too short.
func (p *Publish) Append(dst []byte, v Version) []byte {
	dst, _ = p.append(dst, v)
	return dst
}

// append also returns where in dst the packet identifier is, -1 at QoS 0.
func (p *Publish) append(dst []byte, v Version) (out []byte, id int) {
	body, props := p.bodySize(v)
	dst = slices.Grow(dst, 1+varintSize(body)+body)
	dst = append(dst, p.first())
	dst = appendVarint(dst, body)
	dst = appendBytes(dst, p.Topic)
	id = -1
	if p.QoS > 0 {
		id = len(dst)
		dst = binary.BigEndian.AppendUint16(dst, p.ID)
	}
	if v == V5 {
		dst = p.Props.appendSized(dst, TypePublish, props)
	}
	return append(dst, p.Payload...), id
}

func (p *Publish) first() byte {
	first := byte(TypePublish)<<4 | byte(p.QoS&3)<<1
	if p.Retain {
		first |= flagRetain
	}
	if p.Dup && p.QoS > 0 {
		first |= flagDup
	}
	return first
}

// Encoded is a PUBLISH in its wire form for any number of receivers that share version,
// QoS, retain flag and properties: only packet identifier and DUP flag
// differ between their copies. It is never written to after Encode, so that many
// goroutines may copy from it at once.
type Encoded struct {
	b  []byte
	id int // offset of the packet identifier; 0 at QoS 0
}

// Encode encodes p into buf, from its start, or into a new slice if buf is too
// short. The result keeps that slice. p.ID and p.Dup may be left zero.
func (p *Publish) Encode(buf []byte, v Version) Encoded {
	b, id := p.append(buf[:0], v)
	return Encoded{b: b, id: max(id, 0)}
}

// Append appends one receiver's copy to dst. At QoS 0 id and dup have no meaning.
func (e Encoded) Append(dst []byte, id uint16, dup bool) []byte {
	start := len(dst)
	dst = append(dst, e.b...)
	if e.id == 0 {
		return dst
	}
	binary.BigEndian.PutUint16(dst[start+e.id:], id)
	dst[start] &^= flagDup
	if dup {
		dst[start] |= flagDup
	}
	return dst
}

// Len returns the length in bytes of each copy.
func (e Encoded) Len() int { return len(e.b) }

// Bytes returns the encoding itself, to be read only: at QoS 0 all receivers can be
// sent these very bytes.
func (e Encoded) Bytes() []byte { return e.b }

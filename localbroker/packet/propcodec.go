package packet

import (
	"encoding/binary"
	"fmt"
)

// properties reads the property length and the properties of owner, in MQTT 5; in the
// other versions there are none. Nothing old is left in p.
func (d *decoder) properties(p *Properties, owner Type) {
	if d.v != V5 {
		if !p.none() {
			p.Reset()
		}
		return
	}
	p.Reset()
	size := d.varint("property length")
	if size == 0 && owner != TypeAuth {
		return
	}
	part := decoder{b: d.take(size, "property length"), t: d.t, v: d.v}
	seen := idSet(0)
	for part.more() {
		part.property(p, owner, &seen)
	}
	d.check(part.err)
	d.check(p.validateOnly(seen, d.v, owner))
}

// idSet is a set of property identifiers, one bit each.
type idSet uint64

const allIDs = ^idSet(0)

func (s idSet) has(id PropertyID) bool { return s>>id&1 != 0 }

// property reads one property; seen are those that came before.
func (d *decoder) property(p *Properties, owner Type, seen *idSet) {
	x := d.varint("property identifier")
	if d.err != nil {
		return
	}
	if x >= len(properties) || !properties[x].in.has(owner) {
		d.fail(ruleProperty, fmt.Sprintf("property 0x%02x", x))
		return
	}
	id := PropertyID(x)
	if seen.has(id) && !id.repeats() {
		d.fail(rulePropertyTwice, id.String())
		return
	}
	*seen |= 1 << id
	d.value(p, id)
}

// repeats reports whether property id may come more than once. That a SUBSCRIBE has no more
// than one subscription identifier is for validate to see.
func (id PropertyID) repeats() bool {
	return id == PropUserProperty || id == PropSubscriptionID
}

func (d *decoder) value(p *Properties, id PropertyID) {
	switch field := id.String(); properties[id].kind {
	case kindFlag:
		*p.flag(id) = Some(d.byte(field))
	case kindUint16:
		*p.uint16(id) = Some(d.uint16(field))
	case kindUint32:
		*p.uint32(id) = Some(d.uint32(field))
	case kindVarint:
		p.SubscriptionIDs = append(p.SubscriptionIDs, uint32(d.varint(field)))
	case kindText, kindBinary:
		*p.bytes(id) = d.binary(field)
	case kindPair:
		pair := UserProperty{Name: d.binary(field)}
		pair.Value = d.binary(field)
		p.UserProperties = append(p.UserProperties, pair)
	}
}

// validate checks the values of the properties that owner can have.
func (p *Properties) validate(v Version, owner Type) *Error {
	return p.validateOnly(allIDs, v, owner)
}

// validateOnly is validate where only the properties in set can be there.
func (p *Properties) validateOnly(set idSet, v Version, owner Type) *Error {
	if v != V5 {
		return nil
	}
	packet := owner
	if owner == ownerWill {
		packet = TypeConnect
	}
	for _, id := range propertiesOf[owner] {
		if !set.has(id) {
			continue
		}
		if r := p.checkValue(id); r != 0 {
			return r.breach(packet, v, id.String())
		}
	}
	switch {
	case owner == TypeConnect && p.AuthData != nil && p.AuthMethod == nil:
		return ruleAuthData.breach(packet, v, PropAuthData.String())
	case owner == TypeAuth && p.AuthMethod == nil:
		return ruleAuthMethod.breach(packet, v, PropAuthMethod.String())
	case owner == TypeSubscribe && len(p.SubscriptionIDs) > 1:
		return rulePropertyTwice.breach(packet, v, PropSubscriptionID.String())
	}
	return nil
}

// checkValue returns the rule that the value of property id breaks, 0 if none.
func (p *Properties) checkValue(id PropertyID) rule {
	switch properties[id].kind {
	case kindFlag:
		return breaks(rulePropertyValue, p.flag(id).Value > 1)
	case kindUint16:
		return checkNotZero(id, uint32(p.uint16(id).Value), p.uint16(id).Set)
	case kindUint32:
		return checkNotZero(id, p.uint32(id).Value, p.uint32(id).Set)
	case kindVarint:
		return checkSubscriptionIDs(p.SubscriptionIDs)
	case kindPair:
		return checkPairs(p.UserProperties)
	case kindBinary:
		return breaks(ruleTooLong, len(*p.bytes(id)) > maxField)
	}
	b := *p.bytes(id)
	if id != PropResponseTopic || b == nil {
		return checkText(view(b))
	}
	r := checkTopic(view(b))
	if r == ruleTopicWildcard {
		return ruleResponseWildcard
	}
	return r
}

func breaks(r rule, broken bool) rule {
	if broken {
		return r
	}
	return 0
}

// checkNotZero refuses zero where the standard gives it no meaning.
func checkNotZero(id PropertyID, x uint32, set bool) rule {
	if !set || x != 0 {
		return 0
	}
	switch id {
	case PropReceiveMaximum, PropMaximumPacketSize:
		return rulePropertyValue
	case PropTopicAlias:
		return ruleTopicAliasZero
	}
	return 0
}

func checkSubscriptionIDs(ids []uint32) rule {
	for _, id := range ids {
		if id == 0 || id > MaxRemaining {
			return rulePropertyValue
		}
	}
	return 0
}

func checkPairs(pairs []UserProperty) rule {
	for _, pair := range pairs {
		if r := checkText(view(pair.Name)); r != 0 {
			return r
		}
		if r := checkText(view(pair.Value)); r != 0 {
			return r
		}
	}
	return 0
}

// size returns the length in bytes of owner's properties on the wire, without the
// property length before them.
func (p *Properties) size(owner Type) int {
	n := 0
	for _, id := range propertiesOf[owner] {
		n += p.sizeOf(id)
	}
	return n
}

func (p *Properties) sizeOf(id PropertyID) int {
	n := 0
	switch properties[id].kind {
	case kindFlag:
		n = ifSet(p.flag(id).Set, 2)
	case kindUint16:
		n = ifSet(p.uint16(id).Set, 3)
	case kindUint32:
		n = ifSet(p.uint32(id).Set, 5)
	case kindVarint:
		for _, x := range p.SubscriptionIDs {
			n += 1 + varintSize(int(x))
		}
	case kindText, kindBinary:
		b := *p.bytes(id)
		n = ifSet(b != nil, 1+fieldSize(b))
	case kindPair:
		for _, pair := range p.UserProperties {
			n += 1 + fieldSize(pair.Name) + fieldSize(pair.Value)
		}
	}
	return n
}

func ifSet(set bool, size int) int {
	if set {
		return size
	}
	return 0
}

// append appends the property length and the properties of owner to dst.
func (p *Properties) append(dst []byte, owner Type) []byte {
	return p.appendSized(dst, owner, p.size(owner))
}

// appendSized is append for a caller that has asked for the size already.
func (p *Properties) appendSized(dst []byte, owner Type, size int) []byte {
	dst = appendVarint(dst, size)
	if size == 0 {
		return dst
	}
	for _, id := range propertiesOf[owner] {
		dst = p.appendOne(dst, id)
	}
	return dst
}

func (p *Properties) appendOne(dst []byte, id PropertyID) []byte {
	switch properties[id].kind {
	case kindFlag:
		if o := p.flag(id); o.Set {
			dst = append(dst, byte(id), o.Value)
		}
	case kindUint16:
		if o := p.uint16(id); o.Set {
			dst = binary.BigEndian.AppendUint16(append(dst, byte(id)), o.Value)
		}
	case kindUint32:
		if o := p.uint32(id); o.Set {
			dst = binary.BigEndian.AppendUint32(append(dst, byte(id)), o.Value)
		}
	case kindVarint:
		for _, x := range p.SubscriptionIDs {
			dst = appendVarint(append(dst, byte(id)), int(x))
		}
	case kindText, kindBinary:
		if b := *p.bytes(id); b != nil {
			dst = appendBytes(append(dst, byte(id)), b)
		}
	case kindPair:
		for _, pair := range p.UserProperties {
			dst = appendBytes(append(dst, byte(id)), pair.Name)
			dst = appendBytes(dst, pair.Value)
		}
	}
	return dst
}

// Clone returns a copy that shares no memory with p, for keeping beyond the life of the
// buffer that p was parsed from.
func (p *Properties) Clone() Properties {
	c := *p
	c.SubscriptionIDs = append([]uint32(nil), p.SubscriptionIDs...)
	c.UserProperties = append([]UserProperty(nil), p.UserProperties...)
	block := make([]byte, 0, p.byteCount())
	for id := range properties {
		if k := properties[id].kind; k == kindText || k == kindBinary {
			keep(c.bytes(PropertyID(id)), &block)
		}
	}
	for i := range c.UserProperties {
		keep(&c.UserProperties[i].Name, &block)
		keep(&c.UserProperties[i].Value, &block)
	}
	return c
}

// byteCount returns the number of bytes that p refers to.
func (p *Properties) byteCount() int {
	n := 0
	for id := range properties {
		if k := properties[id].kind; k == kindText || k == kindBinary {
			n += len(*p.bytes(PropertyID(id)))
		}
	}
	for _, pair := range p.UserProperties {
		n += len(pair.Name) + len(pair.Value)
	}
	return n
}

// keep moves *b to the end of block, which has room for it. What is absent stays absent.
func keep(b *[]byte, block *[]byte) {
	if *b == nil {
		return
	}
	start := len(*block)
	*block = append(*block, *b...)
	*b = (*block)[start:len(*block):len(*block)]
}

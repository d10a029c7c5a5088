package packet

import (
	"encoding/binary"
	"fmt"
)

// Subscribe is a SUBSCRIBE packet.
type Subscribe struct {
	ID            uint16
	Subscriptions []Subscription // at least one
	Props         Properties     // MQTT 5 only
}

// Subscription is a topic filter and how its messages are to be delivered. All but the
// filter and the QoS exist in MQTT 5 only and are zero otherwise.
type Subscription struct {
	Filter            string
	QoS               QoS // the highest that the client wants
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    RetainHandling
}

// RetainHandling says when a subscription is sent the retained messages.
type RetainHandling byte

// The ways to handle retained messages, MQTT 5 section 3.8.3.1.
const (
	RetainOnSubscribe    RetainHandling = 0 // at every subscribe, as before MQTT 5
	RetainOnNewSubscribe RetainHandling = 1 // only if the subscription did not exist
	RetainNever          RetainHandling = 2
)

const (
	optionNoLocal           = 1 << 2
	optionRetainAsPublished = 1 << 3
)

// Type returns TypeSubscribe.
func (*Subscribe) Type() Type { return TypeSubscribe }

// Parse reads frame f into s.
func (s *Subscribe) Parse(f Frame, v Version) error {
	var d decoder
	d.start(f, TypeSubscribe, v)
	s.ID = d.packetID()
	d.properties(&s.Props, TypeSubscribe)
	s.Subscriptions = s.Subscriptions[:0]
	for d.more() {
		sub := Subscription{Filter: string(d.binary("topic filter"))}
		sub.options(&d)
		s.Subscriptions = append(s.Subscriptions, sub)
	}
	if d.err == nil {
		d.err = s.validate(v)
	}
	return d.result()
}

// options reads the byte after a topic filter: before MQTT 5 the QoS alone.
func (s *Subscription) options(d *decoder) {
	b := d.byte("subscription options")
	reserved := byte(0b1100_0000)
	if d.v != V5 {
		reserved = 0b1111_1100
	}
	if b&reserved != 0 {
		d.fail(ruleSubscriptionReserved, "subscription options")
	}
	s.QoS = QoS(b & 3)
	s.NoLocal = b&optionNoLocal != 0
	s.RetainAsPublished = b&optionRetainAsPublished != 0
	s.RetainHandling = RetainHandling(b >> 4 & 3)
}

// Validate returns an *Error if s cannot be sent in version v. The packet identifier is
// not looked at.
func (s *Subscribe) Validate(v Version) error {
	d := decoder{t: TypeSubscribe, v: v}
	d.check(s.validate(v))
	d.check(s.Props.validate(v, TypeSubscribe))
	return d.result()
}

func (s *Subscribe) validate(v Version) *Error {
	if len(s.Subscriptions) == 0 {
		return ruleNoSubscription.breach(TypeSubscribe, v, "payload")
	}
	for i := range s.Subscriptions {
		if e := s.Subscriptions[i].validate(v, i); e != nil {
			return e
		}
	}
	return nil
}

// validate checks the subscription at index i of its packet.
func (s *Subscription) validate(v Version, i int) *Error {
	r, field := checkFilter(s.Filter), "topic filter"
	if r == 0 && v == V5 {
		r = checkShare(s.Filter)
	}
	switch {
	case r != 0:
	case s.QoS > QoS2:
		r, field = ruleSubscriptionQoS, "QoS of topic filter"
	case s.RetainHandling > RetainNever:
		r, field = ruleRetainHandling, "retain handling of topic filter"
	case s.NoLocal && isShared(s.Filter):
		r, field = ruleShareNoLocal, "no local flag of topic filter"
	default:
		return nil
	}
	return r.breach(TypeSubscribe, v, fmt.Sprintf("%s %d", field, i+1))
}

func isShared(filter string) bool {
	_, _, shared := SplitShare(filter)
	return shared
}

// Append appends the packet to dst.
func (s *Subscribe) Append(dst []byte, v Version) []byte {
	dst, start := begin(dst, TypeSubscribe.first())
	dst = binary.BigEndian.AppendUint16(dst, s.ID)
	if v == V5 {
		dst = s.Props.append(dst, TypeSubscribe)
	}
	for i := range s.Subscriptions {
		sub := &s.Subscriptions[i]
		dst = append(appendBytes(dst, sub.Filter), sub.bits(v))
	}
	return seal(dst, start)
}

// bits returns the subscription options as they are on the wire.
func (s *Subscription) bits(v Version) byte {
	b := byte(s.QoS & 3)
	if v != V5 {
		return b
	}
	if s.NoLocal {
		b |= optionNoLocal
	}
	if s.RetainAsPublished {
		b |= optionRetainAsPublished
	}
	return b | byte(s.RetainHandling&3)<<4
}

// Unsubscribe is an UNSUBSCRIBE packet.
type Unsubscribe struct {
	ID      uint16
	Filters []string   // at least one
	Props   Properties // MQTT 5 only
}

// Type returns TypeUnsubscribe.
func (*Unsubscribe) Type() Type { return TypeUnsubscribe }

// Parse reads frame f into u.
func (u *Unsubscribe) Parse(f Frame, v Version) error {
	var d decoder
	d.start(f, TypeUnsubscribe, v)
	u.ID = d.packetID()
	d.properties(&u.Props, TypeUnsubscribe)
	u.Filters = u.Filters[:0]
	for d.more() {
		u.Filters = append(u.Filters, string(d.binary("topic filter")))
	}
	if d.err == nil {
		d.err = u.validate(v)
	}
	return d.result()
}

// Validate returns an *Error if u cannot be sent in version v. The packet identifier is
// not looked at.
func (u *Unsubscribe) Validate(v Version) error {
	d := decoder{t: TypeUnsubscribe, v: v}
	d.check(u.validate(v))
	d.check(u.Props.validate(v, TypeUnsubscribe))
	return d.result()
}

func (u *Unsubscribe) validate(v Version) *Error {
	if len(u.Filters) == 0 {
		return ruleNoFilter.breach(TypeUnsubscribe, v, "payload")
	}
	for i, filter := range u.Filters {
		r := checkFilter(filter)
		if r == 0 && v == V5 {
			r = checkShare(filter)
		}
		if r != 0 {
			return r.breach(TypeUnsubscribe, v, fmt.Sprintf("topic filter %d", i+1))
		}
	}
	return nil
}

// Append appends the packet to dst.
func (u *Unsubscribe) Append(dst []byte, v Version) []byte {
	dst, start := begin(dst, TypeUnsubscribe.first())
	dst = binary.BigEndian.AppendUint16(dst, u.ID)
	if v == V5 {
		dst = u.Props.append(dst, TypeUnsubscribe)
	}
	for _, filter := range u.Filters {
		dst = appendBytes(dst, filter)
	}
	return seal(dst, start)
}

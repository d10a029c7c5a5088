package packet

// Packet is a control packet of any type. All implementations are pointers to the
// structs of this package.
type Packet interface {
	// Type returns the packet's type.
	Type() Type
	// Parse overwrites the packet with what frame f holds in version v. The error is
	// an *Error; after it the packet's content is undefined.
	Parse(f Frame, v Version) error
	// Append appends the packet's wire form in version v to dst. What that version
	// does not have is left out.
	Append(dst []byte, v Version) []byte
}

// New returns an empty packet of type t, or nil if there is no such type.
func New(t Type) Packet {
	switch t {
	case TypeConnect:
		return new(Connect)
	case TypeConnack:
		return new(Connack)
	case TypePublish:
		return new(Publish)
	case TypePuback, TypePubrec, TypePubrel, TypePubcomp:
		return &Ack{Kind: t}
	case TypeSubscribe:
		return new(Subscribe)
	case TypeSuback:
		return new(Suback)
	case TypeUnsubscribe:
		return new(Unsubscribe)
	case TypeUnsuback:
		return new(Unsuback)
	case TypePingreq:
		return new(Pingreq)
	case TypePingresp:
		return new(Pingresp)
	case TypeDisconnect:
		return new(Disconnect)
	case TypeAuth:
		return new(Auth)
	}
	return nil
}

// Parse parses frame f into a new packet of its type. It is for clients and tests;
// a broker parses into structs that it uses again.
func Parse(f Frame, v Version) (Packet, error) {
	p := New(f.Type())
	if p == nil {
		return nil, ruleType.breach(f.Type(), v, "")
	}
	if err := p.Parse(f, v); err != nil {
		return nil, err
	}
	return p, nil
}

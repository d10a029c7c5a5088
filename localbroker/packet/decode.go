package packet

import "encoding/binary"

// decoder reads the fields of one packet's body in order. Its first failure sticks:
// from then on every read returns a zero value, so a parser can read on and look once,
// at its end.
type decoder struct {
	b   []byte
	err *Error
	t   Type
	v   Version
}

// start begins to read frame f, which must be a packet of type t whose flags are the
// type's fixed ones. CONNECT, whose version is not known yet, comes with version 0.
func (d *decoder) start(f Frame, t Type, v Version) {
	d.b, d.t, d.v = f.Body, t, v
	switch {
	case f.Type() != t:
		d.fail(ruleOtherType, "")
	case t == TypeAuth && v != V5:
		d.fail(ruleType, "")
	case f.Flags() != t.flags() && v != V31:
		d.fail(ruleFlags, "")
	case f.Padded && v == V5:
		d.fail(ruleVarintPadded, "remaining length")
	}
}

// fail records that the packet breaks r, unless it was found broken before.
func (d *decoder) fail(r rule, field string) { d.check(r.breach(d.t, d.v, field)) }

// check records e if it is a failure and the first.
func (d *decoder) check(e *Error) {
	if e == nil {
		return
	}
	if d.err == nil {
		d.err = e
	}
	d.b = nil
}

// more reports whether bytes are left.
func (d *decoder) more() bool { return len(d.b) > 0 }

// end notes that the packet is read; its body must be used up.
func (d *decoder) end() {
	if d.more() {
		d.fail(ruleTrailing, "")
	}
}

// result returns the failure, if any, as an error that is truly nil without one.
func (d *decoder) result() error {
	if d.err != nil {
		return d.err
	}
	return nil
}

// take returns the next n bytes.
func (d *decoder) take(n int, field string) []byte {
	if len(d.b) < n {
		d.fail(ruleTruncated, field)
		return nil
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) byte(field string) byte {
	if b := d.take(1, field); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint16(field string) uint16 {
	if b := d.take(2, field); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) uint32(field string) uint32 {
	if b := d.take(4, field); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// varint reads a Variable Byte Integer, which must be as short as it can be
// [MQTT-1.5.5-1].
func (d *decoder) varint(field string) int {
	x, used := decodeVarint(d.b)
	switch {
	case used == 0:
		d.fail(ruleTruncated, field)
	case used < 0:
		d.fail(ruleVarint, field)
	case used > 1 && d.b[used-1] == 0:
		d.fail(ruleVarintPadded, field)
	default:
		d.b = d.b[used:]
		return x
	}
	return 0
}

// binary reads bytes that carry their length before them. What they hold is the
// business of the packet's validate. The result is not nil, even if it is
// empty, unless the read failed.
func (d *decoder) binary(field string) []byte {
	return d.take(int(d.uint16(field)), field)
}

// packetID reads a packet identifier, which is never zero.
func (d *decoder) packetID() uint16 {
	id := d.uint16("packet identifier")
	if id == 0 {
		d.fail(rulePacketID, "packet identifier")
	}
	return id
}

// broken records rule r, if there is one, as a failure of field.
func (d *decoder) broken(r rule, field string) {
	if r != 0 {
		d.fail(r, field)
	}
}

package modbus

import (
	"math"
	"slices"
	"strconv"

	"github.com/tidegate/tidegate/gateway"
)

// codec turns the registers of one point into a value and back. A number is raw * scale + offset.
type codec struct {
	typ     Type
	traits          // of typ, kept because they are asked for at every reading
	swapped bool    // the low byte of each register first
	places  [8]byte // of the bytes of the number, the most significant first
	bits    Bits

	scale, offset float64
	scaled        bool
	decimal       decimal
	round         float64 // 10 to the number of decimals that are published; 0: all there are
	low, high     float64 // a number outside is no good reading

	enum    map[int64]string
	labels  map[string]int64
	invalid []uint64
	width   int // registers, or bits of a table of bits
}

func newCodec(p Point) *codec {
	c := &codec{
		typ: p.Type, traits: p.Type.traits(), swapped: p.Order == BA, bits: p.Bits, scale: p.Scale, offset: p.Offset, low: math.Inf(-1), high: math.Inf(1),
		enum: p.Enum, invalid: p.Invalid, width: p.width(),
	}
	for k := range c.size {
		c.places[k] = byte(p.Order.place(k, c.size))
	}
	if c.scale == 0 {
		c.scale = 1
	}
	if c.scaled = c.scale != 1 || c.offset != 0; c.scaled {
		c.decimal = newDecimal(c.scale, c.offset)
	}
	if p.Decimals != nil {
		c.round = math.Pow10(*p.Decimals)
	}
	if p.ValidMin != 0 || p.ValidMax != 0 {
		c.low, c.high = p.ValidMin, p.ValidMax
	}
	if len(c.enum) > 0 {
		c.labels = make(map[string]int64, len(c.enum))
		for n, label := range c.enum {
			if first, twice := c.labels[label]; !twice || n < first {
				c.labels[label] = n
			}
		}
	}
	return c
}

// kind returns the kind of the values that the codec gives.
func (c *codec) kind() gateway.Kind {
	switch {
	case c.labels != nil || c.typ == String:
		return gateway.KindString
	case c.typ == Bytes:
		return gateway.KindBytes
	case c.flag():
		return gateway.KindBool
	case c.scaled || c.typ == Float64:
		return gateway.KindFloat64
	case c.typ == Float16 || c.typ == Float32:
		return gateway.KindFloat32
	case c.signed:
		return gateway.KindInt
	default:
		return gateway.KindUint
	}
}

// flag reports whether the point is a single bit.
func (c *codec) flag() bool { return c.typ == Bool || c.bits.Count == 1 }

// decode makes a value of registers as they came; b has two bytes for each. The reason is empty unless there is no value.
func (c *codec) decode(b []byte) (gateway.Value, gateway.Reason) {
	switch c.typ {
	case String:
		return gateway.String(decodeText(c.straight(b))), gateway.ReasonNone
	case Bytes:
		return gateway.Bytes(c.straight(b)), gateway.ReasonNone
	}
	raw := c.raw(b)
	if len(c.invalid) > 0 && slices.Contains(c.invalid, raw) {
		return gateway.Value{}, gateway.ReasonSentinel
	}
	return c.meaning(raw)
}

// meaning makes a value of bits that are none of those that say that there is none.
func (c *codec) meaning(raw uint64) (gateway.Value, gateway.Reason) {
	switch {
	case c.fraction:
		return c.floating(raw)
	case c.bits.Count > 0:
		return c.whole(integer{bits: raw & c.bits.mask() >> c.bits.First})
	case c.typ.bcd():
		return c.digits(raw)
	case c.signed:
		unused := 64 - 8*c.size
		return c.whole(integer{bits: uint64(int64(raw<<unused) >> unused), signed: true})
	default:
		return c.whole(integer{bits: raw})
	}
}

// decodeBit makes a value of a coil or a discrete input.
func (c *codec) decodeBit(on bool) gateway.Value {
	raw := integer{}
	if on {
		raw.bits = 1
	}
	v, _ := c.whole(raw)
	return v
}

// raw returns the bits of the number, put in order.
func (c *codec) raw(b []byte) uint64 {
	var raw uint64
	for _, place := range c.places[:c.size] {
		raw = raw<<8 | uint64(b[place])
	}
	return raw
}

// straight returns the bytes of a text in the order of reading, copied if they lie otherwise.
func (c *codec) straight(b []byte) []byte {
	b = b[:2*c.width]
	if !c.swapped {
		return b
	}
	turned := make([]byte, len(b))
	for i := range b {
		turned[i] = b[i^1]
	}
	return turned
}

// digits reads a number whose digits have four bits each. Bits that are no digit are no number.
func (c *codec) digits(raw uint64) (gateway.Value, gateway.Reason) {
	var n uint64
	for at := 8*c.size - 4; at >= 0; at -= 4 {
		digit := raw >> at & 0xF
		if digit > 9 {
			return gateway.Value{}, gateway.ReasonNotNumber
		}
		n = 10*n + digit
	}
	return c.whole(integer{bits: n})
}

// whole makes a value of a whole number.
func (c *codec) whole(n integer) (gateway.Value, gateway.Reason) {
	switch {
	case c.labels != nil:
		return c.label(n), gateway.ReasonNone
	case c.flag():
		return gateway.Bool(n.bits == 1), gateway.ReasonNone
	case c.scaled:
		return c.number(c.decimal.apply(n))
	case !c.valid(n.float()):
		return gateway.Value{}, gateway.ReasonOutOfRange
	case n.signed:
		return gateway.Int(int64(n.bits)), gateway.ReasonNone
	default:
		return gateway.Uint(n.bits), gateway.ReasonNone
	}
}

// label names a number; one without a name is the number as text, so that the state of a newer device is not lost.
func (c *codec) label(n integer) gateway.Value {
	if small, ok := n.int64(); ok {
		if label, known := c.enum[small]; known {
			return gateway.String(label)
		}
	}
	return gateway.String(n.big().String())
}

// floating makes a value of a floating point number. A scaled float32 or float16 stays as short as a float32 prints, since more digits would
// be made up.
func (c *codec) floating(raw uint64) (gateway.Value, gateway.Reason) {
	var f float64
	switch c.typ {
	case Float16:
		f = shortHalf(uint16(raw))
	case Float32:
		f = float64(math.Float32frombits(uint32(raw)))
	default:
		f = math.Float64frombits(raw)
	}
	switch {
	case !finite(f):
		return gateway.Value{}, gateway.ReasonNotNumber
	case c.typ == Float64:
		return c.number(f*c.scale + c.offset)
	case c.scaled:
		return c.number(shorten(f*c.scale + c.offset))
	}
	single := float32(c.rounded(f))
	if !c.valid(float64(single)) {
		return gateway.Value{}, gateway.ReasonOutOfRange
	}
	return gateway.Float32(single), gateway.ReasonNone
}

// shorten drops the digits of f that a float32 does not have.
func shorten(f float64) float64 {
	if short, err := strconv.ParseFloat(strconv.FormatFloat(f, 'g', -1, 32), 64); err == nil && finite(short) {
		return short
	}
	return f
}

// number makes a value of f unless scaling has led beyond what a float64 holds.
func (c *codec) number(f float64) (gateway.Value, gateway.Reason) {
	f = c.rounded(f)
	switch {
	case !finite(f):
		return gateway.Value{}, gateway.ReasonNotNumber
	case !c.valid(f):
		return gateway.Value{}, gateway.ReasonOutOfRange
	}
	return gateway.Float64(f), gateway.ReasonNone
}

// valid reports whether a reading is inside the bounds of the point.
func (c *codec) valid(f float64) bool { return f >= c.low && f <= c.high }

// rounded rounds f to the decimals of the point. A number so large that it has no such decimals stays as it is.
func (c *codec) rounded(f float64) float64 {
	if steps := f * c.round; c.round != 0 && math.Abs(steps) < maxExact {
		return math.Round(steps) / c.round
	}
	return f
}

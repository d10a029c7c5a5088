package modbus

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/gateway"
)

// encode is the inverse of decode. A number between two steps of the scale is rounded to the nearer one; a number outside the type
// is an error. Of a part of a register the other bits are 0: patches says how to leave them alone.
func (c *codec) encode(v gateway.Value) ([]byte, error) {
	if c.typ.text() {
		return c.encodeText(v)
	}
	raw, err := c.rawOf(v)
	if err != nil {
		return nil, err
	}
	if c.bits.Count == 0 && slices.Contains(c.invalid, raw) {
		return nil, fmt.Errorf("value %v is one by which the device says that it has none", v)
	}
	return c.put(raw), nil
}

func (c *codec) encodeText(v gateway.Value) ([]byte, error) {
	size := 2 * c.width
	if v.Kind() != c.kind() {
		return nil, fmt.Errorf("value %v is not a %v", v, c.typ)
	}
	if c.typ == Bytes {
		if len(v.Text()) != size {
			return nil, fmt.Errorf("value has %d bytes, and the point takes %d", len(v.Text()), size)
		}
		return c.straight([]byte(v.Text())), nil
	}
	b, err := encodeText(v.Text(), size)
	if err != nil {
		return nil, err
	}
	return c.straight(b), nil
}

// rawOf returns the bits of a value, where they lie in the number.
func (c *codec) rawOf(v gateway.Value) (uint64, error) {
	switch {
	case c.labels != nil:
		n, err := c.unlabel(v)
		return uint64(n) & c.mask() << c.bits.First, err
	case c.flag():
		on, err := truth(v)
		switch {
		case err != nil && c.typ == Bool:
			return 0, fmt.Errorf("%w, and the point is a coil", err)
		case err != nil:
			return 0, fmt.Errorf("%w, and the point is a single bit", err)
		case !on:
			return 0, nil
		}
		return 1 << c.bits.First, nil
	case !isNumber(v) || !finite(v.Float()):
		return 0, fmt.Errorf("value %v is not a number, and the point is a %v", v, c.typ)
	case c.fraction:
		return c.rawFraction(v)
	}
	n, err := c.rawInteger(v)
	if err != nil {
		return 0, err
	}
	if c.typ.bcd() {
		return toBCD(n), nil
	}
	return n & c.mask() << c.bits.First, nil
}

// mask returns the bits of the number, or of its part, counted from its own lowest.
func (c *codec) mask() uint64 {
	if c.bits.Count > 0 {
		return 1<<c.bits.Count - 1
	}
	return math.MaxUint64 >> (64 - 8*max(c.size, 1))
}

// unlabel returns the number of a name, or a number that has one. Numbers that have none cannot be written.
func (c *codec) unlabel(v gateway.Value) (int64, error) {
	if n, ok := c.labels[v.Text()]; ok && v.Kind() == gateway.KindString {
		return n, nil
	}
	n := int64(v.Bits())
	if _, named := c.enum[n]; named && v == gateway.Int(n) {
		return n, nil
	}
	return 0, fmt.Errorf("value %.60q is none of %s", v.String(), strings.Join(slices.Sorted(maps.Keys(c.labels)), ", "))
}

// rawInteger returns the whole number of a value, in two's complement.
func (c *codec) rawInteger(v gateway.Value) (uint64, error) {
	low, high := c.bounds()
	var n *big.Int
	switch {
	case c.scaled || v.Kind() == gateway.KindFloat32 || v.Kind() == gateway.KindFloat64:
		n = c.unscaled(v)
	default:
		n = integer{bits: v.Bits(), signed: v.Kind() == gateway.KindInt}.big()
	}
	if n.Cmp(low.big()) < 0 || n.Cmp(high.big()) > 0 {
		return 0, fmt.Errorf("value %v is outside the range of the register: %s", v, c.span(low, high))
	}
	if n.Sign() < 0 {
		return uint64(n.Int64()), nil
	}
	return n.Uint64(), nil
}

// unscaled returns the whole number nearest to a value without its scale.
func (c *codec) unscaled(v gateway.Value) *big.Int {
	if c.scaled {
		return c.decimal.unapply(v.Float())
	}
	n, _ := big.NewFloat(math.Round(v.Float())).Int(nil)
	return n
}

// bounds returns the smallest and the largest number that the point can hold, unscaled.
func (c *codec) bounds() (low, high integer) {
	switch {
	case c.typ == BCD16:
		return integer{}, integer{bits: 9999}
	case c.typ == BCD32:
		return integer{}, integer{bits: 99999999}
	case c.signed:
		top := uint64(1) << (8*c.size - 1)
		return integer{bits: -top, signed: true}, integer{bits: top - 1}
	}
	return integer{}, integer{bits: c.mask()}
}

// span writes a range as a command would give it.
func (c *codec) span(low, high integer) string {
	if !c.scaled {
		return fmt.Sprintf("%v to %v", low.big(), high.big())
	}
	from, to := c.decimal.apply(low), c.decimal.apply(high)
	return fmt.Sprintf("%v to %v", gateway.Float64(min(from, to)), gateway.Float64(max(from, to)))
}

// rawFraction returns the bits of the nearest floating point number.
func (c *codec) rawFraction(v gateway.Value) (uint64, error) {
	f := v.Float()
	if c.scaled {
		f = (f - c.offset) / c.scale
	}
	var bits uint64
	large := false
	switch c.typ {
	case Float16:
		half := toHalf(f)
		bits, large = uint64(half), half&halfInfinity == halfInfinity
	case Float32:
		single := float32(f)
		bits, large = uint64(math.Float32bits(single)), !finite(float64(single))
	default:
		bits, large = math.Float64bits(f), !finite(f)
	}
	if large {
		return 0, fmt.Errorf("value %v is outside a %v", v, c.typ)
	}
	return bits, nil
}

// toBCD writes a number with four bits for each decimal digit.
func toBCD(n uint64) uint64 {
	var raw uint64
	for at := 0; n > 0; at += 4 {
		raw |= n % 10 << at
		n /= 10
	}
	return raw
}

// put lays the bytes of a number into registers.
func (c *codec) put(raw uint64) []byte {
	b := make([]byte, 2*c.width)
	for i, place := range c.places[:c.size] {
		b[place] = byte(raw >> (8 * (c.size - 1 - i)))
	}
	return b
}

func isNumber(v gateway.Value) bool {
	switch v.Kind() {
	case gateway.KindInt, gateway.KindUint, gateway.KindFloat32, gateway.KindFloat64:
		return true
	}
	return false
}

// truth returns what to write to a single bit.
func truth(v gateway.Value) (bool, error) {
	switch {
	case v.Kind() == gateway.KindBool:
		return v.Bool(), nil
	case isNumber(v) && (v.Float() == 0 || v.Float() == 1):
		return v.Float() == 1, nil
	}
	return false, fmt.Errorf("value %v is neither true nor false", v)
}

// encodeBit returns what to write to a coil.
func (c *codec) encodeBit(v gateway.Value) (bool, error) {
	raw, err := c.rawOf(v)
	return raw == 1, err
}

// RawBits returns the bits by which the type holds a number, as [Point.Invalid] takes them. A type that is no number has none.
func (t Type) RawBits(v gateway.Value) (uint64, error) {
	if !t.known() || t.traits().size == 0 {
		return 0, fmt.Errorf("%v is no number", t)
	}
	return newCodec(Point{Type: t}).rawOf(v)
}

// expect returns what the point reads as when the device has taken v: rounded to what the registers hold.
func (c *codec) expect(v gateway.Value) (gateway.Value, error) {
	switch {
	case c.typ == Bool:
		on, err := c.encodeBit(v)
		return c.decodeBit(on), err
	case c.typ.text():
		b, err := c.encode(v)
		if err != nil {
			return gateway.Value{}, err
		}
		want, _ := c.decode(b)
		return want, nil
	}
	raw, err := c.rawOf(v)
	if err != nil {
		return gateway.Value{}, err
	}
	want, reason := c.meaning(raw)
	if reason != gateway.ReasonNone {
		return gateway.Value{}, fmt.Errorf("value %v reads as bad: %s", v, reason)
	}
	return want, nil
}

// patch is a change of one register that leaves some of its bits alone: those of keep stay, the others become those of set. They are the AND
// mask and the OR mask of a mask write (Modbus Application Protocol V1.1b3, 6.16).
type patch struct {
	register  int // counted from the point's first
	keep, set uint16
}

// apply returns what the device makes of a register's content.
func (p patch) apply(content uint16) uint16 { return content&p.keep | p.set&^p.keep }

// partial reports whether the point is less than the registers that it lies in.
func (c *codec) partial() bool { return c.size == 1 || c.bits.Count > 0 }

// errWhole is returned for points that fill their registers.
var errWhole = errors.New("point fills its registers, there is nothing to leave alone")

// patches returns the changes that write v to a part of registers, and to nothing else.
func (c *codec) patches(v gateway.Value) ([]patch, error) {
	if !c.partial() {
		return nil, errWhole
	}
	b, err := c.encode(v)
	if err != nil {
		return nil, err
	}
	field := c.put(c.mask() << c.bits.First)
	var list []patch
	for i := 0; i < len(b); i += 2 {
		touched := uint16(field[i])<<8 | uint16(field[i+1])
		if touched != 0 {
			list = append(list, patch{register: i / 2, keep: ^touched, set: uint16(b[i])<<8 | uint16(b[i+1])})
		}
	}
	return list, nil
}

package modbus

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/tidegate/tidegate/gateway"
)

// codec turns the registers of one point into a value and back. A value is raw * scale + offset.
type codec struct {
	typ           Type
	order         Order
	scale, offset float64
	scaled        bool
	decimal       decimal
}

func newCodec(p Point) codec {
	c := codec{typ: p.Type, order: p.Order, scale: p.Scale, offset: p.Offset}
	if c.scale == 0 {
		c.scale = 1
	}
	if c.scaled = c.scale != 1 || c.offset != 0; c.scaled {
		c.decimal = newDecimal(c.scale, c.offset)
	}
	return c
}

// kind returns the kind of the values that the codec gives.
func (c codec) kind() gateway.Kind {
	switch {
	case c.typ == Bool:
		return gateway.KindBool
	case c.scaled:
		return gateway.KindFloat64
	case c.typ == Float32:
		return gateway.KindFloat32
	case c.typ == Int16 || c.typ == Int32:
		return gateway.KindInt
	default:
		return gateway.KindUint
	}
}

// decode makes a value of registers as they came; b has two bytes for each. The reason is empty unless the bits are no number.
func (c codec) decode(b []byte) (gateway.Value, gateway.Reason) {
	if c.typ == Float32 {
		return c.decodeFloat(math.Float32frombits(c.uint32(b)))
	}
	raw := c.integer(b)
	switch {
	case c.scaled:
		return number(c.apply(raw))
	case c.kind() == gateway.KindUint:
		return gateway.Uint(uint64(raw)), gateway.ReasonNone
	default:
		return gateway.Int(raw), gateway.ReasonNone
	}
}

// integer returns the registers as the codec's integer type reads them.
func (c codec) integer(b []byte) int64 {
	switch c.typ {
	case Int16:
		return int64(int16(binary.BigEndian.Uint16(b)))
	case Int32:
		return int64(int32(c.uint32(b)))
	case Uint32:
		return int64(c.uint32(b))
	default:
		return int64(binary.BigEndian.Uint16(b))
	}
}

func (c codec) uint32(b []byte) uint32 {
	at := c.order.places()
	return uint32(b[at[0]])<<24 | uint32(b[at[1]])<<16 | uint32(b[at[2]])<<8 | uint32(b[at[3]])
}

// apply scales an integer such that 2301 * 0.1 prints as 230.1.
func (c codec) apply(raw int64) float64 {
	if f, ok := c.decimal.apply(raw); ok {
		return f
	}
	return float64(raw)*c.scale + c.offset
}

// decodeFloat keeps a scaled float32 as short as a float32 prints, since more digits would be made up.
func (c codec) decodeFloat(f float32) (gateway.Value, gateway.Reason) {
	if !finite(float64(f)) {
		return gateway.Value{}, gateway.ReasonNotNumber
	}
	if !c.scaled {
		return gateway.Float32(f), gateway.ReasonNone
	}
	wide := float64(f)*c.scale + c.offset
	if short, err := strconv.ParseFloat(strconv.FormatFloat(wide, 'g', -1, 32), 64); err == nil && finite(short) {
		wide = short
	}
	return number(wide)
}

// number makes a value of f unless scaling has led beyond what a float64 holds.
func number(f float64) (gateway.Value, gateway.Reason) {
	if !finite(f) {
		return gateway.Value{}, gateway.ReasonNotNumber
	}
	return gateway.Float64(f), gateway.ReasonNone
}

// encode is the inverse of decode. A number between two steps of the scale is rounded to the nearer one; a number outside the type
// is an error.
func (c codec) encode(v gateway.Value) ([]byte, error) {
	if !isNumber(v) {
		return nil, fmt.Errorf("value %v is not a number, and the point is a %v", v, c.typ)
	}
	raw := c.unapply(v.Float())
	if c.typ == Float32 {
		f := float32(raw)
		if math.IsInf(float64(f), 0) || math.IsNaN(float64(f)) {
			return nil, fmt.Errorf("value %v is outside a float32", v)
		}
		return c.put32(math.Float32bits(f)), nil
	}
	raw = math.Round(raw)
	low, high := c.bounds()
	if !(raw >= low && raw <= high) {
		from, to := c.apply(int64(low)), c.apply(int64(high))
		return nil, fmt.Errorf("value %v is outside the range of the register: %v to %v", v, gateway.Float64(min(from, to)), gateway.Float64(max(from, to)))
	}
	if c.typ.width() == 1 {
		return binary.BigEndian.AppendUint16(nil, uint16(int64(raw))), nil
	}
	return c.put32(uint32(int64(raw))), nil
}

// unapply returns the raw number of a value, not yet rounded.
func (c codec) unapply(f float64) float64 {
	if !c.scaled {
		return f
	}
	return (f - c.offset) / c.scale
}

// bounds returns the smallest and largest raw number of the codec's integer type.
func (c codec) bounds() (low, high float64) {
	switch c.typ {
	case Int16:
		return math.MinInt16, math.MaxInt16
	case Int32:
		return math.MinInt32, math.MaxInt32
	case Uint32:
		return 0, math.MaxUint32
	default:
		return 0, math.MaxUint16
	}
}

func (c codec) put32(u uint32) []byte {
	b, at := make([]byte, 4), c.order.places()
	for i, place := range at {
		b[place] = byte(u >> (24 - 8*i))
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

// truth returns what to write to a coil.
func truth(v gateway.Value) (bool, error) {
	switch {
	case v.Kind() == gateway.KindBool:
		return v.Bool(), nil
	case isNumber(v) && (v.Float() == 0 || v.Float() == 1):
		return v.Float() == 1, nil
	}
	return false, fmt.Errorf("value %v is neither true nor false, and the point is a coil", v)
}

// decimal computes raw * scale + offset in integers, as one would on paper: the division by a power of ten at the end is
// the only rounding, so the result is the number nearest to the decimal one.
type decimal struct {
	scale, offset int64
	power         float64 // 10 to the number of decimals; 0 when scale and offset are not decimal numbers of reasonable length
}

// maxExact is the largest integer up to which float64 holds every integer.
const maxExact = 1 << 53

func newDecimal(scale, offset float64) decimal {
	power := math.Pow10(max(decimals(scale), decimals(offset)))
	s, o := math.Round(scale*power), math.Round(offset*power)
	const maxRaw = math.MaxUint32
	if power > 1e15 || math.Abs(s)*maxRaw > maxExact*512 || math.Abs(o) > maxExact*256 {
		return decimal{} // the product might not fit into an int64
	}
	if s/power != scale || o/power != offset {
		return decimal{}
	}
	return decimal{scale: int64(s), offset: int64(o), power: power}
}

// apply reports false when the exact result is beyond what can be computed.
func (d decimal) apply(raw int64) (float64, bool) {
	if d.power == 0 {
		return 0, false
	}
	sum := raw*d.scale + d.offset
	if sum > maxExact || sum < -maxExact {
		return 0, false
	}
	return float64(sum) / d.power, true
}

// decimals returns how many digits f has behind its point when printed as short as possible.
func decimals(f float64) int {
	s := strconv.FormatFloat(f, 'f', -1, 64)
	for i := range s {
		if s[i] == '.' {
			return len(s) - i - 1
		}
	}
	return 0
}

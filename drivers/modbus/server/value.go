package server

import (
	"encoding/base64"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/tidegate/tidegate/drivers/modbus"
	"github.com/tidegate/tidegate/gateway"
)

// encode makes the registers of a value of the point.
func (f *field) encode(v gateway.Value) ([]byte, error) {
	switch {
	case f.Bit != nil || f.Layout.Type == modbus.Bool && f.bare == nil:
		if v.Kind() != gateway.KindString && v.Kind() != gateway.KindBytes {
			v = gateway.Bool(v.Bool())
		}
	case v.Kind() == gateway.KindBool:
		v = gateway.Uint(v.Bits())
	case f.bare != nil && !f.named(v):
		if n, err := strconv.ParseInt(v.Text(), 10, 64); err == nil { // a number without a name is its digits
			return f.bare.Encode(gateway.Int(n))
		}
	}
	return f.codec.Encode(v)
}

// named tells whether a value is one of the names of numbers.
func (f *field) named(v gateway.Value) bool {
	return slices.Contains(slices.Collect(maps.Values(f.Layout.Enum)), v.Text())
}

// decode makes the value that a command sets from what a master has written. Registers that hold no value are refused with exception 3.
func (f *field) decode(b []byte) (gateway.Value, Exception) {
	v, reason := f.codec.Decode(b)
	switch {
	case reason != gateway.ReasonNone || f.bare != nil && !f.named(v):
		return v, IllegalValue
	case v.Kind() == gateway.KindBytes:
		return gateway.String(base64.StdEncoding.EncodeToString([]byte(v.Text()))), 0
	case v.Kind() == gateway.KindBool && f.Kind != gateway.KindBool:
		return gateway.Int(int64(v.Bits())), 0
	case v.Kind() == gateway.KindString || v.Kind() == gateway.KindBool:
		return v, 0
	}
	return number(v), 0
}

// number writes a number as commands have it: a whole one as an integer, and one of single precision without digits that nobody has written.
func number(v gateway.Value) gateway.Value {
	switch v.Kind() {
	case gateway.KindFloat32, gateway.KindFloat64:
	default:
		return v
	}
	f := v.Float()
	if v.Kind() == gateway.KindFloat32 {
		f, _ = strconv.ParseFloat(v.String(), 64)
	}
	if f == math.Trunc(f) && math.Abs(f) < 1<<63 {
		return gateway.Int(int64(f))
	}
	return gateway.Float64(f)
}

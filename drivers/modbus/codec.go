package modbus

import (
	"fmt"

	"github.com/tidegate/tidegate/gateway"
)

// Codec turns the registers of a point into a value and back, for who serves registers and does not ask for them. Many goroutines may use it.
type Codec struct {
	codec *codec
	point Point
}

// NewCodec returns the codec of a point, whose name and range it does not look at.
func NewCodec(p Point) (*Codec, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("codec of %v: %w", p.Address, err)
	}
	return &Codec{newCodec(p), p}, nil
}

// Width is how many registers, or bits of a table of bits, the point takes.
func (c *Codec) Width() int { return c.codec.width }

// Encode returns the registers that hold v, two bytes for each; of a table of bits one byte, which is 0 or 1. A number between two steps of the
// scale is rounded to the nearer one; what the point cannot hold is an error.
func (c *Codec) Encode(v gateway.Value) ([]byte, error) {
	if c.point.Type != Bool {
		return c.codec.encode(v)
	}
	on, err := c.codec.encodeBit(v)
	if err != nil {
		return nil, err
	}
	if on {
		return []byte{1}, nil
	}
	return []byte{0}, nil
}

// Decode is the inverse of Encode. The reason is empty unless there is no value.
func (c *Codec) Decode(b []byte) (gateway.Value, gateway.Reason) {
	if c.point.Type == Bool {
		return c.codec.decodeBit(b[0] != 0), gateway.ReasonNone
	}
	return c.codec.decode(b)
}

// Put returns the registers that hold the bits of a number, as [Point.Invalid] has them; of a table of bits the lowest of them.
func (c *Codec) Put(bits uint64) []byte {
	if c.point.Type == Bool {
		return []byte{byte(bits & 1)}
	}
	return c.codec.put(bits)
}

// Kind is that of the values that Decode gives.
func (c *Codec) Kind() gateway.Kind { return c.codec.kind() }

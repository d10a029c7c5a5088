package server

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/tidegate/tidegate/drivers/modbus"
	"github.com/tidegate/tidegate/gateway"
)

// Register is a point as masters see it.
type Register struct {
	// Layout says where the value lies and how: Address, Type, Length, Order, Scale, Offset and Enum count.
	Layout modbus.Point
	// Bit makes the point this bit of one register, which others may share; nil: it has its registers for itself.
	Bit *int
	// Device and Point name the source. Index is the point's place among the device's, and Kind that of its values.
	Device, Point string
	Index         int
	Kind          gateway.Kind
	// Bad are the bits that are read while the point has no good reading; nil: an exception.
	Bad      *uint64
	Writable bool
}

// field is one point in its registers, with its newest reading. The fields behind codec belong to the map's lock.
type field struct {
	Register
	codec *modbus.Codec
	bare  *modbus.Codec // without the names of numbers, for numbers that have none; nil: there are no names
	shift int           // of a bit

	value   gateway.Value
	content []byte    // of the registers; nil: there is none
	fault   Exception // why not
	until   time.Time // when the reading is stale
	warned  bool      // that the registers cannot hold the value
}

// cell is what is read and written as a whole: the registers of one value, or one register with the bits of several.
type cell struct {
	start, width int
	bits         bool // each field is one bit
	fields       []*field
}

func (c *cell) end() int { return c.start + c.width }

func newField(r Register) (*field, error) {
	layout := r.Layout
	f := &field{Register: r, fault: TargetFailed}
	if r.Bit != nil {
		if *r.Bit < 0 || *r.Bit > 15 {
			return nil, fmt.Errorf("%v: bit %d is outside 0 to 15", layout.Address, *r.Bit)
		}
		f.shift = *r.Bit
		layout.Type, layout.Bits = modbus.Uint16, modbus.Bits{First: uint8(*r.Bit), Count: 1}
	}
	layout.Writable = r.Writable
	var err error
	if f.codec, err = modbus.NewCodec(layout); err != nil {
		return nil, err
	}
	if len(layout.Enum) > 0 {
		layout.Enum = nil
		f.bare, err = modbus.NewCodec(layout)
	}
	return f, err
}

// take makes the registers of a reading. It reports why they cannot hold its value, once for as long as that lasts.
func (f *field) take(r *gateway.Reading, staleAfter time.Duration) error {
	f.until = r.Time.Add(staleAfter)
	if r.Quality != gateway.QualityGood {
		f.content, f.fault = nil, faultOf(r)
		return nil
	}
	if f.content != nil && r.Value == f.value {
		return nil
	}
	content, err := f.encode(r.Value)
	if err != nil {
		f.content, f.fault = nil, DeviceFailure
		told := f.warned
		f.warned = true
		if told {
			return nil
		}
		return fmt.Errorf("%v cannot show %s/%s: %w", f.Layout.Address, f.Device, f.Point, err)
	}
	f.value, f.content, f.warned = r.Value, content, false
	return nil
}

// faultOf returns what a reading that is not good is answered with: whether the device is silent, or has answered without a value.
func faultOf(r *gateway.Reading) Exception {
	switch r.Reason {
	case gateway.ReasonOutOfRange, gateway.ReasonNotNumber, gateway.ReasonSentinel:
		return DeviceFailure
	case gateway.ReasonNone, gateway.ReasonNotRead, gateway.ReasonTimeout, gateway.ReasonOffline, gateway.ReasonCRC, gateway.ReasonFrame:
		return TargetFailed
	}
	return DeviceFailure // an exception of the device
}

// good returns the registers of the reading, unless there is none that holds now.
func (f *field) good(now time.Time) ([]byte, Exception) {
	switch {
	case f.content == nil:
		return nil, f.fault
	case now.After(f.until):
		return nil, TargetFailed
	}
	return f.content, 0
}

// read returns the registers now, or what stands in for them.
func (f *field) read(now time.Time) ([]byte, Exception) {
	content, fault := f.good(now)
	if fault == 0 || f.Bad == nil {
		return content, fault
	}
	bits := *f.Bad
	if f.Bit != nil {
		bits = bits & 1 << f.shift
	}
	return f.codec.Put(bits), 0
}

// read appends the content of a cell.
func (c *cell) read(b []byte, now time.Time) ([]byte, Exception) {
	if !c.bits {
		content, fault := c.fields[0].read(now)
		return append(b, content...), fault
	}
	var all uint16
	for _, f := range c.fields {
		content, fault := f.read(now)
		if fault != 0 {
			return b, fault
		}
		all |= binary.BigEndian.Uint16(content)
	}
	return binary.BigEndian.AppendUint16(b, all), 0
}

// cells are those of one table, by their addresses.
type cells []*cell

// add puts a field to its place.
func (t *cells) add(f *field) {
	start := int(f.Layout.Address.Offset)
	for _, c := range *t {
		if c.bits && f.Bit != nil && c.start == start {
			c.fields = append(c.fields, f)
			return
		}
	}
	*t = append(*t, &cell{start: start, width: f.codec.Width(), bits: f.Bit != nil, fields: []*field{f}})
}

// order sorts the cells and refuses those that share an address, and bits that share their place.
func (t cells) order() error {
	slices.SortFunc(t, func(a, b *cell) int { return cmp.Compare(a.start, b.start) })
	for i, c := range t {
		at := c.fields[0].Layout.Address
		if i > 0 && t[i-1].end() > c.start {
			return fmt.Errorf("%v is a register of %v too", at, t[i-1].fields[0].Layout.Address)
		}
		taken := map[int]bool{}
		for _, f := range c.fields {
			if taken[f.shift] {
				return fmt.Errorf("%v has bit %d twice", at, f.shift)
			}
			taken[f.shift] = true
		}
	}
	return nil
}

// in returns the cells that a span touches, in order.
func (t cells) in(s span) cells {
	from, _ := slices.BinarySearchFunc(t, s.address, func(c *cell, address int) int {
		if c.end() <= address {
			return -1
		}
		return 1
	})
	to := from
	for to < len(t) && t[to].start < s.end() {
		to++
	}
	return t[from:to]
}

// whole tells whether a span cuts none of the cells that it touches.
func (t cells) whole(s span) bool {
	return len(t) == 0 || t[0].start >= s.address && t[len(t)-1].end() <= s.end()
}

// gapless tells whether the cells are all of a span.
func (t cells) gapless(s span) bool {
	at := s.address
	for _, c := range t {
		if c.start > at {
			return false
		}
		at = c.end()
	}
	return at >= s.end()
}

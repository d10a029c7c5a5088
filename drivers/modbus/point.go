package modbus

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// Point is one value of a device.
type Point struct {
	gateway.Point // its Kind is set by New
	Address       Address
	Type          Type
	// Length is how many registers a String or Bytes takes, two bytes in each; 0 for the other types.
	Length int
	Order  Order
	// Bits is the part of an unsigned integer that the point is; the zero Bits is all of it.
	Bits Bits
	// A number is raw * Scale + Offset. A Scale of 0 means 1.
	Scale, Offset float64
	// Decimals rounds readings; nil leaves them as they are.
	Decimals *int
	// ValidMin and ValidMax bound good readings, in engineering units; both 0 means no bounds. What may be written is bounded by Min and Max.
	ValidMin, ValidMax float64
	// Enum names the numbers of a whole number or a bit: the value is text then. A number without a name is read as its digits and cannot be
	// written; one with a name can be given in its place. Of several numbers of one name the smallest is written when the name is given.
	Enum map[int64]string
	// Invalid are the bits by which the device says that it has no value: those of the whole Type, put in order, before Bits and Scale.
	Invalid []uint64
	// Interval is between readings of the point; 0: the device's.
	Interval time.Duration
	// Verify makes a write fail when another value is read back.
	Verify bool
}

const (
	maxDecimals = 15
	// maxWritten is the largest number of registers that one write may have (Modbus Application Protocol V1.1b3, 6.12).
	maxWritten = 123
	// maxReadWritten is that of a request that reads as well (6.17).
	maxReadWritten = 121
)

// width returns how many registers, or bits of a table of bits, the point takes.
func (p Point) width() int {
	if p.Type.text() {
		return max(1, p.Length)
	}
	return p.Type.width()
}

// width returns how many registers, or bits, a value takes that is no text.
func (t Type) width() int { return max(1, t.traits().size/2) }

func (p Point) check() error {
	switch {
	case !p.Type.known():
		return fmt.Errorf("%v is not known", p.Type)
	case p.Order > BA:
		return fmt.Errorf("%v is not known", p.Order)
	case p.Address.Table > Holding:
		return fmt.Errorf("%v is not known", p.Address.Table)
	case p.Address.Table.bits() != (p.Type == Bool):
		return fmt.Errorf("%v cannot be read as %v: bool is for coils and discrete inputs, the other types are for registers", p.Address, p.Type)
	case !finite(p.Scale) || !finite(p.Offset):
		return errors.New("scale or offset is not a number")
	}
	return errors.Join(p.checkPlace(), p.checkBits(), p.checkMeaning())
}

// checkPlace checks where the point lies and what may be done there.
func (p Point) checkPlace() error {
	most := maxRegisters
	if p.Writable {
		most = maxWritten
	}
	switch last := int(p.Address.Offset) + p.width() - 1; {
	case p.Type.text() != (p.Length != 0):
		return fmt.Errorf("length %d of a %v: strings and bytes need one, other types have their own", p.Length, p.Type)
	case p.Length < 0 || p.Length > most:
		return fmt.Errorf("length %d is outside 1 to %d registers", p.Length, most)
	case last > math.MaxUint16 && p.width() == 2:
		return fmt.Errorf("%v has no second register for a %v", p.Address, p.Type)
	case last > math.MaxUint16:
		return fmt.Errorf("%v: there are no %d registers from here on", p.Address, p.width())
	case p.Order >= AB && p.Type.traits().size > 2:
		return fmt.Errorf("order %v is for a single register, %v takes several", p.Order, p.Type)
	case p.Writable && !p.Address.Table.writable():
		return fmt.Errorf("%v cannot be written: only coils and holding registers can", p.Address)
	}
	return nil
}

// checkBits checks the part of an integer that the point is.
func (p Point) checkBits() error {
	first, count := int(p.Bits.First), int(p.Bits.Count)
	size := 8 * p.Type.traits().size
	switch {
	case count == 0 && first == 0:
		return nil
	case !p.Type.integer() || p.Type.traits().signed:
		return fmt.Errorf("a %v has no bits to choose: an unsigned integer has", p.Type)
	case count == 0 || first+count > size:
		return fmt.Errorf("bits %d to %d are not inside the %d of a %v", first, first+count-1, size, p.Type)
	}
	return nil
}

// checkMeaning checks what is made of the number.
func (p Point) checkMeaning() error {
	counts := p.Type.integer() || p.Type == Bool
	number := p.Type.traits().size > 0 && p.Bits.Count != 1
	scaled := p.Scale != 0 && p.Scale != 1 || p.Offset != 0
	valid := p.ValidMin != 0 || p.ValidMax != 0
	switch {
	case p.Enum != nil && !counts:
		return fmt.Errorf("names are for whole numbers and bits, not for a %v", p.Type)
	case (p.Enum != nil || !number) && (scaled || p.Decimals != nil || valid):
		return errors.New("scale, offset, decimals and valid range are for numbers")
	case len(p.Invalid) > 0 && p.Type.traits().size == 0:
		return fmt.Errorf("a %v has no number that could say that there is none", p.Type)
	case p.Decimals != nil && (*p.Decimals < 0 || *p.Decimals > maxDecimals):
		return fmt.Errorf("decimals %d are outside 0 to %d", *p.Decimals, maxDecimals)
	case math.IsNaN(p.ValidMin) || math.IsNaN(p.ValidMax) || p.ValidMin > p.ValidMax:
		return fmt.Errorf("valid range %v to %v is empty", p.ValidMin, p.ValidMax)
	}
	return nil
}

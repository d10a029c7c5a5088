package modbus

import "fmt"

// Type is how the bits of a point make a value.
type Type uint8

// The types. Bool is for coils and discrete inputs, the others are for registers.
const (
	Bool Type = iota + 1
	Int8
	Int16
	Int32
	Int64
	Uint8
	Uint16
	Uint32
	Uint64
	Float16 // IEEE 754 half precision
	Float32
	Float64
	BCD16 // four decimal digits, each in four bits
	BCD32 // eight of them
	String
	Bytes
)

// traits are what is to be known of a type before a value comes.
type traits struct {
	name     string
	size     int // bytes of the number; 0 where there is none
	signed   bool
	fraction bool // a floating point number
}

// table of the types, by number.
func (t Type) traits() traits {
	return [...]traits{
		Bool:    {name: "bool"},
		Int8:    {name: "int8", size: 1, signed: true},
		Int16:   {name: "int16", size: 2, signed: true},
		Int32:   {name: "int32", size: 4, signed: true},
		Int64:   {name: "int64", size: 8, signed: true},
		Uint8:   {name: "uint8", size: 1},
		Uint16:  {name: "uint16", size: 2},
		Uint32:  {name: "uint32", size: 4},
		Uint64:  {name: "uint64", size: 8},
		Float16: {name: "float16", size: 2, fraction: true},
		Float32: {name: "float32", size: 4, fraction: true},
		Float64: {name: "float64", size: 8, fraction: true},
		BCD16:   {name: "bcd16", size: 2},
		BCD32:   {name: "bcd32", size: 4},
		String:  {name: "string"},
		Bytes:   {name: "bytes"},
	}[t]
}

// Types lists all types in order.
func Types() []Type {
	var list []Type
	for t := Bool; t <= Bytes; t++ {
		list = append(list, t)
	}
	return list
}

// String returns the word used in configuration.
func (t Type) String() string {
	if !t.known() {
		return fmt.Sprintf("type %d", uint8(t))
	}
	return t.traits().name
}

func (t Type) known() bool { return t >= Bool && t <= Bytes }

// bcd reports whether the digits of the number are decimal ones.
func (t Type) bcd() bool { return t == BCD16 || t == BCD32 }

// integer reports whether the bits are a binary whole number.
func (t Type) integer() bool { return t >= Int8 && t <= Uint64 }

// text reports whether the value is as long as the point says.
func (t Type) text() bool { return t == String || t == Bytes }

// Order is where the bytes of a value lie in its registers; A is the most significant. A register itself is sent high byte first (Modbus
// Application Protocol V1.1b3, 4.2). How several make a value is not in the specification, so devices differ.
//
// Of values of 64 bits the letters say the same as of 32: ABCD is the order of the specification carried on, CDAB has the words reversed, BADC
// the bytes of each word swapped, and DCBA is all of it reversed. A value of 16 bits and the characters of a text have AB, the
// specification's order, or BA, the low byte first. Of the two bytes of a register an 8-bit value is the low one with AB, the high one with BA.
type Order uint8

// The orders. With the zero Order a value lies as the specification would have it, whatever its type.
const (
	ABCD Order = iota // big endian
	CDAB              // low register first
	BADC              // bytes of each register swapped
	DCBA              // little endian
	AB                // of one register, or text: high byte first
	BA                // of one register, or text: low byte first
)

// String returns the word used in configuration.
func (o Order) String() string {
	names := [...]string{"ABCD", "CDAB", "BADC", "DCBA", "AB", "BA"}
	if int(o) < len(names) {
		return names[o]
	}
	return fmt.Sprintf("order %d", uint8(o))
}

// place returns where byte k of n lies on the wire; byte 0 is the most significant. The order of several registers says nothing about
// a single one: a device's order is meant for its wide values.
func (o Order) place(k, n int) int {
	switch {
	case n == 1 && o == BA:
		return 0
	case n == 1:
		return 1
	case n == 2 && o != BA:
		return k
	}
	switch o {
	case CDAB:
		return n - 2 - k&^1 + k&1
	case BADC, BA:
		return k ^ 1
	case DCBA:
		return n - 1 - k
	default:
		return k
	}
}

// Bits is a part of a register or of several: Count bits from number First on; bit 0 is the least significant of the value as its order
// puts it together. One bit is a bool, several are an unsigned number. The zero Bits is the whole value.
type Bits struct{ First, Count uint8 }

// mask returns the bits of the field where they lie.
func (b Bits) mask() uint64 { return (1<<b.Count - 1) << b.First }

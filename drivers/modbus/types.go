package modbus

import "fmt"

// Type is how the bits of a point make a value.
type Type uint8

// The types. Bool is for coils and discrete inputs, the others are for registers; those of 32 bits take two.
const (
	Bool Type = iota + 1
	Int16
	Uint16
	Int32
	Uint32
	Float32
)

// Types lists all types in order.
func Types() []Type { return []Type{Bool, Int16, Uint16, Int32, Uint32, Float32} }

// String returns the word used in configuration.
func (t Type) String() string {
	switch t {
	case Bool:
		return "bool"
	case Int16:
		return "int16"
	case Uint16:
		return "uint16"
	case Int32:
		return "int32"
	case Uint32:
		return "uint32"
	case Float32:
		return "float32"
	default:
		return fmt.Sprintf("type %d", uint8(t))
	}
}

// width returns how many registers, or bits, a value takes.
func (t Type) width() int {
	switch t {
	case Int32, Uint32, Float32:
		return 2
	}
	return 1
}

// Order is where the four bytes of a 32-bit value lie in its two registers; A is the most significant. A register
// itself is sent high byte first (Modbus Application Protocol V1.1b3, 4.2), so values of 16 bits have no order to choose.
type Order uint8

// The orders. ABCD carries the order of the specification on to two registers; the others are found in devices.
const (
	ABCD Order = iota // big endian
	CDAB              // low register first
	BADC              // bytes of each register swapped
	DCBA              // little endian
)

// Orders lists all orders in order.
func Orders() []Order { return []Order{ABCD, CDAB, BADC, DCBA} }

// String returns the word used in configuration.
func (o Order) String() string {
	switch o {
	case ABCD:
		return "ABCD"
	case CDAB:
		return "CDAB"
	case BADC:
		return "BADC"
	case DCBA:
		return "DCBA"
	default:
		return fmt.Sprintf("order %d", uint8(o))
	}
}

// places returns where bytes A, B, C and D lie on the wire.
func (o Order) places() [4]int {
	switch o {
	case CDAB:
		return [4]int{2, 3, 0, 1}
	case BADC:
		return [4]int{1, 0, 3, 2}
	case DCBA:
		return [4]int{3, 2, 1, 0}
	default:
		return [4]int{0, 1, 2, 3}
	}
}

package modbus

import "fmt"

// Table is one of the four tables of the Modbus data model (Modbus Application Protocol V1.1b3, 4.3).
type Table uint8

// The tables, in the order of their Modicon digits 0, 1, 3 and 4.
const (
	Coil     Table = iota // bits to read and write
	Discrete              // bits to read
	Input                 // registers to read
	Holding               // registers to read and write
)

// String returns the word used in addresses.
func (t Table) String() string {
	switch t {
	case Coil:
		return "coil"
	case Discrete:
		return "discrete"
	case Input:
		return "input"
	case Holding:
		return "holding"
	default:
		return fmt.Sprintf("table %d", uint8(t))
	}
}

// bits reports whether the table holds bits; the others hold registers of 16 bits.
func (t Table) bits() bool { return t == Coil || t == Discrete }

// writable reports whether Modbus has functions that write to the table.
func (t Table) writable() bool { return t == Coil || t == Holding }

// limit is the largest quantity of one read (Modbus Application Protocol V1.1b3, 6.1 to 6.4).
func (t Table) limit() int {
	if t.bits() {
		return 2000
	}
	return maxRegisters
}

// maxRegisters is the largest number of registers that one read may ask for.
const maxRegisters = 125

// Address is the place of a point's first bit or register.
type Address struct {
	Table  Table
	Offset uint16 // as on the wire, from 0
}

// String writes the address as on the wire and, because manuals use either, as a Modicon number: "holding:0 (40001)".
func (a Address) String() string {
	digit, width := [...]int{0, 1, 3, 4}[a.Table&3], 4
	if a.Offset > 9998 {
		width = 5
	}
	return fmt.Sprintf("%v:%d (%d%0*d)", a.Table, a.Offset, digit, width, int(a.Offset)+1)
}

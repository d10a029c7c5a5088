package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Table is one of the four address spaces of a Modbus device.
type Table uint8

// The tables, in the order of their Modicon digits 0, 1, 3 and 4.
const (
	TableCoil Table = iota
	TableDiscrete
	TableInput
	TableHolding
)

func (Table) names() []string  { return []string{"coil", "discrete", "input", "holding"} }
func (t Table) String() string { return nameOf(t, uint8(t)) }

// Bits tells whether the table holds single bits (coil, discrete) and not registers.
func (t Table) Bits() bool { return t == TableCoil || t == TableDiscrete }

// Writable tells whether Modbus has a function that writes to the table.
func (t Table) Writable() bool { return t == TableCoil || t == TableHolding }

// modicon returns the digit that opens a Modicon number of the table.
func (t Table) modicon() int { return [...]int{0, 1, 3, 4}[t] }

// Address is where a point starts: a table and the number on the wire, which counts from 0.
type Address struct {
	Table  Table
	Number uint16
}

// lastAddress is the highest number in each table.
const lastAddress = 65535

// String shows both notations, because manuals use either: "holding:0 (40001)".
func (a Address) String() string {
	width := 4
	if a.Number > 9998 {
		width = 5
	}
	return fmt.Sprintf("%s:%d (%d%0*d)", a.Table, a.Number, a.Table.modicon(), width, int(a.Number)+1)
}

// UnmarshalText reads "holding:0", "input:0x10" (0-based, on the wire) or a Modicon number of five
// or six digits, "40001" or "400001" (1-based).
func (a *Address) UnmarshalText(text []byte) error {
	table, number, found := strings.Cut(string(text), ":")
	if !found {
		return a.parseModicon(table)
	}
	names := a.Table.names()
	i := indexOf(names, table)
	if i < 0 {
		return &valueError{
			reason: "no such table",
			hint:   hintFor(table, names, "write "+quotedList(names)+", a colon and a number"),
		}
	}
	n, err := strconv.ParseUint(number, 0, 64)
	switch {
	case err != nil:
		return &valueError{
			reason: "the number cannot be read",
			hint:   fmt.Sprintf(`write it as "%s:16" or "%[1]s:0x10"`, table),
		}
	case n > lastAddress:
		return &valueError{
			reason: "beyond 65535, the last address of a table",
			hint:   fmt.Sprintf(`numbers with a table count from 0; a Modicon number stands alone: %q`, number),
		}
	}
	*a = Address{Table: Table(i), Number: uint16(n)}
	return nil
}

// parseModicon reads a number such as 40001 or 400001: the first digit is the table, the rest counts from 1.
func (a *Address) parseModicon(s string) error {
	_, err := strconv.ParseUint(s, 10, 32)
	if err != nil || len(s) != 5 && len(s) != 6 {
		return &valueError{
			reason: "not an address",
			hint:   `write "holding:0" (from 0, as on the wire) or the Modicon number "40001"; tables: coil, discrete, input, holding`,
		}
	}
	rest, _ := strconv.ParseUint(s[1:], 10, 32)
	table := strings.IndexByte("0134", s[0]) // in the order of the tables
	switch {
	case table < 0:
		return &valueError{
			reason: "not a Modicon number",
			hint:   "they start with 0 (coil), 1 (discrete input), 3 (input register) or 4 (holding register) and count from 1",
		}
	case rest == 0 || rest > lastAddress+1:
		return &valueError{
			reason: "outside the table",
			hint:   fmt.Sprintf("Modicon numbers count from 1 to 65536: %[1]s00001 to %[1]s65536", s[:1]),
		}
	}
	*a = Address{Table: Table(table), Number: uint16(rest - 1)}
	return nil
}

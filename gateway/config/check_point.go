package config

import (
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The most registers that one request may write (Modbus Application Protocol 1.1b3, 6.12), and the most digits behind the point that a
// float64 is sure to have.
const (
	maxWriteRegisters = 123
	maxDecimals       = 15
	maxLabel          = 64 // bytes of a name in an enum
)

func (c *checker) points(path string, d Device) {
	if d.ByteOrder.single() {
		c.fail(join(path, "byte_order"), d.ByteOrder.String(), "of one register, and a device's order is that of its values of 32 and 64 bits",
			`write "ABCD", "CDAB", "BADC" or "DCBA"; a point of one register says itself how it lies`)
	}
	names, most := map[string]string{}, c.mostRegisters(d)
	for i, p := range d.Points {
		where := at(join(path, "point"), i)
		c.wide(where, p, most)
		if c.need(where, "name", `add name = "voltage"`) {
			c.topicName(join(where, "name"), p.Name)
			c.unique(names, join(where, "name"), p.Name, "this name")
		}
		if c.need(where, "address", `add address = "holding:0" or "input:0"`) && !c.out.failed[join(where, "address")] {
			c.address(where, p)
		}
		c.pace(where, p)
		if p.Type != 0 {
			c.form(where, p)
		}
	}
}

// mostRegisters returns what one request to a device may ask for.
func (c *checker) mostRegisters(d Device) int {
	for _, b := range c.cfg.Buses {
		if b.Name == d.Bus && b.MaxRegisters > 0 {
			return b.MaxRegisters
		}
	}
	return maxReadRegisters
}

// wide warns of a point that has more registers than a request may ask for. Half of a value and the other half a moment later would be no value, so
// that it is asked for whole.
func (c *checker) wide(path string, p Point, most int) {
	if p.Address.Table.Bits() || p.Words() <= most || p.Words() > maxReadRegisters {
		return
	}
	where := join(path, "type")
	if c.given(join(path, "length")) {
		where = join(path, "length")
	}
	c.out.warn(where, fmt.Sprintf("the point has %d registers and is asked for whole, although max_registers of its bus is %d", p.Words(), most),
		"if the device takes no more than that it refuses this: raise max_registers, or read the value in parts")
}

// form checks what is made of the bits.
func (c *checker) form(path string, p Point) {
	c.length(path, p)
	c.order(path, p)
	c.part(path, p)
	c.scaling(path, p)
	c.enum(path, p)
	c.invalid(path, p)
	c.valid(path, p)
	c.limits(path, p)
}

// address checks the place of a point and whether its type fits there.
func (c *checker) address(path string, p Point) {
	where := join(path, "type")
	table := p.Address.Table
	part := c.given(join(path, "bit")) || c.given(join(path, "bits"))
	switch {
	case !table.Bits() && !part && !c.need(path, "type", `add type = "uint16", "int16", "uint32", "int32" or "float32"`), c.out.failed[where]:
	case table.Bits() && p.Type != TypeBool:
		c.fail(where, p.Type.String(), fmt.Sprintf("%s holds a single bit", p.Address), `write type = "bool", or leave the key out`)
	case !table.Bits() && p.Type == TypeBool:
		c.fail(where, p.Type.String(), fmt.Sprintf("%s is a register of 16 bits", p.Address),
			`read it as "uint16"; for one of its bits leave type out and add bit = 0, or the number of another`)
	case int(p.Address.Number)+p.Words()-1 > lastAddress:
		c.fail(join(path, "address"), p.Address, fmt.Sprintf("type %s takes %d registers, and the last one is 65535", p.Type, p.Words()),
			"correct the address or the type")
	}
	if p.Writable && !table.Writable() {
		c.fail(join(path, "writable"), true, fmt.Sprintf("Modbus cannot write to %s", p.Address), "only coils and holding registers can be written")
	}
}

// pace checks how often a point is read, and what happens when it is written.
func (c *checker) pace(path string, p Point) {
	if c.given(join(path, "interval")) {
		within(c, join(path, "interval"), p.Interval, time.Millisecond, 24*time.Hour)
	}
	if p.Verify && !p.Writable {
		c.out.atKey(join(path, "verify"), "verify: checks what is written, and this point is not writable", "add writable = true, or remove it")
	}
	if c.given(join(path, "heartbeat")) {
		within(c, join(path, "heartbeat"), p.Heartbeat, time.Second, 7*24*time.Hour)
	}
}

// length checks the size of a text.
func (c *checker) length(path string, p Point) {
	where := join(path, "length")
	switch {
	case !p.Type.text() && c.given(where):
		c.out.atKey(where, fmt.Sprintf("length: type %s has a length of its own", p.Type), "remove it; it is for string and bytes")
	case p.Type.text() && c.need(path, "length", "add length = 8, or how many registers it takes: two characters lie in each") && !c.out.failed[where]:
		most := maxReadRegisters
		if p.Writable {
			most = maxWriteRegisters
		}
		within(c, where, p.Length, 1, most)
	}
}

// order checks that a byte order fits the size of the type.
func (c *checker) order(path string, p Point) {
	where := join(path, "byte_order")
	switch {
	case !c.given(where):
	case p.Type == TypeBool:
		c.out.atKey(where, "byte_order: a bool has no bytes to order", "remove it")
	case p.Type.several() && p.ByteOrder.single():
		c.fail(where, p.ByteOrder.String(), fmt.Sprintf("type %s has several registers", p.Type), `write "ABCD", "CDAB", "BADC" or "DCBA"`)
	case p.Type.size() == 8 && !p.ByteOrder.single():
		c.fail(where, p.ByteOrder.String(), fmt.Sprintf("type %s is one byte of a register", p.Type), `write "AB" for the low byte, "BA" for the high one`)
	case !p.Type.several() && !p.ByteOrder.single():
		c.fail(where, p.ByteOrder.String(), fmt.Sprintf("type %s has no order of words to choose", p.Type),
			`write "AB" (high byte first) or "BA" (low byte first), or remove it`)
	}
}

// part checks bit and bits.
func (c *checker) part(path string, p Point) {
	bit, field := join(path, "bit"), join(path, "bits")
	if c.given(bit) && c.given(field) {
		c.out.atKey(field, "bits: bit is given too", "remove one of the two")
		return
	}
	for _, where := range []string{bit, field} {
		switch key := lastKey(where); {
		case !c.given(where) || c.out.failed[where]:
		case p.Type == TypeBool:
			c.out.atKey(where, fmt.Sprintf("%s: %s holds a single bit", key, p.Address), "remove it")
		case !p.Type.unsigned():
			c.out.atKey(where, fmt.Sprintf("%s: type %s has no bits to choose", key, p.Type), `read it as "uint16", "uint32" or "uint64"`)
		case where == bit:
			within(c, where, *p.Bit, 0, p.Type.size()-1)
		case p.Bits.Last >= p.Type.size():
			c.fail(where, p.Bits.String(), fmt.Sprintf("type %s has the bits 0 to %d", p.Type, p.Type.size()-1), "correct it, or write a wider type")
		}
	}
}

// noNumber says what a point is whose value is no number; "" when it is one.
func (c *checker) noNumber(path string, p Point) string {
	switch {
	case c.given(join(path, "enum")):
		return "a value with names"
	case p.Bit != nil:
		return "a single bit"
	case p.Type == TypeBytes:
		return "a list of bytes"
	case p.Type.size() == 0:
		return "a " + p.Type.String()
	}
	return ""
}

// scaling checks the keys that need a number.
func (c *checker) scaling(path string, p Point) {
	if p.Scale == 0 {
		c.fail(join(path, "scale"), 0, "every reading would be the offset", "leave the key out for 1")
	}
	if what := c.noNumber(path, p); what != "" {
		for _, key := range [][2]string{
			{"scale", "scale"}, {"offset", "scale"}, {"decimals", "round"}, {"valid_min", "bound"}, {"valid_max", "bound"}, {"deadband", "compare"},
		} {
			hint := "remove it"
			if key[0] == "deadband" {
				hint = "remove it; with heartbeat alone each change is published"
			}
			if c.given(join(path, key[0])) {
				c.out.atKey(join(path, key[0]), fmt.Sprintf("%s: %s has no number to %s", key[0], what, key[1]), hint)
			}
		}
		return
	}
	if p.Decimals != nil {
		within(c, join(path, "decimals"), *p.Decimals, 0, maxDecimals)
		if !p.Type.float() && p.Scale == 1 && p.Offset == 0 {
			c.out.atKey(join(path, "decimals"), fmt.Sprintf("decimals: a %s without scale is a whole number", p.Type), "remove it, or add scale")
		}
	}
	if c.given(join(path, "deadband")) && p.Deadband <= 0 {
		c.fail(join(path, "deadband"), p.Deadband, "not above 0", "leave the key out to publish every reading")
	}
}

// enum checks the names of numbers.
func (c *checker) enum(path string, p Point) {
	where := join(path, "enum")
	if !c.given(where) || c.out.failed[where] {
		return
	}
	if p.Type.size() == 0 && p.Type != TypeBool || p.Type.float() || p.Type.bcd() {
		c.out.atKey(where, fmt.Sprintf("enum: names are for whole numbers and bits, not for type %s", p.Type), "remove it")
		return
	}
	if len(p.Enum) == 0 {
		c.out.at(where, "enum: names no number", `write { 0 = "off", 1 = "on" }, or remove it`)
	}
	low, high := p.span()
	seen := map[string]int64{}
	for _, n := range slices.Sorted(maps.Keys(p.Enum)) {
		member, label := c.member(where, n), p.Enum[n]
		switch first, twice := seen[label]; {
		case n < low || n > 0 && uint64(n) > high:
			c.out.atKey(member, fmt.Sprintf("enum: %d is outside %d to %d, which the point can hold", n, low, high), "correct it")
		case label == "" || len(label) > maxLabel || strings.ContainsFunc(label, func(r rune) bool { return r < ' ' || r == utf8.RuneError }):
			c.out.at(member, fmt.Sprintf("enum %d: not a name of 1 to %d bytes", n, maxLabel), "give it a short name")
		case twice && p.Writable:
			c.out.at(member, fmt.Sprintf("enum %d: has the name of %d, and the point is writable", n, first), "give each its own, so that a command can tell them apart")
		default:
			seen[label] = n
		}
	}
}

// member returns the path of a number in an enum, whichever way it was written.
func (c *checker) member(path string, n int64) string {
	for _, text := range []string{strconv.FormatInt(n, 10), fmt.Sprintf("%#x", n), fmt.Sprintf("%#X", n)} {
		if where := join(path, text); c.given(where) {
			return where
		}
	}
	return path
}

// span returns the smallest and the largest whole number that the point can hold.
func (p Point) span() (low int64, high uint64) {
	switch size := p.Type.size(); {
	case p.Type == TypeBool || p.Bit != nil:
		return 0, 1
	case p.Bits != nil:
		return 0, 1<<(p.Bits.Last-p.Bits.First+1) - 1
	case p.Type.signed():
		return -1 << (size - 1), 1<<(size-1) - 1
	case p.Type == TypeBCD16:
		return 0, 9999
	case p.Type == TypeBCD32:
		return 0, 99999999
	default:
		return 0, math.MaxUint64 >> (64 - size)
	}
}

// invalid checks that the device could send the numbers by which it says that it has none.
func (c *checker) invalid(path string, p Point) {
	where := join(path, "invalid")
	if !c.given(where) || c.out.failed[where] {
		return
	}
	if p.Type.size() == 0 {
		c.out.atKey(where, fmt.Sprintf("invalid: a %s has no number that could mean that there is none", p.Type), "remove it")
		return
	}
	p.Bit, p.Bits = nil, nil // it is the whole register that is compared
	for i, s := range p.Invalid {
		if member := at(where, i); !c.out.failed[member] {
			c.sentinel(member, p, s)
		}
	}
}

func (c *checker) sentinel(path string, p Point, s Sentinel) {
	low, high := p.span()
	const asBits = "correct it, or write the bits as 0x..."
	key := lastKey(path)
	number := s.Value().Float()
	switch {
	case s.Raw && bits.Len64(s.Bits) > p.Type.size():
		c.out.at(path, fmt.Sprintf("%s %s: has more bits than type %s", key, s.text, p.Type), "write as many as the registers have")
	case s.Raw:
	case p.Type == TypeFloat16 && math.Abs(number) > 65504, p.Type == TypeFloat32 && math.Abs(number) > math.MaxFloat32:
		c.out.at(path, fmt.Sprintf("%s %s: beyond type %s", key, s.text, p.Type), asBits)
	case p.Type.float():
	case !s.whole():
		c.out.at(path, fmt.Sprintf("%s %s: type %s has no fractions", key, s.text, p.Type), "write the number as the device sends it, before scale and offset")
	case number < float64(low) || number >= 0 && s.Bits > high:
		c.out.at(path, fmt.Sprintf("%s %s: outside %d to %d, the range of type %s", key, s.text, low, high, p.Type), asBits)
	}
}

// valid checks valid_min and valid_max, which bound good readings.
func (c *checker) valid(path string, p Point) {
	if p.ValidMin != nil && p.ValidMax != nil && *p.ValidMin > *p.ValidMax {
		c.fail(join(path, "valid_min"), *p.ValidMin, fmt.Sprintf("above valid_max (%v)", *p.ValidMax), "swap the two")
	}
}

// limits checks min and max, which bound what a set command may write.
func (c *checker) limits(path string, p Point) {
	low, high := math.Inf(-1), math.Inf(1)
	what := c.noNumber(path, p)
	for _, l := range []struct {
		key   string
		value *float64
		bound *float64
	}{{"min", p.Min, &low}, {"max", p.Max, &high}} {
		if l.value == nil || c.out.failed[join(path, l.key)] {
			continue
		}
		*l.bound = *l.value
		switch {
		case !p.Writable:
			c.out.atKey(join(path, l.key), l.key+": bounds what is written, and this point is not writable",
				fmt.Sprintf("add writable = true, or bound its readings with valid_%s", l.key))
		case what != "":
			c.out.atKey(join(path, l.key), fmt.Sprintf("%s: %s has no number to bound", l.key, what), "remove it")
		}
	}
	if low > high {
		c.fail(join(path, "min"), low, fmt.Sprintf("above max (%v)", high), "swap the two")
	}
}

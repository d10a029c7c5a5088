package config

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/gateway"
)

// BitRange is a part of a number: the bits from First to Last, counted from 0, the least significant.
type BitRange struct{ First, Last int }

// String writes the range as the file does.
func (b BitRange) String() string { return strconv.Itoa(b.First) + "-" + strconv.Itoa(b.Last) }

// UnmarshalText reads "4-7".
func (b *BitRange) UnmarshalText(text []byte) error {
	low, high, found := strings.Cut(string(text), "-")
	first, firstErr := strconv.ParseUint(low, 10, 8)
	last, lastErr := strconv.ParseUint(high, 10, 8)
	switch {
	case !found && firstErr == nil:
		return &valueError{reason: "one bit is no range", hint: "write bit = " + low}
	case firstErr != nil || lastErr != nil:
		return &valueError{reason: "not a range of bits", hint: `write the lowest and the highest, counted from 0: "4-7"`}
	case first == last:
		return &valueError{reason: "one bit is no range", hint: "write bit = " + low}
	case first > last:
		return &valueError{reason: "the lowest bit comes first", hint: "write \"" + high + "-" + low + "\""}
	}
	*b = BitRange{First: int(first), Last: int(last)}
	return nil
}

// Enum names numbers.
type Enum map[int64]string

// decode reads { 0 = "off", 1 = "on" }.
func (e *Enum) decode(d *decoder, path string, raw any) {
	tree, ok := want[table](d, path, raw, `a table { 0 = "off", 1 = "on" }`)
	if !ok {
		return
	}
	*e = make(Enum, len(tree))
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		at := join(path, key)
		n, err := strconv.ParseInt(key, 0, 64)
		if err != nil {
			d.out.atKey(at, "enum: "+strconv.Quote(key)+" is not a whole number", `write the number first: { 0 = "off", 1 = "on" }`)
			continue
		}
		label, ok := want[string](d, at, tree[key], "text in quotes")
		if !ok {
			continue
		}
		if _, twice := (*e)[n]; twice {
			d.out.atKey(at, "enum: "+strconv.FormatInt(n, 10)+" stands here twice", "remove one")
		}
		(*e)[n] = label
	}
}

// Sentinel is a number by which a device says that it has no value, as the file gives it: with a prefix such as 0x the bits of the registers,
// otherwise the number that the type makes of them, before scale and offset.
type Sentinel struct {
	Raw  bool
	Bits uint64 // when Raw

	value gateway.Value // when not
	text  string        // as written
}

// Value returns the number, when it is not Raw.
func (s Sentinel) Value() gateway.Value { return s.value }

// whole tells whether the number has no fraction.
func (s Sentinel) whole() bool { return s.value.Kind() != gateway.KindFloat64 }

// decode reads 0x8000, -32768, -9999.0, or what is too large for a number of TOML as text.
func (s *Sentinel) decode(d *decoder, path string, raw any) {
	const needs = "a number, such as 0x8000 or -32768"
	e, _ := d.out.src.find(path)
	text := oneLine(d.out.src.data[e.value.start:e.value.end])
	switch v := raw.(type) {
	case int64:
		*s = Sentinel{Raw: prefixed(text), Bits: uint64(v), value: gateway.Int(v), text: text}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			d.out.at(path, lastKey(path)+": such a number is never a good value", "remove it")
			return
		}
		*s = Sentinel{value: gateway.Float64(v), text: text}
	case string:
		n, err := strconv.ParseUint(v, 0, 64)
		if err != nil {
			d.out.at(path, lastKey(path)+" "+strconv.Quote(v)+": not a number of 64 bits", "write "+needs)
			return
		}
		*s = Sentinel{Raw: prefixed(v), Bits: n, value: gateway.Uint(n), text: v}
	default:
		want[int64](d, path, raw, needs)
	}
}

// prefixed tells whether a whole number is written in hexadecimal, octal or binary form.
func prefixed(text string) bool { return len(text) > 1 && text[0] == '0' }

// Words returns how many registers (or, of coils, bits) the point takes.
func (p Point) Words() int {
	if p.Type.text() {
		return max(1, p.Length)
	}
	return p.Type.words()
}

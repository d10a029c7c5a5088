package gateway

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"
)

// Kind says which type a [Value] holds.
type Kind uint8

// The kinds of a value. Float32 is apart from Float64 because it prints shorter: 230.1, not 230.10000610351562.
const (
	KindNone Kind = iota
	KindBool
	KindInt
	KindUint
	KindFloat32
	KindFloat64
	KindString
	KindBytes
)

// Value is one typed value of a point. The zero Value holds nothing and prints as null. Values are comparable.
type Value struct {
	kind Kind
	bits uint64
	text string
}

// Bool returns a boolean value.
func Bool(b bool) Value {
	if b {
		return Value{kind: KindBool, bits: 1}
	}
	return Value{kind: KindBool}
}

// Int returns a signed integer value.
func Int(i int64) Value { return Value{kind: KindInt, bits: uint64(i)} }

// Uint returns an unsigned integer value.
func Uint(u uint64) Value { return Value{kind: KindUint, bits: u} }

// Float32 returns a single precision value; NaN and infinities become the zero Value, since no payload can carry them.
func Float32(f float32) Value {
	if !finite(float64(f)) {
		return Value{}
	}
	return Value{kind: KindFloat32, bits: uint64(math.Float32bits(f))}
}

// Float64 returns a double precision value; NaN and infinities become the zero Value, since no payload can carry them.
func Float64(f float64) Value {
	if !finite(f) {
		return Value{}
	}
	return Value{kind: KindFloat64, bits: math.Float64bits(f)}
}

// String returns a text value.
func String(s string) Value { return Value{kind: KindString, text: s} }

// Bytes returns a value of raw bytes; it prints as base64 text.
func Bytes(b []byte) Value { return Value{kind: KindBytes, text: string(b)} }

// Kind returns the kind of v.
func (v Value) Kind() Kind { return v.kind }

// IsZero reports whether v holds nothing.
func (v Value) IsZero() bool { return v.kind == KindNone }

// Bool returns the truth of v: a boolean itself, a number that is not zero.
func (v Value) Bool() bool {
	switch v.kind {
	case KindBool, KindInt, KindUint:
		return v.bits != 0
	case KindFloat32, KindFloat64:
		return v.Float() != 0
	default:
		return false
	}
}

// Float returns v as a float64; ok is lost silently for text (0), so ask Kind first where that matters.
func (v Value) Float() float64 {
	switch v.kind {
	case KindBool, KindUint:
		return float64(v.bits)
	case KindInt:
		return float64(int64(v.bits))
	case KindFloat32:
		return float64(math.Float32frombits(uint32(v.bits)))
	case KindFloat64:
		return math.Float64frombits(v.bits)
	default:
		return 0
	}
}

// Bits returns the number as it is stored: two's complement, IEEE 754 of the kind's width, 0 or 1.
func (v Value) Bits() uint64 { return v.bits }

// Text returns the text or bytes of v, and "" for numbers.
func (v Value) Text() string { return v.text }

// FromBits rebuilds a value from what Kind, Bits and Text gave.
func FromBits(k Kind, bits uint64, text string) Value { return Value{kind: k, bits: bits, text: text} }

// AppendJSON appends v as a JSON value: numbers in their shortest form, bytes as base64 text, the zero Value as null.
func (v Value) AppendJSON(dst []byte) []byte {
	switch v.kind {
	case KindBool:
		return strconv.AppendBool(dst, v.bits != 0)
	case KindInt:
		return strconv.AppendInt(dst, int64(v.bits), 10)
	case KindUint:
		return strconv.AppendUint(dst, v.bits, 10)
	case KindFloat32:
		return appendFloat(dst, v.Float(), 32)
	case KindFloat64:
		return appendFloat(dst, v.Float(), 64)
	case KindString:
		return appendJSONString(dst, v.text)
	case KindBytes:
		dst = base64.StdEncoding.AppendEncode(append(dst, '"'), []byte(v.text))
		return append(dst, '"')
	default:
		return append(dst, "null"...)
	}
}

// String returns v as a person would read it, and as a topic of its own carries it: as AppendJSON prints it, but text and the
// base64 of bytes without quotes.
func (v Value) String() string {
	switch v.kind {
	case KindString:
		return v.text
	case KindBytes:
		return base64.StdEncoding.EncodeToString([]byte(v.text))
	default:
		return string(v.AppendJSON(nil))
	}
}

// appendFloat prints what JSON has no word for, which only FromBits can have let in, as null.
func appendFloat(dst []byte, f float64, bits int) []byte {
	if !finite(f) {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, f, floatFormat(f), -1, bits)
}

// appendJSONString quotes s (RFC 8259, 7), escaping no more than it must; bytes that are not UTF-8 become U+FFFD.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0 // s[:from] is written
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c < ' ' || c == '"' || c == '\\' {
				dst = appendEscape(append(dst, s[from:i]...), c)
				from = i + 1
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(append(dst, s[from:i]...), "\uFFFD"...)
			from = i + 1
		}
		i += size
	}
	return append(append(dst, s[from:]...), '"')
}

func appendEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	default:
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
}

// floatFormat keeps the everyday range readable and the rest short.
func floatFormat(f float64) byte {
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return 'e'
	}
	return 'f'
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

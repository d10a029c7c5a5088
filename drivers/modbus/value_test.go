package modbus

import (
	"cmp"
	"encoding/hex"
	"math"
	"testing"

	"github.com/tidegate/tidegate/gateway"
)

func TestDecode(t *testing.T) {
	for _, tc := range []struct {
		name  string
		point Point
		wire  string
		want  string
		kind  gateway.Kind
	}{
		{"Uint16", Point{Type: Uint16}, "ffff", "65535", gateway.KindUint},
		{"Int16", Point{Type: Int16}, "ffff", "-1", gateway.KindInt},
		{"Uint32", Point{Type: Uint32}, "ffffffff", "4294967295", gateway.KindUint},
		{"Int32", Point{Type: Int32}, "ffffffff", "-1", gateway.KindInt},
		{"ABCD", Point{Type: Uint32, Order: ABCD}, "01020304", "16909060", gateway.KindUint},
		{"CDAB", Point{Type: Uint32, Order: CDAB}, "03040102", "16909060", gateway.KindUint},
		{"BADC", Point{Type: Uint32, Order: BADC}, "02010403", "16909060", gateway.KindUint},
		{"DCBA", Point{Type: Uint32, Order: DCBA}, "04030201", "16909060", gateway.KindUint},
		{"OrderDoesNotTouch16Bits", Point{Type: Uint16, Order: DCBA}, "0102", "258", gateway.KindUint},
		{"Float32", Point{Type: Float32}, "4366199a", "230.1", gateway.KindFloat32},
		{"Float32CDAB", Point{Type: Float32, Order: CDAB}, "199a4366", "230.1", gateway.KindFloat32},
		{"FloatNaN", Point{Type: Float32}, "7fc00000", "", 0},
		{"FloatInf", Point{Type: Float32}, "ff800000", "", 0},
		{"FloatScaledToInf", Point{Type: Float32, Scale: 1e300}, "7f7fffff", "", 0},
		{"FloatScaled", Point{Type: Float32, Scale: 10}, "4366199a", "2301", gateway.KindFloat64},
		{"FloatOffset", Point{Type: Float32, Offset: 0.5}, "4366199a", "230.6", gateway.KindFloat64},
		{"Tenths", Point{Type: Uint16, Scale: 0.1}, "08fd", "230.1", gateway.KindFloat64},
		{"TenthsNegative", Point{Type: Int16, Scale: 0.1}, "fffd", "-0.3", gateway.KindFloat64},
		{"Hundredths", Point{Type: Int32, Scale: 0.01}, "000003e7", "9.99", gateway.KindFloat64},
		{"Hundred", Point{Type: Uint16, Scale: 100}, "0007", "700", gateway.KindFloat64},
		{"ScaleAndOffset", Point{Type: Uint16, Scale: 0.1, Offset: -40}, "01c8", "5.6", gateway.KindFloat64},
		{"OffsetFinerThanScale", Point{Type: Uint16, Scale: 0.1, Offset: 0.25}, "0001", "0.35", gateway.KindFloat64},
		{"LargeTimesSmall", Point{Type: Uint32, Scale: 0.001}, "ffffffff", "4294967.295", gateway.KindFloat64},
		{"ScaledToInf", Point{Type: Uint16, Scale: 1e308}, "ffff", "", 0},
		{"NotDecimal", Point{Type: Uint16, Scale: 1.0 / 3}, "0003", "1", gateway.KindFloat64},
		{"Tiny", Point{Type: Uint16, Scale: 1e-12}, "0003", "3e-12", gateway.KindFloat64},
		{"Int8", Point{Type: Int8}, "05fe", "-2", gateway.KindInt},
		{"Int8High", Point{Type: Int8, Order: BA}, "fe05", "-2", gateway.KindInt},
		{"Uint8", Point{Type: Uint8}, "05fe", "254", gateway.KindUint},
		{"Uint8High", Point{Type: Uint8, Order: BA}, "05fe", "5", gateway.KindUint},
		{"Uint16Swapped", Point{Type: Uint16, Order: BA}, "0102", "513", gateway.KindUint},
		{"Int64", Point{Type: Int64}, "fffffffffffffffe", "-2", gateway.KindInt},
		{"Int64Lowest", Point{Type: Int64}, "8000000000000000", "-9223372036854775808", gateway.KindInt},
		{"Uint64Highest", Point{Type: Uint64}, "ffffffffffffffff", "18446744073709551615", gateway.KindUint},
		{"Uint64BeyondFloat", Point{Type: Uint64}, "0020000000000001", "9007199254740993", gateway.KindUint},
		{"Uint64ABCD", Point{Type: Uint64, Order: ABCD}, "0102030405060708", "72623859790382856", gateway.KindUint},
		{"Uint64CDAB", Point{Type: Uint64, Order: CDAB}, "0708050603040102", "72623859790382856", gateway.KindUint},
		{"Uint64BADC", Point{Type: Uint64, Order: BADC}, "0201040306050807", "72623859790382856", gateway.KindUint},
		{"Uint64DCBA", Point{Type: Uint64, Order: DCBA}, "0807060504030201", "72623859790382856", gateway.KindUint},
		{"Uint64Scaled", Point{Type: Uint64, Scale: 0.001}, "0000000000bc614e", "12345.678", gateway.KindFloat64},
		{"Uint64ScaledBeyondFloat", Point{Type: Uint64, Scale: 0.1}, "ffffffffffffffff", "1844674407370955300", gateway.KindFloat64},
		{"Uint64ScaledRoundedOnce", Point{Type: Uint64, Scale: 0.001}, "037bf992c9e9c616", "251068613097276.94", gateway.KindFloat64},
		{"Uint64ScaledOverflow", Point{Type: Uint64, Scale: 16}, "1000000000000000", "18446744073709552000", gateway.KindFloat64},
		{"Int64ScaledBeyondFloat", Point{Type: Int64, Scale: 0.1, Offset: 0.3}, "8000000000000001", "-922337203685477600", gateway.KindFloat64},
		{"Float64", Point{Type: Float64}, "406cc33333333333", "230.1", gateway.KindFloat64},
		{"Float64DCBA", Point{Type: Float64, Order: DCBA}, "3333333333c36c40", "230.1", gateway.KindFloat64},
		{"Float64NaN", Point{Type: Float64}, "7ff8000000000000", "", 0},
		{"Float16", Point{Type: Float16}, "3c00", "1", gateway.KindFloat32},
		{"Float16Shortest", Point{Type: Float16}, "2e66", "0.1", gateway.KindFloat32},
		{"Float16Third", Point{Type: Float16}, "3555", "0.3333", gateway.KindFloat32},
		{"Float16Largest", Point{Type: Float16}, "7bff", "65500", gateway.KindFloat32},
		{"Float16Smallest", Point{Type: Float16}, "8001", "-6e-08", gateway.KindFloat32},
		{"Float16Scaled", Point{Type: Float16, Scale: 10}, "2e66", "1", gateway.KindFloat64},
		{"Float16Inf", Point{Type: Float16}, "fc00", "", 0},
		{"Float16NaN", Point{Type: Float16}, "7e01", "", 0},
		{"BCD16", Point{Type: BCD16}, "1234", "1234", gateway.KindUint},
		{"BCD16NoDigit", Point{Type: BCD16}, "12a4", "", 0},
		{"BCD32", Point{Type: BCD32}, "12345678", "12345678", gateway.KindUint},
		{"BCD32CDAB", Point{Type: BCD32, Order: CDAB}, "56781234", "12345678", gateway.KindUint},
		{"BCD32Scaled", Point{Type: BCD32, Scale: 0.01}, "00001999", "19.99", gateway.KindFloat64},
		{"Decimals", Point{Type: Float32, Decimals: gap(1)}, "43661eb8", "230.1", gateway.KindFloat32},
		{"DecimalsNone", Point{Type: Float64, Decimals: gap(0)}, "406cc33333333333", "230", gateway.KindFloat64},
		{"DecimalsHalfUp", Point{Type: Uint16, Scale: 0.01, Decimals: gap(1)}, "0929", "23.5", gateway.KindFloat64},
		{"DecimalsOfLarge", Point{Type: Float64, Decimals: gap(3)}, "4341c37937e08000", "10000000000000000", gateway.KindFloat64},
		{"Bit", Point{Type: Uint16, Bits: Bits{3, 1}}, "0008", "true", gateway.KindBool},
		{"BitOff", Point{Type: Uint16, Bits: Bits{3, 1}}, "fff7", "false", gateway.KindBool},
		{"BitOfSecondWord", Point{Type: Uint32, Bits: Bits{16, 1}}, "00010000", "true", gateway.KindBool},
		{"BitOfSecondWordCDAB", Point{Type: Uint32, Order: CDAB, Bits: Bits{16, 1}}, "00000001", "true", gateway.KindBool},
		{"Field", Point{Type: Uint16, Bits: Bits{4, 4}}, "0fa0", "10", gateway.KindUint},
		{"FieldAcrossWords", Point{Type: Uint32, Bits: Bits{12, 8}}, "000ab000", "171", gateway.KindUint},
		{"FieldOf64", Point{Type: Uint64, Bits: Bits{0, 64}}, "ffffffffffffffff", "18446744073709551615", gateway.KindUint},
		{"FieldScaled", Point{Type: Uint16, Bits: Bits{4, 4}, Scale: 0.5}, "0030", "1.5", gateway.KindFloat64},
		{"Enum", Point{Type: Uint16, Enum: map[int64]string{0: "off", 2: "heating"}}, "0002", "heating", gateway.KindString},
		{"EnumUnknown", Point{Type: Uint16, Enum: map[int64]string{0: "off"}}, "0007", "7", gateway.KindString},
		{"EnumNegative", Point{Type: Int16, Enum: map[int64]string{-1: "fault"}}, "ffff", "fault", gateway.KindString},
		{"EnumOfField", Point{Type: Uint16, Bits: Bits{8, 2}, Enum: map[int64]string{3: "auto"}}, "0300", "auto", gateway.KindString},
		{"EnumOfBit", Point{Type: Uint16, Bits: Bits{8, 1}, Enum: map[int64]string{0: "closed", 1: "open"}}, "0100", "open", gateway.KindString},
		{"EnumBeyondInt64", Point{Type: Uint64, Enum: map[int64]string{-1: "fault"}}, "ffffffffffffffff", "18446744073709551615", gateway.KindString},
		{"String", Point{Type: String, Length: 3}, "4d4c31300000", "ML10", gateway.KindString},
		{"StringSpaces", Point{Type: String, Length: 3}, "204131202020", " A1", gateway.KindString},
		{"StringSwapped", Point{Type: String, Length: 2, Order: BA}, "4c4d3031", "ML10", gateway.KindString},
		{"StringEndsAtNul", Point{Type: String, Length: 2}, "41004243", "A", gateway.KindString},
		{"StringEmpty", Point{Type: String, Length: 2}, "00000000", "", gateway.KindString},
		{"StringUTF8", Point{Type: String, Length: 2}, "c2b04300", "°C", gateway.KindString},
		{"StringLatin1", Point{Type: String, Length: 2}, "b0430000", "°C", gateway.KindString},
		{"Bytes", Point{Type: Bytes, Length: 2}, "00ff0102", "AP8BAg==", gateway.KindBytes},
		{"BytesSwapped", Point{Type: Bytes, Length: 2, Order: BA}, "ff000201", "AP8BAg==", gateway.KindBytes},
		{"BeyondExact", Point{Type: Uint32, Scale: 1e9}, "ffffffff", "4294967295000000000", gateway.KindFloat64},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wire, err := hex.DecodeString(tc.wire)
			if err != nil {
				t.Fatal(err)
			}
			c := newCodec(tc.point)
			v, reason := c.decode(wire)
			if tc.want == "" && tc.kind == 0 {
				if !v.IsZero() || reason != gateway.ReasonNotNumber {
					t.Fatalf("decode() = %v, %q, want nothing and %q", v, reason, gateway.ReasonNotNumber)
				}
				return
			}
			if v.String() != tc.want || v.Kind() != tc.kind || reason != "" {
				t.Errorf("decode() = %v (kind %d), %q, want %s (kind %d)", v, v.Kind(), reason, tc.want, tc.kind)
			}
			if c.kind() != tc.kind {
				t.Errorf("kind() = %d, want %d", c.kind(), tc.kind)
			}
		})
	}
}

// A good reading lies inside valid_min and valid_max, as it is published: scaled and rounded.
func TestValidRange(t *testing.T) {
	for _, tc := range []struct {
		name  string
		point Point
		wire  uint16
		want  string
	}{
		{"Lowest", Point{Type: Int16, ValidMin: -5, ValidMax: 5}, 0xFFFB, "-5"},
		{"Below", Point{Type: Int16, ValidMin: -5, ValidMax: 5}, 0xFFFA, "range"},
		{"Above", Point{Type: Uint16, ValidMin: -5, ValidMax: 5}, 6, "range"},
		{"OneBound", Point{Type: Uint16, ValidMin: 1, ValidMax: math.Inf(1)}, 0xFFFF, "65535"},
		{"Scaled", Point{Type: Uint16, Scale: 0.1, ValidMin: 0, ValidMax: 5}, 51, "range"},
		{"Rounded", Point{Type: Uint16, Scale: 0.1, Decimals: gap(0), ValidMin: 0, ValidMax: 5}, 51, "5"},
		{"Float16", Point{Type: Float16, ValidMin: 0, ValidMax: 0.5}, 0x3C00, "range"},
		{"Bits", Point{Type: Uint16, Bits: Bits{8, 4}, ValidMin: 0, ValidMax: 3}, 0x0400, "range"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, reason := newCodec(tc.point).decode([]byte{byte(tc.wire >> 8), byte(tc.wire)})
			if got := cmp.Or(string(reason), v.String()); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestEncode(t *testing.T) {
	for _, tc := range []struct {
		name  string
		point Point
		value gateway.Value
		want  string // hex, or the error
	}{
		{"Uint16", Point{Type: Uint16}, gateway.Int(65535), "ffff"},
		{"Uint16TooLarge", Point{Type: Uint16}, gateway.Int(65536), "value 65536 is outside the range of the register: 0 to 65535"},
		{"Uint16Negative", Point{Type: Uint16}, gateway.Int(-1), "value -1 is outside the range of the register: 0 to 65535"},
		{"Int16", Point{Type: Int16}, gateway.Float64(-32768), "8000"},
		{"Int16TooSmall", Point{Type: Int16}, gateway.Float64(-32769), "value -32769 is outside the range of the register: -32768 to 32767"},
		{"Int32", Point{Type: Int32}, gateway.Int(-2), "fffffffe"},
		{"Uint32CDAB", Point{Type: Uint32, Order: CDAB}, gateway.Uint(16909060), "03040102"},
		{"Uint32TooLarge", Point{Type: Uint32}, gateway.Uint(math.MaxUint64), "value 18446744073709551615 is outside the range of the register: 0 to 4294967295"},
		{"Float32", Point{Type: Float32}, gateway.Float64(230.1), "4366199a"},
		{"Float32DCBA", Point{Type: Float32, Order: DCBA}, gateway.Float32(230.1), "9a196643"},
		{"Float32TooLarge", Point{Type: Float32}, gateway.Float64(1e39), "value 1e+39 is outside a float32"},
		{"Tenths", Point{Type: Uint16, Scale: 0.1}, gateway.Float64(230.1), "08fd"},
		{"TenthsRounded", Point{Type: Uint16, Scale: 0.1}, gateway.Float64(230.14), "08fd"},
		{"TenthsTooLarge", Point{Type: Int16, Scale: 0.1, Offset: 10}, gateway.Int(4000), "value 4000 is outside the range of the register: -3266.8 to 3286.7"},
		{"NegativeScale", Point{Type: Int16, Scale: -0.1}, gateway.Int(4000), "value 4000 is outside the range of the register: -3276.7 to 3276.8"},
		{"RoundedIntoRange", Point{Type: Uint16}, gateway.Float64(65535.4), "ffff"},
		{"RoundedOutOfRange", Point{Type: Uint16}, gateway.Float64(65535.5), "value 65535.5 is outside the range of the register: 0 to 65535"},
		{"Int8", Point{Type: Int8}, gateway.Int(-2), "00fe"},
		{"Int8High", Point{Type: Int8, Order: BA}, gateway.Int(-2), "fe00"},
		{"Int8TooSmall", Point{Type: Int8}, gateway.Int(-129), "value -129 is outside the range of the register: -128 to 127"},
		{"Uint16Swapped", Point{Type: Uint16, Order: BA}, gateway.Int(1), "0100"},
		{"Int64Lowest", Point{Type: Int64}, gateway.Int(math.MinInt64), "8000000000000000"},
		{"Uint64Highest", Point{Type: Uint64}, gateway.Uint(math.MaxUint64), "ffffffffffffffff"},
		{"Int64TooLarge", Point{Type: Int64}, gateway.Uint(1 << 63), "value 9223372036854775808 is outside the range of the register: -9223372036854775808 to 9223372036854775807"},
		{"Uint64BeyondFloat", Point{Type: Uint64, Order: DCBA}, gateway.Uint(1<<53 + 1), "0100000000002000"},
		{"Uint64TooLargeFloat", Point{Type: Uint64}, gateway.Float64(1 << 64), "value 18446744073709552000 is outside the range of the register: 0 to 18446744073709551615"},
		{"Int64Scaled", Point{Type: Int64, Scale: 0.001}, gateway.Float64(-12345.678), "ffffffffff439eb2"},
		{"Float64", Point{Type: Float64, Order: CDAB}, gateway.Float64(230.1), "33333333c333406c"},
		{"Float16", Point{Type: Float16}, gateway.Float64(0.1), "2e66"},
		{"Float16Swapped", Point{Type: Float16, Order: BA}, gateway.Float64(-2), "00c0"},
		{"Float16RoundedToLargest", Point{Type: Float16}, gateway.Float64(65519), "7bff"},
		{"Float16TooLarge", Point{Type: Float16}, gateway.Float64(65520), "value 65520 is outside a float16"},
		{"BCD16", Point{Type: BCD16}, gateway.Int(1234), "1234"},
		{"BCD16TooLarge", Point{Type: BCD16}, gateway.Int(10000), "value 10000 is outside the range of the register: 0 to 9999"},
		{"BCD32DCBA", Point{Type: BCD32, Order: DCBA}, gateway.Int(12345678), "78563412"},
		{"Bit", Point{Type: Uint16, Bits: Bits{3, 1}}, gateway.Bool(true), "0008"},
		{"BitNoBool", Point{Type: Uint16, Bits: Bits{3, 1}}, gateway.Int(2), "value 2 is neither true nor false, and the point is a single bit"},
		{"FieldAcrossWords", Point{Type: Uint32, Bits: Bits{12, 8}}, gateway.Int(171), "000ab000"},
		{"FieldTooLarge", Point{Type: Uint16, Bits: Bits{4, 4}}, gateway.Int(16), "value 16 is outside the range of the register: 0 to 15"},
		{"Enum", Point{Type: Int16, Enum: map[int64]string{-1: "fault", 2: "on"}}, gateway.String("fault"), "ffff"},
		{"EnumOfTwo", Point{Type: Int16, Enum: map[int64]string{3: "on", 2: "on", 4: "on"}}, gateway.String("on"), "0002"},
		{"EnumUnknown", Point{Type: Int16, Enum: map[int64]string{1: "on", 0: "off"}}, gateway.String("1"), "value \"1\" is none of off, on"},
		{"EnumNumber", Point{Type: Int16, Enum: map[int64]string{1: "on", 0: "off"}}, gateway.Int(1), "0001"},
		{"EnumNumberOfTwo", Point{Type: Int16, Enum: map[int64]string{3: "on", 2: "on", 4: "on"}}, gateway.Int(4), "0004"},
		{"EnumNegative", Point{Type: Int16, Enum: map[int64]string{-1: "fault", 2: "on"}}, gateway.Int(-1), "ffff"},
		{"EnumNumberWithoutName", Point{Type: Int16, Enum: map[int64]string{1: "on", 0: "off"}}, gateway.Int(2), "value \"2\" is none of off, on"},
		{"Sentinel", Point{Type: Int16, Invalid: []uint64{0x8000}}, gateway.Int(-32768), "value -32768 is one by which the device says that it has none"},
		{"String", Point{Type: String, Length: 3}, gateway.String("ML10"), "4d4c31300000"},
		{"StringSwapped", Point{Type: String, Length: 2, Order: BA}, gateway.String("ML1"), "4c4d0031"},
		{"StringTooLong", Point{Type: String, Length: 1}, gateway.String("ML1"), "text has 3 bytes, and the point holds 2"},
		{"StringNul", Point{Type: String, Length: 1}, gateway.String("a\x00"), "text holds a NUL, which would end it"},
		{"StringNoUTF8", Point{Type: String, Length: 1}, gateway.String("\xff"), "text is not UTF-8"},
		{"StringNumber", Point{Type: String, Length: 1}, gateway.Int(1), "value 1 is not a string"},
		{"Bytes", Point{Type: Bytes, Length: 1, Order: BA}, gateway.Bytes([]byte{1, 2}), "0201"},
		{"BytesTooFew", Point{Type: Bytes, Length: 2}, gateway.Bytes([]byte{1, 2}), "value has 2 bytes, and the point takes 4"},
		{"NotFinite", Point{Type: Int16}, gateway.FromBits(gateway.KindFloat64, math.Float64bits(math.Inf(1)), ""), "value null is not a number, and the point is a int16"},
		{"Text", Point{Type: Uint16}, gateway.String("5"), "value 5 is not a number, and the point is a uint16"},
		{"Nothing", Point{Type: Uint16}, gateway.Value{}, "value null is not a number, and the point is a uint16"},
		{"Truth", Point{Type: Uint16}, gateway.Bool(true), "value true is not a number, and the point is a uint16"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, err := newCodec(tc.point).encode(tc.value)
			got := hex.EncodeToString(b)
			if err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("encode() = %s, want %s", got, tc.want)
			}
		})
	}
}

func TestTruth(t *testing.T) {
	for _, tc := range []struct {
		value gateway.Value
		want  bool
		ok    bool
	}{
		{gateway.Bool(true), true, true},
		{gateway.Bool(false), false, true},
		{gateway.Int(1), true, true},
		{gateway.Float64(0), false, true},
		{gateway.Int(2), false, false},
		{gateway.String("true"), false, false},
		{gateway.String(""), false, false},
		{gateway.Value{}, false, false},
	} {
		if got, err := truth(tc.value); got != tc.want || (err == nil) != tc.ok {
			t.Errorf("truth(%v) = %v, %v, want %v, ok %v", tc.value, got, err, tc.want, tc.ok)
		}
	}
}

package modbus

import (
	"encoding/hex"
	"math"
	"testing"

	"pgregory.net/rapid"

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
		{"BeyondExact", Point{Type: Uint32, Scale: 1e9}, "ffffffff", "4294967295000000000", gateway.KindFloat64},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wire, err := hex.DecodeString(tc.wire)
			if err != nil {
				t.Fatal(err)
			}
			c := newCodec(tc.point)
			v, reason := c.decode(wire)
			if tc.want == "" {
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

// What a device holds, written back as it was read, gives the same registers.
func TestDecodeThenEncode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Point{
			Type:  rapid.SampledFrom(Types()[1:]).Draw(t, "type"),
			Order: rapid.SampledFrom(Orders()).Draw(t, "order"),
			Scale: rapid.SampledFrom([]float64{0, 1, 0.1, 0.01, 0.001, -0.1, 10, 0.5, 1.0 / 3}).Draw(t, "scale"),
		}
		if p.Type != Float32 { // a float32 plus an offset loses digits by its nature
			p.Offset = rapid.SampledFrom([]float64{0, -40, 273.15, 1000}).Draw(t, "offset")
		}
		c := newCodec(p)
		wire := rapid.SliceOfN(rapid.Byte(), 2*p.Type.width(), 2*p.Type.width()).Draw(t, "wire")
		v, reason := c.decode(wire)
		if reason != "" {
			t.Skip("not a number")
		}
		got, err := c.encode(v)
		if err != nil {
			if p.Type == Float32 && c.scaled {
				t.Skip("at the end of the range")
			}
			t.Fatalf("encode(%v): %v", v, err)
		}
		if p.Type == Float32 && c.scaled {
			near(t, c, wire, got)
			return
		}
		if p.Type == Float32 && v.Float() == 0 {
			return // -0 prints as 0
		}
		if hex.EncodeToString(got) != hex.EncodeToString(wire) {
			t.Fatalf("% x decodes to %v and encodes to % x", wire, v, got)
		}
	})
}

// near allows a scaled float32 its last bit.
func near(t *rapid.T, c codec, a, b []byte) {
	x, y := math.Float32frombits(c.uint32(a)), math.Float32frombits(c.uint32(b))
	if math.Abs(float64(x)-float64(y)) > math.Abs(float64(x))*1e-6 && math.Abs(float64(x)) > 1e-37 {
		t.Fatalf("%v becomes %v", x, y)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(uint8(Float32), uint8(CDAB), 0.1, -40.0, []byte{1, 2, 3, 4})
	f.Add(uint8(Int16), uint8(ABCD), 1e-300, 1e300, []byte{0xff, 0xff, 0, 0})
	f.Fuzz(func(t *testing.T, typ, order uint8, scale, offset float64, wire []byte) {
		p := Point{Type: Type(typ), Order: Order(order), Scale: scale, Offset: offset, Address: Address{Table: Holding}}
		if p.check() != nil || len(wire) < 2*p.Type.width() {
			return
		}
		c := newCodec(p)
		v, reason := c.decode(wire)
		if v.IsZero() && reason == "" {
			t.Fatalf("no value and no reason: %+v % x", p, wire)
		}
		if !v.IsZero() && v.Kind() != c.kind() {
			t.Fatalf("value of kind %d, announced %d", v.Kind(), c.kind())
		}
		if !v.IsZero() {
			_, _ = c.encode(v)
		}
	})
}

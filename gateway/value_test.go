package gateway

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestValueJSON(t *testing.T) {
	for _, c := range []struct {
		value      Value
		json, text string
	}{
		{Value{}, "null", "null"},
		{Bool(true), "true", "true"},
		{Bool(false), "false", "false"},
		{Int(-7), "-7", "-7"},
		{Int(math.MinInt64), "-9223372036854775808", "-9223372036854775808"},
		{Uint(math.MaxUint64), "18446744073709551615", "18446744073709551615"},
		{Float32(230.1), "230.1", "230.1"},
		{Float32(16777216), "16777216", "16777216"},
		{Float32(float32(math.NaN())), "null", "null"},
		{Float64(230.1), "230.1", "230.1"},
		{Float64(0), "0", "0"},
		{Float64(1e-6), "0.000001", "0.000001"},
		{Float64(1e-7), "1e-07", "1e-07"},
		{Float64(1e20), "100000000000000000000", "100000000000000000000"},
		{Float64(-1e21), "-1e+21", "-1e+21"},
		{Float64(math.Inf(1)), "null", "null"},
		{FromBits(KindFloat64, math.Float64bits(math.NaN()), ""), "null", "null"},
		{FromBits(KindFloat32, uint64(math.Float32bits(float32(math.Inf(-1)))), ""), "null", "null"},
		{FromBits(Kind(99), 1, "x"), "null", "null"},
		{String(""), `""`, ""},
		{String("22 °C <&>"), `"22 °C <&>"`, "22 °C <&>"},
		{String("a\"b\\c\n\r\t\x00\x1f"), `"a\"b\\c\n\r\t\u0000\u001f"`, "a\"b\\c\n\r\t\x00\x1f"},
		{String("a\xffb\xc3"), "\"a\uFFFDb\uFFFD\"", "a\xffb\xc3"},
		{String("\uFFFD"), "\"\uFFFD\"", "\uFFFD"},
		{Bytes([]byte{0xff, 0, 1}), `"/wAB"`, "/wAB"},
		{Bytes(nil), `""`, ""},
	} {
		if got := string(c.value.AppendJSON([]byte("x"))); got != "x"+c.json {
			t.Errorf("AppendJSON: got %s, want x%s", got, c.json)
		}
		if got := c.value.String(); got != c.text {
			t.Errorf("String: got %q, want %q", got, c.text)
		}
	}
}

func TestValueSurvivesItsParts(t *testing.T) {
	for _, v := range []Value{{}, Bool(true), Int(-1), Uint(1), Float32(-0.5), Float64(1e300), String("x"), Bytes([]byte("x"))} {
		if got := FromBits(v.Kind(), v.Bits(), v.Text()); got != v {
			t.Errorf("got %v, want %v", got, v)
		}
	}
	if String("x") == Bytes([]byte("x")) {
		t.Error("text and bytes are taken for the same value")
	}
}

func TestValueAsNumber(t *testing.T) {
	for _, c := range []struct {
		value Value
		float float64
		truth bool
	}{
		{Value{}, 0, false},
		{Bool(true), 1, true},
		{Int(-3), -3, true},
		{Uint(1 << 63), 1 << 63, true},
		{Float32(0.5), 0.5, true},
		{Float64(math.Copysign(0, -1)), 0, false},
		{String("1"), 0, false},
	} {
		if got := c.value.Float(); got != c.float {
			t.Errorf("%v: got %g, want %g", c.value, got, c.float)
		}
		if got := c.value.Bool(); got != c.truth {
			t.Errorf("%v: got %t, want %t", c.value, got, c.truth)
		}
	}
}

func FuzzStringJSON(f *testing.F) {
	f.Add("22 °C")
	f.Add("a\xff\"\\\x00")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		b := String(s).AppendJSON(nil)
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		var want strings.Builder
		for _, r := range s { // one U+FFFD for each byte that is not UTF-8
			want.WriteRune(r)
		}
		if back != want.String() {
			t.Fatalf("got %q, want %q", back, want.String())
		}
	})
}

func BenchmarkStringJSON(b *testing.B) {
	v, dst := String("compressor is running"), make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		dst = v.AppendJSON(dst[:0])
	}
}

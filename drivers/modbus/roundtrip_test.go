package modbus

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/gateway"
)

// drawPoint draws a point of any type of registers, with any order and what else it may have.
func drawPoint(t *rapid.T) Point {
	p := Point{
		Type:    rapid.SampledFrom(Types()[1:]).Draw(t, "type"),
		Order:   rapid.SampledFrom(allOrders()).Draw(t, "order"),
		Address: Address{Table: Holding},
	}
	if p.Type.text() {
		p.Length = rapid.IntRange(1, 4).Draw(t, "length")
		return p
	}
	if size := 8 * p.Type.traits().size; p.Type.integer() && !p.Type.traits().signed && rapid.Bool().Draw(t, "part") {
		p.Bits.First = uint8(rapid.IntRange(0, size-1).Draw(t, "first"))
		p.Bits.Count = uint8(rapid.IntRange(1, size-int(p.Bits.First)).Draw(t, "count"))
	}
	if p.Bits.Count == 1 {
		return p
	}
	p.Scale = rapid.SampledFrom([]float64{0, 1, 0.1, 0.01, 0.001, -0.1, 10, 0.5, 1.0 / 3}).Draw(t, "scale")
	if !p.Type.traits().fraction { // a float plus an offset loses digits by its nature
		p.Offset = rapid.SampledFrom([]float64{0, -40, 273.15, 1000}).Draw(t, "offset")
	}
	return p
}

// What a device holds, written back as it was read, gives the same value, and the same registers where each value has only one form.
func TestDecodeThenEncode(t *testing.T) {
	seen := map[Type]int{}
	rapid.Check(t, func(t *rapid.T) {
		p := drawPoint(t)
		if p.check() != nil {
			t.Skip("an order of other types")
		}
		c := newCodec(p)
		wire := rapid.SliceOfN(rapid.Byte(), 2*p.width(), 2*p.width()).Draw(t, "wire")
		if p.Type.bcd() {
			for i := range wire {
				wire[i] = wire[i]>>4%10<<4 | wire[i]&0xF%10
			}
		}
		v, reason := c.decode(wire)
		if reason != "" {
			t.Skip("not a number")
		}
		if v.Kind() != c.kind() {
			t.Fatalf("value of kind %d, announced %d", v.Kind(), c.kind())
		}
		got, err := c.encode(v)
		scaledFraction := p.Type.traits().fraction && c.scaled
		switch {
		case err != nil && p.Type == String:
			t.Skip("Latin-1 has grown to UTF-8")
		case err != nil && scaledFraction:
			t.Skip("at the end of the range")
		case err != nil:
			t.Fatalf("encode(%v): %v", v, err)
		}
		seen[p.Type]++
		again, reason := c.decode(got)
		switch {
		case scaledFraction:
			near(t, v.Float(), again.Float())
		case again != v || reason != "":
			t.Fatalf("% x decodes to %v, encodes to % x and decodes to %v %s", wire, v, got, again, reason)
		case p.Type != String && !p.Type.traits().fraction && !(c.scaled && c.size == 8) && !bytes.Equal(got, mine(c, wire)):
			t.Fatalf("% x decodes to %v and encodes to % x", wire, v, got)
		}
	})
	for _, typ := range Types()[1:] {
		if seen[typ] == 0 {
			t.Logf("no value of %v was drawn", typ)
		}
	}
}

// mine returns the wire with the bits cleared that are not the point's.
func mine(c *codec, wire []byte) []byte {
	if !c.partial() {
		return wire
	}
	field := c.put(c.mask() << c.bits.First)
	for i := range field {
		field[i] &= wire[i]
	}
	return field
}

// near allows a scaled floating point number its last bits.
func near(t *rapid.T, a, b float64) {
	if diff := math.Abs(a - b); diff > math.Abs(a)*2e-3 && diff > 1e-6 {
		t.Fatalf("%v becomes %v", a, b)
	}
}

// Every text and every list of bytes that fits comes back, in both orders.
func TestEncodeThenDecodeText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Point{Type: String, Length: 20, Order: rapid.SampledFrom([]Order{AB, BA}).Draw(t, "order")}
		s := rapid.StringMatching(`[ -~°äЖ]{0,10}[!-~°äЖ]`).Draw(t, "text")
		b, err := newCodec(p).encode(gateway.String(s))
		if err != nil {
			t.Fatal(err)
		}
		if v, reason := newCodec(p).decode(b); v != gateway.String(s) || reason != "" {
			t.Fatalf("%q becomes % x and then %v %s", s, b, v, reason)
		}
	})
}

// All float16 numbers there are, each in its shortest decimal form.
func TestHalf(t *testing.T) {
	for bits := range 1 << 16 {
		f := fromHalf(uint16(bits))
		if !finite(f) {
			if exponent := bits >> 10 & 0x1F; exponent != 31 {
				t.Fatalf("%#04x is %v", bits, f)
			}
			continue
		}
		if back := toHalf(f); back != uint16(bits) {
			t.Fatalf("%#04x is %v, which is %#04x", bits, f, back)
		}
		short := float32(shortHalf(uint16(bits)))
		if back := toHalf(float64(short)); back != uint16(bits) {
			t.Fatalf("%#04x is %v, in short %v, which is %#04x", bits, f, short, back)
		}
		if n := len(hex.EncodeToString([]byte(gateway.Float32(short).String()))) / 2; n > 13 {
			t.Fatalf("%#04x is %v, in short %v", bits, f, short)
		}
	}
	for f, want := range map[float64]uint16{
		math.Inf(1): 0x7C00, math.Inf(-1): 0xFC00, 65519.99: 0x7BFF, 65520: 0x7C00, 0x1p-25: 0, 0x1.8p-25: 1, 0x1.ffep-15: 0x0400, 1 + 0x1p-11: 0x3C00, 1 + 0x1.8p-10: 0x3C02,
	} {
		if got := toHalf(f); got != want {
			t.Errorf("toHalf(%v) = %#04x, want %#04x", f, got, want)
		}
	}
	if toHalf(math.NaN())&0x7C00 != 0x7C00 || toHalf(math.NaN())&0x3FF == 0 || !math.IsNaN(fromHalf(0x7E00)) {
		t.Error("NaN is not NaN")
	}
}

// A patch changes the bits of the point and no other, in every order, and writes what encode says.
func TestPatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPoint(t)
		p.Scale, p.Offset = 0, 0
		c := newCodec(p)
		if p.check() != nil || !c.partial() {
			t.Skip("not a part")
		}
		before := rapid.SliceOfN(rapid.Byte(), 2*p.width(), 2*p.width()).Draw(t, "before")
		wanted := rapid.SliceOfN(rapid.Byte(), 2*p.width(), 2*p.width()).Draw(t, "wanted")
		v, _ := c.decode(wanted)
		patches, err := c.patches(v)
		if err != nil {
			t.Fatal(err)
		}
		after := bytes.Clone(before)
		for i, patch := range patches {
			if i > 0 && patch.register != patches[i-1].register+1 {
				t.Fatalf("registers of %+v are no neighbours", patches)
			}
			at := after[2*patch.register:]
			binary.BigEndian.PutUint16(at, patch.apply(binary.BigEndian.Uint16(at)))
		}
		field := c.put(c.mask() << c.bits.First)
		for i := range after {
			if want := before[i]&^field[i] | wanted[i]&field[i]; after[i] != want {
				t.Fatalf("% x with %v written is % x, byte %d should be %02x", before, v, after, i, want)
			}
		}
	})
	if _, err := newCodec(Point{Type: Uint16}).patches(gateway.Int(1)); err == nil {
		t.Error("a whole register has patches")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(uint8(Float32), uint8(CDAB), 0.1, -40.0, uint8(0), uint8(0), uint8(0), []byte{1, 2, 3, 4})
	f.Add(uint8(Int16), uint8(ABCD), 1e-300, 1e300, uint8(0), uint8(0), uint8(0), []byte{0xff, 0xff, 0, 0})
	f.Add(uint8(Uint64), uint8(DCBA), 0.001, 0.0, uint8(12), uint8(40), uint8(0), []byte{0xff, 0xff, 0, 0, 1, 2, 3, 4})
	f.Add(uint8(String), uint8(BA), 0.0, 0.0, uint8(0), uint8(0), uint8(3), []byte("\xb0C    "))
	f.Add(uint8(BCD32), uint8(BADC), 0.01, 0.0, uint8(0), uint8(0), uint8(0), []byte{0x12, 0x34, 0x9a, 0})
	f.Fuzz(func(t *testing.T, typ, order uint8, scale, offset float64, first, count, length uint8, wire []byte) {
		p := Point{
			Type: Type(typ), Order: Order(order), Scale: scale, Offset: offset, Address: Address{Table: Holding},
			Bits: Bits{first, count}, Length: int(length),
		}
		if p.check() != nil || len(wire) < 2*p.width() {
			return
		}
		c := newCodec(p)
		v, reason := c.decode(wire)
		if v.IsZero() && reason == "" {
			t.Fatalf("no value and no reason: %+v % x", p, wire)
		}
		if v.IsZero() {
			return
		}
		if v.Kind() != c.kind() {
			t.Fatalf("value of kind %d, announced %d", v.Kind(), c.kind())
		}
		if b, err := c.encode(v); err == nil && len(b) != 2*p.width() {
			t.Fatalf("%v becomes % x, want %d registers", v, b, p.width())
		}
	})
}

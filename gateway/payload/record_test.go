package payload

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

var noon = time.Date(2026, 11, 21, 2, 26, 42, 123_456_789, time.UTC)

func messageRecord() *gateway.Record {
	return &gateway.Record{
		Seq: 4711, Time: noon, Origin: "cloud",
		Body: &gateway.Message{
			Topic: "a/b", Payload: []byte("hello"), QoS: 2, Retain: true,
			Properties: &gateway.Properties{
				PayloadFormat: 1, Expiry: 60, HasExpiry: true, ContentType: "text/plain", ResponseTopic: "r",
				CorrelationData: []byte{0, 1}, User: []gateway.UserProperty{{Name: "k", Value: "v"}, {Name: "k", Value: ""}},
			},
		},
	}
}

func batchRecord() *gateway.Record {
	good := func(v gateway.Value, t time.Time) gateway.Reading {
		return gateway.Reading{Value: v, Quality: gateway.QualityGood, Time: t}
	}
	bad := func(r gateway.Reason) gateway.Reading { return gateway.Reading{Reason: r, Time: noon} }
	early := noon.Add(-1500 * time.Microsecond)
	return &gateway.Record{
		Seq: 1, Time: noon,
		Body: &gateway.Batch{
			Topic: "t/meter", Publish: gateway.PublishBoth, Time: noon,
			Names: []string{"b", "i", "u", "f", "d", "s", "raw", "x", "y", "never", "old"},
			Readings: []gateway.Reading{
				good(gateway.Bool(true), early), good(gateway.Int(-3), early), good(gateway.Uint(math.MaxUint64), early),
				good(gateway.Float32(230.1), noon), good(gateway.Float64(-0.5), noon), good(gateway.String("on"), noon),
				good(gateway.Bytes([]byte{0xff, 0}), noon), bad(gateway.ReasonTimeout), bad(gateway.ReasonTimeout),
				{},
				{Value: gateway.Int(7), Quality: gateway.QualityStale, Reason: gateway.ReasonCRC, Time: time.Date(1, 2, 3, 4, 5, 6, 7, time.UTC)},
			},
		},
	}
}

func unsetRecord() *gateway.Record {
	return &gateway.Record{Time: noon, ClockUnset: true, Body: &gateway.Message{Topic: "t"}}
}

func gapRecord() *gateway.Record {
	return &gateway.Record{Seq: 9, Time: noon, Body: &gateway.Gap{
		Queue: "cloud", From: 17, To: 42, Count: 20, Reason: "size", Time: noon.Add(time.Second),
	}}
}

// The stored form is what the buffer of an earlier release wrote: these bytes must stay readable for ever.
var recordForms = []struct {
	name string
	rec  func() *gateway.Record
	hex  string
}{
	{"message", messageRecord, "01 78 e724 c48588b00d959aef3a 05636c6f7564" + // version, head, seq, time, origin
		"03612f62 0568656c6c6f" + // topic, payload
		"7f 01 3c 0a746578742f706c61696e 0172 020001 02 016b0176 016b00"}, // properties
	{"batch", batchRecord, "01 09 01 c48588b00d959aef3a 07742f6d65746572" + // version, head, seq, time, topic
		"0b 0162 0169 0175 0166 0164 0173 03726177 0178 0179 056e65766572 036f6c64" + // names
		"46bf8db701 01" + // true, 1.5 ms before the batch
		"0a 05" + // -3, at the same time
		"0e ffffffffffffffffff01" +
		"52c08db701 9a196643" + // 230.1, 1.5 ms later
		"16 000000000000e0bf" +
		"1a 026f6e" +
		"1e 02ff00" +
		"80 0774696d656f7574" + // bad, timeout
		"80 00" + // bad, for the same reason
		"20" + // never read: no time
		"e9 03637263 9bf0b1f6ce0307 0e"}, // stale, with a time of its own
	{"clock unset", unsetRecord, "01 80 00 c48588b00d959aef3a 0174 00"},
	{"gap", gapRecord, "01 12 09 c48588b00d959aef3a 05636c6f7564 11 2a 14 0473697a65 c68588b00d959aef3a"},
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecordForm(t *testing.T) {
	for _, f := range recordForms {
		t.Run(f.name, func(t *testing.T) {
			want := unhex(t, f.hex)
			if got := AppendRecord(nil, f.rec()); !bytes.Equal(got, want) {
				t.Errorf("AppendRecord:\n got %x\nwant %x", got, want)
			}
			rec, err := ParseRecord(want)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(rec, f.rec()) {
				t.Errorf("ParseRecord:\n got %+v\nwant %+v", rec.Body, f.rec().Body)
			}
		})
	}
}

func TestRecordRoundTrip(t *testing.T) {
	zone := time.FixedZone("east", 3600)
	records := map[string]*gateway.Record{
		"zero":                 {Body: &gateway.Message{}},
		"empty properties":     {Body: &gateway.Message{Properties: &gateway.Properties{}}},
		"expiry of 0":          {Body: &gateway.Message{Properties: &gateway.Properties{HasExpiry: true}}},
		"expiry without flag":  {Body: &gateway.Message{Properties: &gateway.Properties{Expiry: 7}}},
		"empty correlation":    {Body: &gateway.Message{Properties: &gateway.Properties{CorrelationData: []byte{}}}},
		"format 9":             {Body: &gateway.Message{Properties: &gateway.Properties{PayloadFormat: 9}}},
		"before 1970":          {Time: time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), Body: &gateway.Message{}},
		"far away":             {Time: time.Date(292e6, 1, 1, 0, 0, 0, 999_999_999, time.UTC), Body: &gateway.Message{}},
		"clock unset":          {Time: noon, ClockUnset: true, Body: &gateway.Message{Topic: "t"}},
		"largest seq":          {Seq: math.MaxUint64, Body: &gateway.Gap{From: math.MaxUint64}},
		"batch without points": {Time: noon, Body: &gateway.Batch{Topic: "t"}},
	}
	for name, want := range records {
		got, err := ParseRecord(AppendRecord(nil, want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
	}
	rec, err := ParseRecord(AppendRecord(nil, &gateway.Record{Time: noon.In(zone), Body: &gateway.Message{}}))
	if err != nil || rec.Time != noon {
		t.Errorf("time of another zone: got %v, %v, want %v", rec.Time, err, noon)
	}
}

func TestRecordDoesNotAlias(t *testing.T) {
	for _, f := range recordForms {
		b := AppendRecord(nil, f.rec())
		rec, err := ParseRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			b[i] = 0xff
		}
		if !reflect.DeepEqual(rec, f.rec()) {
			t.Errorf("%s: changed with the bytes it was read from", f.name)
		}
	}
}

// A value that only FromBits can make must not make the record unreadable.
func TestRecordOfStrangeValues(t *testing.T) {
	values := []gateway.Value{
		gateway.FromBits(gateway.KindBool, 7, ""),
		gateway.FromBits(gateway.KindFloat64, math.Float64bits(math.NaN()), ""),
		gateway.FromBits(gateway.Kind(200), 7, "x"),
	}
	want := []gateway.Value{gateway.Bool(true), {}, {}}
	b := &gateway.Batch{Topic: "t", Names: []string{"a", "b", "c"}}
	for _, v := range values {
		b.Readings = append(b.Readings, gateway.Reading{Value: v, Quality: gateway.QualityGood})
	}
	rec, err := ParseRecord(AppendRecord(nil, &gateway.Record{Body: b}))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rec.Body.(*gateway.Batch).Readings {
		if r.Value != want[i] {
			t.Errorf("value %d: got %v, want %v", i, r.Value, want[i])
		}
	}
}

func TestRecordOverhead(t *testing.T) {
	rec := &gateway.Record{Seq: 1 << 40, Time: noon, Body: &gateway.Message{
		Topic: strings.Repeat("t", 30), Payload: make([]byte, 100), QoS: 1,
	}}
	if n := len(AppendRecord(nil, rec)) - 130; n >= 25 {
		t.Errorf("a message of 130 bytes costs %d bytes more, want < 25", n)
	}
}

func TestParseRecordRefuses(t *testing.T) {
	const head = "c48588b00d959aef3a"
	for name, s := range map[string]string{
		"nothing":                    "",
		"another version":            "02 00 00 0000 00 00",
		"unknown body":               "01 03 00 0000",
		"QoS 3":                      "01 0c 00 0000 00 00",
		"publish mode 3":             "01 0d 00 0000 00 00",
		"gap with a level":           "01 06 00 0000 00 00 00 00 00",
		"batch with properties":      "01 41 00 0000 00 00",
		"unknown property":           "01 40 00 0000 00 00 80",
		"expiry beyond 32 bits":      "01 40 00 0000 00 00 04 8080808010",
		"a second of 1e9 ns":         "01 00 00 00 8094ebdc03 00 00",
		"bytes follow":               "01 00 00 0000 00 00 00",
		"number too long":            "01 00 ffffffffffffffffffff01",
		"topic longer than the rest": "01 00 00" + head + "05 61",
		"2^60 names":                 "01 01 00" + head + "00 808080808080808010",
		"2^60 user properties":       "01 40 00" + head + "00 00 40 808080808080808010",
		"quality 3":                  "01 01 00" + head + "00 01 0161 03",
		"readings missing":           "01 01 00" + head + "00 02 0161 0162 02",
	} {
		if rec, err := ParseRecord(unhex(t, s)); !errors.Is(err, ErrRecord) || rec != nil {
			t.Errorf("%s: got %v, %v, want ErrRecord", name, rec, err)
		}
	}
}

func TestParseRecordCutAnywhere(t *testing.T) {
	for _, f := range recordForms {
		b := unhex(t, f.hex)
		for n := range b {
			if _, err := ParseRecord(b[:n]); err == nil {
				t.Errorf("%s: the first %d of %d bytes are taken for a record", f.name, n, len(b))
			}
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, form := range recordForms {
		f.Add(unhex(f, form.hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, err := ParseRecord(b)
		if err != nil {
			return
		}
		again := AppendRecord(nil, rec)
		back, err := ParseRecord(again)
		if err != nil {
			t.Fatalf("what AppendRecord wrote: %v", err)
		}
		if !reflect.DeepEqual(rec, back) {
			t.Fatalf("got %+v, want %+v", back.Body, rec.Body)
		}
		if !bytes.Equal(again, AppendRecord(nil, back)) {
			t.Fatal("not deterministic")
		}
		for i, m := range Upstream(rec, gateway.Topics{Base: "t"}) {
			if v := View(rec, uint16(i+1), gateway.Topics{Base: "t"}); !reflect.DeepEqual(v, m) {
				t.Fatalf("view %d: got %+v, want %+v", i+1, v, m)
			}
		}
	})
}

func BenchmarkAppendRecord(b *testing.B) {
	for _, f := range recordForms {
		rec, buf := f.rec(), make([]byte, 0, 512)
		b.Run(f.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buf = AppendRecord(buf[:0], rec)
			}
		})
	}
}

func BenchmarkParseRecord(b *testing.B) {
	for _, f := range recordForms {
		buf := unhex(b, f.hex)
		b.Run(f.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseRecord(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

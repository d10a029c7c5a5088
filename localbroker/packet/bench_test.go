package packet_test

import (
	"testing"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// stream returns n PUBLISH packets of 100 bytes of payload, as a read from a busy socket.
func stream(n int, p packet.Publish, v packet.Version) []byte {
	var b []byte
	for i := range n {
		p.ID = uint16(i + 1)
		b = p.Append(b, v)
	}
	return b
}

var (
	benchTopic   = []byte("factory/hall/line1/energy/power")
	benchPayload = make([]byte, 100)
	benchProps   = packet.Properties{
		MessageExpiry: packet.Some[uint32](60), ContentType: []byte("application/json"),
		UserProperties: []packet.UserProperty{{Name: []byte("site"), Value: []byte("north")}},
	}
)

// BenchmarkPublishParse reads a stream of PUBLISH packets; one operation is one packet.
func BenchmarkPublishParse(b *testing.B) {
	plain := packet.Publish{QoS: 1, Topic: benchTopic, Payload: benchPayload}
	rich := plain
	rich.Props = benchProps
	for name, s := range map[string]struct {
		stream []byte
		v      packet.Version
	}{
		"3.1.1":             {stream(100, plain, packet.V311), packet.V311},
		"5":                 {stream(100, plain, packet.V5), packet.V5},
		"5 with properties": {stream(100, rich, packet.V5), packet.V5},
	} {
		b.Run(name, func(b *testing.B) {
			var p packet.Publish
			b.ReportAllocs()
			b.SetBytes(int64(len(s.stream) / 100))
			for rest := s.stream; b.Loop(); {
				frame, n, _ := packet.NextFrame(rest, 1<<20)
				if err := p.Parse(frame, s.v); err != nil {
					b.Fatal(err)
				}
				if rest = rest[n:]; len(rest) == 0 {
					rest = s.stream
				}
			}
		})
	}
}

// BenchmarkPublishAppend writes PUBLISH packets into a buffer that is large enough.
func BenchmarkPublishAppend(b *testing.B) {
	p := packet.Publish{QoS: 1, ID: 1, Topic: benchTopic, Payload: benchPayload}
	rich := p
	rich.Props = benchProps
	encoded := p.Encode(nil, packet.V311)
	buf := make([]byte, 0, 4096)
	for name, f := range map[string]func(){
		"3.1.1":                func() { p.Append(buf, packet.V311) },
		"5":                    func() { p.Append(buf, packet.V5) },
		"5 with properties":    func() { rich.Append(buf, packet.V5) },
		"copy of one encoding": func() { encoded.Append(buf, 7, false) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}

// BenchmarkAck reads and writes acknowledgements.
func BenchmarkAck(b *testing.B) {
	raw := packet.AppendAck(nil, packet.TypePuback, 7)
	buf := make([]byte, 0, 64)
	b.Run("parse", func(b *testing.B) {
		var a packet.Ack
		b.ReportAllocs()
		for b.Loop() {
			frame, _, _ := packet.NextFrame(raw, 0)
			if err := a.Parse(frame, packet.V311); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			packet.AppendAck(buf, packet.TypePuback, 7)
		}
	})
}

// BenchmarkMatch compares a topic with a filter.
func BenchmarkMatch(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		packet.Match("factory/+/line1/#", "factory/hall/line1/energy/power")
	}
}

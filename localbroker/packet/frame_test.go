package packet_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/localbroker/packet"
	"github.com/tidegate/tidegate/localbroker/packet/packettest"
)

func TestNextFrameTakesOnePacketAfterTheOther(t *testing.T) {
	var stream []byte
	var want []packettest.Case
	for _, c := range packettest.Cases() {
		if c.Valid() {
			stream = append(stream, c.Raw...)
			want = append(want, c)
		}
	}
	for _, c := range want {
		frame, n, err := packet.NextFrame(stream, 0)
		if err != nil || n != len(c.Raw) {
			t.Fatalf("%s: NextFrame = %d, %v, want %d", c.Name, n, err, len(c.Raw))
		}
		if frame.First != c.Raw[0] || frame.Type() != c.Packet.Type() || frame.Flags() != c.Raw[0]&0x0f {
			t.Fatalf("%s: first byte %02x, type %v, flags %x", c.Name, frame.First, frame.Type(), frame.Flags())
		}
		if len(frame.Body) != cap(frame.Body) {
			t.Fatalf("%s: appending to the body would overwrite the next packet", c.Name)
		}
		stream = stream[n:]
	}
	if frame, n, err := packet.NextFrame(stream, 0); n != 0 || err != nil {
		t.Errorf("NextFrame of nothing = %v, %d, %v", frame, n, err)
	}
}

// A claim is refused, or waited for, when only the header is there.
func TestNextFrameTooLarge(t *testing.T) {
	tests := []struct {
		header string
		limit  int
		want   string // "" if the packet is still allowed to come
	}{
		{"30 0a", 12, ""},
		{"30 0a", 11, "refused PUBLISH: packet of 12 bytes is larger than the 11 allowed here"},
		{"30 80 01", 131, ""},
		{"30 80 01", 130, "refused PUBLISH: packet of 131 bytes is larger than the 130 allowed here"},
		{"10 ff ff ff 7f", 0, ""},
		{"10 ff ff ff 7f", packet.MaxSize, ""},
		{"10 ff ff ff 7f", packet.MaxSize - 1, "refused CONNECT: packet of 268435460 bytes is larger than the 268435459 allowed here"},
		{"10 ff ff ff 7f", 4096, "refused CONNECT: packet of 268435460 bytes is larger than the 4096 allowed here"},
		{"10 ff ff ff", 4096, ""}, // the length is not complete yet
	}
	for _, tt := range tests {
		_, n, err := packet.NextFrame(packettest.Bytes(tt.header), tt.limit)
		if got := errText(err); n != 0 || got != tt.want {
			t.Errorf("NextFrame(%s, %d) = %d, %q, want %q", tt.header, tt.limit, n, got, tt.want)
		}
		var e *packet.Error
		if errors.As(err, &e) && e.Code != packet.ReasonPacketTooLarge {
			t.Errorf("NextFrame(%s, %d): code %v", tt.header, tt.limit, e.Code)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// What cannot become a packet is refused without waiting for more.
func TestNextFrameRefusesEarly(t *testing.T) {
	for _, raw := range []string{"00", "0f", "11", "1f", "16 03 01", "30 80 80 80 80"} {
		if _, _, err := packet.NextFrame(packettest.Bytes(raw), 0); err == nil {
			t.Errorf("NextFrame(%s) waits for more", raw)
		}
	}
}

func TestParseOtherType(t *testing.T) {
	for _, p := range allTypes() {
		for first := 0; first < 256; first += 16 {
			f := packet.Frame{First: byte(first), Body: []byte{0, 1}}
			if _, isAck := p.(*packet.Ack); f.Type() == p.Type() || isAck && f.Type() >= packet.TypePuback && f.Type() <= packet.TypePubcomp {
				continue
			}
			var e *packet.Error
			if err := p.Parse(f, packet.V5); !errors.As(err, &e) || e.Clause == "" {
				t.Errorf("%T.Parse(%v) = %v", p, f.Type(), err)
			}
		}
	}
	if p, err := packet.Parse(packet.Frame{}, packet.V5); err == nil || p != nil {
		t.Errorf("Parse(zero frame) = %v, %v", p, err)
	}
}

// allTypes returns an empty packet of every type.
func allTypes() []packet.Packet {
	var all []packet.Packet
	for typ := packet.TypeConnect; typ <= packet.TypeAuth; typ++ {
		all = append(all, packet.New(typ))
	}
	return all
}

func TestNewKnowsEveryType(t *testing.T) {
	for i, p := range allTypes() {
		if want := packet.Type(i + 1); p.Type() != want {
			t.Errorf("New(%v).Type() = %v", want, p.Type())
		}
	}
	if p := packet.New(0); p != nil {
		t.Errorf("New(0) = %v", p)
	}
}

func TestVarint(t *testing.T) {
	// Table 2.4 of 3.1.1: the limits of each length.
	sizes := map[int]int{0: 1, 127: 1, 128: 2, 16383: 2, 16384: 3, 2097151: 3, 2097152: 4, packet.MaxRemaining: 4}
	for x, size := range sizes {
		b := packet.AppendVarint(nil, x)
		if len(b) != size || packet.VarintSize(x) != size {
			t.Errorf("%d takes %d bytes, varintSize says %d, want %d", x, len(b), packet.VarintSize(x), size)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.IntRange(0, packet.MaxRemaining).Draw(t, "x")
		b := packet.AppendVarint(nil, x)
		for n := range b {
			if got, used := packet.DecodeVarint(b[:n]); used != 0 {
				t.Fatalf("decodeVarint(% x) = %d, %d, want more to be needed", b[:n], got, used)
			}
		}
		if got, used := packet.DecodeVarint(append(slices.Clone(b), 0xff)); got != x || used != len(b) {
			t.Fatalf("decodeVarint(% x) = %d, %d, want %d, %d", b, got, used, x, len(b))
		}
	})
}

// Bodies around the lengths at which the remaining length grows by a byte.
func TestRemainingLengthGrows(t *testing.T) {
	for _, size := range []int{0, 1, 123, 124, 125, 16378, 16379, 16380, 2097146, 2097147, 2097148} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			publish := &packet.Publish{Topic: []byte("a"), Payload: make([]byte, size)}
			checkAgain(t, publish, packet.V311)
			if got, want := len(publish.Append(nil, packet.V311)), publish.Size(packet.V311); got != want {
				t.Errorf("%d bytes, Size says %d", got, want)
			}
			// Packets whose length is put in afterwards.
			for i, filters := 0, max(1, size/60000); i < filters && size < 1<<20; i++ {
				checkAgain(t, &packet.Unsubscribe{ID: 1, Filters: []string{strings.Repeat("a", 1+size%60000), "b"}}, packet.V5)
			}
		})
	}
}

// checkAgain writes p, reads it and compares what that writes.
func checkAgain(t *testing.T, p packet.Packet, v packet.Version) {
	t.Helper()
	raw := p.Append(nil, v)
	got, err := parse(t, raw, v)
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, packet.Dump(raw))
	}
	if !slices.Equal(got.Append(nil, v), raw) {
		t.Fatalf("read and written again:\n got %s\nwant %s", packet.Dump(got.Append(nil, v)), packet.Dump(raw))
	}
}

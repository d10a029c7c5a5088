package packet_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/tidegate/tidegate/localbroker/packet"
	"github.com/tidegate/tidegate/localbroker/packet/packettest"
)

// FuzzParse takes any bytes for a stream of packets of any version. Nothing panics; what parses
// is written as bytes that parse to the same, and written again they are the same.
func FuzzParse(f *testing.F) {
	for _, c := range packettest.Cases() {
		if len(c.Raw) < 1000 {
			f.Add(c.Raw, byte(c.Version))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte, version byte) {
		v := packet.Version(version%3) + packet.V31
		for len(stream) > 0 {
			frame, n, err := packet.NextFrame(stream, 0)
			if err != nil {
				checkError(t, err)
			}
			if err != nil || n == 0 {
				return
			}
			fuzzFrame(t, frame, v)
			_, _ = packet.Hint(stream), packet.Dump(stream)
			stream = stream[n:]
		}
	})
}

func fuzzFrame(t *testing.T, frame packet.Frame, v packet.Version) {
	body := bytes.Clone(frame.Body)
	p, err := packet.Parse(frame, v)
	if !bytes.Equal(body, frame.Body) {
		t.Fatal("Parse changed its input")
	}
	if err != nil {
		checkError(t, err)
		return
	}
	if c, ok := p.(*packet.Connect); ok {
		v = c.Version
	}
	raw := p.Append(nil, v)
	again, n, err := packet.NextFrame(raw, 0)
	if err != nil || n != len(raw) {
		t.Fatalf("NextFrame of what %T wrote = %d, %v, want %d", p, n, err, len(raw))
	}
	q, err := packet.Parse(again, v)
	if err != nil {
		t.Fatalf("%+v is written as % x: %v", p, raw, err)
	}
	if !reflect.DeepEqual(p, q) {
		t.Fatalf("% x\nparses to %+v,\nwritten as % x\nparses to %+v", frame.Body, p, raw, q)
	}
	if !bytes.Equal(q.Append(nil, v), raw) {
		t.Fatalf("written again:\n got % x\nwant % x", q.Append(nil, v), raw)
	}
	checkPublish(t, p, raw, v)
}

// checkPublish looks at what only a PUBLISH has.
func checkPublish(t *testing.T, p packet.Packet, raw []byte, v packet.Version) {
	publish, ok := p.(*packet.Publish)
	if !ok {
		return
	}
	if publish.Size(v) != len(raw) {
		t.Fatalf("Size = %d, written are %d bytes", publish.Size(v), len(raw))
	}
	if got := publish.Encode(nil, v).Append(nil, publish.ID, publish.Dup); !bytes.Equal(got, raw) {
		t.Fatalf("Encode wrote % x, want % x", got, raw)
	}
	if err := publish.Validate(v); err != nil {
		t.Fatalf("Validate refuses what Parse took: %v", err)
	}
	if clone := publish.Props.Clone(); !reflect.DeepEqual(clone, publish.Props) {
		t.Fatalf("Clone = %+v, want %+v", clone, publish.Props)
	}
}

func checkError(t *testing.T, err error) {
	var e *packet.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v (%T) is not an *Error", err, err)
	}
	if e.Clause == "" || !e.Code.Failed() || e.Problem == "" {
		t.Fatalf("error says too little: %+v", e)
	}
	if connack, ok := e.Connack(); ok && len(connack.Append(nil, e.Version)) < 4 {
		t.Fatalf("no answer to %v", e)
	}
}

// FuzzFrame takes any bytes and any limit. A frame lies within input and limit, and what arrives in
// pieces gives the same as what arrives at once.
func FuzzFrame(f *testing.F) {
	for _, c := range packettest.Cases() {
		if len(c.Raw) < 200 {
			f.Add(c.Raw, 0)
			f.Add(c.Raw, 12)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, limit int) {
		frame, n, err := packet.NextFrame(b, limit)
		switch {
		case err != nil && (n != 0 || frame.Body != nil):
			t.Fatalf("NextFrame = %v, %d, %v: a frame and an error", frame, n, err)
		case n > len(b) || limit > 0 && n > limit || n < 0 || n == 1:
			t.Fatalf("NextFrame took %d of %d bytes, limit %d", n, len(b), limit)
		case n > 0 && !bytes.HasSuffix(b[:n], frame.Body):
			t.Fatalf("body % x is not the end of % x", frame.Body, b[:n])
		}
		for i := range min(len(b), 64) {
			checkPrefix(t, b[:i:i], limit, n, err)
		}
	})
}

// checkPrefix compares what a part of the input gives with what the whole gave.
func checkPrefix(t *testing.T, part []byte, limit, n int, err error) {
	_, partN, partErr := packet.NextFrame(part, limit)
	switch {
	case partErr != nil && (err == nil || err.Error() != partErr.Error()):
		t.Fatalf("% x: %v, but with more bytes: %v", part, partErr, err)
	case partN != 0 && partN != n:
		t.Fatalf("% x: frame of %d bytes, but with more bytes of %d", part, partN, n)
	case partN == 0 && partErr == nil && n != 0 && len(part) >= n:
		t.Fatalf("% x: more is needed than %d bytes", part, n)
	}
}

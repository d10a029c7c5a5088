package localbroker

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

func TestPacketIDsFollowPositions(t *testing.T) {
	for pos, want := range map[uint64]uint16{1: 1, 2: 2, 65535: 65535, 65536: 1, 131070: 65535, 131071: 1} {
		if got := packetID(pos); got != want {
			t.Errorf("position %d: got id %d, want %d", pos, got, want)
		}
	}
}

// The window finds what is in flight by its id, whatever was confirmed in between, over the wrap of the ids, and with holes.
func TestWindowFindsWhatIsInFlight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		pos := rapid.Uint64Range(1, 200_000).Draw(t, "start")
		inFlight := map[uint64]bool{}
		var order []uint64
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "send") {
				pos += rapid.SampledFrom([]uint64{1, 1, 1, 2, 700}).Draw(t, "ahead")
				if w.fits(pos) && w.room(100) > 0 {
					w.push(pos, stageSent)
					inFlight[pos] = true
					order = append(order, pos)
				}
				continue
			}
			if len(order) == 0 {
				continue
			}
			p := rapid.SampledFrom(order).Draw(t, "confirm")
			f := w.find(packetID(p))
			if (f != nil) != inFlight[p] && (f == nil || f.pos == p) {
				t.Fatalf("position %d: in flight %v, found %v", p, inFlight[p], f)
			}
			if f != nil && f.pos == p {
				w.finish(f)
				delete(inFlight, p)
				order = slices.DeleteFunc(order, func(x uint64) bool { return x == p })
			}
		}
		if w.live != len(inFlight) {
			t.Fatalf("%d in flight, want %d", w.live, len(inFlight))
		}
		ids := map[uint16]bool{}
		for p := range inFlight {
			if f := w.find(packetID(p)); f == nil || f.pos != p || ids[packetID(p)] {
				t.Fatalf("position %d is not found, or its id is not its own", p)
			}
			ids[packetID(p)] = true
		}
	})
}

func TestWindowStopsWhenOneIsNeverConfirmed(t *testing.T) {
	var w window
	sent := 0
	for pos := uint64(1); w.room(10) > 0; pos++ {
		w.push(pos, stageSent)
		sent++
		if pos > 1 {
			w.finish(w.find(packetID(pos)))
		}
	}
	if sent != 20 {
		t.Errorf("%d were sent past one that is not confirmed, want 20", sent)
	}
	w.finish(w.find(1))
	if w.room(10) != 10 || w.n != 0 {
		t.Errorf("room for %d, %d places in use, after all were confirmed", w.room(10), w.n)
	}
}

// The queue in memory keeps the order, its limits, and count of what it dropped.
func TestOutqueueKeepsOrderAndLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q outqueue
		const maxItems, maxBytes = 20, 16 * (messageOverhead + 4)
		type entry struct {
			n   int
			qos gateway.QoS
		}
		var model []entry
		size := func() int { return len(model) * (messageOverhead + 4) }
		for n := range rapid.IntRange(1, 150).Draw(t, "steps") {
			if rapid.IntRange(0, 2).Draw(t, "what") == 0 {
				it, ok := q.peek()
				if ok != (len(model) > 0) {
					t.Fatalf("peek says %v, want %d items", ok, len(model))
				}
				if ok {
					if got := int(it.msg.Payload[0])<<8 | int(it.msg.Payload[1]); got != model[0].n || it.qos != model[0].qos {
						t.Fatalf("got item %d, want %d", got, model[0].n)
					}
					q.pop()
					model = model[1:]
				}
				continue
			}
			qos := rapid.SampledFrom([]gateway.QoS{0, 0, 1, 2}).Draw(t, "QoS")
			it := item{msg: &message{Message: gateway.Message{Topic: "ab", Payload: []byte{byte(n >> 8), byte(n)}}}, qos: qos}
			want := 0
			full := len(model) >= maxItems || size()+messageOverhead+4 > maxBytes
			oldest := slices.IndexFunc(model, func(e entry) bool { return e.qos == 0 })
			switch {
			case full && (qos == 0 || oldest < 0):
				want = 1
			case full:
				want = 1
				model = append(slices.Delete(model, oldest, oldest+1), entry{n, qos})
			default:
				model = append(model, entry{n, qos})
			}
			if got := q.push(it, maxItems, maxBytes); got != want {
				t.Fatalf("%d dropped, want %d", got, want)
			}
			if q.live != len(model) || q.bytes != size() {
				t.Fatalf("%d items of %d bytes, want %d of %d", q.live, q.bytes, len(model), size())
			}
		}
	})
}

func TestOutqueueTakesOneMessageOfAnySize(t *testing.T) {
	var q outqueue
	big := item{msg: &message{Message: gateway.Message{Payload: make([]byte, 10_000)}}}
	if q.push(big, 10, 100) != 0 {
		t.Error("the only message was dropped for its size")
	}
	if q.push(big, 10, 100) != 1 {
		t.Error("a second one was kept")
	}
}

// What is read in pieces of any size comes out as it came in.
func TestInbufHandsOutWhatCameIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in inbuf
		var sent, got []byte
		next := byte(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			space := in.space()
			if len(space) == 0 {
				t.Fatal("there is no space")
			}
			n := min(len(space), rapid.SampledFrom([]int{1, 3, 100, 511, 512, 5000, 16384, 40000}).Draw(t, "arrives"))
			for i := range n {
				space[i] = next
				next++
			}
			sent = append(sent, space[:n]...)
			in.filled(n)
			take := len(in.data()) - rapid.SampledFrom([]int{0, 0, 1, 600, 20000}).Draw(t, "left")
			if take > 0 {
				got = append(got, in.data()[:take]...)
				in.skip(take)
			}
			in.settle()
		}
		got = append(got, in.data()...)
		if !bytes.Equal(got, sent) {
			t.Fatalf("got %d bytes, want %d, or others", len(got), len(sent))
		}
		in.free()
	})
}

func TestInbufOfAQuietConnectionIsSmall(t *testing.T) {
	var in inbuf
	in.filled(len(in.space())) // a burst
	in.skip(len(in.data()))
	in.settle()
	if len(in.b) != largeInput {
		t.Fatalf("%d bytes after a burst, want %d", len(in.b), largeInput)
	}
	for range quietReads {
		in.space()
		in.filled(2)
		in.skip(2)
		in.settle()
	}
	if len(in.b) != smallInput || in.large != nil {
		t.Errorf("%d bytes after quiet reads, want %d", len(in.b), smallInput)
	}
}

func TestAnswersKeepTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a acks
		var want, got []byte
		var open []uint64 // numbers, as often as they wait
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "new") {
				waits := rapid.IntRange(0, 2).Draw(t, "waits")
				number := a.push(nil, slot{kind: packet.TypePuback, id: uint16(i + 1), waits: waits})
				want = packet.AppendAck(want, packet.TypePuback, uint16(i+1))
				open = append(open, slices.Repeat([]uint64{number}, waits)...)
			}
			if len(open) > 0 && rapid.Bool().Draw(t, "done") {
				i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
				a.complete(open[i])
				open = slices.Delete(open, i, i+1)
			}
			if rapid.Bool().Draw(t, "take") {
				got = a.take(got)
			}
		}
		for _, number := range open {
			a.complete(number)
		}
		if got = a.take(got); !bytes.Equal(got, want) || a.waiting.Load() != 0 {
			t.Fatalf("got % x\nwant % x", got, want)
		}
	})
}

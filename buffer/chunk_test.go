package buffer

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tidegate/tidegate/gateway"
	"pgregory.net/rapid"
)

// Whatever is put into a chunk comes out for each queue, in order.
func TestChunkGivesBackWhatWasPutIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		queues := rapid.SliceOfNDistinct(rapid.Uint32Range(1, maxQueue), 1, 5, rapid.ID[uint32]).Draw(t, "queues")
		next := map[gateway.QueueID]uint64{}
		for _, q := range queues {
			next[gateway.QueueID(q)] = rapid.Uint64Range(1, 1<<40).Draw(t, "first position")
		}
		var b chunkBuilder
		want := map[gateway.QueueID][]string{}
		for i := range rapid.IntRange(1, 30).Draw(t, "records") {
			rec := record(fmt.Sprint(i))
			refs := drawRefs(t, queues, next)
			if i == 0 {
				b.reset(refs)
			}
			if !b.fits(refs) {
				t.Fatal("the same queues in the same order do not fit")
			}
			b.add(refs, rec)
			for _, l := range refs {
				want[l.ref.Queue] = append(want[l.ref.Queue], fmt.Sprintf("%d %+v %d", l.pos, l.ref, i))
			}
		}
		encoded := b.append(nil)
		for _, q := range queues {
			got, err := decoded(encoded, gateway.QueueID(q))
			if err != nil || !slices.Equal(got, want[gateway.QueueID(q)]) {
				t.Fatalf("queue %d: got %q, %v, want %q", q, got, err, want[gateway.QueueID(q)])
			}
		}
		if got, err := decoded(encoded, maxQueue+1); len(got) > 0 || err != nil {
			t.Fatalf("a queue that is not in it gets %q, %v", got, err)
		}
	})
}

// drawRefs draws the references of one record: each queue in turn, some several times, sometimes with positions left out.
func drawRefs(t *rapid.T, queues []uint32, next map[gateway.QueueID]uint64) []live {
	var refs []live
	for _, id := range queues {
		q := gateway.QueueID(id)
		for range rapid.IntRange(1, 3).Draw(t, "times") {
			next[q] += rapid.SampledFrom([]uint64{0, 0, 0, 1, 1000}).Draw(t, "skipped")
			ref := gateway.Ref{
				Queue: q, View: rapid.SampledFrom([]uint16{0, 0, 1, 65535}).Draw(t, "view"),
				QoS: gateway.QoS(rapid.IntRange(0, 2).Draw(t, "qos")), Retain: rapid.Bool().Draw(t, "retain"),
			}
			refs = append(refs, live{pos: next[q], ref: ref})
			next[q]++
		}
	}
	return refs
}

func decoded(chunk []byte, q gateway.QueueID) (list []string, err error) {
	items, err := decodeChunk(chunk, q, nil)
	if err != nil {
		return nil, err
	}
	for i := range items {
		rec, err := items[i].record()
		if err != nil {
			return nil, err
		}
		list = append(list, fmt.Sprintf("%d %+v %s", items[i].pos, items[i].ref, rec.Body.(*gateway.Message).Payload))
	}
	return list, nil
}

func TestChunkFitsOnlyTheSameQueues(t *testing.T) {
	refs := func(queues ...gateway.QueueID) (refs []live) {
		for _, q := range queues {
			refs = append(refs, live{pos: 1, ref: gateway.Ref{Queue: q}})
		}
		return refs
	}
	var b chunkBuilder
	b.reset(refs(1, 2, 2, 3))
	for _, tt := range []struct {
		refs []live
		want bool
	}{
		{refs(1, 2, 3), true},
		{refs(1, 1, 2, 3), true},
		{refs(1, 2), false},
		{refs(1, 3, 2), false},
		{refs(1, 2, 3, 4), false},
		{refs(2, 3), false},
		{nil, false},
	} {
		if got := b.fits(tt.refs); got != tt.want {
			t.Errorf("fits(%+v) = %v, want %v", tt.refs, got, tt.want)
		}
	}
}

// A hundred records to fifty consumers cost a byte each for all their references.
func TestChunkSharesReferences(t *testing.T) {
	size := func(consumers int) int {
		var b chunkBuilder
		var refs []live
		for q := range consumers {
			refs = append(refs, live{pos: 1000, ref: gateway.Ref{Queue: gateway.QueueID(q + 1), QoS: 1}})
		}
		b.reset(refs)
		for range 100 {
			b.add(refs, record("x"))
			for i := range refs {
				refs[i].pos++
			}
		}
		return len(b.append(nil)) - len(b.bodies)
	}
	one, fifty := size(1), size(50)
	t.Logf("head of a chunk of 100 records: %d bytes for one consumer, %d for fifty", one, fifty)
	if one > 100*7 || fifty > one+50*8 {
		t.Errorf("%d and %d bytes", one, fifty)
	}
}

// No bit can flip without being noticed: in the head the chunk is damaged, in a body that record alone.
func TestChunkNoticesEveryFlippedBit(t *testing.T) {
	var b chunkBuilder
	refs := []live{{pos: 1, ref: gateway.Ref{Queue: 1, QoS: 1}}}
	b.reset(refs)
	for i := range 3 {
		b.add(refs, record(fmt.Sprint(i)))
		refs[0].pos++
	}
	good := b.append(nil)
	for bit := range len(good) * 8 {
		bad := slices.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		items, err := decodeChunk(bad, 1, nil)
		if bit/8 < len(good)-len(b.bodies) {
			if err == nil {
				t.Fatalf("bit %d of the head flipped: nobody noticed", bit)
			}
			continue
		}
		wrong := 0
		for i := range items {
			if _, err := items[i].record(); err != nil {
				wrong++
			}
		}
		if err != nil || len(items) != 3 || wrong != 1 {
			t.Fatalf("bit %d flipped: %d records, %d of them wrong, %v", bit, len(items), wrong, err)
		}
	}
}

// FuzzDecodeChunk feeds anything to the decoder of chunks, and to that of their heads, whose check sum would keep it out.
func FuzzDecodeChunk(f *testing.F) {
	var b chunkBuilder
	refs := []live{{pos: 5, ref: gateway.Ref{Queue: 1, QoS: 1}}, {pos: 9, ref: gateway.Ref{Queue: 2}}}
	b.reset(refs)
	b.add(refs, record("one"))
	b.add(refs, record("two"))
	f.Add(b.append(nil), []byte{1, 1, 5, 1, 1, 0, 0, 1, 3, 0, 0, 0, 0}, []byte("abc"))
	f.Fuzz(func(t *testing.T, chunk, head, bodies []byte) {
		if items, err := decodeChunk(chunk, 1, nil); err == nil {
			for i := range items {
				_, _ = items[i].record()
			}
		}
		if len(head) > 1<<10 {
			return // a record of few bytes may repeat many references: their product is bounded by the check sum, not by the decoder
		}
		items, err := decodeHead(head, bodies, 1, nil)
		if err != nil && items != nil {
			t.Error("items beside an error")
		}
		total := 0
		for i := range items {
			total += len(items[i].body)
		}
		if total > len(bodies)*len(items) {
			t.Error("bodies beyond what is there")
		}
		_, _ = allThrough(head, func(gateway.QueueID, uint64) (bool, error) { return true, nil })
	})
}

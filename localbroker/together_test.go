package localbroker

import (
	"testing"

	"github.com/tidegate/tidegate/gateway"
)

// What is published together is a small part of what a queue holds, or a subscriber would lose some of it before anybody writes to it.
func TestTogetherIsASmallPartOfAQueue(t *testing.T) {
	batch := func(readings int) *gateway.Record {
		return &gateway.Record{Body: &gateway.Batch{Readings: make([]gateway.Reading, readings)}}
	}
	message := &gateway.Record{Body: &gateway.Message{}}
	for _, c := range []struct {
		queued int
		recs   []*gateway.Record
		want   int
	}{
		{320, []*gateway.Record{batch(10), batch(10), batch(1)}, 2},
		{320, []*gateway.Record{batch(21), batch(1)}, 0},
		{320, []*gateway.Record{batch(1), message, batch(1)}, 1},
		{320, []*gateway.Record{message}, 0},
		{1 << 20, []*gateway.Record{batch(maxTogether), batch(1)}, 1},
	} {
		b, err := New(Options{Store: struct{ Store }{}, MaxQueued: c.queued})
		if err != nil {
			t.Fatal(err)
		}
		if got := b.together(c.recs); got != c.want {
			t.Errorf("%d of %d records together, want %d", got, len(c.recs), c.want)
		}
	}
}

package bridge

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/gateway"
)

// forgetful is a queue that calls once when more comes after a read has seen the end, as the buffer does. A read that did not see it makes the queue
// forget that somebody waits.
type forgetful struct {
	*fakeQueue
	starved bool
	call    func()
}

func (q *forgetful) Open(wake func()) (acked, last uint64) {
	q.call, q.starved = wake, true
	return q.fakeQueue.Open(func() {})
}

func (q *forgetful) TryRead(after uint64, buf []gateway.Delivery) (int, error) {
	n, err := q.fakeQueue.TryRead(after, buf)
	q.starved = n < len(buf)
	return n, err
}

func (q *forgetful) publish() {
	q.add(text("a", "x"))
	if q.starved {
		q.starved = false
		q.call()
	}
}

// TestLaneHandsOutEachDeliveryOnce lets records come and be acknowledged at random, and insists that none is missed or sent twice, that backlog and live
// records keep their order, and that a reader at the end is called when more comes.
func TestLaneHandsOutEachDeliveryOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := &forgetful{fakeQueue: newFakeQueue()}
		backlog := rapid.IntRange(0, 200).Draw(t, "backlog")
		for range backlog {
			q.publish()
		}
		for range min(backlog, rapid.IntRange(0, 3).Draw(t, "acked")) {
			q.Ack(q.acked + 1)
		}
		called := true
		l := openLane(0, Lane{Queue: q, LiveShare: rapid.SampledFrom([]int{0, 1, 50, 70, 100}).Draw(t, "share")}, func() { called = true })
		seen := map[uint64]bool{}
		for pos := uint64(1); pos <= q.acked; pos++ {
			seen[pos] = true
		}
		var lastOld, lastLive uint64
		for range rapid.IntRange(1, 600).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "step") == 0 {
				q.publish()
				continue
			}
			d, ok, err := l.next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				if len(seen) < len(q.list) && !called {
					t.Fatalf("%d of %d were handed out, and nobody calls for the rest", len(seen), len(q.list))
				}
				called = false
				continue
			}
			if seen[d.Pos] {
				t.Fatalf("position %d came twice", d.Pos)
			}
			seen[d.Pos] = true
			last := &lastOld
			if d.Pos > l.last {
				last = &lastLive
			}
			if d.Pos < *last {
				t.Fatalf("position %d came after %d", d.Pos, *last)
			}
			*last = d.Pos
			if rapid.Bool().Draw(t, "ack") {
				q.Ack(d.Pos)
			}
		}
	})
}

// TestLiveShare counts whose turn it is while both have something to send, and live records come all the time.
func TestLiveShare(t *testing.T) {
	for share, want := range map[int]int{1: 10, 30: 300, 70: 700, 100: 1000} {
		q := &forgetful{fakeQueue: newFakeQueue()}
		for range 1000 {
			q.publish()
		}
		l := openLane(0, Lane{Queue: q, LiveShare: share}, func() {})
		live := 0
		for range 1000 {
			q.publish()
			d, ok, err := l.next()
			if !ok || err != nil {
				t.Fatal(ok, err)
			}
			if d.Pos > l.last {
				live++
			}
		}
		if live != want {
			t.Errorf("share %d: %d of 1000 were live", share, live)
		}
	}
}

func TestUrgentLanesGoFirst(t *testing.T) {
	u := newUpstream(t)
	queues := []*fakeQueue{newFakeQueue(text("l/1", "")), newFakeQueue(text("h/1", ""), text("h/2", "")), newFakeQueue(text("n/1", ""))}
	run(t, Options{
		Servers: []*url.URL{u.url()}, MaxInflight: 1,
		Lanes: []Lane{
			{Queue: queues[0], Priority: PriorityLow}, {Queue: queues[1], Priority: PriorityHigh}, {Queue: queues[2], Priority: PriorityNormal},
		},
		Out: []Route{{Filter: "l/#", QoS: 1, Lane: 0}, {Filter: "h/#", QoS: 1, Lane: 1}, {Filter: "n/#", QoS: 1, Lane: 2}},
	})
	l, _ := u.welcome()
	var got []string
	for i := range 5 {
		topic, id, _ := l.expect(3).publishFields()
		got = append(got, topic)
		if i == 0 {
			queues[1].add(text("h/3", "")) // comes while others wait, and overtakes them
		}
		l.puback(id)
	}
	if diff := cmp.Diff([]string{"h/1", "h/2", "h/3", "n/1", "l/1"}, got); diff != "" {
		t.Error(diff)
	}
	if acks := queues[1].waitAcks(t, 3); !slices.Equal(acks, []uint64{1, 2, 3}) {
		t.Errorf("acknowledged %v", acks)
	}
}

// TestRecordOfAnotherLane is acknowledged where it is not sent from: it lies in the other lane's queue too.
func TestRecordOfAnotherLane(t *testing.T) {
	u := newUpstream(t)
	high, low := newFakeQueue(text("a/x", "1"), text("a/y", "2")), newFakeQueue(text("a/x", "1"), text("a/y", "2"))
	run(t, Options{
		Servers: []*url.URL{u.url()}, MaxInflight: 1,
		Lanes: []Lane{{Queue: high, Priority: PriorityHigh}, {Queue: low, Priority: PriorityLow}},
		Out:   []Route{{Filter: "a/y", QoS: 1, Lane: 0}, {Filter: "a/#", QoS: 1, Lane: 1}},
	})
	l, _ := u.welcome()
	for _, want := range []string{"a/y 2", "a/x 1"} {
		topic, id, payload := l.expect(3).publishFields()
		if got := fmt.Sprint(topic, " ", payload); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		l.puback(id)
	}
	for _, q := range []*fakeQueue{high, low} {
		if acks := q.waitAcks(t, 2); !slices.Equal(acks, []uint64{1, 2}) {
			t.Errorf("acknowledged %v", acks)
		}
	}
	if n := high.epochs + low.epochs; n != 0 {
		t.Errorf("%d epochs were asked of a lane", n)
	}
}

// TestRecordsOfAnEarlierConfiguration are sent from the lane that they were put into, though the routes have moved on.
func TestRecordsOfAnEarlierConfiguration(t *testing.T) {
	u := newUpstream(t)
	left := newFakeQueue(text("a/x", "old"), text("a/x", "new"))
	run(t, Options{
		Servers: []*url.URL{u.url()}, MaxInflight: 1,
		Lanes: []Lane{{Queue: left, Priority: PriorityLow, Moved: 1}, {Queue: newFakeQueue(), Priority: PriorityHigh}},
		Out:   []Route{{Filter: "a/#", QoS: 1, Lane: 1}},
	})
	l, _ := u.welcome()
	_, id, payload := l.expect(3).publishFields()
	if payload != "old" {
		t.Errorf("got %s", payload)
	}
	l.puback(id)
	if acks := left.waitAcks(t, 2); !slices.Equal(acks, []uint64{1, 2}) {
		t.Errorf("acknowledged %v", acks)
	}
}

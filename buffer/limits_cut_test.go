package buffer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"pgregory.net/rapid"
)

// left returns what waits in a queue, without reading it as its consumer.
func (r *rig) left(queue string) []string {
	r.t.Helper()
	var list []gateway.Delivery
	err := r.Scan(context.Background(), queue, 0, func(d gateway.Delivery) error {
		list = append(list, d)
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return payloads(list)
}

// countFrom returns the payloads from lo up to below hi.
func countFrom(lo, hi int) (list []string) {
	for i := lo; i < hi; i++ {
		list = append(list, fmt.Sprint(i))
	}
	return list
}

// What a session's client has in hand is not dropped, even when it never acknowledges; behind it the oldest go, and their room is free.
func TestClientThatNeverAcknowledgesLosesTheOldestBehindWhatItHas(t *testing.T) {
	inBubble(t, Options{SessionLimits: Limits{Count: 80}}, func(t *testing.T, c *clocked) {
		up, s := c.away("upstream/x"), c.online("session/s")
		for i := range 20 {
			c.put(fmt.Sprint(i), s)
		}
		held := c.read(s, 0)
		for i := 20; i < 5020; i++ {
			if c.put(fmt.Sprint(i), s); i%10 == 0 {
				c.put("shared", up, s)
			}
			if i%50 == 0 {
				c.elapse(2 * interval)
			}
		}
		c.elapse(2 * interval)
		st := c.queueStats("session/s")
		if st.Depth < 75 || st.Depth > 80 || st.Depth+st.Dropped["count"] != 5520 {
			t.Errorf("depth %d, dropped %v", st.Depth, st.Dropped)
		}
		got := slices.DeleteFunc(c.left("session/s"), func(p string) bool { return p == "shared" })
		if !slices.Equal(got[:20], countFrom(0, 20)) || !slices.Equal(got[20:], countFrom(5020-len(got)+20, 5020)) {
			t.Errorf("%q", got)
		}
		before := c.left("session/s")
		if n := c.rows("chunk"); n > 700 {
			t.Errorf("%d chunks: what was dropped takes room", n)
		}
		for _, stop := range []func(){c.reopen, func() { k := c.crash(); c.close(); c.rig = k; c.run() }} {
			stop()
			if after := c.left("session/s"); !slices.Equal(after, before) {
				t.Errorf("after a start %q, want %q", after, before)
			}
			if d := c.queueStats("session/s").Depth; d != uint64(len(before)) {
				t.Errorf("depth %d after a start, want %d", d, len(before))
			}
		}
		c.Attach(s, func() {})
		for _, d := range held {
			c.Ack(s, d.Pos)
		}
		if after := c.left("session/s"); !slices.Equal(after, before[20:]) {
			t.Errorf("for the client that has come back there is %q, want %q", after, before[20:])
		}
		c.drain(s, up)
		if n := c.rows("meta WHERE key LIKE 'cut/%'"); n != 0 {
			t.Errorf("%d cuts are left", n)
		}
	})
}

// A client that goes away has nothing in hand any more: what it had goes first when more comes.
func TestClientThatGoesAwayHoldsNothing(t *testing.T) {
	inBubble(t, Options{SessionLimits: Limits{Count: 80}}, func(t *testing.T, c *clocked) {
		s := c.online("session/s")
		for i := range 1000 {
			if c.put(fmt.Sprint(i), s); i%20 == 19 {
				c.elapse(interval)
			}
			if i == 39 {
				c.read(s, 0)
			}
		}
		if got := c.left("session/s"); got[39] != "39" || got[len(got)-1] != "999" {
			t.Errorf("%q", got)
		}
		c.Detach(s)
		for i := range 60 {
			c.put(fmt.Sprint(1000+i), s)
		}
		c.elapse(2 * interval)
		if got := c.left("session/s"); len(got) < 70 || !slices.Equal(got, countFrom(1060-len(got), 1060)) {
			t.Errorf("%q", got)
		}
		if n := c.queueStats("session/s"); n.Depth+n.Dropped["count"] != 1060 {
			t.Errorf("%+v", n)
		}
		c.drain(s)
	})
}

// Bytes bound what a client gets in hand too, or there would be no room for what is newer; it gets more as it acknowledges.
func TestBytesLeaveRoomBehindWhatAClientHas(t *testing.T) {
	inBubble(t, Options{SessionLimits: Limits{Bytes: 100 << 10}}, func(t *testing.T, c *clocked) {
		s := c.Queue("session/s")
		woken := 0
		c.Attach(s, func() { woken++ })
		var held []gateway.Delivery
		pad := strings.Repeat("x", 1000)
		for i := range 1000 {
			c.put(fmt.Sprint(i, pad), s)
			after := uint64(0)
			if len(held) > 0 {
				after = held[len(held)-1].Pos
			}
			held = append(held, c.read(s, after)...)
			if i%10 == 9 {
				c.elapse(interval)
			}
		}
		got := c.left("session/s")
		if n := len(held); n < 40 || n > 55 || len(got) < 80 || len(got) > 105 {
			t.Fatalf("%d in hand of %d", n, len(got))
		}
		want := append(payloads(held), got[len(held):]...)
		if !slices.Equal(got, want) || got[len(got)-1] != "999"+pad && got[len(got)-1] != "999 "+pad {
			t.Errorf("the last is %.10q", got[len(got)-1])
		}
		if more := c.read(s, held[len(held)-1].Pos); len(more) != 0 {
			t.Errorf("%d more, though nothing was acknowledged", len(more))
		}
		before := woken
		c.Ack(s, held[0].Pos)
		synctest.Wait()
		if woken == before {
			t.Error("the client is not woken when it may have more")
		}
		c.drain(s)
	})
}

// cutMachine is a client with a small queue that shares some of what it gets with an upstream that is away.
type cutMachine struct {
	c                     *clocked
	s, up                 gateway.QueueID
	count, acked, dropped uint64
	after                 uint64
	hand                  []gateway.Delivery
	had                   map[string]bool // ever
	online                bool
}

func (m *cutMachine) put(t *rapid.T) {
	for range rapid.IntRange(1, 60).Draw(t, "size") {
		m.count++
		queues := []gateway.QueueID{m.s}
		if rapid.IntRange(0, 3).Draw(t, "shared") == 0 {
			queues = []gateway.QueueID{m.up, m.s}
		} else if rapid.IntRange(0, 3).Draw(t, "home") == 0 {
			queues = append(queues, m.up)
		}
		m.c.put(fmt.Sprint(m.count), queues...)
	}
}

func (m *cutMachine) read(t *rapid.T) {
	if !m.online {
		return
	}
	buf := make([]gateway.Delivery, rapid.IntRange(1, 30).Draw(t, "window"))
	n, err := m.c.Read(m.s, m.after, buf)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range buf[:n] {
		m.after = d.Pos
	}
	m.hand = append(m.hand, buf[:n]...)
	for _, p := range payloads(buf[:n]) {
		m.had[p] = true
	}
}

// ack acknowledges in order: what is acknowledged out of order comes again after a start.
func (m *cutMachine) ack(t *rapid.T) {
	n := rapid.IntRange(0, len(m.hand)).Draw(t, "acknowledged")
	for _, d := range m.hand[:n] {
		m.c.Ack(m.s, d.Pos)
	}
	m.acked += uint64(n)
	m.hand = m.hand[n:]
}

func (m *cutMachine) toggle() {
	if m.online {
		m.c.Detach(m.s)
	} else {
		m.after = m.c.Attach(m.s, func() {})
	}
	m.online, m.hand = !m.online, nil
}

// leftAtRest returns what waits and what the store says of it, both of one moment: the writer may drop some while they are looked at.
func (m *cutMachine) leftAtRest() (got []string, st gateway.QueueStats) {
	for {
		before := m.c.queueStats("session/s")
		got, st = m.c.left("session/s"), m.c.queueStats("session/s")
		if st.Depth == before.Depth && maps.Equal(st.Dropped, before.Dropped) {
			return got, st
		}
	}
}

// check compares what there is with what must be: all that the client has in hand, some of what it had when it was there before, and the newest
// without a break.
func (m *cutMachine) check(t *rapid.T) {
	got, st := m.leftAtRest()
	if len(got) < len(m.hand) || !slices.Equal(got[:len(m.hand)], payloads(m.hand)) {
		t.Fatalf("%q is there, the client has %q", got, payloads(m.hand))
	}
	rest := slices.DeleteFunc(slices.Clone(got[len(m.hand):]), func(p string) bool { return m.had[p] })
	if !slices.Equal(rest, countFrom(int(m.count)+1-len(rest), int(m.count)+1)) {
		t.Fatalf("behind what the client has: %q of %d", rest, m.count)
	}
	if uint64(len(got)) != st.Depth || st.Depth+m.acked+m.dropped+st.Dropped["count"] != m.count {
		t.Fatalf("%d are there, depth %d, %d acknowledged, %d and %v dropped, of %d", len(got), st.Depth, m.acked, m.dropped, st.Dropped, m.count)
	}
}

func (m *cutMachine) restart(t *rapid.T, crash bool) {
	m.c.elapse(2 * interval)
	m.check(t)
	want := m.c.left("session/s")
	m.dropped += m.c.queueStats("session/s").Dropped["count"]
	if crash {
		k := m.c.crash()
		m.c.close()
		m.c.rig = k
		m.c.run()
	} else {
		m.c.reopen()
	}
	m.online, m.hand = false, nil
	if got := m.c.left("session/s"); !slices.Equal(got, want) {
		t.Fatalf("after a start %q, want %q", got, want)
	}
	m.check(t)
}

// Random histories of a client that comes, goes, and acknowledges less than its limit wants.
func TestCutsBehindWhatAClientHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ testing.TB }{t}, func(rt *rapid.T) {
			o := Options{SessionLimits: Limits{Count: 64}, CacheBytes: rapid.SampledFrom([]int{0, 3000}).Draw(rt, "cache")}
			c := &clocked{rig: running(t, o), start: time.Now()}
			defer func() { c.close() }()
			m := &cutMachine{had: map[string]bool{}, c: c, s: c.Queue("session/s"), up: c.Queue("upstream/x")}
			m.toggle()
			rt.Repeat(map[string]func(*rapid.T){
				"put": m.put, "put2": m.put, "read": m.read, "ack": m.ack, "": m.check,
				"toggle": func(t *rapid.T) { m.toggle() },
				"elapse": func(*rapid.T) { c.elapse(2 * interval) },
				"restart": func(t *rapid.T) { // seldom, it waits for the disk
					if n := rapid.IntRange(0, 5).Draw(t, "how"); n < 2 {
						m.restart(t, n == 0)
					}
				},
			})
			m.restart(rt, true)
			c.drain(m.s, m.up)
		})
	})
}

// The log is told of the first drop, and then now and then of how many more there were.
func TestLogTellsWhatASessionsLimitsDrop(t *testing.T) {
	book, logger := newLogBook()
	inBubble(t, Options{SessionLimits: Limits{Count: 32}, Logger: logger}, func(t *testing.T, c *clocked) {
		s := c.away("session/s")
		const text = "a session's queue has reached a limit"
		for i := range 64 {
			c.put(fmt.Sprint(i), s)
			c.elapse(2 * interval)
		}
		if n := book.count(text); n != 1 {
			t.Errorf("told %d times, want once", n)
		}
		c.elapse(6 * time.Minute)
		if n := book.count(text); n != 2 {
			t.Errorf("told %d times, want the rest once", n)
		}
		c.elapse(time.Hour)
		if n := book.count(text); n != 2 {
			t.Errorf("told %d times, though nothing more was dropped", n)
		}
	})
}

// Age drops what is behind what a client has in hand.
func TestAgeBehindWhatAClientHas(t *testing.T) {
	var w wallClock
	o := w.options(Options{SessionLimits: Limits{Age: time.Hour}})
	inBubble(t, o, func(t *testing.T, c *clocked) {
		s := c.online("session/s")
		for i := range 30 {
			c.take(&w, fmt.Sprint(i), s)
			if i == 9 {
				c.read(s, 0)
			}
		}
		c.elapse(50 * time.Minute)
		c.take(&w, "30", s)
		c.elapse(20 * time.Minute)
		if got, want := c.left("session/s"), append(countFrom(0, 10), "30"); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		c.drain(s)
	})
}

package buffer

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// wallClock is a clock that can be set, beside the one that never steps.
type wallClock struct {
	off    atomic.Int64
	unsync atomic.Bool
}

func (w *wallClock) now() time.Time { return time.Now().Add(time.Duration(w.off.Load())) }

// set moves the clock to t.
func (w *wallClock) set(t time.Time) { w.off.Store(int64(time.Until(t))) }

func (w *wallClock) options(o Options) Options {
	o.wall, o.ClockSynced = w.now, func() bool { return !w.unsync.Load() }
	return o
}

// take commits a record that was taken now.
func (c *clocked) take(w *wallClock, payload string, q gateway.QueueID) *gateway.Record {
	rec := &gateway.Record{Time: w.now(), Body: message("a/b", payload)}
	c.Commit(&gateway.Change{Record: rec, To: to(q)}, nil)
	return rec
}

func TestAgeDropsWhatHasExpiredInBatches(t *testing.T) {
	var w wallClock
	o := w.options(Options{UpstreamLimits: Limits{Age: time.Hour}, SessionLimits: Limits{Age: time.Hour}})
	inBubble(t, o, func(t *testing.T, c *clocked) {
		up, s := c.away("upstream/x"), c.away("session/s")
		for i := range 120 {
			rec := &gateway.Record{Time: w.now(), Body: message("a/b", fmt.Sprint(i))}
			c.Commit(&gateway.Change{Record: rec, To: to(up, s)}, nil)
			c.elapse(time.Minute)
		}
		st := c.queueStats("upstream/x")
		if d := st.Dropped["age"]; d < 59 || d > 61 {
			t.Errorf("dropped %v, want about 60 of 120", st.Dropped)
		}
		c.wantAll(up, 120)
		if n := len(c.read(s, 0)); n < 59 || n > 61 {
			t.Errorf("the session has %d records, want about 60", n)
		}
		c.elapse(3 * time.Hour)
		st = c.queueStats("upstream/x")
		if list := payloads(c.read(up, 0)); len(list) != 1 || list[0] != "gap 1-120: 120 age" || st.Dropped["age"] != 120 {
			t.Errorf("%q, dropped %v", list, st.Dropped)
		}
		before := c.commits()
		c.elapse(24 * time.Hour)
		if n := c.commits() - before; n != 0 {
			t.Errorf("%d commits in a day with nothing to do", n)
		}
		c.drain(up, s)
	})
}

// A long backlog expires in several batches, which leave one gap.
func TestAgeOfALongBacklog(t *testing.T) {
	var w wallClock
	inBubble(t, w.options(Options{UpstreamLimits: Limits{Age: time.Hour, Count: 3500, Full: DropNewest}}), func(t *testing.T, c *clocked) {
		up := c.away("upstream/x")
		for i := range 4000 {
			c.take(&w, fmt.Sprint(i), up)
			if i%500 == 0 {
				c.elapse(interval)
			}
		}
		c.elapse(2 * time.Minute)
		c.take(&w, "refused", up)
		c.elapse(2 * time.Hour)
		c.take(&w, "fresh", up)
		c.elapse(2 * time.Minute)
		c.want(c.read(up, 0), "gap 1-3500: 3500 age", "gap 3501-4001: 501 full", "fresh")
		if n := c.rows("gap"); n > 2 {
			t.Errorf("%d rows of gap, want the two that are in force", n)
		}
		c.elapse(2 * time.Hour)
		c.want(c.read(up, 0), "gap 1-4002: 4002 age")
		if n := c.rows("gap"); n != 1 {
			t.Errorf("%d rows of gap, want 1", n)
		}
		c.reopen()
		c.want(c.read(up, 0), "gap 1-4002: 4002 age")
		c.drain(up)
	})
}

func TestAgeIsSuspendedUntilTheClockIsRight(t *testing.T) {
	var w wallClock
	inBubble(t, w.options(Options{UpstreamLimits: Limits{Age: time.Hour}}), func(t *testing.T, c *clocked) {
		up := c.away("upstream/x")
		right := c.take(&w, "right", up)
		c.elapse(2 * time.Second)
		w.unsync.Store(true)
		c.elapse(2 * time.Second)
		unset := c.take(&w, "unset", up)
		if right.ClockUnset || !unset.ClockUnset {
			t.Errorf("clock unset: %v and %v, want false and true", right.ClockUnset, unset.ClockUnset)
		}
		c.elapse(5 * time.Hour)
		c.want(c.read(up, 0), "right", "unset")
		w.unsync.Store(false)
		c.elapse(50 * time.Minute)
		c.want(c.read(up, 0), "gap 1-1: 1 age", "unset") // taken without a right clock: how old it was then is not known
		if list := c.read(up, 0); !list[1].Record.ClockUnset {
			t.Error("the mark is not stored")
		}
		c.elapse(15 * time.Minute)
		c.want(c.read(up, 0), "gap 1-2: 2 age") // but that it has been here for an hour since
	})
}

// A record whose age is not known must not keep those behind it for ever, over starts either; nor may a step make the age count that was
// found before.
func TestRecordsBehindOneWithoutAnAgeExpire(t *testing.T) {
	for _, restart := range []bool{false, true} {
		for _, step := range []time.Duration{0, 30 * 24 * time.Hour, -30 * 24 * time.Hour} {
			t.Run(fmt.Sprint(step, " ", restart), func(t *testing.T) {
				var w wallClock
				inBubble(t, w.options(Options{UpstreamLimits: Limits{Age: 10 * time.Hour}}), func(t *testing.T, c *clocked) {
					expireBehindOneWithoutAnAge(c, &w, step, restart)
				})
			})
		}
	}
}

func expireBehindOneWithoutAnAge(c *clocked, w *wallClock, step time.Duration, restart bool) {
	up := c.away("upstream/x")
	pause := func(d time.Duration) {
		if c.elapse(d); restart {
			c.reopen()
		}
	}
	c.elapse(2 * time.Minute)
	w.unsync.Store(true)
	c.elapse(2 * time.Second)
	c.take(w, "unset", up)
	w.unsync.Store(false)
	c.elapse(2 * time.Minute)
	c.take(w, "behind", up)
	pause(4 * time.Hour)
	w.set(w.now().Add(step))
	pause(4 * time.Hour)
	c.elapse(time.Hour)
	c.want(c.read(up, 0), "unset", "behind")
	c.elapse(2 * time.Hour) // ten hours and more after the clock was right
	if step == 0 {
		c.want(c.read(up, 0), "gap 1-2: 2 age")
		return
	}
	c.want(c.read(up, 0), "unset", "behind")
	c.elapse(4 * time.Hour) // and after the step
	c.want(c.read(up, 0), "gap 1-2: 2 age")
}

func TestSightingsAreFew(t *testing.T) {
	var c clock
	start := time.Unix(1e9, 0)
	at := func(i int) time.Time { return start.Add(time.Duration(i) * time.Hour) }
	for i := range 1000 {
		c.seen = append(c.seen, sighting{uint64(10 * (i + 1)), at(i)})
		c.thin()
	}
	if len(c.seen) != keptSightings || !slices.IsSortedFunc(c.seen, func(a, b sighting) int { return cmp.Compare(a.seq, b.seq) }) {
		t.Fatalf("%v", c.seen)
	}
	for _, seq := range []uint64{1, 4444, 9999} { // seen first too late, never too early
		if got, known := c.seenAt(seq); !known || got.Before(at(int(seq/10))) {
			t.Errorf("record %d was seen at %v, came at %v", seq, got, at(int(seq/10)))
		}
	}
	if _, known := c.seenAt(10000); known {
		t.Error("seen before it was there")
	}
	var loaded clock
	if err := loaded.loadSeen(c.seenText()); err != nil || loaded.seenText() != c.seenText() {
		t.Errorf("stored as %q, loaded as %q, %v", c.seenText(), loaded.seenText(), err)
	}
}

// A board without a battery starts in 1970, gets the time, is set wrong by a year either way: nothing may be lost for that.
func TestNoStepOfTheClockDropsAnything(t *testing.T) {
	var w wallClock
	o := w.options(Options{UpstreamLimits: Limits{Age: 720 * time.Hour}})
	inBubble(t, o, func(t *testing.T, c *clocked) {
		up := c.away("upstream/x")
		want := []string{}
		some := func() {
			for range 5 {
				want = append(want, fmt.Sprint(len(want)))
				c.take(&w, want[len(want)-1], up)
			}
			c.elapse(2 * time.Minute)
		}
		year := 365 * 24 * time.Hour
		w.set(time.Unix(0, 0))
		c.elapse(time.Minute)
		for _, step := range []time.Duration{56 * year, year, -2 * year, -40 * year, 41 * year} {
			some()
			late := &gateway.Record{Time: w.now(), Body: message("a/b", fmt.Sprint(len(want)+1))}
			w.set(w.now().Add(step))
			want = append(want, fmt.Sprint(len(want)))
			c.take(&w, want[len(want)-1], up)
			want = append(want, fmt.Sprint(len(want)))
			c.Commit(&gateway.Change{Record: late, To: to(up)}, nil) // taken just before the step
			if !late.ClockUnset {
				t.Error("a record from before the step has a time that counts")
			}
			some()
		}
		c.elapse(12 * time.Hour)
		c.want(c.read(up, 0), want...)
		c.reopen()
		c.elapse(12 * time.Hour)
		list := c.read(up, 0)
		c.want(list, want...)
		for i, d := range list {
			if d.Record.Seq != uint64(i+1) {
				t.Fatalf("record %d has seq %d", i, d.Record.Seq)
			}
		}
	})
}

// The clock may step at any moment of a look.
func TestStepAmidALook(t *testing.T) {
	for read := range 8 {
		var w wallClock
		var left atomic.Int64 // until the clock is read so often
		o := w.options(Options{UpstreamLimits: Limits{Age: time.Hour}})
		o.wall = func() time.Time {
			if left.Add(-1) == 0 {
				w.set(w.now().Add(30 * 24 * time.Hour))
			}
			return w.now()
		}
		inBubble(t, o, func(t *testing.T, c *clocked) {
			up := c.away("upstream/x")
			c.take(&w, "one", up)
			c.elapse(2*time.Minute + 2*time.Second)
			c.mu.Lock()
			c.queues[up].fresh = freshness{} // it looks at the records again
			c.mu.Unlock()
			left.Store(int64(read))
			c.elapse(5 * time.Minute)
			c.want(c.read(up, 0), "one")
			if read > 0 && left.Load() > 0 {
				t.Fatal("the clock was not read so often")
			}
		})
	}
}

// What comes after a step ages as ever.
func TestAgeAfterAStep(t *testing.T) {
	var w wallClock
	inBubble(t, w.options(Options{UpstreamLimits: Limits{Age: time.Hour}}), func(t *testing.T, c *clocked) {
		up := c.away("upstream/x")
		w.set(w.now().Add(1000 * time.Hour))
		c.take(&w, "after", up)
		c.elapse(3 * time.Hour)
		c.want(c.read(up, 0), "gap 1-1: 1 age")
	})
}

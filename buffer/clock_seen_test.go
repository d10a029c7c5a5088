package buffer

import (
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// takeUnset stores a record that was taken without a right clock. The clock is right again then.
func (c *clocked) takeUnset(w *wallClock, q gateway.QueueID) {
	w.unsync.Store(true)
	c.elapse(2 * time.Second)
	c.take(w, "unset", q)
	c.elapse(2 * time.Second)
	w.unsync.Store(false)
	c.elapse(2 * time.Second)
}

// lookNow has the writer look at once.
func (c *clocked) lookNow() {
	c.mu.Lock()
	c.lookSoon()
	c.mu.Unlock()
	c.elapse(0)
}

// wantTenHours checks that ten hours from now, and no sooner, one record after acked has reached its age, over a stop in order.
func (c *clocked) wantTenHours(q gateway.QueueID, acked uint64) {
	c.t.Helper()
	c.elapse(6 * time.Hour)
	c.reopen()
	c.elapse(3 * time.Hour)
	c.want(c.read(q, acked), "unset")
	c.elapse(2 * time.Hour)
	c.want(c.read(q, acked), "gap 2-2: 1 age")
}

// No commit is made for a sighting, but a stop makes one anyway: the age must not begin anew with each start.
func TestAStopStoresASightingThatCameAlone(t *testing.T) {
	var w wallClock
	inBubble(t, w.options(Options{UpstreamLimits: Limits{Age: 10 * time.Hour}}), func(t *testing.T, c *clocked) {
		up := c.online("upstream/x")
		c.put("first", up)
		c.Ack(up, 1)
		c.takeUnset(&w, up)
		before := c.commits()
		c.lookNow()
		c.elapse(2 * time.Minute)
		if n := c.commits() - before; n != 0 {
			t.Errorf("%d commits for a sighting", n)
		}
		c.wantTenHours(up, 1)
	})
}

// The sighting after a step may come to disk before the note of the step does, which must not take it away.
func TestTheNoteOfAStepKeepsTheSightingAfterIt(t *testing.T) {
	var w wallClock
	inBubble(t, w.options(Options{UpstreamLimits: Limits{Age: 10 * time.Hour}}), func(t *testing.T, c *clocked) {
		up := c.online("upstream/x")
		c.put("first", up)
		c.elapse(2 * time.Second)
		c.takeUnset(&w, up)
		c.Ack(up, 1)
		c.elapse(interval / 2)
		w.set(w.now().Add(30 * 24 * time.Hour))
		before := c.commits()
		c.lookNow()
		c.elapse(interval / 2) // the acknowledgement is due, the note not yet
		if n := c.commits() - before; n != 1 {
			t.Fatalf("%d commits, want that of the acknowledgement", n)
		}
		c.elapse(interval)
		if n := c.commits() - before; n != 2 {
			t.Fatalf("%d commits, want that of the note too", n)
		}
		c.wantTenHours(up, 1)
	})
}

// A step makes the stored sightings void too, also while the clock is not right and none takes their place.
func TestAStepWithoutARightClockMakesStoredSightingsVoid(t *testing.T) {
	var w wallClock
	inBubble(t, w.options(Options{UpstreamLimits: Limits{Age: 10 * time.Hour}}), func(t *testing.T, c *clocked) {
		up := c.away("upstream/x")
		c.take(&w, "first", up)
		c.takeUnset(&w, up)
		c.lookNow()
		c.take(&w, "with the sighting", up)
		c.elapse(2 * time.Second)
		w.unsync.Store(true)
		w.set(w.now().Add(8 * time.Hour)) // by more than an age the old one would be forgotten anyway
		c.elapse(2 * time.Minute)
		c.reopen()
		w.unsync.Store(false)
		c.elapse(9 * time.Hour)
		c.want(c.read(up, 0), "first", "unset", "with the sighting")
		c.elapse(2 * time.Hour)
		c.want(c.read(up, 0), "gap 1-3: 3 age")
	})
}

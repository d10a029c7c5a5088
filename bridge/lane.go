package bridge

import (
	"sync/atomic"

	"github.com/tidegate/tidegate/gateway"
)

// readAhead is how many deliveries are fetched from a queue at once.
const readAhead = 64

// cursor walks through a queue.
type cursor struct {
	after uint64             // position of the last delivery that was fetched
	list  []gateway.Delivery // fetched and not yet handed out
	buf   []gateway.Delivery
	dry   bool // the last fetch saw the end of the queue
}

func newCursor(after uint64) cursor {
	return cursor{after: after, buf: make([]gateway.Delivery, readAhead)}
}

func (c *cursor) fetch(q Queue) error {
	n, err := q.TryRead(c.after, c.buf)
	c.list, c.dry = c.buf[:n], n < len(c.buf)
	if n > 0 {
		c.after = c.buf[n-1].Pos
	}
	return err
}

func (c *cursor) take() (gateway.Delivery, bool) {
	if len(c.list) == 0 {
		return gateway.Delivery{}, false
	}
	d := c.list[0]
	c.list[0] = gateway.Delivery{} // the record may go when it is acknowledged
	c.list = c.list[1:]
	return d, true
}

// laneReader hands out the deliveries of one lane during one connection. With a live share it walks with two cursors: old over the backlog,
// live from where the queue ended when the connection was made. When old has come that far, the two are one.
type laneReader struct {
	Lane
	index     int
	last      uint64 // the newest position at connect time: what does not lie beyond it is backlog
	old, live cursor
	split     bool
	credit    int // percent of a send that live records have saved up
	woken     atomic.Bool
}

// open makes the lane's queue online. signal is called when it wakes.
func openLane(index int, l Lane, signal func()) *laneReader {
	r := &laneReader{Lane: l, index: index}
	acked, last := l.Queue.Open(func() {
		r.woken.Store(true)
		signal()
	})
	r.last = last
	r.split = l.LiveShare > 0 && last > acked
	r.live = newCursor(acked)
	if r.split {
		r.old, r.live = r.live, newCursor(last)
	}
	return r
}

// anyLane stands for whatever lane a route belongs to.
const anyLane = -1

// routes returns the lane whose routes send what lies at a position.
func (r *laneReader) routes(pos uint64) int {
	if pos <= r.Moved {
		return anyLane
	}
	return r.index
}

// next returns the delivery whose turn it is; ok is false when there is none for now.
func (r *laneReader) next() (d gateway.Delivery, ok bool, err error) {
	if r.split {
		return r.share()
	}
	if len(r.live.list) == 0 {
		if woken := r.wasWoken(); r.live.dry && !woken {
			return d, false, nil
		}
		if err := r.live.fetch(r.Queue); err != nil {
			return d, false, err
		}
	}
	d, ok = r.live.take()
	return d, ok, nil
}

// wasWoken reports whether the queue has called since the last time. It must be asked before the queue is read.
func (r *laneReader) wasWoken() bool { return r.woken.Load() && r.woken.Swap(false) }

// share lets live records and backlog take turns.
func (r *laneReader) share() (d gateway.Delivery, ok bool, err error) {
	if err := r.fetchOld(); err != nil {
		return d, false, err
	}
	// The live end is looked at each time: reading the backlog makes the queue forget that the other cursor waits for a call.
	if len(r.live.list) == 0 {
		if err := r.live.fetch(r.Queue); err != nil {
			return d, false, err
		}
	}
	if r.liveTurn() {
		d, ok = r.live.take()
	} else {
		d, ok = r.old.take()
	}
	return d, ok, nil
}

// liveTurn spreads the share evenly: of ten sends at 70 percent, three are backlog, never in a row.
func (r *laneReader) liveTurn() bool {
	if len(r.live.list) == 0 || len(r.old.list) == 0 {
		return len(r.live.list) > 0
	}
	r.credit += r.LiveShare
	if r.credit < 100 {
		return false
	}
	r.credit -= 100
	return true
}

// fetchOld reads more of the backlog, up to where live records begin.
func (r *laneReader) fetchOld() error {
	if len(r.old.list) > 0 {
		return nil
	}
	if r.old.after >= r.last {
		r.split, r.live.dry = false, false
		return nil
	}
	if woken := r.wasWoken(); r.old.dry && !woken {
		return nil
	}
	if err := r.old.fetch(r.Queue); err != nil {
		return err
	}
	for n := len(r.old.list); n > 0 && r.old.list[n-1].Pos > r.last; n-- {
		r.old.list = r.old.list[:n-1]
		r.old.after = r.last
	}
	return nil
}

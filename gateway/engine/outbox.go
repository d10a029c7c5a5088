package engine

import (
	"sync"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// Gatherer is a Publisher that takes several records at once for less than one by one.
type Gatherer interface {
	// PublishAll is Publish for each of these records, in their order; nobody waits for them. The slice is not kept.
	PublishAll(recs []*gateway.Record)
}

// The bounds of what an outbox holds.
const (
	longestHeld = 2 * time.Millisecond
	mostHeld    = 32
)

// outbox has what a bus publishes and has not handed over yet: what a poll has brought waits for the next poll when that follows at once and is
// expected to end soon, so that subscribers are woken, and written to, once for all of them. Where polls take longer than that, or
// come one by one, nothing waits.
type outbox struct {
	publisher Publisher
	gatherer  Gatherer // the publisher; nil: it is none, and nothing waits
	newTimer  func(func()) Timer

	mu    sync.Mutex
	held  []*gateway.Record
	until time.Time // when they are handed over at the latest
	timer Timer     // does it then; nil until it is needed
	set   bool
}

func newOutbox(p Publisher, newTimer func(func()) Timer) *outbox {
	o := &outbox{publisher: p, newTimer: newTimer}
	o.gatherer, _ = p.(Gatherer)
	return o
}

// add takes a record. It waits until flush is called.
func (o *outbox) add(rec *gateway.Record, now time.Time) {
	if o.gatherer == nil {
		o.publisher.Publish(rec, nil)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.held) == 0 {
		o.until = now.Add(longestHeld)
	}
	o.held = append(o.held, rec)
	if len(o.held) >= mostHeld {
		o.deliver()
	}
}

// keep is called before something that is expected to take so long. What is held goes on waiting if that would end in time, and is handed over
// if not. An expectation may be wrong: then the timer sees to it.
func (o *outbox) keep(now time.Time, expected time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case len(o.held) == 0:
	case now.Add(expected).After(o.until):
		o.deliver()
	case !o.set:
		if o.timer == nil {
			o.timer = o.newTimer(o.flush)
		}
		o.timer.Set(o.until.Sub(now))
		o.set = true
	}
}

// flush hands over what is held. It may be called from any goroutine.
func (o *outbox) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.deliver()
}

// deliver hands over what is held, under the lock, so that the order stays.
func (o *outbox) deliver() {
	if o.set {
		o.timer.Stop()
		o.set = false
	}
	switch len(o.held) {
	case 0:
		return
	case 1:
		o.publisher.Publish(o.held[0], nil)
	default:
		o.gatherer.PublishAll(o.held)
	}
	clear(o.held)
	o.held = o.held[:0]
}

// close hands over what is held and gives the timer back. Nothing is added any more.
func (o *outbox) close() error {
	o.flush()
	if o.timer == nil {
		return nil
	}
	return o.timer.Close()
}

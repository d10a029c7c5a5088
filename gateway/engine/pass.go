package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Passer is a Driver that can also carry out what another master asks of the units on its bus.
type Passer interface {
	// Pass sends a request to a unit and returns the answer as it came. No answer and no error is a request that nobody answers, such as a
	// broadcast. The errors ErrNoAnswer and ErrOffline tell why there is none. changed lists the groups whose points the
	// request may have changed. Like Poll it is one conversation, and is called between two others.
	Pass(ctx context.Context, unit byte, request []byte) (answer []byte, changed []Place, err error)
}

// Place is one group of one device of a bus, both by their index.
type Place struct{ Device, Group int }

// The errors of Pass, next to ErrNoAnswer.
var (
	// ErrBusy means that too many requests wait for the bus, or that one has waited for too long. It was not sent.
	ErrBusy = errors.New("too many requests of other masters wait for the bus")
	// ErrOffline is wrapped when the bus is not open, or was lost during the conversation.
	ErrOffline = errors.New("bus is not open")
)

// The bounds of what other masters get.
const (
	passesPerBus    = 32              // requests that wait for one bus
	passesPerClient = 8               // of them, from one client
	passPatience    = 5 * time.Second // that a request waits for its turn: hardly a master waits for longer itself

	// pollShare is the time that polls which are due get for each time of passed requests: these take a tenth of the bus then, and all
	// that is free otherwise.
	pollShare = 9
	// shortestPass is what a request is taken to last at least, so that those which the driver answers by itself come to an end too.
	shortestPass = 100 * time.Microsecond
)

// passage is a request of another master on its way through a bus.
type passage struct {
	client  string
	unit    byte
	request []byte
	done    chan passed // buffered
}

// passed is what came of a passage.
type passed struct {
	answer []byte
	err    error
}

// passages are the requests of other masters that wait for a bus. Clients take turns, however much each of them asks for.
type passages struct {
	arrived chan struct{} // holds a token when there may be something new
	ring    func()        // wakes the bus

	mu      sync.Mutex
	waiting []*passage
	served  []string // the clients that had a turn of late, the last one at the end
	ended   bool     // nothing will be begun any more

	// What follows is used by the goroutine of the bus alone. owed is the time for which polls that are due come first; below zero, requests do.
	owed    time.Duration
	hurried map[int]time.Time // when each slot was last polled for what a request has changed

	carried, refused atomic.Uint64
}

func newPassages(ring func()) *passages {
	return &passages{arrived: make(chan struct{}, 1), ring: ring, hurried: make(map[int]time.Time)}
}

// Pass carries out a request that a client, another master, has for a unit of a bus, at the next frame boundary that is its turn: commands
// come first, then polls and passed requests share the bus, and so do the clients. Once it is begun it is carried out even if ctx
// ends. request is not kept. See Passer for what is returned; ErrBusy says that there was no room.
func (e *Engine) Pass(ctx context.Context, bus, client string, unit byte, request []byte) ([]byte, error) {
	for _, b := range e.buses {
		if _, can := b.driver.(Passer); can && b.name == bus {
			return b.passages.pass(ctx, &passage{client: client, unit: unit, request: append([]byte(nil), request...), done: make(chan passed, 1)})
		}
	}
	return nil, fmt.Errorf("pass a request to bus %q: there is no such bus, or its driver cannot", bus)
}

// pass waits for the answer to p.
func (q *passages) pass(ctx context.Context, p *passage) ([]byte, error) {
	if err := q.join(p); err != nil {
		return nil, err
	}
	patience := time.NewTimer(passPatience)
	defer patience.Stop()
	for {
		select {
		case out := <-p.done:
			return out.answer, out.err
		case <-ctx.Done():
			q.leave(p)
			return nil, ctx.Err()
		case <-patience.C:
			if q.leave(p) {
				q.refused.Add(1)
				return nil, ErrBusy
			}
		}
	}
}

// join lets p wait if there is room.
func (q *passages) join(p *passage) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended {
		return ErrOffline
	}
	same := 0
	for _, other := range q.waiting {
		if other.client == p.client {
			same++
		}
	}
	if len(q.waiting) >= passesPerBus || same >= passesPerClient {
		q.refused.Add(1)
		return ErrBusy
	}
	q.waiting = append(q.waiting, p)
	select {
	case q.arrived <- struct{}{}:
	default: // a token is there
	}
	q.ring()
	return nil
}

// leave takes p back and reports whether it was still waiting.
func (q *passages) leave(p *passage) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, p)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return true
}

// next takes the passage of the client whose last turn is the longest ago; nil when none waits.
func (q *passages) next() *passage {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return nil
	}
	first, longest := 0, len(q.served)
	for i, p := range q.waiting {
		if last := slices.Index(q.served, p.client); last < longest {
			first, longest = i, last
		}
	}
	p := q.waiting[first]
	q.waiting = slices.Delete(q.waiting, first, first+1)
	q.serve(p.client)
	return p
}

// serve notes that a client has its turn. No more need be remembered than can wait.
func (q *passages) serve(client string) {
	if i := slices.Index(q.served, client); i >= 0 {
		q.served = slices.Delete(q.served, i, i+1)
	}
	q.served = append(q.served, client)
	if len(q.served) > passesPerBus {
		q.served = slices.Delete(q.served, 0, 1)
	}
}

// turnAway answers all that wait with err.
func (q *passages) turnAway(err error) {
	for p := q.next(); p != nil; p = q.next() {
		q.refused.Add(1)
		p.done <- passed{err: err}
	}
}

// end turns everybody away from now on.
func (q *passages) end() {
	q.mu.Lock()
	q.ended = true
	q.mu.Unlock()
	q.turnAway(ErrOffline)
}

// letPass carries out the next request of another master, if there is one and it need not wait for polls that are due.
func (b *bus) letPass(ctx context.Context, due bool) bool {
	if due && b.passages.owed > 0 {
		return false
	}
	p := b.passages.next()
	if p == nil {
		return false
	}
	b.pass(ctx, p)
	return true
}

// pass carries p out.
func (b *bus) pass(ctx context.Context, p *passage) {
	b.outbox.flush()
	var out passed
	var changed []Place
	took, err := b.converse(func() (err error) {
		out.answer, changed, err = b.driver.(Passer).Pass(ctx, p.unit, p.request)
		return err
	})
	b.passages.owed = min(b.passages.owed, 0) + pollShare*max(took, shortestPass)
	b.passages.carried.Add(1)
	switch {
	case err != nil && ctx.Err() != nil:
		err = ErrOffline // the gateway stops
	case errors.Is(err, errPanic):
		err = fmt.Errorf("%w: %w", ErrOffline, err)
	}
	out.err = err
	p.done <- out
	if err == nil {
		b.follow(changed, out.answer != nil)
	}
}

// polled notes how long a conversation of a poll took. What it leaves to other masters is no more than its own part, so that they cannot
// save up for a time in which they would have the bus alone.
func (q *passages) polled(took time.Duration) {
	q.owed = max(q.owed, 0) - took - 1 // a poll that took no time counts too
}

// follow has groups polled next whose points were changed, each once an interval at most. A device that is offline is left to its probes,
// unless it has answered: then it is back.
func (b *bus) follow(changed []Place, answered bool) {
	now := b.now()
	for _, c := range changed {
		d := b.devices[c.Device]
		slot := d.slots[c.Group]
		last, before := b.passages.hurried[slot]
		if before && now.Sub(last) < d.Groups[c.Group].Interval || d.state == offline && !answered {
			continue
		}
		b.passages.hurried[slot] = now
		b.schedule.hurry(slot, now)
	}
}

// atRest turns other masters away while the bus pauses, since they would wait in vain.
func (b *bus) atRest(ctx context.Context, pause time.Duration) {
	t := time.NewTimer(pause)
	defer t.Stop()
	for {
		b.passages.turnAway(ErrOffline)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			return
		case <-b.passages.arrived:
		}
	}
}

package buffer

import (
	"github.com/tidegate/tidegate/gateway"
)

// held is a change whose publisher waits for room in a queue with Block. It has its number, but no place in any queue yet.
type held struct {
	change *gateway.Change
	waiter waiter
	until  monotonic
}

// mustWait reports whether a queue that c is for has no room and wants its publisher to wait.
func (s *Store) mustWait(c *gateway.Change) (wait bool) {
	s.eachBlocking(c, func(q *queue) { wait = wait || s.refuses(q) })
	return wait
}

// hold leaves a publisher without an answer until there is room, for a bounded time. How many wait is bounded by what memory may hold; in
// practice by the publishers' windows.
func (s *Store) hold(c *gateway.Change, w waiter, now monotonic) {
	if len(s.held) >= s.opts.PendingRecords || s.heldBytes >= s.opts.PendingBytes {
		s.call(w, ErrFull)
		return
	}
	own := *c
	h := held{&own, w, now + monotonic(s.opts.BlockHold)}
	s.keepHeld(h)
	s.dueAt(h.until)
}

func (s *Store) keepHeld(h held) {
	s.held = append(s.held, h)
	s.heldBytes += sizeOf(h.change.Record)
	s.eachBlocking(h.change, func(q *queue) { q.holding++ })
}

// eachBlocking calls fn for each queue with Block that c is for.
func (s *Store) eachBlocking(c *gateway.Change, fn func(*queue)) {
	for _, to := range c.To {
		if q := s.byID(to.Queue); q != nil && q.limits.Full == Block {
			fn(q)
		}
	}
}

// roomIn has the writer look whether a publisher that waits for room in q need not any more.
func (s *Store) roomIn(q *queue) {
	if q.holding > 0 && !s.isShut(q) {
		signal(s.kick)
	}
}

// letIn admits the changes for which there is room now, in their order, and gives up those that have waited too long. It returns until when
// the next one waits. A change for a queue that another one goes on waiting for does not overtake it.
func (s *Store) letIn() monotonic {
	next := never
	if len(s.held) == 0 {
		return next
	}
	now := s.now()
	waiting := s.held
	s.held, s.heldBytes = nil, 0
	for _, h := range waiting {
		s.eachBlocking(h.change, func(q *queue) { q.holding-- })
	}
	for _, h := range waiting {
		switch {
		case h.until <= now:
			s.call(h.waiter, ErrFull)
		case s.mustWait(h.change):
			s.keepHeld(h)
			next = min(next, h.until)
		default:
			s.admit(h.change, h.waiter, now)
		}
	}
	return next
}

// abortHeld tells those who wait for room that the store closes.
func (s *Store) abortHeld() {
	for _, h := range s.held {
		s.call(h.waiter, ErrClosed)
	}
	s.held = nil
}

package buffer

import (
	"github.com/tidegate/tidegate/gateway"
)

// Attach makes a consumer online and returns the position through which its queue is acknowledged. wake is called, on a goroutine of
// the store, when there may be more to read than the consumer has seen; calls may be merged, and one may still come just after Detach.
func (s *Store) Attach(id gateway.QueueID, wake func()) (acked uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.byID(id)
	if q == nil {
		return 0
	}
	s.setOnline(q, true)
	q.wake, q.starved = wake, true
	q.handed, q.inHand, q.gated, q.ahead = q.acked, 0, false, nil
	if q.depth > 0 {
		s.wakeQueue(q)
	}
	return q.acked
}

func (s *Store) setOnline(q *queue, online bool) {
	switch {
	case online && !q.online:
		s.online++
	case !online && q.online:
		s.online--
	}
	q.online = online
}

// Detach makes the consumer offline. What it has not acknowledged is due for commit at once where somebody waits for it.
func (s *Store) Detach(id gateway.QueueID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.byID(id)
	if q == nil {
		return
	}
	s.setOnline(q, false)
	q.wake, q.starved, q.ahead = nil, false, nil
	for pos := q.tail; pos < q.next; pos++ {
		if e := q.at(pos).e; e != nil && e.state == pending && e.waits() {
			e.due = 0
			s.hurry()
		}
	}
	q.trim(0, 0)
	s.noteOver(q)
}

// Ack acknowledges single deliveries, in any order. Positions that are not in the queue, or were acknowledged before, do not matter.
func (s *Store) Ack(id gateway.QueueID, pos ...uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.byID(id)
	if q == nil {
		return
	}
	for _, p := range pos {
		before := q.depth
		s.ack(q, p)
		n := before - q.depth
		q.taken += n
		if p <= q.handed {
			q.inHand -= min(q.inHand, n)
		}
	}
	s.advance(q)
}

func (s *Store) ack(q *queue, pos uint64) {
	switch {
	case pos <= q.acked || pos >= q.next:
	case pos < q.tail:
		q.markDone(pos, pos)
	default:
		s.ackSlot(q, pos)
	}
}

// ackSlot acknowledges a delivery that is in memory. The last consumer's acknowledgement spares a pending entry the disk.
func (s *Store) ackSlot(q *queue, pos uint64) {
	sl := q.at(pos)
	if sl.e == nil {
		return
	}
	e, index := sl.e, sl.index
	q.clearSlot(sl)
	e.refs[index].acked = true
	e.left--
	if e.left == 0 && e.elidable() {
		s.finished(e)
	}
}

// finished takes e, which all its consumers have acknowledged, off the list, or tells who waits for it if it is being written already.
func (s *Store) finished(e *entry) {
	switch e.state {
	case pending:
		s.list.remove(e)
		e.state = gone
		s.stats.Elided++
	case writing:
	default:
		return
	}
	s.call(e.waiter, nil)
	e.waiter = waiter{}
	if e.state == gone {
		s.recycle(e)
	}
}

// advance moves the acknowledged position of q as far as it goes, and has the disk told if there is something to free.
func (s *Store) advance(q *queue) {
	if q.gated {
		q.gated = false
		s.wakeQueue(q)
	}
	if !q.advance() {
		return
	}
	if s.full { // there will be room
		s.retryAt = min(s.retryAt, s.now()+monotonic(s.opts.CommitInterval))
		s.dueAt(s.retryAt)
	}
	if !q.dirty {
		s.cursorMoved(q)
	}
	s.roomIn(q)
}

// cursorMoved puts q on the list of those whose cursor changes with the next commit, within commit_interval.
func (s *Store) cursorMoved(q *queue) {
	if q.cursorMoved() {
		s.cursorChanges(q)
	}
}

func (s *Store) cursorChanges(q *queue) {
	if q.dirty {
		return
	}
	q.dirty = true
	s.dirty = append(s.dirty, q)
	if s.ackDue == never {
		s.ackDue = s.now() + monotonic(s.opts.CommitInterval)
		s.dueAt(s.ackDue)
	}
}

// foresee does in memory at once what ops will do to queues: nothing is kept any more for a session that ends.
func (s *Store) foresee(ops []gateway.Op) {
	for _, op := range ops {
		switch op := op.(type) {
		case gateway.DropSession:
			if q := s.byID(op.Queue); q != nil {
				s.dropQueue(q)
			}
		case gateway.PutReceived:
			if q := s.byID(op.Queue); q != nil {
				q.received = true
			}
		}
	}
}

func (s *Store) dropQueue(q *queue) {
	for pos := q.tail; pos < q.next; pos++ {
		s.ackSlot(q, pos)
	}
	if q.tail > q.acked+1 {
		q.markDone(q.acked+1, q.tail-1)
	}
	q.advance()
	s.setOnline(q, false)
	q.wake, q.ahead = nil, nil
	delete(s.names, q.name)
	q.dropped = true
	if !q.dirty {
		q.dirty = true // the change itself brings the commit
		s.dirty = append(s.dirty, q)
	}
}

package buffer

import (
	"slices"

	"github.com/tidegate/tidegate/gateway"
)

// trimBatches bounds how many batches one look at a queue drops, so that the others do not wait long.
const trimBatches = 32

// noteOver puts q on the list of those that have more than their limits allow and may drop their oldest.
func (s *Store) noteOver(q *queue) {
	if q.over || q.limits.Full != DropOldest || !q.above() {
		return
	}
	q.over = true
	s.over = append(s.over, q)
}

// above reports whether the queue holds more than a limit allows, and something of it can be dropped.
func (q *queue) above() bool {
	l := q.limits
	return q.waits() > 0 && (l.Count > 0 && q.depth > l.Count || l.Bytes > 0 && q.size > l.Bytes)
}

// trimOver drops the oldest records of the queues that have grown over their limits. The writer calls it before a commit, so that what is
// dropped is freed by the transaction that brings the new, or is never written.
func (s *Store) trimOver() {
	s.mu.Lock()
	list := s.over
	s.over = nil
	for _, q := range list {
		q.over = false
	}
	s.mu.Unlock()
	for _, q := range list {
		for range trimBatches {
			if !s.trimOnce(q) {
				break
			}
		}
	}
}

// trimOnce drops one batch of q, and reports whether there may be more to drop.
func (s *Store) trimOnce(q *queue) bool {
	more, err := s.countOn(q)
	if more {
		return true
	}
	var h *head
	if err == nil {
		h, err = s.headOf(q)
	}
	if err != nil {
		s.log.Error("a queue is over its limit, and what could be dropped cannot be read", "queue", q.name, "error", err)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	reason, n := q.excess()
	if h == nil || n == 0 || q.dropped || !q.begins(h) {
		return false
	}
	if q.upstream() {
		n++ // the gap takes the place of one
	}
	if h.cut(n); q.upstream() && len(h.list) < 2 {
		return false
	}
	s.drop(q, h, reason)
	return true
}

// excess returns how many of its oldest records a queue must lose to be somewhat below its limits.
func (q *queue) excess() (reason string, n uint64) {
	l := q.limits
	if l.Count > 0 && q.depth > l.Count {
		reason, n = reasonCount, q.depth-(l.Count-l.Count/batchShare)
	}
	if l.Bytes > 0 && q.size > l.Bytes && q.depth > 0 {
		average := max(1, q.size/int64(q.depth))
		if over := uint64((q.size - (l.Bytes - l.Bytes/batchShare) + average - 1) / average); over > n {
			reason, n = reasonSize, over
		}
	}
	return reason, min(n, q.waits())
}

// head is the oldest deliveries of a queue. There is nothing else in it up to position through.
type head struct {
	after   uint64 // the floor when it was read
	list    []gateway.Delivery
	through uint64
}

// cut leaves the first n deliveries.
func (h *head) cut(n uint64) {
	if n < uint64(len(h.list)) {
		h.list = h.list[:n]
		h.through = h.list[n-1].Pos
	}
}

// headOf returns the oldest deliveries of q, at most about dropRecords and two at least if there are: of what is on disk alone, else of what
// is in memory. What a session's client has in hand is not among them; it returns nil when there are none, or when an upstream has some in hand.
func (s *Store) headOf(q *queue) (*head, error) {
	s.mu.Lock()
	after, ok := q.floor()
	if q.dropped || q.waits() == 0 || !ok {
		s.mu.Unlock()
		return nil, nil
	}
	if after+1 >= q.tail {
		defer s.mu.Unlock()
		return q.headInMemory(after), nil
	}
	want := &wanted{queue: q, span: span{after + 1, q.tail - 1}, after: after}
	s.mu.Unlock()
	h, err := s.oldestOnDisk(want)
	s.mu.Lock()
	defer s.mu.Unlock()
	h.overlay(q)
	return h, err
}

// begins reports whether h is still the begin of what may be dropped.
func (q *queue) begins(h *head) bool {
	after, ok := q.floor()
	return ok && after == h.after
}

// fixed is the floor, or what is acknowledged when nothing can be dropped.
func (q *queue) fixed() uint64 {
	if after, ok := q.floor(); ok {
		return after
	}
	return q.acked
}

// overlay puts in the gaps that disk and list do not know yet, and takes out what is done.
func (h *head) overlay(q *queue) {
	if q.session() {
		h.list = slices.DeleteFunc(h.list, func(d gateway.Delivery) bool { return q.done.has(d.Pos) })
	}
	for i := range h.list {
		h.list[i].Record = q.told(h.list[i].Pos, h.list[i].Record)
	}
}

func (q *queue) headInMemory(after uint64) *head {
	h := &head{after: after, through: after}
	for pos := after + 1; pos < q.next && len(h.list) < dropRecords; pos++ {
		if sl := q.at(pos); sl.e != nil {
			h.list = append(h.list, gateway.Delivery{Ref: sl.e.refs[sl.index].Ref, Pos: pos, Record: sl.e.rec})
		}
		h.through = pos
	}
	h.overlay(q)
	return h
}

// drop acknowledges h, the first deliveries of q, in place of its consumer. In an upstream's queue the last of them becomes a gap record.
func (s *Store) drop(q *queue, h *head, reason string) {
	h.overlay(q)
	for i := range h.list {
		if _, gap := h.list[i].Record.Body.(*gateway.Gap); !gap {
			s.stats.Dropped++
			q.count(reason, 1)
		}
	}
	if len(h.list) == 0 || !q.upstream() {
		s.dropThrough(q, h.after, h.through)
		s.tellDrops(q, s.now())
		return
	}
	first, last := h.list[0], h.list[len(h.list)-1]
	rec := s.gapRecord(last.Record.Seq, gateway.Gap{
		Queue: q.name, From: gapStart(first.Record), To: gapEnd(last.Record), Count: gapCount(h.list), Reason: reason,
	})
	s.forget(&q.lost, last.Pos)
	s.forget(&q.refused, last.Pos)
	q.lost = notice{pos: last.Pos, rec: rec}
	s.dropThrough(q, h.after, last.Pos-1)
	s.replace(q, live{queue: q, pos: last.Pos, ref: last.Ref})
}

// forget takes back a gap that lies up to position through: a new one speaks for it.
func (s *Store) forget(n *notice, through uint64) {
	if n.rec == nil || n.pos > through {
		return
	}
	if n.e != nil {
		s.discard(n.e)
	}
	*n = notice{}
}

// dropThrough acknowledges everything behind position after, which is the floor, up to position through.
func (s *Store) dropThrough(q *queue, after, through uint64) {
	if after+1 < q.tail {
		q.markDone(after+1, min(through, q.tail-1))
	}
	for pos := max(q.tail, after+1); pos <= through; pos++ {
		s.ackSlot(q, pos)
	}
	s.cutOut(q, after, through)
	s.advance(q)
}

// replace puts the gap of q.lost in the place of a delivery, in memory and on disk. It belongs to the next group, however small.
func (s *Store) replace(q *queue, at live) {
	n := &q.lost
	sl := n.slot(q)
	if sl != nil && sl.e.state == pending {
		e := sl.e
		if s.gapAt(sl, at, n.rec); e.left == 0 && e.elidable() {
			s.finished(e)
		}
		return
	}
	n.e = &entry{work: putGapAt(at, n.rec), came: s.now(), size: entryOverhead}
	s.list.insert(n.e, s.list.head)
	s.hurry()
}

// gapAt makes the pending delivery in sl, which is at that place, a gap.
func (s *Store) gapAt(sl *slot, at live, rec *gateway.Record) *entry {
	q, e := at.queue, sl.e
	r := &e.refs[sl.index]
	g := s.gapEntry(rec, at)
	g.came, g.due = e.came, e.due
	q.emptied(e)
	q.size += int64(g.cost - e.cost)
	*sl = slot{g, 0}
	q.filled(g)
	s.list.insert(g, e)
	r.acked = true // e is done with there; the gap is not
	e.left--
	return g
}

// gapStart returns the first number that is missing when rec is dropped: a gap that is dropped lives on in the next one.
func gapStart(rec *gateway.Record) uint64 {
	if gap, ok := rec.Body.(*gateway.Gap); ok && gap.Count > 0 {
		return gap.From
	}
	return rec.Seq
}

// gapEnd returns the last number that is missing when rec is dropped.
func gapEnd(rec *gateway.Record) uint64 {
	if gap, ok := rec.Body.(*gateway.Gap); ok && gap.Count > 0 {
		return gap.To
	}
	return rec.Seq
}

// gapCount returns how many records are missing when list is dropped.
func gapCount(list []gateway.Delivery) (n uint64) {
	for _, d := range list {
		if gap, ok := d.Record.Body.(*gateway.Gap); ok {
			n += gap.Count
		} else {
			n++
		}
	}
	return n
}

// putGapAt returns the work that stores a gap record in the place of a delivery.
func putGapAt(at live, rec *gateway.Record) func(*applier) error {
	return func(a *applier) error { return a.putGap(at, rec) }
}

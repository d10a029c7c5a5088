package buffer

import (
	"strings"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// upstreamPrefix begins the names of the queues of upstreams. They are told of what they will not get.
const upstreamPrefix = "upstream/"

// dropRecords bounds what is dropped at once when the file is full.
const dropRecords = 1000

func (q *queue) upstream() bool { return strings.HasPrefix(q.name, upstreamPrefix) }

// gapRecord is a record that tells queue of what it will not get. It takes over the number of one of these.
func (s *Store) gapRecord(seq uint64, gap gateway.Gap) *gateway.Record {
	gap.Time = s.opts.Now()
	return &gateway.Record{Seq: seq, Time: gap.Time, Body: &gap}
}

// quotaReached tells a database that has reached max_size from a disk that is full.
func (s *Store) quotaReached() bool {
	c := s.writer.conn
	if c == nil {
		return false
	}
	var pages, limit int64
	if c.ints(`PRAGMA page_count`, &pages) != nil || c.ints(`PRAGMA max_page_count`, &limit) != nil {
		return false
	}
	const slack = 64 // the failed transaction wanted more than one page, and they are not counted any more
	return pages+slack >= limit
}

// makeRoom drops the oldest records of the longest queue, so that the next attempt to commit finds room. In an upstream's queue a gap
// record stays in their place. What the consumer has read and not acknowledged is never dropped, so a queue that is being drained is
// left alone: its acknowledgements make room. It returns false when there is nothing to drop.
func (s *Store) makeRoom() bool {
	want := s.victim()
	if want == nil {
		return false
	}
	q := want.queue
	list, err := s.oldestOnDisk(want)
	if err != nil {
		s.log.Error("the buffer is full, and what could be dropped cannot be read", "queue", q.name, "error", err)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.dropped || q.acked != want.after || q.online && q.handed > q.acked {
		return true // its consumer came, and makes room itself
	}
	if len(list) == 1 && q.upstream() {
		return false // the gap record would take its place
	}
	s.sayFull(q)
	s.drop(q, list, want.hi)
	return true
}

// sayFull says that records are dropped, but not for each batch of them.
func (s *Store) sayFull(q *queue) {
	const often = monotonic(time.Minute)
	if now := s.now(); s.saidFull == 0 || now-s.saidFull > often {
		s.saidFull = now
		s.log.Warn("the buffer has reached max_size, the oldest records are dropped", "max_size", s.opts.MaxSize, "queue", q.name)
	}
}

// oldestOnDisk reads what makeRoom may drop of a queue, and sets want.hi to the position through which that goes. It takes two
// deliveries at least, so that the bytes of one are freed, the other's place being the gap's.
func (s *Store) oldestOnDisk(want *wanted) (list []gateway.Delivery, err error) {
	end := want.hi
	for from := want.lo; from <= end && len(list) < 2; from = want.hi + 1 {
		got, err := s.reader.read(want.queue.id, &wanted{span: span{from, end}}, dropRecords)
		if err != nil {
			return nil, err
		}
		list = append(list, got.parse()...)
		want.hi = got.through
	}
	return list, nil
}

// droppable reports whether the queue's oldest records may be dropped to make room. It is asked at each failure: a consumer that is there
// and has acknowledged something since the last one is making room itself.
func (q *queue) droppable() bool {
	advanced := q.acked != q.ackedBefore
	q.ackedBefore = q.acked
	switch {
	case q.inbox || min(q.lastRow, q.tail-1) <= q.acked:
		return false
	case q.online:
		return q.handed <= q.acked && !advanced
	}
	return true
}

// victim returns what to look at to drop something: the begin of the longest queue, nil when there is none.
func (s *Store) victim() *wanted {
	s.mu.Lock()
	defer s.mu.Unlock()
	var longest *queue
	for _, q := range s.queues {
		if q == nil || q.dropped || !q.droppable() {
			continue
		}
		if longest == nil || q.depth > longest.depth {
			longest = q
		}
	}
	if longest == nil {
		return nil
	}
	return &wanted{queue: longest, span: span{longest.acked + 1, min(longest.lastRow, longest.tail-1)}, after: longest.acked}
}

// drop acknowledges list, the first deliveries of q, in place of its consumer. There is nothing else up to position through.
func (s *Store) drop(q *queue, list []gateway.Delivery, through uint64) {
	for i := range list {
		if _, gap := list[i].Record.Body.(*gateway.Gap); !gap {
			s.stats.Dropped++
		}
	}
	if len(list) == 0 || !q.upstream() {
		q.markDone(q.acked+1, through)
		s.advance(q)
		return
	}
	first, last := list[0], list[len(list)-1]
	rec := s.gapRecord(last.Record.Seq, gateway.Gap{
		Queue: q.name, From: gapStart(first.Record), To: last.Record.Seq, Count: gapCount(list), Reason: "size",
	})
	at := live{queue: q, pos: last.Pos, ref: last.Ref}
	e := &entry{work: func(a *applier) error { return a.putGap(at, rec) }, came: s.now(), size: entryOverhead}
	s.list.insert(e, s.list.head) // belongs to the next group, however small
	q.markDone(q.acked+1, last.Pos-1)
	s.advance(q)
}

// gapStart returns the first number that is missing when rec is dropped: a gap that is dropped lives on in the next one.
func gapStart(rec *gateway.Record) uint64 {
	if gap, ok := rec.Body.(*gateway.Gap); ok && gap.Count > 0 {
		return gap.From
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

// putGap stores a gap record in the place of a delivery.
func (a *applier) putGap(at live, rec *gateway.Record) error {
	var b chunkBuilder
	b.reset([]live{at})
	b.add([]live{at}, rec)
	return a.exec(`INSERT OR REPLACE INTO gap(key, body) VALUES(?, ?)`, key(at.ref.Queue, at.pos), b.append(nil))
}

// shed drops pending records that nobody waits for, the oldest first, when there are more than memory may hold because the disk has failed
// for long. It goes somewhat below the bounds, to do it in batches.
func (s *Store) shed() {
	n, bytes := s.opts.PendingRecords-s.inHand, s.opts.PendingBytes-s.inHandBytes
	if s.list.n <= n && s.list.bytes <= bytes {
		return
	}
	n, bytes = n-s.opts.PendingRecords/8, bytes-s.opts.PendingBytes/8
	for e := s.list.head; e != nil && (s.list.n > n || s.list.bytes > bytes); {
		next := e.next
		if s.sheddable(e) {
			s.shedOne(e)
		}
		e = next
	}
}

// sheddable reports whether nobody waits for e and no consumer has it under way.
func (s *Store) sheddable(e *entry) bool {
	if e.done != nil || !e.elidable() {
		return false
	}
	if _, gap := e.rec.Body.(*gateway.Gap); gap {
		return false
	}
	for i := range e.refs {
		if r := &e.refs[i]; !r.acked && r.queue.online && r.pos <= r.queue.handed {
			return false
		}
	}
	return true
}

// shedOne drops e. In upstreams' queues it becomes a gap, or part of the one before it.
func (s *Store) shedOne(e *entry) {
	for i := range e.refs {
		if r := &e.refs[i]; !r.acked && r.queue.upstream() && !s.widenGap(r, e.rec.Seq) {
			s.gapAt(r, e)
		}
	}
	s.discard(e)
	s.stats.Dropped++
}

// gapAt puts a new gap record in the place of e at r.
func (s *Store) gapAt(r *ref, e *entry) {
	q := r.queue
	rec := s.gapRecord(e.rec.Seq, gateway.Gap{Queue: q.name, From: e.rec.Seq, To: e.rec.Seq, Count: 1, Reason: "memory"})
	g := &entry{rec: rec, left: 1, size: sizeOf(rec), came: e.came, due: e.due}
	g.refs = append(g.one[:0], ref{queue: q, pos: r.pos, Ref: r.Ref})
	sl := q.at(r.pos)
	q.bytes += g.size - e.size
	*sl = slot{g, 0}
	s.list.insert(g, e)
	r.acked = true // e is done with; the gap is not
	e.left--
	q.gap, q.gapEnd = g, r.pos
}

// widenGap makes the gap record before r cover it too, when nothing lies between them and no consumer has seen it.
func (s *Store) widenGap(r *ref, seq uint64) bool {
	q := r.queue
	if q.gap == nil || q.gap.state != pending || q.online && q.gap.refs[0].pos <= q.handed || q.gap.refs[0].acked {
		return false
	}
	for pos := q.gapEnd + 1; pos < r.pos; pos++ {
		if q.at(pos).e != nil {
			return false
		}
	}
	wider := *q.gap.rec.Body.(*gateway.Gap)
	wider.To, wider.Count = seq, wider.Count+1
	q.gap.rec = s.gapRecord(q.gap.rec.Seq, wider)
	q.gapEnd = r.pos
	return true
}

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

func (q *queue) session() bool { return strings.HasPrefix(q.name, sessionPrefix) }

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
	have, err := c.pagesOf(`PRAGMA page_count`)
	if err != nil {
		return false
	}
	limit, err := c.pagesOf(`PRAGMA max_page_count`)
	const slack = 256 << 10 // the failed transaction wanted more than one page, and they are not counted any more
	return err == nil && have+slack >= limit
}

// makeRoom drops the oldest records of one queue, so that the next attempt to commit finds room. In an upstream's queue a gap record
// stays in their place. What the consumer has read and not acknowledged is never dropped, so a queue that is being drained is left alone:
// its acknowledgements make room. It returns false when there is nothing to drop.
func (s *Store) makeRoom() bool {
	want := s.victim()
	if want == nil {
		return false
	}
	q := want.queue
	h, err := s.oldestOnDisk(want)
	if err != nil {
		s.log.Error("the buffer is full, and what could be dropped cannot be read", "queue", q.name, "error", err)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.dropped || q.acked != h.after || q.holds() {
		return true // its consumer came, and makes room itself
	}
	if h.overlay(q); len(h.list) == 1 && q.upstream() {
		return false // the gap record would take its place
	}
	s.sayFull(q)
	s.drop(q, h, reasonSize)
	return true
}

// sayFull says that records are dropped, but not for each batch of them.
func (s *Store) sayFull(q *queue) {
	const often = monotonic(time.Minute)
	if now := s.now(); s.saidFull == 0 || now-s.saidFull > often {
		s.saidFull = now
		why := "the buffer has reached max_size, the oldest records are dropped"
		if s.room.small {
			why = "the disk has no more room for the buffer, the oldest records are dropped"
		}
		s.log.Warn(why, "max_size", s.opts.MaxSize, "queue", q.name)
	}
}

// oldestOnDisk reads what may be dropped of a queue. It takes two deliveries at least, so that the bytes of one are freed, the other's
// place being the gap's.
func (s *Store) oldestOnDisk(want *wanted) (*head, error) {
	h := &head{after: want.after, through: want.hi}
	for from := want.lo; from <= want.hi && len(h.list) < 2; from = h.through + 1 {
		got, err := s.reader.read(want.queue.id, &wanted{span: span{from, want.hi}}, dropRecords)
		if err != nil {
			return nil, err
		}
		h.list = append(h.list, got.parse()...)
		h.through = got.through
	}
	return h, nil
}

// droppable reports whether the queue's oldest records may be dropped to make room. It is asked at each failure: a consumer that is there
// and has acknowledged something since the last one is making room itself.
func (q *queue) droppable() bool {
	advanced := q.acked != q.ackedBefore
	q.ackedBefore = q.acked
	switch {
	case q.inbox || min(q.lastRow, q.tail-1) <= q.acked, q.upstream() && q.limits.Full != DropOldest:
		return false
	case q.online:
		return q.handed <= q.acked && !advanced
	}
	return true
}

// sessionShare is the part of max_size, one in so many, that sessions may take from upstreams when the file is full.
const sessionShare = 4

// victim returns what to look at to drop something: the begin of a queue, nil when there is none. max_size is the upstreams', so sessions
// that together hold more than their share of it make room first; else upstreams do, so that no long outage empties the sessions.
func (s *Store) victim() *wanted {
	s.mu.Lock()
	defer s.mu.Unlock()
	var session, upstream *queue // the largest of each kind
	var sessions int64
	for _, q := range s.queues {
		if q == nil || q.dropped {
			continue
		}
		if !q.upstream() {
			sessions += q.size
		}
		switch {
		case !q.droppable():
		case q.upstream():
			upstream = larger(upstream, q)
		default:
			session = larger(session, q)
		}
	}
	q := upstream
	if q == nil || session != nil && sessions > s.opts.MaxSize/sessionShare {
		q = session
	}
	if q == nil {
		return nil
	}
	return &wanted{queue: q, span: span{q.acked + 1, min(q.lastRow, q.tail-1)}, after: q.acked}
}

// larger returns the one of two queues that holds more bytes. The first may be nil.
func larger(a, b *queue) *queue {
	if a == nil || b.size > a.size {
		return b
	}
	return a
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
	if e.waits() || !e.elidable() {
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
		r := &e.refs[i]
		if r.acked {
			continue
		}
		q := r.queue
		q.count(reasonMemory, 1)
		if q.upstream() && !s.widenGap(r, e.rec.Seq) {
			rec := s.gapRecord(e.rec.Seq, gateway.Gap{Queue: q.name, From: e.rec.Seq, To: e.rec.Seq, Count: 1, Reason: reasonMemory})
			q.gap, q.gapEnd = s.gapAt(q.at(r.pos), live{queue: q, pos: r.pos, ref: r.Ref}, rec), r.pos
		}
	}
	s.discard(e)
	s.stats.Dropped++
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

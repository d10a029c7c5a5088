package buffer

import (
	"fmt"

	"github.com/tidegate/tidegate/gateway"
)

// Read fills buf with the deliveries after position after, in order, and returns how many. It returns fewer than buf holds only when
// there are no more for now: then the consumer is woken. It reads memory, and the disk for what memory has let go; the disk without
// a lock, so that only the consumer itself waits. Only one goroutine at a time may read a queue. A record that cannot be read is
// set aside, counted and skipped.
func (s *Store) Read(id gateway.QueueID, after uint64, buf []gateway.Delivery) (int, error) {
	n := 0
	for n < len(buf) {
		got, want, err := s.readOnce(id, after, buf[n:])
		if err != nil {
			return n, err
		}
		if got > 0 {
			n += got
			after = buf[n-1].Pos
			continue
		}
		if want == nil {
			break
		}
		if err := s.fetch(want, len(buf)-n); err != nil {
			return n, err
		}
	}
	return n, nil
}

// ReadNow is Read as far as memory goes: it does not wait for the disk. ok is false when nothing was read and the disk comes next, or when the
// queue cannot be read: Read is to be called then.
func (s *Store) ReadNow(id gateway.QueueID, after uint64, buf []gateway.Delivery) (n int, ok bool) {
	n, want, err := s.readOnce(id, after, buf)
	return n, want == nil && err == nil
}

// wanted is what a reader needs from disk.
type wanted struct {
	queue *queue
	span         // of positions
	after uint64 // where the reader stands
	start bool   // the span begins with a segment
}

// readOnce fills buf from memory as far as that goes without a break. When that is nothing, it returns what to fetch from disk first,
// nil at the end of the queue.
func (s *Store) readOnce(id gateway.QueueID, after uint64, buf []gateway.Delivery) (n int, want *wanted, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.byID(id)
	if q == nil {
		return 0, nil, fmt.Errorf("read queue %d: there is no such queue", id)
	}
	if buf = buf[:q.mayHand(len(buf))]; len(buf) == 0 {
		return 0, nil, nil
	}
	if n = q.readAhead(after, buf); n == 0 {
		from := q.done.after(max(after, q.acked) + 1)
		if from < q.tail {
			return 0, &wanted{q, span{from, q.tail - 1}, after, from == q.boundary}, nil
		}
		n = q.readMemory(from, buf)
		q.starved = n < len(buf) || q.gated
	}
	q.hand(buf[:n])
	return n, nil, nil
}

// fetch decodes deliveries from disk, about n of them, and keeps them ahead of the reader.
func (s *Store) fetch(want *wanted, n int) error {
	q := want.queue
	got, err := s.reader.read(q.id, want, n)
	if err != nil {
		s.suspect(err)
		return fmt.Errorf("read queue %s: %w", q.name, err)
	}
	deliveries := got.parse()
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.dropped {
		return nil
	}
	acked, at := q.acked, want.lo
	for i := range deliveries {
		q.skipTo(at, deliveries[i].Pos)
		at = deliveries[i].Pos + 1
	}
	q.skipTo(at, got.through+1)
	q.boundary = 0
	if got.more {
		q.boundary = got.through + 1
	}
	for i := range got.damaged {
		if got.damaged[i].pos > acked { // else it may have been freed while it was read
			s.bury(q, &got.damaged[i])
		}
	}
	s.advance(q)
	q.ahead, q.aheadFrom = deliveries, want.after
	return nil
}

// bury puts into dead what cannot be read. Its positions were skipped already.
func (s *Store) bury(q *queue, d *damage) {
	s.stats.Damaged += d.count
	s.stats.Dead = min(s.stats.Dead+1, deadRows)
	s.log.Error("record is damaged and was set aside", "queue", q.name, "position", d.pos, "error", d.err)
	name, now := q.name, s.opts.Now()
	s.append(&entry{work: func(a *applier) error { return a.putDead(name, d.pos, now, d.err.Error(), d.body) }})
}

// recordAt returns the record of a delivery, from memory or from disk.
func (s *Store) recordAt(id gateway.QueueID, pos uint64) (*gateway.Record, error) {
	if rec := s.recordInMemory(id, pos); rec != nil {
		return rec, nil
	}
	got, err := s.reader.read(id, &wanted{span: span{pos, pos}}, 1)
	if err != nil {
		return nil, err
	}
	if d := got.parse(); len(d) > 0 {
		return d[0].Record, nil
	}
	return nil, fmt.Errorf("there is no delivery at position %d", pos)
}

func (s *Store) recordInMemory(id gateway.QueueID, pos uint64) *gateway.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.byID(id)
	if q == nil || pos < q.tail || pos >= q.next || q.at(pos).e == nil {
		return nil
	}
	return q.at(pos).e.rec
}

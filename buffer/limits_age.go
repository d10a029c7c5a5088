package buffer

import (
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// lookEvery is how often the writer looks for what has expired, and whether there is something to tidy up. A look writes nothing by itself.
const lookEvery = monotonic(time.Minute)

// freshness remembers, for one head of a queue, until when nothing in it expires, so that the disk is not asked at every look.
type freshness struct {
	acked uint64 // what is before the head
	known bool
	until time.Time
	never bool // the head does not expire as far as is known
}

// lookSoon has the writer look at once.
func (s *Store) lookSoon() {
	s.lookAt = 0
	s.dueAt(0)
}

// look drops what has expired and tidies up. Only the writer calls it, when it has nothing to commit.
func (s *Store) look() {
	s.mu.Lock()
	now, wall := s.times()
	s.lookAt = now + lookEvery
	s.watchClock(now, wall)
	synced := s.clockSynced(now)
	if synced {
		s.sight()
	}
	var aging []*queue
	for _, q := range s.queues {
		if q == nil || q.dropped {
			continue
		}
		s.noteOver(q)
		s.tellDrops(q, now)
		if synced && q.limits.Age > 0 && q.depth > 0 {
			aging = append(aging, q)
		}
	}
	over := len(s.over) > 0
	s.mu.Unlock()
	for _, q := range aging {
		s.expire(q)
	}
	if over {
		s.trimOver()
	}
	if synced {
		s.expireOrphans()
	}
	s.watchDisk()
	s.writer.tidy(s)
}

// expire drops what has expired at the head of q. Records expire in their order: one whose age is not known yet keeps those behind it.
func (s *Store) expire(q *queue) {
	for range trimBatches {
		if s.stillFresh(q) {
			return
		}
		h, err := s.headOf(q)
		if err != nil {
			s.log.Error("expired records cannot be read", "queue", q.name, "error", err)
			return
		}
		if h == nil || !s.dropExpired(q, h) {
			return
		}
	}
	s.mu.Lock()
	s.lookAt = s.now() + monotonic(s.opts.CommitInterval) // there is more
	s.mu.Unlock()
}

func (s *Store) stillFresh(q *queue) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := q.fresh
	return f.known && f.acked == q.fixed() && (f.never || s.watchedWall().Before(f.until))
}

// dropExpired drops the expired part of h, and reports whether all of it was that: then there may be more.
func (s *Store) dropExpired(q *queue, h *head) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.dropped || !q.begins(h) {
		return false
	}
	h.overlay(q)
	n, fresh := s.expired(q, h)
	all := n == len(h.list)
	fresh.known = !all
	if n > 0 {
		h.cut(uint64(n))
		s.drop(q, h, reasonAge)
	}
	fresh.acked = q.fixed()
	q.fresh = fresh
	return all && n > 0
}

// expired returns how many deliveries at the begin of h are to be dropped, and until when the next one is fresh. Gaps go with what follows
// them, never alone: each would be replaced by a newer one for ever.
func (s *Store) expired(q *queue, h *head) (n int, fresh freshness) {
	now := s.watchedWall()
	for i, d := range h.list {
		if _, gap := d.Record.Body.(*gateway.Gap); gap {
			continue
		}
		at, ever := s.clock.expires(d.Record, q.limits.Age)
		if !ever || now.Before(at) {
			return n, freshness{until: at, never: !ever}
		}
		n = i + 1
	}
	return n, freshness{}
}

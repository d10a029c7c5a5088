package buffer

// group is what one transaction commits.
type group struct {
	entries []groupEntry
	live    []live // references to write, of all entries
	cursors []cursor
	mark    uint64               // of reserved numbers; 0: stays as it is
	base    uint64               // the number that was next when mark was chosen
	clean   uint64               // 1: the gateway stops in order
	wear    func(*applier) error // stores what the disk has taken so far; nil: not now
	seen    *string              // sightings to store; nil: the disk has them
}

// groupEntry is an entry and its part of live.
type groupEntry struct {
	e        *entry
	from, to int
}

func (g *group) empty() bool { return len(g.entries)+len(g.cursors) == 0 && g.mark == 0 }

func (g *group) reset() {
	clear(g.entries)
	clear(g.live)
	clear(g.cursors)
	*g = group{entries: g.entries[:0], live: g.live[:0], cursors: g.cursors[:0]}
}

// add takes e with the references that are not acknowledged yet.
func (g *group) add(e *entry) {
	from := len(g.live)
	for i := range e.refs {
		if r := &e.refs[i]; !r.acked {
			g.live = append(g.live, live{r.queue, r.pos, r.Ref})
		}
	}
	g.entries = append(g.entries, groupEntry{e, from, len(g.live)})
}

// maxGroupBytes bounds a transaction, and with it the log.
const maxGroupBytes = 4 << 20

// take moves up to limit pending entries, in their order, all cursors that have moved, and a reservation if one is due into g.
func (s *Store) take(g *group, limit int) {
	g.reset()
	bytes := 0
	for e := s.list.head; e != nil && len(g.entries) < limit && bytes < maxGroupBytes; e = s.list.head {
		bytes += e.size
		s.list.remove(e)
		e.state = writing
		if e.kept {
			e.kept = false
			delete(s.kept, e.retained())
		}
		g.add(e)
	}
	s.inHand, s.inHandBytes = len(g.entries), bytes
	for i := range g.live {
		s.passed(g.live[i].queue)
	}
	for _, q := range s.dirty {
		c := q.cursor()
		c.later = !s.full && !s.tight && q.mayKeep()
		g.cursors = append(g.cursors, c)
		q.dirty = false
	}
	s.dirty = s.dirty[:0]
	s.ackDue = never
	if s.reserving {
		g.mark, g.base = s.seq+s.block, s.seq
	}
	if !g.empty() {
		g.wear = s.tellWear(g.mark != 0)
		g.seen = s.clock.tellSeen()
	}
}

// passed has the cursor of a queue that gets rows again stored with them: what passed since the last ones was never written, and would count as
// waiting after a crash.
func (s *Store) passed(q *queue) {
	if !q.dirty && q.lastRow <= q.durableAcked && q.acked > q.durableAcked {
		q.dirty = true
		s.dirty = append(s.dirty, q)
	}
}

func (q *queue) cursor() cursor {
	c := cursor{queue: q, id: q.id, acked: q.acked, next: q.next, sweep: q.sweep, received: q.received, inbox: q.inbox}
	q.cuts.take(&c)
	return c
}

// What of a long backlog is acknowledged is deleted so many records at a time, and while it is a small part, one in so many, of what is left:
// each time costs the same few pages of trees and lists, whether it frees one chunk or forty.
const (
	keepRecords = 4096
	keepShare   = 16
)

// mayKeep reports whether the disk may keep for now what is acknowledged. It has to hold more of the queue: only what is acknowledged of that
// brings another commit.
func (q *queue) mayKeep() bool {
	return q.lastRow > q.acked && q.acked+1-q.sweep < min(keepRecords, q.depth/keepShare)
}

// settle notes that g is committed: those who wait are told, and memory lets go of what it need not keep.
func (s *Store) settle(g *group) {
	s.inHand, s.inHandBytes = 0, 0
	for i := range g.entries {
		e := g.entries[i].e
		e.state = stored
		if g.entries[i].to > g.entries[i].from {
			s.stats.Written++
		}
		if e.barrier {
			s.wakeConsumers(e)
		}
		s.call(e.waiter, nil)
		e.waiter, e.ops, e.work = waiter{}, nil, nil
	}
	if g.seen != nil {
		s.clock.seenTold = *g.seen == s.clock.seenText()
	}
	if g.mark != 0 {
		s.mark, s.reserving = g.mark, false
	}
	for i := range g.cursors {
		s.settleCursor(&g.cursors[i])
	}
	slots, bytes := s.cacheShare()
	for i := range g.live {
		q := g.live[i].queue
		q.lastRow = max(q.lastRow, g.live[i].pos)
	}
	for i := range g.live {
		s.settleQueue(g.live[i].queue, slots, bytes)
	}
}

// settleCursor notes what the disk now knows of a queue's acknowledgements.
func (s *Store) settleCursor(c *cursor) {
	q := c.queue
	q.durableAcked, q.durableNext, q.sweep, q.cuts.stored = c.acked, c.next, c.sweep, c.cuts
	switch {
	case c.more:
		q.dirty = true
		s.dirty = append(s.dirty, q)
		s.ackDue = s.now()
		s.dueAt(s.ackDue)
	case q.dropped && s.queues[q.id] == q && c.acked == q.next-1:
		s.queues[q.id] = nil
		s.free = append(s.free, q)
	}
}

// settleQueue trims a queue that has got rows, and looks whether some of them were acknowledged while they were written.
func (s *Store) settleQueue(q *queue, slots, bytes int) {
	if q.online {
		q.trim(slots, bytes)
	} else {
		q.trim(0, 0)
	}
	s.cursorMoved(q)
}

// cacheSlots bounds the committed deliveries that memory keeps for one consumer.
const cacheSlots = 1024

// cacheShare returns how much each consumer that is online may have in memory of what is committed.
func (s *Store) cacheShare() (slots, bytes int) {
	return cacheSlots, s.opts.CacheBytes / max(1, s.online)
}

// restore puts back what could not be committed, before all that has come since.
func (s *Store) restore(g *group) {
	s.inHand, s.inHandBytes = 0, 0
	for i := len(g.entries) - 1; i >= 0; i-- {
		e := g.entries[i].e
		e.state = pending
		s.list.insert(e, s.list.head)
		if e.left == 0 && e.elidable() {
			s.finished(e)
		}
	}
	for i := range g.cursors {
		q := g.cursors[i].queue
		q.cuts.fresh = append(g.cursors[i].fresh, q.cuts.fresh...)
		if !q.dirty {
			q.dirty = true
			s.dirty = append(s.dirty, q)
		}
	}
	if s.ackDue == never && len(s.dirty) > 0 {
		s.ackDue = s.now()
	}
	s.shed()
}

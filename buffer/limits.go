package buffer

import (
	"errors"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// Policy says what happens to a record for a queue that has reached a limit.
type Policy uint8

// What a full queue does. Records that its consumer has in hand are never dropped. A session's queue drops the oldest behind them. While
// an upstream holds some and acknowledges none, the newest are dropped whatever the policy, from a quarter above the limit on.
const (
	DropOldest Policy = iota // the oldest records make room, in batches
	DropNewest               // new records are not taken until there is room again
	Block                    // the publisher is not answered until there is room, for Options.BlockHold; for upstreams' queues only
)

// Limits bound one queue. Zero is no limit of that kind.
type Limits struct {
	Bytes int64         // that its deliveries take on disk, about
	Age   time.Duration // after a record's original time; see Options.ClockSynced
	Count uint64        // deliveries
	Full  Policy        // what happens at Bytes or Count, and at max_size to an upstream's queue
}

// ErrFull is what a publisher gets whose record was not taken, because a queue with [Block] had no room for it in time.
var ErrFull = errors.New("the buffer is full: the uplink is away or too slow for what is published")

// Reasons for which a queue's limits take records, as gaps and statistics name them.
const (
	reasonSize   = "size"
	reasonAge    = "age"
	reasonCount  = "count"
	reasonFull   = "full"
	reasonMemory = "memory"
)

// sessionPrefix begins the names of the queues of sessions.
const sessionPrefix = "session/"

// SetLimits gives a queue its own limits in place of the ones from Options. They are not stored.
func (s *Store) SetLimits(id gateway.QueueID, l Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.byID(id); q != nil {
		s.limit(q, l)
		s.lookSoon()
		s.roomIn(q)
	}
}

// limit puts l in force. Only upstreams have a publisher whom it helps to wait: a session's would wait for a stranger.
func (s *Store) limit(q *queue, l Limits) {
	if l.Full == Block && !q.upstream() {
		l.Full = DropOldest
	}
	q.limits = l
	s.strict = s.strict || q.upstream() && l.Full != DropOldest
	s.noteOver(q)
}

// defaultLimits returns the limits of a queue by its name. The inbox has none: a command is never dropped.
func (s *Store) defaultLimits(q *queue) Limits {
	switch {
	case q.upstream():
		return s.opts.UpstreamLimits
	case q.session():
		return s.opts.SessionLimits
	}
	return Limits{}
}

// slack is the part of a limit, one in so many, by which an upstream's queue may exceed it while its consumer is at work: what that one has in hand
// cannot be dropped, and it makes room itself. Only then are the newest refused.
const slack = 4

// reached reports whether the queue holds so many deliveries or bytes; 0 is no limit.
func (q *queue) reached(count uint64, bytes int64) bool {
	return count > 0 && q.depth >= count || bytes > 0 && q.size >= bytes
}

// batchShare is the part of a limit, one in so many, that is dropped, or refused, at once.
const batchShare = 16

// roomy reports whether the queue is far enough below its limits to be open again.
func (q *queue) roomy() bool {
	l := q.limits
	return (l.Count == 0 || q.depth <= l.Count-l.Count/batchShare) && (l.Bytes == 0 || q.size <= l.Bytes-l.Bytes/batchShare)
}

// holds reports whether the consumer is there and has deliveries that it has not acknowledged.
func (q *queue) holds() bool { return q.online && q.handed > q.acked }

// refuses reports whether a new record finds the queue closed, or somebody waiting at its door.
func (s *Store) refuses(q *queue) bool { return s.isShut(q) || q.holding > 0 }

// isShut reports whether the queue has no room.
func (s *Store) isShut(q *queue) bool {
	switch {
	case q.limits.Full == DropOldest:
		q.shut = q.upstream() && q.holds() && q.reached(q.limits.Count+q.limits.Count/slack, q.limits.Bytes+q.limits.Bytes/slack)
	case q.reached(q.limits.Count, q.limits.Bytes), q.upstream() && s.tight:
		q.shut = true
	case q.roomy():
		q.shut = false
	}
	return q.shut
}

// refuse drops the newest record before it gets a place in the queue. An upstream is told by a gap where it would have been.
func (s *Store) refuse(q *queue, rec *gateway.Record) {
	s.stats.Dropped++
	q.count(reasonFull, 1)
	if !q.upstream() || s.widenRefused(q, rec.Seq) {
		return
	}
	gap := s.gapRecord(rec.Seq, gateway.Gap{Queue: q.name, From: rec.Seq, To: rec.Seq, Count: 1, Reason: reasonFull})
	e := s.gapEntry(gap, live{queue: q, ref: gateway.Ref{Queue: q.id, QoS: 1}})
	e.refs[0].pos = q.push(e, 0)
	q.refused = notice{pos: e.refs[0].pos, rec: gap}
	s.append(e)
}

// gapEntry is a record of the store's own with one delivery.
func (s *Store) gapEntry(rec *gateway.Record, at live) *entry {
	e := &entry{rec: rec, left: 1, size: sizeOf(rec), cost: costOf(rec), came: s.now()}
	e.refs = append(e.one[:0], ref{queue: at.queue, pos: at.pos, Ref: at.ref})
	return e
}

// widenDelay is how long the disk may be behind with a gap that grows: it is not worth commits of its own.
const widenDelay = monotonic(time.Minute)

// widenRefused makes the gap at the end of the queue cover one record more, when nothing has come since and no consumer has seen it.
func (s *Store) widenRefused(q *queue, seq uint64) bool {
	n := &q.refused
	if n.rec == nil || n.pos != q.next-1 || n.pos <= q.acked || q.online && n.pos <= q.handed {
		return false
	}
	wider := *n.rec.Body.(*gateway.Gap)
	wider.To, wider.Count = seq, wider.Count+1
	n.rec = s.gapRecord(seq, wider)
	at := live{queue: q, pos: n.pos, ref: gateway.Ref{Queue: q.id, QoS: 1}}
	if sl := n.slot(q); sl != nil && sl.e.state == pending {
		sl.e.rec = n.rec
	} else if n.e != nil && n.e.state == pending {
		n.e.work = putGapAt(at, n.rec)
	} else {
		n.e = &entry{work: putGapAt(at, n.rec), came: s.now(), size: entryOverhead}
		n.e.due = n.e.came + widenDelay
		s.list.insert(n.e, nil)
		s.dueAt(n.e.due)
	}
	return true
}

// notice is a gap record that a queue has in memory until the disk has it for certain.
type notice struct {
	pos uint64
	rec *gateway.Record // nil: there is none
	e   *entry          // that brings it to disk, when it overlays a row
}

// slot returns the notice's place in memory, nil when memory has let go of it.
func (n *notice) slot(q *queue) *slot {
	if n.pos < q.tail || n.pos >= q.next {
		return nil
	}
	if sl := q.at(n.pos); sl.e != nil {
		return sl
	}
	return nil
}

// told returns what a consumer gets at pos: the gap that has taken the place of rec, if one has.
func (q *queue) told(pos uint64, rec *gateway.Record) *gateway.Record {
	for _, n := range []*notice{&q.lost, &q.refused} {
		if n.rec != nil && n.pos == pos {
			return n.rec
		}
	}
	return rec
}

// count notes that n records were dropped.
func (q *queue) count(reason string, n uint64) {
	if q.drops == nil {
		q.drops = map[string]uint64{}
	}
	q.drops[reason] += n
}

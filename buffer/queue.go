package buffer

import (
	"github.com/tidegate/tidegate/gateway"
)

// Positions take the low bits of a key, the queue's id the high ones: 8.8e12 positions for each of a million queues.
const (
	posBits  = 43
	posMask  = 1<<posBits - 1
	maxQueue = 1<<20 - 1
)

// key is the place of a delivery in the order of all.
func key(q gateway.QueueID, pos uint64) int64 { return int64(q)<<posBits | int64(pos&posMask) }

// keyPos is the position in a key.
func keyPos(k int64) uint64 { return uint64(k) & posMask }

// queue is what memory knows of one durable queue. Everything through acked is done. Positions from tail on are in slots: all that
// is not committed yet, and as much of what is as the cache allows. What lies between is on disk only; acknowledgements there that
// acked cannot pass yet are in done.
//
//	1 ......... acked | on disk ......... | slots: committed | slots: pending | next
//	                    done has holes      tail
type queue struct {
	id   gateway.QueueID
	name string

	acked, next uint64
	done        ranges
	depth       uint64 // deliveries not acknowledged

	tail  uint64
	slots []slot
	head  int // index in slots of the one at tail
	bytes int // of the records in slots

	size   int64  // about what the deliveries take on disk, or will
	inMem  uint64 // of these, deliveries in slots
	sizeIn int64  // and what they take

	limits  Limits
	shut    bool              // a limit is reached, and nothing new is taken until there is some room
	over    bool              // in the store's list of queues to be trimmed
	holding int               // changes that wait for room here
	drops   map[string]uint64 // dropped deliveries by reason
	logged  dropsTold
	lost    notice // the gap at the head
	refused notice // the gap at the end
	fresh   freshness
	orphan  orphan

	online  bool
	wake    func()
	starved bool   // the consumer has seen the end and waits for wake
	waking  bool   // wake will be called
	handed  uint64 // highest position that the consumer has read since it came
	taken   uint64 // deliveries that it has acknowledged, ever
	pace    pace
	inHand  uint64 // deliveries up to there that it has not acknowledged
	gated   bool   // it gets no more until it has acknowledged some
	cuts    cuts

	uncounted uncounted // on disk since before this start

	ahead     []gateway.Delivery // decoded from disk, not yet asked for
	aheadFrom uint64             // where the consumer stands who gets ahead
	boundary  uint64             // a segment on disk begins here

	ackedBefore uint64 // acked when the full buffer last looked for something to drop

	gap    *entry // the last gap record that was put in place of records which memory could not hold
	gapEnd uint64 // and the last position that it covers

	dropped  bool // the session is gone; the id may be given again once the disk knows
	inbox    bool
	received bool // there may be rows of received
	dirty    bool // in the store's list of queues whose cursor changes

	// What the disk holds. The writer sets these in settle.
	durableAcked, durableNext uint64
	lastRow                   uint64 // highest position that was ever written
	sweep                     uint64 // chunks that begin before it are deleted, or kept for others
}

// slot is a position in memory: the entry and which of its refs; nil when the position is done.
type slot struct {
	e     *entry
	index int32
}

func newQueue(id gateway.QueueID, name string, acked, next uint64) *queue {
	return &queue{
		id: id, name: name, acked: acked, next: next, tail: next, handed: acked,
		durableAcked: acked, durableNext: next, depth: next - 1 - acked, inbox: name == inboxName,
	}
}

func (q *queue) at(pos uint64) *slot { return &q.slots[q.head+int(pos-q.tail)] }

// push gives e, at its ref number index, the next position.
func (q *queue) push(e *entry, index int) (pos uint64) {
	if q.head > 64 && q.head > len(q.slots)/2 {
		q.compact()
	}
	q.slots = append(q.slots, slot{e, int32(index)})
	q.depth++
	q.next++
	q.size += int64(e.cost)
	q.filled(e)
	return q.next - 1
}

// filled notes that a slot has got e.
func (q *queue) filled(e *entry) {
	q.bytes += e.size
	q.inMem++
	q.sizeIn += int64(e.cost)
}

// emptied notes that a slot has lost e.
func (q *queue) emptied(e *entry) {
	q.bytes -= e.size
	q.inMem--
	q.sizeIn -= int64(e.cost)
}

func (q *queue) compact() {
	n := copy(q.slots, q.slots[q.head:])
	clear(q.slots[n:])
	q.slots, q.head = q.slots[:n], 0
	if n == 0 && cap(q.slots) > 4096 {
		q.slots = nil
	}
}

// clearSlot marks the position of a slot as done.
func (q *queue) clearSlot(sl *slot) {
	q.emptied(sl.e)
	q.size -= int64(sl.e.cost)
	*sl = slot{}
	q.depth--
}

// markDone notes that positions on disk are done, as far as that was not known.
func (q *queue) markDone(lo, hi uint64) {
	if lo = max(lo, q.acked+1); lo <= hi {
		n := q.done.add(lo, hi)
		if onDisk := q.depth - q.inMem; onDisk > 0 { // what each one takes is not known any more
			q.size -= int64(float64(q.size-q.sizeIn) * float64(n) / float64(onDisk))
		}
		q.depth -= n
	}
}

// skipTo notes that the positions from at up to pos have no row: they were elided, dropped, or acknowledged before a crash, so nobody
// will acknowledge them.
func (q *queue) skipTo(at, pos uint64) {
	if at < pos {
		q.markDone(at, pos-1)
	}
}

// advance moves acked over what is done without a break, and reports whether it moved.
func (q *queue) advance() bool {
	before := q.acked
	for {
		q.acked = q.done.follow(q.acked)
		for q.acked+1 >= q.tail && q.acked+1 < q.next && q.at(q.acked+1).e == nil {
			q.popSlot()
			q.acked = q.tail - 1
		}
		if len(q.done) == 0 || q.done[0].lo > q.acked+1 {
			break
		}
	}
	return q.acked != before
}

// popSlot takes the first slot out of memory.
func (q *queue) popSlot() {
	sl := q.at(q.tail)
	if sl.e != nil {
		q.emptied(sl.e)
	}
	*sl = slot{}
	q.head++
	q.tail++
	if q.tail == q.next {
		q.compact()
	}
}

// trim lets go of committed slots beyond the given bounds, the oldest first.
func (q *queue) trim(maxSlots, maxBytes int) {
	for q.tail < q.next && (int(q.next-q.tail) > maxSlots || q.bytes > maxBytes) {
		sl := q.at(q.tail)
		if sl.e != nil && sl.e.state != stored {
			return
		}
		if sl.e == nil {
			q.done.add(q.tail, q.tail)
		}
		q.popSlot()
	}
}

// oldest returns the first delivery that is not acknowledged when memory holds it. onDisk reports that there is one and it is not in
// memory.
func (q *queue) oldest() (e *entry, onDisk bool) {
	if q.depth == 0 {
		return nil, false
	}
	if q.acked+1 < q.tail {
		return nil, true
	}
	return q.at(q.acked + 1).e, false
}

// behind reports whether the consumer is away or does not keep up: something older than hold waits for its acknowledgement.
func (q *queue) behind(now, hold monotonic) bool {
	if !q.online {
		return true
	}
	e, onDisk := q.oldest()
	return onDisk || e != nil && e.came+hold < now
}

// readMemory fills buf with the deliveries in slots from position from on.
func (q *queue) readMemory(from uint64, buf []gateway.Delivery) int {
	n := 0
	for pos := from; pos < q.next && n < len(buf); pos++ {
		sl := q.at(pos)
		if sl.e == nil {
			continue
		}
		if !sl.e.visible() {
			break
		}
		buf[n] = gateway.Delivery{Ref: sl.e.refs[sl.index].Ref, Pos: pos, Record: q.told(pos, sl.e.rec)}
		n++
	}
	return n
}

// readAhead fills buf with what was decoded from disk earlier, if that continues at after.
func (q *queue) readAhead(after uint64, buf []gateway.Delivery) int {
	if len(q.ahead) == 0 || q.aheadFrom != after {
		return 0
	}
	n := 0
	for len(q.ahead) > 0 && n < len(buf) {
		d := q.ahead[0]
		q.ahead[0] = gateway.Delivery{}
		q.ahead = q.ahead[1:]
		if d.Pos > q.acked && !q.done.has(d.Pos) {
			d.Record = q.told(d.Pos, d.Record)
			buf[n] = d
			n++
		}
		q.aheadFrom = d.Pos
	}
	if len(q.ahead) == 0 {
		q.ahead = nil
	}
	return n
}

// cursorMoved reports whether the disk has to learn that more is acknowledged: there are rows to be freed.
func (q *queue) cursorMoved() bool { return q.acked > q.durableAcked && q.lastRow > q.durableAcked }

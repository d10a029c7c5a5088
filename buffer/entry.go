package buffer

import (
	"github.com/tidegate/tidegate/gateway"
)

// entryState is how far an entry is on its way to the disk.
type entryState uint8

const (
	pending entryState = iota // in the list, may still be elided
	writing                   // in the group that is being committed
	stored                    // committed
	gone                      // elided, dropped or rejected: nothing refers to it any more
)

// entry is one change on its way to the disk, and after its commit the record that consumers read from memory.
type entry struct {
	rec     *gateway.Record
	refs    []ref
	ops     []gateway.Op
	work    func(*applier) error // what a change of the store's own does in the transaction
	waiter                       // who waits for it
	left    int32                // refs not yet acknowledged
	barrier bool
	kept    bool // the store's kept has it
	common  bool // a change that was handed over, to which no queue holds on beside its slots
	state   entryState
	size    int       // about what rec takes in memory
	cost    int       // about what rec takes on disk, in each of its queues
	came    monotonic // when it was handed over
	due     monotonic // when it has to be committed; 0: at once
	one     [1]ref    // room for refs: most records have one consumer
	prev    *entry    // in the list of pending entries
	next    *entry
}

// ref is an entry's place in one queue.
type ref struct {
	queue *queue
	pos   uint64
	gateway.Ref
	acked bool
}

// retained returns the topic of the retained message that e alone changes, if kept has e.
func (e *entry) retained() string { return e.ops[0].(gateway.PutRetained).Message.Topic }

// elidable reports whether e need not be written once all consumers have acknowledged it.
func (e *entry) elidable() bool { return len(e.ops) == 0 && e.work == nil && !e.barrier }

// isGap reports whether e tells of records that are missing.
func (e *entry) isGap() bool {
	_, gap := e.rec.Body.(*gateway.Gap)
	return gap
}

// visible reports whether consumers may see e: what must be committed first is not shown before.
func (e *entry) visible() bool { return !e.barrier || e.state == stored }

// maxSpare bounds the entries that are kept to be used again: about as many as publishers with full windows have under way.
const maxSpare = 2048

// recycle keeps an elided entry for the next change: under load most of what would have to be collected are these. Nothing refers to it any
// more but, until the store's lock is given back, who has had it elided.
func (s *Store) recycle(e *entry) {
	if e.common && len(s.spare) < maxSpare {
		e.rec, e.refs = nil, nil
		s.spare = append(s.spare, e)
	}
}

// newEntry returns an entry for a change that is handed over. One that was used before has no operations, since else it would have been written,
// and what admit does not set is as it was in a new one.
func (s *Store) newEntry() *entry {
	n := len(s.spare)
	if n == 0 {
		return new(entry)
	}
	e := s.spare[n-1]
	s.spare[n-1] = nil
	s.spare = s.spare[:n-1]
	e.state = pending
	return e
}

// entryOverhead is about what an entry and its place in a queue take in memory beside the record.
const entryOverhead = 256

// sizeOf tells about how many bytes rec takes in memory.
func sizeOf(rec *gateway.Record) int {
	if rec == nil {
		return entryOverhead
	}
	switch b := rec.Body.(type) {
	case *gateway.Message:
		return entryOverhead + len(b.Topic) + len(b.Payload)
	case *gateway.Batch:
		return entryOverhead + len(b.Topic) + 96*len(b.Readings)
	default:
		return entryOverhead
	}
}

// Parts of costOf, from records as they are.
const (
	costRecord  = 28 // head, number, time, check sum, its part of the page
	costReading = 14
)

// costOf tells about how many bytes rec takes on disk.
func costOf(rec *gateway.Record) int {
	switch b := rec.Body.(type) {
	case *gateway.Message:
		return costRecord + len(b.Topic) + len(b.Payload)
	case *gateway.Batch:
		n := costRecord + len(b.Topic) + costReading*len(b.Readings)
		for _, name := range b.Names {
			n += len(name) + 1
		}
		return n
	default:
		return costRecord
	}
}

// entryList is the pending entries in the order in which they came. Linked, because most leave it from the middle, elided.
type entryList struct {
	head, tail *entry
	n          int
	bytes      int
}

// insert puts e before at, at the end when at is nil.
func (l *entryList) insert(e, at *entry) {
	e.next = at
	if at != nil {
		e.prev, at.prev = at.prev, e
	} else {
		e.prev, l.tail = l.tail, e
	}
	if e.prev != nil {
		e.prev.next = e
	} else {
		l.head = e
	}
	l.n++
	l.bytes += e.size
}

func (l *entryList) remove(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.head = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.tail = e.prev
	}
	e.prev, e.next = nil, nil
	l.n--
	l.bytes -= e.size
}

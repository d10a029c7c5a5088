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
	left    int // refs not yet acknowledged
	ops     []gateway.Op
	work    func(*applier) error // what a change of the store's own does in the transaction
	done    func(error)
	barrier bool
	state   entryState
	size    int       // about what rec takes in memory
	cost    int       // about what rec takes on disk, in each of its queues
	came    monotonic // when it was handed over
	due     monotonic // when it has to be committed; 0: at once
	one     [1]ref    // room for refs: most records have one consumer
	topic   string    // of the retained message that a later one may replace; "" when none may
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

// elidable reports whether e need not be written once all consumers have acknowledged it.
func (e *entry) elidable() bool { return len(e.ops) == 0 && e.work == nil && !e.barrier }

// isGap reports whether e tells of records that are missing.
func (e *entry) isGap() bool {
	_, gap := e.rec.Body.(*gateway.Gap)
	return gap
}

// visible reports whether consumers may see e: what must be committed first is not shown before.
func (e *entry) visible() bool { return !e.barrier || e.state == stored }

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

package localbroker

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// maxReady bounds the bytes of acknowledgements that wait for a client which does not read; beyond it, it is not read either.
const maxReady = 64 << 10

// When answers are held back, and for how long at most.
const (
	fewWaiting = 16 // with fewer under way none is
	maxHold    = time.Millisecond
	ackSize    = 4 // bytes of an answer, mostly
)

// slot keeps the place of an answer whose packet waits for the store.
type slot struct {
	waits int    // calls of done still to come
	data  []byte // the whole packet; nil: one of four bytes, from kind and id
	then  func() // called when the answer is ready, in the order of the answers; must not wait; may be nil
	id    uint16
	kind  packet.Type
	code  packet.ReasonCode // without data: of MQTT 5 alone
}

// owes reports whether the client may send one message more when the answer has left (MQTT 5, 4.9).
func (s *slot) owes() bool { return s.kind == packet.TypePuback || s.kind == packet.TypePubcomp }

// acks are the answers of one connection. They leave in the order in which the packets that they answer have arrived (MQTT 3.1.1,
// 4.6): an answer that need not wait does wait for those before it. mu is a leaf lock: the store's callbacks take it, so it is never held
// while the store is called.
type acks struct {
	mu      sync.Mutex
	ring    []slot // length a power of two
	head, n int
	first   uint64       // number of the slot at the head
	waiting atomic.Int32 // n, for the reader to look at without the lock
	owed    atomic.Int32 // of these, answers that give the client's quota back
	ready   []byte       // encoded answers that may leave
	open    atomic.Bool  // CONNACK is among them: other packets may follow it

	held  bool        // what is ready waits for more
	later *time.Timer // ends that

	blocked bool          // the reader waits for room
	room    chan struct{} // tells it; capacity 1
}

func (a *acks) at(i int) *slot { return &a.ring[(a.head+i)&(len(a.ring)-1)] }

// push keeps places for answers behind all others and returns the number of the first for complete. early holds the answers that were given
// before them and had not to wait; it is taken over.
func (a *acks) push(early []byte, slots ...slot) (first uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ready = append(a.ready, early...)
	first = a.first + uint64(a.n)
	owed := int32(0)
	for i := range slots {
		if a.n == len(a.ring) {
			a.grow()
		}
		a.n++
		*a.at(a.n - 1) = slots[i]
		if slots[i].owes() {
			owed++
		}
	}
	a.owed.Add(owed)
	a.release()
	a.waiting.Store(int32(a.n))
	return first
}

func (a *acks) grow() {
	ring := make([]slot, max(1, 2*len(a.ring)))
	for i := range a.n {
		ring[i] = *a.at(i)
	}
	a.ring, a.head = ring, 0
}

// urgency is when answers that have become ready are to be written.
type urgency uint8

const (
	notYet urgency = iota // there are none, or somebody was told before
	soon
	atOnce
)

// complete takes one wait off slots, by their numbers. A few answers of many that are under way are held back for a moment, until there are as many as
// still wait: one write takes them all, and a client that follows each with its next message does so with many at once.
func (a *acks) complete(numbers ...uint64) urgency {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, number := range numbers {
		a.at(int(number-a.first)).waits--
	}
	before := len(a.ready)
	a.release()
	a.waiting.Store(int32(a.n))
	switch {
	case len(a.ready) == before:
		return notYet
	case a.n < fewWaiting || len(a.ready) >= ackSize*a.n:
		return atOnce
	case a.held:
		return notYet
	}
	a.held = true
	return soon
}

// hold has wake called if nobody takes the answers meanwhile.
func (a *acks) hold(wake func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.later != nil {
		a.later.Reset(maxHold)
		return
	}
	a.later = time.AfterFunc(maxHold, func() {
		if a.isHeld() {
			wake()
		}
	})
}

func (a *acks) isHeld() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held
}

// release encodes the answers at the head that wait for nothing any more.
func (a *acks) release() {
	for a.n > 0 && a.at(0).waits == 0 {
		s := a.at(0)
		if s.data != nil {
			a.ready = append(a.ready, s.data...)
		} else {
			a.ready = packet.AppendAckCode(a.ready, s.kind, s.id, s.code)
		}
		if s.owes() {
			a.owed.Add(-1)
		}
		if s.kind == packet.TypeConnack {
			a.open.Store(true)
		}
		if s.then != nil {
			s.then()
		}
		*s = slot{}
		a.head = (a.head + 1) & (len(a.ring) - 1)
		a.first++
		a.n--
	}
	a.tell()
}

// add makes answers ready that wait for nothing, with nothing waiting before them.
func (a *acks) add(early []byte) {
	a.mu.Lock()
	a.ready = append(a.ready, early...)
	a.mu.Unlock()
}

// take appends what is ready to dst.
func (a *acks) take(dst []byte) []byte {
	a.mu.Lock()
	dst = append(dst, a.ready...)
	a.ready, a.held = a.ready[:0], false
	if cap(a.ready) > maxReady/8 {
		a.ready = nil
	}
	a.tell()
	a.mu.Unlock()
	return dst
}

func (a *acks) tell() {
	if a.blocked {
		a.blocked = false
		a.room <- struct{}{} // never full: blocked is set by one reader, which takes it
	}
}

// crowded reports whether there is no room for another answer, and if so promises to tell room when there may be.
func (a *acks) crowded(limit int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	full := a.n >= limit || len(a.ready) >= maxReady
	if full && a.room == nil {
		a.room = make(chan struct{}, 1)
	}
	a.blocked = full
	return full
}

// full reports whether there is no room for another answer.
func (a *acks) full(limit int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n >= limit || len(a.ready) >= maxReady
}

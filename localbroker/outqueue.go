package localbroker

import "github.com/tidegate/tidegate/gateway"

// item is a message that waits in memory for one connection.
type item struct {
	msg    *message // nil: was dropped while it waited
	to     *target  // by which subscriptions, where that matters: identifiers or a share; else nil
	qos    gateway.QoS
	retain bool // the flag of delivery
	replay bool // is held as a retained message anyway
}

// cost is what the item counts against the limits. The message of a replay is held as a retained message anyway.
func (it *item) cost() int {
	if it.replay {
		return itemSize
	}
	return cost(&it.msg.Message)
}

// itemSize is about what an item itself takes.
const itemSize = 32

// outqueue is what waits in memory for one connection, in the order of publishing. When it is full, QoS 0 goes first: a QoS 0 message
// that arrives is dropped, one of QoS 1 or 2 takes the place of the oldest QoS 0 that waits, and is dropped when there is none.
type outqueue struct {
	ring  []item // length a power of two
	head  int
	n     int // places in use, dropped ones included
	live  int // messages
	bytes int
	firm  int // so many at the head are known not to be of QoS 0

	memory *memory // that all queues share; nil: it is not counted
	due    int     // bytes by which that is yet to change
}

func (q *outqueue) at(i int) *item { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

// push adds it and returns how many messages were dropped for that, it included.
func (q *outqueue) push(it item, maxItems, maxBytes int) (dropped int) {
	size := it.cost()
	for q.live > 0 && (q.live >= maxItems || q.bytes+size > maxBytes) {
		if it.qos == 0 || !q.evict() {
			return dropped + 1
		}
		dropped++
	}
	if q.n == len(q.ring) {
		q.grow()
	}
	q.n++
	*q.at(q.n - 1) = it
	q.live++
	q.bytes += size
	q.hold(&it)
	return dropped
}

// grow makes room at the end, by closing the holes of dropped messages if there are many.
func (q *outqueue) grow() {
	size := max(16, len(q.ring))
	if q.live > size/2 {
		size *= 2
	}
	ring := make([]item, 0, size)
	for i := range q.n {
		if it := q.at(i); it.msg != nil {
			ring = append(ring, *it)
		}
	}
	q.ring, q.head, q.n, q.firm = ring[:size], 0, len(ring), 0
}

// evict drops the oldest QoS 0 message. firm makes the search for it cheap over many calls.
func (q *outqueue) evict() bool {
	for ; q.firm < q.n; q.firm++ {
		if it := q.at(q.firm); it.msg != nil && it.qos == 0 {
			q.live--
			q.bytes -= it.cost()
			q.letGo(it)
			*it = item{}
			return true
		}
	}
	return false
}

// peek returns the message at the head.
func (q *outqueue) peek() (item, bool) {
	for q.n > 0 && q.at(0).msg == nil {
		q.step()
	}
	if q.n == 0 {
		return item{}, false
	}
	return *q.at(0), true
}

// pop removes what peek has returned. A queue that ran empty gives its memory back: most connections are idle most of the time.
func (q *outqueue) pop() {
	q.live--
	q.bytes -= q.at(0).cost()
	q.letGo(q.at(0))
	q.step()
	if q.n == 0 && len(q.ring) > 256 {
		q.ring, q.head, q.firm = nil, 0, 0
	}
}

func (q *outqueue) step() {
	*q.at(0) = item{}
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	q.firm = max(0, q.firm-1)
}

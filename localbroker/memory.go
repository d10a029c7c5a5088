package localbroker

import "sync/atomic"

// grain is up to how many bytes a queue takes or gives back until it says so: not each message is worth a word to all.
const grain = 4 << 10

// memory is what waits in memory for all connections together, and how much that may be. A message that waits for several is counted once. The
// first half may be used by who needs it. Once it is full, a queue gets no longer than an equal part of the second half: those who are slow
// lose messages then, and those who keep up notice nothing.
type memory struct {
	max   int64
	held  atomic.Int64
	conns atomic.Int64
}

// limit returns how many bytes may wait for one connection, if most may when there is enough for all. That is so until a part of
// the memory is in use: half of it, or a quarter for those who can wait before somebody must lose messages.
func (m *memory) limit(most int, part int64) int {
	if m.held.Load() <= m.max/part {
		return most
	}
	return int(min(int64(most), m.max/2/max(1, m.conns.Load())))
}

// account notes that the queue holds so many bytes more, or less.
func (q *outqueue) account(bytes int) {
	if q.memory == nil {
		return
	}
	if q.due += bytes; q.due >= grain || q.due <= -grain {
		q.settle()
	}
}

func (q *outqueue) settle() {
	q.memory.held.Add(int64(q.due))
	q.due = 0
}

// hold counts an item that is put into the queue. Of a message that several receive, the first counts it and the last to let go takes it off.
func (q *outqueue) hold(it *item) {
	switch {
	case q.memory == nil:
	case it.replay || it.msg.shared && it.msg.holders.Add(1) > 1:
		q.account(itemSize)
	default:
		q.account(itemSize + cost(&it.msg.Message))
	}
}

// letGo counts an item that leaves the queue.
func (q *outqueue) letGo(it *item) {
	switch {
	case q.memory == nil:
	case it.replay || it.msg.shared && it.msg.holders.Add(-1) > 0:
		q.account(-itemSize)
	default:
		q.account(-itemSize - cost(&it.msg.Message))
	}
}

// end drops what waits.
func (q *outqueue) end() {
	if q.memory != nil {
		for i := range q.n {
			if it := q.at(i); it.msg != nil {
				q.letGo(it)
			}
		}
		q.settle()
	}
	*q = outqueue{}
}

package buffer

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tidegate/tidegate/gateway"
)

// savedRecord is a record of a damaged file with its places there.
type savedRecord struct {
	seq   uint64
	rec   *gateway.Record // nil: its check sum is wrong
	body  []byte
	err   error
	gap   bool // from the table gap: it replaces what a chunk has in this place
	items []item
}

// records decodes a chunk: its records in order.
func (v *salvage) records(r row) []savedRecord {
	body := r.columns[len(r.columns)-1].value
	queues, err := chunkQueues(body)
	if err != nil {
		return nil
	}
	at := map[*byte]int{} // a record's body tells it from the others
	var list []savedRecord
	for _, q := range queues {
		items, _ := decodeChunk(body, q, nil)
		for _, it := range items {
			if len(it.body) == 0 {
				continue
			}
			i, known := at[&it.body[0]]
			if !known {
				i = len(list)
				at[&it.body[0]] = i
				list = append(list, savedRecord{body: it.body, gap: r.kind == rowGap})
				list[i].parse(&it)
			}
			list[i].items = append(list[i].items, it)
		}
	}
	return inOrder(list)
}

// gapOf returns the gap that a record is. It goes to one queue alone, and names it.
func (r *savedRecord) gapOf() (gap *gateway.Gap, ok bool) {
	if r.rec != nil {
		gap, ok = r.rec.Body.(*gateway.Gap)
	}
	return gap, ok && len(r.items) == 1
}

func (r *savedRecord) parse(it *item) {
	if r.rec, r.err = it.record(); r.err == nil {
		r.seq = r.rec.Seq
	}
}

// inOrder sorts the records of a chunk by seq. What cannot be read goes with the one behind it, at the end with the one before it; where no
// record can be read it goes first of all.
func inOrder(list []savedRecord) []savedRecord {
	near := uint64(1)
	for i := range list {
		if list[i].err == nil {
			near = list[i].seq
		}
	}
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].err != nil {
			list[i].seq = near
		}
		near = list[i].seq
	}
	slices.SortStableFunc(list, func(a, b savedRecord) int { return cmp.Compare(a.seq, b.seq) })
	return list
}

// savedHeap gives the record with the lowest seq first.
type savedHeap []savedRecord

func (h savedHeap) Len() int           { return len(h) }
func (h savedHeap) Less(i, j int) bool { return h[i].seq < h[j].seq }
func (h savedHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *savedHeap) Push(x any)        { *h = append(*h, x.(savedRecord)) }
func (h *savedHeap) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = savedRecord{}
	*h = (*h)[:len(*h)-1]
	return last
}

// placed is a record with the queues of this file that it goes to.
type placed struct {
	rec *gateway.Record
	to  []gateway.Ref
	in  bool // a command
}

// deadLetter is a record that no queue can get.
type deadLetter struct {
	queue, reason string
	pos           uint64
	body          []byte
}

// batch is what one commit saves.
type batch struct {
	records []placed
	dead    []deadLetter
	bytes   int
}

func (b *batch) add(records []placed, dead []deadLetter) {
	b.records, b.dead = append(b.records, records...), append(b.dead, dead...)
	for i := range records {
		b.bytes += sizeOf(records[i].rec)
	}
	for i := range dead {
		b.bytes += len(dead[i].body)
	}
}

func (b *batch) full() bool {
	return len(b.records)+len(b.dead) >= salvageRecords || b.bytes >= salvageBytes
}

// place finds the queues of records that have one seq. In each queue a gap counts more than what it has replaced.
func (v *salvage) place(same []savedRecord) (records []placed, dead []deadLetter) {
	slices.SortStableFunc(same, func(a, b savedRecord) int { return cmp.Compare(rank(a), rank(b)) })
	type place struct {
		queue gateway.QueueID
		pos   uint64
	}
	taken := map[place]bool{}
	for _, r := range same {
		p := placed{rec: r.rec}
		for _, it := range r.items {
			at := place{it.ref.Queue, it.pos}
			t := v.target(it.ref.Queue)
			if taken[at] || t == nil || it.pos <= t.acked || t.inbox && v.state.states[it.pos] == commandFinished {
				continue
			}
			taken[at] = true
			switch {
			case r.err != nil:
				v.lost++
				dead = append(dead, deadLetter{t.name, r.err.Error(), it.pos, r.body})
			case t.id == 0:
				v.lost++
				dead = append(dead, deadLetter{t.name, "its queue is not known any more", it.pos, r.body})
			default:
				ref := it.ref
				ref.Queue = t.id
				p.to, p.in = append(p.to, ref), p.in || t.inbox
			}
		}
		if len(p.to) > 0 {
			records = append(records, p)
		}
	}
	return records, dead
}

// rank puts gaps first, and what cannot be read last.
func rank(r savedRecord) int {
	switch {
	case r.err != nil:
		return 2
	case r.gap:
		return 0
	}
	return 1
}

// target returns where records of a queue of the damaged file go, nil when nobody wants them: its session was dropped.
func (v *salvage) target(id gateway.QueueID) *target {
	if t, known := v.queues[id]; known {
		return t
	}
	var t *target
	q, known := v.state.queues[id]
	switch {
	case known:
		t = &target{id: v.open(q.name), name: q.name, acked: q.acked, inbox: q.name == inboxName}
	case !v.state.dropped[id]:
		t = &target{name: fmt.Sprintf("queue %d", id)}
	}
	v.queues[id] = t
	return t
}

// open returns the queue of that name in this file. A session's is there if the session is.
func (v *salvage) open(name string) gateway.QueueID {
	s := v.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.names[name]; q != nil {
		return q.id
	}
	if q := (&queue{name: name}); q.upstream() || name == inboxName {
		return s.queueNamed(name).id
	}
	return 0
}

package buffer

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

// rowKind is the table that a row is from. Pages do not say it, but no two tables have rows of the same shape, or what differs is looked at
// when the row is taken. A later schema may add columns at the end.
type rowKind byte

const (
	rowUnknown rowKind = iota
	rowMeta            // or epoch, or an entry of an index: text and a number or text
	rowQueue
	rowChunk
	rowGap
	rowSession
	rowSubscription
	rowInbound // or received
	rowMessage // retained or will
	rowCommandState
	rowCommand
	rowDead
)

// shapes are how the rows of each table begin. n is null, where the key of the row stands elsewhere or there is no value; i a number; t text;
// b a blob; lower case is what must be, N, T and B may be null instead.
var shapes = [...]struct {
	shape string
	kind  rowKind
}{
	{"ntiitb", rowDead},
	{"nttiI", rowSession},
	{"niiBb", rowChunk},
	{"itiiiii", rowSubscription},
	{"ntbi", rowCommand},
	{"nTii", rowQueue},
	{"nb", rowGap},
	{"tb", rowMessage},
	{"ni", rowCommandState},
	{"ti", rowMeta},
	{"tt", rowMeta},
	{"n", rowInbound},
}

// kindOf recognises a row by its columns.
func kindOf(columns []column) rowKind {
	for _, s := range shapes {
		if len(columns) >= len(s.shape) && fits(columns, s.shape) {
			return s.kind
		}
	}
	return rowUnknown
}

func fits(columns []column, shape string) bool {
	for i := range len(shape) {
		c := shape[i]
		if orNull := c < 'a'; orNull && columns[i].kind == isNull {
			continue
		}
		if columns[i].kind != map[byte]columnKind{'n': isNull, 'i': isNumber, 't': isText, 'b': isBlob}[c|0x20] {
			return false
		}
	}
	return true
}

// row is a row that was found in a page.
type row struct {
	kind    rowKind
	key     int64 // its rowid
	columns []column
}

func (r *row) text(i int) string { return string(r.columns[i].value) }

// own gives the row a copy of its values, which stand in a page that is read over.
func (r *row) own() {
	for i := range r.columns {
		r.columns[i].value = bytes.Clone(r.columns[i].value)
	}
}

// eachRow calls fn with the rows of the kinds that want says yes to, page by page, until ctx ends. It reports whether it came to the end.
func (p *pageFile) eachRow(ctx context.Context, want func(rowKind) bool, fn func(row)) (complete bool) {
	page, scratch := p.page(), p.page()
	for n := uint32(1); n <= p.count; n++ {
		if ctx.Err() != nil {
			return false
		}
		if !p.read(n, page) || p.free(n, scratch) {
			continue
		}
		for _, c := range cells(n, page) {
			if r, ok := p.row(c, want); ok {
				fn(r)
			}
		}
	}
	return true
}

// row reads a row of a kind that is wanted.
func (p *pageFile) row(c cell, want func(rowKind) bool) (r row, ok bool) {
	columns, values := columnsOf(c.local) // the head is never in the overflow: it is short
	if r.kind = kindOf(columns); r.kind == rowUnknown || !want(r.kind) || !adds(columns, c.size-uint64(len(c.local)-len(values))) {
		return r, false
	}
	record := p.record(c)
	if record == nil {
		return r, false
	}
	columns, values = columnsOf(record)
	r.key, r.columns = c.rowid, columns
	return r, fill(columns, values)
}

// adds reports whether the columns take so many bytes.
func adds(columns []column, size uint64) bool {
	for _, c := range columns {
		if uint64(c.size) > size {
			return false
		}
		size -= uint64(c.size)
	}
	return size == 0
}

// broken is what of a damaged file is saved at once: all but the records of queues.
type broken struct {
	queues        map[gateway.QueueID]brokenQueue
	dropped       map[gateway.QueueID]bool // queues without a name: their sessions are gone
	hints         map[gateway.QueueID]string
	sessions      map[gateway.QueueID]row
	subscriptions map[subscriptionKey]row
	inbound       map[int64]bool
	commands      []row
	states        map[uint64]int64 // how far the commands in the inbox are, by position
	retained      map[string][]byte
	wills         map[string]brokenWill
	dead          []row
	epoch         uint64 // the highest that was found
	wear          map[string]int64
	ours          bool // something was found that nobody else writes
	complete      bool // all of the file was looked at
}

type brokenQueue struct {
	name        string
	acked, next uint64
}

// brokenWill is a row of the table of wills.
type brokenWill struct {
	body  []byte
	delay int64
	due   any
	user  string
}

type subscriptionKey struct {
	queue  gateway.QueueID
	filter string
}

// stateTime bounds how long the start waits for the state of a damaged file. What is not found by then is lost.
const stateTime = 10 * time.Second

func newBroken() *broken {
	return &broken{
		queues: map[gateway.QueueID]brokenQueue{}, dropped: map[gateway.QueueID]bool{}, hints: map[gateway.QueueID]string{}, sessions: map[gateway.QueueID]row{},
		subscriptions: map[subscriptionKey]row{}, inbound: map[int64]bool{}, states: map[uint64]int64{},
		retained: map[string][]byte{}, wills: map[string]brokenWill{},
		wear: map[string]int64{},
	}
}

// readBroken reads the state that a damaged file holds.
func (p *pageFile) readBroken(ctx context.Context) *broken {
	b := newBroken()
	b.complete = p.eachRow(ctx, func(k rowKind) bool { return k != rowChunk && k != rowGap }, b.take)
	b.nameQueues()
	return b
}

// nameQueues names the queues whose own row is lost, as far as something else tells their names. How far they were acknowledged is not
// known: what was delivered may come again.
func (b *broken) nameQueues() {
	for id, s := range b.sessions {
		b.hints[id] = sessionPrefix + s.text(1)
	}
	for id, name := range b.hints {
		if _, known := b.queues[id]; !known {
			b.queues[id] = brokenQueue{name: name, next: 1}
		}
	}
}

// take keeps a row. Of two copies of a queue's row, one of which a b-tree has left behind, the one that knows more counts.
func (b *broken) take(r row) {
	switch id := gateway.QueueID(r.key); r.kind {
	case rowChunk, rowGap:
		_, err := chunkQueues(r.columns[len(r.columns)-1].value)
		b.ours = b.ours || err == nil
	case rowMeta:
		b.takeMeta(r)
	case rowQueue:
		b.takeQueue(r)
	case rowSession:
		r.own()
		b.sessions[id] = r
	case rowSubscription:
		r.own()
		b.subscriptions[subscriptionKey{gateway.QueueID(r.columns[0].n), r.text(1)}] = r
	case rowInbound:
		if r.key < 1<<posBits { // beyond are rows of received, whose positions are void
			b.inbound[r.key] = true
		}
	case rowMessage:
		b.takeMessage(r)
	case rowCommandState:
		b.states[uint64(r.key)] = max(b.states[uint64(r.key)], r.columns[1].n)
	case rowCommand:
		r.own()
		b.commands = append(b.commands, r)
	case rowDead:
		r.own()
		b.dead = append(b.dead, r)
	}
}

func (b *broken) takeQueue(r row) {
	id, old := gateway.QueueID(r.key), b.queues[gateway.QueueID(r.key)]
	q := brokenQueue{r.text(1), uint64(r.columns[2].n), uint64(r.columns[3].n)}
	switch {
	case r.key <= 0 || r.key > maxQueue || q.next <= q.acked || q.next > posMask:
	case q.name == "":
		b.dropped[id] = true
	case q.next >= old.next:
		q.acked = max(q.acked, old.acked)
		b.queues[id] = q
	}
}

// maxEpoch is more than any epoch can be, in seconds and in connections.
const maxEpoch = 1 << 33

// takeMeta looks at a row of meta, of epoch or of an index, which cannot be told apart. Only the largest number matters: no epoch may be
// lower than one before.
func (b *broken) takeMeta(r row) {
	switch r.text(0) {
	case metaStore, metaMark, metaBase:
		b.ours = true
	case metaWearBytes, metaWearSyncs, metaWearSince:
		b.wear[r.text(0)] = max(b.wear[r.text(0)], r.columns[1].n)
	default:
		n := r.columns[1].n
		if r.columns[1].kind != isNumber || n <= 0 || n >= maxEpoch {
			return
		}
		b.epoch = max(b.epoch, uint64(n))
		b.hint(gateway.QueueID(min(n, maxQueue)), r.text(0))
	}
}

// hint notes the name that a queue seems to have, for when its own row is lost: the index of names has it too.
func (b *broken) hint(id gateway.QueueID, name string) {
	if (&queue{name: name}).upstream() || strings.HasPrefix(name, sessionPrefix) || name == inboxName {
		b.hints[id] = name
	}
}

// takeMessage keeps a retained message, which is stored by its topic, or a will, which is not. From schema 2 on wills have two columns
// more, and from schema 3 on the user, but for those that were there before.
func (b *broken) takeMessage(r row) {
	name, body := r.text(0), r.columns[1].value
	rec, err := payload.ParseRecord(body)
	if err != nil {
		return
	}
	m, ok := rec.Body.(*gateway.Message)
	switch {
	case !ok:
	case len(r.columns) >= 4 && r.columns[2].kind == isNumber:
		w := brokenWill{body: bytes.Clone(body), delay: r.columns[2].n}
		if r.columns[3].kind == isNumber {
			w.due = r.columns[3].n
		}
		if len(r.columns) >= 5 {
			w.user = r.text(4)
		}
		b.wills[name] = w
	case m.Topic == name:
		b.retained[name] = bytes.Clone(body)
	default:
		b.wills[name] = brokenWill{body: bytes.Clone(body)}
	}
}

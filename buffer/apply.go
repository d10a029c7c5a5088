package buffer

import (
	"database/sql"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// Bounds of a segment: what a consumer has to decode to read any of it, and what stays on disk for a single reference.
const (
	segmentRecords = 256
	segmentBytes   = 32 << 10
)

// sweepChunks bounds what one commit deletes of a queue, so that a long backlog which is dropped does not stop the others for long.
const sweepChunks = 2000

// deadRows bounds what is set aside: nobody empties it.
const deadRows = 10000

// cursor is what a queue's acknowledgements change on disk.
type cursor struct {
	queue       *queue
	id          gateway.QueueID
	acked, next uint64
	sweep       uint64 // where to begin to delete; when done, where to begin the next time
	more        bool   // there is more to delete
	later       bool   // nothing is deleted yet
	received    bool
	inbox       bool
	cuts        ranges
	fresh       []span // what is new in cuts
	recut       bool   // the disk has other cuts
}

// applier carries a group out on the writing connection. Only the writer uses it.
type applier struct {
	*conn
	now      func() time.Time
	sweeping int                        // chunks and refs that one commit may delete for a queue
	acked    map[gateway.QueueID]uint64 // as it is on disk once the transaction commits; of all queues, named or not
	cuts     map[gateway.QueueID]ranges // the same
	builders []*chunkBuilder            // of the segment; those from used on wait for use
	used     int
	begins   map[gateway.QueueID]uint64 // where the segment begins in each queue
	records  int
	bytes    int
	chunk    []byte
}

// apply writes g. What is deleted comes first, so that its pages can be used again at once.
func (a *applier) apply(g *group) error {
	for i := range g.cursors {
		c := &g.cursors[i]
		a.acked[c.id], a.cuts[c.id] = c.acked, c.cuts
	}
	for i := range g.cursors {
		if err := a.moveCursor(&g.cursors[i]); err != nil {
			return fmt.Errorf("acknowledge: %w", err)
		}
	}
	for i := range g.entries {
		if err := a.applyOps(g.entries[i].e); err != nil {
			return err
		}
	}
	if err := a.insert(g); err != nil {
		return fmt.Errorf("insert records: %w", err)
	}
	if g.wear != nil {
		if err := g.wear(a); err != nil {
			return err
		}
	}
	if g.seen != nil {
		if err := a.putMeta(metaSeen, *g.seen); err != nil {
			return err
		}
	}
	return a.putMark(g)
}

func (a *applier) applyOps(e *entry) error {
	for _, op := range e.ops {
		if err := a.applyOp(op); err != nil {
			return fmt.Errorf("apply %T: %w", op, err)
		}
	}
	if e.work != nil {
		return e.work(a)
	}
	return nil
}

// insert writes the records of g, segment by segment.
func (a *applier) insert(g *group) error {
	for i := range g.entries {
		it := &g.entries[i]
		refs := g.live[it.from:it.to]
		if len(refs) == 0 {
			continue
		}
		b := a.builder(refs)
		before := len(b.bodies)
		b.add(refs, it.e.rec)
		a.bytes += len(b.bodies) - before
		if a.records++; a.records >= segmentRecords || a.bytes >= segmentBytes {
			if err := a.flush(); err != nil {
				return err
			}
		}
	}
	return a.flush()
}

// builder returns the segment's chunk for these references, a new one when there is none.
func (a *applier) builder(refs []live) *chunkBuilder {
	for i := a.used - 1; i >= 0; i-- {
		if a.builders[i].fits(refs) {
			return a.builders[i]
		}
	}
	if a.used == len(a.builders) {
		a.builders = append(a.builders, &chunkBuilder{})
	}
	b := a.builders[a.used]
	a.used++
	b.reset(refs)
	for i, q := range b.queues {
		if _, known := a.begins[q]; !known {
			a.begins[q] = b.first[i]
		}
	}
	return b
}

// flush writes the chunks of the segment.
func (a *applier) flush() error {
	for _, b := range a.builders[:a.used] {
		if err := a.putChunk(b); err != nil {
			return err
		}
		b.shrink()
	}
	clear(a.begins)
	a.used, a.records, a.bytes = 0, 0, 0
	return nil
}

// putChunk writes a chunk and its refs. They replace what has their keys: a commit that has failed at its sync may turn out to be there
// after all when the log is read again, and is repeated all the same.
func (a *applier) putChunk(b *chunkBuilder) error {
	a.chunk = b.append(a.chunk[:0])
	home := key(b.queues[0], b.first[0])
	err := a.exec(`INSERT OR REPLACE INTO chunk(key, span, back, refs, body) VALUES(?, ?, ?, ?, ?)`,
		home, b.last[0]-b.first[0], b.first[0]-a.begins[b.queues[0]], b.refs(), a.chunk)
	for i := 1; i < len(b.queues) && err == nil; i++ {
		err = a.exec(`INSERT OR REPLACE INTO ref(key, span, back, chunk) VALUES(?, ?, ?, ?)`,
			key(b.queues[i], b.first[i]), b.last[i]-b.first[i], b.first[i]-a.begins[b.queues[i]], home)
	}
	return err
}

// moveCursor stores how far a queue is acknowledged and deletes what nobody waits for any more.
func (a *applier) moveCursor(c *cursor) error {
	if !c.later {
		if err := a.sweep(c); err != nil {
			return err
		}
	}
	if err := a.cut(c); err != nil {
		return err
	}
	if c.received {
		if err := a.exec(`DELETE FROM received WHERE key BETWEEN ? AND ?`, key(c.id, 0), key(c.id, c.acked)); err != nil {
			return err
		}
	}
	if c.inbox {
		if err := a.exec(`DELETE FROM command_state WHERE pos <= ?`, c.acked); err != nil {
			return err
		}
	}
	if err := a.exec(`DELETE FROM gap WHERE key BETWEEN ? AND ?`, key(c.id, 0), key(c.id, c.acked)); err != nil {
		return err
	}
	// A queue whose limits drop what was never written has a cursor before it has a row: its name comes with its own change.
	return a.exec(`INSERT INTO queue(id, acked, next) VALUES(?, ?, ?) ON CONFLICT(id) DO UPDATE SET acked = excluded.acked, next = excluded.next`,
		c.id, c.acked, c.next)
}

// place is a row of chunk or ref.
type place struct {
	key, span int64
	chunk     int64
	refs      []byte
}

// sweep deletes the chunks that begin in c's queue between its sweep and its acked position, and its refs to others, as far as all
// their consumers are through with them. It leaves alone those that end later.
func (a *applier) sweep(c *cursor) error {
	own, others, next, more, err := a.batch(c.id, c.sweep, c.acked)
	if err != nil {
		return err
	}
	c.more = c.more || more
	for _, p := range own {
		if keyPos(p.key)+uint64(p.span) > c.acked {
			next = min(next, keyPos(p.key))
		} else if err := a.free(p.key, p.refs); err != nil {
			return err
		}
	}
	for _, p := range others {
		if keyPos(p.key)+uint64(p.span) > c.acked {
			next = min(next, keyPos(p.key))
		} else if err := a.freeRef(p); err != nil {
			return err
		}
	}
	c.sweep = next
	return nil
}

// batch returns the first chunks that begin in a part of a queue, and its first refs to others there, as many as one commit may delete of each.
// next is behind what was looked through, more whether that is not all of the part.
func (a *applier) batch(q gateway.QueueID, lo, hi uint64) (own, others []place, next uint64, more bool, err error) {
	from, to := key(q, lo), key(q, hi)
	if own, err = a.places(`SELECT key, span, key, refs FROM chunk WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?`, from, to); err != nil {
		return nil, nil, 0, false, err
	}
	if others, err = a.places(`SELECT key, span, chunk, NULL FROM ref WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?`, from, to); err != nil {
		return nil, nil, 0, false, err
	}
	next = hi + 1
	for _, list := range [][]place{own, others} {
		if len(list) == a.sweeping {
			next, more = min(next, keyPos(list[len(list)-1].key)+1), true
		}
	}
	return own, others, next, more, nil
}

func (a *applier) places(query string, from, to int64) ([]place, error) {
	var list []place
	err := a.each(func(rows *sql.Rows) error {
		var p place
		err := rows.Scan(&p.key, &p.span, &p.chunk, &p.refs)
		list = append(list, p)
		return err
	}, query, from, to, a.sweeping)
	return list, err
}

// free deletes a chunk unless one of its queues still waits for it.
func (a *applier) free(key int64, refs []byte) error {
	if refs != nil {
		all, err := allThrough(refs, func(q gateway.QueueID, last uint64) (bool, error) { return a.through(key, q, last) })
		if err != nil || !all {
			return err
		}
	}
	return a.exec(`DELETE FROM chunk WHERE key = ?`, key)
}

func (a *applier) freeRef(p place) error {
	if err := a.exec(`DELETE FROM ref WHERE key = ?`, p.key); err != nil {
		return err
	}
	var refs []byte
	found := false
	err := a.each(func(rows *sql.Rows) error {
		found = true
		return rows.Scan(&refs)
	}, `SELECT refs FROM chunk WHERE key = ?`, p.chunk)
	if err != nil || !found {
		return err
	}
	return a.free(p.chunk, refs)
}

// putMark reserves sequence numbers. At a stop in order it stores the exact next one instead.
func (a *applier) putMark(g *group) error {
	if g.mark == 0 {
		return nil
	}
	for _, m := range []struct {
		key   string
		value uint64
	}{{metaMark, g.mark}, {metaBase, g.base}, {metaClean, g.clean}} {
		if err := a.putMeta(m.key, m.value); err != nil {
			return err
		}
	}
	return nil
}

// putQueue gives a row of queue a name, a new one or one whose session was dropped.
func (a *applier) putQueue(id gateway.QueueID, name string, acked, next uint64) error {
	a.acked[id] = max(a.acked[id], acked)
	return a.exec(`INSERT INTO queue(id, name, acked, next) VALUES(?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET name = excluded.name`,
		id, name, acked, next)
}

// putDead keeps what nobody can take, the newest of it.
func (a *applier) putDead(queue string, pos uint64, at time.Time, reason string, body []byte) error {
	err := a.exec(`INSERT INTO dead(queue, pos, time, reason, body) VALUES(?, ?, ?, ?, ?)`, queue, pos, at.UnixNano(), reason, body)
	if err != nil {
		return err
	}
	return a.exec(`DELETE FROM dead WHERE n <= (SELECT max(n) FROM dead) - ?`, deadRows)
}

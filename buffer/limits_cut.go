package buffer

import (
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/gateway"
)

// A session's client may be there and acknowledge nothing. What it has in hand cannot be taken back, so the cursor on disk cannot pass it. What the
// session's limits drop then lies behind that: it is cut out. Memory knows it as done, the rows that are in a cut whole are deleted, and meta
// names the cuts until the cursor has passed them, since a row that other queues wait for stays and a start would take it for waiting.

// metaCut begins the keys in meta of the cuts of queues, by their ids.
const metaCut = "cut/"

// cuts are what limits have dropped of a queue behind what its consumer has in hand.
type cuts struct {
	all    ranges // beyond acked
	fresh  []span // the disk does not know these yet
	stored ranges // all as the disk has them
}

// floor returns the position through which limits cannot drop anything: what is acknowledged, and of a session what its client has in hand. What
// an upstream has in hand keeps all behind it.
func (q *queue) floor() (through uint64, ok bool) {
	switch {
	case !q.holds():
		return q.acked, true
	case q.session():
		return q.done.after(q.handed+1) - 1, true
	}
	return 0, false
}

// waits returns how many deliveries are behind what a session's client has in hand, all if it has none.
func (q *queue) waits() uint64 {
	if q.session() && q.holds() {
		return q.depth - min(q.inHand, q.depth)
	}
	return q.depth
}

// hand notes what the consumer gets.
func (q *queue) hand(list []gateway.Delivery) {
	if q.handed <= q.acked {
		q.inHand = 0
	}
	for i := range list {
		if list[i].Pos > q.handed {
			q.inHand++
			q.handed = list[i].Pos
		}
	}
}

// handShare is the part of a limit, one in so many, that a session's client may have in hand. What it has stays when its connection ends, so
// there must be room behind it for what is newer.
const handShare = 2

// mayHand returns how many of n deliveries the consumer may get now.
func (q *queue) mayHand(n int) int {
	if !q.session() || !q.online {
		return n
	}
	most := uint64(math.MaxUint64)
	if q.limits.Count > 0 {
		most = max(1, q.limits.Count/handShare)
	}
	if q.limits.Bytes > 0 && q.depth > 0 {
		average := max(1, q.size/int64(q.depth))
		most = min(most, max(1, uint64(q.limits.Bytes/handShare/average)))
	}
	if q.holds() {
		most -= min(most, q.inHand)
	}
	if most >= uint64(n) {
		return n
	}
	q.gated, q.starved = true, true
	return int(most)
}

// cutOut notes that positions behind what the consumer has in hand are dropped.
func (s *Store) cutOut(q *queue, after, through uint64) {
	if after <= q.acked || after >= through {
		return
	}
	q.cuts.all.add(after+1, through)
	q.cuts.fresh = append(q.cuts.fresh, span{after + 1, through})
	s.cursorChanges(q)
}

// take moves what the disk does not know into c. Cuts that the cursor has passed are over.
func (k *cuts) take(c *cursor) {
	k.all = slices.DeleteFunc(k.all, func(sp span) bool { return sp.hi <= c.acked })
	if len(k.all)+len(k.fresh)+len(k.stored) == 0 {
		return
	}
	c.cuts, c.fresh = slices.Clone(k.all), k.fresh
	c.recut = !slices.Equal(k.all, k.stored)
	k.fresh = nil
}

// cut stores the cuts of a queue and deletes what lies in the fresh ones.
func (a *applier) cut(c *cursor) error {
	if c.recut {
		if err := a.putCuts(c.id, c.cuts); err != nil {
			return err
		}
	}
	for _, sp := range c.fresh {
		if i, found := c.cuts.search(sp.lo); found {
			if err := a.sweepCut(c.id, c.cuts[i], sp); err != nil {
				return err
			}
		}
	}
	return nil
}

// putCuts notes the cuts of a queue in meta.
func (a *applier) putCuts(q gateway.QueueID, list ranges) error {
	if len(list) == 0 {
		return a.exec(`DELETE FROM meta WHERE key = ?`, cutKey(q))
	}
	return a.putMeta(cutKey(q), list.text())
}

func cutKey(q gateway.QueueID) string { return metaCut + strconv.FormatUint(uint64(q), 10) }

// sweepCut deletes what begins in part of a cut, or in the segment that part begins in, and is in the cut whole.
func (a *applier) sweepCut(q gateway.QueueID, whole, part span) error {
	begin, err := a.segmentBegin(q, part.lo)
	if err != nil {
		return err
	}
	for lo, more := max(begin, whole.lo), true; more && lo <= part.hi; {
		own, others, next, unseen, err := a.batch(q, lo, part.hi)
		if err != nil {
			return err
		}
		lo, more = next, unseen
		if err := a.freeCut(own, others, whole.hi); err != nil {
			return err
		}
	}
	return nil
}

// freeCut deletes the chunks and refs that end at or before a position, as far as nobody else waits for them.
func (a *applier) freeCut(own, others []place, last uint64) error {
	for _, p := range own {
		if keyPos(p.key)+uint64(p.span) <= last {
			if err := a.free(p.key, p.refs); err != nil {
				return err
			}
		}
	}
	for _, p := range others {
		if keyPos(p.key)+uint64(p.span) <= last {
			if err := a.freeRef(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// segmentBegin returns where the segment begins that a position is in, or one before it.
func (c *conn) segmentBegin(q gateway.QueueID, pos uint64) (begin uint64, err error) {
	var nearest int64
	for _, query := range []string{sqlChunkBefore, sqlRefBefore} {
		err := c.each(func(rows *sql.Rows) error {
			var k, back int64
			if err := rows.Scan(&k, &back); err != nil {
				return err
			}
			if k > nearest {
				nearest, begin = k, keyPos(k-back)
			}
			return nil
		}, query, key(q, 0), key(q, pos))
		if err != nil {
			return 0, err
		}
	}
	return begin, nil
}

// through reports whether a queue needs nothing of a chunk any more whose last record for it is at a position: it has acknowledged that, or all
// of it is in a cut. A ref that is not in a cut whole is still there.
func (a *applier) through(chunk int64, q gateway.QueueID, last uint64) (bool, error) {
	if a.acked[q] >= last {
		return true, nil
	}
	i, found := a.cuts[q].search(last)
	if !found {
		return false, nil
	}
	if keyQueue(chunk) == q {
		return keyPos(chunk) >= a.cuts[q][i].lo, nil
	}
	begin, err := a.segmentBegin(q, last)
	if err != nil {
		return false, err
	}
	gone := true
	err = a.each(func(rows *sql.Rows) error {
		gone = false
		return nil
	}, `SELECT key FROM ref WHERE key BETWEEN ? AND ? AND chunk = ?`, key(q, begin), key(q, last), chunk)
	return gone, err
}

// loadCuts reads the cuts of all queues.
func (s *Store) loadCuts(c *conn) error {
	return c.each(func(rows *sql.Rows) error {
		var id uint64
		var value string
		if err := rows.Scan(&id, &value); err != nil {
			return err
		}
		list, err := parseRanges(value)
		if err != nil {
			return fmt.Errorf("cuts of queue %d: %w", id, err)
		}
		if id < uint64(len(s.queues)) && s.queues[id] != nil {
			s.queues[id].recut(list)
			s.writer.cuts[gateway.QueueID(id)] = s.queues[id].cuts.stored
		}
		return nil
	}, `SELECT substr(key, 5), value FROM meta WHERE key BETWEEN 'cut/' AND 'cut/:'`)
}

// recut notes cuts of before this start.
func (q *queue) recut(list ranges) {
	q.cuts.stored = slices.Clone(list)
	for _, sp := range list {
		if sp.lo, sp.hi = max(sp.lo, q.acked+1), min(sp.hi, q.next-1); sp.lo <= sp.hi {
			q.cuts.all.add(sp.lo, sp.hi)
			q.markDone(sp.lo, sp.hi)
		}
	}
}

// text is the form in which meta has the set.
func (r ranges) text() string {
	var b strings.Builder
	for i, sp := range r {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%d-%d", sp.lo, sp.hi)
	}
	return b.String()
}

var errRanges = errors.New("not a list of positions")

// parseRanges reads what text has written.
func parseRanges(text string) (r ranges, err error) {
	for word := range strings.FieldsSeq(text) {
		var sp span
		n, err := fmt.Sscanf(word, "%d-%d", &sp.lo, &sp.hi)
		if n != 2 || err != nil || sp.lo > sp.hi {
			return nil, fmt.Errorf("%w: %q", errRanges, text)
		}
		r.add(sp.lo, sp.hi)
	}
	return r, nil
}

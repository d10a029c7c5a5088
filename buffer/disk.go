package buffer

import (
	"cmp"
	"database/sql"
	"errors"
	"slices"

	"github.com/tidegate/tidegate/gateway"
)

// maxReadBytes bounds what is taken from disk at once. One segment is always read whole.
const maxReadBytes = 256 << 10

// The statements of a diskReader. A queue finds its chunks by their keys and by their refs; all are walked in one order. A gap comes
// after the chunk that it replaces a record of, and is never where a segment begins.
const (
	sqlReadChunks = `
		SELECT key, 0, back, body FROM chunk WHERE key BETWEEN ?1 AND ?2
		UNION ALL
		SELECT ref.key, 1, ref.back, chunk.body FROM ref LEFT JOIN chunk ON chunk.key = ref.chunk WHERE ref.key BETWEEN ?1 AND ?2
		UNION ALL
		SELECT key, 2, 1, body FROM gap WHERE key BETWEEN ?1 AND ?2
		ORDER BY 1, 2`
	sqlChunkBefore = `SELECT key, back FROM chunk WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT 1`
	sqlRefBefore   = `SELECT key, back FROM ref WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT 1`
)

// diskReader reads deliveries from the database, beside the writer. It never holds a transaction beyond one short statement, since
// that would keep the log from being reused.
type diskReader struct {
	db                             *sql.DB
	chunks, chunkBefore, refBefore *sql.Stmt
}

func (r *diskReader) close() error {
	if r == nil {
		return nil
	}
	return r.db.Close()
}

func newDiskReader(db *sql.DB) (*diskReader, error) {
	r := &diskReader{db: db}
	for _, p := range []struct {
		to    **sql.Stmt
		query string
	}{{&r.chunks, sqlReadChunks}, {&r.chunkBefore, sqlChunkBefore}, {&r.refBefore, sqlRefBefore}} {
		stmt, err := db.Prepare(p.query)
		if err != nil {
			return nil, err
		}
		*p.to = stmt
	}
	return r, nil
}

// found is what the disk held for a queue. Segments do not overlap, but for those of a commit that was repeated (see putChunk): last is
// looked at for their sake.
type found struct {
	queue   gateway.QueueID
	items   []item // in order
	through uint64 // up to here nothing is left out
	more    bool   // a segment begins behind through
	last    uint64 // highest position in items
	damaged []damage
}

// errNoChunk says that a reference leads nowhere.
var errNoChunk = errors.New("the chunk that it is in is missing")

// damage is a record or a chunk that cannot be read.
type damage struct {
	pos   uint64 // of the record, or of the first in the chunk
	count uint64
	body  []byte
	err   error
}

// read returns what the disk holds of q within want, until there are n or they grow large.
func (r *diskReader) read(q gateway.QueueID, want *wanted, n int) (*found, error) {
	start := key(q, want.lo)
	if !want.start {
		var err error
		if start, err = r.segmentStart(q, want.lo); err != nil {
			return nil, err
		}
	}
	rows, err := r.chunks.Query(start, key(q, want.hi))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	f := &found{queue: q, through: want.hi}
	for size := 0; rows.Next(); {
		var k, source, back int64
		var body []byte
		if err := rows.Scan(&k, &source, &back, &body); err != nil {
			return nil, err
		}
		if back == 0 && keyPos(k) > f.last && (len(f.items) >= n || size >= maxReadBytes) {
			f.through, f.more = keyPos(k)-1, true
			break
		}
		size += len(body)
		f.add(keyPos(k), body, want.span)
	}
	f.sort()
	return f, rows.Err()
}

// segmentStart returns the key at which to begin to find everything of q from position pos on: where the segment begins that pos is
// in, because the chunks of one segment overlap.
func (r *diskReader) segmentStart(q gateway.QueueID, pos uint64) (int64, error) {
	start, nearest := key(q, pos), int64(0)
	for _, stmt := range []*sql.Stmt{r.chunkBefore, r.refBefore} {
		var k, back int64
		err := stmt.QueryRow(key(q, 0), key(q, pos)).Scan(&k, &back)
		switch {
		case err == sql.ErrNoRows:
		case err != nil:
			return 0, err
		case k > nearest:
			nearest, start = k, k-back
		}
	}
	return start, nil
}

// add takes what a chunk holds for the queue within want.
func (f *found) add(first uint64, body []byte, want span) {
	if body == nil {
		if first >= want.lo { // before that it may have been freed
			f.damaged = append(f.damaged, damage{first, 1, []byte{}, errNoChunk})
		}
		return
	}
	from := len(f.items)
	items, err := decodeChunk(body, f.queue, f.items)
	if err != nil {
		f.damaged = append(f.damaged, damage{first, 1, body, err})
		return
	}
	within := slices.DeleteFunc(items[from:], func(it item) bool { return it.pos < want.lo || it.pos > want.hi })
	f.items = items[:from+len(within)]
	if len(within) > 0 {
		f.last = max(f.last, within[len(within)-1].pos)
	}
}

// sort puts the items in order. Of two with one position the later counts: a gap that has replaced the other.
func (f *found) sort() {
	byPos := func(a, b item) int { return cmp.Compare(a.pos, b.pos) }
	if !slices.IsSortedFunc(f.items, byPos) {
		slices.SortStableFunc(f.items, byPos)
	}
	kept := f.items[:0]
	for i := range f.items {
		if n := len(kept); n > 0 && kept[n-1].pos == f.items[i].pos {
			kept = kept[:n-1]
		}
		kept = append(kept, f.items[i])
	}
	f.items = kept
}

// parse turns the items into deliveries. What cannot be read joins damaged.
func (f *found) parse() []gateway.Delivery {
	deliveries := make([]gateway.Delivery, 0, len(f.items))
	for i := range f.items {
		it := &f.items[i]
		rec, err := it.record()
		if err != nil {
			f.damaged = append(f.damaged, damage{it.pos, 1, it.body, err})
			continue
		}
		deliveries = append(deliveries, gateway.Delivery{Ref: it.ref, Pos: it.pos, Record: rec})
	}
	return deliveries
}

package buffer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/tidegate/tidegate/gateway"
)

// Bounds of a check.
const (
	verifyRows   = 64 // rows that are read with one statement
	verifyFaults = 20 // faults of the structure that are told
)

// verifier checks a file. It holds no transaction beyond one statement of verifyRows rows, but for structure.
type verifier struct {
	reader   *diskReader
	acked    map[gateway.QueueID]uint64 // of the queues that have a consumer
	progress func(done, total int64)
	verdict  gateway.Verdict

	done, total int64
}

// isDamage reports whether err says that the file is damaged, not that it cannot be read now.
func isDamage(err error) bool {
	if c := code(err); c == sqlite3.SQLITE_CORRUPT || c == sqlite3.SQLITE_NOTADB {
		return true
	}
	return errors.Is(err, ErrDamaged)
}

// structure asks SQLite. It takes as long as the file is large.
func (v *verifier) structure(ctx context.Context) error {
	rows, err := v.reader.db.QueryContext(ctx, fmt.Sprintf(`PRAGMA integrity_check(%d)`, verifyFaults))
	if err == nil {
		err = eachRow(rows, func(rows *sql.Rows) error {
			var text string
			err := rows.Scan(&text)
			if text != "ok" {
				v.verdict.Structure = append(v.verdict.Structure, strings.Split(text, "\n")...)
			}
			return err
		})
	}
	if isDamage(err) {
		v.fault(err)
		return nil
	}
	return err
}

// fault notes damage that reading has met.
func (v *verifier) fault(err error) {
	if len(v.verdict.Structure) < verifyFaults {
		v.verdict.Structure = append(v.verdict.Structure, err.Error())
	}
}

// run reads every row of the tables that queues are made of.
func (v *verifier) run(ctx context.Context) (gateway.Verdict, error) {
	tables := []struct {
		name, query string
		check       func(rows *sql.Rows) (key int64, err error)
	}{
		{"chunk", `SELECT key, body FROM chunk WHERE key > ? ORDER BY key LIMIT ?`, v.chunk},
		{"ref", `SELECT ref.key, chunk.key FROM ref LEFT JOIN chunk ON chunk.key = ref.chunk WHERE ref.key > ? ORDER BY ref.key LIMIT ?`, v.ref},
		{"gap", `SELECT key, body FROM gap WHERE key > ? ORDER BY key LIMIT ?`, v.gap},
	}
	for _, t := range tables {
		var n int64
		err := v.reader.db.QueryRowContext(ctx, `SELECT count(*) FROM `+t.name).Scan(&n)
		if err != nil && !isDamage(err) {
			return v.verdict, fmt.Errorf("count the rows of %s: %w", t.name, err)
		}
		v.total += n
	}
	for _, t := range tables {
		if err := v.table(ctx, t.query, t.check); err != nil {
			return v.verdict, fmt.Errorf("read table %s: %w", t.name, err)
		}
	}
	return v.verdict, nil
}

// table reads all rows that query gives, a few at a time. What stands behind a damaged place is not reached: that it is damaged is said.
func (v *verifier) table(ctx context.Context, query string, check func(*sql.Rows) (int64, error)) error {
	for after := int64(-1); ; {
		n := 0
		rows, err := v.reader.db.QueryContext(ctx, query, after, verifyRows)
		if err == nil {
			err = eachRow(rows, func(rows *sql.Rows) (err error) {
				n++
				after, err = check(rows)
				return err
			})
		}
		if isDamage(err) {
			v.fault(err)
			return nil
		}
		if err != nil {
			return err
		}
		v.done += int64(n)
		if v.progress != nil {
			v.progress(v.done, max(v.total, v.done))
		}
		if n < verifyRows {
			return ctx.Err()
		}
	}
}

// chunk checks all records of a chunk for all its queues.
func (v *verifier) chunk(rows *sql.Rows) (key int64, err error) {
	var body sql.RawBytes
	if err := rows.Scan(&key, &body); err != nil {
		return 0, err
	}
	queues, err := chunkQueues(body)
	if err != nil {
		v.verdict.Records++
		v.verdict.Damaged++
		return key, nil
	}
	reachable := false
	for _, q := range queues {
		acked, known := v.acked[q]
		items, err := decodeChunk(body, q, nil)
		if err != nil || !known {
			continue
		}
		reachable = true // be it acknowledged: then a later commit deletes it
		for i := range items {
			if items[i].pos <= acked {
				continue
			}
			v.verdict.Records++
			if _, err := items[i].record(); err != nil {
				v.verdict.Damaged++
			}
		}
	}
	if !reachable {
		v.verdict.Foreign++
	}
	return key, nil
}

// ref checks that a reference leads somewhere.
func (v *verifier) ref(rows *sql.Rows) (key int64, err error) {
	var to sql.NullInt64
	if err := rows.Scan(&key, &to); err != nil {
		return 0, err
	}
	if _, known := v.acked[keyQueue(key)]; !known || !to.Valid {
		v.verdict.Foreign++
	}
	return key, nil
}

// gap checks a gap record that replaces a delivery.
func (v *verifier) gap(rows *sql.Rows) (key int64, err error) {
	var body sql.RawBytes
	if err := rows.Scan(&key, &body); err != nil {
		return 0, err
	}
	acked, known := v.acked[keyQueue(key)]
	if !known || keyPos(key) <= acked {
		v.verdict.Foreign++
		return key, nil
	}
	items, err := decodeChunk(body, keyQueue(key), nil)
	if err == nil && len(items) > 0 {
		_, err = items[0].record()
	}
	if err != nil || len(items) == 0 {
		v.verdict.Records++
		v.verdict.Damaged++
	}
	return key, nil
}

// keyQueue is the queue in a key.
func keyQueue(k int64) gateway.QueueID { return gateway.QueueID(k >> posBits) }

// chunkQueues returns the queues that a chunk belongs to, when its head can be trusted.
func chunkQueues(b []byte) ([]gateway.QueueID, error) {
	if _, err := decodeChunk(b, 0, nil); err != nil {
		return nil, err
	}
	d := decoder{b: b[5:]}
	d = decoder{b: d.bytes(d.uvarint())}
	queues := make([]gateway.QueueID, 0, 4)
	for range d.count() {
		queues = append(queues, gateway.QueueID(d.uvarint()))
		d.uvarint()
	}
	return queues, d.err
}

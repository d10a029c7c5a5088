package buffer

import (
	"database/sql"
	"fmt"
	"strings"
)

// loadLimits reads what memory has to know about limits, clock and wear. Queues are there.
func (s *Store) loadLimits(c *conn) error {
	if err := s.loadCuts(c); err != nil {
		return err
	}
	for _, q := range s.queues {
		if q == nil || q.dropped {
			continue
		}
		var err error
		if q.size, err = c.sampleSize(q); err != nil {
			return err
		}
		s.limit(q, s.defaultLimits(q))
	}
	s.watchClock(s.times())
	return c.each(func(rows *sql.Rows) error {
		var key, value string
		if err := rows.Scan(&key, &value); err != nil {
			return err
		}
		switch name, orphan := strings.CutPrefix(key, metaOrphan); {
		case orphan:
			return s.loadOrphan(name, value)
		case key == metaExempt:
			_, err := fmt.Sscan(value, &s.clock.exempt)
			return err
		case key == metaSeen:
			return s.clock.loadSeen(value)
		default:
			return s.wear.load(key, value)
		}
	}, `SELECT key, value FROM meta`)
}

// sampleRows is how many chunks at each end of a queue tell about how much it holds.
const sampleRows = 32

// sampleSize returns about how many bytes the records take that a queue holds on disk: exactly when it has up to sampleRows chunks, else by
// the average of those at its ends. Bytes that several queues share count for each of them.
func (c *conn) sampleSize(q *queue) (int64, error) {
	if q.lastRow <= q.acked {
		return 0, nil
	}
	var first, last sample
	for _, part := range []struct {
		to    *sample
		query string
	}{
		{&first, `SELECT key, span, length(body) FROM chunk WHERE key BETWEEN ?1 AND ?2
			UNION ALL SELECT r.key, r.span, length(c.body) FROM ref r CROSS JOIN chunk c ON c.key = r.chunk WHERE r.key BETWEEN ?1 AND ?2
			ORDER BY 1 LIMIT ?3`},
		{&last, `SELECT key, span, length(body) FROM chunk WHERE key BETWEEN ?1 AND ?2
			UNION ALL SELECT r.key, r.span, length(c.body) FROM ref r CROSS JOIN chunk c ON c.key = r.chunk WHERE r.key BETWEEN ?1 AND ?2
			ORDER BY 1 DESC LIMIT ?3`},
	} {
		if err := c.each(part.to.add, part.query, key(q.id, q.acked+1), key(q.id, posMask), sampleRows); err != nil {
			return 0, err
		}
	}
	if first.rows < sampleRows {
		return first.bytes, nil
	}
	average := float64(first.bytes+last.bytes) / float64(first.positions()+last.positions())
	return int64(average * float64(q.depth)), nil
}

// sample is what some chunks hold together.
type sample struct {
	rows     int
	bytes    int64
	from, to uint64 // positions
}

func (s *sample) add(rows *sql.Rows) error {
	var k, span, bytes int64
	if err := rows.Scan(&k, &span, &bytes); err != nil {
		return err
	}
	pos := keyPos(k)
	if s.rows++; s.rows == 1 {
		s.from = pos
	}
	s.bytes += bytes
	s.from, s.to = min(s.from, pos), max(s.to, pos+uint64(span))
	return nil
}

func (s *sample) positions() uint64 { return s.to - s.from + 1 }

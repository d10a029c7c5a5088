package buffer

import (
	"database/sql"
	"fmt"
)

// The file is made smaller when nothing is left in it to keep and it has shrinkFrom free pages, in steps of shrinkStep pages, so
// that a commit never waits long for it. While there is a backlog, free pages are worth more as room for what comes.
const (
	shrinkFrom = 1024
	shrinkStep = 512
)

// tend looks after the file once those who waited have been told: it gives back the pages of a backlog that is drained, and empties a long
// log into the database. freed tells that the last commit has deleted something.
func (w *writer) tend(s *Store, freed bool) {
	if w.conn == nil {
		return
	}
	shrunk := false
	w.freed = w.freed || freed
	if w.freed && s.drained() {
		var err error
		if shrunk, err = w.shrink(s); err != nil {
			s.log.Warn("the buffer's file cannot be made smaller", "path", s.opts.Path, "error", err)
		}
	}
	longLog := min(checkpointPages, int(reserve(s.opts.MaxSize)/2/pageSize))
	if !shrunk && w.meter.log-w.meter.restored < longLog {
		return
	}
	if err := w.checkpoint("PASSIVE"); err != nil {
		s.log.Warn("the log of the buffer cannot be emptied into its file", "path", s.opts.Path, "error", err)
	}
}

// checkpoint empties the log into the database.
func (w *writer) checkpoint(mode string) error {
	return w.meter.around(func() error {
		var busy, log, restored int
		if err := w.ints(`PRAGMA wal_checkpoint(`+mode+`)`, &busy, &log, &restored); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
		if restored > w.meter.restored || log == 0 && w.meter.log > 0 {
			w.meter.fsyncs += 2
		}
		w.meter.log, w.meter.restored = log, restored
		return nil
	})
}

// drained reports whether the disk holds nothing that a consumer waits for, and nothing waits for the disk.
func (s *Store) drained() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		if q != nil && q.lastRow > q.durableAcked {
			return false
		}
	}
	return s.list.n == 0
}

// shrink gives free pages back, as long as nobody wants to commit.
func (w *writer) shrink(s *Store) (shrunk bool, err error) {
	var free int
	if err := w.ints(`PRAGMA freelist_count`, &free); err != nil {
		return false, err
	}
	if free < shrinkFrom {
		w.freed = false
		return false, nil
	}
	for ; free >= shrinkFrom && s.drained(); free -= shrinkStep {
		err := w.meter.around(func() error {
			return w.each(func(*sql.Rows) error { return nil }, fmt.Sprintf(`PRAGMA incremental_vacuum(%d)`, shrinkStep))
		})
		if err != nil {
			return shrunk, err
		}
		w.meter.fsyncs++
		shrunk = true
	}
	return shrunk, nil
}

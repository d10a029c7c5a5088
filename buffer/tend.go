package buffer

import (
	"database/sql"
	"fmt"
)

// The file is made smaller when nothing is left in it to keep and shrinkFrom bytes of it are free, in steps of shrinkStep bytes, so
// that a commit never waits long for it. A step has to fit into SQLite's cache of pages twice: else it writes pages to the log that it is
// about to cut off. While there is a backlog, free pages are worth more as room for what comes.
const (
	shrinkFrom = 4 << 20
	shrinkStep = cacheKiB << 10 / 2
	tidyShare  = 4 // of the file, one byte in so many: with more of them free, an idle file is made smaller though it holds a backlog
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
		shrunk = w.shrinkWhile(s, s.drained)
	}
	longLog := min(checkpointBytes, reserve(s.opts.MaxSize)/2)
	if inLog := int64(w.meter.log-w.meter.restored) * w.pageSize; !shrunk && inLog < longLog {
		return
	}
	w.emptyLog(s)
}

// shrinkWhile gives free pages back as long as while says so, and reports whether it did.
func (w *writer) shrinkWhile(s *Store, while func() bool) bool {
	shrunk, err := w.shrink(while)
	if err != nil {
		s.log.Warn("the buffer's file cannot be made smaller", "path", s.opts.Path, "error", err)
	}
	return shrunk
}

// tidy gives free pages back when nothing was committed since it was called last, and they are more than a quarter of the file: what is
// left of a backlog that is not drained may stay for long.
func (w *writer) tidy(s *Store) {
	s.mu.Lock()
	idle := w.tidied == s.stats.Commits && s.list.n == 0
	w.tidied = s.stats.Commits
	s.mu.Unlock()
	if w.conn == nil || !w.freed || !idle {
		return
	}
	if have, free, err := w.fileBytes(); err != nil || free < have/tidyShare {
		return
	}
	if w.shrinkWhile(s, s.quiet) {
		w.emptyLog(s)
	}
}

// quiet reports whether nothing waits for the disk.
func (s *Store) quiet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list.n == 0
}

// emptyLog puts the log into the database.
func (w *writer) emptyLog(s *Store) {
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
func (w *writer) shrink(while func() bool) (shrunk bool, err error) {
	free, err := w.pagesOf(`PRAGMA freelist_count`)
	if err != nil {
		return false, err
	}
	if free < shrinkFrom {
		w.freed = false
		return false, nil
	}
	for ; free >= shrinkFrom && while(); free -= shrinkStep {
		err := w.meter.around(func() error {
			return w.each(func(*sql.Rows) error { return nil }, fmt.Sprintf(`PRAGMA incremental_vacuum(%d)`, shrinkStep/w.pageSize))
		})
		if err != nil {
			return shrunk, err
		}
		w.meter.fsyncs++
		shrunk = true
	}
	return shrunk, nil
}

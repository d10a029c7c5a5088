package buffer

import (
	"context"
	"fmt"
	"sync"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// Bounds of the pause between two attempts to commit while the disk fails.
const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 10 * time.Second
)

// retryRecords bounds a group after a failure, each further failure halves it and each success doubles it: a small one may fit where
// a large one does not.
const retryRecords = 256

// writer is what the one goroutine that writes owns.
type writer struct {
	applier
	group   group
	meter   meter
	backoff time.Duration
	limit   int    // entries of the next group after one has failed; 0: as many as there are
	freed   bool   // there may be free pages to give back
	tidied  uint64 // commits when tidy was called last
}

// Run writes until ctx ends, then commits what is pending, notes that the stop was in order, and returns. From then on the store takes
// nothing. The methods that wait for a commit wait for Run.
func (s *Store) Run(ctx context.Context) error {
	stop := make(chan struct{})
	var callbacks sync.WaitGroup
	callbacks.Go(func() { s.dispatch(stop) })
	var saving sync.WaitGroup
	saving.Go(func() { s.runSalvage(ctx) })
	err := s.write(ctx)
	saving.Wait()
	close(stop)
	callbacks.Wait()
	return err
}

// write commits what is due until ctx ends.
func (s *Store) write(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next := s.attend()
		wait := s.untilDue()
		if wait <= 0 {
			if ctx.Err() != nil {
				return s.finish()
			}
			s.commitDue()
			continue
		}
		timer.Reset(min(wait, next))
		select {
		case <-ctx.Done():
			return s.finish()
		case <-s.kick:
		case <-timer.C:
		}
	}
}

// attend sees to what is due beside commits, and returns how long until it is to be called again.
func (s *Store) attend() time.Duration {
	s.mu.Lock()
	due := s.lookAt <= s.now()
	s.mu.Unlock()
	if due {
		s.look()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := min(s.letIn(), s.lookAt)
	return time.Duration(next - s.now())
}

// untilDue returns how long the writer may sleep. What was elided no longer counts.
func (s *Store) untilDue() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextDue = s.ackDue
	if s.reserving || s.list.n >= s.opts.GroupRecords || s.list.bytes >= s.opts.GroupBytes {
		s.nextDue = 0
	}
	for e := s.list.head; e != nil && s.nextDue > 0; e = e.next {
		s.nextDue = min(s.nextDue, e.due)
	}
	if s.failing {
		s.nextDue = max(s.nextDue, s.retryAt)
	}
	if s.nextDue == never {
		return time.Hour
	}
	return time.Duration(s.nextDue - s.now())
}

// commitDue commits what is pending.
func (s *Store) commitDue() {
	g := &s.writer.group
	s.trimOver()
	s.mu.Lock()
	limit := s.groupLimit()
	if !s.entriesDue() {
		limit = 0 // acknowledgements or a reservation alone: what is young may yet be elided
	}
	s.take(g, limit)
	s.mu.Unlock()
	if g.empty() {
		return
	}
	s.conclude(g, s.commit(g))
	s.writer.tend(s, len(g.cursors) > 0)
}

// entriesDue reports whether a pending entry is due, or too many are pending.
func (s *Store) entriesDue() bool {
	if s.list.n >= s.opts.GroupRecords || s.list.bytes >= s.opts.GroupBytes {
		return true
	}
	now := s.now()
	for e := s.list.head; e != nil; e = e.next {
		if e.due <= now {
			return true
		}
	}
	return false
}

// groupLimit returns how many entries the next group may have.
func (s *Store) groupLimit() int {
	if n := s.writer.limit; n > 0 && n < s.opts.PendingRecords {
		return n
	}
	s.writer.limit = 0
	return s.opts.PendingRecords
}

// conclude does what follows from the outcome of a commit.
func (s *Store) conclude(g *group, err error) {
	switch {
	case err == nil:
		s.mu.Lock()
		s.settle(g)
		recovered := s.saidFailing
		s.failing, s.full, s.saidFailing = false, false, false
		s.mu.Unlock()
		s.writer.backoff = 0
		s.writer.limit *= 2 // 0 stays 0
		if recovered {
			s.log.Info("the buffer can be written again")
		}
	case refused(err) && len(g.entries) > 1:
		s.oneByOne(g)
	case refused(err) && len(g.entries) == 1:
		s.reject(g, err)
	default:
		s.failed(g, err)
	}
}

// commit writes g in one transaction.
func (s *Store) commit(g *group) error {
	began := s.opts.Now()
	w := &s.writer
	if w.conn == nil {
		c, err := redial(s.opts.Path, s.opts.MaxSize)
		if err != nil {
			return fmt.Errorf("open the database again: %w", err)
		}
		w.conn = c
		s.mu.Lock()
		s.room.looked, s.room.limit = 0, 0
		s.mu.Unlock()
	}
	s.watchDisk()
	err := w.meter.around(func() error { return s.transact(g) })
	if err != nil {
		w.undo(g)
		return err
	}
	s.count(w, s.opts.Now().Sub(began))
	s.watchFile(w)
	return nil
}

func (s *Store) transact(g *group) error {
	w := &s.writer
	if err := w.exec(`BEGIN IMMEDIATE`); err != nil {
		return err
	}
	err := w.apply(g)
	if err == nil {
		err = s.sabotaged()
	}
	if err == nil {
		if err = w.exec(`COMMIT`); err == nil {
			return nil
		}
	}
	// A rollback fails when SQLite has rolled back by itself, as it does on a full disk.
	_ = w.exec(`ROLLBACK`)
	return err
}

// sabotaged is nil but in tests.
func (s *Store) sabotaged() error {
	s.mu.Lock()
	fail := s.sabotage
	s.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail()
}

// undo forgets what a transaction that failed has changed in memory.
func (a *applier) undo(g *group) {
	clear(a.begins)
	a.used, a.records, a.bytes = 0, 0, 0
	for i := range g.cursors {
		c := &g.cursors[i]
		a.acked[c.id], a.cuts[c.id] = c.queue.durableAcked, c.queue.cuts.stored
		c.sweep, c.more = c.queue.sweep, false
	}
}

// failed keeps g for another attempt. Whoever waits goes on waiting; who reads, reads memory.
func (s *Store) failed(g *group, err error) {
	s.suspect(err)
	w := &s.writer
	s.mu.Lock()
	s.restore(g)
	s.mu.Unlock()
	noRoom := code(err) == sqlite3.SQLITE_FULL && s.quotaReached()
	w.backoff = min(max(2*w.backoff, minBackoff), maxBackoff)
	w.limit = max(1, min(retryRecords, len(g.entries)/2))
	if noRoom && s.makeRoom() {
		w.backoff = 0
	}
	s.mu.Lock()
	first := !noRoom && !s.saidFailing
	s.failing, s.full = true, noRoom
	s.saidFailing = s.saidFailing || first
	s.retryAt = s.now() + monotonic(w.backoff)
	s.stats.Failures++
	s.mu.Unlock()
	if noRoom {
		return
	}
	if first {
		s.log.Error("the buffer cannot be written: acknowledgements that need it are withheld, records are forwarded from memory",
			"path", s.opts.Path, "error", err)
	}
	if err := w.conn.close(); err != nil { // a connection that has seen an error may go on seeing it
		s.log.Debug("close the database after an error", "error", err)
	}
	w.conn = nil
}

// oneByOne commits the entries of g alone, so that the one which the database refuses does not hold up the others.
func (s *Store) oneByOne(g *group) {
	n := len(g.entries)
	s.mu.Lock()
	s.restore(g)
	s.mu.Unlock()
	for range n {
		s.mu.Lock()
		s.take(g, 1)
		s.mu.Unlock()
		err := s.commit(g)
		s.conclude(g, err)
		if err != nil && !refused(err) {
			return
		}
	}
}

// reject gives up the only entry of g.
func (s *Store) reject(g *group, err error) {
	e := g.entries[0].e
	s.mu.Lock()
	s.restore(g)
	s.discard(e)
	s.call(e.waiter, err)
	e.waiter = waiter{}
	if len(e.refs) > 0 {
		s.stats.Dropped++
	}
	s.mu.Unlock()
	s.log.Error("the database refuses a change, it is given up", "error", err)
}

// discard takes a pending entry out of the list and its queues.
func (s *Store) discard(e *entry) {
	if e.state != pending {
		return
	}
	s.list.remove(e)
	e.state = gone
	for i := range e.refs {
		if r := &e.refs[i]; !r.acked {
			r.acked = true
			r.queue.clearSlot(r.queue.at(r.pos))
			s.advance(r.queue)
		}
	}
	e.left = 0
}

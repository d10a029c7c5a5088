package buffer

import (
	"errors"
	"fmt"
)

// stopAttempts bounds how often a stop tries to commit what is pending.
const stopAttempts = 10

// finish commits all that is pending, with the exact cursors and the exact next number, and empties the log into the database. It does not
// wait for a disk that fails.
func (s *Store) finish() error {
	s.mu.Lock()
	s.shut()
	s.abortHeld()
	s.mu.Unlock()
	g := &s.writer.group
	var err error
	for failures := 0; failures < stopAttempts; {
		last := s.takeToStop(g)
		err = s.commit(g)
		s.conclude(g, err)
		switch {
		case err != nil:
			failures++
		case last:
			return s.writer.checkpoint("TRUNCATE")
		}
	}
	s.mu.Lock()
	s.abort()
	s.mu.Unlock()
	return fmt.Errorf("commit what is pending to %s: %w", s.opts.Path, err)
}

// takeToStop takes the next group of those that are left, and reports whether it is the last: that one tells the exact state.
func (s *Store) takeToStop(g *group) (last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		if q != nil && !q.dirty && (q.acked != q.durableAcked || q.next != q.durableNext) {
			q.dirty = true
			s.dirty = append(s.dirty, q)
		}
	}
	s.take(g, s.groupLimit())
	if s.list.n > 0 {
		return false
	}
	g.mark, g.base, g.clean, g.wear = s.seq, s.seq, 1, s.tellWear(true)
	g.seen = s.clock.tellSeen() // also when nothing else was pending
	return true
}

// shut makes the store take nothing any more.
func (s *Store) shut() {
	if !s.closing {
		s.closing = true
		close(s.closed)
	}
}

// abort tells all who wait for a commit that there will be none.
func (s *Store) abort() {
	for e := s.list.head; e != nil; e = e.next {
		s.call(e.waiter, ErrClosed)
		e.waiter = waiter{}
	}
	s.abortHeld()
}

// Close gives the file back. Run must have returned; without it, what is pending is lost, and those who wait are told. Closing twice does
// no harm.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		s.mu.Lock()
		s.shut()
		s.abort()
		s.mu.Unlock()
		var d dispatcher
		d.run(s)
		err = errors.Join(s.reader.close(), s.writer.conn.close(), unlock(s.lock))
	})
	return err
}

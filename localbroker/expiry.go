package localbroker

import (
	"context"
	"time"
)

// reunion is how long clients have to come back after a start, however old their sessions look: a board without a clock may have noted
// a time of leaving that lies years back.
const reunion = time.Hour

// offlineSince tells since when a recovered session has been without a connection, on this process's own clock: what happens to the wall
// clock from now on does not age it.
func offlineSince(disconnected, now time.Time, maxAge time.Duration) time.Time {
	if disconnected.IsZero() || maxAge < 0 {
		return now
	}
	age := min(now.Sub(disconnected), maxAge-min(maxAge, reunion))
	return now.Add(-max(age, 0))
}

// expireUntil drops the sessions whose clients stay away too long, until ctx ends.
func (b *Broker) expireUntil(ctx context.Context) {
	if b.opts.SessionMaxAge < 0 {
		<-ctx.Done()
		return
	}
	ticker := time.NewTicker(max(time.Second, min(time.Minute, b.opts.SessionMaxAge/4)))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			b.expire(b.opts.Now())
		}
	}
}

// expire drops the sessions that are older than allowed at this moment.
func (b *Broker) expire(now time.Time) {
	for id, cl := range b.expired(now) {
		select {
		case cl.turn <- struct{}{}:
		default:
			continue // its client is just coming back
		}
		b.mu.Lock()
		s := cl.session
		again := s != nil && cl.conn == nil && s.old(now, b.opts.SessionMaxAge)
		cl.users++
		b.mu.Unlock()
		if again {
			b.dropSession(cl, nil)
			b.log.Info("session expired", "client", id, "max_age", b.opts.SessionMaxAge)
		}
		b.release(id, cl)
	}
}

func (b *Broker) expired(now time.Time) map[string]*client {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := make(map[string]*client)
	for id, cl := range b.clients {
		if cl.session != nil && cl.session.old(now, b.opts.SessionMaxAge) {
			old[id] = cl
		}
	}
	return old
}

// old reports whether the session has been offline for longer than maxAge.
func (s *session) old(now time.Time, maxAge time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maxAge >= 0 && !s.offline.IsZero() && now.Sub(s.offline) > maxAge
}

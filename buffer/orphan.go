package buffer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// metaOrphan begins the keys in meta of the times, in nanoseconds since 1970, since when queues have been orphans.
const metaOrphan = "orphan/"

// orphan is what is known of a queue whose upstream or lane the configuration no longer has.
type orphan struct {
	since  time.Time // zero: it is none
	stored bool      // the disk knows since
}

// UpstreamQueue returns the name of the queue of an upstream, and of one of its lanes unless lane is "".
func UpstreamQueue(upstream, lane string) string {
	if lane == "" {
		return upstreamPrefix + upstream
	}
	return upstreamPrefix + upstream + "/" + lane
}

// Claim says which queues the configuration wants, by their names, see [UpstreamQueue]. Upstreams' queues that are not among them are
// orphans: they are kept for Options.OrphanAge, unless a consumer is attached, and are then dropped with all they hold. It is called once
// at start, and again when the configuration changes.
func (s *Store) Claim(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claimed = true
	for _, q := range s.queues {
		switch {
		case q == nil || q.dropped || !q.upstream():
		case slices.Contains(names, q.name):
			s.adopt(q)
		default:
			s.abandon(q)
		}
	}
	s.lookSoon()
}

// adopt notes that a queue has an owner.
func (s *Store) adopt(q *queue) {
	if q.orphan.stored {
		name := q.name
		s.append(&entry{work: func(a *applier) error { return a.exec(`DELETE FROM meta WHERE key = ?`, metaOrphan+name) }})
	}
	q.orphan = orphan{}
}

// abandon notes that a queue has no owner any more.
func (s *Store) abandon(q *queue) {
	if q.orphan.since.IsZero() {
		s.orphanSince(q)
	}
	s.log.Warn("nobody in the configuration takes from this queue: it will be dropped with all it holds",
		"queue", q.name, "records", q.depth, "since", q.orphan.since, "after", s.opts.OrphanAge)
}

// orphanSince makes the time for which an orphan is kept begin now. While the clock is not right it is not stored, and begins anew later.
func (s *Store) orphanSince(q *queue) {
	q.orphan = orphan{since: s.wall(), stored: s.clockSynced(s.now())}
	if !q.orphan.stored {
		return
	}
	name, since := q.name, q.orphan.since.UnixNano()
	s.append(&entry{work: func(a *applier) error { return a.putMeta(metaOrphan+name, since) }})
}

// restartOrphans makes the time for which orphans are kept begin anew: the clock was set.
func (s *Store) restartOrphans() {
	for _, q := range s.queues {
		if q != nil && !q.orphan.since.IsZero() {
			s.orphanSince(q)
		}
	}
}

// expireOrphans drops the orphans that were kept long enough. Nothing is dropped before the configuration has spoken.
func (s *Store) expireOrphans() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.claimed {
		return
	}
	now := s.watchedWall()
	for _, q := range s.queues {
		switch {
		case q == nil || q.dropped || q.orphan.since.IsZero():
		case !q.orphan.stored:
			s.orphanSince(q)
		case !q.online && now.Sub(q.orphan.since) >= s.opts.OrphanAge:
			s.dropOrphan(q)
		}
	}
}

// dropOrphan drops a queue with all it holds.
func (s *Store) dropOrphan(q *queue) {
	s.log.Warn("a queue that nobody takes from has expired and is dropped", "queue", q.name, "records", q.depth)
	s.stats.Dropped += q.depth
	id, name := q.id, q.name
	s.dropQueue(q)
	s.append(&entry{work: func(a *applier) error {
		if err := a.exec(`DELETE FROM meta WHERE key = ?`, metaOrphan+name); err != nil {
			return err
		}
		return a.dropSession(id)
	}})
}

// loadOrphan takes over a row of meta.
func (s *Store) loadOrphan(name, value string) error {
	ns, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return fmt.Errorf("since when queue %s is an orphan: %w", name, err)
	}
	if q := s.names[name]; q != nil {
		q.orphan = orphan{since: time.Unix(0, ns).UTC(), stored: true}
	}
	return nil
}

// Lanes returns the lanes of an upstream whose queues hold something, sorted; "" is the queue without a lane.
func (s *Store) Lanes(upstream string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lanes []string
	for _, q := range s.queues {
		if q == nil || q.dropped || q.depth == 0 {
			continue
		}
		if lane, found := strings.CutPrefix(q.name, UpstreamQueue(upstream, "")); found && (lane == "" || lane[0] == '/') {
			lanes = append(lanes, strings.TrimPrefix(lane, "/"))
		}
	}
	slices.Sort(lanes)
	return lanes
}

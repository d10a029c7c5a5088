package buffer

import (
	"maps"
	"os"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// Stats returns a snapshot. Bytes and calls of fsync are counted as the type meter says. The oldest delivery of a queue is looked up on
// disk only for upstreams and the inbox; of a session whose backlog is on disk alone it is not known.
func (s *Store) Stats() gateway.BufferStats {
	stats, unknown := s.snapshot()
	for _, u := range unknown {
		if got, err := s.reader.read(u.want.queue.id, u.want, 1); err == nil && len(got.items) > 0 {
			if rec, err := got.items[0].record(); err == nil {
				stats.Queues[u.index].Oldest = rec.Time
			}
		}
	}
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(s.opts.Path + suffix); err == nil {
			stats.FileBytes += info.Size()
		}
	}
	return stats
}

// lookup is a queue whose oldest delivery has to be read from disk.
type lookup struct {
	index int
	want  *wanted
}

// snapshot copies what memory knows.
func (s *Store) snapshot() (stats gateway.BufferStats, unknown []lookup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats = s.stats
	stats.Pending = s.list.n + s.inHand + len(s.held)
	stats.Failing = s.failing
	stats.WearBytes, stats.WearSince = s.wear.bytes+stats.BytesOut, s.wear.since
	stats.Queues = make([]gateway.QueueStats, 0, len(s.names))
	for _, q := range s.queues {
		if q == nil || q.dropped {
			continue
		}
		oldest, onDisk := q.oldestTime()
		if onDisk && (q.inbox || q.upstream()) {
			from := q.done.after(q.acked + 1)
			unknown = append(unknown, lookup{len(stats.Queues), &wanted{queue: q, span: span{from, q.tail - 1}}})
		}
		stats.Queues = append(stats.Queues, gateway.QueueStats{
			Name: q.name, Depth: q.depth, Oldest: oldest, Online: q.online,
			Bytes: q.size, Dropped: maps.Clone(q.drops), Orphan: q.orphan.since,
		})
	}
	return stats, unknown
}

// oldestTime returns the original time of the oldest delivery when memory holds it.
func (q *queue) oldestTime() (oldest time.Time, onDisk bool) {
	e, onDisk := q.oldest()
	if e != nil {
		oldest = e.rec.Time
	}
	return oldest, onDisk
}

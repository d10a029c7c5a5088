package buffer

import "time"

// tellDropsEvery is how often the log is told of what one session's limits drop.
const tellDropsEvery = monotonic(5 * time.Minute)

// dropsTold is what the log knows of a queue's drops.
type dropsTold struct {
	at    monotonic // 0: never
	count uint64
}

// tellDrops says that the limits of a session's queue drop messages: at the first, and then now and then with how many more there were. An
// upstream is told by gap records instead.
func (s *Store) tellDrops(q *queue, now monotonic) {
	if q.drops == nil || !q.session() || q.logged.at != 0 && now-q.logged.at < tellDropsEvery {
		return
	}
	total := uint64(0)
	for _, n := range q.drops {
		total += n
	}
	if total == q.logged.count {
		return
	}
	s.log.Warn("a session's queue has reached a limit, the oldest messages are dropped: its client is away or too slow", "queue", q.name,
		"dropped", total-q.logged.count, "dropped_since_start", total, "records", q.depth, "bytes", q.size, "online", q.online)
	q.logged = dropsTold{now, total}
}

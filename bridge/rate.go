package bridge

import "time"

// Rate bounds what is sent to an upstream, births and status apart. 0 means no bound.
type Rate struct {
	Messages float64 // per second
	Bytes    float64 // per second, of topics and payloads
}

// bucket is a token bucket that holds one second's worth.
type bucket struct {
	rate, level float64
	at          time.Time
}

// refill brings the level up to date and returns how long it takes until there are n tokens, 0 when there are. No more is asked for than the bucket
// can hold: a message larger than that leaves a debt instead.
func (b *bucket) refill(now time.Time, n float64) time.Duration {
	if b.rate <= 0 {
		return 0
	}
	size := max(1, b.rate)
	if b.at.IsZero() {
		b.level = size
	} else {
		b.level = min(size, b.level+b.rate*now.Sub(b.at).Seconds())
	}
	b.at = now
	if missing := min(n, size) - b.level; missing > 0 {
		return time.Duration(missing/b.rate*float64(time.Second)) + 1
	}
	return 0
}

// limiter holds the two buckets of an upstream. They outlive a connection: a link that breaks often must not get a new burst each time.
type limiter struct{ messages, bytes bucket }

func newLimiter(r Rate) limiter {
	return limiter{bucket{rate: r.Messages}, bucket{rate: r.Bytes}}
}

// take takes one message of size bytes, or takes nothing and returns how long to wait before asking again.
func (l *limiter) take(now time.Time, size int) (wait time.Duration) {
	wait = max(l.messages.refill(now, 1), l.bytes.refill(now, float64(size)))
	if wait == 0 {
		l.messages.level--
		l.bytes.level -= float64(size)
	}
	return wait
}

package bridge

import (
	"math/rand/v2"
	"time"
)

// Bounds of the wait before the next connection.
const (
	backoffMin  = time.Second
	backoffMax  = 5 * time.Minute
	backoffAuth = 30 * time.Second // least wait after the upstream refused the credentials: trying faster gets accounts locked
	backoffCalm = time.Minute      // a connection that lasted so long starts the waits anew
)

// backoff gives the waits between connections: decorrelated jitter, so that a fleet that lost its broker does not return in step.
type backoff struct{ last time.Duration }

// next returns how long to wait after a connection that lasted for lasted and ended with the failure f.
func (b *backoff) next(lasted time.Duration, f failure) time.Duration {
	if lasted >= backoffCalm {
		b.last = 0
	}
	low := backoffMin
	if f == failAuth {
		low = backoffAuth
	}
	high := min(max(3*b.last, 2*low), backoffMax)
	b.last = low + rand.N(high-low+1)
	return b.last
}

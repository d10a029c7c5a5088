package bridge

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// Bounds of the wait before the next connection.
const (
	backoffMin    = time.Second
	backoffMax    = 5 * time.Minute
	backoffAuth   = 30 * time.Second // least wait after the upstream refused the credentials: trying faster gets accounts locked
	backoffCalm   = time.Minute      // a connection that lasted so long starts the waits anew
	backoffSpread = 10 * time.Second // most that the first wait after a calm connection takes
)

// backoff gives the waits between connections: decorrelated jitter, so that a fleet that lost its broker does not return in step.
type backoff struct {
	last   time.Duration
	spread time.Duration // most that the first wait after a calm connection takes, when that is more than backoffSpread
}

// next returns how long to wait after a connection that lasted for lasted and ended with the failure f.
func (b *backoff) next(lasted time.Duration, f failure) time.Duration {
	low := backoffMin
	if f == failAuth {
		low = backoffAuth
	}
	if lasted >= backoffCalm {
		b.last = returning(low, max(2*low, backoffSpread, b.spread))
		return b.last
	}
	high := min(max(3*b.last, 2*low), backoffMax)
	b.last = low + rand.N(high-low+1)
	return b.last
}

// returning is the wait before the first attempt after a calm connection was lost. A fleet may have lost its broker at the same moment: its
// gateways return spread evenly between low and high.
func returning(low, high time.Duration) time.Duration { return low + rand.N(high-low+1) }

// failure is the class of a failed connection: it decides how long to wait.
type failure uint8

const (
	failNetwork failure = iota
	failAuth            // the upstream refused the credentials or the client id
)

func classify(err error) failure {
	for _, refused := range []error{
		packets.ErrorRefusedBadUsernameOrPassword, packets.ErrorRefusedNotAuthorised, packets.ErrorRefusedIDRejected,
	} {
		if errors.Is(err, refused) {
			return failAuth
		}
	}
	return failNetwork
}

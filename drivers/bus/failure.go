package bus

import (
	"errors"
	"sync/atomic"
	"syscall"
)

// Failure is why a port or connection could not be opened, or was lost.
type Failure uint8

// The failures. Those of a serial port are FailureOpen and FailureLost.
const (
	FailureRefused     Failure = iota // nothing listens there
	FailureUnreachable                // no way to the host
	FailureTimeout                    // the host did not answer
	FailureOpen                       // not opened for another reason: no such port, no permission, name not found, TLS
	FailureReset                      // the other side reset the connection
	FailureClosed                     // the other side closed the connection during a conversation
	FailureLost                       // lost for another reason: unplugged, or what came is not the protocol
	failureKinds
)

// String returns the word used in metrics.
func (f Failure) String() string {
	return [...]string{"refused", "unreachable", "timeout", "open", "reset", "closed", "lost", "?"}[min(f, failureKinds)]
}

// What the errors of a connection lose when they are put into words.
var (
	errNoReply = errors.New("no answer to the connection request: is the device switched on, does a firewall stand between?")
	errHungUp  = errors.New("the device closed the connection")
)

// failureOf finds the reason of an error; other is the one for errors that say nothing of it.
func failureOf(err error, other Failure) Failure {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return FailureRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return FailureUnreachable
	case errors.Is(err, errNoReply), errors.Is(err, syscall.ETIMEDOUT):
		return FailureTimeout
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return FailureReset
	case errors.Is(err, errHungUp):
		return FailureClosed
	}
	return other
}

// failureCounts counts failures by reason; they may be read at any time.
type failureCounts [failureKinds]atomic.Uint64

func (c *failureCounts) add(f Failure) { c[f].Add(1) }

// snapshot has those that a serial line or a connection can have, also where none has occurred.
func (c *failureCounts) snapshot(line bool) map[string]uint64 {
	counts := make(map[string]uint64, failureKinds)
	for f := range failureKinds {
		if !line || f == FailureOpen || f == FailureLost {
			counts[f.String()] = c[f].Load()
		}
	}
	return counts
}

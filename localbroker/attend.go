package localbroker

import (
	"context"
	"errors"
	"time"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// Who reads a connection and owns what its reader does. From readsOwn the goroutine that reads moves it, from readsBusy the attendant alone; from
// readsAttended whoever gets there first: the attendant, because something has come, or kill.
const (
	readsOwn      int32 = iota // a goroutine of its own
	readsAttended              // nobody at the moment: its attendant waits for input
	readsBusy                  // its attendant
)

// errSlow is why a reader leaves a connection that goes on: it brings so little that its attendant can read it.
var errSlow = errors.New("little comes")

// pacing is what counts as a slow connection.
type pacing struct {
	reads int           // so many in a row, each of them small, are looked at
	slow  time.Duration // they take so long: the connection is attended from now on
	fast  time.Duration // they take less: it gets a goroutine of its own
}

// normalPacing keeps those apart that would have an attendant do much of what several processors could.
func normalPacing() pacing {
	return pacing{reads: 16, slow: 16 * time.Millisecond, fast: 8 * time.Millisecond}
}

// pace counts reads and tells how long so many of them took.
type pace struct {
	n     int
	since time.Time
}

// took counts a read. With each reads-th one after the first it returns how long these have taken.
func (p *pace) took(reads int, now time.Time) (d time.Duration, ok bool) {
	if p.n == 0 {
		p.since = now
	}
	if p.n++; p.n <= reads {
		return 0, false
	}
	p.n = 0
	return now.Sub(p.since), true
}

// isSlow counts a read of n bytes and reports whether the connection is one for an attendant.
func (c *conn) isSlow(n int) bool {
	if n > smallInput || !c.attendable() || c.attendant.busy(c.heard) {
		c.pace.n = 0
		return false
	}
	d, ok := c.pace.took(c.b.pacing.reads, c.heard)
	return ok && d >= c.b.pacing.slow
}

// isFast counts a read of n bytes and reports whether the connection is none for an attendant any more.
func (c *conn) isFast(n int) bool {
	d, ok := c.pace.took(c.b.pacing.reads, c.heard)
	return n > smallInput || ok && d < c.b.pacing.fast
}

// handleAtOnce handles the packets that have been read, as consume does, but only what can be done without waiting, and leaves for
// conclude what follows from them. It reports whether that was all; if not, and err is nil, consume goes on.
func (c *conn) handleAtOnce(ctx context.Context) (all bool, err error) {
	if c.acks.full(c.b.opts.MaxUnacknowledged) {
		return false, nil
	}
	for !c.mustWait() {
		f, n, err := packet.NextFrame(c.in.data(), c.limit)
		switch {
		case err != nil || n > 0 && !isShort(f):
			return false, nil // consume finds the same
		case n == 0:
			c.commitCollected()
			return !c.mustWait(), nil
		}
		if err := c.take(ctx, f, n); err != nil {
			return false, err
		}
	}
	return false, nil
}

// isShort reports whether handling a packet takes little time and no wait.
func isShort(f packet.Frame) bool {
	switch f.Type() {
	case packet.TypePublish, packet.TypePuback, packet.TypePubrec, packet.TypePubrel, packet.TypePubcomp, packet.TypePingreq:
		return true
	}
	return false
}

// resume goes on with a connection that was attended, in a goroutine of its own. What was read is handled first, unless err says why the
// connection is over.
func (c *conn) resume(ctx context.Context, err error) {
	c.setPatient(true)
	switch {
	case c.rd == nil: // nothing was read
	case err == nil:
		err = c.consume(ctx)
		c.heard = time.Now() // that we have waited is no silence of the client's
	default:
		err = c.conclude(err)
	}
	if err != nil {
		c.end(err)
		c.writers.Done()
		return
	}
	c.serve(ctx)
}

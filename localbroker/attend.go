package localbroker

import (
	"context"
	"errors"
	"time"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// Who reads a connection.
const (
	readsOwn      int32 = iota // a goroutine of its own
	readsAttended              // nobody at the moment: its attendant waits for input
	readsBusy                  // its attendant
)

// errSlow is why a reader leaves a connection that goes on.
var errSlow = errors.New("little comes")

func (c *conn) newReading() *reading {
	c.patience = slowFactor * c.b.opts.StallPatience
	return readings.Get().(*reading)
}

// handleFew handles packets while it can be done at once.
func (c *conn) handleFew(ctx context.Context) (err error, stays bool) {
	if c.acks.full(c.b.opts.MaxUnacknowledged) {
		return nil, false
	}
	for {
		f, n, err := packet.NextFrame(c.in.data(), c.limit)
		switch {
		case err != nil || n > 0 && !swiftly(f):
			return nil, false // it comes to that again
		case n == 0:
			return nil, true
		}
		if err := c.take(ctx, f, n); err != nil {
			return err, false
		}
		if len(c.rd.sink.pressed) > 0 || c.overdue() {
			return nil, false
		}
	}
}

// swiftly reports whether a packet is of a kind that is handled at once.
func swiftly(f packet.Frame) bool {
	switch f.Type() {
	case packet.TypePublish, packet.TypePuback, packet.TypePubrec, packet.TypePubrel, packet.TypePubcomp, packet.TypePingreq:
		return true
	}
	return false
}

// pace counts reads and tells how long so many of them took.
type pace struct {
	n     int
	since time.Time
}

// A connection is attended when paceReads small reads in a row have taken slowPace, and has its own goroutine when they have not taken fastPace.
const (
	paceReads = 16
	slowPace  = 4 * time.Millisecond
	fastPace  = 2 * time.Millisecond
)

// took returns, at each paceReads-th read, how long these have taken.
func (p *pace) took(now time.Time) (d time.Duration, ok bool) {
	if p.n == 0 {
		p.since = now
	}
	if p.n++; p.n <= paceReads {
		return 0, false
	}
	p.n = 0
	return now.Sub(p.since), true
}

// judge decides whether the connection is one for an attendant.
func (c *conn) judge(n int) {
	if n > smallInput || !c.attendable() {
		c.pace.n = 0
		return
	}
	if d, ok := c.pace.took(c.heard); ok && d >= slowPace {
		c.sock.slow = true
	}
}

// resume goes on with a connection that was attended.
func (c *conn) resume(ctx context.Context, err error) {
	c.pace.n = 0
	if c.sock != nil {
		c.sock.slow = false
	}
	switch {
	case c.rd != nil && err == nil:
		err = c.consume(ctx)
	case c.rd != nil:
		err = c.conclude(err)
	case err != nil:
		err = c.silence(err)
	}
	if err == nil {
		c.heard = time.Now()
		c.serve(ctx)
		return
	}
	c.end(err)
	c.writers.Done()
}

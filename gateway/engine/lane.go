package engine

import (
	"context"
	"fmt"

	"github.com/tidegate/tidegate/gateway"
)

// lane takes the commands of one bus through the journal, one after the other. Commits are waited for here, not on the bus.
type lane struct {
	bus         *bus
	queue       chan *order
	answers     *answerer
	clockSynced func() bool
}

// run takes orders until ctx ends. What is in the queue then stays in the journal.
func (l *lane) run(ctx, late context.Context) {
	defer close(l.bus.orders)
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-l.queue:
			l.take(ctx, late, o)
		}
	}
}

// take brings one order to its end, unless ctx ends before it was recorded as started: then it does nothing.
func (l *lane) take(ctx, late context.Context, o *order) {
	if o.direct != nil {
		l.carry(o)
		return
	}
	kept, err := l.answers.kept(ctx, &o.cmd)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		l.answers.refuse(late, o.pos, &o.cmd, gateway.StateFailed, err)
		return
	case kept != nil:
		l.answers.repeat(late, o.pos, &o.cmd, kept)
		return
	}
	if state, err := l.timely(&o.cmd); err != nil {
		l.answers.refuse(late, o.pos, &o.cmd, state, err)
		return
	}
	if o.cmd.ID != "" {
		if err := l.answers.journal.Start(ctx, o.pos); ctx.Err() != nil && err != nil {
			return
		} else if err != nil {
			l.answers.refuse(late, o.pos, &o.cmd, gateway.StateFailed, fmt.Errorf("record the start of the command: %w", err))
			return
		}
	}
	if out := l.hand(o); out.state != "" {
		l.answers.settle(late, o.pos, &o.cmd, out)
	}
}

// hand gives an order to the bus, which may be waiting for its next poll, and waits for what comes of it.
func (l *lane) hand(o *order) outcome {
	l.bus.orders <- o // has room: the order before it has been answered
	l.bus.alarm.Ring()
	return <-o.done
}

// timely refuses a command whose time is over, or cannot be told.
func (l *lane) timely(c *gateway.Command) (gateway.State, error) {
	switch {
	case c.Expires.IsZero():
		return "", nil
	case !l.clockSynced():
		return gateway.StateRejected, fmt.Errorf("the gateway's clock is not synchronised, so it cannot tell whether the command has expired; send it without expires")
	case !l.answers.now().Before(c.Expires):
		return gateway.StateExpired, fmt.Errorf("it expired at %s", c.Expires.Format("2006-01-02T15:04:05.000Z07:00"))
	}
	return "", nil
}

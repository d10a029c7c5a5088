package bridge

import (
	"context"
	"net/url"
	"time"
)

// ask asks the sender to end the epoch in good order.
func (e *epoch) ask(reason string) {
	select {
	case e.leave <- reason:
	default: // another reason came first
	}
}

// lifetime is the part of their lifetime that credentials are used for.
const lifetime = 0.85

// renew asks for a new connection before the credentials end.
func (e *epoch) renew() {
	if e.expires.IsZero() {
		return
	}
	left := time.Duration(lifetime * float64(e.expires.Sub(e.b.opts.Now())))
	timer := time.NewTimer(max(left, time.Second))
	defer timer.Stop()
	select {
	case <-timer.C:
		e.ask(reasonRenew)
	case <-e.ctx.Done():
	}
}

// watchPrimary looks from time to time whether the first server is back while another is in use, and asks to move there.
func (e *epoch) watchPrimary() {
	first := e.b.opts.Servers[0]
	if e.server == first || e.b.opts.RetryPrimary < 0 {
		return
	}
	look := time.NewTicker(e.b.opts.RetryPrimary)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if e.b.reachable(e.ctx, first) {
				e.ask(reasonPrimary)
				return
			}
		case <-e.ctx.Done():
			return
		}
	}
}

// reachable reports whether a server takes connections.
func (b *Bridge) reachable(ctx context.Context, server *url.URL) bool {
	ctx, cancel := context.WithTimeout(ctx, b.opts.ConnectTimeout)
	defer cancel()
	c, err := b.opts.Dial(ctx, server)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

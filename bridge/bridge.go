package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// Bridge is the link to one upstream.
type Bridge struct {
	opts     Options
	log      *slog.Logger
	counters counters
	echoes   *echoes
	window   atomic.Pointer[window] // of the connection that drains; nil: none

	// These belong to the goroutine of Run and what it joins.
	backoff    func(lasted time.Duration, f failure) time.Duration
	insistence func() time.Duration // the wait before refused filters are asked for again
	servers    servers
	rate       limiter
	suspect    suspect
	ceiling    int // how far the window may grow fast

	connectsSeen uint64 // counters.connects when the last connection ended
	short        int    // connections in a row that were made and lost within backoffCalm

	mu         sync.Mutex
	lastError  string
	server     string
	waiting    string
	retryAt    time.Time
	certExpiry time.Time
}

type counters struct {
	connected                                              atomic.Bool
	epoch                                                  atomic.Uint64
	sent, acked, received, parked, dropped, connects, fail atomic.Uint64
	batches                                                atomic.Uint64
}

// New checks the options and fills in defaults. It opens nothing.
func New(o Options) (*Bridge, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("upstream %q: %w", o.Name, err)
	}
	o = o.withDefaults()
	return &Bridge{
		opts: o, log: o.Logger.With("upstream", o.Name), backoff: (&backoff{spread: o.Spread}).next, servers: newServers(o.Servers),
		echoes:     newEchoes(o.In, o.Now),
		insistence: func() time.Duration { return returning(backoffAuth, 2*backoffAuth) },
		rate:       newLimiter(o.Rate), ceiling: o.MaxInflight,
	}, nil
}

// Run keeps the upstream connected until ctx ends, or as far as a lazy start asks for it. It then sends what the window holds, says goodbye,
// and returns nil.
func (b *Bridge) Run(ctx context.Context) error {
	b.mirror(false, 0, reasonStart)
	if b.opts.Spread > 0 {
		b.rest(ctx, waitRetry, rand.N(b.opts.Spread))
	}
	for ctx.Err() == nil {
		if !b.awaitWork(ctx) {
			break
		}
		began := time.Now()
		err := b.epoch(ctx)
		if ctx.Err() != nil {
			break
		}
		b.rest(ctx, waitRetry, b.pauseAfter(err, time.Since(began)))
	}
	return nil
}

// pauseAfter returns how long to wait after an epoch that lasted for lasted and ended with err, and turns to another server when it failed.
func (b *Bridge) pauseAfter(err error, lasted time.Duration) time.Duration {
	least := max(0, b.opts.MinReconnect-lasted)
	if reason, ok := planned(err); ok {
		b.log.Info("upstream was left", "reason", reason)
		if reason == reasonPrimary {
			b.servers.primary()
		}
		return least
	}
	b.failed(err)
	wait := max(least, b.nextWait(classify(err), lasted))
	told := []any{"error", err, "retry_in", wait.Round(time.Millisecond)}
	if hint := b.advice(lasted); hint != "" {
		told = append(told, "hint", hint)
	}
	b.log.Warn("upstream is not connected", told...)
	return wait
}

// nextWait turns to the next server and returns how long to wait for it. The waits grow from one round of the list to the next, not within
// it: a server that works may be the next.
func (b *Bridge) nextWait(f failure, lasted time.Duration) time.Duration {
	if lasted >= backoffCalm {
		b.servers.worked()
	}
	if round := b.servers.fail(time.Now()); round || f == failAuth || lasted >= backoffCalm {
		return b.backoff(lasted, f)
	}
	return returning(backoffMin, 3*backoffMin)
}

func (b *Bridge) failed(err error) {
	b.counters.fail.Add(1)
	b.mu.Lock()
	b.lastError = err.Error()
	b.mu.Unlock()
}

func (b *Bridge) lastFailure() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lastError
}

// What Stats says about waiting.
const (
	waitRetry = "retry"
	waitLazy  = "lazy"
	waitRate  = "rate"
)

// rest waits for d, and says why.
func (b *Bridge) rest(ctx context.Context, why string, d time.Duration) {
	if d <= 0 {
		return
	}
	b.waits(why, b.opts.Now().Add(d))
	defer b.waits("", time.Time{})
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (b *Bridge) waits(why string, until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting, b.retryAt = why, until
}

// lazyLook is how often a lazy upstream looks whether there is enough to send.
const lazyLook = time.Second

// awaitWork waits until there is a reason to connect; false when ctx ends before.
func (b *Bridge) awaitWork(ctx context.Context) bool {
	if !b.opts.Lazy.on() || b.worthIt() {
		return true
	}
	b.waits(waitLazy, time.Time{})
	defer b.waits("", time.Time{})
	look := time.NewTicker(lazyLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-look.C:
			if b.worthIt() {
				return true
			}
		}
	}
}

// worthIt reports whether a lane holds enough to connect for it.
func (b *Bridge) worthIt() bool {
	for _, l := range b.opts.Lanes {
		records, oldest := l.Queue.Depth()
		many := b.opts.Lazy.Records > 0 && records >= b.opts.Lazy.Records
		old := b.opts.Lazy.After > 0 && records > 0 && !oldest.IsZero() && b.opts.Now().Sub(oldest) >= b.opts.Lazy.After
		if many || old {
			return true
		}
	}
	return false
}

// Stats returns a snapshot; any goroutine may call it.
func (b *Bridge) Stats() gateway.BridgeStats {
	c := &b.counters
	st := gateway.BridgeStats{
		Name: b.opts.Name, Connected: c.connected.Load(), Epoch: c.epoch.Load(),
		Sent: c.sent.Load(), Acked: c.acked.Load(), Received: c.received.Load(), Parked: c.parked.Load(),
		Dropped: c.dropped.Load(), Connects: c.connects.Load(), Failures: c.fail.Load(), Batches: c.batches.Load(),
	}
	if w := b.window.Load(); w != nil {
		st.Inflight = int(w.inflight.Load())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	st.LastError, st.Server, st.Waiting, st.RetryAt, st.CertExpiry = b.lastError, b.server, b.waiting, b.retryAt, b.certExpiry
	return st
}

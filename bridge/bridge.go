package bridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/tidegate/tidegate/gateway"
)

// Local is the local broker as the bridge needs it.
type Local interface {
	// Publish takes a record and calls done once when it is safe, or with the reason why it was refused.
	Publish(rec *gateway.Record, done func(error))
}

// Options are what a bridge needs to know. Name, Servers, Queue, Local and Topics are required.
type Options struct {
	Name     string     // of the upstream
	Servers  []*url.URL // mqtt://host:port or mqtts://host:port, tried in turn
	ClientID string
	Username string
	Password func() string               // read at each connect; nil: none
	TLS      func() (*tls.Config, error) // made at each connect, so that files are read anew; nil: the system's certificates
	Out, In  []Route

	KeepAlive      time.Duration // 30 s
	ConnectTimeout time.Duration // 15 s: less makes a client hop for ever while a cluster elects a leader
	WriteTimeout   time.Duration // 10 s
	AckTimeout     time.Duration // 20 s for the oldest publish in flight; then the connection is given up
	MaxInflight    int           // 64 publishes
	MaxPacket      int           // 1 MiB, of what the upstream may send

	Queue  Queue
	Local  Local
	Topics gateway.Topics
	Logger *slog.Logger
	Now    func() time.Time
}

// Bridge is the link to one upstream.
type Bridge struct {
	opts     Options
	log      *slog.Logger
	counters counters
	backoff  backoff
	server   int // index of the server in use: kept while it works

	mu        sync.Mutex
	lastError string
}

type counters struct {
	connected                                              atomic.Bool
	epoch                                                  atomic.Uint64
	sent, acked, received, parked, dropped, connects, fail atomic.Uint64
	inflight                                               atomic.Int64
}

// New checks the options and fills in defaults. It opens nothing.
func New(o Options) (*Bridge, error) {
	if len(o.Servers) == 0 {
		return nil, fmt.Errorf("upstream %q: no server", o.Name)
	}
	for _, u := range o.Servers {
		if u.Scheme != "mqtt" && u.Scheme != "mqtts" {
			return nil, fmt.Errorf("upstream %q: server %s: scheme must be mqtt or mqtts", o.Name, u.Redacted())
		}
	}
	setDefault(&o.KeepAlive, 30*time.Second)
	setDefault(&o.ConnectTimeout, 15*time.Second)
	setDefault(&o.WriteTimeout, 10*time.Second)
	setDefault(&o.AckTimeout, 20*time.Second)
	setDefault(&o.MaxInflight, 64)
	setDefault(&o.MaxPacket, 1<<20)
	if o.TLS == nil {
		o.TLS = func() (*tls.Config, error) { return &tls.Config{MinVersion: tls.VersionTLS12}, nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Bridge{opts: o, log: o.Logger.With("upstream", o.Name)}, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Run keeps the upstream connected until ctx ends. It then sends what the window holds, says goodbye, and returns nil.
func (b *Bridge) Run(ctx context.Context) error {
	b.mirror(false, 0, reasonStart)
	for ctx.Err() == nil {
		began := time.Now()
		err := b.epoch(ctx, b.opts.Servers[b.server])
		if ctx.Err() != nil {
			break
		}
		b.failed(err)
		wait := b.backoff.next(time.Since(began), classify(err))
		b.log.Warn("upstream is not connected", "error", err, "retry_in", wait.Round(time.Millisecond))
		b.server = (b.server + 1) % len(b.opts.Servers)
		sleep(ctx, wait)
	}
	return nil
}

func (b *Bridge) failed(err error) {
	b.counters.fail.Add(1)
	b.mu.Lock()
	b.lastError = err.Error()
	b.mu.Unlock()
}

// Stats returns a snapshot; any goroutine may call it.
func (b *Bridge) Stats() gateway.BridgeStats {
	b.mu.Lock()
	last := b.lastError
	b.mu.Unlock()
	c := &b.counters
	return gateway.BridgeStats{
		Name: b.opts.Name, Connected: c.connected.Load(), Epoch: c.epoch.Load(),
		Sent: c.sent.Load(), Acked: c.acked.Load(), Received: c.received.Load(), Parked: c.parked.Load(),
		Dropped: c.dropped.Load(), Connects: c.connects.Load(), Failures: c.fail.Load(),
		Inflight: int(c.inflight.Load()), LastError: last,
	}
}

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

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

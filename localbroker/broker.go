package localbroker

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// Errors of a broker that is not running.
var (
	ErrNotReady = errors.New("the broker has not recovered its sessions yet, wait for Ready")
	ErrClosed   = errors.New("the broker has stopped")
)

// errShutdown ends the connections when the broker stops.
var errShutdown = errors.New("the broker stops")

// Broker routes messages between LAN clients, the gateway and its durable queues. See the package comment for its locks and goroutines.
type Broker struct {
	opts   Options
	log    *slog.Logger
	stats  counters
	crowd  crowd
	memory memory
	seed   maphash.Seed // of receipts
	pacing pacing

	firstSeq uint64    // of this start: records below it were there before
	began    time.Time // when this start was
	swept    time.Time // when expired retained messages were last looked for; of Run
	started  atomic.Bool
	ready    chan struct{} // closed when the sessions are recovered
	quit     chan struct{} // closed when Run's context has ended
	closed   atomic.Bool   // Run has returned

	// routing is held shared by who publishes to durable consumers or retained state, from the match to the commit, and alone by who
	// changes subscriptions: a dropped session gets no further references, and a new one misses nothing.
	routing  sync.RWMutex
	tree     tree
	routes   routes
	retained retained
	shares   map[string]*share // by whole filter; changed with routing held alone
	soon     chan struct{}     // something is due earlier than was known

	rules      atomic.Uint64 // version of what Options.Access says
	askedSince atomic.Uint64 // records from here on were routed by these rules
	logins     *logins
	refusals   *refusals

	mu       sync.Mutex // of what follows
	clients  map[string]*client
	sessions int // persistent ones
	conns    map[*conn]struct{}
	perAddr  map[string]int
	nextLook time.Time // when tend looks again
	stopping bool
	serves   sync.WaitGroup // calls of Serve, which join their connections
}

// New checks the options and makes a broker. It starts nothing: [Broker.Run] recovers and runs it, [Broker.Serve] adds listeners.
func New(o Options) (*Broker, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Broker{
		opts:     o,
		log:      o.Logger,
		ready:    make(chan struct{}),
		quit:     make(chan struct{}),
		clients:  make(map[string]*client),
		conns:    make(map[*conn]struct{}),
		perAddr:  make(map[string]int),
		shares:   make(map[string]*share),
		soon:     make(chan struct{}, 1),
		retained: retained{byTopic: make(map[string]*kept), maxCount: o.MaxRetained, maxBytes: o.MaxRetainedBytes},
		logins:   newLogins(),
		refusals: newRefusals(),
		crowd:    crowd{began: time.Now()},
		pacing:   normalPacing(),
		seed:     maphash.MakeSeed(),
		memory:   memory{max: int64(o.MaxQueuedTotal)},
	}
	if o.Access != nil {
		b.tree.mayReceive = b.mayReceive
	}
	return b, nil
}

// Ready is closed when Run has recovered the sessions. Messages published before that would miss them and are refused; listeners wait.
func (b *Broker) Ready() <-chan struct{} { return b.ready }

// AddQueue adds a durable consumer. Add those of the configuration before Run, so that the wills of a crash reach them.
func (b *Broker) AddQueue(q QueueSub) {
	b.routing.Lock()
	defer b.routing.Unlock()
	for _, filter := range q.Filters {
		b.tree.add(subscriber{queue: &q, sub: gateway.Subscription{Filter: filter, QoS: 2}})
	}
}

// Run recovers sessions, retained messages and wills from the store, publishes those wills, and keeps the broker alive until ctx
// ends. Then it closes every connection, publishes the wills of clients that were still there, and returns when all of the broker's
// goroutines have ended. It can be called once.
func (b *Broker) Run(ctx context.Context) error {
	if !b.started.CompareAndSwap(false, true) {
		return errors.New("run broker: it has been run before")
	}
	rec, err := b.opts.Store.Recover()
	if err != nil {
		b.stop()
		return fmt.Errorf("recover broker state: %w", err)
	}
	b.restore(rec)
	b.takeUpWills(rec.Wills) // before a client can come back with a new one
	b.look(b.opts.Now())
	close(b.ready)
	var sys sync.WaitGroup
	sys.Go(func() { b.publishSys(ctx) })
	b.tend(ctx)
	sys.Wait()
	b.stop()
	return nil
}

// stop ends the connections and waits for their goroutines.
func (b *Broker) stop() {
	close(b.quit)
	b.mu.Lock()
	b.stopping = true
	b.mu.Unlock()
	b.killAll(func(*conn) bool { return true })
	b.serves.Wait()
	b.closed.Store(true)
}

// killAll ends the connections that which picks.
func (b *Broker) killAll(which func(*conn) bool) {
	b.mu.Lock()
	conns := slices.Collect(maps.Keys(b.conns))
	b.mu.Unlock()
	for _, c := range conns {
		if which(c) {
			c.kill(errShutdown)
		}
	}
}

// running returns why nothing can be published, nil when it can.
func (b *Broker) running() error {
	if b.closed.Load() {
		return ErrClosed
	}
	select {
	case <-b.ready:
		return nil
	default:
		return ErrNotReady
	}
}

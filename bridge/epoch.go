package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// stopGrace bounds what a stop may take to confirm the window and to say goodbye.
const stopGrace = 3 * time.Second

// mqttLevel311 is the protocol level of MQTT 3.1.1. It is set explicitly, because paho otherwise falls back to 3.1 for ever after one refusal.
const mqttLevel311 = 4

var errStopped = errors.New("stopped")

// epoch is one connection: a number, a client that is used once, and the goroutines around it.
type epoch struct {
	b       *Bridge
	n       uint64
	server  *url.URL
	began   time.Time
	expires time.Time // of the credentials; zero: never
	client  mqtt.Client
	run     context.Context         // ends when the bridge is to stop: the window is confirmed first
	ctx     context.Context         // ends when the connection is of no use any more
	cancel  context.CancelCauseFunc // ends ctx with its cause; only the first counts
	leave   chan string             // asks for a farewell for this reason
	slots   chan *inbound           // received and not yet confirmed, in the order of arrival
	conn    atomic.Pointer[guardedConn]

	unserved map[string]byte // filters that the upstream would not serve at first
	suspect  suspect         // as it was when the epoch began
	cleared  bool            // the suspect was acknowledged; the acker's own until it is joined
	head     *flight         // that failed; the acker's own until it is joined
	passed   bool            // what was sent after head is acknowledged; the acker's own until it is joined
}

// epoch connects, replicates until something breaks, ctx ends or there is a reason to leave, and returns why it ended.
func (b *Bridge) epoch(ctx context.Context) error {
	n, err := b.opts.NextEpoch(ctx)
	if err != nil {
		return fmt.Errorf("count the connection: %w", err)
	}
	e := &epoch{
		b: b, n: n, server: b.servers.url(), began: time.Now(), run: ctx, suspect: b.suspect,
		leave: make(chan string, 1), slots: make(chan *inbound, maxUnconfirmed),
	}
	e.ctx, e.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	defer e.cancel(errStopped)
	defer context.AfterFunc(e.ctx, e.hangUp)()
	patient := context.AfterFunc(ctx, func() { e.cancel(errStopped) })
	defer patient()
	if err := e.connect(); err != nil {
		return err
	}
	if !b.opts.InboundPersistent {
		b.echoes.forget()
	}
	b.counters.epoch.Store(n)
	b.counters.connects.Add(1)

	var wg sync.WaitGroup
	wg.Go(e.confirmInbound)
	if err = e.setUp(); err == nil {
		patient() // from here on a stop leaves time for the window
		err = e.serve()
	}
	e.cancel(err)
	e.hangUp() // before paho says DISCONNECT, for which the upstream would forget the will
	e.client.Disconnect(0)
	wg.Wait()
	return err
}

// hangUp closes the connection under paho, which cannot be cancelled while it connects or a write is stuck.
func (e *epoch) hangUp() {
	if c := e.conn.Load(); c != nil {
		c.Close()
	}
}

func (e *epoch) options(c Credentials) *mqtt.ClientOptions {
	o := mqtt.NewClientOptions()
	o.Servers = []*url.URL{e.server}
	o.SetClientID(cmp.Or(c.ClientID, e.b.opts.ClientID)).SetUsername(c.Username).SetPassword(c.Password).SetProtocolVersion(mqttLevel311)
	o.SetCleanSession(!e.b.opts.InboundPersistent).SetAutoReconnect(false).SetConnectRetry(false).SetResumeSubs(false)
	o.SetOrderMatters(true).SetAutoAckDisabled(true).SetStore(noStore{})
	o.SetKeepAlive(e.b.opts.KeepAlive).SetPingTimeout(min(10*time.Second, e.b.opts.KeepAlive))
	o.SetConnectTimeout(e.b.opts.ConnectTimeout).SetWriteTimeout(min(pahoPatience, e.b.opts.WriteTimeout))
	if !e.b.opts.NoWill {
		o.SetBinaryWill(e.b.stateTopic(), e.b.statePayload(false, e.n, reasonLost), byte(e.b.opts.atMost(1)), !e.b.opts.NoRetain)
	}
	o.SetCustomOpenConnectionFn(func(u *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
		return e.dial(u)
	})
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { e.lost(err) })
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { e.receive(m) })
	return o
}

// lost ends the epoch; only the first cause counts.
func (e *epoch) lost(err error) { e.cancel(fmt.Errorf("connection lost: %w", err)) }

func (e *epoch) dial(u *url.URL) (net.Conn, error) {
	c, err := e.b.dial(e.ctx, u, e.lost)
	if err != nil {
		return nil, err
	}
	e.conn.Store(c)
	if e.ctx.Err() != nil {
		c.Close()
	}
	return c, nil
}

// credentials asks for what this connection identifies itself with.
func (e *epoch) credentials() (Credentials, error) {
	o := &e.b.opts
	if o.Credentials == nil {
		return Credentials{}, nil
	}
	c, err := o.Credentials(e.ctx)
	if err != nil {
		return c, fmt.Errorf("get credentials: %w", err)
	}
	e.expires = c.Expires
	return c, nil
}

// connect waits for CONNACK.
func (e *epoch) connect() error {
	e.b.using(e.server)
	c, err := e.credentials()
	if err != nil {
		return err
	}
	e.client = mqtt.NewClient(e.options(c))
	if err := e.wait(e.ctx, e.client.Connect(), 2*e.b.opts.ConnectTimeout); err != nil {
		e.client.Disconnect(0)
		return fmt.Errorf("connect to %s: %w", e.server.Redacted(), err)
	}
	return nil
}

// setUp subscribes, and says that the gateway is there.
func (e *epoch) setUp() error {
	unserved, err := e.subscribe(inwardFilters(e.b.opts.In))
	if err != nil {
		return err
	}
	e.unserved = unserved
	if err := e.publishState(e.ctx, e.b.statePayload(true, e.n, ""), e.b.opts.AckTimeout); err != nil {
		return fmt.Errorf("publish birth: %w", err)
	}
	return nil
}

// serve drains the lanes until the epoch ends.
func (e *epoch) serve() error {
	e.b.counters.connected.Store(true)
	e.b.mirror(true, e.n, "")
	e.b.log.Info("upstream is connected", "server", e.server.Redacted(), "epoch", e.n)
	defer context.AfterFunc(e.run, func() {
		grace := time.AfterFunc(stopGrace, func() { e.cancel(errStopped) })
		context.AfterFunc(e.ctx, func() { grace.Stop() })
	})()
	var wg sync.WaitGroup
	wg.Go(e.renew)
	wg.Go(e.watchPrimary)
	wg.Go(func() { e.insist(e.unserved) })
	err := e.drain()
	e.b.counters.connected.Store(false)
	reason := reasonLost
	if farewell, ok := planned(err); ok {
		reason = farewell
		e.goodbye(reason)
	}
	if e.run.Err() != nil {
		reason = reasonStopped
	}
	e.b.mirror(false, e.n, reason)
	e.cancel(err)
	wg.Wait()
	return err
}

// goodbye publishes the offline state itself, since a broker does not send the will of a client that says DISCONNECT.
func (e *epoch) goodbye(reason string) {
	ctx, cancel := context.WithTimeoutCause(e.ctx, stopGrace, noAnswer(stopGrace))
	defer cancel()
	if err := e.publishState(ctx, e.b.statePayload(false, e.n, reason), stopGrace); err != nil {
		e.b.log.Warn("the upstream did not confirm the offline state", "error", err)
	}
	e.client.Disconnect(250) // milliseconds, for DISCONNECT itself to leave
}

// wait waits for a token, but never longer than ctx or the timeout: paho leaves some tokens open for ever.
func (e *epoch) wait(ctx context.Context, t mqtt.Token, timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	return e.await(ctx, t, timer.C, timeout)
}

func (e *epoch) await(ctx context.Context, t mqtt.Token, late <-chan time.Time, timeout time.Duration) error {
	select {
	case <-t.Done():
		if err := t.Error(); err != nil {
			return because(ctx, err)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-late:
		return noAnswer(timeout)
	}
}

// errNoAnswer is what errors are that come from waiting for the upstream.
var errNoAnswer = errors.New("no answer")

func noAnswer(timeout time.Duration) error { return fmt.Errorf("%w within %v", errNoAnswer, timeout) }

// because returns the cause of ctx's end, which says more than the error of a token.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// noStore is paho's message store, which is not needed: what must not be lost is in the queues. Paho would keep in it what it gave up to send, until the
// connection ends.
type noStore struct{}

// Open implements mqtt.Store, as do the others.
func (noStore) Open()                             {}
func (noStore) Put(string, packets.ControlPacket) {}
func (noStore) Get(string) packets.ControlPacket  { return nil }
func (noStore) All() []string                     { return nil }
func (noStore) Del(string)                        {}
func (noStore) Close()                            {}
func (noStore) Reset()                            {}

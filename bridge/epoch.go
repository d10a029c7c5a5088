package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// stopGrace bounds what a stop may take to confirm the window and to say goodbye.
const stopGrace = 3 * time.Second

// mqttLevel311 is the protocol level of MQTT 3.1.1. It is set explicitly, because paho otherwise falls back to 3.1 for ever after one refusal.
const mqttLevel311 = 4

var errStopped = errors.New("stopped")

// epoch is one connection: a number, a client that is used once, and the goroutines around it.
type epoch struct {
	b      *Bridge
	n      uint64
	client mqtt.Client
	cancel context.CancelCauseFunc // ends the epoch with its cause
	ctx    context.Context
	slots  chan *inbound // received and not yet confirmed, in the order of arrival
	conn   atomic.Pointer[guardedConn]
}

// epoch connects to server, replicates until something breaks or ctx ends, and returns why it ended.
func (b *Bridge) epoch(ctx context.Context, server *url.URL) error {
	n, err := b.opts.Queue.NextEpoch(ctx)
	if err != nil {
		return fmt.Errorf("count the connection: %w", err)
	}
	e := &epoch{b: b, n: n, slots: make(chan *inbound, maxUnconfirmed)}
	e.ctx, e.cancel = context.WithCancelCause(ctx)
	defer e.cancel(errStopped)
	e.client = mqtt.NewClient(e.options(server))
	if err := e.connect(server); err != nil {
		return err
	}
	b.counters.epoch.Store(n)
	b.counters.connects.Add(1)

	var wg sync.WaitGroup
	wg.Go(func() { e.confirmInbound() })
	err = e.serve(ctx, server)
	e.cancel(err)
	e.client.Disconnect(0)
	wg.Wait()
	return err
}

func (e *epoch) options(server *url.URL) *mqtt.ClientOptions {
	o := mqtt.NewClientOptions()
	o.Servers = []*url.URL{server}
	o.SetClientID(e.b.opts.ClientID).SetUsername(e.b.opts.Username).SetProtocolVersion(mqttLevel311)
	if e.b.opts.Password != nil {
		o.SetPassword(e.b.opts.Password())
	}
	o.SetCleanSession(true).SetAutoReconnect(false).SetConnectRetry(false).SetResumeSubs(false)
	o.SetOrderMatters(true).SetAutoAckDisabled(true)
	o.SetKeepAlive(e.b.opts.KeepAlive).SetPingTimeout(min(10*time.Second, e.b.opts.KeepAlive))
	o.SetConnectTimeout(e.b.opts.ConnectTimeout).SetWriteTimeout(e.b.opts.WriteTimeout)
	o.SetBinaryWill(e.b.stateTopic(), e.b.statePayload(false, e.n, reasonLost), 1, true)
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
	c, err := e.b.dial(e.ctx, u, len(e.b.opts.In), e.lost)
	if err != nil {
		return nil, err
	}
	e.conn.Store(c)
	return c, nil
}

// connect waits for CONNACK. Paho's Connect cannot be cancelled, so a stop closes the connection under it.
func (e *epoch) connect(server *url.URL) error {
	defer context.AfterFunc(e.ctx, func() {
		if c := e.conn.Load(); c != nil {
			c.Close()
		}
	})()
	if err := e.wait(e.ctx, e.client.Connect(), 2*e.b.opts.ConnectTimeout); err != nil {
		e.client.Disconnect(0)
		return fmt.Errorf("connect to %s: %w", server.Redacted(), err)
	}
	return nil
}

// serve subscribes, says that the gateway is there, and drains the queue until the epoch ends.
func (e *epoch) serve(ctx context.Context, server *url.URL) error {
	if err := e.subscribe(); err != nil {
		return err
	}
	birth := e.client.Publish(e.b.stateTopic(), 1, true, e.b.statePayload(true, e.n, ""))
	if err := e.wait(e.ctx, birth, e.b.opts.AckTimeout); err != nil {
		return fmt.Errorf("publish birth: %w", err)
	}
	e.b.counters.connected.Store(true)
	e.b.mirror(true, e.n, "")
	e.b.log.Info("upstream is connected", "server", server.Redacted(), "epoch", e.n)
	err := e.drain()
	e.b.counters.connected.Store(false)
	if ctx.Err() != nil {
		e.goodbye()
		e.b.mirror(false, e.n, reasonStopped)
		return errStopped
	}
	e.b.mirror(false, e.n, reasonLost)
	return err
}

// goodbye publishes the offline state itself, since a broker does not send the will of a client that says DISCONNECT.
func (e *epoch) goodbye() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), stopGrace)
	defer cancel()
	t := e.client.Publish(e.b.stateTopic(), 1, true, e.b.statePayload(false, e.n, reasonStopped))
	if err := e.wait(ctx, t, stopGrace); err != nil {
		e.b.log.Warn("the upstream did not confirm the offline state", "error", err)
	}
	e.client.Disconnect(250) // milliseconds, for DISCONNECT itself to leave
}

// wait waits for a token, but never longer than the epoch or the timeout.
func (e *epoch) wait(ctx context.Context, t mqtt.Token, timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-t.Done():
		if t.Error() != nil && ctx.Err() != nil {
			return context.Cause(ctx) // says more than the token
		}
		return t.Error()
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return fmt.Errorf("no answer within %v", timeout)
	}
}

package bridge

import (
	"context"
	"fmt"
	"sync"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

// sent is a publish in flight. The queue is acknowledged when the last publish of a delivery is confirmed.
type sent struct {
	pos   uint64
	token mqtt.Token // nil when the delivery had nothing to send
	last  bool
}

// Limits of the protocol (MQTT 3.1.1, 1.5.3 and 2.2.3).
const (
	maxTopic     = 65535
	maxRemaining = 268435455
)

// readAhead is how many deliveries are fetched from the queue at once.
const readAhead = 64

// drain sends the queue until the epoch ends and returns why. At a stop it lets the window empty first, within stopGrace.
func (e *epoch) drain() error {
	acked := e.b.opts.Queue.Attach()
	defer e.b.opts.Queue.Detach()
	window := make(chan sent, e.b.opts.MaxInflight-1) // one more is at the acker's hand
	var wg sync.WaitGroup
	wg.Go(func() { e.acknowledge(window) })
	err := e.send(acked, window)
	close(window)
	wg.Wait()
	e.b.counters.inflight.Store(0)
	return err
}

// send reads the queue after position after and publishes it. Only this goroutine publishes records: paho blocks a publisher while a
// write is stuck.
func (e *epoch) send(after uint64, window chan<- sent) error {
	buf := make([]gateway.Delivery, readAhead)
	for {
		n, err := e.b.opts.Queue.Read(e.ctx, after, buf)
		if e.ctx.Err() != nil {
			return context.Cause(e.ctx)
		}
		if err != nil {
			return fmt.Errorf("read the queue: %w", err)
		}
		for _, d := range buf[:n] {
			if err := e.publish(d, window); err != nil {
				return err
			}
			after = d.Pos
		}
		clear(buf[:n])
	}
}

// publish sends the messages that the routes make of one delivery.
func (e *epoch) publish(d gateway.Delivery, window chan<- sent) error {
	out := e.b.outgoing(d.Record)
	if reason := unsendable(out); reason != "" {
		e.b.counters.parked.Add(1)
		e.b.log.Warn("record set aside", "pos", d.Pos, "seq", d.Record.Seq, "reason", reason)
		return e.b.opts.Queue.Park(e.ctx, d.Pos, reason)
	}
	if len(out) == 0 { // no route wants it any more
		return e.enqueue(window, sent{pos: d.Pos, last: true})
	}
	for i, m := range out {
		token := e.client.Publish(m.Topic, byte(m.QoS), m.Retain, m.Payload)
		e.b.counters.sent.Add(1)
		if err := e.enqueue(window, sent{pos: d.Pos, token: token, last: i == len(out)-1}); err != nil {
			return err
		}
	}
	return nil
}

// unsendable says why an upstream could never take these messages; "" when it can.
func unsendable(out []*gateway.Message) string {
	for _, m := range out {
		if len(m.Topic) > maxTopic {
			return fmt.Sprintf("topic has %d bytes with its remote prefix, MQTT allows %d", len(m.Topic), maxTopic)
		}
		if len(m.Topic)+len(m.Payload)+4 > maxRemaining {
			return fmt.Sprintf("message has %d bytes, MQTT allows %d", len(m.Payload), maxRemaining)
		}
	}
	return ""
}

func (e *epoch) enqueue(window chan<- sent, s sent) error {
	select {
	case window <- s:
		e.b.counters.inflight.Add(1)
		return nil
	case <-e.ctx.Done():
		return context.Cause(e.ctx)
	}
}

// acknowledge confirms the head of the window to the queue, in order, and ends the epoch when the head fails.
func (e *epoch) acknowledge(window <-chan sent) {
	for s := range window {
		if s.token != nil {
			if err := e.confirmed(s.token); err != nil {
				e.cancel(fmt.Errorf("publish: %w", err))
				for range window { // what follows was not confirmed in order and will be sent again
				}
				return
			}
			e.b.counters.acked.Add(1)
		}
		e.b.counters.inflight.Add(-1)
		if s.last {
			e.b.opts.Queue.Ack(s.pos)
		}
	}
}

// confirmed waits for the head's PUBACK. A stop leaves it stopGrace; a lost connection completes the token by itself.
func (e *epoch) confirmed(t mqtt.Token) error {
	err := e.wait(e.ctx, t, e.b.opts.AckTimeout)
	if err == nil || e.ctx.Err() == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), stopGrace)
	defer cancel()
	return e.wait(ctx, t, stopGrace)
}

// outgoing maps a record to what the upstream gets: each message by the first route that covers its topic.
func (b *Bridge) outgoing(rec *gateway.Record) []*gateway.Message {
	messages := payload.Upstream(rec, b.opts.Topics)
	out := messages[:0:0]
	for _, m := range messages {
		r, remote, ok := firstOutward(b.opts.Out, m.Topic)
		if !ok {
			if _, gap := rec.Body.(*gateway.Gap); !gap {
				continue
			}
			r, remote = Route{QoS: 1}, m.Topic // a gap concerns the upstream itself, whatever its routes are
		}
		out = append(out, &gateway.Message{Topic: remote, Payload: m.Payload, QoS: r.QoS, Retain: r.Retain.apply(m.Retain)})
	}
	return out
}

package localbroker

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// Publish routes a record from inside the process: a message, or a batch of readings. It does not wait, not even for slow subscribers. done (may
// be nil) is called once, from another goroutine or before Publish returns: with nil when the record is safe with each of its durable
// consumers, else with the reason why it is not. Without done nobody waits, and the store may take its time to write it. rec and all it holds
// must not be changed afterwards.
//
// Retained messages of an upstream (rec.Origin is not empty) outlive the process. Those of the gateway itself do not, and nor
// do readings: they are published again after a start.
func (b *Broker) Publish(rec *gateway.Record, done func(error)) {
	err := b.running()
	if err == nil {
		switch body := rec.Body.(type) {
		case *gateway.Message:
			err = b.publishMessage(rec, body, done)
		case *gateway.Batch:
			b.publishBatch(rec, body, done)
		default:
			err = fmt.Errorf("a broker cannot publish a %T", rec.Body)
		}
	}
	if err != nil && done != nil {
		done(fmt.Errorf("publish: %w", err))
	}
}

func (b *Broker) publishMessage(rec *gateway.Record, m *gateway.Message, done func(error)) error {
	if err := packet.ValidTopic(m.Topic); err != nil {
		return err
	}
	if m.QoS > 2 || !levelsFit(m.Topic) {
		return errors.New("QoS above 2, or too many levels in the topic")
	}
	var k sink
	b.routing.RLock()
	r := b.routes.find(&b.tree, m.Topic).resolve(nil)
	t := newTransit(r, rec, b.newMessage(m, rec.Time, len(r.sessions) > 1))
	t.persist, t.limited = rec.Origin != "", rec.Origin != ""
	waits := t.waits()
	t.done = after(waits, done)
	b.pass(t, &k)
	b.routing.RUnlock()
	k.flush(b, 0)
	t.settle()
	if waits == 0 && done != nil {
		done(nil)
	}
	return nil
}

// after returns a function that calls done at its n-th call, or at the first one with an error; nil when done is nil.
func after(n int, done func(error)) func(error) {
	if n <= 1 || done == nil {
		return done
	}
	var left atomic.Int32
	left.Store(int32(n))
	return func(err error) {
		if err != nil && left.Swap(-1) > 0 {
			done(err)
		} else if err == nil && left.Add(-1) == 0 {
			done(nil)
		}
	}
}

// maxBusDirect is to how many subscribers the goroutine of a bus writes a batch itself: for so few, waking their writers would take more time than
// writing. A bus has more to do than to write to many.
const maxBusDirect = 4

// publishBatch commits a batch, which stamps it, and then spreads the messages that it becomes. In between no subscription changes.
func (b *Broker) publishBatch(rec *gateway.Record, batch *gateway.Batch, done func(error)) {
	var k sink
	b.routing.RLock()
	e := b.expand(batch)
	change := e.change(rec)
	waits := len(change.To) > 0
	if waits {
		b.opts.Store.Commit(&change, done)
	} else {
		b.opts.Store.Commit(&change, nil)
	}
	b.spreadBatch(&e, rec, &k)
	b.routing.RUnlock()
	k.flushFew(b)
	if !waits && done != nil {
		done(nil)
	}
}

// spreadBatch makes the messages of a batch that was stamped, and gives them to the sessions that get them through memory. The caller holds the
// routing lock.
func (b *Broker) spreadBatch(e *expansion, rec *gateway.Record, k *sink) {
	for i, m := range e.stamped(rec) {
		r := e.routes[i]
		msg := &message{Message: *m, shared: len(r.sessions) > 1}
		msg.Topic = r.topic // a batch's topics share memory, of which a retained message would keep all
		if m.Retain && !r.noRetain {
			b.retained.set(r.topic, msg, false)
		}
		k.spread(r, msg)
	}
}

// flushFew is flush for the goroutine of a bus.
func (k *sink) flushFew(b *Broker) {
	direct := 0
	if len(k.wakes) <= maxBusDirect {
		direct = maxBusDirect
	}
	k.flush(b, direct)
}

// expansion is a batch with the messages that it becomes and where these go.
type expansion struct {
	batch    *gateway.Batch
	device   *route             // of the batch's topic
	messages []*gateway.Message // with seq 0; nil when there is the device's JSON alone
	routes   []*route           // of each message
	barrier  bool               // one of the queues wants it committed first
}

func (b *Broker) expand(batch *gateway.Batch) expansion {
	e := expansion{batch: batch, device: b.routes.find(&b.tree, batch.Topic)}
	if batch.Publish == gateway.PublishDevice {
		e.routes = []*route{e.device.resolve(nil)}
		return e
	}
	e.messages = payload.Messages(batch, payload.Marks{})
	e.routes = make([]*route, len(e.messages))
	for i, m := range e.messages {
		e.routes[i] = b.routes.find(&b.tree, m.Topic).resolve(nil)
	}
	return e
}

// change is what is committed for the batch of rec.
func (e *expansion) change(rec *gateway.Record) gateway.Change {
	to := e.refs(rec.Origin)
	return gateway.Change{Record: rec, To: to, Barrier: e.barrier}
}

// refs lists the durable consumers: each queue once, with the batch itself, and persistent sessions with each message that they get.
func (e *expansion) refs(origin string) []gateway.Ref {
	var refs []gateway.Ref
	seen := make(map[gateway.QueueID]struct{}, 4)
	queues := func(r *route) {
		for _, q := range r.queues {
			if _, twice := seen[q.Queue]; !twice && (origin == "" || q.Owner != origin) {
				seen[q.Queue] = struct{}{}
				refs = append(refs, gateway.Ref{Queue: q.Queue, QoS: 1, Retain: true})
				e.barrier = e.barrier || q.Barrier
			}
		}
	}
	queues(e.device)
	for i, r := range e.routes {
		queues(r)
		for _, t := range r.sessions {
			if t.qos > 0 && t.session.persistent() {
				refs = append(refs, t.ref(uint16(i+1), 1, true))
			}
		}
	}
	return refs
}

// stamped returns the messages with the record's seq: only the device's JSON, the first, holds it.
func (e *expansion) stamped(rec *gateway.Record) []*gateway.Message {
	switch e.batch.Publish {
	case gateway.PublishDevice:
		return payload.Messages(e.batch, payload.MarksOf(rec))
	case gateway.PublishBoth:
		e.messages[0] = payload.View(rec, 1, gateway.Topics{})
	}
	return e.messages
}

// levelsFit reports whether a topic or filter has no more levels than the trees take.
func levelsFit(topic string) bool { return levelsOf(topic) <= maxLevels }

// levelsOf counts the levels of a topic or filter.
func levelsOf(topic string) int { return strings.Count(topic, "/") + 1 }

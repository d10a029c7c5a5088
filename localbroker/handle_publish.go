package localbroker

import (
	"bytes"
	"errors"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// handlePublish takes a message from the client.
func (c *conn) handlePublish(f packet.Frame) error {
	p := &c.rd.publish
	if err := p.Parse(f, c.version); err != nil {
		return err
	}
	c.rd.count++
	c.rd.payload += uint64(len(p.Payload))
	if c.terms != nil {
		if err := c.admit5(p); err != nil {
			return err
		}
	}
	r, err := c.route(p.Topic)
	if err == nil && collects(p, r) {
		c.collect(p, r)
		return nil
	}
	c.commitCollected()
	if err != nil {
		return c.refusePublish(p, err)
	}
	if r.denied {
		c.denied(r.topic)
		if c.terms != nil && !c.repeats(p) {
			c.answerRefused(p, packet.ReasonNotAuthorized, errMayNotPublish)
			return nil
		} // else it goes on to nowhere, and is answered
	}
	if p.QoS == packet.QoS2 {
		return c.receiveOnce(p, r)
	}
	if p.Retain || r.durable(gateway.QoS(p.QoS)) {
		c.receiveDurable(p, nil)
		return nil
	}
	c.spread(p, r)
	if p.QoS == packet.QoS1 {
		c.ackCode(packet.TypePuback, p.ID, c.taken(r))
	}
	return nil
}

// admit5 checks what only MQTT 5 has in a PUBLISH, and puts in the topic of an alias.
func (c *conn) admit5(p *packet.Publish) error {
	o, s := &c.b.opts, c.session
	if len(p.Props.SubscriptionIDs) > 0 {
		return violation(packet.ReasonProtocolError, "PUBLISH from a client has a subscription identifier [MQTT-3.3.4-6]")
	}
	if p.Props.TopicAlias.Set {
		if err := c.terms.received.resolve(p, o.MaxTopicAliases); err != nil {
			return err
		}
	}
	if p.QoS == 0 || p.QoS == packet.QoS2 && s.inbound[p.ID].here {
		return nil
	}
	if int(c.acks.owed.Load())+len(c.rd.collected.answers)+c.terms.open >= o.ReceiveMaximum {
		return violation(packet.ReasonReceiveMaximumExceeded, "more than %d messages were sent without an answer [MQTT-3.3.4-7]", o.ReceiveMaximum)
	}
	return nil
}

// refusePublish answers a PUBLISH that may not be. Before MQTT 5 there is no other answer than to close the connection.
func (c *conn) refusePublish(p *packet.Publish, reason error) error {
	if c.terms == nil {
		return reason
	}
	if n, due := c.saidMessage.say(c.b.opts.Now()); due {
		c.log.Warn("message refused", "topic", string(p.Topic), "reason", reason, "messages", n)
	}
	code := packet.ReasonNotAuthorized
	var broken *brokenRule
	if errors.As(reason, &broken) && broken.code.Failed() {
		code = broken.code
	}
	c.answerRefused(p, code, reason)
	return nil
}

// repeats reports whether a QoS 2 message was taken before: it is over only when the client releases it.
func (c *conn) repeats(p *packet.Publish) bool {
	_, again := c.session.inbound[p.ID]
	return p.QoS == packet.QoS2 && again
}

// answerRefused tells a client of MQTT 5 that its message was not taken, and why. At QoS 0 there is no answer.
func (c *conn) answerRefused(p *packet.Publish, code packet.ReasonCode, reason error) {
	if p.QoS != packet.QoS0 {
		c.reserve(c.refusal(p, code, reason))
	}
}

// refusal is the answer to a message of QoS 1 or 2 that was not taken.
func (c *conn) refusal(p *packet.Publish, code packet.ReasonCode, reason error) slot {
	ack := packet.Ack{Kind: packet.TypePuback, ID: p.ID, Code: code}
	if p.QoS == packet.QoS2 {
		ack.Kind = packet.TypePubrec
	}
	c.explainTo(&ack.Props, reason.Error(), func() int { return len(ack.Append(nil, packet.V5)) })
	return slot{kind: ack.Kind, data: ack.Append(nil, packet.V5)}
}

// taken is the reason code of a message that was taken.
func (c *conn) taken(r *route) packet.ReasonCode {
	if c.terms != nil && r.empty() {
		return packet.ReasonNoMatchingSubscribers
	}
	return packet.ReasonSuccess
}

// route returns where messages on a topic go, as the subscriptions stand now. Most publishers use few topics, the latest one above all.
func (c *conn) route(topic []byte) (*route, error) {
	gen := c.b.tree.gen.Load()
	if c.last != nil && c.last.gen == gen && c.last.topic == string(topic) {
		return c.last, nil
	}
	r := c.routes[string(topic)]
	if r == nil {
		if err := checkPublishTopic(string(topic), c.bridge); err != nil {
			return nil, err
		}
	}
	if r == nil || r.gen != gen {
		if c.b.rights(c.session).MayPublish(string(topic)) {
			r = c.b.routes.find(&c.b.tree, string(topic))
		} else {
			r = nowhere(topic, gen)
		}
		c.keepRoute(r)
	}
	c.last = r
	return r, nil
}

// keepRoute keeps a route at hand, unless it is too large for that.
func (c *conn) keepRoute(r *route) {
	size := r.size()
	if c.routes == nil || len(c.routes) >= maxConnRoutes || c.routeBytes+size > maxConnRouteBytes {
		c.routes, c.routeBytes = make(map[string]*route), 0
	}
	if size <= maxConnRouteBytes {
		c.routes[r.topic] = r
		c.routeBytes += size // and what it replaces still counts: all go a little sooner
	}
}

// spread gives a message to subscribers in memory alone.
func (c *conn) spread(p *packet.Publish, r *route) {
	if r.special {
		r = r.resolve(c.session)
	}
	if len(r.sessions) > 0 {
		m := new(message)
		c.copyMessage(m, r, p)
		c.rd.sink.spread(r, m)
	}
}

// copyMessage copies a message out of the input.
func (c *conn) copyMessage(m *message, r *route, p *packet.Publish) {
	m.Message = gateway.Message{Topic: r.topic, Payload: bytes.Clone(p.Payload), QoS: gateway.QoS(p.QoS), Retain: p.Retain}
	m.shared = len(r.sessions) > 1
	if c.terms != nil {
		if m.Properties = propertiesOf(&p.Props); expires(&m.Message) {
			m.arrived(c.now())
		}
		if r.replies {
			c.checkResponse(m.Properties)
		}
	}
}

// arrival is a message with the record that durable consumers get, in one piece of memory.
type arrival struct {
	message
	rec gateway.Record
}

// now is when the packets being handled came: the clock is read once for all that one read has brought.
func (c *conn) now() time.Time {
	if c.rd.now.IsZero() {
		c.rd.now = c.b.opts.Now()
	}
	return c.rd.now
}

// receiveDurable takes a message that the store may have to do with: it has durable consumers, or becomes a retained message. ops change
// with it. The client is answered when the store has it.
func (c *conn) receiveDurable(p *packet.Publish, ops []gateway.Op) {
	b := c.b
	b.routing.RLock()
	r, _ := c.route(p.Topic) // again, now that no subscription changes; it was valid before
	code := c.taken(r)
	r = r.resolve(c.session)
	t := c.commitArrival(c.arrive(p, r), r, p.ID, code, ops)
	b.routing.RUnlock()
	t.settle()
}

// arrive copies a message out of the input, for the store.
func (c *conn) arrive(p *packet.Publish, r *route) *arrival {
	a := new(arrival)
	c.copyMessage(&a.message, r, p)
	a.rec = gateway.Record{Time: c.now(), Body: &a.Message}
	return a
}

// commitArrival passes a message on and keeps the place of its answer. The caller holds the routing lock, and settles what is returned when it does
// not any more.
func (c *conn) commitArrival(a *arrival, r *route, id uint16, code packet.ReasonCode, ops []gateway.Op) *transit {
	m := &a.message
	t := &c.rd.transit
	if m.QoS == 2 {
		t = new(transit) // the commit comes back to it
	}
	t.begin(r, &a.rec, m)
	t.persist, t.limited, t.ordered, t.ops = true, true, true, ops
	waits := t.waits()
	switch {
	case m.QoS == 0:
	case m.QoS == 2:
		t.done = c.settle(c.reserve(c.pubrec(id, code, waits, r, m)))
	case waits > 0:
		t.done = c.settle(c.reserve(slot{kind: packet.TypePuback, id: id, code: code, waits: waits}))
	default:
		c.ackCode(packet.TypePuback, id, code)
	}
	if m.QoS < 2 || waits > 0 {
		c.b.pass(t, &c.rd.sink)
	}
	return t
}

// pubrec is the answer to a QoS 2 message. Subscribers in memory get the message when it is ready, and so in the order in which the
// messages came, whether these had to wait or not.
func (c *conn) pubrec(id uint16, code packet.ReasonCode, waits int, r *route, m *message) slot {
	c.rd.sink.press(r)
	return slot{kind: packet.TypePubrec, id: id, code: code, waits: waits, then: func() { c.b.spreadNow(r, m) }}
}

// receiveOnce takes a QoS 2 message (MQTT 3.1.1, 4.3.3): its id is remembered until the client releases it, so that a repetition is answered, but
// not published again. Another message with the id of one that was not released is refused, or taken before MQTT 5, which has no word for it: it
// must not be lost as if it were the repetition.
func (c *conn) receiveOnce(p *packet.Publish, r *route) error {
	s := c.session
	was, known := s.inbound[p.ID]
	sum := c.b.sumOf(p)
	again := known && !was.differs(sum)
	if known && !again && c.terms != nil {
		c.refuseReused(p)
		return nil
	}
	if !known && len(s.inbound) >= c.b.opts.MaxUnacknowledged {
		return breach("too many QoS 2 messages were sent and not released: %s refused", packet.TypePublish, "MQTT-4.3.3-1")
	}
	if s.inbound == nil {
		s.inbound = make(map[uint16]receipt, 1)
	}
	s.inbound[p.ID] = receipt{sum, true}
	if c.terms != nil && !was.here {
		c.terms.open++
	}
	switch {
	case s.persistent():
		c.receiveStored(p, again)
	case again:
		c.ack(packet.TypePubrec, p.ID)
	case p.Retain || r.durable(2) || c.acks.waiting.Load() > 0:
		c.receiveDurable(p, nil)
	default:
		c.spread(p, r)
		c.ackCode(packet.TypePubrec, p.ID, c.taken(r))
	}
	return nil
}

// receiveStored takes a QoS 2 message from a persistent session, whose packet id outlives connection and process.
func (c *conn) receiveStored(p *packet.Publish, again bool) {
	ops := []gateway.Op{gateway.PutInbound{Queue: c.session.queue, PacketID: p.ID}}
	if !again {
		c.receiveDurable(p, ops)
		return
	}
	// The first one may not be committed yet: the answer waits for a commit after it.
	done := c.settle(c.reserve(slot{kind: packet.TypePubrec, id: p.ID, waits: 1}))
	c.b.opts.Store.Commit(&gateway.Change{Ops: ops, Barrier: true}, done)
}

package localbroker

import (
	"bytes"

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
	r, err := c.route(p.Topic)
	if err != nil {
		return err
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
		c.ack(packet.TypePuback, p.ID)
	}
	return nil
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
			return nil, &brokenRule{err: err}
		}
	}
	if r == nil || r.gen != gen {
		r = c.b.routes.find(&c.b.tree, string(topic))
		if c.routes == nil || len(c.routes) >= maxConnRoutes {
			c.routes = make(map[string]*route)
		}
		c.routes[r.topic] = r
	}
	c.last = r
	return r, nil
}

// spread gives a message to subscribers in memory alone.
func (c *conn) spread(p *packet.Publish, r *route) {
	if len(r.sessions) > 0 {
		c.rd.sink.spread(r, newMessage(r, p))
	}
}

// newMessage copies a message out of the input.
func newMessage(r *route, p *packet.Publish) *message {
	return &message{
		Message: gateway.Message{Topic: r.topic, Payload: bytes.Clone(p.Payload), QoS: gateway.QoS(p.QoS), Retain: p.Retain},
		shared:  len(r.sessions) > 1,
	}
}

// receiveDurable takes a message that the store may have to do with: it has durable consumers, or becomes a retained message. ops change
// with it. The client is answered when the store has it.
func (c *conn) receiveDurable(p *packet.Publish, ops []gateway.Op) {
	b := c.b
	b.routing.RLock()
	r, _ := c.route(p.Topic) // again, now that no subscription changes; it was valid before
	m := newMessage(r, p)
	t := newTransit(r, &gateway.Record{Time: b.opts.Now(), Body: &m.Message}, m)
	t.persist, t.limited, t.ordered, t.ops = true, true, true, ops
	waits := t.waits()
	switch {
	case p.QoS == 0:
	case p.QoS == 2:
		t.done = c.settle(c.reserve(c.pubrec(p.ID, waits, r, m)))
	case waits > 0:
		t.done = c.settle(c.reserve(slot{kind: packet.TypePuback, id: p.ID, waits: waits}))
	default:
		c.ack(packet.TypePuback, p.ID)
	}
	if p.QoS < 2 || waits > 0 {
		b.pass(t, &c.rd.sink)
	}
	b.routing.RUnlock()
	t.settle()
}

// pubrec is the answer to a QoS 2 message. Subscribers in memory get the message when it is ready, and so in the order in which the
// messages came, whether these had to wait or not.
func (c *conn) pubrec(id uint16, waits int, r *route, m *message) slot {
	c.rd.sink.press(r)
	return slot{kind: packet.TypePubrec, id: id, waits: waits, then: func() { c.b.spreadNow(r, m) }}
}

// receiveOnce takes a QoS 2 message (MQTT 3.1.1, 4.3.3): its id is remembered until the client releases it, so that a repetition is answered, but
// not published again.
func (c *conn) receiveOnce(p *packet.Publish, r *route) error {
	s := c.session
	_, again := s.inbound[p.ID]
	if !again && len(s.inbound) >= c.b.opts.MaxUnacknowledged {
		return breach("too many QoS 2 messages were sent and not released: %s refused", packet.TypePublish, "MQTT-4.3.3-1")
	}
	if s.inbound == nil {
		s.inbound = make(map[uint16]struct{}, 1)
	}
	s.inbound[p.ID] = struct{}{}
	switch {
	case s.persistent():
		c.receiveStored(p, again)
	case again:
		c.ack(packet.TypePubrec, p.ID)
	case p.Retain || r.durable(2) || c.acks.waiting.Load() > 0:
		c.receiveDurable(p, nil)
	default:
		c.spread(p, r)
		c.ack(packet.TypePubrec, p.ID)
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

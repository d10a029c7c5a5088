package localbroker

import (
	"strings"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// handleSubscribe adds subscriptions. They hold from now on, and the retained messages that match are sent; SUBACK waits until all of that
// is committed, when the session is persistent.
func (c *conn) handleSubscribe(f packet.Frame) error {
	var p packet.Subscribe
	if err := p.Parse(f, c.version); err != nil {
		return err
	}
	ack := packet.Suback{ID: p.ID, Codes: make([]packet.ReasonCode, len(p.Subscriptions))}
	var granted []gateway.Subscription
	for i, sub := range p.Subscriptions {
		if reason := c.refuseFilter(sub.Filter, len(granted)); reason != "" {
			c.log.Warn("subscription refused", "filter", sub.Filter, "reason", reason)
			ack.Codes[i] = packet.ReasonUnspecifiedError
			continue
		}
		ack.Codes[i] = packet.ReasonCode(sub.QoS)
		granted = append(granted, gateway.Subscription{Filter: sub.Filter, QoS: gateway.QoS(sub.QoS)})
	}
	c.subscribe(granted, slot{kind: packet.TypeSuback, data: ack.Append(nil, c.version)})
	return nil
}

// refuseFilter says why a filter that is otherwise valid is not granted, "" when it is.
func (c *conn) refuseFilter(filter string, more int) string {
	switch {
	case strings.HasPrefix(filter, "$share/"):
		return "shared subscriptions are not served yet"
	case !levelsFit(filter):
		return "too many levels"
	case c.session.subscriptions()+more >= c.b.opts.MaxSubscriptions && !c.session.has(filter):
		return "the session has too many subscriptions, raise max_subscriptions"
	}
	return ""
}

// subscribe adds subscriptions and hands over the retained messages. The routing lock keeps messages from slipping between the two, or from
// overtaking the older retained ones.
func (c *conn) subscribe(subs []gateway.Subscription, ack slot) {
	b, s := c.b, c.session
	b.routing.Lock()
	defer b.routing.Unlock()
	var ops []gateway.Op
	for _, sub := range subs {
		s.put(sub)
		b.tree.add(subscriber{session: s, sub: sub})
		ops = append(ops, gateway.PutSubscription{Queue: s.queue, Subscription: sub})
	}
	if !s.persistent() {
		c.reserve(ack)
		for _, sub := range subs {
			c.replay(sub, nil)
		}
		return
	}
	var changes []*gateway.Change
	for _, sub := range subs {
		changes = c.replay(sub, changes)
	}
	if len(ops) > 0 {
		changes = append(changes, &gateway.Change{Ops: ops})
	}
	ack.waits = len(changes)
	done := c.settle(c.reserve(ack))
	for _, change := range changes {
		b.opts.Store.Commit(change, done)
	}
}

// replay sends the retained messages of a new subscription: through memory, or for QoS 1 and 2 of a persistent session as changes to be
// committed, so that they are not lost with the connection.
func (c *conn) replay(sub gateway.Subscription, changes []*gateway.Change) []*gateway.Change {
	s := c.session
	c.b.retained.match(sub.Filter, func(m *message) {
		qos := min(m.QoS, sub.QoS)
		if qos == 0 || !s.persistent() {
			c.rd.sink.note(s, s.offer(item{msg: m, qos: qos, retain: true}))
			return
		}
		changes = append(changes, &gateway.Change{
			Record:  &gateway.Record{Time: c.b.opts.Now(), Body: &m.Message},
			To:      []gateway.Ref{{Queue: s.queue, QoS: qos, Retain: true}},
			Barrier: qos == 2,
		})
	})
	return changes
}

// handleUnsubscribe removes subscriptions. What is already on its way may still arrive (MQTT 3.1.1, 3.10.4-3).
func (c *conn) handleUnsubscribe(f packet.Frame) error {
	var p packet.Unsubscribe
	if err := p.Parse(f, c.version); err != nil {
		return err
	}
	ack := packet.Unsuback{ID: p.ID}
	answer := slot{kind: packet.TypeUnsuback, data: ack.Append(nil, c.version)}
	b, s := c.b, c.session
	b.routing.Lock()
	defer b.routing.Unlock()
	var ops []gateway.Op
	for _, filter := range p.Filters {
		s.delete(filter)
		b.tree.remove(subscriber{session: s, sub: gateway.Subscription{Filter: filter}})
		ops = append(ops, gateway.DropSubscription{Queue: s.queue, Filter: filter})
	}
	if !s.persistent() {
		c.reserve(answer)
		return nil
	}
	answer.waits = 1
	b.opts.Store.Commit(&gateway.Change{Ops: ops}, c.settle(c.reserve(answer)))
	return nil
}

// put adds a subscription to the session's own list.
func (s *session) put(sub gateway.Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subs == nil {
		s.subs = make(map[string]gateway.Subscription, 1)
	}
	s.subs[sub.Filter] = sub
}

func (s *session) delete(filter string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.subs, filter)
}

func (s *session) has(filter string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.subs[filter]
	return ok
}

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
	if err := c.awaitReplay(); err != nil {
		return err
	}
	var granted []gateway.Subscription
	first, why := "", ""
	levels := c.session.levels()
	for i, sub := range p.Subscriptions {
		levels += levelsOf(sub.Filter)
		if code, reason := c.refuseFilter(sub.Filter, len(granted), levels); reason != "" {
			levels -= levelsOf(sub.Filter)
			if first == "" {
				first, why = sub.Filter, reason
			}
			ack.Codes[i] = code
			continue
		}
		ack.Codes[i] = packet.ReasonCode(sub.QoS)
		granted = append(granted, subscription(&sub, p.Props.SubscriptionIDs))
	}
	if why != "" {
		c.tellRefused(first, why, len(p.Subscriptions)-len(granted))
	}
	c.explainTo(&ack.Props, why, func() int { return len(ack.Append(nil, c.version)) })
	c.subscribe(granted, slot{kind: packet.TypeSuback, data: ack.Append(nil, c.version)})
	return nil
}

// tellRefused says in the log that a SUBSCRIBE was refused, wholly or in part.
func (c *conn) tellRefused(filter, why string, filters int) {
	if n, due := c.saidFilter.say(c.b.opts.Now()); due {
		c.log.Warn("subscription refused", "filter", filter, "reason", why, "filters", filters, "packets", n)
	}
}

// subscription is what a SUBSCRIBE with at most one identifier asks for.
func subscription(p *packet.Subscription, ids []uint32) gateway.Subscription {
	sub := gateway.Subscription{
		Filter: p.Filter, QoS: gateway.QoS(p.QoS),
		NoLocal: p.NoLocal, RetainAsPublished: p.RetainAsPublished, RetainHandling: uint8(p.RetainHandling),
	}
	if len(ids) > 0 {
		sub.Identifier = ids[0]
	}
	return sub
}

// refuseFilter says why a filter that is otherwise valid is not granted, "" when it is. With it, the session's filters have so many levels.
func (c *conn) refuseFilter(filter string, more, levels int) (packet.ReasonCode, string) {
	name, rest, shared := packet.SplitShare(filter)
	switch {
	case shared && (name == "" || rest == "" || strings.ContainsAny(name, "+#")): // MQTT 5 refuses the packet
		return packet.ReasonTopicFilterInvalid, "a shared subscription is $share/name/filter, without wildcards in the name [MQTT-4.8.2-2]"
	case !levelsFit(filter):
		return packet.ReasonTopicFilterInvalid, "too many levels"
	case !c.maySubscribe(rest):
		return packet.ReasonNotAuthorized, "the client may not receive anything that it matches"
	case c.session.subscriptions()+more >= c.b.opts.MaxSubscriptions && !c.session.has(filter):
		return packet.ReasonQuotaExceeded, "the session has too many subscriptions, raise max_subscriptions"
	case levels > c.b.opts.MaxSubscriptions*fairLevels && !c.session.has(filter):
		return packet.ReasonQuotaExceeded, "the filters of the session have too many levels in all, raise max_subscriptions"
	}
	return 0, ""
}

// subscribe adds subscriptions and hands over the retained messages. The routing lock keeps messages from slipping between the two, or from
// overtaking the older retained ones.
func (c *conn) subscribe(subs []gateway.Subscription, ack slot) {
	b, s := c.b, c.session
	b.routing.Lock()
	defer b.routing.Unlock()
	var ops []gateway.Op
	greet := make([]bool, len(subs))
	for i, sub := range subs {
		greet[i] = greets(sub, s.has(sub.Filter))
		s.put(sub)
		b.graft(s, sub)
		ops = append(ops, gateway.PutSubscription{Queue: s.queue, Subscription: sub})
	}
	if !s.persistent() {
		c.reserve(ack)
	}
	var changes []*gateway.Change
	room := b.opts.MaxQueued
	for i, sub := range subs {
		if greet[i] && room >= 0 {
			changes = c.replay(sub, changes, &room)
		}
	}
	if room < 0 {
		c.log.Warn("subscriptions match more retained messages than may wait, the others are not sent", "max", b.opts.MaxQueued)
	}
	if !s.persistent() {
		return
	}
	if len(ops) > 0 {
		changes = append(changes, &gateway.Change{Ops: ops})
	}
	if ack.waits = len(changes); ack.waits > largeReplay {
		replayed := make(chan struct{})
		c.replayed, ack.then = replayed, func() { close(replayed) }
	}
	done := c.settle(c.reserve(ack))
	for _, change := range changes {
		b.opts.Store.Commit(change, done)
	}
}

// largeReplay is how many retained messages make a client wait with its next SUBSCRIBE until they are committed.
const largeReplay = 64

// awaitReplay waits until what the last SUBSCRIBE has brought is committed, if that was much: with a few bytes for each, a client could have
// all retained messages queued for it over and over, faster than any disk takes them.
func (c *conn) awaitReplay() error {
	if c.replayed == nil {
		return nil
	}
	c.flush()
	select {
	case <-c.replayed:
		c.replayed = nil
		return nil
	case <-c.closed:
		return c.reason
	}
}

// greets reports whether a subscription is sent the retained messages (MQTT 5, 3.8.3.1). One that is shared never is (MQTT 5, 4.8.2).
func greets(sub gateway.Subscription, existed bool) bool {
	_, _, shared := packet.SplitShare(sub.Filter)
	switch packet.RetainHandling(sub.RetainHandling) {
	case packet.RetainNever:
		return false
	case packet.RetainOnNewSubscribe:
		return !shared && !existed
	}
	return !shared
}

// replay sends the retained messages of a new subscription: through memory, or for QoS 1 and 2 of a persistent session as changes to be
// committed, so that they are not lost with the connection. room is for how many there is room; it is below 0 when there were more.
func (c *conn) replay(sub gateway.Subscription, changes []*gateway.Change, room *int) []*gateway.Change {
	s, now, may := c.session, c.b.opts.Now(), c.b.rights(c.session)
	var to target
	to.merge(s, &sub)
	c.b.retained.match(sub.Filter, func(m *message) {
		if !may.MayReceive(m.Topic) {
			return
		}
		came := now
		if expires(&m.Message) {
			came = m.came()
			if _, ok := remaining(&m.Message, now.Sub(came)); !ok {
				return // MQTT-3.3.2-5
			}
		}
		if *room--; *room < 0 {
			c.rd.sink.dropped++
			return
		}
		qos := min(m.QoS, sub.QoS)
		if qos == 0 || !s.persistent() {
			c.rd.sink.note(s, s.offer(item{msg: m, to: to.tag(), qos: qos, retain: true, replay: true}))
			return
		}
		changes = append(changes, &gateway.Change{
			Record:  &gateway.Record{Time: came, Body: &m.Message},
			To:      []gateway.Ref{{Queue: s.queue, View: greeting(sub), QoS: qos, Retain: true}},
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
	b, s := c.b, c.session
	b.routing.Lock()
	defer b.routing.Unlock()
	ack := packet.Unsuback{ID: p.ID}
	var ops []gateway.Op
	for _, filter := range p.Filters {
		code := packet.ReasonSuccess
		if !s.delete(filter) {
			code = packet.ReasonNoSubscriptionExisted
		}
		ack.Codes = append(ack.Codes, code)
		b.prune(s, filter)
		ops = append(ops, gateway.DropSubscription{Queue: s.queue, Filter: filter})
	}
	answer := slot{kind: packet.TypeUnsuback, data: ack.Append(nil, c.version)}
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
	s.subs.put(sub)
	s.subGen++
}

// delete removes a subscription and reports whether it was there.
func (s *session) delete(filter string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subGen++
	return s.subs.remove(filter)
}

func (s *session) has(filter string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subs.has(filter)
}

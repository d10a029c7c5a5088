package localbroker

import (
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// keepWill remembers the will, here and, for a crash, in the store.
func (c *conn) keepWill(w *packet.Will) {
	if w == nil {
		return
	}
	c.will = &gateway.PutWill{ClientID: c.session.id, User: c.session.user, Message: &gateway.Message{
		Topic: w.Topic, Payload: append([]byte(nil), w.Payload...), QoS: gateway.QoS(w.QoS), Retain: w.Retain,
		Properties: propertiesOf(&w.Props),
	}}
	c.checkResponse(c.will.Message.Properties) // it may be a command
	c.will.Delay = time.Duration(w.Props.WillDelay.Value) * time.Second
	c.b.opts.Store.Commit(&gateway.Change{Ops: []gateway.Op{*c.will}}, nil)
}

// publishWill publishes the will of a connection that ended without DISCONNECT (MQTT 3.1.1, 3.1.2.5), and forgets it in the same
// transaction.
func (b *Broker) publishWill(w *gateway.PutWill) {
	if !b.mayWill(w) {
		return
	}
	var k sink
	defer k.flush(b, 0)
	b.routing.RLock()
	defer b.routing.RUnlock()
	now := b.opts.Now()
	r := b.routes.find(&b.tree, w.Message.Topic).resolve(nil)
	t := newTransit(r, &gateway.Record{Time: now, Body: w.Message}, b.newMessage(w.Message, now, len(r.sessions) > 1))
	t.ops = []gateway.Op{gateway.DropWill{ClientID: w.ClientID}}
	t.persist, t.limited = true, true
	b.pass(t, &k)
}

// postpone keeps the will of a connection that has ended until its delay has passed (MQTT 5, 3.1.3.2.2). The client may come back before. It is
// looked for when the connection is not registered any more.
func (b *Broker) postpone(cl *client, w *gateway.PutWill, now time.Time) {
	w.Due = now.Add(w.Delay)
	b.mu.Lock()
	cl.will = w
	b.mu.Unlock()
	b.opts.Store.Commit(&gateway.Change{Ops: []gateway.Op{*w}}, nil)
}

// takeWill takes away the will that waits for its delay, nil when there is none.
func (b *Broker) takeWill(cl *client) *gateway.PutWill {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := cl.will
	cl.will = nil
	return w
}

// cancelWill forgets the will that waits for its delay, because the session has a connection again (MQTT-3.1.3-9).
func (b *Broker) cancelWill(cl *client) {
	if w := b.takeWill(cl); w != nil {
		b.opts.Store.Commit(&gateway.Change{Ops: []gateway.Op{gateway.DropWill{ClientID: w.ClientID}}}, nil)
	}
}

// takeUpWills goes on with the wills that the store has kept: those of connections that were alive when the process crashed are published,
// or begin to wait for their delay now.
func (b *Broker) takeUpWills(wills []gateway.PutWill) {
	now := b.opts.Now()
	for i := range wills {
		w := &wills[i]
		b.mu.Lock()
		cl := b.clients[w.ClientID]
		b.mu.Unlock()
		switch {
		case cl == nil || w.Delay == 0 || b.opts.lifetime(cl.session.expiry) == 0:
			b.log.Info("publishing the will of a client that was connected when the gateway stopped", "client", w.ClientID, "topic", w.Message.Topic)
			b.publishWill(w)
		case w.Due.IsZero():
			b.postpone(cl, w, now)
		default:
			if latest := now.Add(w.Delay); w.Due.After(latest) {
				w.Due = latest // the clock was set back
			}
			b.mu.Lock()
			cl.will = w
			b.mu.Unlock()
		}
	}
}

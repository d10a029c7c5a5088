package localbroker

import (
	"github.com/tidegate/tidegate/gateway"
)

// publishWill publishes the will of a connection that ended without DISCONNECT (MQTT 3.1.1, 3.1.2.5), and forgets it in the same
// transaction.
func (b *Broker) publishWill(clientID string, m *gateway.Message) {
	b.routing.RLock()
	defer b.routing.RUnlock()
	r := b.routes.find(&b.tree, m.Topic)
	t := newTransit(r, &gateway.Record{Time: b.opts.Now(), Body: m}, &message{Message: *m, shared: len(r.sessions) > 1})
	t.ops = []gateway.Op{gateway.DropWill{ClientID: clientID}}
	t.persist, t.limited = true, true
	var k sink
	b.pass(t, &k)
	k.flush(b)
}

// publishRecoveredWills publishes the wills of connections that were alive when the process crashed.
func (b *Broker) publishRecoveredWills(wills []gateway.PutWill) {
	for _, w := range wills {
		b.log.Info("publishing the will of a client that was connected when the gateway stopped", "client", w.ClientID, "topic", w.Message.Topic)
		b.publishWill(w.ClientID, w.Message)
	}
}

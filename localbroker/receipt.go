package localbroker

import (
	"errors"
	"hash/maphash"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// errIDInUse is what a client of MQTT 5 is told that gives one identifier to two messages.
var errIDInUse = errors.New("another QoS 2 message with this packet identifier has not been released yet: the state of the session differs, and this one was not taken")

// receipt is what is remembered of a QoS 2 message until the client releases it.
type receipt struct {
	sum  uint64 // of the message; 0: not known, it came before this start
	here bool   // it came over the present connection
}

// sumOf returns what tells a message from another one with the same packet identifier.
func (b *Broker) sumOf(p *packet.Publish) uint64 {
	var h maphash.Hash
	h.SetSeed(b.seed)
	h.Write(p.Topic)
	h.WriteByte(0) // no topic has one (MQTT-1.5.4-2)
	h.Write(p.Payload)
	return max(h.Sum64(), 1)
}

// differs tells whether a message is certainly another one than that of the receipt. DUP does not say it: MQTT.js and others repeat without.
func (r receipt) differs(sum uint64) bool { return r.sum != 0 && r.sum != sum }

// refuseReused answers a client of MQTT 5 whose message has the identifier of another one. After the failure the identifier may stand for a
// new message (MQTT-4.3.3-9).
func (c *conn) refuseReused(p *packet.Publish) {
	if n, due := c.saidMessage.say(c.b.opts.Now()); due {
		c.log.Warn("message refused: its packet identifier is in use", "topic", string(p.Topic), "id", p.ID, "messages", n)
	}
	c.forget(p.ID)
	answer := c.refusal(p, packet.ReasonPacketIDInUse, errIDInUse)
	s := c.session
	if !s.persistent() {
		c.reserve(answer)
		return
	}
	answer.waits = 1
	done := c.settle(c.reserve(answer))
	c.b.opts.Store.Commit(&gateway.Change{Ops: []gateway.Op{gateway.DropInbound{Queue: s.queue, PacketID: p.ID}}}, done)
}

// forget makes the identifier of a QoS 2 message stand for none. It reports whether it stood for one.
func (c *conn) forget(id uint16) bool {
	was, known := c.session.inbound[id]
	if was.here && c.terms != nil {
		c.terms.open--
	}
	delete(c.session.inbound, id)
	return known
}

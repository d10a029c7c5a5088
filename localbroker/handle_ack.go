package localbroker

import (
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// handleAck takes a step of the exchanges of QoS 1 and 2, in either direction. PUBREL carries an id that the client has chosen, the others
// one of ours.
func (c *conn) handleAck(f packet.Frame) error {
	a := &c.rd.ack
	if err := a.Parse(f, c.version); err != nil {
		return err
	}
	switch a.Kind {
	case packet.TypePuback, packet.TypePubcomp:
		c.rd.pubacks = append(c.rd.pubacks, confirmation{a.Kind, a.ID})
	case packet.TypePubrec:
		if a.Code.Failed() { // the client does not want it: that ends the exchange (MQTT 5, 4.3.3)
			c.rd.pubacks = append(c.rd.pubacks, confirmation{a.Kind, a.ID})
			break
		}
		c.received(a.ID)
	case packet.TypePubrel:
		c.released(a.ID)
	}
	return nil
}

// confirmation is a PUBACK, a PUBCOMP, or a PUBREC that refuses the message.
type confirmation struct {
	kind packet.Type
	id   uint16
}

// settlePubacks takes the confirmed deliveries out of flight, many at once.
func (c *conn) settlePubacks() {
	rd := c.rd
	if len(rd.pubacks) == 0 {
		return
	}
	s := c.session
	s.mu.Lock()
	for _, a := range rd.pubacks {
		if pos, ok := s.confirm(a); ok {
			rd.acked = append(rd.acked, pos)
		}
	}
	s.advanced()
	rd.more = rd.more || s.out.live > 0 || s.persistent()
	s.mu.Unlock()
	rd.pubacks = rd.pubacks[:0]
}

// tellStore has the store forget what the client has confirmed.
func (c *conn) tellStore() {
	rd, s := c.rd, c.session
	if len(rd.acked) > 0 && s.persistent() {
		c.b.opts.Store.Ack(s.queue, rd.acked...)
	}
	rd.acked = rd.acked[:0]
}

// confirm ends one delivery. What does not fit a delivery in flight is ignored: it may be a repetition.
func (s *session) confirm(a confirmation) (pos uint64, ok bool) {
	want := stageSent
	switch a.kind {
	case packet.TypePubcomp:
		want = stageReleased
	case packet.TypePubrec:
		want = stageSent2
	}
	f := s.window.find(a.id)
	if f == nil || f.stage != want {
		return 0, false
	}
	pos = f.pos
	delete(s.received, pos)
	delete(s.flying, pos)
	s.window.finish(f)
	return pos, true
}

// received handles PUBREC: the client has the message, from now on only PUBREL is sent for it. A PUBREC for a delivery that is over is
// answered all the same, so that the client can forget its id.
func (c *conn) received(id uint16) {
	s := c.session
	s.mu.Lock()
	f := s.window.find(id)
	known := f != nil && f.stage != stageSent
	var pos uint64
	if known {
		pos = f.pos
		f.stage = stageReleased
	}
	if known && s.persistent() {
		if s.received == nil {
			s.received = make(map[uint64]struct{}, 1)
		}
		s.received[pos] = struct{}{}
	}
	s.mu.Unlock()
	if !known || !s.persistent() {
		c.ackCode(packet.TypePubrel, id, c.found(known))
		return
	}
	done := c.settle(c.reserve(slot{kind: packet.TypePubrel, id: id, waits: 1}))
	c.b.opts.Store.Commit(&gateway.Change{Ops: []gateway.Op{gateway.PutReceived{Queue: s.queue, Pos: pos}}}, done)
}

// released handles PUBREL: the client will not repeat its message, its id may name another one. An id that is not known is committed and
// answered too, since its removal may still be on the way.
func (c *conn) released(id uint16) {
	s := c.session
	known := c.forget(id)
	if !s.persistent() {
		c.ackCode(packet.TypePubcomp, id, c.found(known))
		return
	}
	done := c.settle(c.reserve(slot{kind: packet.TypePubcomp, id: id, waits: 1, code: c.found(known)}))
	c.b.opts.Store.Commit(&gateway.Change{Ops: []gateway.Op{gateway.DropInbound{Queue: s.queue, PacketID: id}}}, done)
}

// found is the reason code of an answer about a packet identifier that is known, or is not.
func (c *conn) found(known bool) packet.ReasonCode {
	if known || c.terms == nil {
		return packet.ReasonSuccess
	}
	return packet.ReasonPacketIDNotFound
}

// handlePing answers at once, past answers that wait for the store: a slow disk must not look like a dead broker.
func (c *conn) handlePing(f packet.Frame) error {
	var p packet.Pingreq
	if err := p.Parse(f, c.version); err != nil {
		return err
	}
	if !c.acks.open.Load() { // nothing comes before CONNACK
		var resp packet.Pingresp
		c.reserve(slot{kind: packet.TypePingresp, data: resp.Append(nil, c.version)})
		return nil
	}
	c.rd.early = append(c.rd.early, byte(packet.TypePingresp)<<4, 0)
	return nil
}

// handleDisconnect ends the connection, without a will (MQTT 3.1.1, 3.14.4-3) unless the reason is another one than that all is well (MQTT-3.14.4-3).
func (c *conn) handleDisconnect(f packet.Frame) error {
	var p packet.Disconnect
	if err := p.Parse(f, c.version); err != nil {
		return err
	}
	if e := p.Props.SessionExpiry; e.Set {
		if c.terms.expiry == 0 && e.Value != 0 {
			return violation(packet.ReasonProtocolError, "DISCONNECT sets a session expiry where CONNECT had none [section 3.14.2.2.2]")
		}
		c.session.setExpiry(expiryOf(e.Value))
	}
	if p.Code != packet.ReasonSuccess {
		return errWillWanted
	}
	return errDisconnect
}

package localbroker

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// pull is a connection's hold on its persistent session's queue in the store. Only its writer uses it, but for readable.
type pull struct {
	after    uint64             // position of the last delivery that was read
	pending  []gateway.Delivery // read, and not yet sent
	readable atomic.Bool        // the store may have more
	rec      *gateway.Record    // the batch that views was made from
	views    []*gateway.Message
}

// maxPull is how many deliveries are read at once.
const maxPull = maxGather

// wakeDurable is called by the store when the session's queue may have more.
func (c *conn) wakeDurable() {
	c.pull.readable.Store(true)
	c.wake()
}

// takeDurable moves deliveries from the session's queue into flight, as far as the window allows. Unless it may wait, it does not read the
// disk, but notes in s that this comes next.
func (c *conn) takeDurable(to []delivery, s *scratch, wait bool) []delivery {
	p := c.pull
	for len(to) < maxGather {
		if len(p.pending) == 0 && !c.readMore(s, wait) {
			break
		}
		before := len(to)
		to = c.fly(to, s)
		if len(to) == before {
			break // the window is full
		}
	}
	if len(p.pending) == 0 {
		p.pending = nil
	} else { // packet identifiers have run out, and the room is the scratch's
		p.pending = slices.Clone(p.pending)
	}
	if len(s.skipped) > 0 {
		c.b.opts.Store.Ack(c.session.queue, s.skipped...)
		s.skipped = s.skipped[:0]
	}
	return to
}

// readMore reads the next deliveries, as many as the window has room for.
func (c *conn) readMore(s *scratch, wait bool) bool {
	p := c.pull
	c.session.mu.Lock()
	room := c.session.window.room(c.window)
	c.session.mu.Unlock()
	if room <= 0 || !p.readable.Swap(false) {
		return false
	}
	if s.pulled == nil {
		s.pulled = make([]gateway.Delivery, maxPull)
	}
	n, err := c.readStore(s.pulled[:min(room, maxPull)], s, wait)
	if err != nil {
		c.kill(&coded{packet.ReasonImplementationError, fmt.Errorf("read the session's queue: %w", err)})
		return false
	}
	if n == 0 {
		return false
	}
	p.readable.Store(true)
	p.pending = s.pulled[:n]
	p.after = p.pending[n-1].Pos
	return true
}

func (c *conn) readStore(buf []gateway.Delivery, s *scratch, wait bool) (int, error) {
	p, store := c.pull, c.b.opts.Store
	if wait {
		return store.Read(c.session.queue, p.after, buf)
	}
	n, ok := store.ReadNow(c.session.queue, p.after, buf)
	if !ok {
		p.readable.Store(true)
		s.disk = true
	}
	return n, nil
}

// fly puts pending deliveries into flight.
func (c *conn) fly(to []delivery, s *scratch) []delivery {
	p, ses := c.pull, c.session
	first, n := len(to), 0
	ses.mu.Lock()
	for n < len(p.pending) && ses.window.room(c.window) > 0 && ses.window.fits(p.pending[n].Pos) {
		to = append(to, ses.launch(&p.pending[n]))
		n++
	}
	ses.mu.Unlock()
	for i := range n {
		c.load(&to[first+i], &p.pending[i], s)
	}
	clear(p.pending[:n])
	p.pending = p.pending[n:]
	return to
}

// launch enters one delivery into the window and says how it is to be sent. The session's lock is held.
func (s *session) launch(g *gateway.Delivery) delivery {
	d := delivery{id: packetID(g.Pos), pos: g.Pos, qos: max(g.QoS, 1), retain: g.Retain, dup: g.Pos <= s.sent}
	if !d.dup && s.crashDup > 0 && g.Record.Seq < s.conn.b.firstSeq {
		s.crashDup--
		d.dup = true
		d.unsent = !g.Record.ClockUnset && g.Record.Time.After(s.left)
	}
	s.sent = max(s.sent, g.Pos)
	if _, d.release = s.received[g.Pos]; d.release {
		s.window.push(g.Pos, stageReleased)
	} else {
		s.window.push(g.Pos, sentStage(d.qos))
	}
	return d
}

// load finds the message of a delivery. One that has none, such as a gap that the client has not asked for, or that has expired before it
// was ever sent, counts as acknowledged.
func (c *conn) load(d *delivery, g *gateway.Delivery, s *scratch) {
	if d.release {
		return
	}
	if d.msg = c.view(g); d.msg != nil && c.fresh(d, g.Record) {
		if c.terms != nil {
			d.ids = c.identifiersOf(d.msg.Topic, g)
		}
		return
	}
	d.skipped = true
	s.skipped = append(s.skipped, g.Pos)
	c.session.mu.Lock()
	if f := c.session.window.find(d.id); f != nil {
		c.session.window.finish(f)
	}
	c.session.mu.Unlock()
}

// fresh reports whether a delivery has not expired, and notes how long it still has. What may have been sent before is sent again all the
// same: the client may be waiting for the rest of the exchange.
func (c *conn) fresh(d *delivery, rec *gateway.Record) (ok bool) {
	if !expires(d.msg) {
		return true
	}
	if d.left, ok = remaining(d.msg, c.b.age(rec)); ok || d.dup && !d.unsent {
		return true
	}
	c.b.stats.dropped.Add(1)
	return false
}

// age is how long ago a record came. One that was taken while nothing kept the clock right is at most as old as this start, because its
// time says nothing.
func (b *Broker) age(rec *gateway.Record) time.Duration {
	now := b.opts.Now()
	if rec.ClockUnset {
		return min(now.Sub(rec.Time), now.Sub(b.began))
	}
	return now.Sub(rec.Time)
}

// view returns the message of a delivery. The messages of a batch mostly come one after the other, so they are made once.
func (c *conn) view(g *gateway.Delivery) *gateway.Message {
	switch body := g.Record.Body.(type) {
	case *gateway.Message:
		if c.b.withdrawn(c.session, g.Record, body.Topic) {
			return nil
		}
		return body
	case *gateway.Batch:
		return c.viewBatch(body, g)
	case *gateway.Gap:
		c.log.Warn("the session has lost messages", "from", body.From, "to", body.To, "count", body.Count, "reason", body.Reason)
		c.b.stats.dropped.Add(body.Count)
		m := payload.View(g.Record, 0, c.b.opts.Topics)
		if c.session.matches(m.Topic) {
			return m
		}
	}
	return nil
}

func (c *conn) viewBatch(b *gateway.Batch, g *gateway.Delivery) *gateway.Message {
	p := c.pull
	if p.rec != g.Record {
		p.rec, p.views = g.Record, payload.Messages(b, payload.MarksOf(g.Record))
	}
	if i := int(g.View&^gateway.ViewShared) - 1; i >= 0 && i < len(p.views) && !c.b.withdrawn(c.session, g.Record, p.views[i].Topic) {
		return p.views[i]
	}
	return nil
}

package localbroker

import (
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// How many messages are committed at once. What a read brings is more at times, and consumers need not wait for all of it; and subscribers in
// memory get them at once, so they are a small part of what may wait for one of these: a publisher notices in time that it has to wait.
const (
	maxCollected = 128
	queueShare   = 16 // of MaxQueued, one in so many
)

// collected is messages of one read that go to the store in the same way, to be committed and answered together: the locks that each of them
// needs, and the clock, are then taken once. Whatever else the client sends is handled after they are committed, so that nothing
// overtakes them.
type collected struct {
	qos      gateway.QoS // of all
	arrivals []*arrival
	routes   []*route
	answers  []slot // none at QoS 0
	changes  []gateway.Change
}

// collects reports whether a message is one that can be committed with others: its record alone goes to the store, to where the route says.
func collects(p *packet.Publish, r *route) bool {
	return p.QoS < packet.QoS2 && !p.Retain && !r.special && len(r.refs[p.QoS]) > 0
}

// collect takes a message that collects.
func (c *conn) collect(p *packet.Publish, r *route) {
	g := &c.rd.collected
	if g.qos != gateway.QoS(p.QoS) || len(g.arrivals) >= min(maxCollected, c.b.opts.MaxQueued/queueShare) {
		c.commitCollected()
	}
	g.qos = gateway.QoS(p.QoS)
	g.arrivals = append(g.arrivals, c.arrive(p, r))
	g.routes = append(g.routes, r)
	if p.QoS > 0 {
		g.answers = append(g.answers, slot{kind: packet.TypePuback, id: p.ID, waits: 1})
	}
}

// commitCollected hands the store what has been collected.
func (c *conn) commitCollected() {
	g, b := &c.rd.collected, c.b
	if len(g.arrivals) == 0 {
		return
	}
	b.routing.RLock()
	if g.fits(b.tree.gen.Load()) {
		c.commitAll(g)
	} else {
		c.commitEach(g)
	}
	b.routing.RUnlock()
	g.clear()
}

// fits reports whether all routes are as the subscriptions stand.
func (g *collected) fits(gen uint64) bool {
	for _, r := range g.routes {
		if r.gen != gen {
			return false
		}
	}
	return true
}

// commitAll commits what the subscriptions have not changed for since. The caller holds the routing lock.
func (c *conn) commitAll(g *collected) {
	for i, a := range g.arrivals {
		r := g.routes[i]
		g.changes = append(g.changes, gateway.Change{Record: &a.rec, To: r.refs[g.qos], Barrier: r.barrier})
	}
	if g.qos == 0 {
		c.b.opts.Store.CommitAll(g.changes, nil, 0)
	} else {
		c.b.opts.Store.CommitAll(g.changes, c, c.reserveAll(g.answers...))
	}
	for i, a := range g.arrivals {
		c.rd.sink.spread(g.routes[i], &a.message)
	}
}

// commitEach finds the route of each message anew. The caller holds the routing lock.
func (c *conn) commitEach(g *collected) {
	for i, a := range g.arrivals {
		r, _ := c.route([]byte(a.Topic)) // it was valid before
		var id uint16
		if g.qos > 0 {
			id = g.answers[i].id
		}
		code := c.taken(r)
		r = r.resolve(c.session)
		a.shared = len(r.sessions) > 1
		if r.replies && a.Properties != nil {
			c.checkResponse(a.Properties)
		}
		c.commitArrival(a, r, id, code, nil)
	}
}

func (g *collected) clear() {
	clear(g.arrivals)
	clear(g.routes)
	clear(g.changes)
	g.arrivals, g.routes, g.answers, g.changes = g.arrivals[:0], g.routes[:0], g.answers[:0], g.changes[:0]
}

// Committed takes one wait off answers, by their numbers: the store has what they answer.
func (c *conn) Committed(numbers []uint64, err error) {
	if err != nil {
		c.storeFailed(err)
		return
	}
	c.mayLeave(c.acks.complete(numbers...))
}

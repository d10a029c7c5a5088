package localbroker

import (
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// transit is one message on its way through the router. Section 7 of the design is carried out here: which answer waits for what.
type transit struct {
	rec     *gateway.Record // what durable consumers get
	msg     *message        // what subscribers in memory get
	route   *route
	to      []gateway.Ref // its durable consumers
	keep    bool          // it becomes the retained message of its topic
	limited bool          // the limits on retained messages apply
	persist bool          // the retained message outlives the process
	ops     []gateway.Op  // what changes with it
	done    func(error)   // called waits times; nil: nobody waits
	ordered bool          // at QoS 2 the caller spreads the message, when done tells it to
	owed    int           // calls of done that turned out to have nothing to wait for; made by settle

	change gateway.Change
}

// newTransit prepares a record that holds a message for pass. The caller holds the broker's routing lock, under which it has found the route.
func newTransit(r *route, rec *gateway.Record, m *message) *transit {
	t := new(transit)
	t.begin(r, rec, m)
	return t
}

// begin is newTransit in memory that there is.
func (t *transit) begin(r *route, rec *gateway.Record, m *message) {
	*t = transit{rec: rec, route: r, msg: m, keep: m.Retain && !r.noRetain}
	t.to = r.refs[m.QoS]
	if r.dynamic || m.Retain || rec.Origin != "" {
		t.to = r.to(m.QoS, m.Retain, rec.Origin)
	}
}

// commits reports whether the message itself, or what changes with it, goes to the store.
func (t *transit) commits() bool { return len(t.to)+len(t.ops) > 0 }

// waits is how often done will be called: once for the message when it has durable consumers, and for QoS 1 and 2 once for its
// retained copy; at QoS 2 one commit covers both.
func (t *transit) waits() int {
	n := 0
	if t.commits() {
		n++
	}
	if t.keep && t.persist && t.msg.QoS > 0 {
		n++
	}
	if t.msg.QoS == 2 {
		return min(n, 1)
	}
	return n
}

// pass routes one message: retained copy, durable consumers, subscribers in memory. It does not wait. The caller still holds the routing lock,
// so that no session can be dropped between its match and its commit.
func (b *Broker) pass(t *transit, k *sink) {
	if t.msg.QoS == 2 && t.waits() > 0 {
		b.passAfterCommit(t)
		return
	}
	if t.keep {
		b.retain(t)
	}
	if t.commits() {
		t.change = gateway.Change{To: t.to, Ops: t.ops, Barrier: t.route.barrier}
		if len(t.to) > 0 {
			t.change.Record = t.rec
		}
		b.opts.Store.Commit(&t.change, t.done)
	}
	k.spread(t.route, t.msg)
}

// retain replaces the retained message, in memory and with a commit of its own, so that the message itself can still be elided.
func (b *Broker) retain(t *transit) {
	b.retained.order.Lock()
	defer b.retained.order.Unlock()
	kept := b.setRetained(t)
	if !t.persist {
		return
	}
	done := t.done
	if t.msg.QoS == 0 {
		done = nil // coalesced by the store; nobody waits
	}
	if kept {
		b.opts.Store.Commit(&gateway.Change{Ops: []gateway.Op{gateway.PutRetained{Message: &t.msg.Message, Time: t.rec.Time}}}, done)
	} else if done != nil {
		t.owed++
	}
}

// settle makes the calls of done that nothing has to be waited for. The caller holds no lock any more.
func (t *transit) settle() {
	for ; t.owed > 0; t.owed-- {
		t.done(nil)
	}
}

// passAfterCommit is the way of QoS 2: all state in one transaction, subscribers after it.
func (b *Broker) passAfterCommit(t *transit) {
	if t.keep {
		b.retained.order.Lock()
		defer b.retained.order.Unlock()
		if b.setRetained(t) && t.persist {
			t.ops = append(t.ops, gateway.PutRetained{Message: &t.msg.Message, Time: t.rec.Time})
		}
	}
	t.change = gateway.Change{To: t.to, Ops: t.ops, Barrier: true}
	if len(t.to) > 0 {
		t.change.Record = t.rec
	}
	if t.commits() {
		b.opts.Store.Commit(&t.change, t.committed(b))
	} else { // the limits left nothing to commit
		t.committed(b)(nil)
	}
}

// committed returns what follows the commit of a QoS 2 message.
func (t *transit) committed(b *Broker) func(error) {
	return func(err error) {
		if err == nil && !t.ordered {
			b.spreadNow(t.route, t.msg)
		}
		if t.done != nil {
			t.done(err)
		}
	}
}

// spreadNow gives a message to subscribers in memory outside of any batch.
func (b *Broker) spreadNow(r *route, m *message) {
	var k sink
	k.spread(r, m)
	k.flush(b, 0)
}

// setRetained replaces the retained message in memory, and says in the log now and then when a limit forbids it. The caller holds the order of
// retained messages.
func (b *Broker) setRetained(t *transit) bool {
	if b.retained.set(t.route.topic, t.msg, t.limited) {
		return true
	}
	if now := time.Now(); now.Sub(b.retained.told) >= time.Minute {
		b.retained.told = now
		_, refused := b.retained.stats()
		b.log.Warn("messages are delivered but not retained, the limit of retained messages is reached", "topic", t.msg.Topic,
			"max_messages", b.opts.MaxRetained, "max_bytes", b.opts.MaxRetainedBytes, "refused_so_far", refused)
	}
	return false
}

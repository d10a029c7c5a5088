package localbroker

import (
	"context"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// client is one client identifier, with its connection and its persistent session. The broker's mu guards all but turn.
type client struct {
	// turn is held, by sending to it, while a CONNECT with this identifier is worked on: a second one waits until the first has its
	// CONNACK on the way, and then takes over.
	turn    chan struct{}
	users   int // who hold the turn or wait for it
	conn    *conn
	online  *session         // of conn
	session *session         // persistent, online or not; nil when there is none
	will    *gateway.PutWill // waits for its delay; nil when there is none
}

// claim takes the turn of a client identifier.
func (b *Broker) claim(ctx context.Context, id string) (*client, error) {
	b.mu.Lock()
	cl := b.clients[id]
	if cl == nil {
		cl = &client{turn: make(chan struct{}, 1)}
		b.clients[id] = cl
	}
	cl.users++
	b.mu.Unlock()
	select {
	case cl.turn <- struct{}{}:
		return cl, nil
	case <-ctx.Done():
		b.leave(id, cl)
		return nil, fmt.Errorf("wait for another connection with the same client identifier: %w", ctx.Err())
	}
}

// release gives the turn back.
func (b *Broker) release(id string, cl *client) {
	<-cl.turn
	b.leave(id, cl)
}

func (b *Broker) leave(id string, cl *client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	cl.users--
	b.forget(id, cl)
}

// forget removes a client of whom there is nothing to know. The broker's mu is held.
func (b *Broker) forget(id string, cl *client) {
	if cl.users == 0 && cl.conn == nil && cl.session == nil && cl.will == nil && b.clients[id] == cl {
		delete(b.clients, id)
	}
}

// evict closes the connection that the client has, if any, and waits until it is gone: its will published, its session detached. The caller has
// the turn.
func (b *Broker) evict(ctx context.Context, cl *client) error {
	b.mu.Lock()
	old := cl.conn
	if old == nil {
		b.mu.Unlock()
		return nil
	}
	if old.gone == nil {
		old.gone = make(chan struct{})
	}
	gone := old.gone
	b.mu.Unlock()
	old.kill(errTakenOver)
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("take over from %s: %w", old.remote, ctx.Err())
	}
}

// register makes c, whose session is open, the client's connection.
func (b *Broker) register(cl *client, c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.client = cl
	cl.conn, cl.online = c, c.session
}

// unregister takes c away from its client, which lets the next CONNECT go on.
func (b *Broker) unregister(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.client.conn, c.client.online = nil, nil
	b.expect(c.client.deadline(&b.opts))
	b.forget(c.session.id, c.client)
}

// dropSession forgets a persistent session with all its state. A will that waits for its delay is published now (MQTT 5, 3.1.3.2.2), and what
// came through shared subscriptions goes to others. The caller has the client's turn, and the session has no connection. done may be nil.
func (b *Broker) dropSession(cl *client, done func(error)) {
	s := cl.session
	if w := b.takeWill(cl); w != nil {
		b.publishWill(w)
	}
	shared := s.sharedFilters()
	b.forgetSubscriptions(s) // and who had chosen it before has committed now: nothing comes to its queue any more
	b.bequeath(s, shared)
	b.mu.Lock()
	cl.session = nil
	b.sessions-- // before its client hears of it, and others take its place
	b.mu.Unlock()
	b.opts.Store.Commit(&gateway.Change{Ops: []gateway.Op{gateway.DropSession{Queue: s.queue}}}, done)
}

// forgetSubscriptions takes a session that ends out of the tree.
func (b *Broker) forgetSubscriptions(s *session) {
	if s.subscriptions() == 0 {
		return
	}
	b.routing.Lock()
	defer b.routing.Unlock()
	b.removeSubscriptions(s)
}

// removeSubscriptions takes a session out of the tree. The caller holds the routing lock.
func (b *Broker) removeSubscriptions(s *session) {
	s.mu.Lock()
	subs := s.subs
	s.subs = nil
	s.mu.Unlock()
	for _, sub := range subs {
		b.prune(s, sub.Filter)
	}
}

// graft adds a subscription to where messages find it. The caller holds the routing lock.
func (b *Broker) graft(s *session, sub gateway.Subscription) {
	if _, _, shared := packet.SplitShare(sub.Filter); shared {
		b.joinShare(s, sub)
		return
	}
	b.tree.add(subscriber{session: s, sub: sub})
}

// prune removes a subscription from where messages find it. The caller holds the routing lock.
func (b *Broker) prune(s *session, filter string) {
	if _, _, shared := packet.SplitShare(filter); shared {
		b.leaveShare(s, filter)
		return
	}
	b.tree.remove(subscriber{session: s, sub: gateway.Subscription{Filter: filter}})
}

// newSession makes a persistent session for the client, unless there are too many.
func (b *Broker) newSession(cl *client, id, user string, expiry time.Duration) (*session, error) {
	b.mu.Lock()
	if b.sessions >= b.opts.MaxSessions {
		b.mu.Unlock()
		return nil, fmt.Errorf("there are %d persistent sessions already, raise max_sessions or connect with a clean session", b.opts.MaxSessions)
	}
	b.sessions++
	b.mu.Unlock()
	s := &session{id: id, user: user, expiry: expiry, queue: b.opts.Store.Queue("session/" + id)}
	b.mu.Lock()
	cl.session = s
	b.mu.Unlock()
	return s, nil
}

// restore takes over what the store has kept from before this start.
func (b *Broker) restore(rec *gateway.Recovered) {
	b.began = b.opts.Now()
	b.restoreRetained(rec.Retained)
	var stamp gateway.Record // for nobody: to learn where the numbers of this start begin
	b.opts.Store.Commit(&gateway.Change{Record: &stamp}, nil)
	b.firstSeq = stamp.Seq
	b.askedSince.Store(b.firstSeq) // the rules may have changed while the process was away
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.opts.Now()
	var ops []gateway.Op
	for i := range rec.Sessions {
		st := &rec.Sessions[i]
		if st.Disconnected.IsZero() { // was connected at the crash, which is when its absence begins
			st.Disconnected = now
			ops = append(ops, st.PutSession)
		}
		s := b.restoreSession(st, now)
		b.clients[s.id] = &client{turn: make(chan struct{}, 1), session: s}
		b.sessions++
		for _, sub := range st.Subscriptions {
			b.graft(s, sub)
		}
	}
	if len(ops) > 0 {
		b.opts.Store.Commit(&gateway.Change{Ops: ops}, nil)
	}
}

func (b *Broker) restoreSession(st *gateway.SessionState, now time.Time) *session {
	s := &session{
		id: st.ClientID, user: st.User, queue: st.Queue,
		expiry:   st.Expiry,
		inbound:  make(map[uint16]receipt, len(st.Inbound)),
		received: make(map[uint64]struct{}, len(st.Received)),
		subs:     make(subs, 0, len(st.Subscriptions)),
		crashDup: b.opts.MaxInflight,
		left:     st.Disconnected,
		offline:  offlineSince(st.Disconnected, now, b.opts.lifetime(st.Expiry)),
	}
	for _, id := range st.Inbound {
		s.inbound[id] = receipt{}
	}
	for _, pos := range st.Received {
		s.received[pos] = struct{}{}
	}
	for _, sub := range st.Subscriptions {
		s.subs.put(sub)
	}
	return s
}

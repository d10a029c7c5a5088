package localbroker

import (
	"slices"
	"sync"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// share is a shared subscription, "$share/name/filter": each message goes to one of its members (MQTT 5, 4.8.2). It has one place in the
// tree. Members come and go with the routing lock held alone; mu lets those who publish take turns, and is a leaf lock but for session.mu.
type share struct {
	filter string                              // whole
	topics string                              // the filter alone
	may    func(s *session, topic string) bool // whether a member may receive a topic; nil: it may

	mu      sync.Mutex
	members []member
	turn    int
}

type member struct {
	session *session
	sub     gateway.Subscription
}

func (m *member) target(sh *share) target {
	t := target{share: sh}
	t.merge(m.session, &m.sub)
	return t
}

// joinShare makes a session a member, or replaces its subscription. The caller holds the routing lock.
func (b *Broker) joinShare(s *session, sub gateway.Subscription) {
	sh := b.shares[sub.Filter]
	if sh == nil {
		_, topics, _ := packet.SplitShare(sub.Filter)
		sh = &share{filter: sub.Filter, topics: topics, may: b.tree.mayReceive}
		b.shares[sub.Filter] = sh
		b.tree.add(subscriber{share: sh, sub: gateway.Subscription{Filter: topics}})
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if i := sh.find(s); i >= 0 {
		sh.members[i].sub = sub
		return
	}
	if len(sh.members) > 0 {
		b.stats.sharing.Add(1)
	}
	sh.members = append(sh.members, member{s, sub})
}

// leaveShare ends a membership, and the share with the last one. The caller holds the routing lock.
func (b *Broker) leaveShare(s *session, filter string) {
	sh := b.shares[filter]
	if sh == nil {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	i := sh.find(s)
	if i < 0 {
		return
	}
	sh.members = slices.Delete(sh.members, i, i+1)
	if len(sh.members) > 0 {
		b.stats.sharing.Add(-1)
		return
	}
	delete(b.shares, filter)
	b.tree.remove(subscriber{share: sh, sub: gateway.Subscription{Filter: sh.topics}})
}

func (sh *share) find(s *session) int {
	return slices.IndexFunc(sh.members, func(m member) bool { return m.session == s })
}

// elect returns the member that gets the next message: those who are connected by turns, and while nobody is, those by turns whose session
// is kept. It is false when nobody can have the message.
func (sh *share) elect(topic string) (t target, ok bool) {
	return sh.electIf(topic, func(m *member, online bool) int {
		switch {
		case online:
			return 2
		case m.session.persistent() && m.sub.QoS > 0:
			return 1
		}
		return 0
	})
}

// electIf returns the next member, by turns, of those whose worth is highest and not 0.
func (sh *share) electIf(topic string, worth func(m *member, online bool) int) (t target, ok bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	best, highest := -1, 0
	for k := range sh.members {
		i := (sh.turn + k) % len(sh.members)
		m := &sh.members[i]
		if w := worth(m, m.session.online()); w > highest && (sh.may == nil || sh.may(m.session, topic)) {
			best, highest = i, w
		}
	}
	if best < 0 {
		return t, false
	}
	sh.turn = (best + 1) % len(sh.members)
	return sh.members[best].target(sh), true
}

// online reports whether the session has a connection.
func (s *session) online() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn != nil
}

// fly remembers what of a shared subscription is sent through memory, until it is confirmed. The session's lock is held.
func (s *session) fly(it *item) {
	if it.to.share == nil || it.qos == 0 {
		return
	}
	if s.flying == nil {
		s.flying = make(map[uint64]item, 1)
	}
	s.flying[s.sent] = *it
}

// unshared returns what came through shared subscriptions, by way of memory, and others may have when the session ends: what waits, and
// what of QoS 1 was sent and not confirmed. What was sent of QoS 2 is nobody else's (MQTT-4.8.2-5). The session's lock is held.
func (s *session) unshared() (list []item) {
	for i := range s.window.n {
		f := s.window.at(i)
		if it, ok := s.flying[f.pos]; ok && f.stage == stageSent {
			list = append(list, it)
		}
	}
	for i := range s.out.n {
		if it := s.out.at(i); it.msg != nil && it.to != nil && it.to.share != nil {
			list = append(list, *it)
		}
	}
	return list
}

// handOver gives to other members what a session that has ended did not take.
func (b *Broker) handOver(list []item) {
	if len(list) == 0 {
		return
	}
	var k sink
	defer k.flush(b, 0)
	b.routing.RLock()
	defer b.routing.RUnlock()
	for _, it := range list {
		var t target
		var ok bool
		if sh := b.shares[it.to.share.filter]; sh != nil { // it.to.share may have ended meanwhile, with its last member
			t, ok = sh.elect(it.msg.Topic)
		}
		if !ok {
			b.stats.dropped.Add(1)
			continue
		}
		b.deliver(&k, t, it.msg, &gateway.Record{Time: b.opts.Now(), Body: &it.msg.Message}, it.msg.Retain, nil)
	}
}

// deliver gives a message to one target: through its queue in the store, or through memory; when it has just left, to another member of the
// shared subscription. It reports whether done will be called.
func (b *Broker) deliver(k *sink, t target, m *message, rec *gateway.Record, retain bool, done func(error)) bool {
	for {
		qos := min(m.QoS, t.qos)
		if qos > 0 && t.session.persistent() {
			b.opts.Store.Commit(&gateway.Change{Record: rec, To: []gateway.Ref{t.ref(0, qos, retain)}, Barrier: qos == 2}, done)
			return true
		}
		o := t.session.offer(item{msg: m, to: t.tag(), qos: qos, retain: retain && t.retain})
		if !o.gone {
			k.note(t.session, o)
			return false
		}
		var ok bool
		if t, ok = t.share.electIf(m.Topic, takes(m)); !ok {
			k.dropped++
			return false
		}
	}
}

// takes rates the members of a shared subscription by whether they take a message now: one that is away takes what is stored for it alone, so that
// who looks for another member in place of one that has just left comes to an end.
func takes(m *message) func(*member, bool) int {
	return func(mb *member, online bool) int {
		switch {
		case online:
			return 2
		case mb.session.persistent() && min(m.QoS, mb.sub.QoS) > 0:
			return 1
		}
		return 0
	}
}

// shareOf returns the first of these shared subscriptions that brings messages on a topic. The caller holds the routing lock.
func (b *Broker) shareOf(filters []string, topic string) *share {
	for _, f := range filters {
		if _, rest, _ := packet.SplitShare(f); packet.Match(rest, topic) {
			return b.shares[f]
		}
	}
	return nil
}

// sharedFilters returns the shared subscriptions of the session, whole.
func (s *session) sharedFilters() (filters []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subs {
		if _, _, shared := packet.SplitShare(sub.Filter); shared {
			filters = append(filters, sub.Filter)
		}
	}
	return filters
}

// heirloom is a delivery in a session's queue that came through a shared subscription.
type heirloom struct {
	pos   uint64
	qos   gateway.QoS // of the delivery
	rec   *gateway.Record
	msg   *gateway.Message
	share *share
}

// eachShared calls fn with what a session's queue holds after a position and others may have, until fn says stop. The session has no connection,
// so that nobody else reads its queue; filters are those by which it got what is shared.
func (b *Broker) eachShared(s *session, filters []string, after uint64, fn func(heirloom) (more bool)) {
	buf := make([]gateway.Delivery, maxPull)
	for {
		n, err := b.opts.Store.Read(s.queue, after, buf)
		if err != nil {
			b.log.Error("the queue of a session cannot be read, what it shares with others stays with it", "client", s.id, "error", err)
			return
		}
		if n == 0 {
			return
		}
		for _, d := range buf[:n] {
			after = d.Pos
			m, ok := d.Record.Body.(*gateway.Message)
			if !ok || d.View&gateway.ViewShared == 0 {
				continue
			}
			b.routing.RLock()
			sh := b.shareOf(filters, m.Topic)
			b.routing.RUnlock()
			if sh != nil && !fn(heirloom{d.Pos, d.QoS, d.Record, m, sh}) {
				return
			}
		}
	}
}

// bequeath gives what a persistent session that ends has not taken of its shared subscriptions to their other members. It has left these, so that
// nothing more comes. What may have been sent with QoS 2 is left out (MQTT-4.8.2-5).
func (b *Broker) bequeath(s *session, filters []string) {
	if len(filters) == 0 {
		return
	}
	s.mu.Lock()
	sent, unsure := s.sent, s.crashDup
	s.mu.Unlock()
	var k sink
	b.eachShared(s, filters, 0, func(h heirloom) bool {
		maybe := h.pos <= sent
		if !maybe && h.rec.Seq < b.firstSeq && unsure > 0 {
			unsure--
			maybe = true
		}
		if h.qos == 2 && maybe {
			return true
		}
		b.routing.RLock()
		defer b.routing.RUnlock()
		if t, ok := h.share.elect(h.msg.Topic); ok {
			b.deliver(&k, t, b.newMessage(h.msg, h.rec.Time, false), h.again(), h.msg.Retain, nil)
		}
		return true
	})
	k.flush(b, 0)
}

// again is a record of its own with the same message, for another queue.
func (h *heirloom) again() *gateway.Record {
	return &gateway.Record{Time: h.rec.Time, Origin: h.rec.Origin, ClockUnset: h.rec.ClockUnset, Body: h.msg}
}

// maxPassOn bounds what is passed on when a member goes offline, and with it how long its next connection waits.
const maxPassOn = 4096

// passOn gives what a persistent session that goes offline has not been sent of its shared subscriptions to members that are connected. Only
// QoS 1, and only to persistent ones, so that it is committed for them before it is acknowledged here: a crash in between delivers it twice
// and loses nothing.
func (b *Broker) passOn(s *session) {
	filters := s.sharedFilters()
	if len(filters) == 0 {
		return
	}
	var k sink
	var moved []uint64
	committed := make(chan error, maxPassOn)
	online := func(m *member, online bool) int {
		if online && m.session != s && m.session.persistent() && m.sub.QoS > 0 {
			return 1
		}
		return 0
	}
	b.eachShared(s, filters, s.sent, func(h heirloom) bool {
		if h.msg.QoS != 1 {
			return true
		}
		b.routing.RLock()
		defer b.routing.RUnlock()
		t, ok := h.share.electIf(h.msg.Topic, online)
		if ok && b.deliver(&k, t, b.newMessage(h.msg, h.rec.Time, false), h.again(), h.msg.Retain, func(err error) { committed <- err }) {
			moved = append(moved, h.pos)
		}
		return len(moved) < maxPassOn
	})
	k.flush(b, 0)
	if len(moved) > 0 && b.allCommitted(committed, len(moved)) {
		b.opts.Store.Ack(s.queue, moved...)
	}
}

// allCommitted waits for n commits, as long as a connection may be kept waiting. When it is false, the same messages may be in two queues.
func (b *Broker) allCommitted(committed <-chan error, n int) bool {
	late := time.NewTimer(b.opts.ConnectTimeout / 2)
	defer late.Stop()
	for range n {
		select {
		case err := <-committed:
			if err != nil {
				return false
			}
		case <-late.C:
			return false
		case <-b.quit:
			return false
		}
	}
	return true
}

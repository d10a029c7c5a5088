package localbroker

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// target is a session that a topic's messages go to.
type target struct {
	session *session
	qos     gateway.QoS // the highest of its subscriptions that match: overlapping ones deliver once (MQTT 3.1.1, 3.3.5)
	retain  bool        // one of them wants the retain flag as published
	ids     []uint32    // their identifiers
	share   *share      // it was elected from a shared subscription; else nil
	// own is what becomes of messages that the session itself has published, when one of the subscriptions does not want them; its session is
	// nil when none does.
	own *target
}

// merge adds a subscription of the target's session.
func (t *target) merge(s *session, sub *gateway.Subscription) {
	t.session = s
	t.qos = max(t.qos, sub.QoS)
	t.retain = t.retain || sub.RetainAsPublished
	if sub.Identifier != 0 {
		t.ids = append(t.ids, sub.Identifier)
	}
}

// tag is what an item needs to know of the target.
func (t *target) tag() *target {
	if t.share == nil && len(t.ids) == 0 {
		return nil
	}
	return t
}

// route is where the messages of one topic go. It is made once for each topic and generation of the subscriptions, shared, and never
// changed.
type route struct {
	topic    string
	gen      uint64
	sessions []target    // clean ones at any QoS; persistent ones too, which get QoS 0 through memory
	shares   []*share    // of which one member each is elected for each message
	special  bool        // resolve has something to do: there are shares, or sessions that do not want what is their own
	dynamic  bool        // was made for one message: refs is not filled in
	queues   []*QueueSub // each once, and of one owner's only the first
	refs     [3][]gateway.Ref
	barrier  bool
	noRetain bool
	replies  bool // one of the queues answers to response topics with the gateway's rights
	denied   bool // to nobody: the client may not publish here
}

// durable reports whether a message of this QoS has durable consumers, from nobody's origin and without retain flag.
func (r *route) durable(qos gateway.QoS) bool { return len(r.refs[qos]) > 0 || r.special && qos > 0 }

// empty reports whether nobody gets messages of this topic.
func (r *route) empty() bool { return len(r.sessions)+len(r.shares)+len(r.queues) == 0 }

// resolve returns where one message goes that from has published, nil if it is no session: members of shared subscriptions are elected, and
// subscriptions left out that do not want what is their own (MQTT 5, 3.8.3.1).
func (r *route) resolve(from *session) *route {
	if !r.special {
		return r
	}
	one := &route{topic: r.topic, gen: r.gen, queues: r.queues, barrier: r.barrier, noRetain: r.noRetain, replies: r.replies, dynamic: true}
	one.sessions = make([]target, 0, len(r.sessions)+len(r.shares))
	for _, t := range r.sessions {
		if t.session == from && t.own != nil {
			t = *t.own
		}
		if t.session != nil {
			one.sessions = append(one.sessions, t)
		}
	}
	for _, sh := range r.shares {
		if t, ok := sh.elect(r.topic); ok {
			one.sessions = append(one.sessions, t)
		}
	}
	return one
}

// findRoute matches a topic, which must be valid.
func (t *tree) findRoute(topic string) *route {
	r := &route{topic: topic}
	var queues []ranked
	r.gen = t.match(topic, func(s *subscriber) {
		switch {
		case s.session != nil:
			if t.mayReceive == nil || r.has(s.session) || t.mayReceive(s.session, topic) {
				r.addSession(s.session, &s.sub)
			}
		case s.share != nil:
			r.shares = append(r.shares, s.share)
			r.special = true
		default:
			queues = append(queues, ranked{s.queue, s.queue.rank(s.sub.Filter)})
		}
	})
	slices.SortStableFunc(queues, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })
	for _, q := range queues {
		r.addQueue(q.queue)
	}
	for qos := range r.refs {
		r.refs[qos] = r.to(gateway.QoS(qos), false, "")
	}
	return r
}

// ranked is a queue that a topic may go to, with the rank of the filter that says so.
type ranked struct {
	queue *QueueSub
	rank  int
}

// rank returns the rank of a filter.
func (q *QueueSub) rank(filter string) int {
	if i := slices.Index(q.Filters, filter); i >= 0 && i < len(q.Ranks) {
		return q.Ranks[i]
	}
	return 0
}

func (r *route) has(s *session) bool {
	return slices.ContainsFunc(r.sessions, func(t target) bool { return t.session == s })
}

func (r *route) addSession(s *session, sub *gateway.Subscription) {
	i := slices.IndexFunc(r.sessions, func(t target) bool { return t.session == s })
	if i < 0 {
		i = len(r.sessions)
		r.sessions = append(r.sessions, target{})
	}
	t := &r.sessions[i]
	switch {
	case sub.NoLocal && t.own == nil:
		own := *t
		own.ids = slices.Clone(t.ids)
		t.own, r.special = &own, true
	case !sub.NoLocal && t.own != nil:
		t.own.merge(s, sub)
	}
	t.merge(s, sub)
}

func (r *route) addQueue(q *QueueSub) {
	for _, have := range r.queues {
		if have == q || q.Owner != "" && have.Owner == q.Owner {
			return
		}
	}
	for _, filter := range q.Exclude {
		if packet.Match(filter, r.topic) {
			return
		}
	}
	r.queues = append(r.queues, q)
	r.barrier = r.barrier || q.Barrier
	r.noRetain = r.noRetain || q.NoRetain
	r.replies = r.replies || q.Replies
}

// to lists the durable consumers of a message: the queues, unless it came from their owner, and the persistent sessions that get it
// at QoS 1 or 2.
func (r *route) to(qos gateway.QoS, retain bool, origin string) []gateway.Ref {
	var refs []gateway.Ref
	for _, q := range r.queues {
		if origin == "" || q.Owner != origin {
			refs = append(refs, gateway.Ref{Queue: q.Queue, QoS: qos, Retain: retain})
		}
	}
	for _, t := range r.sessions {
		if eff := min(qos, t.qos); eff > 0 && t.session.queue != 0 {
			refs = append(refs, t.ref(0, eff, retain))
		}
	}
	return refs
}

// ref gives a record, or one message of a batch, to the target's queue.
func (t *target) ref(view uint16, qos gateway.QoS, retain bool) gateway.Ref {
	if t.share != nil {
		view |= gateway.ViewShared
	}
	return gateway.Ref{Queue: t.session.queue, View: view, QoS: qos, Retain: retain && t.retain}
}

// The routes that are kept: few for each connection, which are found without a lock, and many for all. A route may be large: its topic is what a
// client has chosen, and it names everybody who gets it. So their sizes are bounded, too.
const (
	maxRoutes         = 65536
	maxRouteBytes     = 16 << 20
	maxConnRoutes     = 64
	maxConnRouteBytes = 64 << 10
)

// size is about what a route takes in memory.
func (r *route) size() int {
	const own, each, ref = 256, 64, 8
	return own + len(r.topic) + each*len(r.sessions) + ref*(len(r.refs[0])+len(r.refs[1])+len(r.refs[2]))
}

// routes keeps the routes of topics that are published to.
type routes struct {
	mu    sync.RWMutex
	byID  map[string]*route
	bytes int
}

// find returns the route of a topic as the subscriptions stand now.
func (rs *routes) find(t *tree, topic string) *route {
	rs.mu.RLock()
	r := rs.byID[topic]
	rs.mu.RUnlock()
	if r != nil && r.gen == t.gen.Load() {
		return r
	}
	if r != nil {
		topic = r.topic
	} else {
		topic = strings.Clone(topic) // callers may have cut it from something larger
	}
	r = t.findRoute(topic)
	rs.keep(r)
	return r
}

// keep puts a route in the place of the one that its topic has. When there is no room, all others go: those in use are soon found again.
func (rs *routes) keep(r *route) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.bytes += r.size()
	if old := rs.byID[r.topic]; old != nil {
		rs.bytes -= old.size()
	}
	if rs.byID == nil || len(rs.byID) >= maxRoutes || rs.bytes > maxRouteBytes {
		rs.byID, rs.bytes = make(map[string]*route), r.size()
	}
	rs.byID[r.topic] = r
}

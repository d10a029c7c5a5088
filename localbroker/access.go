package localbroker

import (
	"errors"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// Authorizer says what clients may do. Its methods may be called at the same time, and must not wait.
type Authorizer interface {
	// Rights returns what a client may do as the rules stand now. user is "" for anonymous clients.
	Rights(user, clientID string) Rights
}

// Rights is what one client may do.
type Rights interface {
	MayPublish(topic string) bool
	// MayReceive is asked once for each session and topic, when the route is made, so that a message costs nothing.
	MayReceive(topic string) bool
	// MaySubscribe is false when no topic that the filter matches could ever be received.
	MaySubscribe(filter string) bool
}

// Revoker is an [Authenticator] whose users may change while they are connected.
type Revoker interface {
	Authenticator
	// Credential returns a number that changes with what the user logs in with. ok is false when the user is not known any more.
	Credential(user string) (number uint64, ok bool)
}

// Why Reauthorize ends connections.
var (
	errUserGone        = errors.New("the user is not known any more")
	errPasswordChanged = errors.New("the user's password was changed")
	errMayNotSubscribe = errors.New("it may not subscribe any more to what it has subscribed to")
)

// errMayNotPublish is what a client of MQTT 5 is told of a message that was denied.
var errMayNotPublish = errors.New("the client may not publish to this topic")

// everything is what clients may do when no Authorizer says otherwise.
type everything struct{}

func (everything) MayPublish(string) bool   { return true }
func (everything) MayReceive(string) bool   { return true }
func (everything) MaySubscribe(string) bool { return true }

// grant is the rights of a session under one version of the rules.
type grant struct {
	Rights
	version uint64
}

// rights returns what a session's client may do. They are asked for when they are needed first, and again when the rules have changed.
func (b *Broker) rights(s *session) Rights {
	if b.opts.Access == nil {
		return everything{}
	}
	version := b.rules.Load() // before the question: an answer that is too new does no harm
	if g := s.granted.Load(); g != nil && g.version == version {
		return g.Rights
	}
	g := &grant{b.opts.Access.Rights(s.user, s.id), version}
	s.granted.Store(g)
	return g.Rights
}

// mayReceive is asked by the tree for each route.
func (b *Broker) mayReceive(s *session, topic string) bool { return b.rights(s).MayReceive(topic) }

// nowhere is the route of a topic that the client may not publish to.
func nowhere(topic []byte, gen uint64) *route {
	return &route{topic: string(topic), gen: gen, noRetain: true, denied: true}
}

// seldom lets one kind of line into the log once a minute for each connection: a client can bring them about as fast as it can send.
type seldom struct {
	last  time.Time
	times int // since then
}

// say reports whether the line is due, and for how many times it stands.
func (s *seldom) say(now time.Time) (times int, due bool) {
	s.times++
	if !s.last.IsZero() && !isOver(now, s.last) {
		return 0, false
	}
	times, *s = s.times, seldom{last: now}
	return times, true
}

// denied counts a message that the client may not publish. As in mosquitto it is dropped and answered as if it were not: MQTT 3.1.1 knows no
// other answer but to end the connection (3.3.5). MQTT 5 does, and there it is given.
func (c *conn) denied(topic string) {
	c.b.stats.denied.Add(1)
	if n, due := c.saidMessage.say(c.b.opts.Now()); due {
		c.log.Warn("message dropped: the client may not publish to its topic", "user", c.session.user, "topic", topic, "messages", n)
	}
}

// checkResponse takes a response topic out of the properties of a request whose answer is published with the gateway's own rights: it must not lend
// them to the client.
func (c *conn) checkResponse(p *gateway.Properties) {
	if p == nil || p.ResponseTopic == "" || checkPublishTopic(p.ResponseTopic, false) == nil && c.b.rights(c.session).MayPublish(p.ResponseTopic) {
		return
	}
	c.b.stats.denied.Add(1)
	if n, due := c.saidMessage.say(c.b.opts.Now()); due {
		c.log.Warn("response topic is not used: the client may not publish to it", "user", c.session.user, "topic", p.ResponseTopic, "messages", n)
	}
	p.ResponseTopic = ""
}

// maySubscribe tells whether the client could receive anything by a filter, which is that within a shared subscription.
func (c *conn) maySubscribe(filter string) bool {
	return c.b.rights(c.session).MaySubscribe(filter)
}

// mayWill tells whether a will may be published by the rights that its user has now, and forgets it if not.
func (b *Broker) mayWill(w *gateway.PutWill) bool {
	if b.opts.Access == nil || b.opts.Access.Rights(w.User, w.ClientID).MayPublish(w.Message.Topic) {
		return true
	}
	b.stats.denied.Add(1)
	b.log.Warn("will dropped: the client may not publish to its topic", "client", w.ClientID, "user", w.User, "topic", w.Message.Topic)
	b.opts.Store.Commit(&gateway.Change{Ops: []gateway.Op{gateway.DropWill{ClientID: w.ClientID}}}, nil)
	return false
}

// Reauthorize lets new rules take effect: those of Options.Access, and users that have gone or have new passwords, if Options.Auth is a
// [Revoker]. Connections whose user or password is not good any more are ended, and those with a subscription that would have to be refused now. All
// others stay, and get and publish what they may from now on.
func (b *Broker) Reauthorize() {
	online := b.online()
	before := make([]Rights, len(online))
	for i, c := range online {
		before[i] = b.rights(c.session)
	}
	b.changeRules()
	b.logins.forgetWrong()
	for i, c := range online {
		if err := b.revoked(c, before[i]); err != nil {
			c.log.Warn("client is disconnected: its rights were withdrawn", "user", c.session.user, "reason", err)
			c.kill(err)
		}
	}
}

// online lists the connections that have a session.
func (b *Broker) online() []*conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []*conn
	for _, cl := range b.clients {
		if cl.conn != nil {
			list = append(list, cl.conn)
		}
	}
	return list
}

// changeRules makes all rights be asked for again, and all routes be made again. No publisher is between its match and its commit meanwhile, so that
// what is in the store from before can be told by its number.
func (b *Broker) changeRules() {
	b.routing.Lock()
	defer b.routing.Unlock()
	b.rules.Add(1)
	b.tree.touch()
	if b.opts.Access != nil && b.running() == nil {
		b.askedSince.Store(b.nextSeq())
	}
}

// touch makes all routes be made again.
func (t *tree) touch() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gen.Add(1)
}

// nextSeq returns the number that a record would get now.
func (b *Broker) nextSeq() uint64 {
	var stamp gateway.Record // for nobody
	b.opts.Store.Commit(&gateway.Change{Record: &stamp}, nil)
	return stamp.Seq
}

// withdrawn tells whether a message that waits in a session's queue may not be delivered any more. Those of since the rules have changed
// last were asked about when they were routed.
func (b *Broker) withdrawn(s *session, rec *gateway.Record, topic string) bool {
	return b.opts.Access != nil && rec.Seq < b.askedSince.Load() && !b.mayReceive(s, topic)
}

// revoked says why a connection has to end under the new rules, nil when it may stay.
func (b *Broker) revoked(c *conn, before Rights) error {
	if err := b.loginLost(c); err != nil {
		return err
	}
	now := b.rights(c.session)
	for _, filter := range c.session.filters() {
		if _, plain, _ := packet.SplitShare(filter); before.MaySubscribe(plain) && !now.MaySubscribe(plain) {
			return fmt.Errorf("%w: %q", errMayNotSubscribe, filter)
		}
	}
	return nil
}

// loginLost says why a connection could not log in any more as it has, nil when it could.
func (b *Broker) loginLost(c *conn) error {
	r, ok := b.opts.Auth.(Revoker)
	if !ok || !c.login.checked {
		return nil
	}
	switch number, known := r.Credential(c.session.user); {
	case !known:
		return errUserGone
	case number != c.login.credential:
		return errPasswordChanged
	}
	return nil
}

// filters lists what the session is subscribed to.
func (s *session) filters() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]string, 0, len(s.subs))
	for _, sub := range s.subs {
		list = append(list, sub.Filter)
	}
	return list
}

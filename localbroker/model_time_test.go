package localbroker_test

import (
	"net"
	"time"

	"github.com/tidegate/tidegate/localbroker/packet"
	"pgregory.net/rapid"
)

// elapse lets time pass, and with it the end of sessions and the delays of wills.
func (m *world) elapse(t *rapid.T, d time.Duration) {
	m.settle(t)
	elapse(d)
	for m.happens() {
		elapse(20 * time.Millisecond) // the broker does not look more often
	}
	m.settle(t)
	if d > 2*time.Second && !m.held {
		m.certain()
	}
}

// happens tells the model what has become due, and reports whether anything has: the earliest first, what is due at the same moment in any order.
func (m *world) happens() bool {
	now := time.Now()
	first, due := now.Add(1), []*modelClient(nil)
	for _, c := range m.clients {
		at, ok := c.due()
		switch {
		case !ok || at.After(first):
			continue
		case at.Before(first):
			first, due = at, nil
		}
		due = append(due, c)
	}
	if first.After(now) {
		return false
	}
	m.groups++
	group := m.groups
	retained := map[string][]*application{} // in any order, if there are several
	for _, c := range due {                 // wills first: a session that ends at the same moment as others may get them or not, and is gone
		if w := c.waiting; w != nil {
			c.waiting = nil
			c.haunt(w)
			m.publish("will of "+c.id, nil, w.app, group)
			if w.app.retain {
				retained[w.app.topic] = append(retained[w.app.topic], w.app)
			}
		}
	}
	for topic, list := range retained {
		if len(list) > 1 {
			m.open[topic] = list
		}
	}
	for _, c := range due {
		if c.session != nil {
			if at, ok := c.session.ends(); ok && !at.After(first) {
				c.session, c.unsure = nil, true
			}
		}
	}
	return true
}

// due is when the will of a client that is away, or the end of its session, is due.
func (c *modelClient) due() (at time.Time, ok bool) {
	if c.session != nil {
		at, ok = c.session.ends()
	}
	if w := c.waiting; w != nil && (!ok || w.due.Before(at)) {
		at, ok = w.due, true
	}
	return at, ok
}

// leave is the end of a client's connection, as the broker has seen it.
func (m *world) leave(c *modelClient, goodbye bool, group int) {
	c.w, c.up, c.unsure = nil, false, c.unsure || len(c.asks) > 0
	c.asks = map[uint16]packet.Packet{}
	s := c.session
	s.leave()
	if !s.persistent {
		c.session = nil
	}
	if w := c.will; w != nil {
		c.will = nil
		switch {
		case goodbye:
			c.haunt(w) // until its end is committed
		case w.delay > 0 && s.expiry != 0:
			c.waiting = &modelWill{app: w.app, delay: w.delay, due: time.Now().Add(w.delay)}
		default:
			c.haunt(w)
			m.publish("will of "+c.id, nil, w.app, group)
		}
	}
	if s.persistent && s.expiry == 0 {
		c.session, c.unsure = nil, true
	}
}

// How long sessions and wills may wait. What differs by more than a few steps of time is never due at the same moment.
const (
	shortExpiry = 20 * time.Second
	shortDelay  = 4 * time.Second
	longDelay   = 30 * time.Second
	forever     = -1 * time.Second
)

// connectTerms are what a client chooses for a connection.
type connectTerms struct {
	v      packet.Version
	clean  bool
	expiry time.Duration // of MQTT 5
	window int           // Receive Maximum; 0: none
	will   *application
	delay  time.Duration
}

func (ct *connectTerms) packet(id string) *packet.Connect {
	p := &packet.Connect{Version: ct.v, ClientID: id, CleanStart: ct.clean}
	if ct.will != nil {
		p.Will = &packet.Will{Topic: ct.will.topic, Payload: []byte(ct.will.payload), QoS: ct.will.qos, Retain: ct.will.retain}
	}
	if ct.v != packet.V5 {
		return p
	}
	p.Props.TopicAliasMaximum = packet.Some[uint16](aliasMaximum)
	if ct.window > 0 {
		p.Props.ReceiveMaximum = packet.Some(uint16(ct.window))
	}
	if p.Will != nil && ct.delay > 0 {
		p.Will.Props.WillDelay = packet.Some(uint32(ct.delay / time.Second))
	}
	switch {
	case ct.expiry < 0:
		p.Props.SessionExpiry = packet.Some[uint32](1<<32 - 1)
	case ct.expiry > 0:
		p.Props.SessionExpiry = packet.Some(uint32(ct.expiry / time.Second))
	}
	return p
}

// kept is how long the session is kept after the connection.
func (ct *connectTerms) kept() time.Duration {
	switch {
	case ct.v == packet.V5:
		return ct.expiry
	case ct.clean:
		return 0
	}
	return forever
}

// connect starts a connection, which takes over from one that there may be.
func (m *world) connect(t *rapid.T, c *modelClient, ct connectTerms) {
	if old := c.w; old != nil {
		m.leave(c, false, 0)
		defer old.c.Close()
	}
	m.enter(c, &ct)
	if ct.will != nil {
		c.will = &modelWill{app: ct.will, delay: ct.delay}
	}
	client, server := net.Pipe()
	m.ln.accept <- server
	m.conns++
	c.v, c.conn, c.w = ct.v, m.conns, newWire(client, ct.v)
	c.aliases = modelAliases{sent: map[uint16]bool{}, got: map[uint16]string{}}
	m.write(t, c, ct.packet(c.id).Append(nil, ct.v))
	m.settle(t)
}

// enter tells the model what a CONNECT makes of the client's session.
func (m *world) enter(c *modelClient, ct *connectTerms) {
	stored := c.session
	goesOn := stored != nil && !ct.clean
	if w := c.waiting; w != nil {
		c.waiting = nil
		c.haunt(w)
		if !goesOn { // the session ends
			m.publish("will of "+c.id, nil, w.app, 0)
		}
	}
	c.clears = stored != nil || ct.kept() != 0
	c.present = [2]bool{true, false}
	if goesOn {
		c.present = [2]bool{stored.maybe, true}
		stored.vague = stored.vague || stored.expiry != ct.kept()
	} else {
		c.unsure = c.unsure || stored != nil // until its end is committed, the old one may come back
		c.session = newModelSession(ct.kept() != 0)
		c.forget()
	}
	s := c.session
	s.online, s.expiry, s.window = true, ct.kept(), modelInflight
	if ct.window > 0 {
		s.window = min(s.window, ct.window)
	}
	c.asks = map[uint16]packet.Packet{}
}

package localbroker_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
	"pgregory.net/rapid"
)

// laggard is a host whose store can keep its answers back: what it has committed is not told.
type laggard struct{ bufferHost }

func (h *laggard) open(t testing.TB) localbroker.Store {
	return &slowAnswers{Store: h.bufferHost.open(t)}
}

type slowAnswers struct {
	localbroker.Store
	mu    sync.Mutex
	held  bool
	calls []func()
}

func (s *slowAnswers) Commit(c *gateway.Change, done func(error)) {
	if done == nil {
		s.Store.Commit(c, nil)
		return
	}
	s.Store.Commit(c, func(err error) {
		s.mu.Lock()
		if s.held && err == nil {
			s.calls = append(s.calls, func() { done(nil) })
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		done(err)
	})
}

func (s *slowAnswers) CommitAll(list []gateway.Change, w gateway.Waiter, first uint64) {
	commitEach(s, list, w, first)
}

func (s *slowAnswers) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = true
}

func (s *slowAnswers) release() {
	s.mu.Lock()
	calls := s.calls
	s.calls, s.held = nil, false
	s.mu.Unlock()
	for _, f := range calls {
		f()
	}
}

// doRestart ends everything in order and starts it again.
func (m machine) doRestart(t *rapid.T) {
	m.unhold()
	m.settle(t)
	m.certain() // what was to be stored is, when the store is closed in order
	m.groups++
	group := m.groups
	m.frozen = true
	retained := map[string][]*application{} // by wills, in no order
	for _, c := range m.clients {
		if c.w == nil {
			continue
		}
		w, will := c.w, c.will
		m.leave(c, false, group)
		c.w = w // stop closes it
		if will != nil && will.app.retain && c.waiting == nil {
			retained[will.app.topic] = append(retained[will.app.topic], will.app)
		}
	}
	m.world.stop()
	m.host.close(m.t)
	for _, c := range m.clients {
		c.unsure = false
		if c.session != nil {
			c.session.settle()
			c.session.restart()
			c.session.maybe = false
		}
	}
	m.open = retained
	for topic, list := range m.disk {
		m.live[topic] = list[len(list)-1]
	}
	for topic := range m.live {
		if len(m.disk[topic]) == 0 {
			delete(m.live, topic)
		}
	}
	m.up()
	m.look(t)
	m.certain()
}

// doCrash kills everything and starts it again on what was on the disk.
func (m machine) doCrash(t *rapid.T) {
	m.settle(t)
	m.frozen = true
	m.host.crash(m.t)
	m.world.stop()
	m.held = false
	var tainted []*modelClient
	for _, c := range m.clients {
		if len(c.asks) > 0 || c.unsure || c.vague() || c.session != nil && (c.session.maybe || c.session.vague) {
			tainted = append(tainted, c)
		}
		c.crash()
		c.asks, c.unsure = nil, false
		if c.session != nil && (!c.session.persistent || c.session.expiry == 0) {
			c.session = nil
		}
		if c.session != nil {
			c.session.crash()
		}
	}
	clear(m.live)
	for topic := range m.disk {
		m.open[topic] = m.candidates(topic)
	}
	m.recoverWills(tainted)
	m.up()
	m.look(t)
	for _, c := range tainted { // nobody can know what its session is
		c.session = nil
		c.forget()
		m.speak(t, c.id, &packet.Disconnect{})
	}
	if len(tainted) > 0 { // and its will may have been retained when the session ended
		for topic, app := range m.live {
			m.open[topic] = append(m.open[topic], app)
		}
		for _, c := range tainted {
			for _, g := range c.ghosts {
				if g.app.retain {
					m.open[g.app.topic] = append(m.open[g.app.topic], m.live[g.app.topic], g.app)
				}
			}
		}
		m.look(t)
	}
}

// doCrashUnderWay kills everything while answers are held back: nobody knows what was stored.
func (m machine) doCrashUnderWay(t *rapid.T) {
	m.hold()
	for range rapid.IntRange(1, 3).Draw(t, "actions") {
		rapid.SampledFrom([]func(*rapid.T){m.doPublish, m.doBurst, m.doConfirm, m.doRelease, m.doSubscribe, m.doConnect}).Draw(t, "action under way")(t)
	}
	m.doCrash(t)
}

// doReturn lets everybody with a session come back.
func (m machine) doReturn(t *rapid.T) {
	for _, c := range m.clients {
		if c.session != nil && c.w == nil {
			ct := connectTerms{v: packet.V311}
			if c.session.expiry >= 0 { // keeps the terms
				ct = connectTerms{v: packet.V5, expiry: c.session.expiry}
			}
			m.connect(t, c, ct)
		}
	}
}

// recoverWills publishes the wills of the clients that were there at the crash, or lets them begin to wait for their delay.
func (m machine) recoverWills(tainted []*modelClient) {
	m.groups++
	for _, c := range m.clients {
		wills := c.ghosts
		unknown := slices.Contains(tainted, c)
		switch w := c.will; {
		case unknown && w != nil:
			wills = append(wills, &modelWill{app: w.app})
		case w != nil && w.delay > 0 && c.session != nil:
			c.waiting = &modelWill{app: w.app, delay: w.delay, due: time.Now().Add(w.delay)}
			wills = nil
		case w != nil:
			wills = []*modelWill{w}
		}
		switch w := c.waiting; {
		case w != nil && unknown:
			wills = append(wills, &modelWill{app: w.app})
			c.waiting = nil
		case w != nil:
			wills = nil
		}
		c.will, c.ghosts = nil, nil
		for _, w := range wills {
			m.recoverWill(c, w)
		}
	}
}

func (m machine) recoverWill(c *modelClient, w *modelWill) {
	own := *w.app
	own.safe = false
	for _, o := range m.clients {
		m.spread(o.session, nil, expected{app: &own, group: m.groups, class: "will of " + c.id, may: !w.sure})
	}
	if own.retain {
		m.open[own.topic] = append(m.open[own.topic], nil, w.app)
	}
	c.haunt(w)
}

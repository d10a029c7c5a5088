package localbroker_test

import (
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
	"pgregory.net/rapid"
)

var (
	modelTopics  = []string{"a", "b", "a/b"}
	modelFilters = []string{"a", "b", "+", "#", "a/#", "a/b", "+/b"}
)

// machine carries out the actions of a history.
type machine struct{ *world }

func (m machine) pick(t *rapid.T, what string, ok func(*modelClient) bool) *modelClient {
	var list []string
	for _, c := range m.clients {
		if ok(c) {
			list = append(list, c.id)
		}
	}
	if len(list) == 0 {
		return nil
	}
	id := rapid.SampledFrom(list).Draw(t, what)
	return m.clients[slices.IndexFunc(m.clients, func(c *modelClient) bool { return c.id == id })]
}

func isUp(c *modelClient) bool { return c.up }

func drawMessage(t *rapid.T, m machine, retained int) *application {
	topic := rapid.SampledFrom(modelTopics).Draw(t, "topic")
	qos := packet.QoS(rapid.IntRange(0, 2).Draw(t, "qos"))
	app := m.application(topic, qos, retained > 0 && rapid.IntRange(0, 9).Draw(t, "retain") < retained)
	if app.retain && rapid.IntRange(0, 3).Draw(t, "clear") == 0 {
		app.payload, app.qos = "", 0 // of those that come twice, nobody could tell which one came
	}
	return app
}

func (m machine) doConnect(t *rapid.T) {
	c := m.pick(t, "client", func(*modelClient) bool { return true })
	ct := connectTerms{v: packet.V311, clean: rapid.IntRange(0, 2).Draw(t, "clean") == 0}
	if rapid.IntRange(0, 2).Draw(t, "will") == 0 {
		ct.will = drawMessage(t, m, 3)
	}
	if rapid.Bool().Draw(t, "MQTT 5") {
		ct.v = packet.V5
		ct.expiry = rapid.SampledFrom([]time.Duration{0, shortExpiry, forever}).Draw(t, "expiry")
		ct.window = rapid.SampledFrom([]int{0, 1, 2, 100}).Draw(t, "receive maximum")
		ct.delay = rapid.SampledFrom([]time.Duration{0, shortDelay, longDelay}).Draw(t, "delay")
	}
	m.connect(t, c, ct)
}

func (m machine) doSubscribe(t *rapid.T) {
	c := m.pick(t, "client", func(c *modelClient) bool { return c.up && !c.full() })
	if c == nil {
		return
	}
	p := &packet.Subscribe{ID: c.nextID()}
	for _, f := range rapid.SliceOfNDistinct(rapid.SampledFrom(modelFilters), 1, 2, rapid.ID[string]).Draw(t, "filters") {
		sub := packet.Subscription{Filter: f, QoS: packet.QoS(rapid.IntRange(0, 2).Draw(t, "qos"))}
		if c.v == packet.V5 {
			sub.NoLocal = rapid.IntRange(0, 3).Draw(t, "no local") == 0
			sub.RetainAsPublished = rapid.IntRange(0, 3).Draw(t, "retain as published") == 0
			sub.RetainHandling = packet.RetainHandling(rapid.IntRange(0, 2).Draw(t, "retain handling"))
		}
		p.Subscriptions = append(p.Subscriptions, sub)
	}
	c.asks[p.ID] = p
	for _, sub := range p.Subscriptions {
		m.subscribe(c, p.ID, sub)
	}
	m.write(t, c, p.Append(nil, c.v))
	m.settle(t)
}

// subscribe tells the model of a subscription and of the retained messages that greet it.
func (m machine) subscribe(c *modelClient, id uint16, sub packet.Subscription) {
	_, had := c.session.subs[sub.Filter]
	c.session.subs[sub.Filter] = sub
	if sub.RetainHandling == packet.RetainNever || sub.RetainHandling == packet.RetainOnNewSubscribe && had {
		return
	}
	m.groups++
	for topic, app := range m.live {
		if app != nil && app.payload != "" && packet.Match(sub.Filter, topic) {
			own := &application{topic: topic, payload: app.payload, qos: app.qos} // SUBACK tells that it is safe
			c.replays[id] = append(c.replays[id], own)
			c.session.expect(expected{app: own, qos: min(app.qos, sub.QoS), retain: true, replay: true, group: m.groups, class: topic})
		}
	}
}

func (m machine) doUnsubscribe(t *rapid.T) {
	c := m.pick(t, "client", func(c *modelClient) bool { return c.up && !c.full() && len(c.session.subs) > 0 })
	if c == nil {
		return
	}
	p := &packet.Unsubscribe{ID: c.nextID(), Filters: []string{rapid.SampledFrom(slices.Sorted(maps.Keys(c.session.subs))).Draw(t, "filter")}}
	c.asks[p.ID] = p
	delete(c.session.subs, p.Filters[0])
	m.write(t, c, p.Append(nil, c.v))
	m.settle(t)
}

// send lets a client publish, which the broker takes when the bytes are written.
func (m machine) send(c *modelClient, app *application, group int) []byte {
	id := uint16(0)
	if app.qos > 0 {
		id = c.nextID()
		c.out = append(c.out, &outgoing{app: app, id: id})
	}
	m.publish(c.class(), c.session, app, group)
	return c.publishing(app, id, false)
}

func (m machine) doPublish(t *rapid.T) {
	c := m.pick(t, "client", func(c *modelClient) bool { return c.up && !c.full() })
	if c == nil {
		return
	}
	var b []byte
	for range rapid.IntRange(1, 4).Draw(t, "messages") {
		b = append(b, m.send(c, drawMessage(t, m, 2), 0)...)
	}
	m.write(t, c, b)
	m.settle(t)
}

// doBurst lets several clients publish at the same moment.
func (m machine) doBurst(t *rapid.T) {
	m.groups++
	group := m.groups
	sent := map[*wire][]byte{}
	for _, c := range m.clients {
		if !c.up || c.full() || !rapid.Bool().Draw(t, "publishes") {
			continue
		}
		for range rapid.IntRange(1, 5).Draw(t, "messages") {
			sent[c.w] = append(sent[c.w], m.send(c, drawMessage(t, m, 0), group)...)
		}
	}
	var writers sync.WaitGroup
	for w, b := range sent {
		writers.Go(func() { _ = w.write(b) })
	}
	writers.Wait()
	m.settle(t)
}

// doConfirm lets a client acknowledge some of what it has, in any order.
func (m machine) doConfirm(t *rapid.T) {
	c := m.pick(t, "client", func(c *modelClient) bool { return c.up && len(c.session.inFlight(c.conn)) > 0 })
	if c == nil {
		return
	}
	list := c.session.inFlight(c.conn)
	n := rapid.IntRange(1, len(list)).Draw(t, "confirmed")
	last := rapid.IntRange(0, 2).Draw(t, "last ones") == 0
	if last {
		list = list[len(list)-n:]
		slices.Reverse(list)
	}
	var b []byte
	for _, e := range list[:n] {
		b = append(b, c.confirm(e)...)
	}
	m.write(t, c, b)
	m.settle(t)
}

// releaseOut sends the PUBRELs of the messages whose PUBREC has come.
func (m machine) releaseOut(t *rapid.T, c *modelClient) (any bool) {
	var b []byte
	for _, o := range c.out {
		if o.gotRec && !o.sentRel {
			o.sentRel = true
			b = packet.AppendAck(b, packet.TypePubrel, o.id)
		}
	}
	m.write(t, c, b)
	return len(b) > 0
}

func (m machine) doRelease(t *rapid.T) {
	if c := m.pick(t, "client", isUp); c != nil {
		m.releaseOut(t, c)
		m.settle(t)
	}
}

func (m machine) doDrop(t *rapid.T) {
	if c := m.pick(t, "client", func(c *modelClient) bool { return c.w != nil }); c != nil {
		c.w.c.Close()
		m.leave(c, false, 0)
		m.settle(t)
	}
}

func (m machine) doDisconnect(t *rapid.T) {
	if c := m.pick(t, "client", isUp); c != nil {
		w := c.w
		p := packet.Disconnect{}
		if c.v == packet.V5 && rapid.IntRange(0, 2).Draw(t, "with will") == 0 {
			p.Code = packet.ReasonDisconnectWithWill
		}
		m.write(t, c, p.Append(nil, c.v))
		m.leave(c, p.Code == 0, 0)
		m.settle(t)
		if _, err := w.take(); err == nil {
			m.fail(t, "%s: the connection is open after DISCONNECT", c.id)
		}
	}
}

// doInside publishes from inside the process. Such messages are retained in memory alone.
func (m machine) doInside(t *rapid.T) {
	app := drawMessage(t, m, 2)
	app.fleeting = true
	before, had := m.disk[app.topic]
	m.publish("inside", nil, app, 0)
	if had {
		m.disk[app.topic] = before
	} else {
		delete(m.disk, app.topic)
	}
	rec := &gateway.Record{Time: time.Now(), Body: &gateway.Message{Topic: app.topic, Payload: []byte(app.payload), QoS: gateway.QoS(app.qos), Retain: app.retain}}
	answer := make(chan error, 1)
	m.broker.Publish(rec, func(err error) { answer <- err })
	m.settle(t)
	select {
	case err := <-answer:
		app.safe = err == nil
	default:
	}
}

// drain lets every client take all that there is for it, and says what does not come.
func (m machine) drain(t *rapid.T) {
	m.unhold()
	for again := true; again; {
		m.elapse(t, 3*time.Second)
		again = false
		for _, c := range m.clients {
			if !c.up {
				continue
			}
			again = m.releaseOut(t, c) || again
			for _, e := range c.session.inFlight(c.conn) {
				m.write(t, c, c.confirm(e))
				again = true
			}
		}
	}
	for _, c := range m.clients {
		if c.up {
			m.checkDrained(t, c)
		}
	}
	m.checkCounts(t)
}

func (m machine) checkDrained(t *rapid.T, c *modelClient) {
	if lost := c.session.missing(); len(lost) > 0 {
		m.fail(t, "%s never got %v", c.id, lost)
	}
	if len(c.out)+len(c.asks) > 0 {
		m.fail(t, "%s never got an answer to %v, %v", c.id, c.out, c.asks)
	}
	c.session.durable, c.session.memory = nil, nil // what may have come has not
}

func (m machine) checkCounts(t *rapid.T) {
	want := gateway.BrokerStats{}
	for _, c := range m.clients {
		if c.w != nil {
			want.Connections++
		}
		if c.session != nil {
			want.Subscriptions += len(c.session.subs)
		}
		if c.session != nil && c.session.persistent {
			want.Sessions++
		}
	}
	got := m.broker.Stats()
	if got.Connections != want.Connections || got.Sessions != want.Sessions || got.Subscriptions != want.Subscriptions || got.Dropped != 0 {
		m.fail(t, "%d connections, %d sessions, %d subscriptions, %d dropped, want %d, %d, %d, none", got.Connections, got.Sessions, got.Subscriptions, got.Dropped,
			want.Connections, want.Sessions, want.Subscriptions)
	}
}

func TestBrokerBehavesAsItsModelOverReferenceStore(t *testing.T) {
	for range 5 { // they are cheap
		checkModel(t, func() host { return &memHost{} })
	}
}

func TestBrokerBehavesAsItsModelOverBuffer(t *testing.T) {
	checkModel(t, func() host { return &laggard{} })
}

// checkModel runs random histories. Each has a time of its own, so that a seed tells all; -rapid.checks and -rapid.steps make it long.
func checkModel(t *testing.T, newHost func() host) {
	rapid.Check(t, func(rt *rapid.T) {
		rapid.SyncTest(rt, func(rt *rapid.T) {
			m := machine{newWorld(t, newHost(), "c0", "c1", "c2", "c3")}
			defer m.end()
			rt.Repeat(m.actions())
			m.finish(rt)
		})
	})
}

func (m machine) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"connect":     m.doConnect,
		"return":      m.doReturn,
		"subscribe":   m.doSubscribe,
		"subscribe2":  m.doSubscribe,
		"unsubscribe": m.doUnsubscribe,
		"publish":     m.doPublish,
		"publish2":    m.doPublish,
		"publish3":    m.doPublish,
		"burst":       m.doBurst,
		"confirm":     m.doConfirm,
		"confirm2":    m.doConfirm,
		"release":     m.doRelease,
		"drop":        m.doDrop,
		"disconnect":  m.doDisconnect,
		"inside":      m.doInside,
		"drain":       m.drain,
		"elapse": func(t *rapid.T) {
			m.elapse(t, rapid.SampledFrom([]time.Duration{10 * time.Millisecond, 70 * time.Millisecond, 3 * time.Second, 7 * time.Second}).Draw(t, "time"))
		},
		"hold":    func(t *rapid.T) { m.hold(); m.settle(t) },
		"unhold":  func(t *rapid.T) { m.unhold(); m.settle(t) },
		"restart": m.doRestart,
		"crash":   m.doCrash,
		"crash2":  m.doCrashUnderWay,
	}
}

// finish lets everybody come back and take what is there.
func (m machine) finish(t *rapid.T) {
	m.unhold()
	m.settle(t)
	m.doReturn(t)
	m.drain(t)
}

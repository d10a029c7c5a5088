package localbroker_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
	"pgregory.net/rapid"
)

// holder keeps the answers of a store back, and so those of the broker.
type holder interface {
	hold()
	release()
}

// world is a broker on fake time with clients, and the model of both.
type world struct {
	t       testing.TB // whose folders are used
	host    host
	store   localbroker.Store
	broker  *localbroker.Broker
	ln      *pipes
	log     *logBuffer
	cancel  context.CancelFunc
	done    sync.WaitGroup
	frozen  bool // what comes now came after the crash, and so did not come
	held    bool
	clients []*modelClient
	conns   int
	groups  int
	count   int
	live    map[string]*application   // retained messages
	disk    map[string][]*application // what may be on the disk of each, the latest last; nil: none
	open    map[string][]*application // what may be retained where the model cannot know: look tells
}

func newWorld(t testing.TB, h host, clients ...string) *world {
	m := &world{t: t, host: h, live: map[string]*application{}, disk: map[string][]*application{}, open: map[string][]*application{}}
	for _, id := range clients {
		m.clients = append(m.clients, newModelClient(id))
	}
	m.up()
	return m
}

// up starts a broker on what the host has.
func (m *world) up() {
	m.store, m.log, m.ln = m.host.open(m.t), &logBuffer{}, newPipes()
	opts := localbroker.Options{
		Store: m.store, MaxInflight: modelInflight, Topics: gateway.Topics{Base: "tg/x"},
		Logger: slog.New(slog.NewTextHandler(m.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	var err error
	if m.broker, err = localbroker.New(opts); err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	broker, ln := m.broker, m.ln
	m.done.Go(func() { _ = broker.Run(ctx) })
	m.done.Go(func() { _ = broker.Serve(ctx, ln, localbroker.ListenerOptions{AllowAnonymous: true}) })
	<-broker.Ready()
	m.frozen = false
}

// stop ends the broker, and with it every connection.
func (m *world) stop() {
	m.cancel()
	m.done.Wait()
	for _, c := range m.clients {
		if c.w != nil {
			c.w.c.Close()
		}
		c.w, c.up = nil, false
	}
	synctest.Wait()
}

// end tidies up at the end of a history.
func (m *world) end() {
	m.unhold()
	m.frozen = true
	m.stop()
	m.host.close(m.t)
}

func (m *world) hold() {
	if h, ok := m.store.(holder); ok && !m.held {
		m.held = true
		h.hold()
	}
}

func (m *world) unhold() {
	if m.held {
		m.held = false
		m.store.(holder).release()
	}
}

// settle lets everything happen that does not wait for time, and hands to the clients what came.
func (m *world) settle(t *rapid.T) {
	for again := true; again; {
		synctest.Wait()
		again = false
		for _, c := range m.clients {
			again = m.collect(t, c) || again
		}
	}
	if len(m.open) > 0 {
		m.look(t)
	}
}

// collect hands a client what came and sends what it answers by itself. It reports whether there was anything.
func (m *world) collect(t *rapid.T, c *modelClient) bool {
	if c.w == nil || m.frozen {
		return false
	}
	in, end := c.w.take()
	for _, p := range in {
		t.Logf("%s gets %s", c.id, describe(p))
		answer, err := c.handle(m, p)
		if err != nil {
			m.fail(t, "%s: %v", c.id, err)
		}
		if len(answer) > 0 { // taken before another client says something
			m.write(t, c, answer)
			synctest.Wait()
		}
	}
	if end != nil {
		m.fail(t, "%s: the broker has ended the connection: %v", c.id, end)
	}
	return len(in) > 0
}

func (m *world) write(t *rapid.T, c *modelClient, b []byte) {
	if len(b) == 0 {
		return
	}
	t.Logf("%s sends % x", c.id, b)
	if err := c.w.write(b); err != nil {
		m.fail(t, "%s: %v: %v", c.id, errNoRead, err)
	}
}

// describe says what matters of a packet.
func describe(p packet.Packet) string {
	switch p := p.(type) {
	case *packet.Publish:
		return fmt.Sprintf("PUBLISH %s=%q QoS %d id %d retain %v dup %v", p.Topic, p.Payload, p.QoS, p.ID, p.Retain, p.Dup)
	case *packet.Ack:
		return fmt.Sprint(p.Kind, " ", p.ID)
	}
	return p.Type().String()
}

func (m *world) fail(t *rapid.T, format string, args ...any) {
	t.Helper()
	log := m.log.String()
	t.Logf("the broker's log ends with:\n%s", log[max(0, len(log)-2000):])
	t.Fatalf(format, args...)
}

// application makes a message with a payload of its own.
func (m *world) application(topic string, qos packet.QoS, retain bool) *application {
	m.count++
	return &application{topic: topic, payload: fmt.Sprint(m.count), qos: qos, retain: retain}
}

// speak connects with a clean session, outside of the model.
func (m *world) speak(t *rapid.T, id string, packets ...packet.Packet) (in []packet.Packet) {
	client, server := net.Pipe()
	m.ln.accept <- server
	c := &modelClient{id: id, w: newWire(client, packet.V311)}
	m.write(t, c, (&packet.Connect{Version: packet.V311, ClientID: id, CleanStart: true}).Append(nil, packet.V311))
	synctest.Wait()
	for _, p := range packets {
		m.write(t, c, p.Append(nil, packet.V311))
	}
	synctest.Wait()
	in, _ = c.w.take()
	client.Close()
	synctest.Wait()
	return in
}

// look sees what is retained: what the model says, or one of what it says may be.
func (m *world) look(t *rapid.T) {
	got := map[string]*packet.Publish{}
	for _, p := range m.speak(t, "probe", &packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: "#", QoS: 2}}}) {
		if p, ok := p.(*packet.Publish); ok {
			got[string(p.Topic)] = p
		}
	}
	for _, topic := range modelTopics {
		list := append([]*application{}, m.open[topic]...)
		if len(list) == 0 {
			list = append(list, m.live[topic])
		}
		m.adopt(t, topic, got[topic], list)
	}
	clear(m.open)
}

// adopt takes what is retained for the truth if it is one of the candidates.
func (m *world) adopt(t *rapid.T, topic string, p *packet.Publish, list []*application) {
	for _, app := range slices.Backward(list) {
		none := app == nil || app.payload == ""
		if none && p == nil || !none && p != nil && string(p.Payload) == app.payload && p.QoS == app.qos && p.Retain {
			if len(list) > 1 { // and on the disk it may be, or not yet
				may := append(slices.Concat(m.candidates(topic), list), app)
				m.disk[topic] = slices.DeleteFunc(may, func(a *application) bool { return a != nil && a.fleeting })
			}
			m.live[topic] = app
			return
		}
	}
	m.fail(t, "%s is retained as %+v, want one of %v", topic, p, list)
}

// publish tells the model that the broker has taken a message of a session, nil for none. group is 0 unless others are published at the same
// moment.
func (m *world) publish(class string, from *modelSession, app *application, group int) {
	if group == 0 {
		m.groups++
		group = m.groups
	}
	for _, c := range m.clients {
		m.spread(c.session, from, expected{app: app, group: group, class: class})
	}
	if app.retain {
		m.retain(app)
	}
}

// spread gives a session what it gets of a message.
func (m *world) spread(s, from *modelSession, e expected) {
	if s == nil {
		return
	}
	qos, retain, ok := s.granted(e.app.topic, s == from)
	if !ok {
		return
	}
	e.qos, e.retain = min(qos, e.app.qos), retain && e.app.retain
	if e.again {
		e.again = slices.ContainsFunc(*s.list(e.qos), func(x *expected) bool { return x.app == e.app && x.may })
		e.may = e.again || e.app.qos == 2
	}
	s.expect(e)
}

// publishAgain is publish for a message that the broker may have had before the crash. At QoS 2 it is then not published again.
func (m *world) publishAgain(from *modelClient, app *application) {
	m.groups++
	for _, c := range m.clients {
		m.spread(c.session, from.session, expected{app: app, group: m.groups, class: from.class(), again: true})
	}
	switch {
	case app.retain && app.qos == 2:
		maybe := *app // its PUBREC does not tell whether it replaces what came after the first one
		maybe.safe = false
		m.open[app.topic] = append(m.open[app.topic], m.live[app.topic], &maybe)
	case app.retain:
		m.retain(app)
	}
}

// retain replaces a retained message.
func (m *world) retain(app *application) {
	m.live[app.topic] = app
	m.disk[app.topic] = append(m.candidates(app.topic), app)
	delete(m.open, app.topic)
}

// candidates returns what may be on the disk for a topic.
func (m *world) candidates(topic string) []*application {
	list := m.disk[topic]
	if list == nil {
		list = []*application{nil}
	}
	for i := len(list) - 1; i > 0; i-- {
		if list[i] != nil && list[i].safe {
			list = list[i:]
			break
		}
	}
	m.disk[topic] = list
	return list
}

// certain is called when all commits that were due are done.
func (m *world) certain() {
	for topic, list := range m.disk {
		m.disk[topic] = list[len(list)-1:]
	}
	for _, c := range m.clients {
		c.ghosts, c.unsure = nil, len(c.asks) > 0
		if c.will != nil {
			c.will.sure = true
		}
		if c.session != nil {
			c.session.settle()
		}
	}
}

package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// clientsDir holds the programs that drive client libraries, and the npm packages of those libraries.
const clientsDir = "testdata/clients"

// needNode finds node and the npm packages of the client tests.
func needNode(t *testing.T) string {
	t.Helper()
	node := need(t, "node", "nodejs")
	if !exists(filepath.Join(clientsDir, "node_modules")) {
		missing(t, "the npm packages of the client tests are not installed (make e2e-clients does it)")
	}
	return node
}

// library is a client library that a program of ours drives: client.js or client.py, told what to do in JSON.
type library struct {
	t         *testing.T
	name      string
	publisher string   // client identifier
	args      []string // of the program
	env       []string

	shared *driver        // hosts every member that does not ask for a process of its own
	own    *libraryMember // publishes
	hosted int
}

// join implements speaker.
func (l *library) join(s session) member {
	l.t.Helper()
	d := l.shared
	if s.alone {
		d = l.start()
	} else if d == nil {
		d = l.start()
		l.shared = d
	}
	l.hosted++
	m := &libraryMember{driver: d, name: strconv.Itoa(l.hosted)}
	d.members[m.name] = m
	m.connect(s)
	return m
}

// publish implements speaker, with a member that subscribes to nothing.
func (l *library) publish(msg message) {
	l.t.Helper()
	if l.own == nil {
		l.own = l.join(session{id: l.publisher}).(*libraryMember)
	}
	l.own.publish(msg)
}

func (l *library) start() *driver {
	l.t.Helper()
	cmd := exec.Command(l.args[0], l.args[1:]...)
	cmd.Env = append(os.Environ(), l.env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	return &driver{process: startCommand(l.t, l.name, cmd), in: in, members: map[string]*libraryMember{}}
}

// driver is a process that hosts members.
type driver struct {
	*process
	in      io.Writer
	members map[string]*libraryMember
	parsed  int // lines
	failed  string
}

// event is what a driver tells of a member.
type event struct {
	Client  string `json:"client"`
	Event   string `json:"event"` // connected, message, closed (by the broker), error; or the verb that is done
	Text    string `json:"text"`
	Topic   string `json:"topic"`
	Payload []byte `json:"payload"`
	QoS     int    `json:"qos"`
	Retain  bool   `json:"retain"`
}

// take takes in the lines that have come since it was last called.
func (d *driver) take(lines []string) {
	for ; d.parsed < len(lines); d.parsed++ {
		var e event
		if json.Unmarshal([]byte(lines[d.parsed]), &e) != nil {
			continue // what the library prints by itself
		}
		m := d.members[e.Client]
		switch {
		case e.Event == "error":
			d.failed = e.Text
		case e.Event == "message":
			m.got = append(m.got, message{e.Topic, e.Payload, e.QoS, e.Retain})
		case m != nil:
			m.events = append(m.events, e)
		}
	}
}

// order is what a driver is told to do.
type order struct {
	Client string `json:"client"`
	Do     string `json:"do"`
	Args   any    `json:"args"` // connectOrder, subscribeOrder, publishOrder, or nothing
}

type connectOrder struct {
	ID        string        `json:"id"`
	Clean     bool          `json:"clean"`
	Keepalive int           `json:"keepalive"`
	Will      *publishOrder `json:"will,omitempty"`
}

type subscribeOrder struct {
	Filter string `json:"filter"`
	QoS    int    `json:"qos"`
}

type publishOrder struct {
	Topic   string `json:"topic"`
	Payload []byte `json:"payload"`
	QoS     int    `json:"qos"`
	Retain  bool   `json:"retain"`
}

func orderOf(m message) *publishOrder {
	return &publishOrder{m.topic, append([]byte{}, m.payload...), m.qos, m.retain} // never nil, which would be null in JSON
}

// libraryMember is one client of a library.
type libraryMember struct {
	*driver
	name   string
	got    []message
	events []event
	asked  int // events that were waited for
}

func (m *libraryMember) connect(s session) {
	m.t.Helper()
	c := connectOrder{ID: s.id, Clean: !s.persistent, Keepalive: s.keepalive()}
	if s.will != nil {
		c.Will = orderOf(*s.will)
	}
	m.tell(order{Do: "connect", Args: c}, "connected")
	if s.filter == "" || s.resume {
		return
	}
	granted := m.tell(order{Do: "subscribe", Args: subscribeOrder{s.filter, s.qos}}, "subscribe")
	if granted.QoS != s.qos {
		m.t.Errorf("%s: asked for QoS %d for %s, granted was %d", m.process.name, s.qos, s.filter, granted.QoS)
	}
}

func (m *libraryMember) publish(msg message) {
	m.t.Helper()
	m.tell(order{Do: "publish", Args: orderOf(msg)}, "publish")
}

// tell gives an order and waits until it is done.
func (m *libraryMember) tell(o order, done string) event {
	m.t.Helper()
	o.Client = m.name
	line, err := json.Marshal(o)
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := m.in.Write(append(line, '\n')); err != nil {
		m.t.Fatalf("%s: %v", m.process.name, err)
	}
	return m.event(done)
}

// event waits for the next event of a kind.
func (m *libraryMember) event(kind string) event {
	m.t.Helper()
	var found event
	m.until(kind+" of member "+m.name, func() bool {
		for m.asked < len(m.events) {
			found = m.events[m.asked]
			m.asked++
			switch {
			case found.Event == kind:
				return true
			case found.Event == "closed" && kind != "disconnect": // MQTT.js tells both
				m.failed = "the broker has closed the connection"
				return true
			}
		}
		return false
	})
	return found
}

// until waits until done; it takes in what the driver tells.
func (m *libraryMember) until(what string, done func() bool) {
	m.t.Helper()
	m.waitFor(what, func(lines []string) bool {
		m.take(lines)
		return m.failed != "" || done()
	})
	if m.failed != "" {
		m.t.Fatalf("%s: while waiting for %s: %s", m.process.name, what, m.failed)
	}
}

// await implements member.
func (m *libraryMember) await(topic string, n int) []message {
	m.t.Helper()
	var got []message
	m.until(fmt.Sprintf("%d messages on %s", n, topic), func() bool {
		got = onTopic(m.got, topic)
		return len(got) >= n
	})
	return got
}

// all implements member.
func (m *libraryMember) all() []message {
	m.take(m.process.all())
	return m.got
}

// leave implements member.
func (m *libraryMember) leave() {
	m.t.Helper()
	m.tell(order{Do: "disconnect", Args: struct{}{}}, "disconnect")
}

// lost implements member.
func (m *libraryMember) lost() {
	m.t.Helper()
	m.event("closed")
}

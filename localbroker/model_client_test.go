package localbroker_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// wire is the client's end of a connection. What comes is gathered by a goroutine of its own.
type wire struct {
	c   net.Conn
	mu  sync.Mutex
	in  []packet.Packet
	err error // that ended the reading
}

func newWire(c net.Conn, v packet.Version) *wire {
	w := &wire{c: c}
	go w.read(v)
	return w
}

func (w *wire) read(v packet.Version) {
	r := bufio.NewReader(w.c)
	for {
		p, err := readPacket(r, v)
		w.mu.Lock()
		if err != nil {
			w.err = err
		} else {
			w.in = append(w.in, p)
		}
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// take returns what has come.
func (w *wire) take() ([]packet.Packet, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	in := w.in
	w.in = nil
	return in, w.err
}

// write sends bytes. The broker must take them: it has an hour.
func (w *wire) write(b []byte) error {
	_ = w.c.SetWriteDeadline(time.Now().Add(time.Hour))
	_, err := w.c.Write(b)
	return err
}

// outgoing is a QoS 1 or 2 message that a client publishes.
type outgoing struct {
	app     *application
	id      uint16
	gotRec  bool // PUBREC came
	sentRel bool
	doubt   bool // a crash may have forgotten that it came
}

// modelWill is a will that the broker was given.
type modelWill struct {
	app   *application
	sure  bool // it is on the disk
	delay time.Duration
	due   time.Time // when it waits for its delay
}

// modelClient is a client that keeps the rules, with all that it and the model know of its session.
type modelClient struct {
	id      string
	v       packet.Version
	w       *wire   // nil while offline
	conn    int     // number of the connection
	up      bool    // CONNACK came
	present [2]bool // what SessionPresent may be: false, true
	session *modelSession
	out     []*outgoing // in the order of sending
	in      map[uint16]*expected
	asks    map[uint16]packet.Packet  // SUBSCRIBE and UNSUBSCRIBE that were not answered
	replays map[uint16][]*application // what a SUBSCRIBE brings
	unsure  bool                      // nobody knows what a crash would leave of its session
	clears  bool                      // and CONNACK tells
	will    *modelWill
	waiting *modelWill // waits for its delay
	aliases modelAliases
	ghosts  []*modelWill // wills that are over, and may be published again after a crash
	lastID  uint16
}

func newModelClient(id string) *modelClient {
	c := &modelClient{id: id, replays: map[uint16][]*application{}}
	c.forget()
	return c
}

// forget is what a client does whose session is new.
func (c *modelClient) forget() {
	c.out, c.in = nil, map[uint16]*expected{}
}

// nextID returns a packet id that is not in use.
func (c *modelClient) nextID() uint16 {
	for {
		c.lastID = c.lastID%20 + 1
		used := c.asks[c.lastID] != nil || slices.ContainsFunc(c.out, func(o *outgoing) bool { return o.id == c.lastID })
		if !used {
			return c.lastID
		}
	}
}

// class tells the client's messages from those of others, and of its other connections: what waits for its commit when a connection ends may
// come after what the next connection publishes.
func (c *modelClient) class() string { return fmt.Sprint(c.id, " ", c.conn) }

// full reports whether the client has used many of its ids, so that it had better wait.
func (c *modelClient) full() bool { return len(c.out)+len(c.asks) > 12 }

func (c *modelClient) find(id uint16) *outgoing {
	for _, o := range c.out {
		if o.id == id {
			return o
		}
	}
	return nil
}

// handle takes one packet of the broker and returns what the client answers by itself.
func (c *modelClient) handle(m *world, p packet.Packet) ([]byte, error) {
	if !c.up && p.Type() != packet.TypeConnack {
		return nil, fmt.Errorf("%v came before CONNACK", p.Type())
	}
	switch p := p.(type) {
	case *packet.Connack:
		return c.handleConnack(m, p)
	case *packet.Publish:
		return nil, c.handlePublish(p)
	case *packet.Suback:
		return nil, c.handleSuback(p)
	case *packet.Unsuback:
		if _, asked := c.asks[p.ID].(*packet.Unsubscribe); !asked {
			return nil, fmt.Errorf("UNSUBACK %d came for nothing", p.ID)
		}
		delete(c.asks, p.ID)
		return nil, nil
	case *packet.Ack:
		return nil, c.handleAck(p)
	}
	return nil, fmt.Errorf("%v came", p.Type())
}

func (c *modelClient) handleConnack(m *world, p *packet.Connack) ([]byte, error) {
	if c.up || p.Code.Failed() {
		return nil, fmt.Errorf("CONNACK %v came, or a second one", p.Code)
	}
	i := 0
	if p.SessionPresent {
		i = 1
	}
	if !c.present[i] {
		return nil, fmt.Errorf("CONNACK says session present: %v", p.SessionPresent)
	}
	c.up, c.session.maybe, c.session.vague, c.unsure = true, false, false, c.unsure && !c.clears
	if !p.SessionPresent {
		c.forget()
		return nil, nil
	}
	return c.resend(m), nil
}

// resend repeats what was not confirmed (MQTT 3.1.1, 4.4), and tells the model what that brings about.
func (c *modelClient) resend(m *world) (b []byte) {
	for _, o := range c.out {
		switch {
		case o.gotRec:
			b = packet.AppendAck(b, packet.TypePubrel, o.id)
			o.sentRel = true
			continue
		case o.doubt:
			m.publishAgain(c, o.app)
		case o.app.qos == 1:
			m.publish(c.class(), c.session, o.app, 0)
		}
		b = append(b, c.publishing(o.app, o.id, true)...)
		o.doubt = false
	}
	return b
}

func (c *modelClient) handlePublish(p *packet.Publish) error {
	if err := c.aliases.resolve(p); err != nil {
		return err
	}
	e, err := c.session.take(p, c.conn)
	if err != nil || p.QoS < 2 {
		return err
	}
	if owner := c.in[p.ID]; owner != nil && owner != e {
		return fmt.Errorf("%v came with the id of %v, which was not released", e, owner)
	}
	c.in[p.ID] = e
	return nil
}

func (c *modelClient) handleSuback(p *packet.Suback) error {
	s, asked := c.asks[p.ID].(*packet.Subscribe)
	if !asked || len(s.Subscriptions) != len(p.Codes) {
		return fmt.Errorf("SUBACK %d came for nothing", p.ID)
	}
	delete(c.asks, p.ID)
	for i, sub := range s.Subscriptions {
		if p.Codes[i] != packet.ReasonCode(sub.QoS) {
			return fmt.Errorf("SUBACK grants %v for %v", p.Codes[i], sub)
		}
	}
	for _, app := range c.replays[p.ID] {
		app.safe = true
	}
	delete(c.replays, p.ID)
	return nil
}

func (c *modelClient) handleAck(p *packet.Ack) error {
	if p.Kind == packet.TypePubrel {
		e, err := c.session.release(p.ID, c.conn)
		if err == nil && c.in[p.ID] == e {
			delete(c.in, p.ID)
		}
		return err
	}
	o := c.find(p.ID)
	if o == nil {
		return fmt.Errorf("%v %d came for nothing", p.Kind, p.ID)
	}
	switch {
	case p.Kind == packet.TypePuback && o.app.qos == 1, p.Kind == packet.TypePubcomp && o.sentRel:
		c.out = slices.DeleteFunc(c.out, func(x *outgoing) bool { return x == o })
	case p.Kind == packet.TypePubrec && o.app.qos == 2 && !o.sentRel:
		o.gotRec = true
	default:
		return fmt.Errorf("%v %d came for %+v", p.Kind, p.ID, o)
	}
	o.app.safe = true
	return nil
}

// confirm takes a delivery one step on and returns the packet for it.
func (c *modelClient) confirm(e *expected) []byte {
	kind := packet.TypePuback
	switch {
	case e.qos == 1:
		e.step = over
	case e.step == flying:
		e.step, kind = confirmed, packet.TypePubrec
	default:
		e.step, kind = over, packet.TypePubcomp
	}
	if e.step == over && !c.session.persistent {
		c.session.drop(&c.session.memory, e)
	}
	return packet.AppendAck(nil, kind, e.id)
}

// haunt notes that a will is over, which a crash may forget.
func (c *modelClient) haunt(w *modelWill) {
	c.ghosts = append(c.ghosts, &modelWill{app: w.app, delay: w.delay})
}

// vague reports whether nobody can know whether a will waits for its delay after a crash, and how long.
func (c *modelClient) vague() bool {
	return c.waiting != nil && !c.waiting.sure || c.will != nil && !c.will.sure && c.will.delay > 0 ||
		slices.ContainsFunc(c.ghosts, func(w *modelWill) bool { return w.delay > 0 })
}

// crash is what the client knows no more when the broker was killed.
func (c *modelClient) crash() {
	for _, o := range c.out {
		o.doubt = o.doubt || !o.app.safe
	}
	if c.will != nil && !c.will.sure {
		c.haunt(c.will)
		c.will = nil
	}
}

// publishing encodes a PUBLISH. A client of MQTT 5 uses aliases for some of its topics.
func (c *modelClient) publishing(app *application, id uint16, dup bool) []byte {
	p := packet.Publish{Topic: []byte(app.topic), Payload: []byte(app.payload), QoS: app.qos, ID: id, Retain: app.retain, Dup: dup}
	if alias := uint16(len(app.topic)); c.v == packet.V5 && alias == 1 { // those of one letter
		alias = uint16(app.topic[0])
		p.Props.TopicAlias = packet.Some(alias % 8)
		if c.aliases.sent[alias] {
			p.Topic = nil
		}
		c.aliases.sent[alias] = true
	}
	return p.Append(nil, c.v)
}

// modelAliases are the topic aliases of a connection.
type modelAliases struct {
	sent map[uint16]bool
	got  map[uint16]string
}

// aliasMaximum is how many aliases the broker may use.
const aliasMaximum = 2

// resolve puts in the topic of an alias.
func (a *modelAliases) resolve(p *packet.Publish) error {
	alias := p.Props.TopicAlias
	switch {
	case !alias.Set:
	case alias.Value == 0 || alias.Value > aliasMaximum:
		return fmt.Errorf("topic alias %d came", alias.Value)
	case len(p.Topic) > 0:
		a.got[alias.Value] = string(p.Topic)
	case a.got[alias.Value] == "":
		return fmt.Errorf("topic alias %d came before its topic", alias.Value)
	default:
		p.Topic = []byte(a.got[alias.Value])
	}
	return nil
}

var errNoRead = errors.New("the broker did not take what was sent")

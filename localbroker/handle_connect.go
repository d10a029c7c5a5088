package localbroker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// handleConnect works on the first packet: who is it, may it come in, and which session is its own (MQTT 3.1.1, 3.1.4).
func (c *conn) handleConnect(ctx context.Context, f packet.Frame) error {
	var p packet.Connect
	if err := p.Parse(f, 0); err != nil {
		return c.refuseMalformed(err)
	}
	ctx, cancel := context.WithDeadline(ctx, c.deadline)
	defer cancel()
	c.version, c.bridge = p.Version, p.Bridge
	c.since = c.b.opts.Now()
	c.agree(&p)
	if err := c.checkConnect(&p); err != nil {
		return c.refuse(err)
	}
	c.name = p.ClientID
	if err := c.authenticate(ctx, &p); err != nil {
		return c.refuse(err)
	}
	if err := c.enter(ctx, &p); err != nil {
		return c.refuse(err)
	}
	c.b.stats.connects.Add(1)
	c.limit = c.b.opts.MaxPacket
	// Half as long again as the keep alive (MQTT 3.1.1, 3.1.2-24). None at all is meant by 0.
	c.idle = time.Duration(c.keepAlive) * 1500 * time.Millisecond
	if err := c.nc.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	c.log.Info("client connected", "user", p.Username.Value, "version", p.Version.String(), "clean", p.CleanStart,
		"keep_alive", c.keepAlive, "listener", c.lo.Name)
	return nil
}

// refusal is an answer to CONNECT that is not success.
type refusal struct {
	code packet.ReasonCode
	err  error
}

func (e *refusal) Error() string { return e.err.Error() }

func refused(code packet.ReasonCode, format string, args ...any) error {
	return &refusal{code, fmt.Errorf(format, args...)}
}

// checkConnect finds what this broker does not take of what the standard allows, and gives an identifier to a client without one.
func (c *conn) checkConnect(p *packet.Connect) error {
	five := p.Version == packet.V5
	switch {
	case p.Props.AuthMethod != nil:
		return refused(packet.ReasonBadAuthenticationMethod, "authentication method %.40q is not known, none is", p.Props.AuthMethod)
	case p.ClientID == "" && !five && (!p.CleanStart || p.Version == packet.V31):
		return refused(packet.ReasonClientIDNotValid, "the client identifier is empty, which needs a clean session of MQTT 3.1.1 [MQTT-3.1.3-8]")
	case p.ClientID == "":
		p.ClientID, c.assigned = "auto-"+rand.Text(), five
	}
	if w := p.Will; w != nil {
		if err := checkPublishTopic(w.Topic, p.Bridge); err != nil {
			return refused(codeFor(p.Version, err), "will: %w", err)
		}
	}
	if c.exceeds(len(c.welcome(p, true))) {
		return refused(packet.ReasonPacketTooLarge, "the client takes packets of %d bytes, less than a CONNACK has [MQTT-3.1.2-24]", c.terms.limit)
	}
	return nil
}

// checkPublishTopic says why a client may not publish on a topic that is otherwise valid. A bridge of mosquitto may tell its state.
func checkPublishTopic(topic string, bridge bool) error {
	if strings.HasPrefix(topic, "$") && (!bridge || !isBridgeState(topic)) {
		return violation(packet.ReasonNotAuthorized, "topic %.40q: topics that begin with $ are the broker's own [MQTT-4.7.2-1]", topic)
	}
	if !levelsFit(topic) {
		return violation(packet.ReasonTopicNameInvalid, "topic %.40q...: it has more than %d levels", topic, maxLevels)
	}
	return nil
}

// codeFor is the reason code for a will that may not be.
func codeFor(v packet.Version, err error) packet.ReasonCode {
	if code, ok := disconnectCode(err); ok && v == packet.V5 {
		return code
	}
	return packet.ReasonNotAuthorized
}

func isBridgeState(topic string) bool {
	name, ok := strings.CutPrefix(topic, "$SYS/broker/connection/")
	return ok && strings.HasSuffix(name, "/state")
}

func (c *conn) authenticate(ctx context.Context, p *packet.Connect) error {
	auth := c.b.opts.Auth
	switch {
	case c.certified != "": // whatever else was sent
		p.Username.Value, p.Username.Set = c.certified, true
		return nil
	case !p.Username.Set && c.lo.AllowAnonymous:
		return nil
	case !p.Username.Set:
		return refused(packet.ReasonNotAuthorized, "no user name was sent, and listener %s asks for one", c.lo.Name)
	case auth == nil && c.lo.AllowAnonymous:
		p.Username.Value = "" // nobody has checked it
		return nil
	case auth == nil:
		return refused(packet.ReasonBadUserNameOrPassword, "user %q is not known", p.Username.Value)
	}
	return c.logIn(ctx, p.Username.Value, p.Password)
}

// enter makes this the client's one connection and opens its session. The CONNACK is on its way when enter returns without an error.
func (c *conn) enter(ctx context.Context, p *packet.Connect) error {
	cl, err := c.b.claim(ctx, p.ClientID)
	if err != nil {
		return refused(packet.ReasonServerUnavailable, "%w", err)
	}
	defer c.b.release(p.ClientID, cl)
	if err := c.b.evict(ctx, cl); err != nil {
		return refused(packet.ReasonServerUnavailable, "%w", err)
	}
	if err := c.open(cl, p); err != nil {
		return refused(packet.ReasonQuotaExceeded, "%w", err)
	}
	c.b.register(cl, c)
	if err := c.b.loginLost(c); err != nil { // Reauthorize may have been just too early to see the connection
		c.kill(err)
	}
	c.keepWill(p.Will)
	c.polite.Store(p.Version == packet.V5)
	return nil
}

// open takes up the stored session or starts one, which is kept by the store when it is to outlive the connection. A will of the client's
// that waits for its delay is forgotten when the session goes on, and published when it ends (MQTT-3.1.3-9).
func (c *conn) open(cl *client, p *packet.Connect) error {
	b, s := c.b, cl.session
	expiry := sessionExpiry(p)
	present := s != nil && !p.CleanStart && s.user == p.Username.Value && !s.over(b.opts.Now(), &b.opts)
	if present {
		b.cancelWill(cl)
	}
	if !present && expiry == 0 {
		c.openClean(cl, p)
		return nil
	}
	if s != nil && !present {
		b.dropSession(cl, nil) // unwanted, of somebody else, or too old
	}
	if !present {
		var err error
		if s, err = b.newSession(cl, p.ClientID, p.Username.Value, expiry); err != nil {
			return err
		}
	}
	c.session = s
	c.openPersistent(c.welcome(p, present), expiry)
	return nil
}

// openClean starts a session that ends with the connection. A stored one goes first (MQTT 3.1.1, 3.1.2-6), before CONNACK.
func (c *conn) openClean(cl *client, p *packet.Connect) {
	s := &session{id: p.ClientID, user: p.Username.Value}
	c.session = s
	s.attach(c)
	connack := slot{kind: packet.TypeConnack, data: c.welcome(p, false)}
	if cl.session == nil {
		c.reserve(connack)
		return
	}
	connack.waits = 1
	c.b.dropSession(cl, c.settle(c.reserve(connack)))
}

// openPersistent connects to the session's queue in the store. CONNACK waits for the commit.
func (c *conn) openPersistent(connack []byte, expiry time.Duration) {
	s := c.session
	s.setExpiry(expiry)
	for id, r := range s.inbound {
		s.inbound[id] = receipt{sum: r.sum}
	}
	number := c.reserve(slot{kind: packet.TypeConnack, data: connack, waits: 2}) // for the commit, and for the queue
	// Changes are committed in their order: when CONNACK leaves, so are the PUBRECs whose PUBRELs follow it.
	c.b.opts.Store.Commit(&gateway.Change{Ops: []gateway.Op{c.b.putSession(s, time.Time{})}}, c.settle(number))
	s.attach(c)
	c.pull = new(pull)
	c.pull.after = c.b.opts.Store.Attach(s.queue, c.wakeDurable)
	c.pull.readable.Store(true)
	c.settle(number)(nil)
}

// putSession is the stored form of a session; disconnected is zero while it has a connection.
func (b *Broker) putSession(s *session, disconnected time.Time) gateway.PutSession {
	return gateway.PutSession{Queue: s.queue, ClientID: s.id, User: s.user, Expiry: s.expiry, Disconnected: disconnected}
}

// setExpiry sets how long the session is to be kept after its connection.
func (s *session) setExpiry(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expiry = d
}

// refuse answers CONNECT with err's reason and ends the connection.
func (c *conn) refuse(err error) error {
	r := &refusal{packet.ReasonServerUnavailable, err}
	errors.As(err, &r)
	ack := packet.Connack{Code: r.code}
	c.explainTo(&ack.Props, err.Error(), func() int { return len(ack.Append(nil, c.version)) })
	if answer := ack.Append(nil, c.version); !c.exceeds(len(answer)) {
		c.farewell(answer)
	}
	return fmt.Errorf("%w: %w", errRefused, err)
}

// refuseMalformed answers a CONNECT that could not be read, where the standard has an answer.
func (c *conn) refuseMalformed(err error) error {
	var bad *packet.Error
	if errors.As(err, &bad) {
		if ack, ok := bad.Connack(); ok {
			c.farewell(ack.Append(nil, bad.Version))
		}
	}
	return err
}

// How long, and how many bytes, a refused client may take to read its answer and close.
const (
	farewellTime  = time.Second
	farewellBytes = 64 << 10
)

// farewell sends the last packet of a connection that never came to be. It then reads on for a moment: closing with input unread would
// reset the connection, and the client might never see the answer.
func (c *conn) farewell(b []byte) {
	deadline := time.Now().Add(farewellTime)
	if c.nc.SetDeadline(deadline) != nil {
		return
	}
	if _, err := c.nc.Write(b); err != nil {
		return
	}
	c.drain()
}

package localbroker

import (
	"math"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// terms are what a client of MQTT 5 and the broker have agreed on in CONNECT and CONNACK, beyond what earlier versions know. They end with
// the connection. Its reader uses them, and its writer what the client has set for us.
type terms struct {
	expiry   uint32 // of CONNECT, in seconds: 0 cannot be changed by DISCONNECT
	problems bool   // the client wants reason strings
	limit    int    // bytes of the largest packet that the client takes; 0: any
	received aliasesIn
	sent     *aliasesOut // nil when the client takes no aliases
	open     int         // QoS 2 messages received over this connection and not released
	ids      idCache
}

// neverExpires is the session expiry interval of a session that the client wants to be kept for ever (MQTT 5, 3.1.2.11.2).
const neverExpires = math.MaxUint32

// agree notes what the client of a CONNECT has set.
func (c *conn) agree(p *packet.Connect) {
	c.window, c.keepAlive = c.b.opts.MaxInflight, c.serverKeepAlive(p)
	if p.Version != packet.V5 {
		return
	}
	c.terms = &terms{
		expiry:   p.Props.SessionExpiry.Value,
		problems: p.Props.RequestProblemInfo.Or(1) == 1,
		limit:    int(min(p.Props.MaximumPacketSize.Value, packet.MaxSize)),
	}
	c.window = min(c.window, int(p.Props.ReceiveMaximum.Or(math.MaxUint16)))
	if n := p.Props.TopicAliasMaximum.Value; n > 0 {
		c.terms.sent = newAliasesOut(n)
	}
}

// sessionExpiry is how long the client wants its session to be kept after the connection; negative: for ever.
func sessionExpiry(p *packet.Connect) time.Duration {
	switch {
	case p.Version == packet.V5:
		return expiryOf(p.Props.SessionExpiry.Value)
	case p.CleanStart:
		return 0
	}
	return -1
}

func expiryOf(seconds uint32) time.Duration {
	if seconds == neverExpires {
		return -1
	}
	return time.Duration(seconds) * time.Second
}

// lifetime is how long a session is kept after its connection, with the limit on all sessions; negative: for ever.
func (o *Options) lifetime(expiry time.Duration) time.Duration {
	switch {
	case o.SessionMaxAge < 0:
		return expiry
	case expiry < 0:
		return o.SessionMaxAge
	}
	return min(expiry, o.SessionMaxAge)
}

// welcome returns CONNACK. To a client of MQTT 5 it tells all limits and what is available (MQTT 5, 3.2.2.3). What is available by default
// need not be said to one that takes only very small packets.
func (c *conn) welcome(p *packet.Connect, present bool) []byte {
	ack := packet.Connack{SessionPresent: present}
	if c.version != packet.V5 {
		return ack.Append(nil, c.version)
	}
	o := &c.b.opts
	yes := packet.Some[byte](1)
	ack.Props = packet.Properties{
		ReceiveMaximum:    packet.Some(uint16(o.ReceiveMaximum)),
		MaximumPacketSize: packet.Some(uint32(o.MaxPacket)),
		TopicAliasMaximum: packet.Some(uint16(o.MaxTopicAliases)),
		RetainAvailable:   yes, WildcardAvailable: yes, SubscriptionIDsAvail: yes, SharedAvailable: yes,
	}
	asked := p.Props.SessionExpiry.Value
	if kept := o.lifetime(expiryOf(asked)); kept != expiryOf(asked) {
		ack.Props.SessionExpiry = packet.Some(uint32((kept + time.Second - 1) / time.Second))
	}
	if c.assigned {
		ack.Props.AssignedClientID = []byte(p.ClientID)
	}
	if c.keepAlive != p.KeepAlive {
		ack.Props.ServerKeepAlive = packet.Some(c.keepAlive)
	}
	if p.Props.RequestResponseInfo.Value == 1 && o.ResponseBase != "" && packet.ValidTopic(p.ClientID) == nil {
		ack.Props.ResponseInfo = []byte(o.ResponseBase + "/" + p.ClientID)
	}
	if c.exceeds(len(ack.Append(nil, c.version))) {
		none := packet.Opt[byte]{}
		ack.Props.RetainAvailable, ack.Props.WildcardAvailable, ack.Props.SubscriptionIDsAvail, ack.Props.SharedAvailable = none, none, none, none
		ack.Props.ResponseInfo = nil
	}
	return ack.Append(nil, c.version)
}

// serverKeepAlive is the keep alive that holds for the client, in seconds. Only MQTT 5 lets us change what it has asked for.
func (c *conn) serverKeepAlive(p *packet.Connect) uint16 {
	limit := c.b.opts.MaxKeepAlive
	if p.Version != packet.V5 || limit == 0 || p.KeepAlive > 0 && p.KeepAlive <= limit {
		return p.KeepAlive
	}
	return limit
}

// explainTo adds a reason string to the properties of a packet, if the client wants reasons and takes a packet with this one.
func (c *conn) explainTo(props *packet.Properties, reason string, size func() int) {
	if c.terms == nil || !c.terms.problems || reason == "" {
		return
	}
	props.ReasonString = []byte(reason)
	if c.terms.limit > 0 && size() > c.terms.limit {
		props.ReasonString = nil // MQTT-3.2.2-19, MQTT-3.4.2-2 and others like them
	}
}

// exceeds reports whether so many bytes are more than the client takes in one packet (MQTT-3.1.2-24).
func (c *conn) exceeds(size int) bool {
	return c.terms != nil && c.terms.limit > 0 && size > c.terms.limit
}

// encode5 appends the PUBLISH of one delivery to a client of MQTT 5. It is false, and nothing is appended, when the packet is larger than
// the client takes (MQTT-3.1.2-24).
func (c *conn) encode5(dst []byte, p *publishing, d *delivery) (out []byte, ok bool) {
	t := c.terms
	if e := d.encoded; e != nil && e.shared && !d.retain && t.sent == nil && len(d.ids) == 0 && !expires(d.msg) && len(e.Payload) <= maxShared {
		enc := e.encoding5(p, d.qos)
		if c.exceeds(enc.Len()) {
			return dst, false
		}
		return enc.Append(dst, d.id, d.dup), true
	}
	p.set(d.msg, d.qos, d.retain)
	p.packet.ID, p.packet.Dup = d.id, d.dup
	setProperties(&p.packet.Props, d.msg.Properties, d.left)
	p.packet.Props.SubscriptionIDs = append(p.packet.Props.SubscriptionIDs, d.ids...)
	if c.exceeds(p.packet.Size(c.version)) {
		return dst, false
	}
	if t.sent != nil {
		t.sent.shorten(p)
		if c.exceeds(p.packet.Size(c.version)) { // a new alias makes the packet longer, once
			t.sent.undo(p, d.msg.Topic)
		}
	}
	return p.packet.Append(dst, c.version), true
}

// encoding5 returns the wire form of m that receivers of MQTT 5 at one QoS share, when nothing in it is theirs alone.
func (m *message) encoding5(p *publishing, qos gateway.QoS) *packet.Encoded {
	shared := m.encodings5()
	if e := shared[qos].Load(); e != nil {
		return e
	}
	p.set(&m.Message, qos, false)
	setProperties(&p.packet.Props, m.Properties, 0)
	e := p.packet.Encode(nil, packet.V5)
	shared[qos].Store(&e)
	return &e
}

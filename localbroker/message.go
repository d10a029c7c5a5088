package localbroker

import (
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// message is an application message on its way to subscribers. It is never changed; only the encodings that its receivers share
// are added on first use.
type message struct {
	gateway.Message
	shared  bool         // more than one receiver: an encoding is worth keeping
	holders atomic.Int32 // queues that hold it, if it is shared
	encoded [3]atomic.Pointer[packet.Encoded]
	five    atomic.Pointer[five] // nil while there is nothing in it
}

// five is what only MQTT 5 needs of a message.
type five struct {
	came    time.Time // zero when the message does not expire
	encoded [3]atomic.Pointer[packet.Encoded]
}

// newMessage makes the message that subscribers in memory get. came is when it came, from which its expiry counts.
func (b *Broker) newMessage(m *gateway.Message, came time.Time, shared bool) *message {
	msg := &message{Message: *m, shared: shared}
	msg.arrived(came)
	return msg
}

// arrived notes when a message came that expires.
func (m *message) arrived(at time.Time) {
	if expires(&m.Message) {
		m.five.Store(&five{came: at})
	}
}

// came returns when a message came that expires.
func (m *message) came() time.Time {
	if f := m.five.Load(); f != nil {
		return f.came
	}
	return time.Time{}
}

// encodings returns the wire forms in MQTT 5 that receivers share, at each QoS.
func (m *message) encodings5() *[3]atomic.Pointer[packet.Encoded] {
	f := m.five.Load()
	if f == nil {
		f = new(five)
		if !m.five.CompareAndSwap(nil, f) {
			f = m.five.Load()
		}
	}
	return &f.encoded
}

// expires reports whether a message has an expiry.
func expires(m *gateway.Message) bool { return m.Properties != nil && m.Properties.HasExpiry }

// remaining returns the seconds that are left of a message that came age ago, and whether there are any (MQTT 5, 3.3.2.3.3). In its first
// second no message is expired.
func remaining(m *gateway.Message, age time.Duration) (seconds uint32, ok bool) {
	interval := time.Duration(m.Properties.Expiry) * time.Second
	if age = max(age, 0); age >= max(interval, time.Second) {
		return 0, false
	}
	return m.Properties.Expiry - min(m.Properties.Expiry, uint32(age/time.Second)), true
}

// maxShared is the payload up to which an encoding is kept: beyond it, the memory costs more than the copying.
const maxShared = 4 << 10

// messageOverhead is what a waiting message costs in memory beyond topic and payload, roughly.
const messageOverhead = 160

// cost is what m counts against limits in bytes.
func cost(m *gateway.Message) int {
	n := len(m.Topic) + len(m.Payload) + messageOverhead
	if m.Properties != nil {
		n += propertiesCost(m.Properties)
	}
	return n
}

// publishing is a PUBLISH to be encoded, with the memory that encoding needs.
type publishing struct {
	packet packet.Publish
	topic  []byte
}

// append appends the PUBLISH of one delivery to dst, to a client of MQTT 3.1 or 3.1.1.
func (p *publishing) append(dst []byte, v packet.Version, d *delivery) []byte {
	if e := d.encoded; e != nil && e.shared && !d.retain && len(e.Payload) <= maxShared {
		return e.encoding(p, d.qos).Append(dst, d.id, d.dup)
	}
	p.set(d.msg, d.qos, d.retain)
	p.packet.ID, p.packet.Dup = d.id, d.dup
	return p.packet.Append(dst, v)
}

func (p *publishing) set(m *gateway.Message, qos gateway.QoS, retain bool) {
	p.topic = append(p.topic[:0], m.Topic...)
	p.packet.Topic, p.packet.Payload = p.topic, m.Payload
	p.packet.QoS, p.packet.Retain = packet.QoS(qos), retain
	p.packet.ID, p.packet.Dup = 0, false
}

// encoding returns the wire form of m that receivers of 3.1 and 3.1.1 at one QoS share. Two of them may make it at the same moment;
// then one of the two is kept.
func (m *message) encoding(p *publishing, qos gateway.QoS) *packet.Encoded {
	if e := m.encoded[qos].Load(); e != nil {
		return e
	}
	p.set(&m.Message, qos, false)
	e := p.packet.Encode(nil, packet.V311)
	m.encoded[qos].Store(&e)
	return &e
}

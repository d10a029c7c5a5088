package localbroker

import (
	"sync/atomic"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// message is an application message on its way to subscribers. It is never changed; only the encodings that its receivers share
// are added on first use.
type message struct {
	gateway.Message
	shared  bool // more than one receiver: an encoding is worth keeping
	encoded [3]atomic.Pointer[packet.Encoded]
}

// maxShared is the payload up to which an encoding is kept: beyond it, the memory costs more than the copying.
const maxShared = 4 << 10

// messageOverhead is what a waiting message costs in memory beyond topic and payload, roughly.
const messageOverhead = 160

// cost is what m counts against limits in bytes.
func cost(m *gateway.Message) int { return len(m.Topic) + len(m.Payload) + messageOverhead }

// publishing is a PUBLISH to be encoded, with the memory that encoding needs.
type publishing struct {
	packet packet.Publish
	topic  []byte
}

// append appends the PUBLISH of one delivery to dst.
func (p *publishing) append(dst []byte, v packet.Version, d *delivery) []byte {
	if e := d.encoded; e != nil && e.shared && !d.retain && v != packet.V5 && len(e.Payload) <= maxShared {
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

package modbus

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/gateway"
)

// The framings of one network port are mixed up more often than anything else about it: a serial device server passes RTU frames through,
// a gateway translates them. A device that is spoken to in the wrong one is silent or hangs up, so that only asking in the other one tells.
var (
	errSpeaksRTU = framef(`the device answers in RTU framing: set transport = "rtu-over-tcp"`)
	errSpeaksTCP = framef(`the device answers in Modbus TCP framing: set transport = "tcp"`)
)

// The other framing is tried in place of a read that would be the sixth without an answer, and after some more of them. Once the
// device has answered there is no more doubt.
const (
	probeFirst = 5
	probeEvery = 10
	probeLast  = probeFirst + 2*probeEvery
)

// mixup watches for a device that speaks another framing than the one configured. Its zero value watches for nothing.
type mixup struct {
	other  framing // to be tried; nil when there is no other, or no doubt
	hint   error   // what an answer in it means; stays when there is no doubt
	silent int     // requests without an answer
	found  bool    // an answer in it came
}

// newMixup returns the watch over a framing that is spoken over a connection.
func newMixup(f framing, network bus.Network) mixup {
	switch f.(type) {
	case *tcpFraming:
		if network == bus.NetworkTCP {
			return mixup{other: newRTUFraming(), hint: errSpeaksRTU}
		}
	case *rtuFraming:
		return mixup{other: newTCPFraming(), hint: errSpeaksTCP}
	}
	return mixup{}
}

// due reports whether this request is to be sent in the other framing.
func (m *mixup) due(c call) bool {
	return m.other != nil && c.request.isRead() && c.unit != broadcastUnit &&
		m.silent >= probeFirst && m.silent <= probeLast && (m.silent-probeFirst)%probeEvery == 0
}

// heard ends the doubt.
func (m *mixup) heard() {
	m.other, m.found = nil, false
}

// unheard counts a request without an answer.
func (m *mixup) unheard() {
	if m.other != nil {
		m.silent++
	}
}

// explain puts what the device was found to speak in front of an error.
func (m *mixup) explain(err error) error {
	if !m.found {
		return err
	}
	return fmt.Errorf("%w (%w)", m.hint, err)
}

// probe asks in the other framing. It never brings data: an answer is a mistake of the configuration, which a person has to mend.
func (c *client) probe(ctx context.Context, call call) error {
	frame, err := c.mixup.other.encode(call.unit, call.request)
	if err != nil {
		return &failure{reason: gateway.ReasonFrame, err: err}
	}
	reply := c.mixup.other.reply(frame, call.request)
	_, err = c.bus.Exchange(ctx, bus.Conversation{
		Request: frame, Expect: c.mixup.other.expect(call.request), Timeout: call.timeout, NotBefore: c.late[call.unit], Find: reply.find,
	})
	if err != nil {
		return c.failed(ctx, call, reply, err)
	}
	c.requests.Add(1)
	c.errors.Add(1)
	c.mixup.found = true
	c.mixup.silent++
	return &failure{reason: gateway.ReasonFrame, err: c.mixup.hint}
}

// speaksRTU reports whether an RTU frame that could answer the request is among these bytes.
func speaksRTU(unit byte, q request, received []byte) bool {
	r := &rtuReply{framing: &rtuFraming{}, unit: unit, q: q, head: q.head()}
	found, err := r.find(received)
	return err == nil && found.Frame != nil
}

// speaksTCP reports whether these bytes begin with a Modbus TCP frame that could answer the request.
func speaksTCP(unit byte, q request, received []byte) bool {
	if len(received) < mbapSize+2 || binary.BigEndian.Uint16(received[2:]) != 0 {
		return false
	}
	size, err := frameSize(received)
	return err == nil && size == len(received) && received[mbapUnit] == unit && q.answeredBy(received[mbapSize:])
}

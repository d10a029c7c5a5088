package bridge

import (
	"fmt"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

// outgoing is a message as the upstream gets it, and the route that sends it; the route of a gap may be nil.
type outgoing struct {
	gateway.Message
	route *Route
}

// batched reports whether the message is gathered with others.
func (o *outgoing) batched() bool { return o.route != nil && o.route.Form == FormBatch }

// outgoing appends to dst what a record of a lane becomes: each message by the first route that covers its topic, and only where that route
// belongs to the lane, or the lane is anyLane: another lane holds the record too otherwise.
func (b *Bridge) outgoing(dst []outgoing, rec *gateway.Record, lane int, backlog bool) []outgoing {
	switch body := rec.Body.(type) {
	case *gateway.Message:
		r, remote := firstOutward(b.opts.Out, body.Topic)
		return r.send(dst, lane, body, remote)
	case *gateway.Gap:
		return b.outgoingGap(dst, rec, lane)
	default:
		return b.outgoingBatch(dst, rec, lane, backlog)
	}
}

func (b *Bridge) outgoingBatch(dst []outgoing, rec *gateway.Record, lane int, backlog bool) []outgoing {
	if b.sends(func(r *Route) bool { return r.Form != FormPoints }) {
		for _, m := range payload.UpstreamAs(rec, b.opts.Topics, payload.Sending{Backlog: backlog}) {
			if r, remote := firstOutward(b.opts.Out, m.Topic); r != nil && r.Form != FormPoints {
				dst = r.send(dst, lane, m, remote)
			}
		}
	}
	batch, ok := rec.Body.(*gateway.Batch)
	if !ok || !b.sends(func(r *Route) bool { return r.Form == FormPoints }) {
		return dst
	}
	for _, m := range payload.UpstreamAs(rec, b.opts.Topics, payload.Sending{Form: payload.FormPoints, Backlog: backlog}) {
		if r, remote := firstForPoint(b.opts.Out, batch.Topic, m.Topic); r != nil && r.Form == FormPoints {
			dst = r.send(dst, lane, m, remote)
		}
	}
	return dst
}

// outgoingGap sends a gap from the lane that it is in, whatever the routes are: it concerns the upstream itself.
func (b *Bridge) outgoingGap(dst []outgoing, rec *gateway.Record, lane int) []outgoing {
	for _, m := range payload.Upstream(rec, b.opts.Topics) {
		r, remote := firstOutward(b.opts.Out, m.Topic)
		if r == nil {
			remote = m.Topic
		}
		if r == nil || r.Lane != lane {
			r = &Route{QoS: b.opts.atMost(1), Lane: lane}
		}
		dst = r.send(dst, lane, m, remote)
	}
	return dst
}

func (b *Bridge) sends(what func(*Route) bool) bool {
	for i := range b.opts.Out {
		if what(&b.opts.Out[i]) {
			return true
		}
	}
	return false
}

// send appends m as the route sends it, if it is the route of the lane. r may be nil.
func (r *Route) send(dst []outgoing, lane int, m *gateway.Message, remote string) []outgoing {
	if r == nil || r.Lane != lane && lane != anyLane {
		return dst
	}
	return append(dst, outgoing{
		gateway.Message{Topic: remote, Payload: m.Payload, QoS: r.QoS, Retain: r.Retain.apply(m.Retain)}, r,
	})
}

// Limits of the protocol (MQTT 3.1.1, 1.5.3 and 2.2.3).
const (
	maxTopic     = 65535
	maxRemaining = 268435455
)

// unsendable says why an upstream could never take these messages; "" when it can.
func (b *Bridge) unsendable(out []outgoing) string {
	for i := range out {
		m := &out[i]
		size := len(m.Payload)
		if m.batched() {
			size = envelopeSize(m)
		}
		switch {
		case len(m.Topic) > maxTopic:
			return fmt.Sprintf("topic has %d bytes with its remote prefix, MQTT allows %d", len(m.Topic), maxTopic)
		case b.opts.MaxPayload > 0 && size > b.opts.MaxPayload:
			return fmt.Sprintf("message has %d bytes, the upstream allows %d", size, b.opts.MaxPayload)
		case len(m.Topic)+size+4 > maxRemaining:
			return fmt.Sprintf("message has %d bytes, MQTT allows %d", size, maxRemaining)
		}
	}
	return ""
}

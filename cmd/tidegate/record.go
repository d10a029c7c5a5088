package main

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

// Kinds of what a delivery brings.
const (
	kindMessage = "message"
	kindBatch   = "batch"
	kindGap     = "gap"
)

// entry is a delivery as the verbs print it and as the export writes it. Exactly one of Payload, PayloadBase64, Readings and Gap is
// there, unless a payload is empty: then none is.
type entry struct {
	Position      uint64      `json:"position"`
	Seq           uint64      `json:"seq"`
	Time          string      `json:"time"`
	ClockUnset    bool        `json:"clock_unset,omitempty"` // the time may be far off
	Origin        string      `json:"origin,omitempty"`      // upstream that it came from
	Kind          string      `json:"kind"`
	Topic         string      `json:"topic,omitempty"`
	QoS           gateway.QoS `json:"qos"`
	Retain        bool        `json:"retain,omitempty"`
	Payload       string      `json:"payload,omitempty"` // when it is text
	PayloadBase64 []byte      `json:"payload_base64,omitempty"`
	Properties    *properties `json:"properties,omitempty"`
	Readings      []reading   `json:"readings,omitempty"`
	Gap           *gap        `json:"gap,omitempty"`
}

// properties are those of MQTT 5 that a message has.
type properties struct {
	ContentType     string   `json:"content_type,omitempty"`
	ResponseTopic   string   `json:"response_topic,omitempty"`
	CorrelationData []byte   `json:"correlation_data_base64,omitempty"`
	Expiry          *uint32  `json:"expiry_seconds,omitempty"`
	User            []string `json:"user,omitempty"` // name=value
}

// reading is one point of a batch.
type reading struct {
	Point   string          `json:"point"`
	Value   json.RawMessage `json:"value"`
	Quality string          `json:"quality"`
	Reason  string          `json:"reason,omitempty"`
	Time    string          `json:"time,omitempty"` // when it is not the batch's

	plain string // the value without quotes
}

// gap tells which records the consumer will not get.
type gap struct {
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Count  uint64 `json:"count"`
	Reason string `json:"reason"`
}

// newEntry tells what a delivery brings: a message as it is, one message of a batch when the consumer gets no more of it, else its readings.
func newEntry(d gateway.Delivery) entry {
	rec := d.Record
	e := entry{
		Position: d.Pos, Seq: rec.Seq, Time: instant(rec.Time), ClockUnset: rec.ClockUnset, Origin: rec.Origin, QoS: d.QoS, Retain: d.Retain,
	}
	switch body := rec.Body.(type) {
	case *gateway.Gap:
		e.Kind, e.Gap = kindGap, &gap{body.From, body.To, body.Count, body.Reason}
	case *gateway.Batch:
		e.Kind, e.Topic = kindBatch, body.Topic
		if d.View == 0 {
			e.Readings = newReadings(body)
		} else if m := payload.View(rec, d.View, gateway.Topics{}); m != nil {
			e.message(m)
		}
	case *gateway.Message:
		e.message(body)
	}
	return e
}

func (e *entry) message(m *gateway.Message) {
	e.Kind, e.Topic = kindMessage, m.Topic
	if utf8.Valid(m.Payload) {
		e.Payload = string(m.Payload)
	} else {
		e.PayloadBase64 = m.Payload
	}
	e.Properties = newProperties(m.Properties)
}

func newProperties(p *gateway.Properties) *properties {
	if p == nil {
		return nil
	}
	out := &properties{ContentType: p.ContentType, ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData}
	if p.HasExpiry {
		out.Expiry = &p.Expiry
	}
	for _, u := range p.User {
		out.User = append(out.User, u.Name+"="+u.Value)
	}
	return out
}

func newReadings(b *gateway.Batch) []reading {
	list := make([]reading, 0, len(b.Readings))
	for i := range min(len(b.Names), len(b.Readings)) {
		r := &b.Readings[i]
		out := reading{
			Point: b.Names[i], Value: r.Value.AppendJSON(nil), Quality: r.Quality.String(), Reason: string(r.Reason), plain: r.Value.String(),
		}
		if r.Value.IsZero() {
			out.plain = ""
		}
		if !r.Time.Equal(b.Time) && !r.Time.IsZero() {
			out.Time = instant(r.Time)
		}
		list = append(list, out)
	}
	return list
}

// size is how many bytes the payload has, or would have as the record's device publishes it.
func (e *entry) size(d gateway.Delivery) int {
	if e.Kind == kindMessage {
		return len(e.Payload) + len(e.PayloadBase64)
	}
	n := 0
	for _, m := range payload.Upstream(d.Record, gateway.Topics{}) {
		n += len(m.Payload)
	}
	return n
}

// title is the topic, or what a gap tells.
func (e *entry) title() string {
	if e.Gap != nil {
		return "gap of seq " + e.Gap.span() + ": " + strconv.FormatUint(e.Gap.Count, 10) + " records, " + e.Gap.Reason
	}
	return printable(e.Topic)
}

func (g *gap) span() string {
	return strconv.FormatUint(g.From, 10) + " to " + strconv.FormatUint(g.To, 10)
}

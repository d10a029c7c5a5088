package payload

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/tidegate/tidegate/gateway"
)

// Form says which messages a record becomes when a route sends it.
type Form uint8

// The forms.
const (
	FormMessage Form = iota // as it was published: a batch becomes what its device publishes
	FormPoints              // a batch becomes one message for each point, whatever its device publishes
)

// Sending says how a route sends a record.
type Sending struct {
	Form    Form
	Backlog bool // the record has waited in a queue; the JSON of a batch says so
}

// UpstreamAs returns what a record becomes on its way to an upstream: a message is itself, a batch becomes [Messages], a gap one message on
// the topic of gaps.
func UpstreamAs(rec *gateway.Record, topics gateway.Topics, s Sending) []*gateway.Message {
	b, ok := rec.Body.(*gateway.Batch)
	if !ok {
		if m := View(rec, 0, topics); m != nil {
			return []*gateway.Message{m}
		}
		return nil
	}
	if s.Form == FormPoints && b.Publish != gateway.PublishPoints {
		points := *b
		points.Publish = gateway.PublishPoints
		b = &points
	}
	marks := MarksOf(rec)
	marks.Backlog = s.Backlog
	return Messages(b, marks)
}

// Upstream is [UpstreamAs] for a record that is sent as it was published and has not waited.
func Upstream(rec *gateway.Record, topics gateway.Topics) []*gateway.Message {
	return UpstreamAs(rec, topics, Sending{})
}

// Envelope gathers many messages in one:
//
//	{"gateway":"hall-4","store":"9f3c","records":[{"seq":4711,"time":"...","topic":"hall/meter","payload":{"time":"...","values":{}}},...]}
//
// (gateway, store, seq) identifies a record, for whoever wants to drop duplicates; messages of one record share it. A payload that is JSON
// is put in as it is, other text as a string; bytes that are not text go as base64 into "payload_base64" instead. "clock":"unset",
// "backlog":true and "retain":true are there when they hold.
type Envelope struct {
	head string
	buf  []byte
	n    int
}

// NewEnvelope returns an empty envelope.
func NewEnvelope(gatewayID, storeID string) *Envelope {
	head := appendString([]byte(`{"gateway":`), gatewayID)
	head = appendString(append(head, `,"store":`...), storeID)
	return &Envelope{head: string(append(head, `,"records":[`...))}
}

// Add puts one message of rec in, under the topic that the upstream knows it by, and returns how many bytes the envelope has then.
func (e *Envelope) Add(rec *gateway.Record, topic string, m *gateway.Message, backlog bool) (size int) {
	if e.n == 0 {
		e.buf = append(e.buf[:0], e.head...)
	} else {
		e.buf = append(e.buf, ',')
	}
	e.n++
	e.buf = strconv.AppendUint(append(e.buf, `{"seq":`...), rec.Seq, 10)
	e.buf = appendTime(append(e.buf, `,"time":`...), rec.Time)
	if rec.ClockUnset {
		e.buf = append(e.buf, `,"clock":"unset"`...)
	}
	if backlog {
		e.buf = append(e.buf, `,"backlog":true`...)
	}
	if m.Retain {
		e.buf = append(e.buf, `,"retain":true`...)
	}
	e.buf = appendString(append(e.buf, `,"topic":`...), topic)
	e.buf = append(appendPayload(e.buf, m.Payload), '}')
	return e.Size()
}

func appendPayload(dst, p []byte) []byte {
	switch {
	case utf8.Valid(p) && json.Valid(p):
		return append(append(dst, `,"payload":`...), p...)
	case utf8.Valid(p):
		return appendString(append(dst, `,"payload":`...), string(p))
	default:
		dst = base64.StdEncoding.AppendEncode(append(dst, `,"payload_base64":"`...), p)
		return append(dst, '"')
	}
}

// Len is how many messages the envelope holds.
func (e *Envelope) Len() int { return e.n }

// Size is how many bytes [Envelope.Take] would return; 0 when it holds nothing.
func (e *Envelope) Size() int {
	if e.n == 0 {
		return 0
	}
	return len(e.buf) + len("]}")
}

// Take returns the JSON and empties the envelope; nil when it holds nothing. The caller owns the bytes.
func (e *Envelope) Take() []byte {
	if e.n == 0 {
		return nil
	}
	out := append(e.buf, "]}"...)
	e.buf, e.n = make([]byte, 0, cap(out)), 0
	return out
}

package payload

import (
	"strconv"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// timeLayout is RFC 3339 in UTC with milliseconds: the only form of time in payloads.
const timeLayout = "2006-01-02T15:04:05.000Z"

func appendTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	dst = t.UTC().AppendFormat(dst, timeLayout)
	return append(dst, '"')
}

func appendString(dst []byte, s string) []byte { return gateway.String(s).AppendJSON(dst) }

// Marks are what the JSON of a batch says beside its readings.
type Marks struct {
	Seq        uint64
	ClockUnset bool // the time may be far off, see [gateway.Record]
	Backlog    bool // it has waited in a queue: a newer value may have been sent already, or will come
}

// MarksOf returns the marks that a record has by itself.
func MarksOf(rec *gateway.Record) Marks { return Marks{Seq: rec.Seq, ClockUnset: rec.ClockUnset} }

// Messages returns what a batch becomes on MQTT, always in the same order: by b.Publish the device's JSON on b.Topic, then the
// value alone of each point on b.Topic/<point>, in the order of configuration. All are retained and of QoS 1.
//
// A point has a message of its own only while it is good: for a bad or stale point there is none, so that its last good value stays
// retained, and availability and the device's JSON tell how things are. A value without text (nothing, an empty string) has no
// message either, because an empty retained payload would remove the retained one (MQTT 3.1.1, 3.3.1.3).
//
// The messages of one call share memory with each other and none with b.
func Messages(b *gateway.Batch, m Marks) []*gateway.Message {
	e := expansion{messages: make([]gateway.Message, 0, count(b))}
	if b.Publish != gateway.PublishPoints {
		e.messages = append(e.messages, retained(b.Topic, AppendBatch(make([]byte, 0, sizeHint(b)), b, m)))
	}
	if b.Publish != gateway.PublishDevice {
		e.points(b)
	}
	return e.pointers()
}

// View returns the message that one delivery of a record carries: the message itself, the view-th message of a batch counted
// from 1 as [Messages] orders them (0 is taken as 1), or the message that tells of a gap. It is nil when a batch has no such view.
func View(rec *gateway.Record, view uint16, topics gateway.Topics) *gateway.Message {
	switch body := rec.Body.(type) {
	case *gateway.Message:
		return body
	case *gateway.Batch:
		return viewOfBatch(body, MarksOf(rec), max(1, int(view)))
	case *gateway.Gap:
		return gapMessage(body, topics)
	default:
		return nil
	}
}

// AppendBatch appends the JSON of a device's batch:
//
//	{"time":"2026-11-21T02:26:42.123Z","seq":4711,"quality":"good","values":{"u":230.1,"i":4,"x":null},"bad":{"x":"timeout"},"stale":["i"]}
//
// values holds all points in the order of configuration. A bad point is null there, and bad gives its reason; a stale point keeps its
// last value, and stale names it. bad and stale are left out when they are empty. "clock":"unset" behind the time and "backlog":true
// behind seq are there when the marks say so.
func AppendBatch(dst []byte, b *gateway.Batch, m Marks) []byte {
	dst = appendTime(append(dst, `{"time":`...), b.Time)
	if m.ClockUnset {
		dst = append(dst, `,"clock":"unset"`...)
	}
	dst = strconv.AppendUint(append(dst, `,"seq":`...), m.Seq, 10)
	if m.Backlog {
		dst = append(dst, `,"backlog":true`...)
	}
	dst = append(dst, `,"quality":"`...)
	dst = append(dst, b.Quality().String()...)
	dst = appendValues(append(dst, `","values":`...), b)
	dst = appendBad(dst, b)
	dst = appendStale(dst, b)
	return append(dst, '}')
}

func appendValues(dst []byte, b *gateway.Batch) []byte {
	open := byte('{')
	for i := range points(b) {
		r := &b.Readings[i]
		dst = append(appendString(append(dst, open), b.Names[i]), ':')
		if r.Quality == gateway.QualityBad {
			dst = append(dst, "null"...)
		} else {
			dst = r.Value.AppendJSON(dst)
		}
		open = ','
	}
	if open == '{' {
		dst = append(dst, '{')
	}
	return append(dst, '}')
}

func appendBad(dst []byte, b *gateway.Batch) []byte {
	open := `,"bad":{`
	for i := range points(b) {
		r := &b.Readings[i]
		if r.Quality != gateway.QualityBad {
			continue
		}
		dst = append(appendString(append(dst, open...), b.Names[i]), ':')
		dst = appendString(dst, string(reasonOf(r)))
		open = ","
	}
	if open == "," {
		dst = append(dst, '}')
	}
	return dst
}

func appendStale(dst []byte, b *gateway.Batch) []byte {
	open := `,"stale":[`
	for i := range points(b) {
		if b.Readings[i].Quality != gateway.QualityStale {
			continue
		}
		dst = appendString(append(dst, open...), b.Names[i])
		open = ","
	}
	if open == "," {
		dst = append(dst, ']')
	}
	return dst
}

// reasonOf never leaves a bad point without a reason: the zero Reading is one that nobody has read yet.
func reasonOf(r *gateway.Reading) gateway.Reason {
	if r.Reason == gateway.ReasonNone {
		return gateway.ReasonNotRead
	}
	return r.Reason
}

// points is the number of points of b. A batch holds as many readings as names; a shorter list is not worth a panic on a bus.
func points(b *gateway.Batch) int { return min(len(b.Names), len(b.Readings)) }

// sizeHint is a capacity that spares most batches a second allocation.
func sizeHint(b *gateway.Batch) int {
	n := 96
	for i := range points(b) {
		n += len(b.Names[i]) + 14
	}
	return n
}

package payload

import "github.com/tidegate/tidegate/gateway"

// published reports whether a reading has a message of its own.
func published(r *gateway.Reading) bool {
	if r.Quality != gateway.QualityGood {
		return false
	}
	switch r.Value.Kind() {
	case gateway.KindNone:
		return false
	case gateway.KindString, gateway.KindBytes:
		return r.Value.Text() != ""
	default:
		return true
	}
}

// appendPlain appends a value as its topic carries it: alone, text without quotes.
func appendPlain(dst []byte, v gateway.Value) []byte {
	switch v.Kind() {
	case gateway.KindString, gateway.KindBytes:
		return append(dst, v.String()...)
	default:
		return v.AppendJSON(dst)
	}
}

// expansion gathers the messages of a batch in few allocations: their topics are parts of one string, their payloads of one slice.
type expansion struct {
	messages []gateway.Message
	topics   []byte
	payloads []byte
	ends     []end
}

// end is where one point's topic and payload end.
type end struct{ topic, payload int }

func (e *expansion) points(b *gateway.Batch) {
	n := points(b)
	e.topics = make([]byte, 0, n*(len(b.Topic)+16))
	e.payloads = make([]byte, 0, n*8)
	e.ends = make([]end, 0, n)
	for i := range n {
		if !published(&b.Readings[i]) {
			continue
		}
		e.topics = append(append(append(e.topics, b.Topic...), '/'), b.Names[i]...)
		e.payloads = appendPlain(e.payloads, b.Readings[i].Value)
		e.ends = append(e.ends, end{len(e.topics), len(e.payloads)})
	}
	e.cut()
}

func (e *expansion) cut() {
	topics := string(e.topics)
	var from end
	for _, to := range e.ends {
		topic := topics[from.topic:to.topic]
		payload := e.payloads[from.payload:to.payload:to.payload]
		e.messages = append(e.messages, retained(topic, payload))
		from = to
	}
}

func (e *expansion) pointers() []*gateway.Message {
	if len(e.messages) == 0 {
		return nil
	}
	list := make([]*gateway.Message, len(e.messages))
	for i := range e.messages {
		list[i] = &e.messages[i]
	}
	return list
}

func retained(topic string, payload []byte) gateway.Message {
	return gateway.Message{Topic: topic, Payload: payload, QoS: 1, Retain: true}
}

// count bounds the messages of b from above.
func count(b *gateway.Batch) int {
	switch b.Publish {
	case gateway.PublishPoints:
		return points(b)
	case gateway.PublishBoth:
		return points(b) + 1
	default:
		return 1
	}
}

// viewOfBatch makes one of the Messages without making the others.
func viewOfBatch(b *gateway.Batch, marks Marks, view int) *gateway.Message {
	if b.Publish != gateway.PublishPoints {
		if view == 1 {
			m := retained(b.Topic, AppendBatch(make([]byte, 0, sizeHint(b)), b, marks))
			return &m
		}
		view--
	}
	if b.Publish == gateway.PublishDevice {
		return nil
	}
	for i := range points(b) {
		if !published(&b.Readings[i]) {
			continue
		}
		if view--; view == 0 {
			m := retained(b.Topic+"/"+b.Names[i], appendPlain(nil, b.Readings[i].Value))
			return &m
		}
	}
	return nil
}

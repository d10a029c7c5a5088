package bridge

import (
	"slices"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

// gatherer fills the next message of one route with records of one lane. A delivery is acknowledged with the message that holds the last part of it.
type gatherer struct {
	route    *Route
	lane     *laneReader
	envelope *payload.Envelope
	first    uint64   // position of the delivery that the first record belongs to
	pos      []uint64 // deliveries that are complete with this message
	due      time.Time
	partial  bool // it holds messages of the delivery that is being taken in
}

// envelopeSize is what a message takes in an envelope at most, with base64 where it is not text.
func envelopeSize(m *outgoing) int {
	const around = 160 // seq, time, marks and punctuation
	return escaped(m.Topic) + max((len(m.Payload)+2)/3*4, escaped(m.Payload)) + around
}

// escaped is how long text becomes as a JSON string at most (RFC 8259, 7).
func escaped[S ~string | ~[]byte](text S) int {
	n := len(text)
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ':
			n += len(`u0000`)
		case c == '"', c == '\\':
			n++
		}
	}
	return n
}

// gather puts a message of a delivery into its route's next one. What is full leaves before.
func (s *sender) gather(l *laneReader, d gateway.Delivery, m *outgoing) error {
	g := s.gatherer(l, m.route)
	if s.full(g) || g.envelope.Len() > 0 && g.envelope.Size()+envelopeSize(m) > m.route.Batch.MaxBytes {
		if err := s.flush(g); err != nil {
			return err
		}
	}
	if g.envelope.Len() == 0 {
		g.first, g.due = d.Pos, time.Now().Add(m.route.Batch.Linger)
	}
	g.partial = true
	g.envelope.Add(d.Record, m.Topic, &m.Message, d.Pos <= l.last)
	return nil
}

func (s *sender) full(g *gatherer) bool {
	return g.envelope.Len() >= s.e.suspect.records(g.route.Batch.MaxRecords)
}

func (s *sender) gatherer(l *laneReader, r *Route) *gatherer {
	for _, g := range s.gathers {
		if g.route == r && g.lane == l {
			return g
		}
	}
	g := &gatherer{route: r, lane: l, envelope: payload.NewEnvelope(s.e.b.opts.GatewayID, s.e.b.opts.StoreID)}
	s.gathers = append(s.gathers, g)
	return g
}

// settle decides what acknowledges the delivery at pos, all of whose messages were sent or gathered: the last of the messages that hold a part
// of it. What is full leaves.
func (s *sender) settle(l *laneReader, pos uint64) error {
	parts := 0
	for _, g := range s.gathers {
		if g.partial {
			parts++
			g.partial = false
			g.pos = append(g.pos, pos)
		}
	}
	if parts > 1 {
		s.parts[place{l.index, pos}] = parts
	}
	for _, g := range s.gathers {
		if s.full(g) {
			if err := s.flush(g); err != nil {
				return err
			}
		}
	}
	return nil
}

// place is a delivery's place: its lane and the position there.
type place struct {
	lane int
	pos  uint64
}

// flush sends what was gathered.
func (s *sender) flush(g *gatherer) error {
	done := slices.DeleteFunc(g.pos, func(pos uint64) bool { return s.partsLeft(place{g.lane.index, pos}) })
	m := outgoing{gateway.Message{
		Topic: g.route.Batch.Topic, Payload: g.envelope.Take(), QoS: g.route.QoS, Retain: g.route.Retain == RetainSet,
	}, g.route}
	f := flight{lane: g.lane, pos: g.first, more: done}
	if len(done) > 0 && done[0] == g.first {
		f.more, f.last = done[1:], true
	}
	g.pos, g.partial = nil, false
	s.e.b.counters.batches.Add(1)
	return s.publish(&m, f)
}

// partsLeft counts down the messages that hold a part of a delivery, and reports whether there are more.
func (s *sender) partsLeft(p place) bool {
	n, ok := s.parts[p]
	if !ok {
		return false
	}
	if n == 2 {
		delete(s.parts, p)
	} else {
		s.parts[p] = n - 1
	}
	return true
}

// lingered returns when the first of the gathered messages has to leave; zero when nothing is gathered.
func (s *sender) lingered() (first time.Time) {
	for _, g := range s.gathers {
		if g.envelope.Len() > 0 && (first.IsZero() || g.due.Before(first)) {
			first = g.due
		}
	}
	return first
}

// flushDue sends what has lingered long enough.
func (s *sender) flushDue(now time.Time) error {
	for _, g := range s.gathers {
		if g.envelope.Len() > 0 && !g.due.After(now) {
			if err := s.flush(g); err != nil {
				return err
			}
		}
	}
	return nil
}

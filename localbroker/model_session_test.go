package localbroker_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// The reference model of the broker's sessions: lists, plainly kept. What a crash leaves open is marked as what may be, and settled by what
// comes.

// modelInflight is MaxInflight of the brokers under the model: small, so that windows matter.
const modelInflight = 4

// application is a message as its publisher knows it.
type application struct {
	topic, payload string
	qos            packet.QoS
	retain         bool
	fleeting       bool // it is retained in memory alone
	safe           bool // its publisher was told so: no crash may lose it
}

func (a *application) String() string {
	return fmt.Sprintf("%s=%q QoS %d retain %v", a.topic, a.payload, a.qos, a.retain)
}

// step is how far a delivery has come, as its receiver knows it.
type step int

const (
	waiting   step = iota
	flying         // PUBLISH came
	confirmed      // QoS 2: PUBREC was sent
	released       // QoS 2: PUBREL came
	over           // PUBACK or PUBCOMP was sent
)

// expected is a message that a session has to get.
type expected struct {
	app    *application
	qos    packet.QoS
	retain bool
	replay bool   // is a retained message that greets a subscription
	group  int    // of one group, those of different classes come in any order
	class  string // who published it
	late   bool   // comes when its commit is done, behind others perhaps
	stray  bool   // comes only if its commit was not done when the connection began
	may    bool   // a crash may have lost it, or it was done with and may come again
	sure   bool   // it was there for longer than a commit takes
	old    bool   // is of before this start
	sent   bool   // was sent since this start
	doubt  bool   // a crash may have forgotten its PUBREC
	step   step
	id     uint16
	conn   int  // on which connection it is in flight
	again  bool // repeats one that a crash may have lost: one of the two must come, at QoS 2 not both
	paid   bool // and the other one has come
}

func (e *expected) String() string {
	return fmt.Sprintf("{%v at QoS %d, retain %v, step %d, id %d, may %v, old %v}", e.app, e.qos, e.retain, e.step, e.id, e.may, e.old)
}

// is reports whether p may be this delivery.
func (e *expected) is(p *packet.Publish) bool {
	return e.app.topic == string(p.Topic) && e.app.payload == string(p.Payload) && e.qos == p.QoS && e.retain == p.Retain
}

// apart reports whether later may come before e.
func (e *expected) apart(later *expected) bool {
	if e.late && (!later.late || e.class != later.class) {
		return true
	}
	return e.group == later.group && e.class != later.class
}

// modelSession is a session of the model. A persistent one gets QoS 1 and 2 through durable, all else goes through memory.
type modelSession struct {
	persistent      bool
	maybe           bool // nobody was told that it exists
	vague           bool // nobody was told how long it is kept now
	online          bool
	expiry          time.Duration // kept so long after the connection; negative: longer than any history
	offline         time.Time
	window          int // messages that may be in flight
	subs            map[string]packet.Subscription
	durable, memory []*expected
	marks           int // so many more deliveries of before this start carry DUP
}

func newModelSession(persistent bool) *modelSession {
	return &modelSession{persistent: persistent, maybe: persistent, subs: map[string]packet.Subscription{}}
}

// granted returns the highest QoS of the subscriptions that match, and whether one of them wants the retain flag as published. own tells that the
// session has published the message itself.
func (s *modelSession) granted(topic string, own bool) (qos packet.QoS, retain, ok bool) {
	for filter, sub := range s.subs {
		if packet.Match(filter, topic) && !(own && sub.NoLocal) {
			qos, retain, ok = max(qos, sub.QoS), retain || sub.RetainAsPublished, true
		}
	}
	return qos, retain, ok
}

// ends is when the session is over, if nobody comes back.
func (s *modelSession) ends() (at time.Time, ok bool) {
	return s.offline.Add(s.expiry), s.persistent && !s.online && s.expiry >= 0
}

// expect adds a delivery and returns it, nil when nothing will be delivered.
func (s *modelSession) expect(e expected) *expected {
	switch {
	case s.persistent && e.qos > 0:
		s.durable = append(s.durable, &e)
	case s.online || s.persistent && e.app.qos == 2: // by the time of its commit there may be a connection
		e.late = e.app.qos == 2 && !e.replay
		e.stray = !s.online
		e.may = e.may || e.stray
		s.memory = append(s.memory, &e)
	default:
		return nil
	}
	return &e
}

// list is where a delivery of a QoS is expected.
func (s *modelSession) list(qos packet.QoS) *[]*expected {
	if s.persistent && qos > 0 {
		return &s.durable
	}
	return &s.memory
}

// take matches a PUBLISH that came with what was expected: in order, marked as a repetition if it is one, with the same id as before.
func (s *modelSession) take(p *packet.Publish, conn int) (*expected, error) {
	list := s.list(p.QoS)
	var passed, later []*expected // later is what was passed when a late one was found, which may not be it
	var late *expected
	for _, e := range *list {
		comes := e.conn != conn && (e.step <= flying || e.step == confirmed && e.doubt)
		if comes && e.is(p) && (!e.may || p.Dup == s.marked(e) && (e.id == 0 || e.id == p.ID)) {
			if !e.late || !e.retain {
				return e, s.accept(list, e, passed, p, conn)
			}
			if late == nil { // the same message may greet a subscription before
				late, later = e, passed
			}
		}
		if comes && e.step <= flying {
			passed = append(passed[:len(passed):len(passed)], e)
		}
	}
	if late != nil {
		return late, s.accept(list, late, later, p, conn)
	}
	return nil, fmt.Errorf("%s=%q QoS %d retain %v DUP %v id %d came, which is not expected; expected are %v", p.Topic, p.Payload, p.QoS, p.Retain, p.Dup, p.ID, *list)
}

func (s *modelSession) accept(list *[]*expected, e *expected, passed []*expected, p *packet.Publish, conn int) error {
	for _, before := range slices.Backward(passed) {
		switch {
		case before.apart(e): // now their order is known
			s.drop(list, e)
			*list = slices.Insert(*list, slices.Index(*list, before), e)
		case before.may && (!before.again || before.paid):
			s.drop(list, before)
		default:
			return fmt.Errorf("%v came before %v", e, before)
		}
	}
	if want := s.mark(e); p.Dup != want && p.QoS > 0 || p.Dup && p.QoS == 0 {
		return fmt.Errorf("%v came with DUP %v, want %v", e, p.Dup, want)
	}
	if e.id != 0 && e.id != p.ID {
		return fmt.Errorf("%v came with id %d now", e, p.ID)
	}
	if e.may { // it may as well be another one that looks the same
		for _, other := range *list {
			other.may = other.may || other.replay && other.is(p)
		}
	}
	e.id, e.conn, e.step, e.may, e.doubt, e.again, e.stray = p.ID, conn, flying, false, false, false, false
	// QoS 2 is seen after its commit only. With the retain flag it may be a retained message that greets a subscription, before that.
	e.app.safe = e.app.safe || p.QoS == 2 && s.persistent || e.app.qos == 2 && !e.retain
	if p.QoS == 0 {
		s.drop(list, e)
	}
	s.pay(list, e)
	return s.checkWindow(*list, e, conn)
}

// pay settles what repeats e, which has come.
func (s *modelSession) pay(list *[]*expected, e *expected) {
	for _, other := range slices.Clone(*list) {
		if other == e || !other.again || other.app != e.app {
			continue
		}
		other.paid = true
		if e.app.qos == 2 {
			s.drop(list, other)
		}
	}
}

// marked reports whether a delivery carries DUP when it is sent now.
func (s *modelSession) marked(e *expected) bool { return e.sent || e.old && s.marks > 0 }

// mark notes that a delivery is sent and returns whether DUP has to be set.
func (s *modelSession) mark(e *expected) bool {
	dup := s.marked(e)
	if dup && !e.sent {
		s.marks--
	}
	e.sent = true
	return dup
}

func (s *modelSession) checkWindow(list []*expected, e *expected, conn int) error {
	n := 0
	for _, other := range list {
		if other.conn != conn || other.step == over || other.qos == 0 {
			continue
		}
		n++
		if other != e && other.id == e.id {
			return fmt.Errorf("%v has the id of %v", e, other)
		}
	}
	if n > s.window {
		return fmt.Errorf("%d messages are in flight with %v, want at most %d", n, e, s.window)
	}
	return nil
}

// release takes a PUBREL.
func (s *modelSession) release(id uint16, conn int) (*expected, error) {
	for _, e := range *s.list(2) {
		if e.qos != 2 || e.id != id || e.step != confirmed && (e.step != released || e.conn == conn) {
			continue
		}
		if e.conn != conn {
			s.mark(e)
		}
		e.step, e.conn, e.may, e.doubt = released, conn, false, false
		return e, nil
	}
	return nil, fmt.Errorf("PUBREL %d came, which is not expected; expected are %v", id, *s.list(2))
}

func (s *modelSession) drop(list *[]*expected, e *expected) {
	*list = slices.DeleteFunc(*list, func(o *expected) bool { return o == e })
}

// inFlight lists what the receiver may confirm now.
func (s *modelSession) inFlight(conn int) (all []*expected) {
	for _, e := range slices.Concat(s.durable, s.memory) {
		if e.conn == conn && (e.step == flying || e.step == released) {
			all = append(all, e)
		}
	}
	return all
}

// leave is the end of the connection.
func (s *modelSession) leave() {
	s.online, s.offline = false, time.Now()
	s.memory = slices.DeleteFunc(s.memory, func(e *expected) bool { return !e.late || e.step > waiting })
	for _, e := range s.memory {
		e.may, e.stray = true, true
	}
}

// settle is called when all commits are done: what was to be noted is.
func (s *modelSession) settle() {
	for len(s.durable) > 0 && s.durable[0].step == over { // how far all are done with is stored, not which ones beyond that
		s.durable = s.durable[1:]
	}
	for _, e := range s.durable {
		e.sure = true
	}
	s.memory = slices.DeleteFunc(s.memory, func(e *expected) bool { return e.stray || e.step == over })
}

// restart is a new start of the process.
func (s *modelSession) restart() {
	s.online, s.offline, s.memory, s.marks = false, time.Now(), nil, modelInflight
	for _, e := range s.durable {
		if e.step == over {
			e.step, e.may = waiting, true
			if e.qos == 2 { // that its PUBREC came is stored, or there had been no PUBREL
				e.step = released
			}
		}
		e.old, e.sent, e.conn = true, false, 0
	}
}

// crash is what is left of the session when the process is killed.
func (s *modelSession) crash() {
	for _, e := range s.durable {
		switch {
		case e.step == confirmed:
			e.doubt = true
		case e.step < confirmed && !e.sure && !e.app.safe:
			e.may = true
		}
	}
	s.restart()
}

// missing returns what must have come when everything was confirmed and nothing more comes.
func (s *modelSession) missing() (lost []*expected) {
	for _, e := range slices.Concat(s.durable, s.memory) {
		if e.step < over && (!e.may || e.again && !e.paid) {
			lost = append(lost, e)
		}
	}
	return lost
}

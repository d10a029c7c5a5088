package localbroker_test

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/localbroker/packet"
	"pgregory.net/rapid"
)

// The reference model of shared subscriptions (docs/mqtt5.md): of each message it knows who may have it. Whoever gets it must be one of these, and
// has it alone from then on, until it confirms it or its session ends.

// sharing is a broker on fake time with the members of shared subscriptions, and the model of both.
type sharing struct {
	*world
	publisher *sharer
	members   []*sharer
	messages  map[string]*sharedMessage // by group and payload
	order     []*sharedMessage
}

// sharer is a client that shares subscriptions.
type sharer struct {
	id      string
	qos     packet.QoS // of all its subscriptions
	filters []string   // it may subscribe to
	stored  bool       // its session outlives the connection
	alive   bool       // it has a session
	subs    map[string]bool
	conn    int
	w       *wire // nil while offline
	flying  map[uint16]*sharedMessage
	done    map[uint16]bool // answers that have come
	last    map[string]int  // number of the latest message of each topic and QoS
}

func (s *sharer) String() string { return s.id }

// sharedMessage is a message for one group.
type sharedMessage struct {
	group, topic, payload string
	number                int
	qos                   packet.QoS
	at                    map[*sharer]bool // who may have it
	owner                 *sharer          // who has got it
	conn                  int              // over which connection
	done                  bool             // confirmed, or nobody's any more
	may                   bool             // it may be lost
	moved                 bool             // it may have changed hands, so that it comes out of order
	fresh                 bool             // what became of it may not be on the disk
	again                 bool             // a crash may have brought it back
	passed                bool             // it was taken out of the middle of a queue, which is stored when all before it is done with
	twice                 bool             // so that a start has brought it back, and two may have it
	old                   bool             // it is of before this start: nobody knows whether it was sent
	before                map[*sharer]bool // who may still have it after a crash
}

func (m *sharedMessage) String() string {
	return fmt.Sprintf("{%s of %s at QoS %d, with one of %v, owner %v, done %v, may be lost %v}", m.payload, m.group, m.qos, slices.Collect(maps.Keys(m.at)), m.owner, m.done, m.may)
}

// sole reports whether s is the only one who may have m.
func (m *sharedMessage) sole(s *sharer) bool { return len(m.at) == 1 && m.at[s] }

func newSharing(t *rapid.T, tb testing.TB, h host) *sharing {
	s := &sharing{world: newWorld(tb, h), messages: map[string]*sharedMessage{}}
	s.publisher = &sharer{id: "p"}
	for i := range 6 {
		m := &sharer{id: fmt.Sprint("m", i), qos: packet.QoS(rapid.SampledFrom([]int{2, 1, 2, 1, 0}).Draw(t, "QoS")), subs: map[string]bool{}}
		if m.filters = []string{"$share/g/a", "$share/h/b"}; i >= 4 {
			m.filters = []string{"$share/w/+"} // no client is in two groups that match, so that a topic tells the group
		}
		s.members = append(s.members, m)
	}
	s.join(t, s.publisher, true)
	return s
}

// group returns the group by which s gets a topic.
func (s *sharer) group(topic string) string {
	for _, f := range s.filters {
		if _, rest, _ := packet.SplitShare(f); packet.Match(rest, topic) {
			return f
		}
	}
	return ""
}

// elected returns those of whom one gets a message of a group now.
func (s *sharing) elected(group string, qos packet.QoS, except *sharer) map[*sharer]bool {
	online, stored := map[*sharer]bool{}, map[*sharer]bool{}
	for _, m := range s.members {
		switch {
		case m == except || !m.alive || !m.subs[group]:
		case m.w != nil:
			online[m] = true
		case min(qos, m.qos) > 0:
			stored[m] = true
		}
	}
	if len(online) > 0 {
		return online
	}
	return stored
}

// rest lets everything happen, and be committed if sure.
func (s *sharing) rest(t *rapid.T, sure bool) {
	step := 100 * time.Millisecond
	if sure {
		step = 3 * time.Second
	}
	for range 2 {
		s.take(t)
		elapse(step)
	}
	s.take(t)
	if sure {
		for _, m := range s.order {
			m.fresh = false
			if !m.again {
				m.before = nil
			}
		}
	}
}

// take hands everybody what came.
func (s *sharing) take(t *rapid.T) {
	for again := true; again; {
		synctest.Wait()
		again = s.collect(t, s.publisher)
		for _, m := range s.members {
			again = s.collect(t, m) || again
		}
	}
}

func (s *sharing) collect(t *rapid.T, m *sharer) bool {
	if m.w == nil {
		return false
	}
	in, end := m.w.take()
	for _, p := range in {
		t.Logf("%s gets %s", m.id, describe(p))
		s.handle(t, m, p)
	}
	if end != nil {
		s.fail(t, "%s: the broker has ended the connection: %v", m.id, end)
	}
	return len(in) > 0
}

func (s *sharing) handle(t *rapid.T, m *sharer, p packet.Packet) {
	switch p := p.(type) {
	case *packet.Publish:
		s.got(t, m, p)
	case *packet.Ack:
		m.done[p.ID] = p.Kind != packet.TypePubrec
		switch p.Kind {
		case packet.TypePubrec:
			s.say(t, m, packet.AppendAck(nil, packet.TypePubrel, p.ID))
		case packet.TypePubrel:
			s.say(t, m, packet.AppendAck(nil, packet.TypePubcomp, p.ID))
		}
	}
}

func (s *sharing) say(t *rapid.T, m *sharer, b []byte) {
	t.Logf("%s sends % x", m.id, b)
	if err := m.w.write(b); err != nil {
		s.fail(t, "%s: %v: %v", m.id, errNoRead, err)
	}
}

// got takes a PUBLISH that came.
func (s *sharing) got(t *rapid.T, who *sharer, p *packet.Publish) {
	m := s.messages[who.group(string(p.Topic))+string(p.Payload)]
	back := m != nil && m.again && m.before[who]
	switch {
	case m == nil:
		s.fail(t, "%s got %q, which was never published", who, p.Payload)
	case m.twice: // by whom does not matter any more
	case m.done && !back:
		s.fail(t, "%s got %v once more", who, m)
	case !m.at[who] && !back:
		s.fail(t, "%s got %v", who, m)
	case m.owner == who && m.conn == who.conn:
		s.fail(t, "%s got %v twice over one connection", who, m)
	case p.QoS != min(m.qos, who.qos):
		s.fail(t, "%s got %v at QoS %d", who, m, p.QoS)
	}
	place := fmt.Sprint(m.topic, m.qos)
	if m.owner == nil && !m.moved && !back {
		if who.last[place] > m.number {
			s.fail(t, "%s got %v after number %d", who, m, who.last[place])
		}
		who.last[place] = m.number
	}
	m.owner, m.conn, m.at, m.fresh, m.again = who, who.conn, map[*sharer]bool{who: true}, true, false
	if m.done = p.QoS == 0; !m.done {
		who.flying[p.ID] = m
	}
}

// confirm confirms what is in flight to a member: at QoS 2, the handling of PUBREL does the rest.
func (s *sharing) confirm(t *rapid.T, who *sharer, most int) (n int) {
	for _, id := range slices.Sorted(maps.Keys(who.flying)) {
		if n == most {
			break
		}
		n++
		m := who.flying[id]
		delete(who.flying, id)
		kind := packet.TypePuback
		if min(m.qos, who.qos) == 2 {
			kind = packet.TypePubrec
		}
		m.done, m.fresh, m.before = true, true, map[*sharer]bool{who: true}
		s.say(t, who, packet.AppendAck(nil, kind, id))
		synctest.Wait()
	}
	return n
}

// join connects a member, with a clean session or with the one that is stored.
func (s *sharing) join(t *rapid.T, m *sharer, clean bool) {
	if m.w != nil {
		s.leave(t, m)
	}
	if m.alive && clean {
		s.expire(t, m)
	}
	if !m.alive {
		m.subs, m.last = map[string]bool{}, map[string]int{}
	}
	client, server := net.Pipe()
	s.ln.accept <- server
	s.conns++
	m.conn, m.w, m.alive, m.stored = s.conns, newWire(client, packet.V311), true, !clean
	m.flying, m.done = map[uint16]*sharedMessage{}, map[uint16]bool{}
	s.say(t, m, (&packet.Connect{Version: packet.V311, ClientID: m.id, CleanStart: clean}).Append(nil, packet.V311))
	s.rest(t, false)
}

// leave ends a connection.
func (s *sharing) leave(t *rapid.T, m *sharer) {
	m.w.c.Close()
	m.w = nil
	if !m.stored {
		s.expire(t, m)
	}
	s.passOn(m)
	s.rest(t, false)
}

// expire is the end of a session: others have what it has not confirmed, but for what of QoS 2 it may have got.
func (s *sharing) expire(t *rapid.T, who *sharer) {
	who.alive = false
	for _, m := range s.order {
		m.backTo(who, s.elected(m.group, m.qos, who))
		if !m.at[who] || m.done {
			continue
		}
		delete(m.at, who)
		if m.owner == who && min(m.qos, who.qos) == 2 {
			m.done = true
			continue
		}
		m.give(s.elected(m.group, m.qos, who))
		m.may = m.may || m.old && min(m.qos, who.qos) == 2 || !who.subs[m.group] && who.stored // it has left the group, which nobody can tell any more
	}
	t.Logf("%s has no session any more", who)
}

// backTo notes that others may have what a crash may have brought back to one who gives it away.
func (m *sharedMessage) backTo(who *sharer, to map[*sharer]bool) {
	if m.again && m.before[who] {
		maps.Copy(m.before, to)
	}
}

// give adds those who may have a message that was another's.
func (m *sharedMessage) give(to map[*sharer]bool) {
	m.owner, m.moved, m.fresh = nil, true, true
	maps.Copy(m.at, to)
	if len(m.at) == 0 { // nobody can have it
		m.done, m.may = true, true
	}
}

// passOn is what happens when the client of a stored session goes away: what of QoS 1 it was not sent goes to stored sessions that are connected.
func (s *sharing) passOn(who *sharer) {
	if !who.alive || !who.stored {
		return
	}
	for _, m := range s.order {
		m.backTo(who, s.elected(m.group, m.qos, who))
		if !m.at[who] || m.done || m.owner == who || m.qos != 1 || !who.subs[m.group] {
			continue
		}
		to := s.elected(m.group, m.qos, who)
		maps.DeleteFunc(to, func(o *sharer, _ bool) bool { return o.w == nil || !o.stored || o.qos == 0 })
		if len(to) == 0 {
			continue
		}
		m.before, m.passed = maps.Clone(m.at), true
		if m.sole(who) {
			delete(m.at, who)
		}
		m.give(to)
	}
}

func (s *sharing) pick(t *rapid.T, ok func(*sharer) bool) *sharer {
	var list []*sharer
	for _, m := range s.members {
		if ok(m) {
			list = append(list, m)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return rapid.SampledFrom(list).Draw(t, "member")
}

func isOn(m *sharer) bool { return m.w != nil }

func (s *sharing) doJoin(t *rapid.T) {
	s.join(t, s.pick(t, func(*sharer) bool { return true }), rapid.Bool().Draw(t, "clean"))
}

func (s *sharing) doSubscribe(t *rapid.T) {
	if m := s.pick(t, isOn); m != nil {
		f := rapid.SampledFrom(m.filters).Draw(t, "filter")
		m.subs[f] = true
		s.say(t, m, (&packet.Subscribe{ID: 99, Subscriptions: []packet.Subscription{{Filter: f, QoS: m.qos}}}).Append(nil, packet.V311))
		s.rest(t, false)
	}
}

func (s *sharing) doUnsubscribe(t *rapid.T) {
	if m := s.pick(t, func(m *sharer) bool { return isOn(m) && len(m.subs) > 0 }); m != nil {
		f := rapid.SampledFrom(slices.Sorted(maps.Keys(m.subs))).Draw(t, "filter")
		delete(m.subs, f)
		s.say(t, m, (&packet.Unsubscribe{ID: 99, Filters: []string{f}}).Append(nil, packet.V311))
		s.rest(t, false)
	}
}

func (s *sharing) doLeave(t *rapid.T) {
	if m := s.pick(t, isOn); m != nil {
		s.leave(t, m)
	}
}

func (s *sharing) doConfirm(t *rapid.T) {
	if m := s.pick(t, isOn); m != nil {
		s.confirm(t, m, rapid.IntRange(1, 5).Draw(t, "most"))
		s.rest(t, false)
	}
}

// doPublish publishes some messages of one topic and QoS. Each group that matches gets each of them once, its members by turns.
func (s *sharing) doPublish(t *rapid.T) {
	topic := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "topic")
	qos := packet.QoS(rapid.IntRange(0, 2).Draw(t, "qos"))
	n := rapid.IntRange(1, 9).Draw(t, "messages")
	retain := rapid.IntRange(0, 3).Draw(t, "retain") == 0 // greets nobody who subscribes to a share
	groups := map[string]map[*sharer]bool{}
	for _, g := range []string{"$share/g/a", "$share/h/b", "$share/w/+"} {
		if strings.HasSuffix(g, topic) || strings.HasSuffix(g, "+") {
			groups[g] = s.elected(g, qos, nil)
		}
	}
	var b []byte
	first := len(s.order)
	for i := range n {
		s.count++
		p := packet.Publish{Topic: []byte(topic), Payload: []byte(fmt.Sprint(s.count)), QoS: qos, Retain: retain}
		if qos > 0 {
			p.ID = uint16(i + 1)
			s.publisher.done[p.ID] = false
		}
		b = p.Append(b, packet.V311)
		for _, g := range slices.Sorted(maps.Keys(groups)) {
			m := &sharedMessage{group: g, topic: topic, payload: string(p.Payload), number: s.count, qos: qos, fresh: true, at: maps.Clone(groups[g])}
			if qos == 0 { // the sessions of those who are away do not get it
				maps.DeleteFunc(m.at, func(o *sharer, _ bool) bool { return o.w == nil })
			}
			m.done = len(m.at) == 0
			m.may = m.done
			s.messages[g+m.payload] = m
			s.order = append(s.order, m)
		}
	}
	s.say(t, s.publisher, b)
	s.rest(t, false)
	for i := range n {
		if qos > 0 && !s.publisher.done[uint16(i+1)] {
			s.fail(t, "message %d of %d at QoS %d was not acknowledged", i+1, n, qos)
		}
	}
	s.checkTurns(t, s.order[first:], groups)
}

// checkTurns checks that those who were connected took turns, as far as they have got what they were given.
func (s *sharing) checkTurns(t *rapid.T, list []*sharedMessage, groups map[string]map[*sharer]bool) {
	for g, at := range groups {
		all, counts := true, map[*sharer]int{}
		for _, m := range list {
			if m.group == g {
				all = all && m.owner != nil
				counts[m.owner]++
			}
		}
		if !all || len(at) == 0 {
			continue
		}
		least, most := len(list), 0
		for o := range at {
			least, most = min(least, counts[o]), max(most, counts[o])
		}
		if most-least > 1 {
			s.fail(t, "the members of %s did not take turns: one got %d messages, another %d", g, most, least)
		}
	}
}

// doRestart ends everything in order. Sessions that end may give what they have to those that are stored, if these have not ended before.
func (s *sharing) doRestart(t *rapid.T) {
	s.rest(t, true)
	s.world.stop()
	s.host.close(s.t)
	s.over(false)
	s.back(t)
}

// doCrash kills everything.
func (s *sharing) doCrash(t *rapid.T) {
	if rapid.Bool().Draw(t, "quiet") {
		s.rest(t, true)
	}
	s.take(t)
	s.host.crash(s.t)
	s.world.stop()
	s.over(true)
	s.back(t)
}

// over is what is left when the process has ended.
func (s *sharing) over(crash bool) {
	for _, m := range append(s.members, s.publisher) {
		if m.w != nil {
			m.w.c.Close()
			m.w = nil
		}
		m.alive = m.alive && m.stored
	}
	for _, m := range s.order {
		m.lose(crash)
		if m.done || crash {
			continue
		}
		for _, o := range s.members { // who has it may have given it away when its connection ended
			if o.alive && o.subs[m.group] && min(m.qos, o.qos) > 0 && m.moved {
				m.at[o] = true
			}
		}
	}
}

// lose takes a message away from sessions that are over.
func (m *sharedMessage) lose(crash bool) {
	m.old, m.twice = true, m.twice || m.passed
	if m.fresh && crash {
		m.again = true
		if m.before == nil {
			m.before = map[*sharer]bool{}
		}
		maps.Copy(m.before, m.at)
	}
	if m.done {
		return
	}
	for o := range m.at {
		if !o.alive {
			m.may, m.moved = true, true
			delete(m.at, o)
		}
	}
	if m.owner != nil && !m.owner.alive {
		m.done = min(m.qos, m.owner.qos) == 2
		m.owner = nil
	}
	if crash && m.qos == 1 && m.fresh { // it may be in two queues
		maps.Copy(m.at, m.before)
	}
}

// back starts again.
func (s *sharing) back(t *rapid.T) {
	s.up()
	s.join(t, s.publisher, true)
}

// finish lets everybody with a session come back and take what is there.
func (s *sharing) finish(t *rapid.T) {
	for _, m := range s.members {
		if m.alive && m.w == nil {
			s.join(t, m, false)
		}
	}
	for n := 1; n > 0; {
		s.rest(t, true)
		n = 0
		for _, m := range s.members {
			if m.w != nil {
				n += s.confirm(t, m, 100)
			}
		}
	}
	for _, m := range s.order {
		if !m.done && !m.may {
			s.fail(t, "nobody got %v", m)
		}
	}
}

// tidy ends the history.
func (s *sharing) tidy() {
	s.over(false)
	s.world.end()
}

func TestSharesBehaveAsTheirModelOverReferenceStore(t *testing.T) {
	checkShares(t, func() host { return &memHost{} })
}

func TestSharesBehaveAsTheirModelOverBuffer(t *testing.T) {
	checkShares(t, func() host { return &bufferHost{} })
}

func checkShares(t *testing.T, newHost func() host) {
	rapid.Check(t, func(rt *rapid.T) {
		rapid.SyncTest(rt, func(rt *rapid.T) {
			s := newSharing(rt, t, newHost())
			defer s.tidy()
			rt.Repeat(map[string]func(*rapid.T){
				"join": s.doJoin, "join2": s.doJoin, "subscribe": s.doSubscribe, "subscribe2": s.doSubscribe, "subscribe3": s.doSubscribe,
				"unsubscribe": s.doUnsubscribe, "leave": s.doLeave, "confirm": s.doConfirm, "confirm2": s.doConfirm,
				"publish": s.doPublish, "publish2": s.doPublish, "publish3": s.doPublish,
				"sure":    func(t *rapid.T) { s.rest(t, true) },
				"restart": s.doRestart, "crash": s.doCrash,
			})
			s.finish(rt)
		})
	})
}

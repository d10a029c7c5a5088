package e2e_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
)

// speaker is a client library or program at work, with one transport and one version of MQTT.
type speaker interface {
	// join makes a client that connects and subscribes, and returns when both are acknowledged.
	join(s session) member
	// publish returns when the message is acknowledged as its QoS wants it.
	publish(m message)
}

// session is what a client that joins asks for.
type session struct {
	id         string
	persistent bool
	resume     bool // has subscribed before, and does not do it again
	impatient  bool // has a short keepalive
	will       *message
	filter     string // with a wildcard, or the programs of Paho C print no topics
	qos        int
	alone      bool // in a process of its own, to be killed or stopped
}

// keepalive returns it in seconds: longer than any test unless the member is impatient, so that no ping brings along what should have come by itself.
func (s session) keepalive() int {
	if s.impatient {
		return 3 // which every library keeps on a machine that is busy
	}
	return 3600
}

// member is a client that has joined.
type member interface {
	// await waits until n messages have come on a topic and returns all of that topic.
	await(topic string, n int) []message
	// all returns what has come so far.
	all() []message
	// leave sends DISCONNECT.
	leave()
	// lost waits until the client says that it has lost its connection.
	lost()
	// kill ends the process, and halt stops it, with all its connections open.
	kill()
	halt()
}

// message is one to be sent, or one that came.
type message struct {
	topic   string
	payload []byte
	qos     int // -1 where a program does not show it, nor whether the message was a retained one
	retain  bool
}

func (m message) String() string {
	return fmt.Sprintf("%s: %d B % x... QoS %d retain %v", m.topic, len(m.payload), m.payload[:min(8, len(m.payload))], m.qos, m.retain)
}

// is tells whether m came as want was to come.
func (m message) is(want message) bool {
	shown := m.qos < 0 || m.qos == want.qos && m.retain == want.retain
	return m.topic == want.topic && bytes.Equal(m.payload, want.payload) && shown
}

func onTopic(messages []message, topic string) []message {
	var found []message
	for _, m := range messages {
		if m.topic == topic {
			found = append(found, m)
		}
	}
	return found
}

// halt stops a process as a machine that hangs does: its sockets stay open, and nothing comes from them.
func (p *process) halt() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		p.t.Fatalf("stop %s: %v", p.name, err)
	}
}

// visit is one client at the site, with topics of its own.
type visit struct {
	t    *testing.T
	kind clientKind
	root string
	speaker
}

// run does all that clients do. Who falls silent does so first, as that takes time to be noticed.
func (v *visit) run() {
	wills := v.join(session{id: v.id("wills"), filter: v.topic("will/#"), qos: 2})
	v.mortal("silent", session{alone: true, impatient: true}).halt()
	v.roundTrips()
	v.retained()
	v.wildcards()
	if !v.kind.limits.noSession {
		v.persistentSession()
	}
	v.takeOver()

	v.mortal("leaves", session{}).leave()
	v.mortal("cut", session{alone: true}).kill()
	for _, name := range []string{"cut", "silent"} {
		v.same(wills.await(v.topic("will/"+name), 1), v.will(name))
	}
	var leaves []message
	if v.kind.limits.leavesWithWill {
		leaves = append(leaves, v.will("leaves"))
	}
	v.same(onTopic(wills.all(), v.topic("will/leaves")), leaves...)
	wills.leave()
}

func (v *visit) topic(name string) string { return "clients/" + v.root + "/" + name }

// id is unique, and no longer than the 23 bytes of MQTT 3.1.
func (v *visit) id(name string) string { return v.root + "-" + name }

// mortal joins a client with a will. Only one that falls silent is impatient: a library that pings late, as those do that ping when they have
// nothing else to do, would leave its will behind before it leaves.
func (v *visit) mortal(name string, s session) member {
	v.t.Helper()
	will := v.will(name)
	s.id, s.filter, s.will = v.id(name), v.topic(name+"/#"), &will
	return v.join(s)
}

func (v *visit) will(name string) message {
	return message{v.topic("will/" + name), []byte(name + " is gone"), 1, false}
}

// payload returns bytes of every value, or letters for who cannot show those.
func (v *visit) payload(size int) []byte {
	random := rand.New(rand.NewPCG(uint64(size), 7))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(random.UintN(256))
		if v.kind.limits.text {
			b[i] = 'a' + b[i]%26
		}
	}
	return b
}

// same compares what came with what was to come.
func (v *visit) same(got []message, want ...message) {
	v.t.Helper()
	if len(got) != len(want) {
		v.t.Errorf("got %d messages, want %d: %v", len(got), len(want), got)
	}
	for i := range min(len(got), len(want)) {
		if !got[i].is(want[i]) {
			v.t.Errorf("message %d is %v, want %v", i, got[i], want[i])
		}
	}
}

// roundTrips sends messages of all sizes at every QoS to itself.
func (v *visit) roundTrips() {
	v.t.Helper()
	m := v.join(session{id: v.id("trip"), filter: v.topic("trip/#"), qos: 2})
	for qos := range 3 {
		for _, size := range []int{1, 300, 100_000} {
			msg := message{v.topic(fmt.Sprintf("trip/%d/%d", qos, size)), v.payload(size), qos, false}
			v.publish(msg)
			v.same(m.await(msg.topic, 1), msg)
		}
	}
	m.leave()
}

// retained sets a retained message and clears it with an empty one.
func (v *visit) retained() {
	v.t.Helper()
	msg := message{v.topic("kept/a"), v.payload(20), 1, true}
	end := message{v.topic("kept/end"), []byte("end"), 1, false}
	v.publish(msg)
	m := v.join(session{id: v.id("late"), filter: v.topic("kept/#"), qos: 1})
	v.same(m.await(msg.topic, 1), msg)
	cleared := message{msg.topic, nil, 1, true}
	v.publish(cleared)
	cleared.retain = false // to who was there
	v.same(m.await(msg.topic, 2)[1:], cleared)
	m.leave()

	m = v.join(session{id: v.id("later"), filter: v.topic("kept/#"), qos: 1})
	v.publish(end)
	m.await(end.topic, 1)
	v.same(m.all(), end)
	m.leave()
}

// wildcards subscribes with each, at a lower QoS than what comes is sent with.
func (v *visit) wildcards() {
	v.t.Helper()
	one := v.join(session{id: v.id("plus"), filter: v.topic("wild/+/temp"), qos: 1})
	many := v.join(session{id: v.id("hash"), filter: v.topic("wild/a/#"), qos: 0})
	var toOne, toMany []message
	for _, p := range []struct {
		topic     string
		one, many bool
	}{
		{"wild/a/temp", true, true},
		{"wild/b/temp", true, false},
		{"wild/a", false, true},
		{"wild/a/b/temp", false, true},
		{"wild/temp", false, false},
		{"wild/a/end", false, true},
		{"wild/end/temp", true, false},
	} {
		msg := message{v.topic(p.topic), []byte(p.topic), 2, false}
		v.publish(msg)
		if p.one {
			msg.qos = 1
			toOne = append(toOne, msg)
		}
		if p.many {
			msg.qos = 0
			toMany = append(toMany, msg)
		}
	}
	one.await(v.topic("wild/end/temp"), 1)
	many.await(v.topic("wild/a/end"), 1)
	v.same(one.all(), toOne...)
	v.same(many.all(), toMany...)
	one.leave()
	many.leave()
}

// persistentSession is away while messages come, and gets them in order.
func (v *visit) persistentSession() {
	v.t.Helper()
	s := session{id: v.id("keeper"), persistent: true, filter: v.topic("work/#"), qos: 2}
	v.join(s).leave()
	const jobs = 4
	want := map[string][]message{}
	for i := range jobs {
		for qos := 1; qos <= 2; qos++ { // each with a topic of its own: order is within a QoS, as libraries deliver QoS 2 when they get PUBREL
			msg := message{v.topic(fmt.Sprint("work/", qos)), fmt.Appendf(nil, "job %d", i), qos, false}
			v.publish(msg)
			want[msg.topic] = append(want[msg.topic], msg)
		}
	}
	s.resume = true
	m := v.join(s)
	for topic, messages := range want {
		v.same(m.await(topic, jobs), messages...)
	}
	m.leave()
	v.join(session{id: s.id, filter: v.topic("none/#")}).leave() // ends the stored session
}

// takeOver connects a second client with the id of the first.
func (v *visit) takeOver() {
	v.t.Helper()
	s := session{id: v.id("twin"), filter: v.topic("twin/#"), qos: 1, alone: v.kind.limits.comesBack}
	first := v.join(s)
	if v.kind.limits.comesBack {
		first.halt() // or the two would take over from each other for ever
	}
	second := v.join(s)
	if !v.kind.limits.comesBack {
		first.lost()
	}
	msg := message{v.topic("twin/a"), []byte("to the second"), 1, false}
	v.publish(msg)
	v.same(second.await(msg.topic, 1), msg)
	if v.kind.limits.comesBack {
		first.kill()
	}
	v.same(first.all())
	second.leave()
}

package bridge

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

func TestEchoesAreTakenOnce(t *testing.T) {
	now := time.Unix(0, 0)
	s := newEchoes([]Route{{Filter: "a/#"}}, func() time.Time { return now })
	heard := func(topic, payload string, retained, want bool) {
		t.Helper()
		if got := s.heard(topic, []byte(payload), retained); got != want {
			t.Errorf("%s %s, retained %v: %v, want %v", topic, payload, retained, got, want)
		}
	}
	s.sent("a/x", []byte("1"))
	s.sent("a/x", []byte("1"))
	s.sent("b", []byte("1"))
	heard("a/x", "2", false, false)
	heard("a/x", "1", false, true)
	heard("a/x", "1", false, true)
	heard("a/x", "1", false, false) // a third is somebody else's
	heard("b", "1", false, false)   // no route would bring it back
	heard("a/x", "1", true, true)   // what the upstream has retained, at each connection
	heard("a/x", "1", true, true)
	s.sent("a/x", []byte("2"))
	heard("a/x", "1", true, false) // somebody has put it there since
	now = now.Add(echoAge)
	heard("a/x", "2", false, false)
	s.sent("a/x", []byte("3"))
	s.forget()
	heard("a/x", "3", false, false)
}

func TestEchoesAreBounded(t *testing.T) {
	s := newEchoes([]Route{{Filter: "#"}}, time.Now)
	for i := range 3 * echoWindow {
		s.sent(fmt.Sprint("t/", i), nil)
	}
	if len(s.waiting) > echoWindow || len(s.ring) > echoWindow || len(s.newest) > echoTopics {
		t.Errorf("%d waiting, %d in the ring, %d topics", len(s.waiting), len(s.ring), len(s.newest))
	}
	if !s.heard(fmt.Sprint("t/", 3*echoWindow-1), nil, false) || s.heard("t/0", nil, false) {
		t.Error("the newest must be known, the oldest forgotten")
	}
}

// TestEchoOfWhatIsSentAgainAndAgain: the place of a message that was heard is given to another, and the same message is under way once more.
func TestEchoOfWhatIsSentAgainAndAgain(t *testing.T) {
	s := newEchoes([]Route{{Filter: "#"}}, time.Now)
	s.sent("a", []byte("on"))
	if !s.heard("a", []byte("on"), false) {
		t.Fatal("the first was not recognised")
	}
	for i := range echoWindow - 2 {
		s.sent(fmt.Sprint("t/", i), nil)
	}
	s.sent("a", []byte("on"))
	s.sent("b", nil) // takes the place of the first
	if !s.heard("a", []byte("on"), false) {
		t.Error("what was sent last is taken for somebody else's")
	}
	if s.heard("a", []byte("on"), false) {
		t.Error("one echo was recognised twice")
	}
}

// A route that goes both ways hears what it has sent: the LAN must not hear it twice.
func TestWhatWeSentIsNotTakenIn(t *testing.T) {
	u := newUpstream(t)
	local := newFakeLocal()
	run(t, Options{
		Servers: []*url.URL{u.url()}, Local: local, Lanes: one(newFakeQueue(text("a/x", "ours"))), Out: all,
		In: []Route{{Filter: "a/#", QoS: 1}},
	})
	l, _ := u.accept(0)
	f := l.expect(8)
	l.send(0x90, f.body[0], f.body[1], 1)
	for range 2 { // birth, record
		_, id, _ := l.expect(3).publishFields()
		l.puback(id)
	}
	l.publish("a/x", "ours", 7)
	l.expect(4)
	l.publish("a/x", "theirs", 8)
	p := local.inbound(t)
	if got := string(p.rec.Body.(*gateway.Message).Payload); got != "theirs" {
		t.Errorf("the LAN heard %q", got)
	}
	p.done(nil)
	l.expect(4)
}

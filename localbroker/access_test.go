package localbroker_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// house is who may do what: users with a password, and for each of them topics with what may be done there.
type house struct {
	mu     sync.Mutex
	users  map[string]string
	rights map[string]map[string]string // user, topic prefix, "p" and "r"
	asked  int
}

func (h *house) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func (h *house) Authenticate(_ context.Context, user string, password []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	want, ok := h.users[user]
	return ok && want == string(password)
}

func (h *house) Credential(user string) (uint64, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	password, ok := h.users[user]
	var sum uint64
	for _, b := range []byte(password) {
		sum = sum*257 + uint64(b)
	}
	return sum, ok
}

func (h *house) Rights(user, _ string) localbroker.Rights {
	h.mu.Lock()
	defer h.mu.Unlock()
	return someRights{h, h.rights[user]}
}

// someRights are topics by their beginning.
type someRights struct {
	house *house
	may   map[string]string
}

func (r someRights) has(topic, what string) bool {
	for prefix, may := range r.may {
		if strings.HasPrefix(topic, prefix) && strings.Contains(may, what) {
			return true
		}
	}
	return false
}

func (r someRights) MayPublish(topic string) bool { return r.has(topic, "p") }

func (r someRights) MayReceive(topic string) bool {
	r.house.change(func() { r.house.asked++ })
	return r.has(topic, "r")
}

func (r someRights) MaySubscribe(filter string) bool {
	return r.has(strings.TrimSuffix(filter, "#"), "r") || filter == "#" && len(r.may) > 0
}

// newHouse has ann, who may do all below a/ and read b/, and bob, who may write b/ and read a/open. Anonymous clients may publish anywhere.
func newHouse() *house {
	return &house{
		users: map[string]string{"ann": "ann's", "bob": "bob's"},
		rights: map[string]map[string]string{
			"ann": {"a/": "pr", "b/": "r"},
			"bob": {"b/": "p", "a/open": "r"},
			"":    {"": "p"},
		},
	}
}

func startHouse(t testing.TB) (*rig, *house) {
	h := newHouse()
	return start(t, func(o *localbroker.Options) { o.Auth, o.Access = h, h }), h
}

// login connects as a user.
func (r *rig) login(user, password string, p packet.Connect) *raw {
	r.t.Helper()
	c := r.dial()
	p.Username, p.Password = packet.Some(user), []byte(password)
	c.connect(&p)
	return c
}

func (r *rig) user(name string, p packet.Connect) *raw {
	r.t.Helper()
	p.CleanStart = true
	if p.ClientID == "" {
		p.ClientID = name
	}
	c := r.login(name, name+"'s", p)
	c.expect("20 02 00 00")
	return c
}

func TestDeniedPublishIsAnsweredAndDropped(t *testing.T) {
	r, _ := startHouse(t)
	q := r.queue("up", localbroker.QueueSub{Owner: "up", Filters: []string{"#"}})
	ann := r.user("ann", packet.Connect{})
	ann.subscribe("a/#", 2)
	bob := r.user("bob", packet.Connect{})
	for _, retain := range []bool{false, true} {
		bob.publish("a/x", "no", 0, 0, retain)
		bob.publish("a/x", "no", 1, 1, retain)
		bob.expect("40 02 00 01")
		bob.publish("a/x", "no", 2, 2, retain)
		bob.expect("50 02 00 02")
		bob.send("62 02 00 02")
		bob.expect("70 02 00 02")
	}
	ann.nothing()
	q.empty()
	late := r.user("ann", packet.Connect{ClientID: "late"})
	late.subscribe("a/#", 0)
	late.nothing()
	if n := r.broker.Stats(); n.Denied != 6 || n.Retained != 0 {
		t.Errorf("%d messages are counted as denied, %d are retained; want 6, 0", n.Denied, n.Retained)
	}
	if n := strings.Count(r.log.String(), "message dropped: the client may not publish"); n != 1 {
		t.Errorf("it is told %d times in the log, want once", n)
	}
	bob.publish("b/x", "yes", 1, 3, false)
	bob.expect("40 02 00 03")
	if got := q.read(1)[0].Record.Body.(*gateway.Message).Topic; got != "b/x" {
		t.Errorf("the queue got %s", got)
	}
}

func TestDeniedQoS2OfAPersistentSessionIsAnswered(t *testing.T) {
	r, _ := startHouse(t)
	bob := r.login("bob", "bob's", packet.Connect{ClientID: "bob"})
	bob.expect("20 02 00 00")
	bob.publish("a/x", "no", 2, 2, true)
	bob.expect("50 02 00 02")
	bob.publish("a/x", "no", 2, 2, true) // once more, as after a lost answer
	bob.expect("50 02 00 02")
	bob.send("62 02 00 02")
	bob.expect("70 02 00 02")
	if n := r.broker.Stats().Retained; n != 0 {
		t.Errorf("%d messages are retained", n)
	}
}

func TestDeniedSubscriptionIsRefused(t *testing.T) {
	r, _ := startHouse(t)
	bob := r.user("bob", packet.Connect{})
	bob.send("82 0f 00 01 00 03 'b/#' 01 00 04 'a/op' 02")
	bob.expect("90 04 00 01 80 80")
	bob.subscribe("a/open/#", 1)
	r.log.await(t, "subscription refused", "may not receive anything")
}

func TestDeliveryAndReplayNeedTheRight(t *testing.T) {
	r, h := startHouse(t)
	for _, topic := range []string{"a/1", "b/1", "c/1"} {
		r.broker.Publish(&gateway.Record{Body: &gateway.Message{Topic: topic, Payload: []byte("old"), Retain: true}}, nil)
	}
	ann := r.user("ann", packet.Connect{})
	ann.subscribe("#", 1)
	got := []string{string(ann.next().(*packet.Publish).Topic), string(ann.next().(*packet.Publish).Topic)}
	if slices.Sort(got); !slices.Equal(got, []string{"a/1", "b/1"}) {
		t.Errorf("ann got retained %q", got)
	}
	h.change(func() { h.asked = 0 })
	pub := r.clean("anonymous")
	for range 10 {
		pub.publish("c/1", "no", 0, 0, false)
		pub.publish("a/2", "yes", 0, 0, false)
	}
	for range 10 {
		ann.expectPublish("a/2", "yes", 0, 0, false, false)
	}
	ann.nothing()
	h.change(func() {
		if h.asked != 2 {
			t.Errorf("rights were asked for %d times, want once for each topic", h.asked)
		}
	})
}

func TestWillNeedsTheRightOfItsTime(t *testing.T) {
	r, h := startHouse(t)
	watch := r.user("ann", packet.Connect{})
	watch.subscribe("#", 0)
	will := func(topic string) packet.Connect {
		return packet.Connect{ClientID: topic, Will: &packet.Will{Topic: topic, Payload: []byte("gone")}}
	}
	r.user("bob", will("a/denied")).close()
	r.log.await(t, "will dropped", "a/denied")
	later, until := r.user("bob", will("a/later")), r.user("bob", will("b/until"))
	h.change(func() { h.rights["bob"] = map[string]string{"a/later": "p"} })
	r.broker.Reauthorize()
	until.close()
	r.log.await(t, "will dropped", "b/until")
	later.close()
	watch.expectPublish("a/later", "gone", 0, 0, false, false)
	if n := r.broker.Stats().Denied; n != 2 {
		t.Errorf("%d wills are counted as denied, want 2", n)
	}
}

func TestWillOfACrashNeedsTheRight(t *testing.T) {
	r, h := startHouse(t)
	for topic, clean := range map[string]bool{"b/1": false, "b/2": true, "b/3": true, "a/denied": false, "a/denied too": true} {
		p := packet.Connect{ClientID: topic, CleanStart: clean, Will: &packet.Will{Topic: topic, Payload: []byte("gone"), Retain: true}}
		r.login("bob", "bob's", p).expect("20 02 00 00")
	}
	r.persistent("commits what came before", false)
	h.change(func() { h.rights["bob"] = map[string]string{"b/2": "p"} })
	r.crash()
	ann := r.user("ann", packet.Connect{})
	ann.subscribe("#", 0)
	ann.expectPublish("b/2", "gone", 0, 0, true, false)
	ann.nothing()
	for _, topic := range []string{"b/1", "b/3", "a/denied", "a/denied too"} {
		r.log.await(t, "will dropped", "user=bob", topic)
	}
}

func TestReauthorizeCutsThoseWithoutRightsAndNobodyElse(t *testing.T) {
	r, h := startHouse(t)
	h.change(func() {
		for _, name := range []string{"gone", "changed", "loses", "narrowed", "stays"} {
			h.users[name], h.rights[name] = name+"'s", map[string]string{"a/": "pr", "b/": "pr"}
		}
	})
	conns := map[string]*raw{"": r.clean("anonymous")}
	for _, name := range []string{"gone", "changed", "loses", "narrowed", "stays"} {
		conns[name] = r.user(name, packet.Connect{})
		conns[name].subscribe("#", 0)
		conns[name].subscribe("b/#", 0)
	}
	r.broker.Reauthorize()
	for _, name := range []string{"gone", "changed", "loses", "narrowed", "stays"} {
		conns[name].nothing()
	}
	h.change(func() {
		delete(h.users, "gone")
		h.users["changed"] = "new"
		h.rights["loses"] = map[string]string{"a/": "pr"}
		h.rights["narrowed"] = map[string]string{"b/1": "r", "b/": "r"}
	})
	r.broker.Reauthorize()
	for name, reason := range map[string]string{"gone": "user is not known any more", "changed": "password was changed", "loses": "may not subscribe any more"} {
		conns[name].closed()
		r.log.await(t, "its rights were withdrawn", "user="+name, reason)
	}
	conns[""].publish("a/x", "1", 0, 0, false)
	conns[""].publish("b/x", "2", 0, 0, false)
	conns["stays"].expectPublish("a/x", "1", 0, 0, false, false)
	conns["stays"].expectPublish("b/x", "2", 0, 0, false, false)
	conns["narrowed"].expectPublish("b/x", "2", 0, 0, false, false)
	before := r.broker.Stats().Denied
	conns["narrowed"].publish("a/x", "no", 1, 1, false)
	conns["narrowed"].expect("40 02 00 01")
	conns["stays"].nothing()
	if n := r.broker.Stats().Denied - before; n != 1 {
		t.Errorf("%d messages are denied, want the one", n)
	}
	r.login("gone", "gone's", packet.Connect{ClientID: "x", CleanStart: true}).expect("20 02 00 04")
}

// Routes that were made under the old rules are not used any more, neither by publishers nor for subscribers that stay.
func TestReauthorizeChangesRoutesInUse(t *testing.T) {
	r, h := startHouse(t)
	ann, bob := r.user("ann", packet.Connect{}), r.user("bob", packet.Connect{})
	ann.subscribe("#", 0)
	bob.publish("b/1", "1", 0, 0, false)
	bob.publish("b/2", "2", 0, 0, false)
	bob.publish("a/3", "no", 0, 0, false)
	ann.expectPublish("b/1", "1", 0, 0, false, false)
	ann.expectPublish("b/2", "2", 0, 0, false, false)
	h.change(func() {
		h.rights["ann"] = map[string]string{"b/2": "r", "b/4": "r", "a/": "r"}
		h.rights["bob"] = map[string]string{"b/1": "p", "b/2": "p", "a/3": "p"}
	})
	r.broker.Reauthorize()
	for _, topic := range []string{"b/1", "b/2", "a/3", "b/4"} {
		bob.publish(topic, "new", 0, 0, false)
	}
	ann.expectPublish("b/2", "new", 0, 0, false, false)
	ann.expectPublish("a/3", "new", 0, 0, false, false)
	ann.nothing()
}

// What waits in the queue of a persistent session was put there by older rules.
func TestQueuedMessagesNeedTheRightOfTheirDelivery(t *testing.T) {
	for _, across := range []string{"reload", "restart"} {
		t.Run(across, func(t *testing.T) {
			r, h := startHouse(t)
			connect := func(answer string) *raw {
				c := r.login("ann", "ann's", packet.Connect{ClientID: "ann"})
				c.expect(answer)
				return c
			}
			c := connect("20 02 00 00")
			c.subscribe("#", 1)
			c.send("e0 00")
			c.closed()
			pub := r.clean("p")
			pub.publish("a/1", "1", 1, 1, false)
			pub.expect("40 02 00 01")
			pub.publish("b/1", "2", 1, 2, false)
			pub.expect("40 02 00 02")
			h.change(func() { h.rights["ann"] = map[string]string{"b/": "r"} })
			if across == "restart" {
				r.restart()
			} else {
				r.broker.Reauthorize()
			}
			pub = r.clean("p2")
			pub.publish("a/2", "3", 1, 3, false)
			pub.expect("40 02 00 03")
			pub.publish("b/2", "4", 1, 4, false)
			pub.expect("40 02 00 04")
			c = connect("20 02 01 00")
			for _, want := range []string{"b/1", "b/2"} {
				p := c.next().(*packet.Publish)
				if string(p.Topic) != want {
					t.Fatalf("got %s, want %s", p.Topic, want)
				}
				c.write((&packet.Ack{Kind: packet.TypePuback, ID: p.ID}).Append(nil, packet.V311))
			}
			c.nothing()
		})
	}
}

// A reload while a client logs in must not leave it with what it has lost.
func TestReauthorizeDuringLogin(t *testing.T) {
	h := newHouse()
	slow := &slowHouse{house: h, entered: make(chan struct{}), leave: make(chan struct{})}
	r := start(t, func(o *localbroker.Options) { o.Auth, o.Access = slow, h })
	c := r.login("bob", "bob's", packet.Connect{ClientID: "bob", CleanStart: true})
	<-slow.entered
	h.change(func() { delete(h.users, "bob") })
	r.broker.Reauthorize()
	slow.leave <- struct{}{}
	eventually(t, "the end of the connection", func() bool {
		_, err := c.tryNext()
		return err != nil
	})
	r.log.await(t, "user is not known any more")
}

// slowHouse knows a password to be right, and takes its time to say so.
type slowHouse struct {
	*house
	entered, leave chan struct{}
}

func (s *slowHouse) Authenticate(ctx context.Context, user string, password []byte) bool {
	ok := s.house.Authenticate(ctx, user, password)
	s.entered <- struct{}{}
	<-s.leave
	return ok
}

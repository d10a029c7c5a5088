package localbroker_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// Members of a shared subscription come, take messages, confirm none and leave. One stays: in the end it has had every message, each once.
func TestSharedSubscriptionLosesNothingWhileMembersComeAndGo(t *testing.T) {
	for name, newHost := range map[string]func() host{
		"reference": func() host { return &memHost{} },
		"buffer":    func() host { return &bufferHost{} },
	} {
		for _, expiry := range []uint32{0, 1000} {
			t.Run(fmt.Sprint(name, " expiry ", expiry), func(t *testing.T) { shareComeAndGo(t, newHost(), expiry) })
		}
	}
}

func shareComeAndGo(t *testing.T, h host, expiry uint32) {
	const messages = 400
	r := startOn(t, h)
	stays := r.clean("stays")
	stays.subscribe("$share/g/load", 1)
	var members, publisher sync.WaitGroup
	for i := range 3 {
		members.Go(func() { r.comeAndGo(fmt.Sprint("m", i), expiry) })
	}
	gone := make(chan struct{})
	go func() {
		members.Wait()
		close(gone)
	}()
	publisher.Go(func() { publishUntil(r.clean("p"), messages, gone) })
	seen := map[string]int{}
	for len(seen) < messages+1 { // "end" is the last one
		if m := stays.nextPublish(); string(m.Payload) != "more" {
			seen[string(m.Payload)]++
		}
	}
	publisher.Wait()
	for payload, n := range seen {
		if n != 1 {
			t.Errorf("message %s came %d times", payload, n)
		}
	}
}

// slowHost has a store in which a message for a queue can be under way for long.
type slowHost struct {
	memHost
	entered chan struct{} // a message for a queue is on its way into it
	let     chan struct{} // it may go on
}

type slowStore struct {
	localbroker.Store
	host *slowHost
}

func (h *slowHost) open(t testing.TB) localbroker.Store { return &slowStore{h.memHost.open(t), h} }

func (s *slowStore) Commit(c *gateway.Change, done func(error)) {
	if len(c.To) > 0 {
		select {
		case s.host.entered <- struct{}{}:
			<-s.host.let
		default:
		}
	}
	s.Store.Commit(c, done)
}

// A message that has been given to a member is on its way to its queue while the member's session ends. It goes to another one.
func TestSharedMessageOnItsWayToASessionThatEndsGoesToAnother(t *testing.T) {
	h := &slowHost{entered: make(chan struct{}, 1), let: make(chan struct{})}
	r := startOn(t, h)
	member := r.persistent("member", false)
	member.subscribe("$share/g/a", 1)
	stays := r.clean("stays")
	stays.subscribe("$share/g/a", 1)
	p := r.clean("p")
	p.publish("a", "x", 1, 1, false) // it is the first member's turn
	<-h.entered
	member.close()
	again := r.dial()
	again.connect(&packet.Connect{Version: packet.V311, ClientID: "member", CleanStart: true})
	eventually(t, "the end of the session", r.broker.SubscriptionsWait)
	close(h.let)
	p.next()
	if m := stays.nextPublish(); string(m.Payload) != "x" {
		t.Errorf("got %s, want x", m.Payload)
	}
	again.next()
}

// publishUntil publishes numbered messages, then more until the members are gone, so that none waits in vain, and one for the end.
func publishUntil(p *raw, messages int, gone <-chan struct{}) {
	publish := func(payload string) {
		p.publish("load", payload, 1, 1, false)
		p.next()
	}
	for i := range messages {
		publish(strconv.Itoa(i))
	}
	for {
		select {
		case <-gone:
			publish("end")
			return
		default:
			publish("more")
		}
	}
}

// comeAndGo is a member that takes three messages at a time and confirms none. At last its session ends.
func (r *rig) comeAndGo(id string, expiry uint32) {
	connect := func(clean bool, expiry uint32) *raw {
		c := r.dial()
		c.version = packet.V5
		c.connect(&packet.Connect{Version: packet.V5, ClientID: id, CleanStart: clean, Props: packet.Properties{
			SessionExpiry: packet.Some(expiry), ReceiveMaximum: packet.Some[uint16](3),
		}})
		c.next()
		return c
	}
	s := packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: "$share/g/load", QoS: 1}}}
	for range 8 {
		c := connect(false, expiry)
		c.write(s.Append(nil, packet.V5))
		for range 1 + 3 {
			c.next()
		}
		c.close()
	}
	c := connect(true, 0)
	c.send("e0 00")
	c.closed()
}

// A QoS 0 message that waited for a member which leaves has nobody to go to when the only other member is away, though its session is kept.
func TestSharedSubscriptionQoS0HasNobodyLeft(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.MaxInflight = 1 })
	away := r.persistent("away", false)
	away.subscribe("$share/g/a", 1)
	away.close()
	r.log.await(t, "connection lost", "client=away")
	c := r.clean("c")
	c.subscribe("$share/g/a", 1)
	p := r.clean("p")
	p.publish("a", "1", 1, 1, false)
	p.checkAck(p.next(), packet.TypePuback, 1)
	c.expectPublish("a", "1", 1, 1, false, false) // never confirmed: the window is full
	p.publish("a", "2", 1, 2, false)
	p.checkAck(p.next(), packet.TypePuback, 2)
	p.publish("a", "3", 0, 0, false) // waits behind it
	p.nothing()
	c.close()
	eventually(t, "the message to be counted as dropped", func() bool { return r.broker.Stats().Dropped == 1 })
	away = r.persistent("away", true)
	away.expectPublish("a", "1", 1, 1, false, false)
	away.send("40 02 00 01")
	away.expectPublish("a", "2", 1, 2, false, false)
	away.nothing()
}

// What the last member has not confirmed when it leaves the group goes, at the end of its session, to those who have come to the group since.
func TestSharedMessageGoesToWhoCameAfterTheLastHadLeft(t *testing.T) {
	r := start(t)
	first := r.clean("first")
	first.subscribe("$share/g/a", 1)
	p := r.clean("p")
	p.publish("a", "1", 1, 1, false)
	p.checkAck(p.next(), packet.TypePuback, 1)
	first.expectPublish("a", "1", 1, 1, false, false) // never confirmed
	first.write((&packet.Unsubscribe{ID: 2, Filters: []string{"$share/g/a"}}).Append(nil, packet.V311))
	first.next()
	next := r.clean("next")
	next.subscribe("$share/g/a", 1)
	first.close()
	next.expectPublish("a", "1", 1, 1, false, false)
}

package localbroker_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// suite is what must hold over any store: what outlives connections and the process.
var suite = []struct {
	name string
	run  func(t *testing.T, h host)
}{
	{"OfflineQueueSurvivesACrashInOrder", suiteOfflineQueue},
	{"OnlyWhatWasSentIsSentAgainWithDup", suiteResend},
	{"PacketIDsAreTheSameAfterACrash", suitePacketIDs},
	{"QoS2DeliveryGoesOnWhereItStopped", suiteOutboundTwo},
	{"QoS2PublishIsTakenOnceAcrossACrash", suiteInboundTwo},
	{"RetainedMessagesSurviveACrash", suiteRetained},
	{"RetainedQoS0SurvivesAnOrderedRestart", suiteRetainedZero},
	{"SubscriptionsSurviveACrash", suiteSubscriptions},
	{"WillsOfACrashArePublishedOnce", suiteWills},
	{"WillsWaitForTheirDelayAcrossACrash", suiteDelayedWills},
	{"SessionsOfMQTT5EndAsTheyWereToAcrossACrash", suiteEndedByCrash},
	{"CleanSessionEndsTheStoredOne", suiteCleanEndsStored},
	{"ASessionOfAnotherUserIsNotResumed", suiteOtherUser},
	{"BatchesReachSessionsAndQueues", suiteBatches},
	{"RetainedReplayIsNotLostWithTheConnection", suiteReplay},
	{"NothingAcknowledgedIsLostOverManyCrashes", suiteManyCrashes},
	{"TakeOverStormLosesNothing", suiteTakeOverStorm},
	{"TwentyPublishersToOneSlowSessionLoseNothingQoS1", func(t *testing.T, h host) { suiteSlowSession(t, h, 1) }},
	{"TwentyPublishersToOneSlowSessionLoseNothingQoS2", func(t *testing.T, h host) { suiteSlowSession(t, h, 2) }},
}

func TestOverReferenceStore(t *testing.T) {
	for _, c := range suite {
		t.Run(c.name, func(t *testing.T) { c.run(t, &memHost{}) })
	}
}

// publishMany publishes numbered messages and waits for all their PUBACKs.
func publishMany(c *raw, topic string, qos packet.QoS, from, to int) {
	c.t.Helper()
	for i := from; i < to; i++ {
		c.publish(topic, strconv.Itoa(i), qos, uint16(i-from+1), false)
	}
	for i := from; i < to; i++ {
		c.checkAck(c.next(), packet.TypePuback, uint16(i-from+1))
	}
}

// takeMany reads numbered QoS 1 messages and acknowledges them.
func takeMany(c *raw, from, to int, dup func(i int) bool) {
	c.t.Helper()
	for i := from; i < to; i++ {
		p, ok := c.next().(*packet.Publish)
		if !ok || string(p.Payload) != strconv.Itoa(i) || p.Dup != dup(i) || p.ID == 0 {
			c.t.Fatalf("got %+v, want message %d with DUP %v", p, i, dup(i))
		}
		c.write(packet.AppendAck(nil, packet.TypePuback, p.ID))
	}
}

func never(int) bool { return false }

func suiteOfflineQueue(t *testing.T, h host) {
	r := startOn(t, h, func(o *localbroker.Options) { o.MaxInflight = 16 })
	s := r.persistent("s", false)
	s.subscribe("a/#", 1)
	s.close()
	publishMany(r.clean("p"), "a/b", 1, 0, 300)
	r.crash()
	s = r.persistent("s", true)
	takeMany(s, 0, 300, func(i int) bool { return i < 16 }) // nobody knows what had been sent: the first window is marked
	s.nothing()
	s.send("e0 00")
	r.log.await(t, "client=s", "client has disconnected")
	publishMany(r.clean("p"), "a/b", 1, 300, 320)
	takeMany(r.persistent("s", true), 300, 320, never) // never sent before
}

func suiteResend(t *testing.T, h host) {
	r := startOn(t, h, func(o *localbroker.Options) { o.MaxInflight = 5 })
	s := r.persistent("s", false)
	s.subscribe("a", 1)
	publishMany(r.clean("p"), "a", 1, 0, 12)
	for i := range 5 { // the window
		s.expectPublish("a", strconv.Itoa(i), 1, uint16(i+1), false, false)
	}
	s.send("40 02 00 02") // out of order
	s.expectPublish("a", "5", 1, 6, false, false)
	s.nothing()
	s.close()

	s = r.persistent("s", true)
	for _, i := range []int{0, 2, 3, 4, 5} {
		s.expectPublish("a", strconv.Itoa(i), 1, uint16(i+1), false, true)
	}
	s.send("40 02 00 01 | 40 02 00 03")
	s.expectPublish("a", "6", 1, 7, false, false) // the rest within the window, and unmarked
	s.expectPublish("a", "7", 1, 8, false, false)
	s.nothing()
}

func suitePacketIDs(t *testing.T, h host) {
	r := startOn(t, h)
	s := r.persistent("s", false)
	s.subscribe("a", 1)
	p := r.clean("p")
	publishMany(p, "a", 1, 0, 3)
	takeMany(s, 0, 3, never)
	publishMany(p, "a", 1, 3, 5)
	s.expectPublish("a", "3", 1, 4, false, false)
	s.expectPublish("a", "4", 1, 5, false, false)
	s.send("e0 00")
	r.log.await(t, "client=s", "client has disconnected")
	r.restart()
	s = r.persistent("s", true)
	s.expectPublish("a", "3", 1, 4, false, true)
	s.expectPublish("a", "4", 1, 5, false, true)
	s.send("40 02 00 04 | 40 02 00 05")
	s.nothing()
}

func suiteOutboundTwo(t *testing.T, h host) {
	r := startOn(t, h)
	s := r.persistent("s", false)
	s.subscribe("a", 2)
	p := r.clean("p")
	for i := range 3 {
		p.publish("a", strconv.Itoa(i), 2, uint16(i+1), false)
		s.expectPublish("a", strconv.Itoa(i), 2, uint16(i+1), false, false)
	}
	s.send("50 02 00 01 | 50 02 00 02") // PUBREC for two of three
	s.expect("62 02 00 01 | 62 02 00 02")
	s.send("70 02 00 01") // PUBCOMP for one
	s.nothing()           // it has been read: a connection that is taken over may not be read any more
	s.close()

	s = r.persistent("s", true)
	s.expect("62 02 00 02") // PUBREL, never again PUBLISH (MQTT 3.1.1, 4.3.3)
	s.expectPublish("a", "2", 2, 3, false, true)
	s.send("50 02 00 03")
	s.expect("62 02 00 03")
	s.nothing()

	r.crash()
	s = r.persistent("s", true)
	s.expect("62 02 00 02 | 62 02 00 03")
	s.send("70 02 00 02 | 70 02 00 03")
	s.nothing()
	s.send("e0 00")
	r.log.await(t, "client=s", "client has disconnected")
	r.restart()
	r.persistent("s", true).nothing()
}

func suiteInboundTwo(t *testing.T, h host) {
	r := startOn(t, h)
	s := r.persistent("s", false)
	s.subscribe("a", 1)
	s.close()
	p := r.persistent("p", false)
	p.publish("a", "once", 2, 7, false)
	p.expect("50 02 00 07")
	r.crash()
	p = r.persistent("p", true)
	p.write(publishBytes("a", "once", 2, 7, false, true))
	p.expect("50 02 00 07")
	p.send("62 02 00 07")
	p.expect("70 02 00 07")
	p.send("62 02 00 07") // a PUBREL that was repeated is answered too
	p.expect("70 02 00 07")
	p.publish("a", "twice", 2, 7, false) // the id is free again
	p.expect("50 02 00 07")
	s = r.persistent("s", true)
	s.expectPublish("a", "once", 1, 1, false, true)
	s.expectPublish("a", "twice", 1, 2, false, false) // came after the crash, and was never sent
	s.nothing()
}

func suiteRetained(t *testing.T, h host) {
	r := startOn(t, h)
	p := r.clean("p")
	p.publish("a/1", "old", 1, 1, true)
	p.publish("a/2", "gone", 1, 2, true)
	p.publish("a/1", "new", 1, 3, true)
	p.publish("a/2", "", 1, 4, true) // removes it (MQTT-3.3.1-10)
	p.publish("a/3", "two", 2, 5, true)
	p.expect("40 02 00 01 | 40 02 00 02 | 40 02 00 03 | 40 02 00 04 | 50 02 00 05")
	r.crash()
	if n := r.broker.Stats().Retained; n != 2 {
		t.Fatalf("%d retained messages, want 2", n)
	}
	c := r.clean("c")
	c.subscribe("a/1", 1)
	c.expectPublish("a/1", "new", 1, 1, true, false)
	c.subscribe("a/2", 1)
	c.nothing()
	c.subscribe("a/3", 0)
	c.expectPublish("a/3", "two", 0, 0, true, false)
}

func suiteRetainedZero(t *testing.T, h host) {
	r := startOn(t, h)
	p := r.clean("p")
	for i := range 10 {
		p.publish("a", strconv.Itoa(i), 0, 0, true)
	}
	p.nothing()
	r.restart()
	c := r.clean("c")
	c.subscribe("#", 0)
	c.expectPublish("a", "9", 0, 0, true, false)
}

func suiteSubscriptions(t *testing.T, h host) {
	r := startOn(t, h)
	s := r.persistent("s", false)
	s.subscribe("a/+", 1)
	s.subscribe("b/#", 0)
	s.subscribe("c", 2)
	s.send("a2 05 00 01 | 00 01 'c'")
	s.expect("b0 02 00 01")
	r.crash()
	if n := r.broker.Stats().Subscriptions; n != 2 {
		t.Fatalf("%d subscriptions, want 2", n)
	}
	s = r.persistent("s", true)
	p := r.clean("p")
	p.publish("b/x", "1", 1, 1, false)
	p.publish("a/x", "2", 1, 2, false)
	p.publish("c", "3", 1, 3, false)
	p.expect("40 02 00 01")
	got := map[string]bool{}
	for range 2 { // QoS 0 and QoS 1 take different ways
		got[string(s.next().(*packet.Publish).Payload)] = true
	}
	if !got["1"] || !got["2"] {
		t.Fatalf("got messages %v, want 1 and 2", got)
	}
	s.nothing()
}

func suiteWills(t *testing.T, h host) {
	r := startOn(t, h)
	s := r.persistent("s", false)
	s.subscribe("will/#", 1)
	s.close()
	for i, retain := range []bool{true, false} {
		c := r.dial()
		c.connect(&packet.Connect{ClientID: fmt.Sprint("w", i), CleanStart: true, Will: &packet.Will{
			Topic: fmt.Sprint("will/", i), Payload: []byte("gone"), QoS: 1, Retain: retain,
		}})
		c.expect("20 02 00 00")
	}
	polite := r.dial()
	polite.connect(&packet.Connect{ClientID: "polite", CleanStart: true, Will: &packet.Will{Topic: "will/polite", QoS: 1}})
	polite.expect("20 02 00 00")
	polite.send("e0 00")
	r.log.await(t, "client=polite", "client has disconnected")
	publishMany(r.persistent("commits what came before", false), "will/none", 1, 0, 1)
	r.crash()
	got := map[string]bool{}
	s = r.persistent("s", true)
	for range 3 {
		got[string(s.next().(*packet.Publish).Topic)] = true
	}
	if !got["will/0"] || !got["will/1"] || !got["will/none"] {
		t.Fatalf("got %v, want will/0, will/1 and will/none", got)
	}
	s.send("40 02 00 01 | 40 02 00 02 | 40 02 00 03")
	s.nothing()
	c := r.clean("c")
	c.subscribe("will/#", 0)
	c.expectPublish("will/0", "gone", 0, 0, true, false) // the retained one
	s.send("e0 00")
	r.log.await(t, "client=s", "client has disconnected")
	r.restart()
	r.persistent("s", true).nothing() // not a second time
}

func suiteCleanEndsStored(t *testing.T, h host) {
	r := startOn(t, h)
	s := r.persistent("s", false)
	s.subscribe("a", 1)
	s.close()
	publishMany(r.clean("p"), "a", 1, 0, 3)
	r.clean("s").nothing()
	if st := r.broker.Stats(); st.Sessions != 0 || st.Subscriptions != 0 {
		t.Fatalf("%d sessions with %d subscriptions are left", st.Sessions, st.Subscriptions)
	}
	r.crash()
	r.persistent("s", false).nothing()
}

func suiteOtherUser(t *testing.T, h host) {
	r := startOn(t, h, func(o *localbroker.Options) { o.Auth = passwords{"ann": "a", "bob": "b"} })
	login := func(user, password string, present byte) *raw {
		c := r.dial()
		c.connect(&packet.Connect{ClientID: "s", Username: packet.Some(user), Password: []byte(password)})
		c.expectBytes([]byte{0x20, 2, present, 0})
		return c
	}
	s := login("ann", "a", 0)
	s.subscribe("a", 1)
	s.close()
	publishMany(r.clean("p"), "a", 1, 0, 3)
	login("bob", "b", 0).nothing()
	login("ann", "a", 0).nothing()
}

func suiteBatches(t *testing.T, h host) {
	r := startOn(t, h)
	up := r.queue("cloud", localbroker.QueueSub{Owner: "cloud", Filters: []string{"tg/x/meter/u"}})
	s := r.persistent("s", false)
	s.subscribe("tg/x/meter/+", 1)
	clean := r.clean("clean")
	clean.subscribe("tg/x/#", 0)
	at := time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC)
	good := func(v gateway.Value) gateway.Reading {
		return gateway.Reading{Value: v, Quality: gateway.QualityGood, Time: at}
	}
	rec := &gateway.Record{Time: at, Body: &gateway.Batch{
		Topic: "tg/x/meter", Publish: gateway.PublishBoth, Time: at, Names: []string{"u", "bad", "i"},
		Readings: []gateway.Reading{good(gateway.Float32(230.1)), {Reason: gateway.ReasonTimeout}, good(gateway.Int(4))},
	}}
	done := make(chan error, 1)
	r.broker.Publish(rec, func(err error) { done <- err })
	if rec.Seq == 0 {
		t.Fatal("the record was not stamped before Publish returned")
	}
	json := fmt.Sprintf(`{"time":"2026-11-21T01:02:03.000Z","seq":%d,"quality":"good","values":{"u":230.1,"bad":null,"i":4},"bad":{"bad":"timeout"}}`, rec.Seq)
	clean.expectPublish("tg/x/meter", json, 0, 0, false, false)
	clean.expectPublish("tg/x/meter/u", "230.1", 0, 0, false, false)
	clean.expectPublish("tg/x/meter/i", "4", 0, 0, false, false)
	s.expectPublish("tg/x/meter/u", "230.1", 1, 1, false, false)
	s.expectPublish("tg/x/meter/i", "4", 1, 2, false, false)
	d := up.read(1)[0]
	if b, ok := d.Record.Body.(*gateway.Batch); !ok || d.View != 0 || !d.Retain || b.Topic != "tg/x/meter" {
		t.Fatalf("the queue got %+v, want the batch itself", d)
	}
	up.empty()
	r.store.Ack(d.Queue, d.Pos)
	s.send("40 02 00 01 | 40 02 00 02")
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	late := r.clean("late") // the last readings are retained
	late.subscribe("tg/x/meter", 1)
	late.expectPublish("tg/x/meter", json, 1, 1, true, false)
	r.restart()
	if n := r.broker.Stats().Retained; n != 0 {
		t.Fatalf("%d readings were kept over a restart", n)
	}
}

func suiteReplay(t *testing.T, h host) {
	r := startOn(t, h)
	p := r.clean("p")
	p.publish("a/1", "x", 1, 1, true)
	p.publish("a/2", "y", 2, 2, true)
	p.expect("40 02 00 01 | 50 02 00 02")
	s := r.persistent("s", false)
	s.send("82 08 00 01 | 00 03 'a/#' 02")
	for {
		if _, ok := s.next().(*packet.Suback); ok {
			break
		}
	}
	r.crash()
	s = r.persistent("s", true)
	got := map[string]byte{}
	for range 2 {
		p := s.next().(*packet.Publish)
		if !p.Retain {
			t.Errorf("%s came without the retain flag", p.Topic)
		}
		got[string(p.Topic)] = byte(p.QoS)
	}
	if got["a/1"] != 1 || got["a/2"] != 2 {
		t.Fatalf("got %v, want a/1 at QoS 1 and a/2 at QoS 2", got)
	}
}

// passwords is an Authenticator.
type passwords map[string]string

func (p passwords) Authenticate(_ context.Context, user string, password []byte) bool {
	want, ok := p[user]
	return ok && want == string(password)
}

// suiteManyCrashes kills the process over and over while a client publishes and another one takes: what was acknowledged arrives, in order,
// some of it twice.
func suiteManyCrashes(t *testing.T, h host) {
	r := startOn(t, h)
	r.persistent("s", false).subscribe("a", 1)
	var seen []int
	next := 0
	for round := range 12 {
		p := r.clean("p")
		s := r.persistent("s", true)
		var wg sync.WaitGroup
		wg.Go(func() { seen = append(seen, takeUntilCut(s, 20*(round%3))...) })
		for i := next; i < next+30; i++ {
			p.publish("a", strconv.Itoa(i), 1, uint16(i+1), false)
		}
		for range 30 - round { // some are not waited for
			p.checkAck(p.next(), packet.TypePuback, uint16(next+1))
			next++
		}
		r.crash()
		wg.Wait()
	}
	s := r.persistent("s", true)
	publishMany(r.clean("p"), "a", 1, next, next+1)
	for len(seen) == 0 || seen[len(seen)-1] < next {
		seen = append(seen, takeUntilCut(s, 1)...)
	}
	inOrder(t, seen, next)
}

// takeUntilCut acknowledges up to n messages and returns their numbers. It ends with the connection.
func takeUntilCut(s *raw, n int) (got []int) {
	for range n {
		m, err := s.tryNext()
		if err != nil {
			return got
		}
		p, ok := m.(*packet.Publish)
		if !ok {
			return got
		}
		i, _ := strconv.Atoi(string(p.Payload))
		got = append(got, i)
		_, _ = s.c.Write(packet.AppendAck(nil, packet.TypePuback, p.ID))
	}
	return got
}

// inOrder checks that all numbers up to last came, first in rising order, with repetitions only.
func inOrder(t *testing.T, seen []int, last int) {
	t.Helper()
	top := -1
	for _, i := range seen {
		if i > top+1 {
			t.Fatalf("%d came after %d: what lies between is lost or late; all: %v", i, top, seen)
		}
		top = max(top, i)
	}
	if top < last {
		t.Fatalf("the last one is %d, want %d", top, last)
	}
}

func suiteTakeOverStorm(t *testing.T, h host) {
	r := startOn(t, h)
	r.persistent("s", false).subscribe("a", 1)
	const messages = 200
	var wg sync.WaitGroup
	wg.Go(func() { publishMany(r.clean("p"), "a", 1, 0, messages) })
	for range 6 {
		wg.Go(func() {
			for range 10 {
				takeUntilCut(r.stormy("s"), 3)
			}
		})
	}
	wg.Wait()
	// What those took is theirs; the last message is still to come, or was the last to be taken.
	publishMany(r.clean("p"), "a", 1, messages, messages+1)
	s := r.persistent("s", true)
	var got []int
	for !slices.Contains(got, messages) {
		got = append(got, takeUntilCut(s, 1)...)
	}
	if !slices.IsSorted(got) {
		t.Fatalf("out of order: %v", got)
	}
	if st := r.broker.Stats(); st.Sessions != 1 || st.Subscriptions != 1 {
		t.Fatalf("%d sessions, %d subscriptions, want 1 and 1", st.Sessions, st.Subscriptions)
	}
}

// stormy connects to a session that others are connecting to as well; it may be cut before its CONNACK.
func (r *rig) stormy(id string) *raw {
	c := r.dial()
	p := packet.Connect{Version: packet.V311, ClientID: id}
	_, _ = c.c.Write(p.Append(nil, packet.V311))
	_, _ = c.tryNext()
	return c
}

func suiteSlowSession(t *testing.T, h host, qos packet.QoS) {
	r := startOn(t, h, func(o *localbroker.Options) { o.MaxQueued = 100 })
	s := r.persistent("slow", false)
	s.subscribe("load/#", 1)
	const publishers, each = 20, 100
	var wg sync.WaitGroup
	for i := range publishers {
		wg.Go(func() {
			p := r.clean(fmt.Sprint("p", i))
			for n := range each {
				p.publish(fmt.Sprint("load/", i), strconv.Itoa(n), qos, uint16(n+1), false)
			}
			for range each {
				p.next()
			}
		})
	}
	wg.Wait() // all acknowledged, before the first one is read
	next := map[string]int{}
	for range publishers * each {
		p := s.next().(*packet.Publish)
		if want := strconv.Itoa(next[string(p.Topic)]); string(p.Payload) != want {
			t.Fatalf("%s: got %s, want %s", p.Topic, p.Payload, want)
		}
		next[string(p.Topic)]++
		s.write(packet.AppendAck(nil, packet.TypePuback, p.ID))
	}
	s.nothing()
}

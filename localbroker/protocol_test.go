package localbroker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// The tests of this file are named after the normative statements of MQTT 3.1.1 that they show, byte for byte.

// anybody may log in.
type anybody struct{}

func (anybody) Authenticate(context.Context, string, []byte) bool { return true }

func TestMQTT_3_1_0_1_TheFirstPacketMustBeConnect(t *testing.T) {
	r := start(t)
	for i, first := range []string{"c0 00", "e0 00", "30 04 00 01 'a' 'x'", "82 06 00 01 00 01 'a' 00", "40 02 00 01", "20 02 00 00"} {
		c := r.dial()
		c.send(first)
		c.closed()
		if i == 0 { // it is said once the connection is closed, and of the reasons of one address only the first few are
			r.log.await(t, "PINGREQ came before CONNECT [MQTT-3.1.0-1]", "c0 00")
		}
	}
	eventually(t, "six refused connections", func() bool { return r.broker.Stats().Refused == 6 })
}

func TestMQTT_3_1_0_2_ASecondConnectEndsTheConnection(t *testing.T) {
	r := start(t)
	c := r.clean("c")
	c.send("10 0d | 00 04 'MQTT' 04 02 00 3c | 00 01 'c'")
	c.closed()
	r.log.await(t, "a second CONNECT came [MQTT-3.1.0-2]")
}

func TestMQTT_3_1_2_2_AnUnknownProtocolLevelIsRefusedWithCode1(t *testing.T) {
	r := start(t)
	c := r.dial()
	c.send("10 0d | 00 04 'MQTT' 03 02 00 3c | 00 01 'c'")
	c.expect("20 02 00 01")
	c.closed()
}

func TestMQTT_3_1_2_4_ASessionIsTakenUpAgain(t *testing.T) {
	r := start(t)
	s := r.persistent("s", false) // MQTT-3.2.2-3: no session present
	s.subscribe("a", 1)
	s.send("e0 00")
	s.closed()
	s = r.persistent("s", true) // MQTT-3.2.2-2: session present
	r.clean("p").publish("a", "x", 1, 1, false)
	s.expectPublish("a", "x", 1, 1, false, false)
}

func TestMQTT_3_1_2_6_ACleanSessionDiscardsWhatWasBefore(t *testing.T) {
	r := start(t)
	r.persistent("s", false).subscribe("a", 1)
	c := r.clean("s") // takes over, MQTT-3.2.2-1: session present is 0
	p := r.clean("p")
	p.publish("a", "x", 1, 1, false)
	p.expect("40 02 00 01")
	c.nothing()
	c.subscribe("b", 1)
	c.close()
	r.persistent("s", false).nothing() // and a clean session is not reused
}

func TestMQTT_3_1_2_8_TheWillIsPublishedWhenTheConnectionEnds(t *testing.T) {
	for how, end := range map[string]func(r *rig, c *raw){
		"the client closes the socket": func(_ *rig, c *raw) { c.close() },
		"protocol error":               func(_ *rig, c *raw) { c.send("00 00") },
		"taken over":                   func(r *rig, _ *raw) { r.clean("c") },
	} {
		t.Run(how, func(t *testing.T) {
			r := start(t)
			watch := r.clean("watch")
			watch.subscribe("w/#", 2)
			c := r.dial()
			c.connect(&packet.Connect{ClientID: "c", CleanStart: true, Will: &packet.Will{Topic: "w/c", Payload: []byte("gone"), QoS: 2, Retain: true}})
			c.expect("20 02 00 00")
			end(r, c)
			watch.expectPublish("w/c", "gone", 2, 1, false, false)
			late := r.clean("late")
			late.subscribe("w/c", 0)
			late.expectPublish("w/c", "gone", 0, 0, true, false) // MQTT-3.1.2-17: retained
		})
	}
}

func TestMQTT_3_1_2_10_TheWillIsForgottenOnDisconnect(t *testing.T) {
	r := start(t)
	watch := r.clean("watch")
	watch.subscribe("w", 0)
	c := r.dial()
	c.connect(&packet.Connect{ClientID: "c", CleanStart: true, Will: &packet.Will{Topic: "w"}})
	c.expect("20 02 00 00")
	r.mem.await(t, "the will", func() bool { return len(r.mem.disk.wills) == 1 })
	c.send("e0 00")
	c.closed()
	r.mem.await(t, "the end of the will", func() bool { return len(r.mem.disk.wills) == 0 })
	watch.nothing()
}

func TestWillsArePublishedWhenTheBrokerStops(t *testing.T) {
	r := start(t)
	up := r.queue("cloud", localbroker.QueueSub{Filters: []string{"w"}})
	c := r.dial()
	c.connect(&packet.Connect{ClientID: "c", CleanStart: true, Will: &packet.Will{Topic: "w", Payload: []byte("x"), QoS: 1}})
	c.expect("20 02 00 00")
	r.stop()
	d := up.read(1)[0]
	if m := d.Record.Body.(*gateway.Message); string(m.Payload) != "x" || m.QoS != 1 {
		t.Errorf("got %+v", m)
	}
	c.closed()
}

func TestMQTT_3_1_3_7_AnEmptyIdentifierGetsOneOfItsOwn(t *testing.T) {
	r := start(t)
	a, b := r.dial(), r.dial()
	for _, c := range []*raw{a, b} {
		c.send("10 0c | 00 04 'MQTT' 04 02 00 00 | 00 00")
		c.expect("20 02 00 00")
	}
	a.nothing()
	b.nothing() // neither took over from the other
}

func TestMQTT_3_1_3_8_AnEmptyIdentifierWithoutCleanSessionIsRefusedWithCode2(t *testing.T) {
	r := start(t)
	c := r.dial()
	c.send("10 0c | 00 04 'MQTT' 04 00 00 00 | 00 00")
	c.expect("20 02 00 02")
	c.closed()
}

func TestMQTT31AnEmptyIdentifierIsRefused(t *testing.T) {
	r := start(t)
	c := r.dial()
	c.send("10 0e | 00 06 'MQIsdp' 03 02 00 3c | 00 00")
	c.expect("20 02 00 02")
	c.closed()
}

func TestMQTT31IsServed(t *testing.T) {
	r := start(t)
	r.persistent("old", false).close()
	c := r.dial()
	c.send("10 11 | 00 06 'MQIsdp' 03 00 00 3c | 00 03 'old'")
	c.expect("20 02 00 00") // 3.1 has no session present flag
	c.subscribe("a", 1)
	p := r.clean("p")
	p.publish("a", "x", 1, 1, false)
	c.expectPublish("a", "x", 1, 1, false, false)
}

func TestMQTT_3_2_2_5_CodesOfRefusedLogins(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.Auth = passwords{"ann": "secret"} })
	for password, want := range map[string]byte{"secret": 0, "wrong": 4, "": 4} {
		c := r.dial()
		c.connect(&packet.Connect{ClientID: "c", CleanStart: true, Username: packet.Some("ann"), Password: []byte(password)})
		c.expectBytes([]byte{0x20, 2, 0, want})
	}
	r.log.await(t, `user \"ann\" is not known, or the password is wrong`)
	if strings.Contains(r.log.String(), "wrong\"\n") && strings.Contains(r.log.String(), "secret") {
		t.Error("a password is in the log")
	}
}

func TestWithoutAnonymousAccessAUserNameIsAskedFor(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.Auth = anybody{} })
	addr := r.serve(localbroker.ListenerOptions{Name: "outside"})
	c := r.dialTo(addr)
	c.connect(&packet.Connect{ClientID: "c", CleanStart: true})
	c.expect("20 02 00 05")
	c.closed()
	c = r.dialTo(addr)
	c.connect(&packet.Connect{ClientID: "c", CleanStart: true, Username: packet.Some("u"), Password: []byte("p")})
	c.expect("20 02 00 00")
}

func TestMQTT_3_3_1_3_DupIsNotHandedOn(t *testing.T) {
	r := start(t)
	s := r.clean("s")
	s.subscribe("a", 1)
	p := r.clean("p")
	p.write(publishBytes("a", "x", 1, 1, false, true))
	s.expectPublish("a", "x", 1, 1, false, false)
}

func TestMQTT_3_3_1_5_RetainedMessagesGreetLateSubscribers(t *testing.T) {
	r := start(t)
	live := r.clean("live")
	live.subscribe("a/#", 1)
	p := r.clean("p")
	p.publish("a/b", "1", 1, 1, true)
	live.expectPublish("a/b", "1", 1, 1, false, false) // MQTT-3.3.1-9: not marked for those who were there
	p.publish("a/b", "2", 0, 0, true)
	live.expectPublish("a/b", "2", 0, 0, false, false)
	late := r.clean("late")
	for range 2 { // MQTT-3.3.1-6, MQTT-3.8.4-3: again with each SUBSCRIBE
		late.subscribe("a/+", 1)
		late.expectPublish("a/b", "2", 0, 0, true, false) // MQTT-3.3.1-7: the QoS 0 message has replaced the other; MQTT-3.3.1-8: marked
	}
	p.publish("a/b", "", 0, 0, true) // MQTT-3.3.1-10, MQTT-3.3.1-11
	live.expectPublish("a/b", "", 0, 0, false, false)
	late.expectPublish("a/b", "", 0, 0, false, false)
	later := r.clean("later")
	later.subscribe("a/#", 1)
	later.nothing()
	p.publish("a/b", "3", 0, 0, false) // MQTT-3.3.1-12
	later.expectPublish("a/b", "3", 0, 0, false, false)
	r.clean("latest").subscribe("a/#", 1)
}

func TestMQTT_3_8_4_6_QoSIsTheLowerOfPublishAndSubscription(t *testing.T) {
	r := start(t)
	p := r.clean("p")
	for sub := range packet.QoS(3) {
		s := r.clean(fmt.Sprint("s", sub))
		s.subscribe("a", sub)
		for pub := range packet.QoS(3) {
			p.publish("a", "x", pub, uint16(pub)+1, false)
			got := s.nextPublish()
			if got.QoS != min(pub, sub) {
				t.Errorf("published at %d, subscribed at %d: delivered at %d", pub, sub, got.QoS)
			}
			if pub > 0 {
				p.next()
			}
			if pub == 2 {
				p.write([]byte{0x62, 2, 0, 3})
				p.next()
			}
			if got.QoS == 2 {
				s.expectBytes(packet.AppendAck(nil, packet.TypePubrel, got.ID))
				s.write(packet.AppendAck(nil, packet.TypePubcomp, got.ID))
			}
		}
		s.close()
	}
}

func TestMQTT_3_3_5_1_OverlappingSubscriptionsDeliverOnceAtTheHighestQoS(t *testing.T) {
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprint("clean ", clean), func(t *testing.T) {
			r := start(t)
			s := r.dial()
			s.connect(&packet.Connect{ClientID: "s", CleanStart: clean})
			s.expect("20 02 00 00")
			s.subscribe("a/b", 0)
			s.subscribe("a/#", 1)
			s.subscribe("+/b", 0)
			r.clean("p").publish("a/b", "x", 1, 1, false)
			s.expectPublish("a/b", "x", 1, 1, false, false)
			s.nothing()
		})
	}
}

func TestMQTT_3_8_4_3_ASecondSubscribeReplacesTheFirst(t *testing.T) {
	r := start(t)
	s := r.clean("s")
	s.subscribe("a", 1)
	s.subscribe("a", 0)
	p := r.clean("p")
	p.publish("a", "x", 1, 1, false)
	s.expectPublish("a", "x", 0, 0, false, false)
	s.nothing()
	if n := r.broker.Stats().Subscriptions; n != 1 {
		t.Errorf("%d subscriptions, want 1", n)
	}
}

func TestMQTT_3_8_4_5_EachFilterHasItsReturnCode(t *testing.T) {
	r := start(t)
	c := r.clean("c")
	c.send("82 20 00 09 | 00 01 'a' 02 | 00 0d '$share//topic' 01 | 00 01 'b' 00 | 00 03 'c/#' 01")
	c.expect("90 06 00 09 02 80 00 01")
	r.log.await(t, "subscription refused", "a shared subscription is $share/name/filter")
}

func TestSubscriptionsOfASessionAreLimited(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.MaxSubscriptions = 2 })
	c := r.clean("c")
	c.send("82 0e 00 09 | 00 01 'a' 00 | 00 01 'b' 00 | 00 01 'c' 00")
	c.expect("90 05 00 09 00 00 80")
	c.send("82 06 00 0a | 00 01 'a' 01") // one that it has may be replaced
	c.expect("90 03 00 0a 01")
}

func TestMQTT_3_10_4_UnsubscribeEndsASubscription(t *testing.T) {
	r := start(t)
	c := r.clean("c")
	c.subscribe("a", 0)
	c.subscribe("a/#", 0)
	c.send("a2 09 00 01 | 00 01 'a' | 00 02 'zz'") // MQTT-3.10.4-5: one that does not exist is answered too
	c.expect("b0 02 00 01")
	p := r.clean("p")
	p.publish("a/b", "x", 1, 1, false)
	c.expectPublish("a/b", "x", 0, 0, false, false)
	c.send("a2 07 00 02 | 00 03 'a/#'") // MQTT-3.10.4-1: compared character by character
	c.expect("b0 02 00 02")
	p.publish("a", "x", 1, 2, false)
	p.expect("40 02 00 01 | 40 02 00 02")
	c.nothing()
	if n := r.broker.Stats().Subscriptions; n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
}

func TestMQTT_4_3_3_ARepeatedQoS2PublishIsNotPublishedAgain(t *testing.T) {
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprint("clean ", clean), func(t *testing.T) {
			r := start(t)
			s := r.clean("s")
			s.subscribe("a", 0)
			p := r.dial()
			p.connect(&packet.Connect{ClientID: "p", CleanStart: clean})
			p.expect("20 02 00 00")
			p.publish("a", "x", 2, 5, false)
			p.write(publishBytes("a", "x", 2, 5, false, true))
			p.expect("50 02 00 05 | 50 02 00 05")
			p.send("62 02 00 05")
			p.expect("70 02 00 05")
			p.publish("a", "y", 2, 5, false)
			p.expect("50 02 00 05")
			s.expectPublish("a", "x", 0, 0, false, false)
			s.expectPublish("a", "y", 0, 0, false, false)
			s.nothing()
		})
	}
}

func TestTooManyUnreleasedQoS2MessagesEndTheConnection(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.MaxUnacknowledged = 3 })
	c := r.clean("c")
	for id := range uint16(3) {
		c.publish("a", "x", 2, id+1, false)
		c.checkAck(c.next(), packet.TypePubrec, id+1)
	}
	c.publish("a", "x", 2, 4, false)
	c.closed()
}

func TestMQTT_4_7_2_1_WildcardsAtTheFirstLevelDoNotMatchDollarTopics(t *testing.T) {
	r := start(t)
	c := r.clean("c")
	c.subscribe("#", 0)
	c.subscribe("+/broker", 0)
	r.broker.Publish(&gateway.Record{Body: &gateway.Message{Topic: "$SYS/broker", Payload: []byte("x"), Retain: true}}, nil)
	c.nothing()
	late := r.clean("late")
	late.subscribe("#", 0)
	late.subscribe("+/+", 0)
	late.nothing()
	late.subscribe("$SYS/#", 0)
	late.expectPublish("$SYS/broker", "x", 0, 0, true, false)
}

func TestMQTT_4_6_0_6_MessagesOfOneTopicKeepTheirOrder(t *testing.T) {
	r := start(t)
	s := r.clean("s")
	s.subscribe("a", 2)
	p := r.clean("p")
	for i := range 300 {
		p.publish("a", fmt.Sprint(i), packet.QoS(i%2), uint16(i+1), false)
	}
	for i := range 300 {
		if got := s.nextPublish(); string(got.Payload) != fmt.Sprint(i) {
			t.Fatalf("got %s, want %d", got.Payload, i)
		}
	}
}

func TestAClientMaySendBeforeItsConnack(t *testing.T) {
	r := start(t)
	r.mem.hold()
	c := r.dial()
	c.connect(&packet.Connect{ClientID: "s"})
	c.send("82 06 00 01 | 00 01 'a' 01")
	c.publish("a", "x", 1, 2, false)
	c.send("c0 00")
	r.mem.awaitPending(t, "the subscription", hasOp[gateway.PutSubscription])
	c.silent()
	r.mem.release()
	c.expect("20 02 00 00") // MQTT-3.2.0-1: first of all
	got := map[packet.Type]int{}
	for range 4 {
		got[c.next().Type()]++
	}
	for _, typ := range []packet.Type{packet.TypeSuback, packet.TypePublish, packet.TypePuback, packet.TypePingresp} {
		if got[typ] != 1 {
			t.Errorf("%d packets of type %v came, want 1", got[typ], typ)
		}
	}
}

func TestServerPacketsFromAClientEndTheConnection(t *testing.T) {
	r := start(t)
	for _, p := range []string{"20 02 00 00", "90 03 00 01 00", "b0 02 00 01", "d0 00", "f0 00"} {
		c := r.clean("c")
		c.send(p)
		c.closed()
	}
}

// MQTT-4.6.0-6: the order holds although some of the messages wait for a commit and others need not.
func TestQoS2MessagesThatNeedNotWaitDoNotOvertakeThoseThatDo(t *testing.T) {
	r := start(t)
	s := r.clean("s")
	s.subscribe("a", 0)
	r.mem.hold()
	p := r.clean("p")
	p.publish("a", "1", 2, 1, true) // waits for its retained copy
	p.publish("a", "2", 2, 2, false)
	r.mem.awaitPending(t, "the retained copy", hasOp[gateway.PutRetained])
	p.nothing()
	s.nothing()
	r.mem.release()
	p.expect("50 02 00 01 | 50 02 00 02")
	s.expectPublish("a", "1", 0, 0, false, false)
	s.expectPublish("a", "2", 0, 0, false, false)
}

// A committed QoS 2 message is published although its sender has left before the commit.
func TestAQoS2MessageIsPublishedAfterItsSenderHasLeft(t *testing.T) {
	r := start(t)
	s := r.clean("s")
	s.subscribe("a", 0)
	p := r.persistent("p", false)
	r.mem.hold()
	p.publish("a", "x", 2, 1, false)
	r.mem.awaitPending(t, "the message", hasOp[gateway.PutInbound])
	p.close()
	r.log.await(t, "connection lost", "client=p")
	s.nothing()
	r.mem.release()
	s.expectPublish("a", "x", 0, 0, false, false)
}

func TestWithoutAuthenticatorUserNamesAreNotBelieved(t *testing.T) {
	r := start(t)
	c := r.dial()
	c.connect(&packet.Connect{ClientID: "c", CleanStart: true, Username: packet.Some("root"), Password: []byte("x")})
	c.expect("20 02 00 00")
	if list := r.broker.Clients(); list[0].User != "" {
		t.Errorf("a user %q that nobody has checked", list[0].User)
	}
	strict := r.dialTo(r.serve(localbroker.ListenerOptions{}))
	strict.connect(&packet.Connect{ClientID: "d", CleanStart: true, Username: packet.Some("root"), Password: []byte("x")})
	strict.expect("20 02 00 04")
}

// Retained messages that greet a subscriber are more than its queue would take of others.
func TestAllRetainedMessagesGreetASubscriber(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.MaxQueuedBytes = 64 << 10 })
	const n = 300
	for i := range n {
		<-r.inside("", message(fmt.Sprint("r/", i), strings.Repeat("x", 1000), 1, true))
	}
	c := r.clean("c")
	c.subscribe("r/+", 1)
	topics := map[string]bool{}
	for range n {
		topics[string(c.nextPublish().Topic)] = true
	}
	if len(topics) != n {
		t.Errorf("%d topics, want %d", len(topics), n)
	}
}

func TestABadConnectDoesNotPutItsPasswordIntoTheLog(t *testing.T) {
	r := start(t)
	c := r.dial()
	// A user name, a password, and two bytes too many.
	c.send("10 19 | 00 04 'MQTT' 04 c2 00 3c | 00 01 'c' | 00 01 'u' | 00 05 'PaSs!' | 00 00")
	c.closed()
	r.log.await(t, "broke the protocol")
	for _, leak := range []string{"PaSs!", "50 61 53 73"} {
		if strings.Contains(r.log.String(), leak) {
			t.Errorf("the log holds the password: %s", r.log)
		}
	}
}

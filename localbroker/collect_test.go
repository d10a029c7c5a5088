package localbroker_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// TestMessagesOfOneReadKeepTheirOrder: those that are committed together do not overtake, and are not overtaken by, what goes another way.
func TestMessagesOfOneReadKeepTheirOrder(t *testing.T) {
	r := start(t)
	kept := r.queue("cloud", localbroker.QueueSub{Filters: []string{"a/#"}})
	sub := r.clean("sub")
	sub.subscribe("#", 1)
	r.mem.hold()
	c := r.clean("c")
	var all []byte
	topics := []string{"a/1", "a/2", "a/3", "b/4", "a/5", "a/6"}
	for i, topic := range topics {
		qos := packet.QoS(1)
		if topic == "a/3" {
			qos = 0
		}
		all = append(all, publishBytes(topic, "x", qos, uint16(i+1)*uint16(qos), false, false)...)
		if topic == "b/4" {
			all = append(all, 0xc0, 0)
		}
	}
	c.write(all)
	for _, topic := range topics {
		if p := sub.next().(*packet.Publish); string(p.Topic) != topic {
			t.Errorf("the subscriber got %s, want %s", p.Topic, topic)
		}
	}
	c.expect("d0 00") // a ping does not wait for the store
	r.mem.release()
	c.expect("40 02 00 01  40 02 00 02  40 02 00 04  40 02 00 05  40 02 00 06")
	var got []string
	for _, d := range kept.read(5) {
		got = append(got, d.Record.Body.(*gateway.Message).Topic)
	}
	if want := []string{"a/1", "a/2", "a/3", "a/5", "a/6"}; !slices.Equal(got, want) {
		t.Errorf("the queue got %q, want %q", got, want)
	}
}

// TestMoreMessagesInOneReadThanAreCommittedAtOnce: every one is committed and answered once, with the limit on answers in between.
func TestMoreMessagesInOneReadThanAreCommittedAtOnce(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.MaxUnacknowledged = 200 })
	kept := r.queue("cloud", localbroker.QueueSub{Filters: []string{"a"}})
	c := r.clean("c")
	const n = 450
	var all []byte
	for i := range n {
		all = append(all, publishBytes("a", fmt.Sprint(i), 1, uint16(i+1), false, false)...)
	}
	c.write(all)
	for i := range n {
		c.checkAck(c.next(), packet.TypePuback, uint16(i+1))
	}
	for i, d := range kept.read(n) {
		if got := string(d.Record.Body.(*gateway.Message).Payload); got != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, got)
		}
	}
	kept.empty()
}

// TestARouteThatChangesUnderItsMessages: what was collected for subscriptions as they were goes where they lead when it is committed.
func TestARouteThatChangesUnderItsMessages(t *testing.T) {
	r := start(t)
	s := r.persistent("s", false)
	s.subscribe("a/#", 1)
	var all []byte
	const n = 100
	for i := range n {
		all = append(all, publishBytes("a/b", fmt.Sprint(i), 1, uint16(i+1), false, false)...)
	}
	c := r.clean("c")
	restless := r.clean("restless")
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		again := (&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: "z"}}}).Append(nil, packet.V311)
		for {
			select {
			case <-stop:
				return
			default:
			}
			restless.write(again)
			if _, err := restless.tryNext(); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for range 20 {
		c.write(all)
		for i := range n {
			p := s.next().(*packet.Publish)
			if string(p.Payload) != fmt.Sprint(i) {
				t.Fatalf("message %d is %s", i, p.Payload)
			}
			s.write([]byte{0x40, 2, byte(p.ID >> 8), byte(p.ID)})
		}
		for i := range n {
			c.checkAck(c.next(), packet.TypePuback, uint16(i+1))
		}
	}
	close(stop)
	<-ended
}

// TestAPingBeforeMessagesIsAnsweredAtOnce: what was ready when messages were handed to the store does not wait with them.
func TestAPingBeforeMessagesIsAnsweredAtOnce(t *testing.T) {
	for name, retain := range map[string]bool{"Together": false, "Alone": true} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			r.queue("cloud", localbroker.QueueSub{Filters: []string{"a"}})
			r.mem.hold()
			c := r.clean("c")
			c.write(append([]byte{0xc0, 0}, publishBytes("a", "x", 1, 1, retain, false)...))
			c.expect("d0 00")
			r.mem.release()
			c.expect("40 02 00 01")
		})
	}
}

// TestMessagesOfOneReadForAShortQueue: a publisher waits for a subscriber who reads, whatever one read has brought.
func TestMessagesOfOneReadForAShortQueue(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.MaxQueued = 40 })
	r.queue("cloud", localbroker.QueueSub{Filters: []string{"#"}})
	sub := r.clean("sub")
	sub.subscribe("#", 0)
	c := r.clean("c")
	const n = 100
	var all []byte
	for i := range n {
		all = append(all, publishBytes("a", fmt.Sprint(i), 1, uint16(i+1), false, false)...)
	}
	c.write(all)
	for i := range n {
		if got := string(sub.next().(*packet.Publish).Payload); got != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, got)
		}
	}
}

// TestSubscriptionsBehindMessagesOfTheSameRead: they change nothing for messages that came before them.
func TestSubscriptionsBehindMessagesOfTheSameRead(t *testing.T) {
	r := start(t)
	r.queue("cloud", localbroker.QueueSub{Filters: []string{"a"}})
	c := r.clean("c")
	subscribe := packet.Subscribe{ID: 9, Subscriptions: []packet.Subscription{{Filter: "a", QoS: 1}}}
	c.write(subscribe.Append(publishBytes("a", "early", 1, 1, false, false), packet.V311))
	c.expect("40 02 00 01  90 03 00 09 01")
	c.nothing()
	unsubscribe := packet.Unsubscribe{ID: 10, Filters: []string{"a"}}
	c.write(unsubscribe.Append(publishBytes("a", "in time", 1, 2, false, false), packet.V311))
	var got []packet.Type
	for range 3 {
		got = append(got, c.next().Type())
	}
	if !slices.Contains(got, packet.TypePublish) {
		t.Errorf("got %v, want the message too", got)
	}
}

// TestMessagesBeforeAMistakeInTheSameReadCount: what a client has sent before the packet that ends its connection was taken.
func TestMessagesBeforeAMistakeInTheSameReadCount(t *testing.T) {
	for _, tc := range []struct {
		name  string
		extra []byte
		code  packet.ReasonCode
	}{
		{"Malformed", []byte{0xc1, 0}, packet.ReasonMalformedPacket},
		{"ReceiveMaximum", (&packet.Publish{Topic: []byte("a"), QoS: 1, ID: 3}).Append(nil, packet.V5), packet.ReasonReceiveMaximumExceeded},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := start(t, func(o *localbroker.Options) { o.ReceiveMaximum = 2 })
			kept := r.queue("cloud", localbroker.QueueSub{Filters: []string{"a"}})
			c := r.lasting5("c")
			r.mem.hold()
			var all []byte
			for id := range uint16(2) {
				all = (&packet.Publish{Topic: []byte("a"), QoS: 1, ID: id + 1}).Append(all, packet.V5)
			}
			c.write(append(all, tc.extra...))
			if p, ok := c.next().(*packet.Disconnect); !ok || p.Code != tc.code {
				t.Errorf("got %+v, want the connection ended with %#x", p, tc.code)
			}
			r.mem.release()
			kept.read(2)
			kept.empty()
		})
	}
}

package localbroker_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// What MQTT 5 does with time, on fake time.

// connect5 returns a connection of MQTT 5 whose CONNACK has come, and that.
func (b *bubble) connect5(p *packet.Connect) (net.Conn, *packet.Connack) {
	b.t.Helper()
	p.Version = packet.V5
	c := b.dial()
	b.say(c, p.Append(nil, packet.V5))
	ack, ok := b.read(c).(*packet.Connack)
	if !ok || ack.Code != packet.ReasonSuccess {
		b.t.Fatalf("got %+v", ack)
	}
	return c, ack
}

// read reads one packet of MQTT 5.
func (b *bubble) read(c net.Conn) packet.Packet {
	b.t.Helper()
	head := b.hear(c, 2)
	n, shift := int(head[1]&0x7f), 7
	for last := head[1]; last >= 0x80; shift += 7 {
		last = b.hear(c, 1)[0]
		n |= int(last&0x7f) << shift
	}
	p, err := packet.Parse(packet.Frame{First: head[0], Body: b.hear(c, n)}, packet.V5)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func (b *bubble) subscribe5(c net.Conn, filter string, qos packet.QoS) {
	b.t.Helper()
	s := packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: filter, QoS: qos}}}
	b.say(c, s.Append(nil, packet.V5))
	b.read(c)
}

// message is a PUBLISH that expires.
func expiring(topic, payload string, qos packet.QoS, id uint16, seconds uint32) []byte {
	p := packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: qos, ID: id, Props: packet.Properties{MessageExpiry: packet.Some(seconds)}}
	return p.Append(nil, packet.V5)
}

// wantLeft reads a PUBLISH that has so many seconds left.
func (b *bubble) wantLeft(c net.Conn, payload string, seconds uint32) *packet.Publish {
	b.t.Helper()
	p, ok := b.read(c).(*packet.Publish)
	if !ok || string(p.Payload) != payload || p.Props.MessageExpiry != packet.Some(seconds) {
		b.t.Fatalf("got %+v, want %s with %d s left", p, payload, seconds)
	}
	return p
}

// quiet shows that nothing has come.
func (b *bubble) quiet(c net.Conn) {
	b.t.Helper()
	b.say(c, []byte{0xc0, 0})
	if p := b.read(c); p.Type() != packet.TypePingresp {
		b.t.Fatalf("got %+v, want nothing", p)
	}
}

func lasting(id string, seconds uint32) *packet.Connect {
	return &packet.Connect{ClientID: id, Props: packet.Properties{SessionExpiry: packet.Some(seconds)}}
}

func TestMQTT_4_1_0_1_MQTT_4_1_0_2_MQTT_3_1_2_23_V5SessionsExpire(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c, _ := b.connect5(lasting("s", 5))
		b.subscribe5(c, "a", 1)
		elapse(time.Hour)
		c.Close()
		elapse(4900 * time.Millisecond)
		synctest.Wait()
		if n := b.broker.Stats().Sessions; n != 1 {
			t.Errorf("%d sessions after 4.9 s, want 1", n)
		}
		elapse(200 * time.Millisecond)
		synctest.Wait()
		if st := b.broker.Stats(); st.Sessions != 0 || st.Subscriptions != 0 {
			t.Errorf("%d sessions, %d subscriptions after 5.1 s, want none", st.Sessions, st.Subscriptions)
		}
		if rec, _ := b.store.Recover(); len(rec.Sessions) != 0 {
			t.Error("the expired session is still in the store")
		}
	})
}

// After the delay, or at the end of the session if that comes first.
func TestMQTT5WillDelay(t *testing.T) {
	for _, c := range []struct{ delay, expiry, want uint32 }{{10, 100, 10}, {10, 3, 3}, {10, 0, 0}, {0, 100, 0}} {
		inBubble(t, func(t *testing.T, b *bubble) {
			watch, _ := b.connect5(&packet.Connect{ClientID: "watch", CleanStart: true})
			b.subscribe5(watch, "w", 0)
			p := lasting("c", c.expiry)
			p.Will = &packet.Will{Topic: "w", Payload: []byte("gone"), Props: packet.Properties{WillDelay: packet.Some(c.delay)}}
			conn, _ := b.connect5(p)
			start := time.Now()
			conn.Close()
			if got := b.read(watch).(*packet.Publish); string(got.Payload) != "gone" {
				t.Errorf("got %+v", got)
			}
			if took := time.Since(start); took != time.Duration(c.want)*time.Second {
				t.Errorf("delay %d, expiry %d: the will came after %v", c.delay, c.expiry, took)
			}
			synctest.Wait()
			if n := len(b.store.disk.wills); n != 0 {
				t.Errorf("%d wills are left in the store", n)
			}
			watch.Close()
		})
	}
}

// reborn runs brokers one after the other on one disk, each killed when its function returns.
func reborn(t *testing.T, lives ...func(b *bubble)) {
	synctest.Test(t, func(t *testing.T) {
		disk := newImage()
		for _, live := range lives {
			b := &bubble{t: t, store: openMemStore(disk), ln: newPipes()}
			var err error
			if b.broker, err = localbroker.New(localbroker.Options{Store: b.store}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var done sync.WaitGroup
			done.Go(func() { _ = b.broker.Run(ctx) })
			done.Go(func() { _ = b.broker.Serve(ctx, b.ln, localbroker.ListenerOptions{AllowAnonymous: true}) })
			live(b)
			synctest.Wait()
			b.store.mu.Lock()
			disk = b.store.disk.clone()
			b.store.mu.Unlock()
			b.store.stop(false)
			cancel()
			done.Wait()
		}
	})
}

// A will that waits survives a crash, and is published once.
func TestMQTT5WillDelayAcrossRestarts(t *testing.T) {
	leave := func(b *bubble, id string, delay uint32) net.Conn {
		p := lasting(id, 1000)
		p.Will = &packet.Will{Topic: "w", Payload: []byte(id), Props: packet.Properties{WillDelay: packet.Some(delay)}}
		c, _ := b.connect5(p)
		return c
	}
	var start time.Time
	expect := func(b *bubble, watch net.Conn, id string, after time.Duration) {
		b.t.Helper()
		if got := b.read(watch).(*packet.Publish); string(got.Payload) != id {
			b.t.Errorf("got the will of %s, want that of %s", got.Payload, id)
		}
		if took := time.Since(start).Round(time.Second); took != after {
			b.t.Errorf("the will of %s came after %v, want %v", id, took, after)
		}
	}
	reborn(t, func(b *bubble) {
		start = time.Now()
		leave(b, "left", 60).Close()
		leave(b, "returns", 60).Close()
		elapse(20 * time.Second)
		alive := leave(b, "connected", 60)
		go io.Copy(io.Discard, alive) // until it is closed, with the gateway
		leave(b, "overdue", 5).Close()
	}, func(b *bubble) { // down for a moment
		elapse(10 * time.Second) // overdue is published, to nobody
		watch, _ := b.connect5(&packet.Connect{ClientID: "watch", CleanStart: true})
		b.subscribe5(watch, "w", 0)
		back, _ := b.connect5(lasting("returns", 1000))
		expect(b, watch, "left", 60*time.Second)
		expect(b, watch, "connected", 80*time.Second)
		elapse(time.Hour)
		b.quiet(watch)
		back.Close()
		watch.Close()
	}, func(b *bubble) {
		if n := len(b.store.disk.wills); n != 0 {
			b.t.Errorf("%d wills are left", n)
		}
	})
}

// Through the store.
func TestMQTT_3_3_2_5_MQTT_3_3_2_6_V5MessageExpiryOfAStoredSession(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		s, _ := b.connect5(lasting("s", 1000))
		b.subscribe5(s, "a", 1)
		s.Close()
		synctest.Wait()
		p, _ := b.connect5(&packet.Connect{ClientID: "p", CleanStart: true})
		const long uint32 = 1 << 31
		for id, seconds := range []uint32{4, 10, 0, long} {
			b.say(p, expiring("a", fmt.Sprint(seconds), 1, uint16(id+1), seconds))
			b.read(p)
		}
		elapse(4 * time.Second)
		s, _ = b.connect5(lasting("s", 1000))
		sent := b.wantLeft(s, "10", 6)
		b.wantLeft(s, fmt.Sprint(long), long-4)
		b.quiet(s)
		synctest.Wait()
		if list := b.store.live.queues[1]; len(list) != 2 {
			t.Errorf("%d messages are left in the store, want the two that were sent", len(list))
		}
		if n := b.broker.Stats().Dropped; n != 2 {
			t.Errorf("%d messages were counted as dropped, want 2", n)
		}
		s.Close()
		elapse(10 * time.Second)
		s, _ = b.connect5(lasting("s", 1000)) // what was sent is sent again although it has expired: the exchange goes on
		if again := b.wantLeft(s, "10", 0); !again.Dup || again.ID != sent.ID {
			t.Errorf("got %+v", again)
		}
		s.Close()
		p.Close()
	})
}

// What came for a client that was away has never been sent, whatever DUP says after a start: it is not delivered when it has expired
// (MQTT-3.3.2-5). What may have been sent before is.
func TestMQTT5MessageExpiryAcrossRestarts(t *testing.T) {
	reborn(t, func(b *bubble) {
		p, _ := b.connect5(&packet.Connect{ClientID: "p", CleanStart: true})
		s, _ := b.connect5(lasting("s", 1000))
		b.subscribe5(s, "a", 2)
		b.say(p, expiring("a", "sent", 1, 1, 5))
		b.read(p)
		b.wantLeft(s, "sent", 5)
		s.Close()
		elapse(time.Second)
		b.say(p, expiring("a", "short", 1, 2, 5))
		b.read(p)
		b.say(p, expiring("a", "long", 1, 3, 100))
		b.read(p)
		p.Close()
	}, func(b *bubble) {
		elapse(10 * time.Second)
		s, _ := b.connect5(lasting("s", 1000))
		b.wantLeft(s, "sent", 0)
		b.wantLeft(s, "long", 90)
		b.quiet(s)
		s.Close()
	})
}

// An interval of 0 is what another server may have sent with less than a second left: it reaches who is there.
func TestMQTT5MessageExpiryOfZeroReachesWhoIsThere(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		s, _ := b.connect5(&packet.Connect{ClientID: "s", CleanStart: true})
		b.subscribe5(s, "a", 0)
		p, _ := b.connect5(&packet.Connect{ClientID: "p", CleanStart: true})
		b.say(p, expiring("a", "x", 0, 0, 0))
		b.wantLeft(s, "x", 0)
		s.Close()
		p.Close()
	})
}

// With or without Clean Start.
func TestMQTT_3_1_3_6_MQTT_3_1_3_7_MQTT_3_2_2_16_V5AssignedClientIdentifiers(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		seen := map[string]bool{}
		for i := range 4 {
			c, ack := b.connect5(&packet.Connect{CleanStart: i%2 == 0, Props: packet.Properties{SessionExpiry: packet.Some(uint32(i))}})
			id := string(ack.Props.AssignedClientID)
			if id == "" || seen[id] {
				t.Errorf("got the identifier %q", id)
			}
			seen[id] = true
			c.Close()
		}
	})
}

// In memory: for subscribers of every version.
func TestMQTT_3_3_2_5_MQTT_3_3_2_6_V5MessageExpiryInMemory(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		narrow := &packet.Connect{ClientID: "s", CleanStart: true, Props: packet.Properties{ReceiveMaximum: packet.Some[uint16](1)}}
		s, _ := b.connect5(narrow)
		b.subscribe5(s, "a", 1)
		old := b.connect(&packet.Connect{ClientID: "old", CleanStart: true})
		b.say(old, []byte{0x82, 6, 0, 1, 0, 1, 'a', 1})
		b.hear(old, 5)
		p, _ := b.connect5(&packet.Connect{ClientID: "p", CleanStart: true})
		for id, payload := range []string{"first", "short", "long"} {
			b.say(p, expiring("a", payload, 1, uint16(id+1), []uint32{100, 3, 100}[id]))
			b.read(p)
		}
		b.hear(old, 3*7+len("first")+len("short")+len("long")) // 3.1.1 is not told, and was in time
		b.wantLeft(s, "first", 100)
		elapse(7500 * time.Millisecond)
		b.say(s, []byte{0x40, 2, 0, 1})
		b.wantLeft(s, "long", 93)
		old.Close()
		s.Close()
		p.Close()
	})
}

func TestMQTT5MessageExpiryOfRetainedMessages(t *testing.T) {
	reborn(t, func(b *bubble) {
		p, _ := b.connect5(&packet.Connect{ClientID: "p", CleanStart: true})
		for id, topic := range []string{"a/short", "a/long"} {
			m := packet.Publish{Topic: []byte(topic), Payload: []byte(topic), QoS: 1, ID: uint16(id + 1), Retain: true}
			m.Props.MessageExpiry = packet.Some([]uint32{10, 1000}[id])
			b.say(p, m.Append(nil, packet.V5))
			b.read(p)
		}
		elapse(4 * time.Second)
		s, _ := b.connect5(&packet.Connect{ClientID: "s", CleanStart: true})
		b.subscribe5(s, "a/short", 0)
		b.wantLeft(s, "a/short", 6)
		s.Close()
		p.Close()
	}, func(b *bubble) {
		elapse(6 * time.Second)
		s, _ := b.connect5(lasting("s", 1000))
		b.subscribe5(s, "a/short", 0)
		b.quiet(s)
		b.say(s, (&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: "a/long", QoS: 1}}}).Append(nil, packet.V5))
		for {
			m, ok := b.read(s).(*packet.Publish) // beside SUBACK
			if ok && m.Props.MessageExpiry == packet.Some[uint32](990) {
				break
			}
			if ok {
				b.t.Fatalf("got %+v, want 990 s left", m)
			}
		}
		elapse(2 * time.Minute)
		synctest.Wait()
		if n, kept := b.broker.Stats().Retained, len(b.store.disk.retained); n != 1 || kept != 1 {
			b.t.Errorf("%d retained messages, %d in the store, want 1 and 1", n, kept)
		}
		s.Close()
	})
}

// With the keep alive that the broker has set, and with a reason.
func TestMQTT_3_1_2_22_V5KeepAlive(t *testing.T) {
	for _, c := range []struct{ asked, limit, want uint16 }{{1, 0, 1}, {43691, 0, 43691}, {65535, 0, 65535}, {0, 30, 30}, {40000, 32000, 32000}} {
		inBubble(t, func(t *testing.T, b *bubble) {
			conn, ack := b.connect5(&packet.Connect{ClientID: "c", CleanStart: true, KeepAlive: c.asked})
			if got := ack.Props.ServerKeepAlive.Or(c.asked); got != c.want {
				t.Errorf("keep alive %d, told %d, want %d", c.asked, got, c.want)
			}
			start := time.Now()
			got, ok := b.read(conn).(*packet.Disconnect)
			if !ok || got.Code != packet.ReasonKeepAliveTimeout || len(got.Props.ReasonString) == 0 {
				t.Errorf("got %+v", got)
			}
			if took, want := time.Since(start), time.Duration(c.want)*1500*time.Millisecond; took != want {
				t.Errorf("keep alive %d: after %v, want %v", c.asked, took, want)
			}
			conn.Close()
		}, func(o *localbroker.Options) { o.MaxKeepAlive = c.limit })
	}
}

// A client that takes nothing any more does not keep the one that takes over from it waiting for long.
func TestMQTT5TakeOverFromAStalledConnection(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		stalled, _ := b.connect5(&packet.Connect{ClientID: "c", CleanStart: true})
		b.subscribe5(stalled, "a", 0)
		p, _ := b.connect5(&packet.Connect{ClientID: "p", CleanStart: true})
		b.say(p, expiring("a", "x", 0, 0, 100)) // a pipe has no buffer: the writer stands still
		synctest.Wait()
		start := time.Now()
		c, _ := b.connect5(&packet.Connect{ClientID: "c", CleanStart: true})
		if took := time.Since(start); took > time.Second {
			t.Errorf("taking over took %v", took)
		}
		b.quiet(c)
		for _, conn := range []net.Conn{stalled, p, c} {
			conn.Close()
		}
	})
}

// A client that has had no CONNACK yet gets no DISCONNECT.
func TestMQTT_3_14_0_1_V5NoDisconnectBeforeConnack(t *testing.T) {
	r := start(t)
	r.mem.hold()
	c := r.dial()
	c.connect(lastingV5("c"))
	r.mem.awaitPending(t, "the session", hasOp[gateway.PutSession])
	next := r.dial()
	next.connect(lastingV5("c"))
	c.closed()
	r.mem.release()
	next.expectBytes(notation("SESSION", "c"))
}

func lastingV5(id string) *packet.Connect {
	p := lasting(id, 1000)
	p.Version = packet.V5
	return p
}

// The broker says goodbye when it stops.
func TestMQTT5Shutdown(t *testing.T) {
	r := start(t)
	c := r.dial()
	c.connect(&packet.Connect{Version: packet.V5, ClientID: "c", CleanStart: true, Props: packet.Properties{RequestProblemInfo: packet.Some[byte](0)}})
	c.expectBytes(notation("CONNACK", "c"))
	r.stop()
	c.expect("e0 02 8b 00")
	c.closed()
}

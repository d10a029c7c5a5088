package localbroker_test

import (
	"bytes"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// The tests of this file are clients that mean no good, or know no better. In each, what the broker holds stays within a bound that the test
// states, the log says in few words what happens, and a client that keeps the rules notices nothing.

// heap returns the bytes that are in use.
func heap() uint64 {
	var m runtime.MemStats
	for range 2 { // the second one takes what pools had kept
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// bounded fails the test when the heap has grown by more than a bound since before.
func bounded(t *testing.T, before, bound uint64) {
	t.Helper()
	grown := int64(heap()) - int64(before)
	t.Logf("the heap has grown by %d KiB, at most %d are allowed", grown>>10, bound>>10)
	if grown > int64(bound) {
		t.Errorf("the heap has grown by %d bytes, want at most %d", grown, bound)
	}
}

// lines counts the lines of the log that hold words.
func (l *logBuffer) lines(words string) (n int) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, words) {
			n++
		}
	}
	return n
}

// forget empties the log, which takes memory too.
func (l *logBuffer) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = bytes.Buffer{}
}

// unaffected sees that two clients which keep the rules are served.
func (r *rig) unaffected() {
	r.t.Helper()
	s, p := r.clean("good-s"), r.clean("good-p")
	s.subscribe("good", 1)
	for i := range 20 {
		p.publish("good", fmt.Sprint(i), 1, uint16(i+1), false)
		p.checkAck(p.next(), packet.TypePuback, uint16(i+1))
		if got := s.nextPublish(); string(got.Payload) != fmt.Sprint(i) {
			r.t.Fatalf("got %q, want %d", got.Payload, i)
		}
	}
	s.send("e0 00")
	p.send("e0 00")
}

// Connections that send a CONNECT byte by byte, as many as there may be, keep others out for the connect timeout only.
func TestHostileSlowConnectsEndWithTheConnectTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		good := b.connect(&packet.Connect{ClientID: "good", CleanStart: true})
		connect := (&packet.Connect{Version: packet.V311, ClientID: strings.Repeat("x", 1000)}).Append(nil, packet.V311)
		var slow sync.WaitGroup
		for range 49 {
			c := b.dial()
			slow.Go(func() {
				for i := range connect {
					if _, err := c.Write(connect[i : i+1]); err != nil {
						return
					}
					elapse(time.Second)
				}
			})
		}
		elapse(9 * time.Second)
		if n := b.broker.Stats().Connections; n != 50 {
			t.Errorf("%d connections, want 50", n)
		}
		if _, err := b.dial().Read(make([]byte, 1)); err == nil {
			t.Error("a connection beyond the limit was answered")
		}
		b.say(good, []byte{0xc0, 0})
		b.hear(good, 2)
		slow.Wait()
		synctest.Wait()
		if n := b.broker.Stats().Connections; n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
		good.Close()
	}, func(o *localbroker.Options) { o.MaxConnections, o.MaxPerAddress = 50, 50 })
}

// Ten thousand subscriptions, in one SUBSCRIBE and one by one: those within the limit are granted, the others refused, in one line of the log
// for each packet.
func TestHostileTenThousandSubscriptions(t *testing.T) {
	r := start(t)
	before := heap()
	c := r.clean("c")
	const n = 10_000
	s := packet.Subscribe{ID: 7}
	for i := range n {
		s.Subscriptions = append(s.Subscriptions, packet.Subscription{Filter: fmt.Sprintf("f/%d/+", i), QoS: 1})
	}
	c.write(s.Append(nil, packet.V311))
	ack := c.next().(*packet.Suback)
	granted := 0
	for _, code := range ack.Codes {
		if !code.Failed() {
			granted++
		}
	}
	if len(ack.Codes) != n || granted != 1000 {
		t.Errorf("%d of %d subscriptions were granted, want 1000 of %d", granted, len(ack.Codes), n)
	}
	if n := r.log.lines("subscription refused"); n != 1 {
		t.Errorf("the log has %d lines about them, want 1:\n%.1000s", n, r.log.String())
	}
	bounded(t, before, 4<<20)
	r.unaffected()
	c.close()
	eventually(t, "the subscriptions to be gone", func() bool { return r.broker.Stats().Subscriptions == 0 })
	bounded(t, before, 1<<20)
}

// A session that may have so many works as well, and leaves nothing.
func TestHostileTenThousandSubscriptionsOneByOne(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.MaxSubscriptions = 10_000 })
	before := heap()
	c := r.persistent("c", false)
	for i := range 10_000 {
		c.subscribe(fmt.Sprintf("f/%d/#", i), 1)
	}
	if n := r.broker.Stats().Subscriptions; n != 10_000 {
		t.Errorf("%d subscriptions, want 10000", n)
	}
	r.clean("p").publish("f/9999", "x", 1, 1, false)
	c.expectPublish("f/9999", "x", 1, 1, false, false)
	bounded(t, before, 24<<20) // with what the reference store keeps
	c.close()
	r.clean("c").nothing() // ends the session
	if n := r.broker.Stats().Subscriptions; n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
}

// What a client can bring about with each packet has a line in the log once a minute, not each time.
func TestHostileFloodOfRefusals(t *testing.T) {
	r := start(t)
	c := r.dial()
	c.version = packet.V5
	c.connect(&packet.Connect{Version: packet.V5, ClientID: "c", CleanStart: true})
	c.next()
	p := packet.Publish{Topic: []byte("$SYS/mine"), Payload: []byte("x"), QoS: 1, ID: 1}
	s := packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: strings.Repeat("a/", 200)}}}
	both := s.Append(p.Append(nil, packet.V5), packet.V5)
	for range 2000 {
		c.write(both)
		if ack := c.next().(*packet.Ack); ack.Code != packet.ReasonNotAuthorized {
			t.Fatalf("got %v", ack.Code)
		}
		if ack := c.next().(*packet.Suback); !ack.Codes[0].Failed() {
			t.Fatalf("got %v", ack.Codes)
		}
	}
	if m, s := r.log.lines("message refused"), r.log.lines("subscription refused"); m != 1 || s != 1 {
		t.Errorf("the log has %d and %d lines about it, want 1 and 1", m, s)
	}
	r.unaffected()
}

// Topics of 64 KB work, and are not remembered for their own sake, however many there are.
func TestHostileTopicsOf64KB(t *testing.T) {
	r := start(t)
	before := heap()
	s, p := r.clean("s"), r.clean("p")
	s.subscribe("#", 0)
	topic := strings.Repeat("t", 65_531)
	for i := range 1500 {
		name := fmt.Sprintf("%s%04d", topic, i)
		p.publish(name, "x", 0, 0, false)
		if got := s.next().(*packet.Publish); string(got.Topic) != name {
			t.Fatal("the topic came through changed")
		}
	}
	bounded(t, before, 20<<20) // what is remembered of topics may take 16 MB in all
	r.unaffected()
}

// A topic for each message: what is remembered of topics is bounded.
func TestHostileATopicForEachMessage(t *testing.T) {
	r := start(t)
	before := heap()
	s, p := r.clean("s"), r.clean("p")
	s.subscribe("+/+/last", 1)
	const n = 100_000
	var b []byte
	for i := range n {
		b = append(b, publishBytes(fmt.Sprintf("%s/%d/x", strings.Repeat("level", 20), i), "", 0, 0, false, false)...)
		if len(b) > 32<<10 || i == n-1 {
			p.write(b)
			b = b[:0]
		}
	}
	p.publish("a/b/last", "x", 1, 1, false)
	s.expectPublish("a/b/last", "x", 1, 1, false, false)
	b = nil
	bounded(t, before, 20<<20)
	r.unaffected()
}

// Filters and topics of as many levels as there may be, with wildcards in all combinations: eight levels for each subscription of a session are
// granted, which is enough for those who mean well.
func TestHostileDeepWildcards(t *testing.T) {
	r := start(t)
	before := heap()
	c := r.clean("c")
	s := packet.Subscribe{ID: 1}
	levels := make([]string, 200)
	for i := range 1000 {
		for l := range levels {
			levels[l] = "a"
			if l < 10 && i>>l&1 > 0 || l > 190 {
				levels[l] = "+"
			}
		}
		if i%2 == 0 {
			levels[199] = "#"
		}
		s.Subscriptions = append(s.Subscriptions, packet.Subscription{Filter: strings.Join(levels, "/")})
	}
	c.write(s.Append(nil, packet.V311))
	granted := 0
	for _, code := range c.next().(*packet.Suback).Codes {
		if !code.Failed() {
			granted++
		}
	}
	if granted != 40 {
		t.Errorf("%d filters of 200 levels were granted, want 40", granted)
	}
	c.send("82 0d 00 01 | 00 08 '+/+/+/+#' 00")
	c.closed()
	c = r.clean("c")
	c.write(s.Append(nil, packet.V311))
	c.next()
	p := r.clean("p")
	for i := range 200 {
		p.publish(strings.Repeat("a/", 199)+fmt.Sprint(i), "x", 0, 0, false)
		if got := c.next().(*packet.Publish); string(got.Payload) != "x" {
			t.Fatalf("got %v", got)
		}
	}
	p.publish(strings.Repeat("/", 200), "x", 0, 0, false) // one level too many
	p.closed()
	r.log.await(t, "client=p", "more than 200 levels")
	bounded(t, before, 6<<20)
	r.unaffected()
}

// Many connects with one client identifier, from many sides, cost what one costs.
func TestHostileReconnectStorm(t *testing.T) {
	r := start(t)
	watch := r.clean("watch")
	watch.subscribe("w", 0)
	before, goroutines := heap(), runtime.NumGoroutine()
	var wg sync.WaitGroup
	for side := range 8 {
		wg.Go(func() {
			for i := range 100 {
				c, err := net.Dial("tcp", r.addr)
				if err != nil {
					continue
				}
				p := packet.Connect{Version: packet.V311, ClientID: "one", CleanStart: side%2 == 0}
				_, _ = c.Write(p.Append(nil, p.Version))
				if i%3 > 0 { // some do not even wait for the answer
					_, _ = c.Read(make([]byte, 4))
				}
				c.Close()
			}
		})
	}
	wg.Wait()
	eventually(t, "one connection", func() bool { return r.broker.Stats().Connections == 1 })
	eventually(t, "its goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines+1 })
	watch.nothing()
	r.unaffected()
	r.log.forget()
	bounded(t, before, 2<<20)
}

// Clients that vanish without a word, all with a will: they are gone after one and a half times their keep alive, and each will comes once.
func TestHostileHalfOpenConnectionsAndTheirWills(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		watch := b.connect(&packet.Connect{ClientID: "watch", CleanStart: true})
		b.say(watch, []byte{0x82, 6, 0, 1, 0, 1, 'w', 0})
		b.hear(watch, 5)
		const n = 300
		for i := range n {
			p := packet.Connect{ClientID: fmt.Sprint("c", i), CleanStart: i%2 == 0, KeepAlive: 10}
			p.Will = &packet.Will{Topic: "w", Payload: []byte{byte(i >> 8), byte(i)}, QoS: packet.QoS(i % 3)}
			b.connect(&p)
		}
		elapse(14 * time.Second)
		if got := b.broker.Stats().Connections; got != n+1 {
			t.Errorf("%d connections, want %d", got, n+1)
		}
		seen := map[string]int{}
		for range n {
			got := b.hear(watch, 7)
			seen[string(got[5:])]++
		}
		if len(seen) != n {
			t.Errorf("%d wills came, want %d", len(seen), n)
		}
		synctest.Wait()
		if got := b.broker.Stats().Connections; got != 1 {
			t.Errorf("%d connections, want 1", got)
		}
		watch.Close()
	})
}

// Retained messages without end: so many as the limits allow are kept, the log says it now and then.
func TestHostileRetainedFlood(t *testing.T) {
	r := start(t)
	before := heap()
	p := r.clean("p")
	const n = 30_000
	payload := strings.Repeat("x", 1000)
	var b []byte
	for i := range n {
		b = append(b, publishBytes(fmt.Sprint("r/", i), payload, 0, 0, true, false)...)
		if len(b) > 32<<10 || i == n-1 {
			p.write(b)
			b = b[:0]
		}
	}
	p.nothing()
	if got := r.broker.Stats().Retained; got != 10_000 {
		t.Errorf("%d messages are retained, want 10000", got)
	}
	if got := r.broker.RefusedRetained(); got != n-10_000 {
		t.Errorf("%d were refused, want %d", got, n-10_000)
	}
	if n := r.log.lines("not retained"); n != 1 {
		t.Errorf("the log has %d lines about it, want 1", n)
	}
	b = nil
	bounded(t, before, 40<<20) // with what the reference store keeps of them
	r.unaffected()
}

// One SUBSCRIBE with filters that all match all retained messages does not make as many copies of them.
func TestHostileReplayOfEverythingManyTimes(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.MaxQueued = 5000 })
	p := r.clean("p")
	deep := strings.Repeat("l/", 60)
	for i := range 1000 {
		p.publish(deep+fmt.Sprint(i), "x", 1, uint16(i+1), true)
		p.checkAck(p.next(), packet.TypePuback, uint16(i+1))
	}
	r.mem.hold() // so that all there is stays in memory
	before := heap()
	c := r.dial()
	c.connect(&packet.Connect{ClientID: "c"})
	s := packet.Subscribe{ID: 1}
	for i := range 60 {
		s.Subscriptions = append(s.Subscriptions, packet.Subscription{Filter: strings.Repeat("+/", i) + "#", QoS: 1})
	}
	c.write(s.Append(nil, packet.V311))
	for range 200 { // and again, for a few bytes each: not before the first are committed
		c.send("82 06 00 02 | 00 01 '#' 01")
	}
	eventually(t, "the subscriptions", func() bool { return r.broker.Stats().Subscriptions == 60 })
	for range 50 {
		r.clean("other").nothing()
	}
	bounded(t, before, 8<<20)
	r.log.await(t, "client=c", "match more retained messages than may wait")
	r.mem.release()
	c.expect("20 02 00 00")
	r.unaffected()
}

// Subscriptions that come and go make the broker match anew all the time; those who publish and subscribe notice nothing but time.
func TestHostileSubscriptionChurn(t *testing.T) {
	r := start(t)
	s, p := r.persistent("s", false), r.clean("p")
	s.subscribe("load/#", 1)
	churn, stop := r.clean("churn"), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := uint16(1); ; i = i%1000 + 1 {
			filter := fmt.Sprintf("load/%d/+", i)
			sub := packet.Subscribe{ID: i, Subscriptions: []packet.Subscription{{Filter: filter}}}
			b := sub.Append(nil, packet.V311)
			b = (&packet.Unsubscribe{ID: i, Filters: []string{filter}}).Append(b, packet.V311)
			churn.write(b)
			churn.expectBytes([]byte{0x90, 3, byte(i >> 8), byte(i), 0, 0xb0, 2, byte(i >> 8), byte(i)})
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for i := range 2000 {
		p.publish(fmt.Sprint("load/", i%50), fmt.Sprint(i), 1, uint16(i+1), false)
		p.checkAck(p.next(), packet.TypePuback, uint16(i+1))
		if got := s.nextPublish(); string(got.Payload) != fmt.Sprint(i) {
			t.Fatalf("got %s, want %d", got.Payload, i)
		}
	}
	close(stop)
	wg.Wait()
	if st := r.broker.Stats(); st.Subscriptions != 1 || st.Dropped != 0 {
		t.Errorf("%d subscriptions, %d dropped, want 1 and none", st.Subscriptions, st.Dropped)
	}
}

// Messages of 1 MB to fifty readers that have stopped: each queue has its limit, and the messages are shared.
func TestHostileLargeMessagesToStalledReaders(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.StallPatience = time.Millisecond })
	before := heap()
	for i := range 50 {
		r.stalledSubscriber(fmt.Sprint("slow", i), "big", 1)
	}
	good := r.clean("good")
	good.subscribe("big", 1)
	p := r.clean("p")
	payload := strings.Repeat("x", 1<<20-20)
	for i := range 40 {
		p.publish("big", payload, 1, uint16(i+1), false)
		p.checkAck(p.next(), packet.TypePuback, uint16(i+1))
		if got := good.nextPublish(); len(got.Payload) != len(payload) {
			t.Fatalf("got %d bytes", len(got.Payload))
		}
	}
	// What the queues share, 8 MB, and for each reader what is being written to it.
	bounded(t, before, (8+16+50*2)<<20)
	if st := r.broker.Stats(); st.Dropped != 50*(40-8) && st.Dropped < 50*30 {
		t.Errorf("%d messages were dropped, want about %d", st.Dropped, 50*(40-8))
	}
	r.unaffected()
}

// Packets that never end: what has come of them is held, no more, and it is given back.
func TestHostileUnfinishedPackets(t *testing.T) {
	r := start(t)
	before := heap()
	const n = 20
	conns := make([]*raw, n)
	part := append([]byte{0x30, 0xf0, 0xff, 0x3f, 0, 1, 'a'}, make([]byte, 300<<10)...)
	for i := range conns {
		conns[i] = r.clean(fmt.Sprint("c", i))
		conns[i].write(part)
	}
	eventually(t, "the bytes to be read", func() bool { return r.broker.Stats().BytesIn > uint64(n*len(part)) })
	bounded(t, before, n*(512<<10+64<<10))
	for _, c := range conns {
		c.close()
	}
	eventually(t, "the end of the connections", func() bool { return r.broker.Stats().Connections == 0 })
	bounded(t, before, 2<<20)
	r.unaffected()
}

// A client that publishes to itself and never reads is not read on, and hurts nobody.
func TestHostileClientThatFloodsItself(t *testing.T) {
	r := start(t)
	before := heap()
	c := r.stalledSubscriber("c", "a", 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = c.c.SetWriteDeadline(time.Now().Add(patience))
		b := publishBytes("a", strings.Repeat("x", 10_000), 1, 1, false, false)
		for range 5000 {
			if _, err := c.c.Write(b); err != nil {
				return // closed by the test
			}
		}
	})
	eventually(t, "messages to be dropped, or no more to be read", func() bool { return r.broker.Stats().Dropped > 100 })
	r.unaffected()
	bounded(t, before, 24<<20)
	c.close()
	wg.Wait()
}

// hostileWill is as large as a CONNECT allows.
var hostileWill = &packet.Will{Topic: "w", Payload: make([]byte, 15<<10), QoS: 1, Retain: true}

// Wills without end, each retained on the same topic, by a client that connects and drops.
func TestHostileWillFlood(t *testing.T) {
	r := start(t)
	before := heap()
	for i := range 500 {
		c := r.dial()
		c.connect(&packet.Connect{ClientID: fmt.Sprint("c", i), CleanStart: true, Will: hostileWill})
		c.expect("20 02 00 00")
		c.close()
	}
	eventually(t, "the end of the connections", func() bool { return r.broker.Stats().Connections == 0 })
	if n := r.broker.Stats().Retained; n != 1 {
		t.Errorf("%d messages are retained, want 1", n)
	}
	r.log.forget()
	bounded(t, before, 2<<20)
	r.unaffected()
}

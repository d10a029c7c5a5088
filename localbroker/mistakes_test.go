package localbroker_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// The tests of this file are the ways in which brokers are known to go wrong, numbered as in our notes. Those that concern crashes are in
// the suite over all stores, those that concern time on fake time.

// bigPayload fills a socket's buffers quickly.
var bigPayload = strings.Repeat("x", 64<<10)

// stalledSubscriber subscribes and never reads again. The socket's buffers are small, so that it stalls soon.
func (r *rig) stalledSubscriber(id, filter string, qos packet.QoS) *raw {
	r.t.Helper()
	s := r.dial()
	if err := s.c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		r.t.Fatal(err)
	}
	s.connect(&packet.Connect{ClientID: id, CleanStart: true})
	s.expect("20 02 00 00")
	s.subscribe(filter, qos)
	return s
}

// Mistake 1: a stalled QoS 1 subscriber freezes every publisher to its topics.
func TestMistake01AStalledSubscriberHoldsUpNobody(t *testing.T) {
	for _, qos := range []packet.QoS{0, 1} {
		t.Run(fmt.Sprint("QoS", qos), func(t *testing.T) {
			r := start(t, func(o *localbroker.Options) { o.MaxQueuedBytes, o.StallPatience = 1<<20, time.Millisecond })
			r.stalledSubscriber("stalled", "a", qos)
			other := r.clean("other")
			other.subscribe("a", 0)
			p := r.clean("p")
			for i := range 200 { // 12 MB, far beyond socket buffers and the queue
				p.publish("a", bigPayload, 1, uint16(i+1), false)
				p.checkAck(p.next(), packet.TypePuback, uint16(i+1))
				other.next()
			}
			if st := r.broker.Stats(); st.Dropped == 0 {
				t.Error("nothing was counted as dropped")
			}
		})
	}
}

// Mistake 1, seen from inside the process: the engine never waits.
func TestMistake01PublishFromInsideNeverWaits(t *testing.T) {
	r := start(t)
	r.stalledSubscriber("stalled", "a", 1)
	for range 200 {
		r.broker.Publish(&gateway.Record{Body: &gateway.Message{Topic: "a", Payload: []byte(bigPayload), QoS: 1}}, nil)
	}
}

// Mistake 2: acknowledged messages are thrown away when a reader is slower than the publishers. A clean session has bounded memory; its
// publishers are held back instead while it makes progress.
func TestMistake02ASlowReaderThatMakesProgressLosesNothing(t *testing.T) {
	for _, qos := range []packet.QoS{0, 1, 2} {
		t.Run(fmt.Sprint("QoS", qos), func(t *testing.T) {
			r := start(t, func(o *localbroker.Options) { o.MaxQueued, o.StallPatience = 4000, patience })
			s := r.clean("s")
			s.subscribe("load/#", qos)
			const publishers, each = 20, 1000
			for i := range publishers {
				go r.publishWindowed(fmt.Sprint("load/", i), qos, each)
			}
			next := map[string]int{}
			for range publishers * each {
				p := s.nextPublish()
				if want := strconv.Itoa(next[string(p.Topic)]); string(p.Payload) != want {
					t.Fatalf("%s: got %s, want %s", p.Topic, p.Payload, want)
				}
				next[string(p.Topic)]++
			}
			if st := r.broker.Stats(); st.Dropped != 0 {
				t.Errorf("%d messages were dropped", st.Dropped)
			}
		})
	}
}

// publishWindowed publishes numbered messages with a window of 100.
func (r *rig) publishWindowed(topic string, qos packet.QoS, n int) {
	p := r.clean(topic)
	credit := make(chan struct{}, 100)
	var wg sync.WaitGroup
	if qos > 0 {
		wg.Go(func() {
			for done := 0; done < n; {
				m, err := p.tryNext()
				if err != nil {
					return
				}
				if m.Type() == packet.TypePubrec {
					_, _ = p.c.Write(packet.AppendAck(nil, packet.TypePubrel, m.(*packet.Ack).ID))
					continue
				}
				done++
				<-credit
			}
		})
	}
	for i := range n {
		if qos > 0 {
			credit <- struct{}{}
		}
		if _, err := p.c.Write(publishBytes(topic, strconv.Itoa(i), qos, uint16(i+1), false, false)); err != nil {
			break
		}
	}
	wg.Wait()
}

// nextPublish returns the next PUBLISH and confirms it, answering PUBREL in between.
func (c *raw) nextPublish() *packet.Publish {
	c.t.Helper()
	for {
		switch p := c.next().(type) {
		case *packet.Ack:
			c.write(packet.AppendAck(nil, packet.TypePubcomp, p.ID))
		case *packet.Publish:
			if p.QoS == 1 {
				c.write(packet.AppendAck(nil, packet.TypePuback, p.ID))
			} else if p.QoS == 2 {
				c.write(packet.AppendAck(nil, packet.TypePubrec, p.ID))
			}
			return p
		}
	}
}

// Mistake 2: what a limit drops is counted, QoS 0 goes before QoS 1.
func TestMistake02WhatALimitDropsIsCounted(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.MaxQueued, o.MaxInflight = 10, 1 })
	s := r.clean("s")
	s.subscribe("a", 1)
	publish := func(payload string, qos gateway.QoS) {
		r.broker.Publish(&gateway.Record{Body: &gateway.Message{Topic: "a", Payload: []byte(payload), QoS: qos}}, nil)
	}
	publish("first", 1)
	s.expectPublish("a", "first", 1, 1, false, false) // fills the window: from here on messages wait
	publish("second", 1)
	for range 5 {
		publish("zero", 0)
	}
	for i := range 12 {
		publish(fmt.Sprint("one", i), 1)
	}
	publish("zero", 0)
	if st := r.broker.Stats(); st.Dropped != 5+3+1 {
		t.Errorf("%d messages were counted as dropped, want 9: five of QoS 0 for QoS 1, three of QoS 1, one of QoS 0", st.Dropped)
	}
	s.send("40 02 00 01")
	s.expectPublish("a", "second", 1, 2, false, false)
	s.send("40 02 00 02")
	for i := range 9 {
		if p := s.nextPublish(); string(p.Payload) != fmt.Sprint("one", i) {
			t.Fatalf("got %s, want one%d", p.Payload, i)
		}
	}
	s.nothing()
}

// Mistakes 3 and 4: the offline queue ends at 65,535 messages, and comes back out of order.
func TestMistake03And04TheOfflineQueueIsLongAndInOrder(t *testing.T) {
	r := start(t)
	s := r.persistent("s", false)
	s.subscribe("a", 1)
	s.close()
	r.log.await(t, "connection lost", "client=s")
	const n = 70_000
	for i := range n {
		r.broker.Publish(&gateway.Record{Body: &gateway.Message{Topic: "a", Payload: []byte(strconv.Itoa(i)), QoS: 1}}, nil)
	}
	s = r.persistent("s", true)
	seen := make(map[uint16]bool)
	for i := range n {
		p := s.nextPublish()
		if string(p.Payload) != strconv.Itoa(i) || p.Dup || p.ID == 0 {
			t.Fatalf("got %s with id %d and DUP %v, want %d", p.Payload, p.ID, p.Dup, i)
		}
		seen[p.ID] = true
	}
	if len(seen) != 65535 {
		t.Errorf("%d packet ids were used, want all 65535", len(seen))
	}
	s.nothing()
}

// Mistake 5: delivery stops for ever after twice the receive maximum.
func TestMistake05TheWindowIsGivenBackForEveryMessage(t *testing.T) {
	for _, qos := range []packet.QoS{1, 2} {
		for _, clean := range []bool{true, false} {
			t.Run(fmt.Sprintf("QoS%d clean %v", qos, clean), func(t *testing.T) {
				r := start(t, func(o *localbroker.Options) { o.MaxInflight = 3 })
				s := r.dial()
				s.connect(&packet.Connect{ClientID: "s", CleanStart: clean})
				s.expect("20 02 00 00")
				s.subscribe("a", qos)
				for i := range 50 {
					r.broker.Publish(&gateway.Record{Body: &gateway.Message{Topic: "a", Payload: []byte(strconv.Itoa(i)), QoS: 2}}, nil)
				}
				for i := range 3 {
					if p := s.next().(*packet.Publish); string(p.Payload) != strconv.Itoa(i) {
						t.Fatalf("got %s, want %d", p.Payload, i)
					}
				}
				s.nothing() // no more than the window
				from := 3
				if qos == 1 {
					s.send("40 02 00 01 | 40 02 00 02 | 40 02 00 03")
				} else {
					s.send("50 02 00 01")
					s.expect("62 02 00 01")
					s.nothing() // PUBREC gives nothing back, PUBCOMP does
					s.send("70 02 00 01")
					s.expectPublish("a", "3", 2, 4, false, false)
					s.nothing()
					s.send("50 02 00 02 | 50 02 00 03 | 50 02 00 04")
					from = 4
				}
				for i := from; i < 50; i++ {
					if p := s.nextPublish(); string(p.Payload) != strconv.Itoa(i) {
						t.Fatalf("got %s, want %d", p.Payload, i)
					}
				}
			})
		}
	}
}

// Mistake 6: one map of packet ids for both directions. A client's own packets carry the ids that our deliveries have.
func TestMistake06PacketIDsOfBothDirectionsAreApart(t *testing.T) {
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprint("clean ", clean), func(t *testing.T) {
			r := start(t)
			s := r.dial()
			s.connect(&packet.Connect{ClientID: "s", CleanStart: clean})
			s.expect("20 02 00 00")
			s.send("82 06 00 01 | 00 01 'a' 02")
			s.expect("90 03 00 01 02")
			p := r.clean("p")
			p.publish("a", "x", 2, 1, false)
			s.expectPublish("a", "x", 2, 1, false, false)
			s.send("82 06 00 01 | 00 01 'b' 01") // SUBSCRIBE with id 1
			s.expect("90 03 00 01 01")
			s.publish("c", "y", 2, 1, false) // PUBLISH with id 1
			s.expect("50 02 00 01")
			s.send("62 02 00 01")
			s.expect("70 02 00 01")
			s.publish("c", "y", 1, 1, false)
			s.expect("40 02 00 01")
			s.send("a2 05 00 01 | 00 01 'b'")
			s.expect("b0 02 00 01")
			s.send("50 02 00 01") // and our delivery 1 is still there
			s.expect("62 02 00 01")
			s.send("70 02 00 01")
			s.nothing()
		})
	}
}

// Mistake 11: the body is allocated from the claimed length before authentication.
func TestMistake11NothingIsAllocatedForAClaim(t *testing.T) {
	r := start(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 4 {
		c := r.dial()
		c.send("10 ff ff ff 7f") // CONNECT of 256 MB
		c.closed()
	}
	c := r.clean("c")
	c.send("30 fb ff 3f 00 01 'a'") // PUBLISH of the largest size allowed, as a claim
	c.send("00 01")
	d := r.clean("d")
	d.nothing()
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 512<<10 {
		t.Errorf("%d bytes were allocated", grown)
	}
	r.log.await(t, "larger than the 16384 allowed")
}

func TestMistake11APacketLargerThanAllowedEndsTheConnection(t *testing.T) {
	r := start(t)
	c := r.clean("c")
	c.send("30 80 80 40") // 1 MiB and more
	c.closed()
	r.log.await(t, "client=c", "larger than the 1048576 allowed")
}

func TestMistake11ALargePacketComesThroughInPieces(t *testing.T) {
	r := start(t)
	c := r.clean("c")
	c.subscribe("a", 0)
	big := strings.Repeat("y", 1<<20-20)
	c.publish("a", big, 0, 0, false)
	c.expectPublish("a", big, 0, 0, false, false)
}

// Mistake 11: connections in all, and from one address.
func TestMistake11ConnectionsAreLimited(t *testing.T) {
	for name, adjust := range map[string]func(*localbroker.Options){
		"in all":           func(o *localbroker.Options) { o.MaxConnections, o.MaxPerAddress = 3, 100 },
		"from one address": func(o *localbroker.Options) { o.MaxPerAddress = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, adjust)
			first := r.clean("c0")
			r.clean("c1")
			r.clean("c2")
			r.dial().closedWithoutAnswer()
			if st := r.broker.Stats(); st.Connections != 3 || st.Refused != 1 {
				t.Errorf("%d connections, %d refused, want 3 and 1", st.Connections, st.Refused)
			}
			first.close()
			eventually(t, "room for a connection", func() bool { return r.broker.Stats().Connections == 2 })
			r.clean("c3")
		})
	}
}

// closedWithoutAnswer is closed for a connection that may be reset.
func (c *raw) closedWithoutAnswer() {
	c.t.Helper()
	if b, err := io.ReadAll(c.r); len(b) > 0 {
		c.t.Fatalf("got % x (%v) before the end, want nothing", b, err)
	}
}

// Mistake 12: a will is published without a check.
func TestMistake12AWillIsCheckedLikeAPublish(t *testing.T) {
	r := start(t)
	c := r.dial()
	c.connect(&packet.Connect{ClientID: "c", CleanStart: true, Will: &packet.Will{Topic: "$SYS/x"}})
	c.expect("20 02 00 05")
	c.closed()
	c = r.dial()
	c.connect(&packet.Connect{ClientID: "c", CleanStart: true, Will: &packet.Will{Topic: "a/+"}})
	c.closed()
	r.log.await(t, "topics that begin with $ are the broker's own")
}

// Mistake 13: two CONNECTs with one client identifier are not serialised. Everybody gets in, one after the other, and one remains.
func TestMistake13ConnectsWithOneIdentifierAreSerialised(t *testing.T) {
	r := start(t)
	const n = 40
	conns := make([]*raw, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			c := r.dial()
			c.connect(&packet.Connect{ClientID: "one", CleanStart: i%2 == 0, Will: &packet.Will{Topic: "w", Payload: []byte("x")}})
			_, _ = c.tryNext() // CONNACK, or the end, if the next one came soon
			conns[i] = c
		})
	}
	wg.Wait()
	eventually(t, "one connection of all", func() bool { return r.broker.Stats().Connections == 1 })
	alive := 0
	for _, c := range conns {
		_, _ = c.c.Write([]byte{0xc0, 0})
		if p, err := c.tryNext(); err == nil && p.Type() == packet.TypePingresp {
			alive++
		}
	}
	if alive != 1 {
		t.Errorf("%d connections are alive, want 1", alive)
	}
	if list := r.broker.Clients(); len(list) != 1 || list[0].ID != "one" {
		t.Errorf("got clients %+v, want one", list)
	}
}

// Mistake 13: a second end panics.
func TestMistake13RunAndServeEndOnce(t *testing.T) {
	r := start(t)
	r.stop()
	r.stop()
	if err := r.broker.Run(t.Context()); err == nil {
		t.Error("a broker ran twice")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.broker.Serve(t.Context(), ln, localbroker.ListenerOptions{}); err == nil {
		t.Error("a stopped broker served")
	}
	done := make(chan error, 1)
	r.broker.Publish(&gateway.Record{Body: &gateway.Message{Topic: "a"}}, func(err error) { done <- err })
	if err := <-done; err == nil {
		t.Error("a stopped broker took a message")
	}
}

// A bridge of mosquitto tells its state below $SYS unless it is told not to.
func TestMosquittoBridgesMayTellTheirState(t *testing.T) {
	r := start(t)
	const state = "$SYS/broker/connection/edge.cloud/state"
	watch := r.clean("watch")
	watch.subscribe("$SYS/#", 0)
	bridge := r.dial()
	bridge.connect(&packet.Connect{ClientID: "edge.cloud", Bridge: true, Will: &packet.Will{Topic: state, Payload: []byte("0"), Retain: true}})
	bridge.expect("20 02 00 00")
	bridge.publish(state, "1", 1, 1, true)
	bridge.expect("40 02 00 01")
	watch.expectPublish(state, "1", 0, 0, false, false)
	bridge.publish("$SYS/broker/version", "x", 0, 0, false)
	bridge.closed()
	watch.expectPublish(state, "0", 0, 0, false, false)
	c := r.clean("c")
	c.publish(state, "1", 0, 0, false) // others may not
	c.closed()
}

// Mistake 14: a PUBLISH to $SYS or with a wildcard is dropped without an answer. MQTT 3.1.1 has no answer, so the connection ends.
func TestMistake14ForbiddenTopicsEndTheConnection(t *testing.T) {
	r := start(t)
	watch := r.clean("watch")
	watch.subscribe("$SYS/#", 0)
	watch.subscribe("#", 0)
	for topic, reason := range map[string]string{
		"$SYS/broker/uptime":          "topics that begin with $ are the broker's own",
		"a/+/b":                       "contains a wildcard",
		"a/#":                         "contains a wildcard",
		strings.Repeat("/", 300) + "": "more than 200 levels",
	} {
		c := r.clean("c")
		c.publish(topic, "x", 1, 1, false)
		c.closed()
		r.log.await(t, "client=c", reason)
	}
	watch.nothing()
	eventually(t, "four connections counted", func() bool { return r.broker.Stats().Malformed == 4 })
}

// Mistake 16: a packet may span reads, and a read hold several packets.
func TestMistake16PacketsAndReadsDoNotCoincide(t *testing.T) {
	r := start(t)
	connect := (&packet.Connect{Version: packet.V311, ClientID: "c", CleanStart: true}).Append(nil, packet.V311)
	all := append(connect, publishBytes("a", "x", 1, 1, false, false)...)
	all = append(all, publishBytes("a", strings.Repeat("long", 500), 2, 2, false, false)...)
	all = append(all, 0xc0, 0)
	c := r.dial()
	if err := c.c.(*net.TCPConn).SetNoDelay(true); err != nil {
		t.Fatal(err)
	}
	for i := range all {
		c.write(all[i : i+1])
	}
	c.expect("20 02 00 00 | 40 02 00 01 | 50 02 00 02 | d0 00")
	c = r.dial()
	c.write(all)
	c.expect("20 02 00 00 | 40 02 00 01 | 50 02 00 02 | d0 00")
}

// Mistake 17: bytes that follow a packet by a client library's fault are named in the log.
func TestMistake17TheLogShowsFirstBytesAndKnownCauses(t *testing.T) {
	r := start(t)
	c := r.clean("c")
	c.send("c0 00 | 00 00 'abc'") // a PINGREQ, and bytes of the buffer it was cut from
	c.expect("d0 00")
	c.closed()
	r.log.await(t, "client=c", "00 00 61 62 63", "mini programs")
	c = r.dial()
	c.send("16 03 01 02 00 01 00 01")
	c.closed()
	r.log.await(t, "TLS on a listener without TLS")
}

package localbroker_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// startAttending runs a broker that attends every connection as soon as it can.
func startAttending(t testing.TB, adjust ...func(*localbroker.Options)) *rig {
	t.Helper()
	return startOn(t, &memHost{eager: true}, adjust...)
}

// attended waits until so many connections are.
func (r *rig) attended(n int) {
	r.t.Helper()
	eventually(r.t, fmt.Sprint(n, " attended connections"), func() bool { return r.broker.Attended() == n })
}

// mixed is a publisher that goes to and fro between its attendant and a goroutine of its own: it sends one message at a time, many at once, halves of
// packets, and packets that an attendant does not handle.
func mixed(c *raw, name string, messages int, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	var unsent []byte
	for i := range messages {
		qos := packet.QoS(i % 2) // of each the order is kept
		payload := name + " " + strconv.Itoa(i) + strings.Repeat(" ", rnd.IntN(40))
		unsent = append(unsent, publishBytes("t/"+name, payload, qos, uint16(i+1)*uint16(qos), false, false)...)
		if rnd.IntN(50) == 0 {
			s := packet.Subscribe{ID: 9, Subscriptions: []packet.Subscription{{Filter: "none"}}}
			unsent = s.Append(unsent, packet.V311)
		}
		switch n := rnd.IntN(10); {
		case n < 5:
			c.write(unsent)
			unsent = nil
		case n < 7:
			half := rnd.IntN(len(unsent))
			c.write(unsent[:half])
			unsent = unsent[half:]
		}
	}
	c.write(unsent)
}

// answers reads the answers to mixed's messages and reports the first that is out of order.
func answers(c *raw, messages int) error {
	for i := 1; i < messages; i += 2 {
		p, err := c.tryNext()
		for err == nil && p.Type() == packet.TypeSuback {
			p, err = c.tryNext()
		}
		if err != nil {
			return err
		}
		if a, ok := p.(*packet.Ack); !ok || a.Kind != packet.TypePuback || a.ID != uint16(i+1) {
			return fmt.Errorf("got %v %+v, want PUBACK %d", p.Type(), p, i+1)
		}
	}
	return nil
}

// Whether a connection is attended or not, clients see no difference.
func TestOverReferenceStoreAttended(t *testing.T) {
	for _, c := range suite {
		t.Run(c.name, func(t *testing.T) { c.run(t, &memHost{eager: true}) })
	}
}

// What an attended connection brings is handled in order and once, however often it is handed to and fro.
func TestAttendedConnectionsComeAndGoAndLoseNothing(t *testing.T) {
	r := startAttending(t)
	const publishers, messages = 8, 2000
	sub := r.clean("sub")
	sub.subscribe("t/#", 1)
	var all sync.WaitGroup
	defer all.Wait()
	for i := range publishers {
		c := r.clean(fmt.Sprint("p", i))
		all.Go(func() { mixed(c, strconv.Itoa(i), messages, uint64(i)) })
		all.Go(func() {
			if err := answers(c, messages); err != nil {
				t.Errorf("publisher %d: %v", i, err)
			}
		})
	}
	var next [publishers][2]int
	for i := range next {
		next[i] = [2]int{0, 1}
	}
	for range publishers * messages {
		p := sub.next().(*packet.Publish)
		words := strings.Fields(string(p.Payload))
		from, _ := strconv.Atoi(words[0])
		n, _ := strconv.Atoi(words[1])
		if want := next[from][p.QoS]; n != want {
			t.Fatalf("publisher %d: message %d of QoS %d came, want %d", from, n, p.QoS, want)
		}
		next[from][p.QoS] += 2
		if p.QoS > 0 {
			sub.write((&packet.Ack{Kind: packet.TypePuback, ID: p.ID}).Append(nil, packet.V311))
		}
	}
	sub.nothing()
}

// A connection that brings nothing for a while takes no goroutine.
func TestQuietConnectionsAreAttended(t *testing.T) {
	r := start(t)
	const n = 50
	var clients []*raw
	for i := range n {
		c := r.clean(fmt.Sprint("c", i))
		c.subscribe("a", 0)
		clients = append(clients, c)
	}
	r.attended(n)
	if got := runtime.NumGoroutine(); got >= n {
		t.Errorf("%d goroutines for %d connections that nothing comes from", got, n)
	}
	clients[0].publish("a", "x", 0, 0, false)
	for _, c := range clients {
		c.expectPublish("a", "x", 0, 0, false, false)
	}
	for _, c := range clients {
		c.nothing()
	}
}

// A connection that brings much at once has a goroutine of its own, until it brings little.
func TestAFastConnectionIsNotAttended(t *testing.T) {
	r := start(t)
	c := r.clean("c")
	r.attended(1) // it is quiet
	var many []byte
	for range 100 {
		many = append(many, publishBytes("a", "x", 0, 0, false, false)...)
	}
	c.write(many)
	eventually(t, "a goroutine of its own", func() bool { return r.broker.Attended() == 0 })
	c.nothing()
	r.attended(1)
}

// Attended connections are ended when they have been silent for too long, and only those.
func TestKeepAliveOfAttendedConnections(t *testing.T) {
	r := startAttending(t)
	connect := func(id string, keepAlive uint16) *raw {
		c := r.dial()
		c.connect(&packet.Connect{ClientID: id, CleanStart: true, KeepAlive: keepAlive})
		c.expect("20 02 00 00")
		return c
	}
	silent, long, none, lively := connect("silent", 1), connect("long", 600), connect("none", 0), connect("lively", 2)
	r.attended(4)
	gone := make(chan struct{})
	go func() {
		silent.closed()
		close(gone)
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for over := false; !over; {
		select {
		case <-gone:
			over = true
		case <-tick.C:
		}
		lively.send("c0 00")
		lively.expect("d0 00")
	}
	r.log.await(t, "client=silent", "one and a half times the keep alive")
	long.nothing()
	none.nothing()
	lively.nothing()
}

// While a client's messages wait for the store it is not read, and what it has sent meanwhile not heard: that is no silence.
func TestAClientThatIsNotReadIsNotSilent(t *testing.T) {
	r := startAttending(t, func(o *localbroker.Options) { o.MaxUnacknowledged = 1 })
	r.queue("cloud", localbroker.QueueSub{Filters: []string{"a"}})
	c := r.dial()
	c.connect(&packet.Connect{ClientID: "c", CleanStart: true, KeepAlive: 3})
	c.expect("20 02 00 00")
	r.attended(1)
	r.mem.hold()
	c.write(slices.Concat(publishBytes("a", "1", 1, 1, false, false), publishBytes("a", "2", 1, 2, false, false)))
	<-time.After(4700 * time.Millisecond) // more than the keep alive and a half
	r.mem.await(t, "one message, and not the other", func() bool { return len(r.mem.pending) == 1 })
	r.mem.release()
	c.checkAck(c.next(), packet.TypePuback, 1)
	c.checkAck(c.next(), packet.TypePuback, 2)
	r.attended(1)
	<-time.After(100 * time.Millisecond)
	c.nothing()
}

// However an attended connection ends, it does so as any other, and its will is published or is not.
func TestAttendedConnectionsEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(t *testing.T, r *rig, c *raw)
		will bool
		log  string
	}{
		{"DISCONNECT", func(_ *testing.T, _ *rig, c *raw) { c.send("e0 00"); c.closed() }, false, "the client has disconnected"},
		{"end of file", func(_ *testing.T, _ *rig, c *raw) { c.close() }, true, "closed it without DISCONNECT"},
		{"a message and end of file", func(_ *testing.T, _ *rig, c *raw) {
			c.publish("w", "last", 0, 0, false)
			c.close()
		}, true, "closed it without DISCONNECT"},
		{"reset", func(t *testing.T, _ *rig, c *raw) {
			if err := c.c.(*net.TCPConn).SetLinger(0); err != nil {
				t.Fatal(err)
			}
			c.close()
		}, true, "reset by peer"},
		{"taken over", func(_ *testing.T, r *rig, c *raw) {
			r.clean("c")
			c.closed()
		}, true, "took over"},
		{"malformed", func(_ *testing.T, _ *rig, c *raw) { c.send("36 04 00 01 61 00"); c.closed() }, true, "client broke the protocol"},
		{"malformed behind a message", func(_ *testing.T, _ *rig, c *raw) { c.send("30 05 00 01 77 61 62 f0 00"); c.closed() }, true, "client broke the protocol"},
		{"forbidden topic", func(_ *testing.T, _ *rig, c *raw) { c.publish("$SYS/x", "", 0, 0, false); c.closed() }, true, "MQTT-4.7.2-1"},
		{"second CONNECT", func(_ *testing.T, _ *rig, c *raw) {
			c.connect(&packet.Connect{ClientID: "c", CleanStart: true})
			c.closed()
		}, true, "MQTT-3.1.0-2"},
		{"too large", func(_ *testing.T, _ *rig, c *raw) { c.send("30 ff ff ff 7f"); c.closed() }, true, "client broke the protocol"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := startAttending(t)
			watch := r.clean("watch")
			watch.subscribe("w", 0)
			c := r.dial()
			c.connect(&packet.Connect{ClientID: "c", CleanStart: true, Will: &packet.Will{Topic: "w", Payload: []byte("gone")}})
			c.expect("20 02 00 00")
			r.attended(2)
			tt.end(t, r, c)
			if strings.Contains(tt.name, "a message") {
				watch.next()
			}
			if tt.will {
				watch.expectPublish("w", "gone", 0, 0, false, false)
			}
			r.log.await(t, "client=c", tt.log)
			watch.nothing()
		})
	}
}

// A client of MQTT 5 whose attended connection is ended is told why.
func TestAnAttendedClientIsToldWhyItEnds(t *testing.T) {
	r := startAttending(t)
	connect := func() *raw {
		c := r.dial()
		c.version = packet.V5
		c.connect(&packet.Connect{ClientID: "c", CleanStart: true, Version: packet.V5})
		c.next()
		return c
	}
	c := connect()
	r.attended(1)
	again := connect()
	if d, ok := c.next().(*packet.Disconnect); !ok || d.Code != packet.ReasonSessionTakenOver {
		t.Fatalf("got %+v, want DISCONNECT with 0x8e", d)
	}
	c.closed()
	r.attended(1)
	r.stop()
	if d, ok := again.next().(*packet.Disconnect); !ok || d.Code != packet.ReasonServerShuttingDown {
		t.Fatalf("got %+v, want DISCONNECT with 0x8b", d)
	}
}

// Kill and input meet: many take over from each other while they publish.
func TestTakeOverOfAttendedConnections(t *testing.T) {
	r := startAttending(t)
	watch := r.clean("watch")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 100 {
				c, err := net.Dial("tcp", r.addr)
				if err != nil {
					t.Error(err)
					return
				}
				v := packet.V311
				if i%2 == 0 {
					v = packet.V5
				}
				p := packet.Connect{ClientID: fmt.Sprint("c", i%3), CleanStart: true, Version: v, KeepAlive: 1}
				_, _ = c.Write(p.Append(nil, v))
				_ = c.SetReadDeadline(time.Now().Add(patience))
				if _, err := c.Read(make([]byte, 100)); err == nil {
					for range i {
						_, _ = c.Write([]byte{0xc0, 0})
						_, _ = c.Read(make([]byte, 100))
					}
				}
				c.Close()
			}
		})
	}
	all.Wait()
	eventually(t, "one connection", func() bool { return r.broker.Stats().Connections == 1 })
	watch.nothing()
	r.attended(1)
}

// A publisher that has to wait, for a slow subscriber or for the store, waits in a goroutine of its own.
func TestAnAttendantDoesNotWait(t *testing.T) {
	subscriber := func(t *testing.T, queues ...string) {
		r := startAttending(t, func(o *localbroker.Options) { o.MaxQueued, o.StallPatience = 8, time.Minute })
		for _, name := range queues {
			r.queue(name, localbroker.QueueSub{Filters: []string{"a"}})
		}
		var filling sync.WaitGroup
		t.Cleanup(filling.Wait)
		sub, first, c, other := r.clean("sub"), r.clean("first"), r.clean("c"), r.clean("other")
		sub.subscribe("a", 0)
		big := publishBytes("a", strings.Repeat("x", 256<<10), 0, 0, false, false)
		filling.Go(func() {
			for range 16 { // more than the sockets take: first has to wait, until its connection ends
				if _, err := first.c.Write(big); err != nil {
					return
				}
			}
		})
		eventually(t, "publishers that wait, and others that are attended meanwhile", func() bool {
			c.publish("a", "x", 0, 0, false)
			for range 30 { // one that is only being read is not attended for a moment
				other.nothing()
				if r.broker.Attended() != 2 {
					return false
				}
			}
			return true
		})
	}
	t.Run("subscriber", func(t *testing.T) { subscriber(t) })
	t.Run("subscriber behind the store", func(t *testing.T) { subscriber(t, "cloud") })
	t.Run("store", func(t *testing.T) {
		const limit = 10
		r := startAttending(t, func(o *localbroker.Options) { o.MaxUnacknowledged = limit })
		kept := r.queue("cloud", localbroker.QueueSub{Filters: []string{"a"}})
		c, other := r.clean("c"), r.clean("other")
		r.mem.hold()
		for i := range 3 * limit {
			c.publish("a", strconv.Itoa(i), 1, uint16(i+1), false)
			other.nothing()
		}
		r.attended(1)
		r.mem.release()
		for i := range 3 * limit {
			c.checkAck(c.next(), packet.TypePuback, uint16(i+1))
		}
		for i, d := range kept.read(3 * limit) {
			if got := string(d.Record.Body.(*gateway.Message).Payload); got != strconv.Itoa(i) {
				t.Fatalf("message %d is %s", i, got)
			}
		}
		r.attended(2)
	})
}

// Packets that come byte for byte are packets.
func TestAnAttendedClientThatSendsByteForByte(t *testing.T) {
	r := startAttending(t)
	c := r.clean("c")
	c.subscribe("a", 2)
	for i := range 20 {
		all := publishBytes("a", strconv.Itoa(i), packet.QoS(i%3), uint16(i+1)*uint16(min(1, i%3)), false, false)
		for _, b := range all {
			c.write([]byte{b})
			c.write(nil)
			r.attended(1)
		}
		var answers bytes.Buffer
		for n := 1 + min(1, i%3); n > 0; n-- {
			p := c.next()
			fmt.Fprint(&answers, p.Type(), " ")
		}
		if got := answers.String(); !strings.Contains(got, "PUBLISH") {
			t.Fatalf("message %d: got %s", i, got)
		}
	}
}

// There may be more than a buffer that holds the begin of a packet has room for, and of that nothing is told.
func TestAnAttendedClientWhosePacketIsLargerThanItsBuffer(t *testing.T) {
	r := startAttending(t)
	c, other := r.clean("c"), r.clean("other")
	for i := range 10 {
		all := publishBytes("a", strings.Repeat("x", 900), 1, uint16(i+1), false, false)
		c.write(all[:200])
		other.nothing()
		other.nothing() // and so the first part has been read
		r.attended(2)
		c.write(all[200:])
		c.checkAck(c.next(), packet.TypePuback, uint16(i+1))
	}
}

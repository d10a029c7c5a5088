package localbroker_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// The tests of this file run on fake time, over connections that are pipes: a listener may be of any kind.

// pipes is a listener whose connections are pipes in memory.
type pipes struct {
	accept chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{accept: make(chan net.Conn), closed: make(chan struct{})} }

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// bubble is a broker on fake time.
type bubble struct {
	t      *testing.T
	broker *localbroker.Broker
	store  *memStore
	ln     *pipes
}

func inBubble(t *testing.T, test func(t *testing.T, b *bubble), adjust ...func(*localbroker.Options)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, store: openMemStore(newImage()), ln: newPipes()}
		opts := localbroker.Options{Store: b.store}
		for _, f := range adjust {
			f(&opts)
		}
		var err error
		if b.broker, err = localbroker.New(opts); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() { _ = b.broker.Run(ctx) })
		done.Go(func() { _ = b.broker.Serve(ctx, b.ln, localbroker.ListenerOptions{AllowAnonymous: true}) })
		test(t, b)
		cancel()
		done.Wait()
		b.store.stop(true)
	})
}

// dial returns the client's end of a new connection.
func (b *bubble) dial() net.Conn {
	client, server := net.Pipe()
	b.ln.accept <- server
	return client
}

// connect returns a connection whose CONNACK has come.
func (b *bubble) connect(p *packet.Connect) net.Conn {
	b.t.Helper()
	p.Version = packet.V311
	c := b.dial()
	b.say(c, p.Append(nil, packet.V311))
	b.hear(c, 4)
	return c
}

func (b *bubble) say(c net.Conn, data []byte) {
	b.t.Helper()
	if _, err := c.Write(data); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bubble) hear(c net.Conn, n int) []byte {
	b.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(48 * time.Hour)) // fake time would pass for ever while nothing comes
	defer c.SetReadDeadline(time.Time{})
	buf := make([]byte, n)
	for got := 0; got < n; {
		k, err := c.Read(buf[got:])
		if err != nil {
			b.t.Fatal(err)
		}
		got += k
	}
	return buf
}

// elapse lets fake time pass.
func elapse(d time.Duration) { <-time.After(d) }

// lifetime returns how long the broker keeps a connection on which nothing comes.
func lifetime(c net.Conn) time.Duration {
	start := time.Now()
	_, _ = c.Read(make([]byte, 1))
	return time.Since(start)
}

// Mistake 10: one and a half times the keep alive in 16 bits overflows, and in whole seconds cuts 1 at 1.
func TestMQTT_3_1_2_24_KeepAliveIsOneAndAHalfTimes(t *testing.T) {
	for _, seconds := range []uint16{1, 3, 60, 43690, 43691, 65535} {
		inBubble(t, func(t *testing.T, b *bubble) {
			c := b.connect(&packet.Connect{ClientID: "c", CleanStart: true, KeepAlive: seconds})
			if got, want := lifetime(c), time.Duration(seconds)*1500*time.Millisecond; got != want {
				t.Errorf("keep alive %d: the connection was closed after %v, want %v", seconds, got, want)
			}
		})
	}
}

func TestKeepAliveZeroNeverEndsTheConnection(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.connect(&packet.Connect{ClientID: "c", CleanStart: true})
		elapse(1000 * time.Hour)
		b.say(c, []byte{0xc0, 0})
		b.hear(c, 2)
		c.Close()
	})
}

func TestPingKeepsTheConnectionAlive(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.connect(&packet.Connect{ClientID: "c", CleanStart: true, KeepAlive: 10})
		for range 20 {
			elapse(14 * time.Second)
			b.say(c, []byte{0xc0, 0})
			b.hear(c, 2)
		}
		c.Close()
	})
}

// The will is published when the keep alive ends the connection.
func TestKeepAliveTimeoutPublishesTheWill(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		watch := b.connect(&packet.Connect{ClientID: "watch", CleanStart: true})
		b.say(watch, []byte{0x82, 6, 0, 1, 0, 1, 'w', 0})
		b.hear(watch, 5)
		c := b.connect(&packet.Connect{ClientID: "c", CleanStart: true, KeepAlive: 1, Will: &packet.Will{Topic: "w", Payload: []byte("x")}})
		start := time.Now()
		b.hear(watch, 6)
		if got := time.Since(start); got != 1500*time.Millisecond {
			t.Errorf("the will came after %v", got)
		}
		c.Close()
		watch.Close()
	})
}

// Mistake 11: no timeout before CONNECT.
func TestConnectTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		if got := lifetime(b.dial()); got != 10*time.Second {
			t.Errorf("a silent connection was closed after %v, want 10 s", got)
		}
		c := b.dial()
		connect := (&packet.Connect{Version: packet.V311, ClientID: "a client that is in no hurry", CleanStart: true}).Append(nil, packet.V311)
		start := time.Now()
		for i := range connect { // bytes that trickle in do not prolong it
			if _, err := c.Write(connect[i : i+1]); err != nil {
				break
			}
			elapse(time.Second)
		}
		if got := time.Since(start); got < 10*time.Second || got > 11*time.Second {
			t.Errorf("a trickling connection was closed after %v, want 10 s", got)
		}
	})
}

// slowAuth takes longer than the connect timeout.
type slowAuth struct{}

func (slowAuth) Authenticate(ctx context.Context, _ string, _ []byte) bool {
	<-ctx.Done()
	return false
}

func TestConnectTimeoutCoversAuthentication(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.dial()
		p := packet.Connect{Version: packet.V311, ClientID: "c", CleanStart: true, Username: packet.Some("u"), Password: []byte("p")}
		start := time.Now()
		b.say(c, p.Append(nil, packet.V311))
		if got := b.hear(c, 4); got[3] != 4 {
			t.Errorf("got return code %d, want 4", got[3])
		}
		if got := time.Since(start); got != 10*time.Second {
			t.Errorf("refused after %v, want 10 s", got)
		}
		c.Close()
	}, func(o *localbroker.Options) { o.Auth = slowAuth{} })
}

func TestASocketThatTakesNothingIsClosedAfterTheWriteTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.connect(&packet.Connect{ClientID: "c", CleanStart: true})
		b.say(c, []byte{0x82, 6, 0, 1, 0, 1, 'a', 0})
		b.hear(c, 5)
		b.broker.Publish(&gateway.Record{Body: &gateway.Message{Topic: "a"}}, nil)
		elapse(29 * time.Second)
		synctest.Wait()
		if n := b.broker.Stats().Connections; n != 1 {
			t.Fatalf("%d connections after 29 s, want 1", n)
		}
		elapse(2 * time.Second)
		synctest.Wait()
		if n := b.broker.Stats().Connections; n != 0 {
			t.Fatalf("%d connections after 31 s, want none", n)
		}
		c.Close()
	})
}

// Mistake 13: expired sessions stay in the topic tree.
func TestExpiredSessionsLeaveTreeAndStore(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.connect(&packet.Connect{ClientID: "s"})
		b.say(c, []byte{0x82, 6, 0, 1, 0, 1, 'a', 1})
		b.hear(c, 5)
		elapse(10 * time.Hour)
		synctest.Wait()
		if st := b.broker.Stats(); st.Sessions != 1 {
			t.Fatal("a session expired while it was connected")
		}
		c.Close()
		elapse(time.Hour - time.Minute)
		synctest.Wait()
		if st := b.broker.Stats(); st.Sessions != 1 || st.Subscriptions != 1 {
			t.Fatalf("after 59 minutes %d sessions, %d subscriptions, want 1 and 1", st.Sessions, st.Subscriptions)
		}
		elapse(3 * time.Minute)
		synctest.Wait()
		if st := b.broker.Stats(); st.Sessions != 0 || st.Subscriptions != 0 {
			t.Fatalf("after 62 minutes %d sessions, %d subscriptions, want none", st.Sessions, st.Subscriptions)
		}
		if rec, _ := b.store.Recover(); len(rec.Sessions) != 0 {
			t.Fatal("the expired session is still in the store")
		}
	}, func(o *localbroker.Options) { o.SessionMaxAge = time.Hour })
}

func TestServeGoesOnAfterATemporaryError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openMemStore(newImage())
		broker, err := localbroker.New(localbroker.Options{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ln := &failing{pipes: newPipes(), left: 5}
		var done sync.WaitGroup
		done.Go(func() { _ = broker.Run(ctx) })
		done.Go(func() {
			if err := broker.Serve(ctx, ln, localbroker.ListenerOptions{AllowAnonymous: true}); err != nil {
				t.Errorf("serve: %v", err)
			}
		})
		b := &bubble{t: t, broker: broker, store: store, ln: ln.pipes}
		b.connect(&packet.Connect{ClientID: "c", CleanStart: true}).Close()
		cancel()
		done.Wait()
		store.stop(true)
	})
}

// failing is a listener without descriptors for a while.
type failing struct {
	*pipes
	left int
}

type noDescriptors struct{ error }

func (noDescriptors) Temporary() bool { return true }

func (l *failing) Accept() (net.Conn, error) {
	if l.left--; l.left >= 0 {
		return nil, noDescriptors{errors.New("too many open files")}
	}
	return l.pipes.Accept()
}

// While the reader itself writes answers, a message comes: whoever writes hands over, and nothing is lost or late.
func TestAMessageThatComesWhileAnswersAreWrittenFollowsThem(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.connect(&packet.Connect{ClientID: "c", CleanStart: true})
		b.say(c, []byte{0x82, 6, 0, 1, 0, 1, 'a', 0})
		b.hear(c, 5)
		synctest.Wait()
		b.say(c, publishBytes("other", "x", 1, 7, false, false))
		synctest.Wait() // the broker writes PUBACK, and the pipe takes it when we read
		b.broker.Publish(&gateway.Record{Body: &gateway.Message{Topic: "a", Payload: []byte("y")}}, nil)
		got := b.hear(c, 4+6)
		if want := append([]byte{0x40, 2, 0, 7}, publishBytes("a", "y", 0, 0, false, false)...); !bytes.Equal(got, want) {
			t.Errorf("got % x, want % x", got, want)
		}
		c.Close()
	})
}

// A publisher is held up while a subscriber takes nothing, once, for StallPatience.
func TestAStalledSubscriberIsWaitedForOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		slow := b.connect(&packet.Connect{ClientID: "slow", CleanStart: true})
		b.say(slow, []byte{0x82, 6, 0, 1, 0, 1, 'a', 0})
		b.hear(slow, 5)
		p := b.connect(&packet.Connect{ClientID: "p", CleanStart: true})
		publish := func(id byte) time.Duration {
			start := time.Now()
			b.say(p, append(publishBytes("a", "x", 1, uint16(id), false, false), publishBytes("b", "x", 1, 100, false, false)...))
			b.hear(p, 8) // the second PUBACK comes when the broker is done with the first message
			return time.Since(start)
		}
		total, longest := time.Duration(0), time.Duration(0)
		for id := range byte(50) {
			took := publish(id + 1)
			total, longest = total+took, max(longest, took)
		}
		if total != 250*time.Millisecond || longest != total {
			t.Errorf("a publisher was held up for %v in all, %v at once, want 250 ms once", total, longest)
		}
		if n := b.broker.Stats().Dropped; n == 0 {
			t.Error("nothing was counted as dropped")
		}
		p.Close()
		slow.Close()
	}, func(o *localbroker.Options) { o.MaxQueued = 20 })
}

// A subscriber that is slow but makes progress is waited for: nothing is lost. It makes no difference that the store has the messages too.
func TestASlowSubscriberIsWaitedFor(t *testing.T) {
	for _, queues := range [][]string{nil, {"cloud"}} {
		inBubble(t, func(t *testing.T, b *bubble) {
			for _, name := range queues {
				b.broker.AddQueue(localbroker.QueueSub{Queue: b.store.Queue(name), Filters: []string{"a"}})
			}
			slow := b.connect(&packet.Connect{ClientID: "slow", CleanStart: true})
			b.say(slow, []byte{0x82, 6, 0, 1, 0, 1, 'a', 0})
			b.hear(slow, 5)
			p := b.connect(&packet.Connect{ClientID: "p", CleanStart: true})
			const n = 300
			var publisher sync.WaitGroup
			publisher.Go(func() {
				for i := range n {
					_, _ = p.Write(publishBytes("a", string([]byte{byte(i)}), 0, 0, false, false))
				}
			})
			for i := range n {
				if got := b.hear(slow, 6); got[5] != byte(i) {
					t.Fatalf("queues %q: got %d, want %d", queues, got[5], byte(i))
				}
				elapse(2 * time.Millisecond) // the queue's 40 messages, should they go in one write, are taken before that looks like a stall
			}
			publisher.Wait()
			if n := b.broker.Stats().Dropped; n != 0 {
				t.Errorf("queues %q: %d messages were dropped", queues, n)
			}
			p.Close()
			slow.Close()
		}, func(o *localbroker.Options) {
			o.MaxQueued = 40
			o.StallPatience = 2 * time.Second // a pipe takes a whole write before that counts as progress
		})
	}
}

// What was taken before a slow subscriber is waited for goes to the store, which need not wait for it.
func TestTheStoreDoesNotWaitForASlowSubscriber(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		queue := b.store.Queue("cloud")
		b.broker.AddQueue(localbroker.QueueSub{Queue: queue, Filters: []string{"a"}})
		slow := b.connect(&packet.Connect{ClientID: "slow", CleanStart: true})
		b.say(slow, []byte{0x82, 6, 0, 1, 0, 1, 'a', 0})
		b.hear(slow, 5)
		p := b.connect(&packet.Connect{ClientID: "p", CleanStart: true})
		one := publishBytes("a", "x", 0, 0, false, false)
		b.say(p, one) // on its way, and not taken
		synctest.Wait()
		b.say(p, bytes.Repeat(one, 20)) // committed in pairs: after the sixth a seventh is taken before the wait
		synctest.Wait()
		n, err := b.store.Read(queue, 0, make([]gateway.Delivery, 30))
		if want := 1 + 12 + 1; n != want || err != nil {
			t.Errorf("the store has %d messages, %v, want %d", n, err, want)
		}
		p.Close()
		slow.Close()
	}, func(o *localbroker.Options) { o.MaxQueued = 40 })
}

// What a board without a clock has noted must not end a session before its client could come back.
func TestASessionThatLooksOldGetsAnHourAfterAStart(t *testing.T) {
	disk := newImage()
	disk.sessions[1] = &gateway.SessionState{PutSession: gateway.PutSession{Queue: 1, ClientID: "s", Expiry: -1, Disconnected: time.Unix(0, 0)}}
	disk.names["session/s"] = 1
	synctest.Test(t, func(t *testing.T) {
		store := openMemStore(disk)
		broker, err := localbroker.New(localbroker.Options{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() { _ = broker.Run(ctx) })
		elapse(59 * time.Minute)
		if n := broker.Stats().Sessions; n != 1 {
			t.Errorf("%d sessions after 59 minutes, want 1", n)
		}
		elapse(3 * time.Minute)
		if n := broker.Stats().Sessions; n != 0 {
			t.Errorf("%d sessions after 62 minutes, want none", n)
		}
		cancel()
		done.Wait()
		store.stop(true)
	})
}

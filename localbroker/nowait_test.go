package localbroker

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// wired returns a connection over a real socket whose CONNACK has left, and its client's end.
func wired(t *testing.T) (*conn, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Options{Store: struct{ Store }{}})
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(b, server, &ListenerOptions{})
	c.writers = new(sync.WaitGroup)
	t.Cleanup(func() {
		c.kill(errShutdown)
		c.partWriter()
		c.writers.Wait()
	})
	c.grasp()
	c.window = 10
	c.session = &session{id: "c"}
	c.session.attach(c)
	c.acks.open.Store(true)
	return c, client
}

// Who publishes wakes a writer only when there was nothing to write before. Whoever writes has to see to all that there is.
func TestWhatIsMoreThanOneWriteIsWrittenAtOnceToo(t *testing.T) {
	c, client := wired(t)
	payload := bytes.Repeat([]byte("x"), 1000)
	const messages = 1000 // a megabyte, more than a write gathers and than a socket takes
	for range messages {
		c.session.offer(item{msg: &message{Message: gateway.Message{Topic: "a", Payload: payload}}})
	}
	c.writeAtOnce()
	_ = client.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(client, make([]byte, messages*(1+2+3+len(payload)))); err != nil {
		t.Error(err)
	}
}

// An idle connection has no buffer, and half a packet is not a large one.
func TestAConnectionThatWaitsHoldsNoMoreThanItNeeds(t *testing.T) {
	c, client := wired(t)
	for _, tt := range []struct {
		arrives, left int
		holds         int
	}{
		{arrives: 2, left: 0, holds: 0},
		{arrives: 10_000, left: 100, holds: smallInput},
		{arrives: 20, left: 0, holds: 0},
		{arrives: 10_000, left: 5000, holds: largeInput},
	} {
		if _, err := client.Write(make([]byte, tt.arrives)); err != nil {
			t.Fatal(err)
		}
		for len(c.in.data()) < tt.arrives {
			if _, err := c.readLazily(); err != nil {
				t.Fatal(err)
			}
		}
		c.in.skip(len(c.in.data()) - tt.left)
		_ = c.nc.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := c.readLazily(); err == nil {
			t.Fatal("something came")
		}
		_ = c.nc.SetReadDeadline(time.Time{})
		if len(c.in.b) != tt.holds || len(c.in.data()) != tt.left {
			t.Errorf("%d bytes came and %d are left: a buffer of %d bytes holds %d, want one of %d", tt.arrives, tt.left, len(c.in.b), len(c.in.data()), tt.holds)
		}
		c.in.skip(tt.left)
	}
}

// The reader of a quiet connection goes on in another goroutine, and what comes then is read.
func TestAQuietConnectionIsReadOn(t *testing.T) {
	c, client := wired(t)
	c.heard, c.armed = time.Now(), true
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
	if _, err := c.readLazily(); c.silence(err) != nil || c.armed {
		t.Error("a deadline of before the last input has ended the connection, or none is set again")
	}
	c.heard, c.armed = c.heard.Add(-quietTime), true
	if _, err := c.readLazily(); c.silence(err) != errQuiet || !c.quiet || c.armed {
		t.Error("the connection does not count as quiet, or its deadline as one that is yet to come")
	}
	if _, err := client.Write([]byte{0xc0, 0}); err != nil {
		t.Fatal(err)
	}
	if n, err := c.readLazily(); n != 2 || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
	c.idle = quietTime
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
	if _, err := c.readLazily(); c.silence(err) != errKeepAlive {
		t.Error("silence for longer than the keep alive does not end the connection")
	}
}

// A few of many answers wait for the others, but not for long, and one that is alone does not wait.
func TestAFewOfManyAnswersWaitForMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a acks
		const answers = 100
		for i := range answers {
			a.push(nil, slot{kind: packet.TypePuback, id: uint16(i + 1), waits: 1})
		}
		woken := make(chan struct{}, 1)
		next := uint64(0)
		complete := func() urgency {
			next++
			return a.complete(next - 1)
		}
		if got := complete(); got != soon {
			t.Fatalf("the first answer is %v, want soon", got)
		}
		start := time.Now()
		a.hold(func() { woken <- struct{}{} })
		if got := complete(); got != notYet {
			t.Errorf("the second answer is %v, want not yet", got)
		}
		if <-woken; time.Since(start) != maxHold {
			t.Errorf("woken after %v, want %v", time.Since(start), maxHold)
		}
		if got := len(a.take(nil)); got != 2*ackSize {
			t.Errorf("%d bytes of answers, want two of them", got)
		}
		if got := complete(); got != soon {
			t.Fatalf("the first answer after a write is %v, want soon", got)
		}
		a.hold(nil)
		for got := notYet; got != atOnce; got = complete() {
			if got != notYet || next > answers*2/3 {
				t.Fatalf("answer %d is %v", next, got)
			}
		}
		a.take(nil)
		<-time.After(2 * maxHold) // nobody is woken for what was written
		for next < answers-fewWaiting {
			complete()
		}
		a.take(nil)
		if got := complete(); got != atOnce {
			t.Errorf("one of the last answers is %v, want at once", got)
		}
	})
}

// A client that does not read its answers is not read either.
func TestAReaderWaitsWhileAnswersAreNotRead(t *testing.T) {
	c, _ := wired(t)
	c.in = inbuf{b: []byte{0xc0, 0}, w: 2}
	c.limit = 100
	c.acks.ready = make([]byte, maxReady)
	c.kill(errShutdown) // nothing else ends the wait
	if err := c.consume(t.Context()); err != errShutdown || len(c.in.data()) != 2 {
		t.Errorf("got %v, and %d bytes are left, want the end of the connection, and what it has sent", err, len(c.in.data()))
	}
}

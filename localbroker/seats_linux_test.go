package localbroker

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// newStill returns an attendant that does nothing by itself.
func newStill(t *testing.T) *attendant {
	t.Helper()
	a := newAttendant(t.Context(), nil)
	a.begin.Do(func() {
		if !a.open() {
			t.Fatal("there is no epoll instance")
		}
	})
	t.Cleanup(a.close)
	return a
}

// guestOf returns a connection of a client that has sent CONNECT, for a to attend, and its client's end.
func guestOf(t *testing.T, a *attendant) (*conn, net.Conn) {
	t.Helper()
	c, theirs := wired(t)
	if err := c.b.track(c); err != nil {
		t.Fatal(err)
	}
	c.b.register(new(client), c)
	c.attendant, c.limit, c.heard = a, 100, time.Now()
	c.writers.Add(1)
	return c, theirs
}

// attendedBy is guestOf, attended.
func attendedBy(t *testing.T, a *attendant, adjust ...func(*conn)) (*conn, net.Conn) {
	t.Helper()
	c, client := guestOf(t, a)
	for _, f := range adjust {
		f(c)
	}
	if !a.join(c) {
		t.Fatal("the connection cannot be attended")
	}
	t.Cleanup(func() { // before that of wired
		c.kill(errShutdown)
		c.writers.Wait()
	})
	return c, client
}

// bring has the client send b, and waits until it has arrived.
func bring(t *testing.T, c *conn, client io.Writer, b string) {
	t.Helper()
	if _, err := client.Write([]byte(b)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, len(b))
	for n := 0; n < len(b); {
		_ = c.sock.raw.Control(func(fd uintptr) { n, _, _ = syscall.Recvfrom(int(fd), buf, syscall.MSG_PEEK|syscall.MSG_DONTWAIT) })
	}
}

// lookAround has the attendant do what there is.
func (a *attendant) lookAround() {
	_ = a.raw.Control(func(fd uintptr) { a.attend(fd) })
}

const (
	pingreq  = "\xc0\x00"
	pingresp = "\xd0\x00"
)

func expectBytes(t *testing.T, client net.Conn, want string) {
	t.Helper()
	_ = client.SetReadDeadline(time.Now().Add(20 * time.Second))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(client, got); err != nil || string(got) != want {
		t.Errorf("got % x, %v, want % x", got, err, want)
	}
}

// What a connection has brought is handled and counted, and then it holds nothing.
func TestAnAttendedConnectionHoldsNothing(t *testing.T) {
	a := newStill(t)
	c, client := attendedBy(t, a, func(c *conn) { c.heard = c.heard.Add(-time.Hour) })
	bring(t, c, client, pingreq+pingreq)
	now := time.Now()
	a.lookAround()
	expectBytes(t, client, pingresp+pingresp)
	if got := c.reads.Load(); got != readsAttended {
		t.Fatalf("its reader is %d, want its attendant", got)
	}
	if c.in.b != nil || c.rd != nil || c.sock.runs != 0 {
		t.Errorf("it holds a buffer of %d bytes, reading %v, and %d reads in a row", len(c.in.b), c.rd, c.sock.runs)
	}
	if s := &c.b.stats; s.bytesIn.Load() != 4 || s.packetsIn.Load() != 2 || s.answers.Load() != 2 {
		t.Errorf("%d bytes, %d packets, %d answers are counted, want 4, 2, 2", s.bytesIn.Load(), s.packetsIn.Load(), s.answers.Load())
	}
	if c.heard.Before(now) || a.all[c.seat].heard.Before(now) {
		t.Error("it counts as silent since before")
	}
	if a.work.spent <= 0 {
		t.Error("that its attendant was at work is not counted")
	}
	holdsNobody(t, a)
}

// More connections may have something than one look at them tells.
func TestAnAttendantSeesAllWhoHaveSomething(t *testing.T) {
	a := newStill(t)
	const n = maxRound + 3
	var clients [n]net.Conn
	for i := range n {
		var c *conn
		c, clients[i] = attendedBy(t, a)
		bring(t, c, clients[i], pingreq)
	}
	a.lookAround()
	for _, client := range clients {
		expectBytes(t, client, pingresp)
	}
}

// An attendant that has too much to do gives those back that bring something, which are answered all the same.
func TestAnAttendantWithTooMuchToDoGivesBack(t *testing.T) {
	a := newStill(t)
	lively, client := attendedBy(t, a)
	quiet, _ := attendedBy(t, a)
	a.work.since, a.work.spent = time.Now().Add(time.Minute), busyTime
	bring(t, lively, client, pingreq)
	a.lookAround()
	expectBytes(t, client, pingresp)
	if l, q := lively.reads.Load(), quiet.reads.Load(); l != readsOwn || q != readsAttended {
		t.Errorf("readers are %d and %d, want %d and %d", l, q, readsOwn, readsAttended)
	}
}

// A connection stays with its reader while the attendant has too much to do.
func TestWhoHasTooMuchToDoTakesNobody(t *testing.T) {
	a := newStill(t)
	c, _ := guestOf(t, a)
	defer c.writers.Done() // it has no reader
	c.b.pacing = pacing{}
	if !c.isSlow(1) || c.isSlow(smallInput+1) {
		t.Error("little is not taken for little, or much is")
	}
	a.work.rests.Store(time.Now().Add(time.Hour).UnixNano())
	if c.isSlow(1) {
		t.Error("it is to be attended by who has too much to do")
	}
}

// Who is killed while it is read, or while it takes its seat, has a reader that ends it.
func TestWhoIsKilledMeanwhileIsGivenBack(t *testing.T) {
	t.Run("read", func(t *testing.T) {
		a := newStill(t)
		c, _ := attendedBy(t, a)
		c.reads.Store(readsBusy)
		c.kill(errTakenOver)
		a.letGo(c)
		if got := c.reads.Load(); got != readsOwn {
			t.Fatalf("its reader is %d, which nobody wakes", got)
		}
	})
	t.Run("sits", func(t *testing.T) {
		a := newStill(t)
		c, _ := guestOf(t, a)
		defer c.writers.Done() // it has no reader
		c.polite.Store(true)   // it stays open for a moment
		c.kill(errTakenOver)
		if a.join(c) || c.reads.Load() != readsOwn {
			t.Error("it is attended, and nobody wakes its attendant")
		}
		if len(a.free) != len(a.all) {
			t.Error("it has kept its seat")
		}
	})
}

// What has come before anybody looked is no silence, even if it is late.
func TestWhatHasComeIsNoSilence(t *testing.T) {
	a := newStill(t)
	silent, gone := guestOf(t, a)
	lively, client := guestOf(t, a)
	bring(t, lively, client, pingreq)
	for _, c := range []*conn{silent, lively} {
		c.heard, c.idle = time.Now().Add(-time.Minute), time.Second
		if !a.join(c) {
			t.Fatal("the connection cannot be attended")
		}
		t.Cleanup(func() {
			c.kill(errShutdown)
			c.writers.Wait()
		})
	}
	a.running.Go(a.run) // both are over by now
	expectBytes(t, client, pingresp)
	silent.writers.Wait()
	_ = gone.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := gone.Read(make([]byte, 1)); err != io.EOF || silent.reason != errKeepAlive {
		t.Errorf("the silent one is told %v, because of %v", err, silent.reason)
	}
	if _, err := client.Write([]byte(pingreq)); err != nil {
		t.Fatal(err)
	}
	expectBytes(t, client, pingresp)
}

// The seats are looked through when the first of those who sit there may be over.
func TestTheFirstWhoMayBeOverIsLookedAt(t *testing.T) {
	a := newStill(t)
	now := time.Now()
	for _, idle := range []time.Duration{time.Hour, 0, time.Minute, 2 * time.Minute} {
		a.sit(&conn{heard: now, idle: idle})
	}
	want := now.Add(time.Minute)
	if !a.look.Equal(want) {
		t.Errorf("they are looked through in %v, want in a minute", a.look.Sub(now))
	}
	if a.silent(now); !a.look.Equal(want) {
		t.Errorf("once looked through, they are again in %v, want in a minute", a.look.Sub(now))
	}
}

// Whose client does not read its answers has to wait, and so not with the attendant.
func TestWhoDoesNotReadAnswersIsNotHandledAtOnce(t *testing.T) {
	c, _ := wired(t)
	c.in.b, c.in.w = []byte(pingreq), len(pingreq)
	c.limit = 100
	c.rd = c.newReading()
	c.acks.ready = make([]byte, maxReady)
	if all, err := c.handleAtOnce(t.Context()); all || err != nil || len(c.in.data()) != len(pingreq) {
		t.Errorf("handled %v, %v, and %d bytes are left", all, err, len(c.in.data()))
	}
	c.acks.ready = nil
	if all, err := c.handleAtOnce(t.Context()); !all || err != nil {
		t.Errorf("handled %v, %v", all, err)
	}
}

// Nothing more is handled at once when a subscriber is to be waited for.
func TestWhoHasToWaitForASubscriberIsNotHandledAtOnce(t *testing.T) {
	c, _ := wired(t)
	c.in.b, c.in.w = []byte(pingreq), len(pingreq)
	c.limit = 100
	c.rd = c.newReading()
	c.rd.sink.pressed = append(c.rd.sink.pressed, c.session)
	if all, err := c.handleAtOnce(t.Context()); all || err != nil || len(c.in.data()) != len(pingreq) {
		t.Errorf("handled %v, %v, and %d bytes are left", all, err, len(c.in.data()))
	}
}

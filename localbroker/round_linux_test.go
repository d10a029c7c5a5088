package localbroker

import (
	"io"
	"net"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// within fails the test when something hangs.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Errorf("hangs: %s", what)
	}
}

// holdsNobody fails the test when an attendant that has nothing to do holds a connection, which may end.
func holdsNobody(t *testing.T, a *attendant) {
	t.Helper()
	if slices.ContainsFunc(a.round[:cap(a.round)], func(g guest) bool { return g.c != nil }) ||
		slices.ContainsFunc(a.kept[:cap(a.kept)], func(c *conn) bool { return c != nil }) {
		t.Error("the attendant holds a connection")
	}
}

// gets gives a message for a connection to a publisher's reading, as publishing does.
func gets(c *conn, k *sink) {
	k.note(c.session, c.session.offer(item{msg: &message{Message: gateway.Message{Topic: "a", Payload: []byte("x")}}}))
}

// message0 is that message on its way to the client.
const message0 = "\x30\x04\x00\x01ax"

// An attendant may be told of a connection that has nothing to read, and waits neither then nor for it.
func TestAnAttendantDoesNotWaitForWhoHasNothing(t *testing.T) {
	a := newStill(t)
	c, client := attendedBy(t, a)
	within(t, "an attendant that has nothing to read", func() {
		a.serve([]syscall.EpollEvent{{Events: syscall.EPOLLIN, Fd: c.seat, Pad: a.all[c.seat].turn}}, time.Now())
	})
	if got := c.reads.Load(); got != readsAttended {
		t.Fatalf("its reader is %d, want its attendant", got)
	}
	bring(t, c, client, pingreq)
	a.lookAround()
	expectBytes(t, client, pingresp)
}

// In one round answers leave before messages, in the same write, whoever is read first.
func TestAnswersLeaveBeforeMessagesOfTheSameRound(t *testing.T) {
	a := newStill(t)
	publisher, _ := attendedBy(t, a)
	subscriber, client := attendedBy(t, a)
	for _, c := range []*conn{publisher, subscriber} {
		c.reads.Store(readsBusy)
		c.rd = c.newReading()
		a.kept = append(a.kept, c)
	}
	gets(subscriber, &publisher.rd.sink)
	subscriber.rd.early = append(subscriber.rd.early, pingresp...)
	a.conclude()
	expectBytes(t, client, pingresp+message0)
}

// All that an attendant reads at the same moment has it write to so many subscribers itself, and no more. Others have writers of their own, which it
// does not wait for.
func TestAnAttendantWritesToAFewInAllItself(t *testing.T) {
	a := newStill(t)
	var subscribers []*conn
	var clients []net.Conn
	for range 2 {
		publisher, _ := attendedBy(t, a)
		publisher.reads.Store(readsBusy)
		publisher.rd = publisher.newReading()
		for range maxDirect/2 + 3 {
			c, client := wired(t)
			subscribers, clients = append(subscribers, c), append(clients, client)
			gets(c, &publisher.rd.sink)
		}
		a.kept = append(a.kept, publisher)
	}
	for _, c := range subscribers[maxDirect:] {
		c.session.mu.Lock() // who writes waits
	}
	within(t, "an attendant that writes what others should", a.conclude)
	for _, c := range subscribers[maxDirect:] {
		c.session.mu.Unlock()
	}
	for _, client := range clients {
		expectBytes(t, client, message0)
	}
}

// The silence that an attendant has noticed ends the connection at once.
func TestTheSilenceOfAnAttendedConnectionEndsIt(t *testing.T) {
	a := newStill(t)
	c, client := attendedBy(t, a, func(c *conn) { c.idle = time.Hour })
	a.lookThrough(c.heard.Add(c.idle))
	holdsNobody(t, a)
	_ = client.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("it is told %v, want the end", err)
	}
	if c.writers.Wait(); c.reason != errKeepAlive {
		t.Errorf("it has ended because of %v", c.reason)
	}
}

// Who leaves frees the seat, and is not looked at there any more.
func TestWhoLeavesFreesTheSeat(t *testing.T) {
	a := newStill(t)
	now := time.Now()
	left, _ := wired(t)
	left.heard, left.idle = now.Add(-time.Minute), time.Second
	for range 3 {
		a.sit(left)
		a.leave(left)
	}
	left.reads.Store(readsAttended) // elsewhere, for all that the seat knows
	defer left.reads.Store(readsOwn)
	if len(a.all) != 1 || len(a.free) != 1 {
		t.Errorf("%d of %d seats are free, want the one that is used again", len(a.free), len(a.all))
	}
	if got := a.silent(now); len(got) != 0 || !a.look.IsZero() {
		t.Errorf("%d are silent, and looked at again at %v, want none, and never", len(got), a.look)
	}
}

// Who cannot be watched keeps its reader, and takes no seat.
func TestWhoCannotBeWatchedKeepsItsReader(t *testing.T) {
	a := newStill(t)
	c, _ := guestOf(t, a)
	defer c.writers.Done() // it has no reader
	if err := a.watch(c, &syscall.EpollEvent{}); err != nil {
		t.Fatal(err)
	}
	if a.join(c) || c.reads.Load() != readsOwn { // it is watched already
		t.Error("it is attended, and its attendant told of it where nobody sits")
	}
	if len(a.free) != len(a.all) {
		t.Error("it has kept its seat")
	}
	c.raw.Close()
	if a.watch(c, a.sit(c)) == nil {
		t.Error("a closed connection is watched")
	}
}

// Where nobody can attend, the reader of a slow connection waits until there is something.
func TestTheReaderOfAConnectionThatCannotBeAttendedWaits(t *testing.T) {
	a := newAttendant(t.Context(), nil)
	a.begin.Do(func() {}) // there is no epoll instance
	c, _ := guestOf(t, a)
	c.quiet = true // no deadline is set
	c.setPatient(false)
	c.serve(t.Context()) // goes on in a goroutine
	c.kill(errShutdown)
	c.writers.Wait()
	if c.attendant != nil || !c.sock.patient {
		t.Errorf("an attendant is asked again: %v; the reader waits: %v", c.attendant != nil, c.sock.patient)
	}
}

// An attended connection has no deadline. Its next reader sets one, or nobody would notice that it has fallen silent.
func TestTheReaderOfAConnectionThatWasAttendedNoticesSilence(t *testing.T) {
	a := newStill(t)
	c, _ := attendedBy(t, a, func(c *conn) { c.armed, c.quiet = true, true })
	if c.armed || c.quiet {
		t.Errorf("a deadline is set: %v; it has passed: %v", c.armed, c.quiet)
	}
}

// When an attendant is closed, nothing of it runs any more.
func TestAnAttendantIsGoneWhenItIsClosed(t *testing.T) {
	a := newStill(t)
	ended := false
	a.running.Go(func() {
		a.run()
		for range 1000 {
			runtime.Gosched()
		}
		ended = true
	})
	if a.close(); !ended {
		t.Error("it is still there")
	}
}

// Only packets that take little time and no wait are handled by an attendant. Those before one that is not are.
func TestOnlyShortPacketsAreHandledAtOnce(t *testing.T) {
	c, _ := wired(t)
	c.version, c.limit = packet.V311, 100
	for _, tt := range []struct {
		name, bytes string
		short       bool
	}{
		{"PUBLISH", message0, true},
		{"PUBACK", "\x40\x02\x00\x01", true},
		{"PUBREC", "\x50\x02\x00\x01", true},
		{"PUBREL", "\x62\x02\x00\x01", true},
		{"PUBCOMP", "\x70\x02\x00\x01", true},
		{"PINGREQ", pingreq, true},
		{"half a packet", "\xc0", true},
		{"CONNECT", "\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00", false},
		{"SUBSCRIBE", "\x82\x06\x00\x01\x00\x01a\x00", false},
		{"UNSUBSCRIBE", "\xa2\x05\x00\x01\x00\x01a", false},
		{"DISCONNECT", "\xe0\x00", false},
		{"reserved", "\xf0\x00", false},
	} {
		c.in = inbuf{b: []byte(pingreq + tt.bytes), w: len(pingreq + tt.bytes)}
		c.rd = new(reading)
		all, err := c.handleAtOnce(t.Context())
		left := string(c.in.data())
		if all != tt.short || err != nil || !tt.short && left != tt.bytes {
			t.Errorf("%s: handled %v, %v, and % x is left", tt.name, all, err, left)
		}
	}
}

// Slow are connections whose small reads in a row take long. Fast are those whose reads do not, or are large.
func TestWhatCountsAsSlowAndAsFast(t *testing.T) {
	a := newStill(t)
	c, _ := guestOf(t, a)
	defer c.writers.Done() // it has no reader
	p := normalPacing()
	for _, tt := range []struct {
		name       string
		every      time.Duration
		reads      []int // their sizes
		slow, fast bool
	}{
		{"fast", p.fast/time.Duration(p.reads) - time.Nanosecond, slices.Repeat([]int{1}, p.reads+1), false, true},
		{"between", p.fast / time.Duration(p.reads), slices.Repeat([]int{1}, p.reads+1), false, false},
		{"slow", p.slow / time.Duration(p.reads), slices.Repeat([]int{smallInput}, p.reads+1), true, false},
		{"slow, and not for long", time.Hour, slices.Repeat([]int{1}, p.reads), false, false},
		{"slow, and then much", time.Hour, append(slices.Repeat([]int{1}, p.reads), smallInput+1), false, true},
		{"slow, much, slow", time.Hour, append(append(slices.Repeat([]int{1}, p.reads), smallInput+1), 1), false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			last := func(says func(n int) bool) (said bool) {
				c.pace, c.heard = pace{}, time.Now()
				for _, n := range tt.reads {
					said = says(n)
					c.heard = c.heard.Add(tt.every)
				}
				return said
			}
			if slow, fast := last(c.isSlow), last(c.isFast); slow != tt.slow || fast != tt.fast {
				t.Errorf("slow %v, fast %v, want %v and %v", slow, fast, tt.slow, tt.fast)
			}
		})
	}
}

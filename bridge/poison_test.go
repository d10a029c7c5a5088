package bridge

import (
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// TestPoisonIsSetAside has an upstream that closes the connection whenever it gets one certain message. What stands before and behind it must come
// through, and only that one is set aside.
func TestPoisonIsSetAside(t *testing.T) {
	for name, form := range map[string]Route{
		"messages": {Filter: "#", QoS: 1},
		"batches":  {Filter: "#", QoS: 1, Form: FormBatch, Batch: Batch{Topic: "batch", MaxRecords: 8, Linger: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			u, q := newUpstream(t), newFakeQueue()
			for i := range 20 {
				payload := "good"
				if i == 9 {
					payload = "poison"
				}
				q.add(text("a", payload))
			}
			b := runTuned(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(q), Out: []Route{form}}, impatient)
			go u.serve(on("poison", cut))
			q.waitAcks(t, 20)
			q.mu.Lock()
			defer q.mu.Unlock()
			if len(q.parked) != 1 || !strings.Contains(q.parked[10], "5 times in a row the connection ended") {
				t.Errorf("parked %v", q.parked)
			}
			if cuts := b.Stats().Failures; cuts < poisonCuts || cuts > 2*poisonCuts {
				t.Errorf("%d connections were cut", cuts)
			}
		})
	}
}

// on replies with r to a publish that holds text, and confirms the others.
func on(text string, r reply) func(string) reply {
	return func(payload string) reply {
		if strings.Contains(payload, text) {
			return r
		}
		return confirm
	}
}

// TestWhatIsNeverAcknowledgedIsSetAside where the upstream acknowledges everything else: it has lost that one, again and again.
func TestWhatIsNeverAcknowledgedIsSetAside(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue()
	for i := range 20 {
		payload := "good"
		if i == 9 {
			payload = "poison"
		}
		q.add(text("a", payload))
	}
	b := runTuned(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(q), Out: all, AckTimeout: 100 * time.Millisecond}, impatient)
	go u.serve(on("poison", ignore))
	q.waitAcks(t, 20)
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.parked) != 1 || !strings.Contains(q.parked[10], "5 times in a row") || !strings.Contains(q.parked[10], "no answer within") {
		t.Errorf("parked %v", q.parked)
	}
	if ends := b.Stats().Failures; ends < poisonCuts {
		t.Errorf("%d connections ended", ends)
	}
}

// TestUpstreamThatAcknowledgesNothing takes births and is silent about everything else for many connections. That says nothing about
// the records: all of them wait for better days.
func TestUpstreamThatAcknowledgesNothing(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue()
	for range 20 {
		q.add(text("a", "good"))
	}
	var deaf atomic.Bool
	deaf.Store(true)
	b := runTuned(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(q), Out: all, AckTimeout: 20 * time.Millisecond}, impatient)
	go u.serve(func(string) reply {
		if deaf.Load() {
			return ignore
		}
		return confirm
	})
	waitStats(t, b, func(s gateway.BridgeStats) bool { return s.Failures >= 3*poisonCuts })
	if s := b.Stats(); s.Acked > 0 || s.Parked > 0 {
		t.Errorf("stats %+v", s)
	}
	deaf.Store(false)
	q.waitAcks(t, 20)
	if len(q.parked) > 0 {
		t.Errorf("parked %v", q.parked)
	}
}

// TestQoS0PassesNobody: its token is done when it is written, which is no sign that the upstream takes anything.
func TestQoS0PassesNobody(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue(text("a", "unanswered"), text("b", "more"))
	b := runTuned(t, Options{
		Servers: []*url.URL{u.url()}, Lanes: one(q), AckTimeout: 20 * time.Millisecond,
		Out: []Route{{Filter: "a", QoS: 1}, {Filter: "b"}},
	}, impatient)
	go u.serve(func(string) reply { return ignore })
	waitStats(t, b, func(s gateway.BridgeStats) bool { return s.Failures >= 3*poisonCuts })
	if s := b.Stats(); s.Parked > 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestWhoEndedTheConnection tells the cuts by the upstream from everything else that ends a connection.
func TestWhoEndedTheConnection(t *testing.T) {
	read := func(err error) error { return &net.OpError{Op: "read", Net: "tcp", Err: err} }
	call := func(no syscall.Errno) error { return read(os.NewSyscallError("read", no)) }
	for name, tt := range map[string]struct {
		err error
		cut bool
	}{
		"FIN":                  {io.EOF, true},
		"RST":                  {call(syscall.ECONNRESET), true},
		"write after a FIN":    {call(syscall.EPIPE), true},
		"FIN amid a packet":    {io.ErrUnexpectedEOF, true},
		"no room for a write":  {read(os.ErrDeadlineExceeded), false},
		"nothing acknowledged": {call(syscall.ETIMEDOUT), false},
		"no route":             {call(syscall.EHOSTUNREACH), false},
		"no network":           {call(syscall.ENETUNREACH), false},
		"interface is down":    {call(syscall.ENETDOWN), false},
		"closed by us":         {read(net.ErrClosed), false},
	} {
		err := blame(tt.err)
		if got := errors.As(err, new(cutError)); got != tt.cut || !errors.Is(err, tt.err) || err.Error() != tt.err.Error() {
			t.Errorf("%s: %v, cut %v, want %v", name, err, got, tt.cut)
		}
	}
}

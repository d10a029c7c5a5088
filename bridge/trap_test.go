package bridge

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// deafLocal is a local broker that does not listen.
type deafLocal struct{}

func (deafLocal) Publish(*gateway.Record, func(error)) {}

// TestLostConnectionLeavesTheWill: an upstream that hears DISCONNECT forgets the will (MQTT-3.1.2-10), and would show the gateway as online though
// nothing comes from it.
func TestLostConnectionLeavesTheWill(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue(text("a", "1"))
	runTuned(t, Options{
		Servers: []*url.URL{u.url()}, Lanes: one(q), Out: all, AckTimeout: 20 * time.Millisecond, Local: deafLocal{},
	}, impatient)
	for range 3 {
		l, _ := u.accept(0)
		_, id, _ := l.expect(3).publishFields()
		l.puback(id) // of the birth, and of nothing else
		for {
			f, err := l.read()
			if err != nil {
				break
			}
			if f.kind() == 14 {
				t.Fatal("DISCONNECT after a failure")
			}
		}
	}
}

// TestOverlongSubackOfAPart guards each SUBSCRIBE by its own filters, not by those of all.
func TestOverlongSubackOfAPart(t *testing.T) {
	u := newUpstream(t)
	b := run(t, Options{
		Servers: []*url.URL{u.url()}, SubscribeBatch: 1,
		In: []Route{{Filter: "a", QoS: 1}, {Filter: "b", QoS: 1}, {Filter: "c", QoS: 1}},
	})
	l, _ := u.accept(0)
	f := l.expect(8)
	l.send(0x90, f.body[0], f.body[1], 1, 1, 1)
	waitError(t, b, "more return codes")
}

// TestWriteIsBoundedAfterTheHandshake, at whose end paho takes away the deadlines of both directions.
func TestWriteIsBoundedAfterTheHandshake(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	go func() { _, _ = far.Read(make([]byte, 16)) }()
	c := &guardedConn{Conn: near, writeTimeout: 50 * time.Millisecond, failed: func(error) {}}
	if _, err := c.Write([]byte("CONNECT")); err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(patience, func() { far.Close() })
	if _, err := c.Write([]byte("nobody reads this")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v, want the deadline's", err)
	}
}

// TestConfirmationsKeepTheirOrder also those of what the LAN does not get (MQTT-4.6.0-2).
func TestConfirmationsKeepTheirOrder(t *testing.T) {
	u, local := newUpstream(t), newFakeLocal()
	run(t, Options{
		Servers: []*url.URL{u.url()}, Local: local, Lanes: one(newFakeQueue(text("a/x", "ours"))), Out: all,
		In: []Route{{Filter: "a/#", QoS: 1}},
	})
	l, _ := u.accept(0)
	f := l.expect(8)
	l.send(0x90, f.body[0], f.body[1], 1)
	for range 2 { // birth, record
		_, id, _ := l.expect(3).publishFields()
		l.puback(id)
	}
	l.publish("a/x", "theirs", 7)
	p := local.inbound(t)
	l.publish("a/x", "ours", 8)
	l.publish("other", "no route asks for it", 9)
	if !l.silent(200 * time.Millisecond) {
		t.Error("a PUBACK left before that of an earlier message")
	}
	p.done(nil)
	for _, want := range []byte{7, 8, 9} {
		if f := l.expect(4); f.body[1] != want {
			t.Errorf("PUBACK of %d, want %d", f.body[1], want)
		}
	}
}

// TestInboundThatIsNotTakenIsNotConfirmed: in a session that is kept, the upstream offers it again.
func TestInboundThatIsNotTakenIsNotConfirmed(t *testing.T) {
	u, local := newUpstream(t), newFakeLocal()
	b := runTuned(t, Options{
		Servers: []*url.URL{u.url()}, Local: local, InboundPersistent: true, In: []Route{{Filter: "a/#", QoS: 1}},
	}, impatient)
	l, _ := u.accept(0)
	subscribed := func() {
		f := l.expect(8)
		l.send(0x90, f.body[0], f.body[1], 1)
		_, id, _ := l.expect(3).publishFields()
		l.puback(id)
	}
	subscribed()
	l.publish("a/x", "1", 7)
	local.inbound(t).done(fmt.Errorf("%w: the buffer is full", ErrNotTaken))
	for {
		f, err := l.read()
		if err != nil {
			break
		}
		if f.kind() == 4 {
			t.Fatal("a message was confirmed that nobody holds")
		}
	}
	waitError(t, b, "the buffer is full")
	l, _ = u.accept(0)
	subscribed()
	l.publish("a/x", "1", 7)
	local.inbound(t).done(errors.New("too many levels")) // refused for good: it would be offered for ever
	if f := l.expect(4); f.body[1] != 7 {
		t.Errorf("PUBACK of %d", f.body[1])
	}
}

package bridge

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// expectGoodbye reads the farewell with its reason, confirms it, and waits for DISCONNECT.
func (l *link) expectGoodbye(reason string) {
	l.t.Helper()
	_, id, payload := l.expect(3).publishFields()
	if !strings.Contains(payload, `"state":"offline"`) || !strings.Contains(payload, `"reason":"`+reason+`"`) {
		l.t.Errorf("goodbye %s, want reason %q", payload, reason)
	}
	l.puback(id)
	l.expect(14)
}

func TestLazyStart(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue(text("a", "1"))
	b := run(t, Options{
		Servers: []*url.URL{u.url()}, Lanes: one(q), Out: all, Lazy: Lazy{Records: 2, Idle: 50 * time.Millisecond},
		StatusEvery: 10 * time.Millisecond, MaxInflight: 2,
	})
	waitStats(t, b, func(s gateway.BridgeStats) bool { return s.Waiting == "lazy" })
	if q.epochs != 0 {
		t.Errorf("%d connections for one record", q.epochs)
	}
	q.add(text("a", "2"))
	l, _ := u.welcome()
	for range 2 {
		_, id, _ := l.expect(3).publishFields()
		l.puback(id)
	}
	l.expectGoodbye("lazy")
	waitStats(t, b, func(s gateway.BridgeStats) bool { return s.Waiting == "lazy" && s.Failures == 0 })
}

func TestLazyStartByAge(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue(text("a", "1")) // taken in 1970
	run(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(q), Out: all, Lazy: Lazy{After: time.Hour}})
	u.welcome()
}

// waitStats waits until the bridge says what want looks for.
func waitStats(t *testing.T, b *running, want func(gateway.BridgeStats) bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !want(b.Stats()) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still %+v", b.Stats())
		}
	}
}

func TestMovesBackToThePrimaryServer(t *testing.T) {
	first, second, q := newUpstream(t), newUpstream(t), newFakeQueue()
	var down atomic.Bool
	down.Store(true)
	b := runTuned(t, Options{
		Servers: []*url.URL{first.url(), second.url()}, Lanes: one(q), Out: all, RetryPrimary: 20 * time.Millisecond,
		Dial: func(ctx context.Context, server *url.URL) (net.Conn, error) {
			if down.Load() && server.Host == first.url().Host {
				return nil, errors.New("the first server is down")
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", server.Host)
		},
	}, impatient)
	l, _ := second.welcome()
	if got := b.Stats().Server; got != second.url().String() {
		t.Errorf("server %s", got)
	}
	q.add(text("a", "1"))
	_, id, _ := l.expect(3).publishFields()
	down.Store(false)
	if c, err := first.l.Accept(); err != nil { // it looks before it leaps
		t.Fatal(err)
	} else {
		c.Close()
	}
	l.puback(id) // what is in flight is confirmed first
	l.expectGoodbye("moving to the primary server")
	first.welcome()
	if acks := q.waitAcks(t, 1); !slices.Equal(acks, []uint64{1}) {
		t.Errorf("acknowledged %v", acks)
	}
	if s := b.Stats(); s.Failures != 1 || s.Server != first.url().String() {
		t.Errorf("stats %+v", s)
	}
}

func TestCredentialsAreRenewedBeforeTheyEnd(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue()
	asked := 0
	b := run(t, Options{
		Servers: []*url.URL{u.url()}, Lanes: one(q), Out: all,
		Credentials: func(context.Context) (Credentials, error) {
			asked++
			return Credentials{Username: "u", Password: fmt.Sprint("secret-", asked), Expires: time.Now().Add(time.Duration(asked) * time.Second)}, nil
		},
	})
	l, connect := u.accept(0)
	if !bytes.Contains(connect.body, []byte("secret-1")) {
		t.Errorf("CONNECT %q", connect.body)
	}
	_, id, _ := l.expect(3).publishFields()
	l.puback(id)
	q.add(text("a", "1"))
	_, id, _ = l.expect(3).publishFields()
	waitStats(t, b, func(s gateway.BridgeStats) bool { return s.Inflight == 1 })
	l.puback(id)
	l.expectGoodbye("renewing credentials")
	if _, connect = u.accept(0); !bytes.Contains(connect.body, []byte("secret-2")) {
		t.Errorf("second CONNECT %q", connect.body)
	}
	if s := b.Stats(); s.Failures != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestCredentialsThatCannotBeMade(t *testing.T) {
	u := newUpstream(t)
	b := run(t, Options{
		Servers: []*url.URL{u.url()}, Lanes: one(newFakeQueue()),
		Credentials: func(context.Context) (Credentials, error) { return Credentials{}, errors.New("the clock is not set") },
	})
	waitError(t, b, "get credentials: the clock is not set")
	waitStats(t, b, func(s gateway.BridgeStats) bool { return s.Waiting == "retry" && !s.RetryAt.IsZero() })
}

// TestProfileCeilings keeps to what an upstream can take: no will, no retain, QoS 0, small payloads, its own state topic.
func TestProfileCeilings(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue(text("a", strings.Repeat("x", 11)), text("a", "short"))
	zero := gateway.QoS(0)
	run(t, Options{
		Servers: []*url.URL{u.url()}, Lanes: one(q), Out: []Route{{Filter: "#", QoS: 1, Retain: RetainSet}}, In: []Route{{Filter: "in", QoS: 1}},
		MaxQoS: &zero, NoRetain: true, NoWill: true, MaxPayload: 10, StateTopic: "my/state",
	})
	l, connect := u.accept(0)
	if flags := connect.body[7]; flags&0x3c != 0 {
		t.Errorf("CONNECT flags %#x, want no will", flags)
	}
	f := l.expect(8)
	if qos := f.body[len(f.body)-1]; qos != 0 {
		t.Errorf("subscribed at QoS %d", qos)
	}
	l.send(0x90, f.body[0], f.body[1], 0)
	for _, want := range []string{"my/state", "a"} {
		f := l.expect(3)
		topic := string(f.body[2 : 2+len(want)])
		if topic != want || f.head&0x0f != 0 {
			t.Errorf("publish %q with header %#x, want %q at QoS 0 without retain", topic, f.head, want)
		}
	}
	q.waitAcks(t, 2)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.parked[1] != "message has 11 bytes, the upstream allows 10" {
		t.Errorf("parked %v", q.parked)
	}
}

func TestStatusIsSentWhileConnected(t *testing.T) {
	u := newUpstream(t)
	n := 0
	run(t, Options{
		Servers: []*url.URL{u.url()}, Lanes: one(newFakeQueue()),
		Out:    []Route{{Filter: "#", LocalPrefix: "tidegate/gw/", RemotePrefix: "site/", QoS: 1}},
		Status: func() []byte { n++; return fmt.Append(nil, n) }, StatusEvery: 10 * time.Millisecond,
	})
	l, _ := u.welcome()
	const topic = "site/gateway/status"
	for want := 1; want <= 3; want++ {
		f := l.expect(3)
		if f.head != 0x31 || string(f.body[2:2+len(topic)]) != topic || string(f.body[2+len(topic):]) != fmt.Sprint(want) {
			t.Errorf("header %#x, %q", f.head, f.body)
		}
	}
}

// TestPersistentSessionNoticesALostConnection although paho then leaves the tokens of what was in flight open for ever.
func TestPersistentSessionNoticesALostConnection(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue(text("a", "1"))
	runTuned(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(q), Out: all, InboundPersistent: true, AckTimeout: time.Hour}, impatient)
	l, connect := u.accept(0)
	if flags := connect.body[7]; flags&0x02 != 0 {
		t.Errorf("CONNECT flags %#x, want a session that is kept", flags)
	}
	_, id, _ := l.expect(3).publishFields()
	l.puback(id)
	l.expect(3)
	l.c.Close()
	l, _ = u.welcome()
	_, id, _ = l.expect(3).publishFields()
	l.puback(id)
	if acks := q.waitAcks(t, 1); !slices.Equal(acks, []uint64{1}) {
		t.Errorf("acknowledged %v", acks)
	}
}

func TestSubscribesInParts(t *testing.T) {
	u := newUpstream(t)
	run(t, Options{
		Servers: []*url.URL{u.url()}, SubscribeBatch: 2,
		In: []Route{{Filter: "c", QoS: 1}, {Filter: "a", QoS: 1}, {Filter: "b", QoS: 1}},
	})
	l, _ := u.accept(0)
	for _, filters := range []int{2, 1} {
		f := l.expect(8)
		if got := (len(f.body) - 2) / 4; got != filters {
			t.Errorf("%d filters in %q, want %d", got, f.body, filters)
		}
		l.send(0x90, append([]byte{f.body[0], f.body[1]}, make([]byte, filters)...)...)
	}
	l.expect(3)
}

// TestRetainedInboundCommandKeepsItsFlag for which it is refused further on; and no other inbound message gets the flag on a command's topic.
func TestRetainedInboundCommandKeepsItsFlag(t *testing.T) {
	for _, retain := range []Retain{RetainKeep, RetainClear, RetainSet} {
		b := &Bridge{opts: Options{
			Topics: gateway.Topics{Base: "tidegate/gw"}, Now: time.Now,
			In: []Route{{Filter: "#", RemotePrefix: "down/", LocalPrefix: "tidegate/gw/", Retain: retain}},
		}}
		for topic, command := range map[string]bool{"down/m/set": true, "down/m/p/set": true, "down/m/get": true, "down/note": false} {
			for _, flag := range []bool{false, true} {
				rec, ok := b.incoming(fakeMessage{topic: topic, retained: flag})
				if !ok {
					t.Fatalf("%s has no route", topic)
				}
				want := flag
				if !command {
					want = retain.apply(flag)
				}
				if got := rec.Body.(*gateway.Message).Retain; got != want {
					t.Errorf("%s with retain %v by a route with retain %d: %v", topic, flag, retain, got)
				}
			}
		}
	}
}

// fakeMessage is an inbound message as paho hands it over.
type fakeMessage struct {
	topic    string
	retained bool
}

func (m fakeMessage) Duplicate() bool   { return false }
func (m fakeMessage) Qos() byte         { return 1 }
func (m fakeMessage) Retained() bool    { return m.retained }
func (m fakeMessage) Topic() string     { return m.topic }
func (m fakeMessage) MessageID() uint16 { return 1 }
func (m fakeMessage) Payload() []byte   { return nil }
func (m fakeMessage) Ack()              {}

// TestRateIsSaid shows that a bridge which is held back by its rate says so, and that a stop does not wait for it.
func TestRateIsSaid(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue(text("a", "1"), text("a", "2"))
	b := run(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(q), Out: all, Rate: Rate{Messages: 0.001}})
	l, _ := u.welcome()
	_, id, _ := l.expect(3).publishFields()
	l.puback(id)
	waitStats(t, b, func(s gateway.BridgeStats) bool { return s.Waiting == "rate" })
	go b.stop()
	l.expectGoodbye("stopped")
	b.end(t)
}

// TestHeadThatIsNotAcknowledgedEndsTheConnection although the connection itself is well: the upstream lost a PUBACK.
func TestHeadThatIsNotAcknowledgedEndsTheConnection(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue(text("a", "1"), text("a", "2"))
	b := runTuned(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(q), Out: all, AckTimeout: 50 * time.Millisecond}, impatient)
	for confirmed := false; !confirmed; { // a machine that is busy may take longer than the bridge waits, and gets another connection
		l, _ := u.welcome()
		if _, err := l.read(); err != nil {
			continue
		}
		if second, err := l.read(); err == nil {
			_, id, _ := second.publishFields()
			l.puback(id)
			confirmed = true
		}
	}
	waitError(t, b, "publish: no answer within 50ms")
	u.welcome()
	if acks := q.acksNow(); len(acks) > 0 {
		t.Errorf("acknowledged %v", acks)
	}
}

func TestLeastTimeBetweenConnections(t *testing.T) {
	b, err := New(Options{
		Servers: []*url.URL{{Scheme: "mqtt"}}, Dial: dialTCP, Local: newFakeLocal(), NextEpoch: newFakeQueue().NextEpoch, MinReconnect: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	impatient(b)
	for name, tt := range map[string]struct {
		err    error
		lasted time.Duration
		want   time.Duration
	}{
		"failed":        {errors.New("refused"), time.Second, 4 * time.Second},
		"left":          {farewell{reasonRenew}, 2 * time.Second, 3 * time.Second},
		"left long ago": {farewell{reasonRenew}, time.Minute, 0},
	} {
		if got := b.pauseAfter(tt.err, tt.lasted); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// TestWriteIsBounded although paho takes its own deadline away after each publish.
func TestWriteIsBounded(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	var cause error
	c := &guardedConn{Conn: near, writeTimeout: 20 * time.Millisecond, failed: func(err error) { cause = err }}
	if err := c.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("nobody reads this")); !errors.Is(err, os.ErrDeadlineExceeded) || cause == nil {
		t.Errorf("error %v, cause %v", err, cause)
	}
}

// TestStopWhileAWriteIsStuck breaks the connection off when the time for a stop is over, since neither paho nor the network gives up.
func TestStopWhileAWriteIsStuck(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue()
	for range 64 {
		q.add(text("a", strings.Repeat("x", 1<<20)))
	}
	b := run(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(q), Out: all, WriteTimeout: time.Hour, AckTimeout: time.Hour})
	l, _ := u.welcome()
	l.expect(3) // and nothing more is read
	waitStats(t, b, func(s gateway.BridgeStats) bool { return s.Inflight > 0 })
	b.end(t)
	if acks := q.acksNow(); len(acks) > 0 {
		t.Errorf("acknowledged %v", acks)
	}
}

// secureConn is a connection that knows its certificates.
type secureConn struct {
	net.Conn
	ends []time.Time
}

func (c secureConn) ConnectionState() (s tls.ConnectionState) {
	for _, end := range c.ends {
		s.PeerCertificates = append(s.PeerCertificates, &x509.Certificate{NotAfter: end})
	}
	return s
}

func TestStatsTellWhenACertificateEnds(t *testing.T) {
	u := newUpstream(t)
	soon := time.Now().Add(time.Hour)
	b := run(t, Options{
		Servers: []*url.URL{u.url()},
		Dial: func(ctx context.Context, server *url.URL) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", server.Host)
			return secureConn{c, []time.Time{soon.Add(time.Hour), soon}}, err
		},
	})
	u.welcome()
	if got := b.Stats().CertExpiry; !got.Equal(soon) {
		t.Errorf("%v, want %v", got, soon)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	server := []*url.URL{{Scheme: "mqtt", Host: "h:1883"}}
	good := Options{Servers: server, Dial: dialTCP, Lanes: one(newFakeQueue()), NextEpoch: newFakeQueue().NextEpoch, Local: newFakeLocal(), Out: all}
	for want, change := range map[string]func(*Options){
		"no server":              func(o *Options) { o.Servers = nil },
		"scheme must be":         func(o *Options) { o.Servers = []*url.URL{{Scheme: "http", Host: "h"}} },
		"are needed":             func(o *Options) { o.Local = nil },
		"Dial, NextEpoch":        func(o *Options) { o.Dial = nil },
		"needs a lane":           func(o *Options) { o.Lanes, o.Out, o.Lazy.Records = nil, nil, 1 },
		"lane 3 of 1":            func(o *Options) { o.Out = []Route{{Filter: "#", Lane: 3}} },
		"route x/#: a batch nee": func(o *Options) { o.Out = []Route{{LocalPrefix: "x/", Filter: "#", Form: FormBatch}} },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
}

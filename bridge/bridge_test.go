package bridge

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/gateway"
)

func TestConnectCarriesWillOfItsEpoch(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue()
	run(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(q), Out: all})
	l, connect := u.accept(0)
	if got := connect.body[:8]; !bytes.Equal(got[:7], []byte("\x00\x04MQTT\x04")) {
		t.Errorf("CONNECT begins % x, want MQTT level 4", got)
	}
	if flags := connect.body[7]; flags&0x02 == 0 || flags&0x3c != 0x2c {
		t.Errorf("CONNECT flags %#x, want a clean session and a retained will at QoS 1", flags)
	}
	if !bytes.Contains(connect.body, []byte(`{"state":"offline","epoch":1,`)) || !bytes.Contains(connect.body, []byte("tidegate/gw/gateway/state")) {
		t.Errorf("no will with epoch 1 in %q", connect.body)
	}
	f := l.expect(3)
	topic, _, payload := f.publishFields()
	if topic != "tidegate/gw/gateway/state" || !strings.HasPrefix(payload, `{"state":"online","epoch":1,`) || f.head&1 == 0 {
		t.Errorf("birth %q on %q, header %#x", payload, topic, f.head)
	}
}

func TestStateTopicFollowsItsRoute(t *testing.T) {
	u := newUpstream(t)
	run(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(newFakeQueue()), Out: []Route{
		{Filter: "#", LocalPrefix: "tidegate/gw/", RemotePrefix: "site/7/", QoS: 1},
	}})
	l, _ := u.accept(0)
	if topic, _, _ := l.expect(3).publishFields(); topic != "site/7/gateway/state" {
		t.Errorf("birth on %q", topic)
	}
}

// TestLostConnectionAcknowledgesNothing is the mistake that paho's reconnection would make: tokens that succeed without a PUBACK.
func TestLostConnectionAcknowledgesNothing(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue(text("a", "1"), text("a", "2"), text("a", "3"))
	run(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(q), Out: all})
	l, _ := u.welcome()
	_, first, _ := l.expect(3).publishFields()
	l.expect(3)
	l.expect(3)
	l.puback(first)
	if acks := q.waitAcks(t, 1); !slices.Equal(acks, []uint64{1}) {
		t.Fatalf("acknowledged %v", acks)
	}
	l.c.Close()

	l, birth := u.welcome()
	if !strings.Contains(birth, `"epoch":2`) {
		t.Errorf("second birth %s", birth)
	}
	for want := 2; want <= 3; want++ {
		f := l.expect(3)
		_, id, payload := f.publishFields()
		if payload != fmt.Sprint(want) || f.head&0x08 != 0 {
			t.Errorf("got %q with header %#x, want %d as a first publish of this connection", payload, f.head, want)
		}
		l.puback(id)
	}
	if acks := q.waitAcks(t, 3); !slices.Equal(acks, []uint64{1, 2, 3}) {
		t.Errorf("acknowledged %v", acks)
	}
}

func TestAcknowledgesFromTheHead(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue(text("a", "1"), text("a", "2"), text("a", "3"))
	run(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(q), Out: all})
	l, _ := u.welcome()
	var ids []uint16
	for range 3 {
		_, id, _ := l.expect(3).publishFields()
		ids = append(ids, id)
	}
	l.puback(ids[2])
	l.puback(ids[1])
	l.puback(ids[0])
	if acks := q.waitAcks(t, 3); !slices.Equal(acks, []uint64{1, 2, 3}) {
		t.Errorf("acknowledged %v", acks)
	}
}

func TestWindowBoundsWhatIsInFlight(t *testing.T) {
	q := newFakeQueue()
	for i := range 20 {
		q.add(text("a", fmt.Sprint(i)))
	}
	u := newUpstream(t)
	run(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(q), Out: all, MaxInflight: 4})
	l, _ := u.welcome()
	var ids []uint16
	for range 4 {
		_, id, _ := l.expect(3).publishFields()
		ids = append(ids, id)
	}
	if !l.silent(200 * time.Millisecond) {
		t.Error("more than the window is in flight")
	}
	l.puback(ids[0])
	l.expect(3)
}

// What goes out does not wait for what may not come in: the refusal is said, and the filter is asked for again.
func TestRefusedFilterHoldsNothingUp(t *testing.T) {
	u := newUpstream(t)
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	b := runTuned(t, Options{
		Servers: []*url.URL{u.url()}, Lanes: one(newFakeQueue(text("a", "out"))), Out: all,
		In: []Route{{Filter: "x/#", QoS: 1}, {Filter: "y/#", QoS: 1}},
	}, func(b *Bridge) { b.insistence = func() time.Duration { <-gate; return 0 } })
	l, _ := u.accept(0)
	f := l.expect(8)
	codes := []byte{0x80, 1}
	if f.body[4] != 'x' { // the order of the filters in the packet is paho's
		codes = []byte{1, 0x80}
	}
	l.send(0x90, append([]byte{f.body[0], f.body[1]}, codes...)...)
	for _, want := range []string{"tidegate/gw/gateway/state", "a"} {
		topic, id, _ := l.expect(3).publishFields()
		if topic != want {
			t.Errorf("got %s, want %s", topic, want)
		}
		l.puback(id)
	}
	waitError(t, b, `subscribe to ["x/#"]: the upstream refused it`)
	open()
	f = l.expect(8)
	if filters := string(f.body[4 : len(f.body)-1]); filters != "x/#" {
		t.Errorf("asked again for %q", filters)
	}
	l.send(0x90, f.body[0], f.body[1], 1)
	if !l.silent(100 * time.Millisecond) {
		t.Error("asked again for what is served")
	}
}

// TestOverlongSubackDoesNotPanic guards against an index beyond the filters inside paho.
func TestOverlongSubackDoesNotPanic(t *testing.T) {
	u := newUpstream(t)
	b := run(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(newFakeQueue()), In: []Route{{Filter: "x/#", QoS: 1}}})
	l, _ := u.accept(0)
	f := l.expect(8)
	l.send(0x90, f.body[0], f.body[1], 1, 1, 1, 1)
	waitError(t, b, "more return codes")
}

func TestOversizedPacketEndsTheConnection(t *testing.T) {
	u := newUpstream(t)
	b := run(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(newFakeQueue()), Out: all})
	l, _ := u.welcome()
	if _, err := l.c.Write([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}); err != nil {
		t.Fatal(err)
	}
	waitError(t, b, "the limit is 1048576")
}

func TestRefusedCredentialsAreAClassOfTheirOwn(t *testing.T) {
	u := newUpstream(t)
	b := run(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(newFakeQueue())})
	u.accept(5)
	waitError(t, b, "not Authorized")
}

// waitError waits until the bridge has failed with this text.
func waitError(t *testing.T, b *running, want string) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if last := b.Stats().LastError; strings.Contains(last, want) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("last error %q, want %q", b.Stats().LastError, want)
		}
	}
}

func TestInboundIsConfirmedWhenItIsSafe(t *testing.T) {
	u, local := newUpstream(t), newFakeLocal()
	run(t, Options{
		Servers: []*url.URL{u.url()}, Lanes: one(newFakeQueue()), Local: local,
		In: []Route{{Filter: "cmd/#", RemotePrefix: "site/", LocalPrefix: "here/", QoS: 1}},
	})
	l, _ := u.accept(0)
	f := l.expect(8)
	if !bytes.Contains(f.body, []byte("site/cmd/#")) {
		t.Errorf("SUBSCRIBE %q", f.body)
	}
	l.send(0x90, f.body[0], f.body[1], 1)
	_, id, _ := l.expect(3).publishFields()
	l.puback(id)

	l.publish("site/cmd/a", "first", 7)
	l.publish("site/cmd/b", "second", 8)
	first, second := local.inbound(t), local.inbound(t)
	m := first.rec.Body.(*gateway.Message)
	want := &gateway.Message{Topic: "here/cmd/a", Payload: []byte("first"), QoS: 1}
	if diff := cmp.Diff(want, m); diff != "" || first.rec.Origin != "cloud" {
		t.Errorf("origin %q, %s", first.rec.Origin, diff)
	}
	second.done(nil) // the second is safe first, but is confirmed second
	if !l.silent(200 * time.Millisecond) {
		t.Error("a PUBACK left before the first message was safe")
	}
	first.done(nil)
	for _, want := range []byte{7, 8} {
		if f := l.expect(4); f.body[1] != want {
			t.Errorf("PUBACK of %d, want %d", f.body[1], want)
		}
	}
}

func TestStopConfirmsTheWindowAndSaysGoodbye(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue(text("a", "1"))
	b := run(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(q), Out: all})
	l, _ := u.welcome()
	_, id, _ := l.expect(3).publishFields()
	b.stop()
	l.puback(id)
	f := l.expect(3)
	_, id, payload := f.publishFields()
	if !strings.Contains(payload, `"state":"offline"`) || !strings.Contains(payload, `"reason":"stopped"`) {
		t.Errorf("goodbye %s", payload)
	}
	l.puback(id)
	l.expect(14)
	b.end(t)
	if acks := q.waitAcks(t, 1); !slices.Equal(acks, []uint64{1}) {
		t.Errorf("acknowledged %v", acks)
	}
}

func TestStopWhileTheUpstreamIsSilent(t *testing.T) {
	u := newUpstream(t)
	b := run(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(newFakeQueue())})
	c, err := u.l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 1)
	if _, err := c.Read(buf); err != nil { // CONNECT has come, no CONNACK follows
		t.Fatal(err)
	}
	b.end(t)
}

func TestUnsendableRecordIsSetAside(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue(text(strings.Repeat("t", 65535), "x"), text("a", "next"))
	run(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(q), Out: []Route{{Filter: "#", RemotePrefix: "p/", QoS: 1}}})
	l, _ := u.welcome()
	_, id, payload := l.expect(3).publishFields()
	if payload != "next" {
		t.Errorf("got %q", payload)
	}
	l.puback(id)
	q.waitAcks(t, 2)
	q.mu.Lock()
	defer q.mu.Unlock()
	if !strings.Contains(q.parked[1], "65537 bytes") {
		t.Errorf("parked %v", q.parked)
	}
}

func TestOutgoing(t *testing.T) {
	b := &Bridge{opts: Options{Topics: gateway.Topics{Base: "tidegate/gw"}, Out: []Route{
		{Filter: "alarm", LocalPrefix: "tidegate/gw/", RemotePrefix: "urgent/", QoS: 1, Retain: RetainClear},
		{Filter: "tidegate/#", QoS: 0, Retain: RetainSet},
	}}}
	for name, tt := range map[string]struct {
		body gateway.Body
		want []string // topic, QoS, retain
	}{
		"first route wins":         {&gateway.Message{Topic: "tidegate/gw/alarm", Retain: true}, []string{"urgent/alarm 1 false"}},
		"second route":             {&gateway.Message{Topic: "tidegate/gw/x"}, []string{"tidegate/gw/x 0 true"}},
		"no route":                 {&gateway.Message{Topic: "other"}, nil},
		"a gap needs no route":     {&gateway.Gap{Queue: "upstream/cloud", Reason: "restart"}, []string{"tidegate/gw/gateway/gap 0 true"}},
		"a batch becomes messages": {batch(), []string{"tidegate/gw/m 0 true", "tidegate/gw/m/p 0 true"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, m := range b.outgoing(nil, &gateway.Record{Body: tt.body}, 0, false) {
				got = append(got, fmt.Sprint(m.Topic, " ", m.QoS, " ", m.Retain))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func batch() *gateway.Batch {
	return &gateway.Batch{
		Topic: "tidegate/gw/m", Publish: gateway.PublishBoth, Names: []string{"p"},
		Readings: []gateway.Reading{{Value: gateway.Int(1), Quality: gateway.QualityGood}},
	}
}

package bridge

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

// envelope is what a test reads of a batch.
type envelope struct {
	Gateway, Store string
	Records        []struct {
		Seq     uint64
		Topic   string
		Backlog bool
	}
}

func parseEnvelope(t *testing.T, payload string) envelope {
	t.Helper()
	var e envelope
	if err := json.Unmarshal([]byte(payload), &e); err != nil {
		t.Fatalf("%v in %s", err, payload)
	}
	return e
}

func TestBatchIsAcknowledgedAsAWhole(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue()
	for i := range 7 {
		q.add(text("a", fmt.Sprint(i)))
	}
	b := run(t, Options{
		Servers: []*url.URL{u.url()}, Lanes: one(q), GatewayID: "gw", StoreID: "st",
		Out: []Route{{Filter: "#", RemotePrefix: "r/", QoS: 1, Form: FormBatch, Batch: Batch{Topic: "many", MaxRecords: 3, Linger: 50 * time.Millisecond}}},
	})
	l, _ := u.welcome()
	var seqs []uint64
	for _, want := range []int{3, 3, 1} {
		topic, id, payload := l.expect(3).publishFields()
		e := parseEnvelope(t, payload)
		if topic != "many" || e.Gateway != "gw" || e.Store != "st" || len(e.Records) != want {
			t.Fatalf("%s: %s, want %d records", topic, payload, want)
		}
		for _, r := range e.Records {
			seqs = append(seqs, r.Seq)
			if r.Topic != "r/a" || !r.Backlog {
				t.Errorf("record %+v", r)
			}
		}
		acked := len(q.acksNow())
		if acked != len(seqs)-want {
			t.Errorf("%d acknowledgements before the PUBACK, want %d", acked, len(seqs)-want)
		}
		l.puback(id)
		q.waitAcks(t, len(seqs))
	}
	if want := []uint64{101, 102, 103, 104, 105, 106, 107}; !slices.Equal(seqs, want) {
		t.Errorf("sent %v", seqs)
	}
	if got := b.Stats().Batches; got != 3 {
		t.Errorf("%d batches", got)
	}
	q.add(text("a", "live"))
	_, _, payload := l.expect(3).publishFields()
	if e := parseEnvelope(t, payload); len(e.Records) != 1 || e.Records[0].Backlog {
		t.Errorf("live: %s", payload)
	}
}

// TestBatchLingers holds back what is alone, and sends it together with what comes while it lingers.
func TestBatchLingers(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue(text("a", "1"))
	run(t, Options{
		Servers: []*url.URL{u.url()}, Lanes: one(q),
		Out: []Route{{Filter: "#", QoS: 1, Form: FormBatch, Batch: Batch{Topic: "many", MaxRecords: 2, Linger: time.Hour}}},
	})
	l, _ := u.welcome()
	if !l.silent(100 * time.Millisecond) {
		t.Error("sent before it was full or had lingered")
	}
	q.add(text("a", "2"))
	_, _, payload := l.expect(3).publishFields()
	if e := parseEnvelope(t, payload); len(e.Records) != 2 {
		t.Errorf("got %s", payload)
	}
}

func TestBatchIsBoundedInBytes(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue()
	for range 40 {
		q.add(text("a", strings.Repeat("x", 100)))
	}
	run(t, Options{
		Servers: []*url.URL{u.url()}, Lanes: one(q),
		Out: []Route{{Filter: "#", QoS: 1, Form: FormBatch, Batch: Batch{Topic: "many", MaxBytes: 2000, Linger: 1}}},
	})
	l, _ := u.welcome()
	for n := 0; n < 40; {
		_, id, payload := l.expect(3).publishFields()
		if len(payload) > 2000 {
			t.Fatalf("%d bytes", len(payload))
		}
		n += len(parseEnvelope(t, payload).Records)
		l.puback(id)
	}
	q.waitAcks(t, 40)
}

// TestEnvelopeSizeIsEnough, or an upstream would get more than it takes and cut the connection.
func TestEnvelopeSizeIsEnough(t *testing.T) {
	for _, text := range []string{
		"", `{"u":230.1}`, strings.Repeat("\x01", 1000), strings.Repeat(`"`, 1000), strings.Repeat("\n\\", 500), strings.Repeat("\xff", 1000), strings.Repeat("ä", 500),
	} {
		m := &outgoing{gateway.Message{Topic: `a/"b"`, Payload: []byte(text), Retain: true}, nil}
		e := payload.NewEnvelope("", "")
		rec := &gateway.Record{Seq: 1 << 53, Time: time.UnixMilli(1), ClockUnset: true}
		first := e.Add(rec, m.Topic, &m.Message, true)
		if size := e.Add(rec, m.Topic, &m.Message, true) - first; size > envelopeSize(m) {
			t.Errorf("%.20q takes %d bytes, %d were expected", text, size, envelopeSize(m))
		}
	}
}

// TestRecordInSeveralMessages is acknowledged with the last of them, whichever way they leave.
func TestRecordInSeveralMessages(t *testing.T) {
	u, q := newUpstream(t), newFakeQueue(batch(), text("end", ""))
	run(t, Options{
		Servers: []*url.URL{u.url()}, Lanes: one(q),
		Out: []Route{
			{Filter: "tidegate/gw/m/p", QoS: 1, Form: FormBatch, Batch: Batch{Topic: "slow", Linger: 200 * time.Millisecond}},
			{Filter: "tidegate/gw/m", QoS: 1, Form: FormBatch, Batch: Batch{Topic: "fast", Linger: 1}},
			{Filter: "#", QoS: 1},
		},
	})
	l, _ := u.welcome()
	got := map[string]uint16{}
	for range 3 {
		topic, id, _ := l.expect(3).publishFields()
		got[topic] = id
	}
	l.puback(got["end"])
	l.puback(got["fast"])
	if acks := q.waitAcks(t, 1); !slices.Equal(acks, []uint64{2}) {
		t.Errorf("acknowledged %v before the last part was", acks)
	}
	l.puback(got["slow"])
	if acks := q.waitAcks(t, 2); !slices.Equal(acks, []uint64{2, 1}) {
		t.Errorf("acknowledged %v", acks)
	}
}

// TestBatchOfTwoLanes keeps apart what a route sends for its lane and for one that an earlier configuration filled: each is acknowledged to its own queue.
func TestBatchOfTwoLanes(t *testing.T) {
	u, own := newUpstream(t), newFakeQueue(text("a", "1"))
	left := newFakeQueue(text("a", "2"), text("a", "3"))
	run(t, Options{
		Servers: []*url.URL{u.url()},
		Lanes:   []Lane{{Queue: own}, {Queue: left, Moved: 2}},
		Out:     []Route{{Filter: "#", QoS: 1, Form: FormBatch, Batch: Batch{Topic: "many", Linger: 50 * time.Millisecond}}},
	})
	l, _ := u.welcome()
	for range 2 {
		_, id, _ := l.expect(3).publishFields()
		l.puback(id)
	}
	if a, b := own.waitAcks(t, 1), left.waitAcks(t, 2); !slices.Equal(a, []uint64{1}) || !slices.Equal(b, []uint64{1, 2}) {
		t.Errorf("acknowledged %v and %v", a, b)
	}
}

func TestForms(t *testing.T) {
	points := Route{Filter: "m/#", LocalPrefix: "tidegate/gw/", RemotePrefix: "r/", QoS: 1, Form: FormPoints}
	device := points
	device.Filter = "m"
	for name, tt := range map[string]struct {
		routes  []Route
		publish gateway.PublishMode
		want    []string
	}{
		"points of a device that publishes itself": {[]Route{points}, gateway.PublishDevice, []string{"r/m/p 1"}},
		"points of a device that publishes both":   {[]Route{points}, gateway.PublishBoth, []string{"r/m/p 1"}},
		"the route names the device only":          {[]Route{device}, gateway.PublishDevice, []string{"r/m/p 1"}},
		"an earlier route takes the point":         {[]Route{{Filter: "+/+/+/p", QoS: 1}, points}, gateway.PublishBoth, []string{"tidegate/gw/m/p 1"}},
		"another lane's":                           {[]Route{{Filter: "#", Lane: 1}}, gateway.PublishBoth, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := &Bridge{opts: Options{Topics: gateway.Topics{Base: "tidegate/gw"}, Out: tt.routes}}
			body := batch()
			body.Publish = tt.publish
			var got []string
			for _, m := range b.outgoing(nil, &gateway.Record{Body: body}, 0, false) {
				got = append(got, m.Topic+" "+string(m.Payload))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

package localbroker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

func message(topic, payload string, qos gateway.QoS, retain bool) *gateway.Message {
	return &gateway.Message{Topic: topic, Payload: []byte(payload), QoS: qos, Retain: retain}
}

// inside publishes from inside the process and returns what done was told.
func (r *rig) inside(origin string, body gateway.Body) <-chan error {
	done := make(chan error, 2)
	r.broker.Publish(&gateway.Record{Origin: origin, Body: body}, func(err error) { done <- err })
	return done
}

func TestAMessageIsNotOfferedToItsOwner(t *testing.T) {
	r := start(t)
	east := r.queue("east", localbroker.QueueSub{Owner: "east", Filters: []string{"a/#"}})
	west := r.queue("west", localbroker.QueueSub{Owner: "west", Filters: []string{"a/#"}})
	<-r.inside("east", message("a/x", "1", 0, false))
	if d := west.read(1)[0]; d.Record.Origin != "east" || d.QoS != 0 || d.Record.Seq == 0 {
		t.Errorf("got %+v", d)
	}
	east.empty()
	r.clean("c").publish("a/y", "2", 0, 0, false)
	west.read(1)
	east.read(1)
}

func TestOfOneOwnersQueuesTheFirstGetsIt(t *testing.T) {
	r := start(t)
	low := r.queue("low", localbroker.QueueSub{Owner: "east", Filters: []string{"#", "b"}, Ranks: []int{2, 0}})
	high := r.queue("high", localbroker.QueueSub{Owner: "east", Filters: []string{"a/#", "b"}, Ranks: []int{1, 1}})
	other := r.queue("other", localbroker.QueueSub{Owner: "west", Filters: []string{"a/x"}, Ranks: []int{9}})
	<-r.inside("", message("a/x", "1", 0, false))
	high.read(1)
	other.read(1)
	low.empty()
	<-r.inside("", message("b", "2", 0, false))
	low.read(1)
	high.empty()
}

func TestExcludedTopicsAreNotOffered(t *testing.T) {
	r := start(t)
	q := r.queue("q", localbroker.QueueSub{Filters: []string{"a/#", "a/+", "#"}, Exclude: []string{"a/private/#"}})
	<-r.inside("", message("a/private/x", "1", 0, false))
	<-r.inside("", message("a/b", "2", 0, false))
	if d := q.read(1)[0]; string(d.Record.Body.(*gateway.Message).Payload) != "2" {
		t.Errorf("got %+v", d.Record.Body)
	}
	q.empty() // filters that overlap offer once
}

func TestQueuesKeepTheRetainFlagAndGetEveryQoS(t *testing.T) {
	r := start(t)
	q := r.queue("q", localbroker.QueueSub{Filters: []string{"#"}})
	p := r.clean("p")
	for qos := range packet.QoS(3) {
		p.publish(fmt.Sprint("t", qos), "x", qos, 1+uint16(qos), qos == 1)
	}
	for qos, d := range q.read(3) {
		if d.QoS != gateway.QoS(qos) || d.Retain != (qos == 1) || d.View != 0 {
			t.Errorf("QoS %d: got %+v", qos, d.Ref)
		}
	}
}

func TestRetainedCommandsAreOfferedButNotRetained(t *testing.T) {
	r := start(t)
	inbox := r.queue("inbox", localbroker.QueueSub{Filters: []string{"tg/+/set"}, Barrier: true, NoRetain: true})
	c := r.clean("c")
	c.publish("tg/pump/set", "1", 1, 1, true)
	c.expect("40 02 00 01")
	if d := inbox.read(1)[0]; !d.Retain {
		t.Error("the inbox cannot see that the command had the retain flag")
	}
	if n := r.broker.Stats().Retained; n != 0 {
		t.Errorf("%d retained messages, want none", n)
	}
}

func TestPublishAnswersOnce(t *testing.T) {
	r := start(t)
	r.mem.hold()
	q := r.queue("q", localbroker.QueueSub{Filters: []string{"kept/#"}})
	at := r.inside("", message("nobody", "x", 1, true))
	if err := <-at; err != nil {
		t.Error(err)
	}
	for name, done := range map[string]<-chan error{
		"for its consumer":                   r.inside("up", message("kept/a", "x", 0, false)),
		"for its retained copy":              r.inside("up", message("b", "x", 1, true)),
		"for both":                           r.inside("up", message("kept/b", "x", 1, true)),
		"for everything in one, with QoS 2":  r.inside("up", message("kept/c", "x", 2, true)),
		"for its retained copy, with QoS 2":  r.inside("up", message("c", "x", 2, true)),
		"for its consumer alone, with QoS 2": r.inside("up", message("kept/d", "x", 2, false)),
	} {
		select {
		case err := <-done:
			t.Errorf("%s: answered with %v before the commit", name, err)
		default:
		}
		defer func() {
			if err := <-done; err != nil {
				t.Errorf("%s: %v", name, err)
			}
			select {
			case <-done:
				t.Errorf("%s: answered twice", name)
			default:
			}
		}()
	}
	q.read(1)
	r.mem.release()
}

func TestPublishRefusesWhatCannotBePublished(t *testing.T) {
	r := start(t)
	for name, body := range map[string]gateway.Body{
		"wildcard":        message("a/+", "", 0, false),
		"empty topic":     message("", "", 0, false),
		"too many levels": message(strings.Repeat("a/", 200), "", 0, false),
		"QoS 3":           message("a", "", 3, false),
		"gap":             &gateway.Gap{},
	} {
		if err := <-r.inside("", body); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestPublishBeforeReadyIsRefused(t *testing.T) {
	store := openMemStore(newImage())
	defer store.stop(true)
	b, err := localbroker.New(localbroker.Options{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	b.Publish(&gateway.Record{Body: message("a", "", 0, false)}, func(err error) { done <- err })
	if err := <-done; !errors.Is(err, localbroker.ErrNotReady) {
		t.Errorf("got %v, want %v", err, localbroker.ErrNotReady)
	}
}

func TestNewNeedsAStore(t *testing.T) {
	if _, err := localbroker.New(localbroker.Options{}); err == nil {
		t.Error("a broker without a store was made")
	}
}

// The broker is the only router in the house, also where nobody listens.
func TestItWorksWithoutAListener(t *testing.T) {
	store := openMemStore(newImage())
	defer store.stop(true)
	b, err := localbroker.New(localbroker.Options{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	q := store.Queue("q")
	b.AddQueue(localbroker.QueueSub{Queue: q, Filters: []string{"a"}})
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { _ = b.Run(ctx) })
	<-b.Ready()
	done := make(chan error, 1)
	b.Publish(&gateway.Record{Body: message("a", "x", 1, false)}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Error(err)
	}
	buf := make([]gateway.Delivery, 2)
	if n, _ := store.Read(q, 0, buf); n != 1 {
		t.Errorf("%d deliveries, want 1", n)
	}
	cancel()
	run.Wait()
	noLeaks(t)
}

func TestRetainedMessagesFromInside(t *testing.T) {
	r := start(t)
	for _, done := range []<-chan error{r.inside("", message("own", "x", 1, true)), r.inside("up", message("cloud", "y", 1, true))} {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	c := r.clean("c")
	c.subscribe("own", 0)
	c.expectPublish("own", "x", 0, 0, true, false)
	c.subscribe("cloud", 0)
	c.expectPublish("cloud", "y", 0, 0, true, false)
	r.restart() // the gateway publishes its own again, an upstream need not
	c = r.clean("c")
	c.subscribe("#", 0)
	c.expectPublish("cloud", "y", 0, 0, true, false)
	c.nothing()
}

func TestRetainedMessagesAreLimited(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.MaxRetained, o.MaxRetainedBytes = 3, 2000 })
	p := r.clean("p")
	s := r.clean("s")
	s.subscribe("#", 0)
	p.publish("a", "1", 1, 1, true)
	p.publish("b", strings.Repeat("x", 1000), 1, 2, true)
	p.publish("c", strings.Repeat("x", 1000), 1, 3, true) // too many bytes
	p.publish("d", strings.Repeat("x", 1000), 2, 4, true) // the same at QoS 2
	p.publish("b", "2", 1, 5, true)                       // smaller than what it replaces
	p.publish("e", "3", 1, 6, true)                       // the last place
	p.publish("f", "4", 1, 7, true)                       // too many
	p.publish("a", "", 1, 8, true)                        // room again
	p.publish("f", "5", 1, 9, true)                       // for this one
	p.expect("40 02 00 01 | 40 02 00 02 | 40 02 00 03 | 50 02 00 04 | 40 02 00 05 | 40 02 00 06 | 40 02 00 07 | 40 02 00 08 | 40 02 00 09")
	<-r.inside("", message("own", strings.Repeat("x", 3000), 1, true)) // the gateway's own do not count
	<-r.inside("up", message("g", "6", 1, true))                       // an upstream's do
	for range 11 {
		s.next() // all are delivered
	}
	if n := r.broker.RefusedRetained(); n != 4 {
		t.Errorf("%d messages were counted as not retained, want 4", n)
	}
	late := r.clean("late")
	late.subscribe("#", 0)
	var topics []string
	for range 4 {
		topics = append(topics, string(late.nextPublish().Topic))
	}
	slices.Sort(topics)
	if want := []string{"b", "e", "f", "own"}; !slices.Equal(topics, want) {
		t.Errorf("retained are %v, want %v", topics, want)
	}
	r.log.await(t, "delivered but not retained", "topic=c") // the first one; not each has a line
}

func TestStatsAndClients(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.Auth = anybody{} })
	away := r.persistent("away", false)
	away.subscribe("x", 1)
	away.close()
	eventually(t, "no connection", func() bool { return r.broker.Stats().Connections == 0 })
	c := r.dial()
	c.connect(&packet.Connect{ClientID: "here", CleanStart: true, Username: packet.Some("ann")})
	c.expect("20 02 00 00")
	c.subscribe("a", 1)
	c.publish("a", "x", 1, 1, true)
	got := map[packet.Type]bool{c.next().Type(): true, c.next().Type(): true}
	if !got[packet.TypePublish] || !got[packet.TypePuback] {
		t.Fatalf("got %v", got)
	}
	eventually(t, "one message sent", func() bool { return r.broker.Stats().Sent == 1 })
	st := r.broker.Stats()
	if st.Connections != 1 || st.Sessions != 1 || st.Subscriptions != 2 || st.Retained != 1 || st.Received != 1 || st.BytesIn == 0 || st.BytesOut == 0 {
		t.Errorf("got %+v", st)
	}
	list := r.broker.Clients()
	if len(list) != 2 || list[0].ID != "away" || list[1].ID != "here" {
		t.Fatalf("got %+v", list)
	}
	if a := list[0]; !a.Persistent || a.Remote != "" || a.Since.IsZero() || a.Subscriptions != 1 {
		t.Errorf("got %+v", a)
	}
	if h := list[1]; h.Persistent || h.User != "ann" || h.Version != "3.1.1" || h.Remote == "" || h.Since.IsZero() || h.Inflight != 1 {
		t.Errorf("got %+v", h)
	}
}

func TestEndOfServeEndsItsConnectionsOnly(t *testing.T) {
	r := start(t)
	stays := r.clean("stays")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- r.broker.Serve(ctx, ln, localbroker.ListenerOptions{AllowAnonymous: true}) }()
	goes := r.dialTo(ln.Addr().String())
	goes.connect(&packet.Connect{ClientID: "goes", CleanStart: true})
	goes.expect("20 02 00 00")
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	goes.closed()
	stays.nothing()
}

func TestSessionsAreLimited(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.MaxSessions = 1 })
	r.persistent("a", false)
	c := r.dial()
	c.connect(&packet.Connect{ClientID: "b"})
	c.expect("20 02 00 03")
	c.closed()
	r.persistent("a", true)
	r.clean("a") // ends the stored one
	r.persistent("b", false)
}

func TestMQTT_4_8_0_2_AStoreThatClosesEndsTheConnectionWithoutAnAnswer(t *testing.T) {
	r := start(t)
	r.queue("q", localbroker.QueueSub{Filters: []string{"a"}})
	r.mem.hold()
	c := r.clean("c")
	c.publish("a", "x", 1, 1, false)
	r.mem.awaitPending(t, "the message", hasRecord)
	r.mem.stop(false)
	c.closed()
	r.log.await(t, "client=c", "store is closed")
}

func TestGapsAreToldToSessionsThatAskForThem(t *testing.T) {
	r := start(t)
	deaf, s := r.persistent("deaf", false), r.persistent("s", false)
	deaf.subscribe("a", 1)
	s.subscribe("a", 1)
	s.subscribe("tg/x/gateway/gap", 1)
	for _, id := range []string{"deaf", "s"} {
		q := r.store.Queue("session/" + id)
		r.store.Commit(&gateway.Change{
			Record: &gateway.Record{Body: &gateway.Gap{Queue: "session/" + id, From: 1, To: 9, Count: 9, Reason: "size"}},
			To:     []gateway.Ref{{Queue: q}},
		}, nil)
	}
	gap := s.next().(*packet.Publish)
	if string(gap.Topic) != "tg/x/gateway/gap" || !strings.Contains(string(gap.Payload), `"count":9`) {
		t.Fatalf("got %s: %s", gap.Topic, gap.Payload)
	}
	r.clean("p").publish("a", "x", 1, 1, false)
	deaf.expectPublish("a", "x", 1, 2, false, false)
	s.expectPublish("a", "x", 1, 2, false, false)
	if n := r.broker.Stats().Dropped; n != 18 {
		t.Errorf("%d messages were counted as lost, want 18", n)
	}
}

// Whatever a device publishes, sessions and queues get it, and the seq in its payload is the record's.
func TestBatchesOfEveryPublishMode(t *testing.T) {
	for mode, want := range map[gateway.PublishMode][]string{
		gateway.PublishDevice: {"tg/x/m"},
		gateway.PublishPoints: {"tg/x/m/p"},
		gateway.PublishBoth:   {"tg/x/m", "tg/x/m/p"},
	} {
		t.Run(fmt.Sprint(want), func(t *testing.T) {
			r := start(t)
			up := r.queue("cloud", localbroker.QueueSub{Filters: []string{"tg/x/m"}, Barrier: true})
			c, s := r.clean("c"), r.persistent("s", false)
			c.subscribe("tg/#", 1)
			s.subscribe("tg/#", 1)
			rec := &gateway.Record{Body: &gateway.Batch{
				Topic: "tg/x/m", Publish: mode, Names: []string{"none", "p"},
				Readings: []gateway.Reading{{Quality: gateway.QualityGood}, {Quality: gateway.QualityGood, Value: gateway.Int(7)}},
			}}
			r.broker.Publish(rec, nil)
			for i, topic := range want {
				for _, sub := range []*raw{c, s} {
					p := sub.nextPublish()
					if string(p.Topic) != topic || p.QoS != 1 || p.Retain || p.ID != uint16(i+1) {
						t.Errorf("got %s at QoS %d with id %d, want %s", p.Topic, p.QoS, p.ID, topic)
					}
					if topic == "tg/x/m" && !strings.Contains(string(p.Payload), fmt.Sprintf(`"seq":%d,`, rec.Seq)) {
						t.Errorf("got %s, want seq %d", p.Payload, rec.Seq)
					}
				}
			}
			if d := up.read(1)[0]; d.Record != rec {
				t.Errorf("the queue got %+v", d)
			}
			c.nothing()
			s.nothing()
		})
	}
}

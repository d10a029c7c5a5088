package localbroker_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// gate is rights that keep a connection's reader at one topic for a while.
type gate struct {
	once          sync.Once
	reached, open chan struct{}
	withdrawn     atomic.Bool // the right to publish to topic a
}

func (g *gate) Rights(string, string) localbroker.Rights { return g }

func (g *gate) MayPublish(topic string) bool {
	if topic == "gate" {
		g.once.Do(func() { close(g.reached); <-g.open })
	}
	return topic != "foreign" && (topic != "a" || !g.withdrawn.Load())
}

func (g *gate) MayReceive(string) bool   { return true }
func (g *gate) MaySubscribe(string) bool { return true }

// lasting5 connects with a session of MQTT 5 that outlives its connection.
func (r *rig) lasting5(id string) *raw {
	r.t.Helper()
	c := r.dial()
	c.version = packet.V5
	c.connect(&packet.Connect{Version: packet.V5, ClientID: id, CleanStart: true, Props: packet.Properties{SessionExpiry: packet.Some[uint32](3600)}})
	c.next()
	return c
}

func (c *raw) subscribe5(filter string) {
	c.t.Helper()
	s := packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: filter, QoS: 1}}}
	c.write(s.Append(nil, packet.V5))
	c.next()
}

// TestSubscriptionsThatChangeUnderCollectedMessages: a message that was collected goes where its topic leads when it is committed, not to where
// it led when it was read.
func TestSubscriptionsThatChangeUnderCollectedMessages(t *testing.T) {
	arrives := func(t *testing.T, c *raw) {
		t.Helper()
		if p, ok := c.next().(*packet.Publish); !ok || string(p.Topic) != "a" {
			t.Errorf("got %+v, want the message", p)
		}
	}
	for _, tc := range []struct {
		name   string
		change func(r *rig, g *gate, s *raw) (check func(t *testing.T)) // while the message waits for its commit
		code   packet.ReasonCode
	}{
		{"Subscribed", func(r *rig, _ *gate, _ *raw) func(t *testing.T) {
			c := r.persistent("new", false)
			c.subscribe("a", 1)
			return func(t *testing.T) { arrives(t, c) }
		}, packet.ReasonSuccess},
		{"Shared", func(r *rig, _ *gate, _ *raw) func(t *testing.T) {
			c := r.lasting5("new")
			c.subscribe5("$share/g/a")
			return func(t *testing.T) { arrives(t, c) }
		}, packet.ReasonSuccess},
		{"Unsubscribed", func(_ *rig, _ *gate, s *raw) func(t *testing.T) {
			s.write((&packet.Unsubscribe{ID: 2, Filters: []string{"a"}}).Append(nil, packet.V5))
			s.next()
			return func(*testing.T) { s.nothing() }
		}, packet.ReasonNoMatchingSubscribers},
		{"Withdrawn", func(r *rig, g *gate, s *raw) func(t *testing.T) {
			g.withdrawn.Store(true)
			r.broker.Reauthorize()
			return func(*testing.T) { s.nothing() }
		}, packet.ReasonNoMatchingSubscribers},
		{"Replies", func(r *rig, _ *gate, _ *raw) func(t *testing.T) {
			inbox := r.queue("inbox", localbroker.QueueSub{Filters: []string{"a"}, Barrier: true, Replies: true})
			return func(t *testing.T) {
				t.Helper()
				if got := inbox.read(1)[0].Record.Body.(*gateway.Message).Properties; got.ResponseTopic != "" {
					t.Errorf("the response topic is %q, which the client may not publish to", got.ResponseTopic)
				}
			}
		}, packet.ReasonSuccess},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := &gate{reached: make(chan struct{}), open: make(chan struct{})}
			r := start(t, func(o *localbroker.Options) { o.Access = g })
			s := r.lasting5("s")
			s.subscribe5("a")
			c := r.lasting5("c")
			p := packet.Publish{Topic: []byte("a"), Payload: []byte("x"), QoS: 1, ID: 1, Props: packet.Properties{ResponseTopic: []byte("foreign")}}
			c.write((&packet.Publish{Topic: []byte("gate")}).Append(p.Append(nil, packet.V5), packet.V5))
			<-g.reached
			check := tc.change(r, g, s)
			close(g.open)
			if ack, ok := c.next().(*packet.Ack); !ok || ack.ID != 1 || ack.Code != tc.code {
				t.Errorf("the answer is %+v, want code %#x", ack, tc.code)
			}
			check(t)
		})
	}
}

package localbroker_test

import (
	"slices"
	"testing"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// greeted subscribes, with an identifier unless it is 0, and returns those of the retained message that greets the subscription.
func greeted(c *raw, filter string, id uint32) []uint32 {
	c.t.Helper()
	s := packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: filter, QoS: 1}}}
	if id > 0 {
		s.Props.SubscriptionIDs = []uint32{id}
	}
	c.write(s.Append(nil, packet.V5))
	ids := nextIDs(c)
	for ids == nil {
		ids = nextIDs(c) // SUBACK may come before it or after it
	}
	return *ids
}

// nextIDs reads a packet and returns the identifiers of a PUBLISH, nil for another packet.
func nextIDs(c *raw) *[]uint32 {
	c.t.Helper()
	p, ok := c.next().(*packet.Publish)
	if !ok {
		return nil
	}
	ids := slices.Sorted(slices.Values(p.Props.SubscriptionIDs))
	return &ids
}

// settle waits for what waits for the disk: a SUBACK leaves when its subscription is committed, and that with all before it.
func settle(c *raw) {
	c.t.Helper()
	const id = 2
	c.write((&packet.Subscribe{ID: id, Subscriptions: []packet.Subscription{{Filter: "nothing/there"}}}).Append(nil, packet.V5))
	for {
		if ack, ok := c.next().(*packet.Suback); ok && ack.ID == id {
			return
		}
	}
}

// MQTT 5, 3.3.4: a retained message carries the identifier of the subscription that it is sent for, not those of others that match it too.
// That is kept with what waits for the session.
func TestAGreetingHasTheIdentifierOfItsSubscription(t *testing.T) {
	for name, h := range map[string]host{"reference": &memHost{}, "buffer": &bufferHost{}} {
		t.Run(name, func(t *testing.T) {
			r := startOn(t, h)
			const large = 16384
			want := [][]uint32{{7}, nil, {9}, {7, 9, large}}
			connect := func() *raw {
				c := r.dial()
				c.version = packet.V5
				p := packet.Connect{Version: packet.V5, ClientID: "s"}
				p.Props.SessionExpiry = packet.Some(uint32(100))
				c.connect(&p)
				c.next()
				return c
			}
			p := r.clean("q")
			p.publish("a/c", "x", 1, 1, true)
			p.expect("40 02 00 01")
			c := connect()
			got := [][]uint32{greeted(c, "a/+", 7), greeted(c, "#", 0), greeted(c, "a/#", 9), greeted(c, "+/c", large)}
			if !slices.EqualFunc(got, want, slices.Equal[[]uint32]) {
				t.Errorf("%v, want %v", got, want)
			}
			settle(c)
			c.close()
			r.crash()
			c = connect()
			for i := range want {
				if ids := nextIDs(c); ids == nil || !slices.Equal(*ids, want[i]) {
					t.Errorf("after a crash: message %d has %v, want %v", i, ids, want[i])
				}
			}
		})
	}
}

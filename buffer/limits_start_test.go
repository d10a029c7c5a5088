package buffer

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tidegate/tidegate/gateway"
)

// crashOn makes c a rig on what the disk has now, and lets it run until it has looked at its limits.
func (c *clocked) crashOn() {
	c.t.Helper()
	k := c.crash()
	c.close()
	c.rig = k
	c.run()
	c.elapse(2 * interval)
}

// wantLeft checks what waits in a queue, and that the store knows how much that is.
func (c *clocked) wantLeft(queue string, want []string) {
	c.t.Helper()
	if got := c.left(queue); !slices.Equal(got, want) {
		c.t.Errorf("there is %q, want %q", got, want)
	}
	if st := c.queueStats(queue); st.Depth != uint64(len(want)) || len(st.Dropped) > 0 {
		c.t.Errorf("depth %d and %v dropped, want %d and none", st.Depth, st.Dropped, len(want))
	}
}

// flow passes n records through a queue whose consumer keeps up: none of them is written.
func (c *clocked) flow(n int, q gateway.QueueID, after uint64) {
	for range n {
		c.put("passed", q)
		for _, d := range c.read(q, after) {
			after = d.Pos
			c.Ack(q, d.Pos)
		}
	}
}

// A queue that reaches its limit before the disk has its row loses nothing after a crash, neither what its client had in hand.
func TestLimitsOfANewQueueThroughACrash(t *testing.T) {
	inBubble(t, Options{SessionLimits: Limits{Count: 64}}, func(t *testing.T, c *clocked) {
		s := c.Queue("session/s")
		c.Attach(s, func() {})
		for i := range 20 {
			c.put(fmt.Sprint(i), s)
		}
		for _, d := range c.read(s, 0)[:7] {
			c.Ack(s, d.Pos)
		}
		for i := 20; i < 120; i++ {
			c.put(fmt.Sprint(i), s)
		}
		c.elapse(2 * interval)
		want := append(countFrom(7, 20), countFrom(73, 120)...)
		if got := c.left("session/s"); !slices.Equal(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
		c.crashOn()
		c.wantLeft("session/s", want)
		c.drain(s)
	})
}

// What a client that kept up was given in memory alone does not count after a crash: it would reach the limit for what has come since.
func TestLimitsDoNotCountWhatWasNeverWritten(t *testing.T) {
	for _, test := range []struct {
		name string
		full Policy
	}{{"session/s", DropOldest}, {"upstream/u", DropOldest}, {"upstream/u", DropNewest}} {
		name := test.name
		t.Run(fmt.Sprint(name, test.full), func(t *testing.T) {
			l := Limits{Count: 64, Full: test.full}
			inBubble(t, Options{SessionLimits: l, UpstreamLimits: l}, func(t *testing.T, c *clocked) {
				q := c.online(name)
				c.flow(1000, q, 0)
				c.Detach(q)
				for i := range 10 {
					c.put(fmt.Sprint(i), q)
				}
				c.elapse(interval)
				want := c.left(name)
				c.crashOn()
				if got := c.left(name); name == "upstream/u" {
					want = append(want, got[len(got)-1]) // the gap that tells of the restart
				}
				c.wantLeft(name, want)
				c.put("more", q)
				c.wantLeft(name, append(want, "more"))
				c.drain(q)
			})
		})
	}
}

// The same behind a delivery that the client has never acknowledged.
func TestLimitsDoNotCountHolesBehindADelivery(t *testing.T) {
	inBubble(t, Options{SessionLimits: Limits{Count: 64}}, func(t *testing.T, c *clocked) {
		s := c.online("session/s")
		c.put("stuck", s)
		c.flow(1000, s, c.read(s, 0)[0].Pos)
		c.Detach(s)
		for i := range 10 {
			c.put(fmt.Sprint(i), s)
		}
		c.elapse(2 * interval)
		c.crashOn()
		c.wantLeft("session/s", append([]string{"stuck"}, countFrom(0, 10)...))
		c.drain(s)
	})
}

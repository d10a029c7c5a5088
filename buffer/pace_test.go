package buffer

import (
	"fmt"
	"testing"
	"time"
)

// TestPublishersWaitForASessionThatIsAbreast drives a queue whose consumer is behind, record by record, and then asks how long the next publisher waits.
func TestPublishersWaitForASessionThatIsAbreast(t *testing.T) {
	for _, tc := range []struct {
		name       string
		queue      string
		came, took int  // each tick
		pause      int  // ticks before the last record
		waits      bool // up to hold
	}{
		{name: "takes what comes", queue: "session/x", came: 2, took: 2, waits: true},
		{name: "takes more than comes", queue: "session/x", came: 1, took: 15, waits: true},
		{name: "takes a little less than comes", queue: "session/x", came: 5, took: 3, waits: true},
		{name: "takes a third of what comes", queue: "session/x", came: 3, took: 1},
		{name: "takes nothing", queue: "session/x", came: 1},
		{name: "will soon have caught up", queue: "session/x", came: 1, took: 20},
		{name: "has taken as much as came, a while ago", queue: "session/x", came: 2, took: 2, pause: 300},
		{name: "is an upstream", queue: "upstream/x", came: 2, took: 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, Options{}, func(t *testing.T, c *clocked) {
				q := c.online(tc.queue)
				const backlog = 2000
				for i := range backlog {
					c.put(fmt.Sprint(i), q)
				}
				c.elapse(2 * hold)
				acked := uint64(0)
				for range 2*hold/tick + 2 {
					for range tc.took {
						acked++
						c.Ack(q, acked)
					}
					for range tc.came {
						c.putWait("more", q)
					}
					c.elapse(tick)
				}
				for range tc.pause {
					c.elapse(tick)
				}
				done := c.putWait("last", q)
				c.wantDone(done, !tc.waits)
				c.elapse(hold)
				c.wantDone(done, true)
			})
		})
	}
}

// TestPublishersDoNotWaitForWhatIsDropped has a session that takes nothing lose its oldest as fast as new ones come.
func TestPublishersDoNotWaitForWhatIsDropped(t *testing.T) {
	inBubble(t, Options{SessionLimits: Limits{Count: 100}}, func(t *testing.T, c *clocked) {
		q := c.online("session/x")
		for range 400 {
			c.putWait("one", q)
			c.elapse(tick)
		}
		if c.queueStats("session/x").Dropped == nil {
			t.Fatal("nothing was dropped")
		}
		c.wantDone(c.putWait("last", q), true)
	})
}

// TestASessionCatchesUpWithPublishersThatTheDiskLetsGo has publishers that always have a window of messages under way, and a session that has fallen behind
// and takes less each tick than they send when each commit answers them, but more than they send when they wait for it.
func TestASessionCatchesUpWithPublishersThatTheDiskLetsGo(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		const window, takes = 30, 20
		q := c.online("session/x")
		var sent, acked uint64
		var underWay [window]<-chan error
		round := func(takes uint64) {
			for i, done := range underWay {
				if done == nil || isDone(done) {
					underWay[i] = c.putWait("one", q)
					sent++
				}
			}
			for range min(takes, sent-acked) {
				acked++
				c.Ack(q, acked)
			}
			c.elapse(tick)
		}
		for range 4 * hold / tick {
			round(0) // it stands still, and falls behind
		}
		if sent-acked < 10*window {
			t.Fatalf("only %d are waiting", sent-acked)
		}
		for range 2 * time.Second / tick {
			round(takes)
		}
		before := c.Stats().Written
		for range time.Second / tick {
			round(takes)
		}
		if wrote := c.Stats().Written - before; wrote > 0 {
			t.Errorf("%d were written in the last second, %d are waiting", wrote, sent-acked)
		}
	})
}

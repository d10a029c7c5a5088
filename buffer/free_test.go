package buffer

import (
	"fmt"
	"testing"

	"github.com/tidegate/tidegate/gateway"
)

// wantEmpty checks that the disk holds nothing for consumers any more.
func (c *clocked) wantEmpty() {
	c.t.Helper()
	for _, table := range []string{"chunk", "ref", "gap", "received", "inbound", "session", "subscription"} {
		if n := c.rows(table); n != 0 {
			c.t.Errorf("%d rows of %s are left", n, table)
		}
	}
}

func TestARecordIsFreedByItsLastConsumer(t *testing.T) {
	for last := range 3 {
		t.Run(fmt.Sprint("consumer ", last), func(t *testing.T) {
			inBubble(t, Options{}, func(t *testing.T, c *clocked) {
				queues := []gateway.QueueID{c.away("session/a"), c.away("session/b"), c.away("upstream/c")}
				for i := range 600 {
					c.put(fmt.Sprint(i), queues...)
				}
				c.elapse(interval)
				for i, q := range queues {
					if i != last {
						for pos := range uint64(600) {
							c.Ack(q, pos+1)
						}
						c.elapse(interval)
					}
				}
				if len(c.read(queues[last], 0)) != 600 {
					t.Fatal("the last consumer does not find its records")
				}
				if n := c.rows("chunk"); n == 0 {
					t.Fatal("the records are gone")
				}
				for pos := range uint64(600) {
					c.Ack(queues[last], 600-pos) // backwards: acked moves with the last
				}
				c.elapse(interval)
				c.wantEmpty()
			})
		})
	}
}

// A chunk stays until the last record in it is acknowledged, and goes then, however the acknowledgements fall on commits.
func TestChunksThatAreAcknowledgedInPartsAreFreed(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		a, b := c.away("session/a"), c.away("upstream/b")
		for i := range 700 {
			switch i % 3 {
			case 0:
				c.put(fmt.Sprint(i), a, b)
			case 1:
				c.put(fmt.Sprint(i), b)
			default:
				c.put(fmt.Sprint(i), b, a)
			}
		}
		c.elapse(interval)
		for pos := range uint64(700) {
			c.Ack(a, pos+1)
			c.Ack(b, pos+1)
			if pos%37 == 36 {
				c.elapse(interval)
			}
		}
		c.elapse(interval)
		c.wantEmpty()
	})
}

func TestAcknowledgedWhileItIsWrittenIsFreed(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q, away := c.online("session/x"), c.away("session/y")
		var done, other <-chan error
		c.block(func() {
			done = c.putWait("one", q)
			other = c.putWait("hurry", away)
			c.elapse(tick)
			c.Ack(q, 1)
			c.wantDone(done, true) // all its consumers have it
			c.wantDone(other, false)
		})
		c.ok(other)
		c.Ack(away, 1)
		c.elapse(interval)
		c.wantEmpty()
		c.wantCommits(2)
	})
}

func TestDroppedSessionLeavesNothing(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q, up := c.away("session/x"), c.away("upstream/y")
		c.ops(
			gateway.PutSession{Queue: q, ClientID: "x", Expiry: -1},
			gateway.PutSubscription{Queue: q, Subscription: gateway.Subscription{Filter: "a/#"}},
			gateway.PutInbound{Queue: q, PacketID: 3}, gateway.PutReceived{Queue: q, Pos: 1},
		)
		for i := range 300 {
			c.put(fmt.Sprint(i), q, up)
		}
		c.elapse(interval)
		c.put("pending", q)
		c.ops(gateway.DropSession{Queue: q})
		if _, err := c.Read(q, 0, make([]gateway.Delivery, 1)); err == nil {
			t.Error("the queue can still be read")
		}
		if n := c.rows("ref WHERE key >> 43 = 1"); n != 0 {
			t.Errorf("%d refs of the session are left", n)
		}
		for pos := range uint64(300) {
			c.Ack(up, pos+1)
		}
		c.elapse(interval)
		c.wantEmpty()
		if rec, err := c.Recover(); err != nil || len(rec.Sessions) != 0 {
			t.Errorf("recovered %+v, %v", rec, err)
		}
	})
}

// The same client id may begin a new session in the same instant. It gets a queue of its own.
func TestDroppedSessionMayComeBackAtOnce(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		old := c.away("session/x")
		c.ops(gateway.PutSession{Queue: old, ClientID: "x"})
		c.put("old", old)
		c.Commit(&gateway.Change{Ops: []gateway.Op{gateway.DropSession{Queue: old}}}, nil)
		q := c.Queue("session/x")
		if q == old {
			t.Fatal("the new session got the queue of the old one")
		}
		c.ops(gateway.PutSession{Queue: q, ClientID: "x"})
		c.ok(c.putWait("new", q))
		c.reopen()
		if got := c.Queue("session/x"); got != q {
			t.Errorf("queue %d after the restart, want %d", got, q)
		}
		c.want(c.read(q, 0), "new")
		rec, err := c.Recover()
		if err != nil || len(rec.Sessions) != 1 || rec.Sessions[0].Queue != q {
			t.Errorf("recovered %+v, %v", rec, err)
		}
	})
}

// Ids are given again after a thousand others, and then positions go on: a chunk on disk that still names the old one is not mistaken.
func TestQueueIDsAreGivenAgain(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		up := c.away("upstream/y")
		first := c.away("session/first")
		c.put("shared", up, first)
		c.elapse(interval)
		c.ops(gateway.DropSession{Queue: first})
		for i := range 1100 {
			c.Queue(fmt.Sprint("session/", i))
		}
		c.flush()
		c.mu.Lock()
		again := c.queues[first]
		c.mu.Unlock()
		if again == nil {
			t.Fatalf("id %d was not given again", first)
		}
		if acked := c.Attach(first, func() {}); acked != 1 {
			t.Errorf("acknowledged through %d, want 1, where the old session has ended", acked)
		}
		c.put("new", first)
		c.want(c.read(first, 0), "new")
		c.want(c.read(up, 0), "shared")
		c.reopen()
		c.want(c.read(first, 0), "new")
		c.Ack(up, 1)
		c.Ack(first, 2)
		c.elapse(interval)
		c.wantEmpty()
	})
}

// What one commit deletes is bounded. The rest goes with the next ones.
func TestLongSweepTakesSeveralCommits(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		c.writer.sweeping = 3
		a, b := c.away("session/a"), c.away("session/b")
		c.ops(gateway.PutSession{Queue: b, ClientID: "b"})
		for i := range 40 {
			c.put(fmt.Sprint(i), a, b)
			c.elapse(interval)
		}
		for pos := range uint64(40) {
			c.Ack(a, pos+1)
		}
		c.elapse(2 * interval)
		if n := c.rows("ref"); n != 40 {
			t.Errorf("%d refs, want 40", n)
		}
		c.ops(gateway.DropSession{Queue: b})
		c.elapse(2 * interval)
		c.wantEmpty()
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.free) != 1 {
			t.Errorf("%d ids are free, want 1", len(c.free))
		}
	})
}

// A crash may come between the commit of a drop and the last of the deletes that it brings.
func TestDropThatACrashInterruptsIsFinished(t *testing.T) {
	r := newRig(t, Options{})
	q := r.Queue("session/x")
	r.run()
	for i := range 5 * sweepChunks {
		r.put(fmt.Sprint(i), q)
		r.put(fmt.Sprint(i), r.Queue("session/y"), q) // other consumers, another chunk
		if i%100 == 99 {
			r.flush()
		}
	}
	r.flush()
	if n := r.rows("chunk"); n < 80 {
		t.Fatalf("%d chunks", n)
	}
	// The state that a crash would leave: the cursor has moved, the rows are there.
	if err := r.halt(); err != nil {
		t.Fatal(err)
	}
	if err := r.writer.exec(`UPDATE queue SET name = NULL, acked = next - 1 WHERE id = ?`, q); err != nil {
		t.Fatal(err)
	}
	y := r.Queue("session/y")
	r.reopen()
	r.flush()
	r.mu.Lock()
	last := r.queues[y].next
	r.mu.Unlock()
	for pos := range last {
		r.Ack(y, pos)
	}
	r.flush()
	r.flush()
	if n, refs := r.rows("chunk"), r.rows("ref"); n != 0 || refs != 0 {
		t.Errorf("%d chunks and %d refs are left", n, refs)
	}
}

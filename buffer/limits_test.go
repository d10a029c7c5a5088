package buffer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// queueStats returns the statistics of one queue.
func (r *rig) queueStats(name string) gateway.QueueStats {
	r.t.Helper()
	for _, q := range r.Stats().Queues {
		if q.Name == name {
			return q
		}
	}
	r.t.Fatalf("there is no queue %s", name)
	return gateway.QueueStats{}
}

// drain reads and acknowledges all of a queue, and checks that nothing is left on disk.
func (c *clocked) drain(queues ...gateway.QueueID) {
	c.t.Helper()
	for _, q := range queues {
		pos := c.Attach(q, func() {})
		for list := c.read(q, pos); len(list) > 0; list = c.read(q, pos) {
			c.Ack(q, positions(list)...)
			pos = list[len(list)-1].Pos
		}
	}
	c.elapse(2 * interval)
	if n := c.rows("chunk") + c.rows("gap") + c.rows("ref"); n != 0 {
		c.t.Errorf("%d rows are left after the drain", n)
	}
	for _, q := range c.Stats().Queues {
		if q.Depth != 0 || q.Bytes != 0 {
			c.t.Errorf("%s: depth %d, %d bytes after the drain", q.Name, q.Depth, q.Bytes)
		}
	}
}

func TestCountDropsTheOldestOfItsQueueAlone(t *testing.T) {
	for _, pause := range []time.Duration{0, interval} { // dropped in memory, and from disk
		t.Run(pause.String(), func(t *testing.T) {
			inBubble(t, Options{UpstreamLimits: Limits{Count: 320}}, func(t *testing.T, c *clocked) {
				up, s := c.away("upstream/x"), c.away("session/s")
				for i := range 3000 {
					c.put(fmt.Sprint(i), up, s)
					if i%100 == 99 {
						c.elapse(pause)
					}
				}
				c.elapse(2 * interval)
				st := c.queueStats("upstream/x")
				if st.Depth > 320 || st.Depth < 290 {
					t.Errorf("depth %d, want about 320", st.Depth)
				}
				list := c.read(up, 0)
				if gap, ok := list[0].Record.Body.(*gateway.Gap); !ok || gap.Reason != "count" || gap.Count != st.Dropped["count"] {
					t.Errorf("first is %+v, dropped %v", list[0].Record.Body, st.Dropped)
				}
				c.wantAll(up, 3000)
				if n := len(c.read(s, 0)); n != 3000 {
					t.Errorf("the session has %d records, want all 3000", n)
				}
				k := c.crash()
				if got, want := payloads(k.read(up, 0)), payloads(list); !slices.Equal(got[:len(want)], want) {
					t.Errorf("after a crash %d deliveries, %q...", len(got), got[:2])
				}
				k.close()
				c.drain(up, s)
			})
		})
	}
}

// A session's bytes are its own: what it is too slow for costs nobody else anything.
func TestBytesOfASessionDropItsOldest(t *testing.T) {
	const limit = 100 << 10
	inBubble(t, Options{SessionLimits: Limits{Bytes: limit}}, func(t *testing.T, c *clocked) {
		up, s := c.away("upstream/x"), c.away("session/s")
		for i := range 50 {
			for range 20 {
				c.put(fmt.Sprint(i, strings.Repeat("x", 1000)), up, s)
			}
			c.elapse(interval)
		}
		st := c.queueStats("session/s")
		if st.Bytes > limit || st.Depth < 80 || st.Depth > 100 || st.Dropped["size"]+st.Depth != 1000 {
			t.Errorf("%+v", st)
		}
		list := payloads(c.read(s, 0))
		if uint64(len(list)) != st.Depth || !strings.HasPrefix(list[len(list)-1], "49") || strings.HasPrefix(list[0], "gap") {
			t.Errorf("%d deliveries", len(list))
		}
		c.wantAll(up, 1000)
		if st := c.queueStats("upstream/x"); st.Dropped != nil {
			t.Errorf("the upstream lost %v", st.Dropped)
		}
		c.drain(up, s)
	})
}

func TestDropNewestRefusesAndTellsInItsPlace(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		up := c.away("upstream/x")
		c.SetLimits(up, Limits{Count: 32, Full: DropNewest})
		for i := range 500 {
			done := c.putWait(fmt.Sprint(i), up)
			c.wantDone(done, true) // dropped by policy is answered
			if i%50 == 0 {
				c.elapse(interval)
			}
		}
		c.elapse(2 * time.Minute)
		st := c.queueStats("upstream/x")
		if st.Depth != 33 || st.Dropped["full"] != 468 {
			t.Errorf("depth %d, dropped %v, want the limit and one gap", st.Depth, st.Dropped)
		}
		list := c.read(up, 0)
		if got := payloads(list)[32]; got != "gap 33-500: 468 full" {
			t.Errorf("last is %q", got)
		}
		k := c.crash()
		if got := payloads(k.read(up, 0)); got[32] != "gap 33-500: 468 full" {
			t.Errorf("on disk after two minutes: %q", got[32:])
		}
		k.close()
		c.put("refused just before the crash", up)
		c.ok(c.putWait("of another queue", c.away("session/s")))
		k = c.crash()
		if got := payloads(k.read(up, 0)); got[32] != "gap 33-501: 469 full" || !strings.HasPrefix(got[33], "gap 50") {
			t.Errorf("after a crash %q", got[31:])
		}
		k.close()
		for _, d := range list[:10] {
			c.Ack(up, d.Pos)
		}
		c.put("again", up)
		if got := payloads(c.read(up, list[31].Pos)); !slices.Equal(got, []string{"gap 33-501: 469 full", "again"}) {
			t.Errorf("after there was room: %q", got)
		}
		c.drain(up, c.Queue("session/s"))
	})
}

func TestBlockWithholdsTheAnswerUntilThereIsRoom(t *testing.T) {
	inBubble(t, Options{UpstreamLimits: Limits{Count: 16, Full: Block}}, func(t *testing.T, c *clocked) {
		up, s := c.away("upstream/x"), c.away("session/s")
		for i := range 16 {
			c.wantDone(c.putWait(fmt.Sprint(i), up), true)
		}
		first, second := c.putWait("first", up, s), c.putWait("second", up)
		c.put("reading", up) // nobody waits: it is not worth blocking for
		other := c.putWait("other", s)
		c.elapse(10 * time.Second)
		c.wantDone(first, false)
		c.wantDone(other, true)
		if st := c.queueStats("upstream/x"); st.Dropped["full"] != 1 {
			t.Errorf("dropped %v, want the reading", st.Dropped)
		}
		c.Ack(up, 1, 2, 3)
		c.wantDone(first, true)
		c.wantDone(second, true)
		if list := payloads(c.read(up, 3)); !slices.Equal(list[len(list)-3:], []string{"gap 19-19: 1 full", "first", "second"}) {
			t.Errorf("%q", list)
		}
		c.want(c.read(s, 0), "other", "first")
		c.drain(up, s)
	})
}

// Who waits for one queue is not overtaken in another, by a publisher or by a reading.
func TestBlockKeepsTheOrder(t *testing.T) {
	r := newRig(t, Options{UpstreamLimits: Limits{Count: 16, Full: Block}})
	full, free := r.Queue("upstream/full"), r.Queue("upstream/free")
	for i := range 16 {
		r.put(fmt.Sprint(i), full)
	}
	first, second := r.putWait("first", full, free), r.putWait("second", free)
	r.Ack(full, 1, 2, 3)
	r.put("reading", full, free) // there is room, but others came before
	third := r.putWait("third", full)
	r.run()
	for _, done := range []<-chan error{first, second, third} {
		r.ok(done)
	}
	r.want(r.read(free, 0), "gap 19-19: 1 full", "first", "second")
	r.want(r.read(full, 16), "gap 19-19: 1 full", "first", "third")
}

func TestBlockGivesUpAfterTheHold(t *testing.T) {
	inBubble(t, Options{UpstreamLimits: Limits{Count: 16, Full: Block}}, func(t *testing.T, c *clocked) {
		up := c.away("upstream/x")
		for i := range 16 {
			c.ok(c.putWait(fmt.Sprint(i), up))
		}
		done := c.putWait("too much", up)
		c.elapse(30*time.Second - tick)
		c.wantDone(done, false)
		c.elapse(tick)
		c.wantDone(done, true)
		if err := <-done; !errors.Is(err, ErrFull) {
			t.Errorf("done(%v), want %v", err, ErrFull)
		}
		if n := len(c.read(up, 0)); n != 16 {
			t.Errorf("%d deliveries, want 16: what was refused is not kept", n)
		}
		closing := c.putWait("too late", up)
		c.close()
		if err := <-closing; !errors.Is(err, ErrClosed) {
			t.Errorf("done(%v), want %v", err, ErrClosed)
		}
	})
}

// A queue without limits of its own blocks, or refuses, when the file that it shares is nearly full, and its backlog is not touched.
func TestPolicyHoldsForTheSharedFile(t *testing.T) {
	for _, policy := range []Policy{DropNewest, Block} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			inBubble(t, Options{MaxSize: 8 << 20, UpstreamLimits: Limits{Full: policy}}, func(t *testing.T, c *clocked) {
				up := c.away("upstream/x")
				var last <-chan error
				for i := range 200 {
					for range 50 {
						last = c.putWait(fmt.Sprint(i, strings.Repeat("x", 1000)), up)
					}
					c.elapse(tick)
				}
				st := c.Stats()
				if st.Failures != 0 || st.FileBytes > 8<<20 {
					t.Errorf("%d failures, file of %d", st.Failures, st.FileBytes)
				}
				n := len(c.read(up, 0))
				if n < 2000 || !strings.HasPrefix(payloads(c.read(up, 0))[0], "0x") {
					t.Errorf("%d deliveries: the oldest must be there", n)
				}
				c.wantDone(last, policy == DropNewest)
				if policy == DropNewest {
					c.wantAll(up, 10_000)
				}
				pos := c.Attach(up, func() {})
				for _, d := range c.read(up, pos) {
					c.Ack(up, d.Pos)
				}
				c.elapse(2 * interval)
				c.wantDone(last, true)
				c.Detach(up)
				c.wantDone(c.putWait("room", up), true)
			})
		})
	}
}

// Sessions that hold more than their share of the file make room before an upstream does; those that hold less are left alone.
func TestFullFileTakesFromWhoHasMoreThanItsShare(t *testing.T) {
	for _, greedy := range []string{"session/s", "upstream/x"} {
		t.Run(greedy, func(t *testing.T) {
			inBubble(t, Options{MaxSize: 8 << 20}, func(t *testing.T, c *clocked) {
				modest := "upstream/x"
				if greedy == modest {
					modest = "session/s"
				}
				a, b := c.away(modest), c.away(greedy)
				c.fill(1000, a)
				c.fill(20_000, b)
				if st := c.queueStats(modest); st.Dropped != nil || st.Depth != 1000 {
					t.Errorf("%s: depth %d, dropped %v", modest, st.Depth, st.Dropped)
				}
				if st := c.queueStats(greedy); st.Dropped["size"] == 0 {
					t.Errorf("%s: nothing dropped", greedy)
				}
			})
		})
	}
}

// The gap at the end may grow while the writer reads the head, which it is part of.
func TestGapThatGrowsWhileTheHeadIsRead(t *testing.T) {
	r := newRig(t, Options{})
	up := r.Queue("upstream/x")
	r.SetLimits(up, Limits{Count: 3, Full: DropNewest})
	for range 5 {
		r.put("one", up)
	}
	q := r.queues[up]
	h, err := r.headOf(q)
	if err != nil || len(h.list) != 4 {
		t.Fatal(h, err)
	}
	r.put("refused", up)
	r.drop(q, h, reasonAge)
	r.SetLimits(up, Limits{Count: 1, Full: DropNewest})
	r.put("refused", up)
	r.want(r.read(up, 0), "gap 1-6: 6 age", "gap 7-7: 1 full")
	r.run()
}

// A consumer that comes between a drop and the commit of its gap sees the gap all the same, and so does the next drop.
func TestGapIsSeenBeforeTheDiskHasIt(t *testing.T) {
	r := newRig(t, Options{})
	up := r.Queue("upstream/x")
	for i := range 10 {
		r.putWait(fmt.Sprint(i), up)
	}
	r.commitDue()
	for _, n := range []uint64{3, 5} {
		h, err := r.headOf(r.queues[up])
		if err != nil || len(h.list) < int(n) || r.slots(up) != 0 {
			t.Fatal(h, err)
		}
		h.cut(n)
		r.drop(r.queues[up], h, reasonAge)
	}
	r.want(r.read(up, 0), "gap 1-7: 7 age", "7", "8", "9")
	r.run()
	r.flush()
	k := r.crash()
	k.want(k.read(up, 0)[:2], "gap 1-7: 7 age", "7")
}

// The bytes of a queue are about right while it lives, and after a restart.
func TestQueueBytes(t *testing.T) {
	inBubble(t, Options{MaxSize: 64 << 20}, func(t *testing.T, c *clocked) {
		up, s := c.away("upstream/x"), c.away("session/s")
		for i := range 6000 {
			c.put(strings.Repeat("x", 100+i%500), up)
			if i%3 == 0 {
				c.put("small", up, s)
			}
			if i%100 == 99 {
				c.elapse(interval)
			}
		}
		var real int64
		if err := c.reader.db.QueryRow(`SELECT sum(length(body)) FROM chunk`).Scan(&real); err != nil {
			t.Fatal(err)
		}
		check := func(when string, want int64) {
			t.Helper()
			if got := c.queueStats("upstream/x").Bytes; got < want*9/10 || got > want*11/10 {
				t.Errorf("%s: %d bytes, the disk has %d", when, got, want)
			}
		}
		check("running", real)
		c.reopen()
		check("after a restart", real)
		for pos := range uint64(4000) {
			c.Ack(up, pos+1)
		}
		c.elapse(2 * interval)
		check("half drained", real/2)
		c.drain(up, s)
	})
}

// Limits at work under everything that happens to a store at once; the model of what must be delivered is the gaps themselves.
func TestLimitsWhileConsumersComeAndGo(t *testing.T) {
	inBubble(t, Options{UpstreamLimits: Limits{Count: 200}}, func(t *testing.T, c *clocked) {
		up := c.away("upstream/x")
		total, next := uint64(0), uint64(1)
		take := func(list []gateway.Delivery) {
			for _, d := range list {
				first, last, count := d.Record.Seq, d.Record.Seq, uint64(1)
				if gap, ok := d.Record.Body.(*gateway.Gap); ok {
					first, last, count = gap.From, gap.To, gap.Count
				}
				if first != next {
					t.Fatalf("seq %d follows %d", first, next-1)
				}
				next, total = last+1, total+count
			}
		}
		for round := range 60 {
			for i := range 37 * (round%7 + 1) {
				c.put(fmt.Sprint(i), up)
			}
			if round%3 == 0 {
				c.elapse(interval)
			}
			if round%4 == 0 {
				pos := c.Attach(up, func() {})
				buf := make([]gateway.Delivery, 50+round)
				n, err := c.Read(up, pos, buf)
				if err != nil {
					t.Fatal(err)
				}
				take(buf[:n])
				for _, d := range buf[:n] {
					c.Ack(up, d.Pos)
				}
				c.Detach(up)
				synctest.Wait()
			}
		}
		c.elapse(2 * interval)
		take(c.read(up, 0))
		if st := c.Stats(); total != next-1 || st.Dropped == 0 {
			t.Errorf("%d of %d told of, %d dropped", total, next-1, st.Dropped)
		}
		c.drain(up)
	})
}

package buffer

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

func TestReadReturnsTheSameFromMemoryAndFromDisk(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q, other := c.online("session/x"), c.away("upstream/y")
		full := &gateway.Record{
			Time: time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC), Origin: "cloud",
			Body: &gateway.Message{
				Topic: "a", Payload: []byte("p"), QoS: 2, Retain: true,
				Properties: &gateway.Properties{ContentType: "text", User: []gateway.UserProperty{{Name: "n", Value: "v"}}},
			},
		}
		c.Commit(&gateway.Change{Record: full, To: []gateway.Ref{{Queue: other, QoS: 1}, {Queue: q, QoS: 2, Retain: true, View: 7}}}, nil)
		want := fmt.Sprintf("%+v %+v", c.read(q, 0), *c.read(q, 0)[0].Record)
		c.elapse(interval)
		c.Detach(q)
		if n := c.slots(q); n != 0 {
			t.Fatalf("%d deliveries in memory, want none", n)
		}
		got := c.read(q, 0)
		if s := fmt.Sprintf("%+v", got[0].Ref); s != "{Queue:1 View:7 QoS:2 Retain:true}" {
			t.Errorf("reference %s", s)
		}
		if fmt.Sprintf("%+v", *got[0].Record.Body.(*gateway.Message).Properties) != fmt.Sprintf("%+v", *full.Body.(*gateway.Message).Properties) ||
			got[0].Record.Seq != full.Seq || !got[0].Record.Time.Equal(full.Time) || got[0].Record.Origin != "cloud" {
			t.Errorf("from disk %+v, from memory %s", *got[0].Record, want)
		}
	})
}

// slots tells how many positions of a queue memory holds.
func (r *rig) slots(q gateway.QueueID) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return int(r.queues[q].next - r.queues[q].tail)
}

// Chunks of one segment overlap when their records have different consumers. Every queue still sees its records in the order in which
// they came, whatever the size of the buffer and wherever it begins to read.
func TestReadKeepsTheOrderAcrossOverlappingChunks(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		a, b, d := c.away("session/a"), c.away("session/b"), c.away("upstream/d")
		sets := [][]gateway.QueueID{{a}, {a, b}, {b, d}, {d, a}, {a, b, d}, {d}}
		want := map[gateway.QueueID][]string{}
		for i := range 1500 {
			set := sets[i*i%len(sets)]
			c.put(fmt.Sprint(i), set...)
			for _, q := range set {
				want[q] = append(want[q], fmt.Sprint(i))
			}
			if i%400 == 399 {
				c.elapse(interval)
			}
		}
		c.elapse(interval)
		for q, list := range want {
			c.want(c.read(q, 0), list...)
			for _, after := range []int{1, 2, 13, 100, 255, 256, 257, len(list) - 1} {
				c.want(c.read(q, uint64(after)), list[after:]...)
			}
		}
	})
}

func TestBarrierIsVisibleAfterItsCommitOnly(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.online("session/x")
		c.elapse(tick)
		wakes := c.countWakes(q)
		c.block(func() {
			c.put("before", q)
			c.Commit(&gateway.Change{Record: record("barrier"), To: to(q), Barrier: true}, nil)
			c.put("after", q)
			synctest.Wait()
			c.want(c.read(q, 0), "before")
		})
		c.elapse(tick)
		c.want(c.read(q, 0), "before", "barrier", "after")
		if *wakes < 2 {
			t.Errorf("woken %d times, want once for each time there was something new", *wakes)
		}
	})
}

// countWakes attaches a consumer that counts how often it is woken.
func (c *clocked) countWakes(q gateway.QueueID) *int {
	n := new(int)
	c.Attach(q, func() { *n++ })
	synctest.Wait()
	return n
}

// block runs fn while no transaction can commit.
func (c *clocked) block(fn func()) {
	lock, locked := make(chan struct{}), make(chan struct{}, 1)
	c.mu.Lock()
	c.sabotage = func() error {
		select {
		case locked <- struct{}{}:
		default:
		}
		<-lock
		return nil
	}
	c.mu.Unlock()
	fn()
	<-locked
	close(lock)
}

func TestWakeComesWhenThereIsMoreThanTheConsumerHasSeen(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.online("session/x")
		wakes := c.countWakes(q)
		step := func(want int, why string) {
			t.Helper()
			synctest.Wait()
			if *wakes != want {
				t.Fatalf("woken %d times, want %d: %s", *wakes, want, why)
			}
		}
		step(0, "there is nothing")
		c.put("one", q)
		step(1, "something came")
		c.put("two", q)
		step(1, "it was told and has not looked")
		c.want(c.read(q, 0), "one", "two")
		c.put("three", q)
		step(2, "it has seen the end")
		c.Detach(q)
		c.put("four", q)
		step(2, "it is away")
		c.Attach(q, func() { *wakes++ })
		step(3, "there is something when it comes")
	})
}

func TestCallbacksMayTakeLocksOfTheirCaller(t *testing.T) {
	r := running(t, Options{})
	q := r.Queue("session/x")
	var mu sync.Mutex
	called := make(chan error, 10)
	callback := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		called <- err
	}
	mu.Lock() // as a broker may, to keep an order of its own
	r.Attach(q, func() { callback(nil) })
	r.Commit(&gateway.Change{Record: record("kept by nobody")}, callback)
	r.Commit(&gateway.Change{Record: record("one"), To: to(q)}, callback)
	r.Ack(q, 1)
	mu.Unlock()
	for range 3 {
		r.ok(called)
	}
}

// After a crash the disk does not say which positions were elided or acknowledged behind one that was not. Reading tells.
func TestHolesAfterACrashAreDone(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.online("session/x")
		for i := range 10 {
			c.put(fmt.Sprint(i+1), q)
		}
		c.Ack(q, 2, 3, 4, 8, 9)
		c.elapse(interval)
		k := c.crash()
		defer k.close()
		k.run()
		if acked := k.Attach(q, func() {}); acked != 0 {
			t.Errorf("acknowledged through %d, want 0", acked)
		}
		list := k.read(q, 0)
		k.want(list, "1", "5", "6", "7", "10")
		if got := positions(list); !slices.Equal(got, []uint64{1, 5, 6, 7, 10}) {
			t.Errorf("positions %v", got)
		}
		k.Ack(q, 1)
		if acked := k.Attach(q, func() {}); acked != 4 {
			t.Errorf("acknowledged through %d, want 4", acked)
		}
		if n := k.depth("session/x"); n != 4 {
			t.Errorf("depth %d, want 4", n)
		}
		k.Ack(q, 10, 7, 6, 5)
		if acked, n := k.Attach(q, func() {}), k.depth("session/x"); acked != 10 || n != 0 {
			t.Errorf("acknowledged through %d with depth %d, want 10 and 0", acked, n)
		}
	})
}

// The cursor on disk may be ahead of the last row: what lies between was elided.
func TestHolesAtTheEndAfterACrashAreDone(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.online("session/x")
		c.put("1", q)
		c.put("2", q)
		c.elapse(interval)
		for range 3 {
			c.put("elided", q)
		}
		c.Ack(q, 1, 3, 4, 5)
		c.elapse(interval)
		k := c.crash()
		defer k.close()
		k.run()
		k.want(k.read(q, 0), "2")
		k.put("6", q)
		list := k.read(q, 0)
		k.want(list, "2", "6")
		if list[1].Pos != 6 {
			t.Errorf("position %d, want 6", list[1].Pos)
		}
		k.Ack(q, 2, 6)
		if acked, n := k.Attach(q, func() {}), k.depth("session/x"); acked != 6 || n != 0 {
			t.Errorf("acknowledged through %d with depth %d, want 6 and 0", acked, n)
		}
	})
}

func TestPositionsGoOnAfterARestart(t *testing.T) {
	for _, how := range []string{"stop", "crash"} {
		t.Run(how, func(t *testing.T) {
			inBubble(t, Options{}, func(t *testing.T, c *clocked) {
				q := c.away("session/x")
				for i := range 5 {
					c.ok(c.putWait(fmt.Sprint(i), q))
				}
				c.Ack(q, 1, 2, 3, 4, 5)
				c.elapse(interval)
				k := c.rig
				if how == "crash" {
					k = c.crash()
					defer k.close()
					k.run()
				} else {
					c.reopen()
				}
				acked := k.Attach(q, func() {})
				k.put("next", q)
				list := k.read(q, acked)
				if acked != 5 || len(list) != 1 || list[0].Pos != 6 {
					t.Errorf("acknowledged through %d, then %v, want 5 and position 6", acked, list)
				}
			})
		})
	}
}

// backlogVariable is how many records a long backlog has, instead of 200,000.
const backlogVariable = "TIDEGATE_BACKLOG"

// A long backlog is on disk, not in memory, and is drained from there. Afterwards the file is small.
func TestMemoryStaysFlatWithALongBacklog(t *testing.T) {
	records := 200_000
	if text := os.Getenv(backlogVariable); text != "" {
		var err error
		if records, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", backlogVariable, err)
		}
	}
	r := running(t, Options{MaxSize: 64 << 30})
	q := r.Queue("upstream/x")
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	body := fmt.Sprintf("%0200d", 0)
	for i := range records {
		r.put(body[:190]+fmt.Sprintf("%010d", i), q)
		if i%1000 == 999 {
			r.flush()
		}
	}
	r.flush()
	after := heap()
	t.Logf("heap %d KB before, %d KB with %d records pending, file %d KB", before>>10, after>>10, records, r.Stats().FileBytes>>10)
	if grown := after - before; grown > 8<<20 {
		t.Errorf("heap grew by %d KB", grown>>10)
	}
	next, buf := 0, make([]gateway.Delivery, 64)
	pos := r.Attach(q, func() {})
	for next < records {
		n, err := r.Read(q, pos, buf)
		if err != nil || n == 0 {
			t.Fatalf("read after %d: %d, %v", pos, n, err)
		}
		for _, d := range buf[:n] {
			if got := string(d.Record.Body.(*gateway.Message).Payload[190:]); got != fmt.Sprintf("%010d", next) {
				t.Fatalf("record %d is %q", next, got)
			}
			next++
			pos = d.Pos
			r.Ack(q, pos)
		}
	}
	if n := r.depth("upstream/x"); n != 0 {
		t.Errorf("depth %d after the drain", n)
	}
	drained := heap()
	t.Logf("heap %d KB after the drain", drained>>10)
	if grown := drained - before; grown > 8<<20 {
		t.Errorf("heap grew by %d KB in the drain", grown>>10)
	}
	for began := time.Now(); r.Stats().FileBytes > 8<<20; r.flush() {
		if time.Since(began) > patience {
			t.Fatalf("file has %d KB after the drain", r.Stats().FileBytes>>10)
		}
	}
}

// What online consumers have in memory of what is committed is bounded, by number and by bytes.
func TestCacheIsBounded(t *testing.T) {
	inBubble(t, Options{CacheBytes: 100 << 10, GroupRecords: 100}, func(t *testing.T, c *clocked) {
		q := c.online("session/x")
		for i := range 3000 {
			c.put(fmt.Sprint(i), q)
			if i%100 == 99 {
				synctest.Wait()
			}
		}
		c.elapse(interval)
		if n := c.slots(q); n > (100<<10)/entryOverhead || n == 0 {
			t.Errorf("%d deliveries in memory", n)
		}
		if list := c.read(q, 0); len(list) != 3000 {
			t.Errorf("%d deliveries, want 3000", len(list))
		}
	})
}

// A consumer that keeps up but is never quite through must not make memory grow.
func TestQueueThatIsNeverEmptyStaysSmall(t *testing.T) {
	r := running(t, Options{})
	q := r.Queue("session/x")
	r.Attach(q, func() {})
	for i := range uint64(200_000) {
		r.put("x", q)
		r.Ack(q, i) // one behind
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := cap(r.queues[q].slots); n > 4096 {
		t.Errorf("room for %d deliveries in memory", n)
	}
}

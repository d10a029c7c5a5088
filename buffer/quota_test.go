package buffer

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// fill commits n records of about a kilobyte, each acknowledged to its publisher when it is on disk.
func (c *clocked) fill(n int, queues ...gateway.QueueID) {
	c.t.Helper()
	for i := range n {
		done := c.putWait(fmt.Sprintf("%d %s", i, strings.Repeat("x", 1000)), queues...)
		if i%50 == 49 {
			c.ok(done)
		}
	}
	c.elapse(maxBackoff)
	if st := c.Stats(); st.Pending != 0 {
		c.t.Fatalf("%d pending: the full buffer is wedged", st.Pending)
	}
}

func TestFullBufferDropsTheOldestAndLeavesAGap(t *testing.T) {
	const limit = 4 << 20
	book, logger := newLogBook()
	inBubble(t, Options{MaxSize: limit, Logger: logger}, func(t *testing.T, c *clocked) {
		up := c.away("upstream/x")
		c.fill(10_000, up)
		st := c.Stats()
		t.Logf("%d dropped, %d failures, file %d KB", st.Dropped, st.Failures, st.FileBytes>>10)
		if st.FileBytes > limit {
			t.Errorf("file has %d bytes, max_size is %d", st.FileBytes, limit)
		}
		if n := book.count("the buffer has reached max_size"); n != 1 {
			t.Errorf("said %d times that it is full, want once", n)
		}
		c.wantAll(up, 10_000)
		list := c.read(up, 0)
		gap, ok := list[0].Record.Body.(*gateway.Gap)
		if !ok || gap.Reason != "size" || gap.Queue != "upstream/x" || gap.Count != st.Dropped || gap.From != 1 {
			t.Errorf("first is %+v, want a gap for the %d records that were dropped", list[0].Record.Body, st.Dropped)
		}
		k := c.crash()
		defer k.close()
		k.run()
		if got := k.read(up, 0); len(got) != len(list)+1 { // and the gap of the crash
			t.Errorf("%d deliveries after a crash, want %d", len(got), len(list)+1)
		}
		for _, d := range k.read(up, 0) {
			k.Ack(up, d.Pos)
		}
		<-synced(k)
		if n := k.rows("chunk") + k.rows("gap"); n != 0 {
			t.Errorf("%d rows are left after the drain", n)
		}
	})
}

func TestFullBufferOfSharedRecordsIsNotWedged(t *testing.T) {
	inBubble(t, Options{MaxSize: 4 << 20}, func(t *testing.T, c *clocked) {
		up, s, inbox := c.away("upstream/x"), c.away("session/s"), c.Inbox()
		c.ok(c.change(&gateway.Change{Record: record("command"), To: to(inbox.Queue()), Barrier: true}))
		c.fill(8000, up, s)
		if st := c.Stats(); st.Dropped == 0 {
			t.Error("nothing was dropped")
		}
		c.want(c.read(inbox.Queue(), 0), "command") // a command is never dropped
		for q, name := range map[gateway.QueueID]string{up: "upstream/x", s: "session/s"} {
			list := c.read(q, 0)
			if last := payloads(list)[len(list)-1]; !strings.HasPrefix(last, "7999 ") {
				t.Errorf("%s ends with %.10q", name, last)
			}
		}
	})
}

// What the consumer has in hand is not dropped: its acknowledgements make room.
func TestFullBufferDoesNotDropWhatIsInFlight(t *testing.T) {
	inBubble(t, Options{MaxSize: 4 << 20}, func(t *testing.T, c *clocked) {
		up := c.away("upstream/x")
		c.fill(1000, up)
		pos := c.Attach(up, func() {})
		buf := make([]gateway.Delivery, 10)
		if n, err := c.Read(up, pos, buf); n != 10 || err != nil {
			t.Fatal(n, err)
		}
		for i := range 4000 {
			c.put(fmt.Sprintf("%d %s", i, strings.Repeat("y", 1000)), up)
		}
		c.elapse(time.Minute)
		if st := c.Stats(); st.Dropped != 0 || st.Failures == 0 {
			t.Errorf("%d dropped after %d failures, want none dropped: the consumer is there", st.Dropped, st.Failures)
		}
		acked := pos
		pos += 10
		for c.depth("upstream/x") > 0 { // one window is always under way
			n, err := c.Read(up, pos, buf)
			if err != nil {
				t.Fatal(err)
			}
			for acked < pos {
				acked++
				c.Ack(up, acked)
			}
			if n > 0 {
				pos = buf[n-1].Pos
			}
			if pos%500 == 0 {
				c.elapse(time.Second)
			}
			if st := c.Stats(); pos == 3000 && st.Pending > 1000 {
				t.Errorf("%d still pending: the room that acknowledgements make is not used", st.Pending)
			}
		}
		c.elapse(time.Minute)
		synctest.Wait()
		if st := c.Stats(); st.Dropped != 0 || st.Pending != 0 {
			t.Errorf("%d dropped, %d pending after the drain", st.Dropped, st.Pending)
		}
	})
}

// One record that is larger than what is read at once must not keep the others from being dropped.
func TestFullBufferOfLargeRecordsIsNotWedged(t *testing.T) {
	inBubble(t, Options{MaxSize: 8 << 20}, func(t *testing.T, c *clocked) {
		up := c.away("upstream/x")
		for i := range 40 {
			c.ok(c.putWait(fmt.Sprintf("%d %s", i, strings.Repeat("x", 400<<10)), up))
		}
		c.wantAll(up, 40)
		if st := c.Stats(); st.Dropped < 15 {
			t.Errorf("%d dropped", st.Dropped)
		}
	})
}

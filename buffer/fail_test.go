package buffer

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

var errNoDisk = errors.New("input/output error")

func TestFailingDiskWithholdsAnswersAndGoesOnFromMemory(t *testing.T) {
	book, logger := newLogBook()
	inBubble(t, Options{Logger: logger}, func(t *testing.T, c *clocked) {
		away, up := c.away("session/away"), c.online("upstream/x")
		c.fail(errNoDisk)
		done := c.putWait("for one who is away", away)
		c.put("reading", up)
		barrier := c.change(&gateway.Change{Record: record("command"), To: to(up), Barrier: true})
		c.elapse(time.Minute)
		c.wantDone(done, false)
		c.wantDone(barrier, false)
		c.want(c.read(up, 0), "reading")
		c.Ack(up, 1)
		if st := c.Stats(); st.Failures < 3 || st.Pending != 2 {
			t.Errorf("%d failures, %d pending, want several and 2: the acknowledged reading needs no disk", st.Failures, st.Pending)
		}
		if n := book.count("the buffer cannot be written"); n != 1 {
			t.Errorf("said %d times that it cannot be written, want once", n)
		}
		c.fail(nil)
		c.elapse(maxBackoff)
		c.wantDone(done, true)
		c.wantDone(barrier, true)
		if n := book.count("the buffer can be written again"); n != 1 {
			t.Errorf("said %d times that it can be written again, want once", n)
		}
		c.want(c.read(up, 1), "command")
		k := c.crash()
		defer k.close()
		k.want(k.read(away, 0), "for one who is away")
	})
}

func TestLongFailureDropsTheOldestAndLeavesAGap(t *testing.T) {
	inBubble(t, Options{PendingRecords: 80}, func(t *testing.T, c *clocked) {
		up, s := c.away("upstream/x"), c.away("session/s")
		c.fail(errNoDisk)
		c.Commit(&gateway.Change{Ops: []gateway.Op{gateway.DropWill{}}}, func(error) {})
		synctest.Wait() // it has failed and pauses
		var waiting []<-chan error
		for i := range 200 {
			if i%50 == 7 {
				waiting = append(waiting, c.putWait(fmt.Sprint(i), up, s))
			} else {
				c.put(fmt.Sprint(i), up, s)
			}
		}
		st := c.Stats()
		if st.Pending > 81 || st.Dropped < 100 {
			t.Errorf("%d pending, %d dropped", st.Pending, st.Dropped)
		}
		c.fail(nil)
		c.elapse(maxBackoff)
		for _, done := range waiting {
			c.wantDone(done, true)
		}
		c.wantAll(up, 200)
		list := payloads(c.read(up, 0))
		if list[1] != "7" || list[3] != "57" || list[len(list)-1] != "199" {
			t.Errorf("deliveries %q: those that somebody waits for and the newest must be there", list)
		}
		onSession := payloads(c.read(s, 0))
		if slices.ContainsFunc(onSession, func(p string) bool { return p[0] == 'g' }) || onSession[0] != "7" {
			t.Errorf("a session gets %q, want no gap", onSession)
		}
		for q, name := range map[gateway.QueueID]string{up: "upstream/x", s: "session/s"} {
			if n := c.depth(name); n != uint64(len(c.read(q, 0))) {
				t.Errorf("depth of %s is %d, want %d", name, n, len(c.read(q, 0)))
			}
		}
		k := c.crash()
		defer k.close()
		if got := payloads(k.read(up, 0)); !slices.Equal(got[:len(list)], list) {
			t.Errorf("after a crash %q, before %q", got, list)
		}
	})
}

// What a consumer has in hand is not dropped: it will be acknowledged, or sent again.
func TestLongFailureLeavesWhatIsInHand(t *testing.T) {
	inBubble(t, Options{PendingRecords: 80}, func(t *testing.T, c *clocked) {
		up := c.online("upstream/x")
		c.fail(errNoDisk)
		c.Commit(&gateway.Change{Ops: []gateway.Op{gateway.DropWill{}}}, func(error) {})
		synctest.Wait() // it has failed and pauses
		c.put("0", up)
		c.put("1", up)
		c.want(c.read(up, 0), "0", "1")
		for i := range 200 {
			c.put(fmt.Sprint(i+2), up)
		}
		if got := payloads(c.read(up, 0)); got[0] != "0" || got[1] != "1" {
			t.Errorf("deliveries begin with %q", got[:2])
		}
		c.fail(nil)
	})
}

// What is acknowledged while its commit fails needs none any more.
func TestAcknowledgedWhileItsCommitFails(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		up := c.online("upstream/x")
		c.mu.Lock()
		c.sabotage = func() error {
			c.Ack(up, 1)
			return errNoDisk
		}
		c.mu.Unlock()
		c.put("reading", up)
		c.elapse(2 * time.Second)
		if st := c.Stats(); st.Failures == 0 || st.Pending != 0 || st.Elided != 1 {
			t.Errorf("%d failures, %d pending, %d elided", st.Failures, st.Pending, st.Elided)
		}
		c.fail(nil)
	})
}

// wantAll checks that the records of an upstream's queue and the gaps in it together are n, without a hole, in order.
func (c *clocked) wantAll(q gateway.QueueID, n uint64) {
	c.t.Helper()
	next, total := uint64(1), uint64(0)
	for _, d := range c.read(q, 0) {
		first, last, count := d.Record.Seq, d.Record.Seq, uint64(1)
		if gap, ok := d.Record.Body.(*gateway.Gap); ok {
			first, last, count = gap.From, gap.To, gap.Count
		}
		if first != next {
			c.t.Fatalf("seq %d follows %d", first, next-1)
		}
		next, total = last+1, total+count
	}
	if total != n {
		c.t.Errorf("%d records delivered or told of, want %d", total, n)
	}
}

// A commit whose sync fails is reported as failed, but its pages are in the log, and count when the log is read again. It is repeated all
// the same, perhaps cut differently, and every record must be there once.
func TestCommitThatFailedAndIsThereAfterAll(t *testing.T) {
	r := newRig(t, Options{})
	a, b := r.Queue("session/a"), r.Queue("session/b")
	for i := range 20 {
		r.put(fmt.Sprint(i), a, b)
		if i%3 == 0 {
			r.put(fmt.Sprint(i, " alone"), b)
		}
	}
	g := &r.writer.group
	r.mu.Lock()
	r.take(g, 100)
	r.mu.Unlock()
	if err := r.commit(g); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.restore(g)
	r.mu.Unlock()
	r.Ack(a, 1, 7)
	r.run()
	r.flush()
	if st := r.Stats(); st.Failures != 0 || st.Dropped != 0 {
		t.Errorf("%d failures, %d dropped", st.Failures, st.Dropped)
	}
	k := r.crash()
	if n := len(k.read(b, 0)); n != 27 {
		t.Errorf("%d deliveries for b, want 27", n)
	}
	for i, d := range k.read(b, 0) {
		if d.Pos != uint64(i+1) {
			t.Fatalf("delivery %d has position %d", i, d.Pos)
		}
	}
	for pos := range uint64(27) {
		r.Ack(a, pos+1)
		r.Ack(b, pos+1)
	}
	r.flush()
	if n := r.rows("chunk") + r.rows("ref"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// A change that the database itself refuses must not hold up the others, and is not tried for ever.
func TestRefusedChangeIsGivenUpAlone(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.away("session/x")
		var before, bad, after <-chan error
		c.block(func() {
			c.putWait("first", q)
			synctest.Wait()
			before = c.putWait("before", q)
			result := make(chan error, 1)
			bad = result
			c.mu.Lock()
			c.append(&entry{
				work:   func(a *applier) error { return a.exec(`INSERT INTO meta(key, value) VALUES('seq_mark', 1)`) }, // is there already
				waiter: waiter{done: func(err error) { result <- err }},
			})
			c.mu.Unlock()
			after = c.putWait("after", q)
		})
		c.ok(before)
		c.ok(after)
		if err := <-bad; !refused(err) {
			t.Errorf("done(%v), want the database's refusal", err)
		}
		c.want(c.read(q, 0), "first", "before", "after")
		if st := c.Stats(); st.Pending != 0 {
			t.Errorf("%d pending", st.Pending)
		}
	})
}

// A stop must not wait for a disk that is gone; who waits is told.
func TestStopWithAFailingDiskTellsThoseWhoWait(t *testing.T) {
	r := newRig(t, Options{})
	q := r.Queue("session/x")
	r.fail(errNoDisk)
	r.run()
	done := r.putWait("one", q)
	if err := r.halt(); !errors.Is(err, errNoDisk) {
		t.Errorf("Run returns %v, want %v", err, errNoDisk)
	}
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("done(%v), want %v", err, ErrClosed)
	}
}

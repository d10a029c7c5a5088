package buffer

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// clocked is a rig in a bubble of fake time: commits take none, so what is measured is what the writer decides.
type clocked struct {
	*rig
	start time.Time
	base  uint64 // commits before the test began
}

// inBubble runs test with a store that runs.
func inBubble(t *testing.T, o Options, test func(t *testing.T, c *clocked)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &clocked{rig: running(t, o), start: time.Now()}
		defer c.close()
		c.flush()
		c.base = c.commits()
		test(t, c)
	})
}

// elapse lets time pass, and everything that is due in it happen.
func (c *clocked) elapse(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// wantCommits checks how many commits there were, at the present time.
func (c *clocked) wantCommits(n uint64) {
	c.t.Helper()
	synctest.Wait()
	if got := c.commits() - c.base; got != n {
		c.t.Fatalf("after %v: %d commits, want %d", time.Since(c.start), got, n)
	}
}

// online makes a queue with a consumer that is there.
func (c *clocked) online(name string) gateway.QueueID {
	q := c.Queue(name)
	c.flush()
	c.base = c.commits()
	c.Attach(q, func() {})
	return q
}

// away makes a queue whose consumer is not there.
func (c *clocked) away(name string) gateway.QueueID {
	q := c.online(name)
	c.Detach(q)
	return q
}

func (c *clocked) wantDone(done <-chan error, want bool) {
	c.t.Helper()
	synctest.Wait()
	if got := isDone(done); got != want {
		c.t.Fatalf("after %v: done is %v, want %v", time.Since(c.start), got, want)
	}
}

const (
	interval = time.Second           // the default of CommitInterval
	hold     = 50 * time.Millisecond // the default of AckHold
	tick     = time.Millisecond
)

func TestDueReadingWithoutWaiterAtCommitInterval(t *testing.T) {
	for _, where := range []string{"away", "online"} {
		t.Run(where, func(t *testing.T) {
			inBubble(t, Options{}, func(t *testing.T, c *clocked) {
				q := c.away("upstream/x")
				if where == "online" {
					c.Attach(q, func() {})
				}
				c.put("one", q)
				c.elapse(interval - tick)
				c.wantCommits(0)
				c.elapse(tick)
				c.wantCommits(1)
			})
		})
	}
}

func TestDueAtOnceWhenAPublisherWaitsAndTheConsumerIsAway(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.away("session/x")
		done := c.putWait("one", q)
		c.wantDone(done, true)
		c.wantCommits(1)
	})
}

func TestDueWithinAckHoldWhenTheConsumerKeepsUp(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.online("session/x")
		done := c.putWait("one", q)
		c.elapse(hold - tick)
		c.wantDone(done, false)
		c.wantCommits(0)
		c.elapse(tick)
		c.wantDone(done, true)
		c.wantCommits(1)
	})
}

func TestAcknowledgedBeforeDueIsNeverWritten(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q, p := c.online("session/x"), c.online("upstream/y")
		done := c.putWait("one", q, p)
		c.elapse(10 * tick)
		c.Ack(q, 1)
		c.wantDone(done, false) // one of two
		c.Ack(p, 1)
		c.wantDone(done, true)
		c.elapse(time.Minute)
		c.wantCommits(0)
		if st := c.Stats(); st.Elided != 1 || st.Written != 0 || st.Appended != 1 {
			t.Errorf("elided %d, written %d, appended %d, want 1, 0, 1", st.Elided, st.Written, st.Appended)
		}
	})
}

func TestOnlyTheOldestUnacknowledgedIsDue(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.online("upstream/x")
		c.put("one", q)
		c.elapse(900 * tick)
		c.put("two", q)
		c.Ack(q, 1)
		c.elapse(interval - tick)
		c.wantCommits(0)
		c.elapse(tick)
		c.wantCommits(1)
		if st := c.Stats(); st.Written != 1 {
			t.Errorf("%d records written, want 1", st.Written)
		}
	})
}

func TestDueAtOnceWhenTheConsumerHasABacklog(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.online("session/x")
		c.put("old", q)
		c.elapse(hold + tick) // the consumer has had its time
		done := c.putWait("new", q)
		c.wantDone(done, true)
		c.wantCommits(1)
		c.Ack(q, 1, 2) // it has caught up: the disk is spared again
		c.elapse(2 * interval)
		c.wantCommits(2)
		done = c.putWait("newer", q)
		c.elapse(tick)
		c.wantDone(done, false)
		c.Ack(q, 3)
		c.wantDone(done, true)
		c.wantCommits(2)
	})
}

// A commit writes everything that is pending, also what a consumer who keeps up was about to acknowledge. That must not make it look
// slow, or under load one hiccup would be followed by commits for ever.
func TestCommitDoesNotMakeAConsumerLookSlow(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q, other := c.online("session/x"), c.away("session/away")
		c.put("one", q)
		c.ok(c.putWait("hurry", other))
		c.wantCommits(1)
		done := c.putWait("two", q)
		c.elapse(tick)
		c.wantDone(done, false)
		c.wantCommits(1)
	})
}

func TestDueAtOnceBeyondABound(t *testing.T) {
	tests := []struct {
		name string
		o    Options
		size int
	}{
		{"records", Options{GroupRecords: 10}, 10},
		{"bytes", Options{GroupBytes: 10 * (entryOverhead + 3 + 1000)}, 1000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.o, func(t *testing.T, c *clocked) {
				q := c.online("upstream/x")
				for range 9 {
					c.put(fmt.Sprintf("%*d", tt.size, 1), q)
				}
				c.wantCommits(0)
				c.put(fmt.Sprintf("%*d", tt.size, 1), q)
				c.wantCommits(1)
			})
		})
	}
}

func TestDueAtOnceWithBarrierOrOperationsThatSomebodyWaitsFor(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.online("session/x")
		c.Commit(&gateway.Change{Record: record("one"), To: to(q), Barrier: true}, nil)
		c.wantCommits(1)
		done := c.change(&gateway.Change{Ops: []gateway.Op{gateway.PutInbound{Queue: q, PacketID: 1}}})
		c.wantDone(done, true)
		c.wantCommits(2)
		c.Commit(&gateway.Change{Ops: []gateway.Op{gateway.DropInbound{Queue: q, PacketID: 1}}}, nil)
		c.elapse(interval - tick)
		c.wantCommits(2)
		c.elapse(tick)
		c.wantCommits(3)
	})
}

// A change with operations is never elided: its record may be acknowledged by all, the operations are not.
func TestOperationsAreCommittedThoughTheRecordIsAcknowledged(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.online("session/x")
		c.Commit(&gateway.Change{Record: record("one"), To: to(q), Ops: []gateway.Op{gateway.PutInbound{Queue: q, PacketID: 1}}}, nil)
		c.Ack(q, 1)
		c.elapse(interval)
		c.wantCommits(1)
		if n, inbound := c.rows("chunk"), c.rows("inbound"); n != 0 || inbound != 1 {
			t.Errorf("%d chunks and %d packet ids on disk, want 0 and 1", n, inbound)
		}
	})
}

func TestDetachMakesDueWhatSomebodyWaitsFor(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.online("session/x")
		c.put("nobody waits", q)
		c.Detach(q)
		c.wantCommits(0)
		c.Attach(q, func() {})
		done := c.putWait("one", q)
		c.wantDone(done, false)
		c.Detach(q)
		c.wantDone(done, true)
		c.wantCommits(1)
	})
}

func TestStampedOnlyWhenNobodyKeepsIt(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		rec := record("one")
		done := c.change(&gateway.Change{Record: rec})
		c.wantDone(done, true)
		c.elapse(time.Minute)
		c.wantCommits(0)
		if next := c.put("two"); rec.Seq == 0 || next.Seq != rec.Seq+1 {
			t.Errorf("seq %d, then %d", rec.Seq, next.Seq)
		}
	})
}

func TestAcknowledgementsRideOnTheNextCommit(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.away("session/x")
		c.ok(c.putWait("one", q))
		c.wantCommits(1)
		c.Ack(q, 1)
		c.elapse(interval / 2)
		c.ok(c.putWait("two", q))
		c.wantCommits(2)
		if n := c.rows("chunk"); n != 1 {
			t.Errorf("%d chunks on disk, want 1: the first was acknowledged", n)
		}
		c.elapse(time.Minute)
		c.wantCommits(2)
	})
}

func TestAcknowledgementsCommitByThemselvesWithinCommitInterval(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.away("session/x")
		c.ok(c.putWait("one", q))
		c.Ack(q, 1)
		c.elapse(interval - tick)
		c.wantCommits(1)
		c.elapse(tick)
		c.wantCommits(2)
		if n := c.rows("chunk"); n != 0 {
			t.Errorf("%d chunks on disk, want none", n)
		}
	})
}

func TestRetainedChangesOfOneTopicAreCoalesced(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		retain := func(payload string) []gateway.Op {
			return []gateway.Op{gateway.PutRetained{Message: message("r/t", payload)}}
		}
		for i := range 100 {
			c.Commit(&gateway.Change{Ops: retain(fmt.Sprint(i))}, nil)
		}
		if n := c.Stats().Pending; n != 1 {
			t.Errorf("%d changes pending, want 1", n)
		}
		// One that somebody waits for must not be overtaken by the ones before it, nor overtake those after.
		done := c.change(&gateway.Change{Ops: retain("waited for")})
		c.Commit(&gateway.Change{Ops: retain("last")}, nil)
		c.wantDone(done, true)
		c.elapse(interval)
		rec, err := c.Recover()
		if err != nil {
			t.Fatal(err)
		}
		if len(rec.Retained) != 1 || string(rec.Retained[0].Message.Payload) != "last" {
			t.Errorf("retained %+v, want the last", rec.Retained)
		}
	})
}

// While every consumer keeps up, a gateway that reads 100 times a second does not write: ten minutes, at most one commit.
func TestSteadyStateSparesTheDisk(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.online("upstream/x")
		for i := range uint64(60000) {
			c.put("reading", q)
			<-time.After(10 * time.Millisecond)
			c.Ack(q, i+1)
		}
		synctest.Wait()
		st := c.Stats()
		t.Logf("60,000 readings in %v: %d commits, %d elided, %d written", time.Since(c.start), st.Commits-c.base, st.Elided, st.Written)
		if st.Commits-c.base > 1 || st.Elided != 60000 || st.Written != 0 {
			t.Errorf("%d commits, %d elided, %d written, want at most 1, 60000, 0", st.Commits-c.base, st.Elided, st.Written)
		}
	})
}

// TestAcknowledgementsLeaveYoungRecordsAlone: a commit for acknowledgements alone that took what is pending would write records that
// are about to be elided, whose acknowledgements need a commit in their turn, and so on for ever.
func TestAcknowledgementsLeaveYoungRecordsAlone(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.online("upstream/x")
		c.put("written, because its acknowledgement is late", q)
		c.elapse(interval)
		c.wantCommits(1)
		c.Ack(q, 1)
		c.elapse(interval - tick)
		c.put("young when the acknowledgement is committed", q)
		c.elapse(2 * tick)
		c.wantCommits(2)
		c.Ack(q, 2)
		c.elapse(time.Hour)
		c.wantCommits(2)
		if s := c.Stats(); s.Elided != 1 {
			t.Errorf("%d records were elided, want 1", s.Elided)
		}
	})
}

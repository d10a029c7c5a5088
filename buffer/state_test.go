package buffer

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidegate/tidegate/gateway"
)

// What the broker put is what it gets back, after a stop and after a crash.
func TestRecoverReturnsTheBrokersState(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		a, b, gone := c.Queue("session/a"), c.Queue("session/b"), c.Queue("session/gone")
		ended := time.Date(2026, 5, 6, 7, 8, 9, 123456789, time.UTC)
		sub := gateway.Subscription{Filter: "x/#", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2, Identifier: 77}
		will := &gateway.Message{
			Topic: "last", Payload: []byte("words"), QoS: 1, Retain: true,
			Properties: &gateway.Properties{Expiry: 30, HasExpiry: true, ResponseTopic: "r", CorrelationData: []byte{0}},
		}
		for range 3 {
			c.Commit(&gateway.Change{Record: record("x"), To: to(a), Barrier: true}, nil)
		}
		c.ops(
			gateway.PutSession{Queue: a, ClientID: "a", User: "me", Expiry: time.Hour, Disconnected: ended},
			gateway.PutSession{Queue: b, ClientID: "b", Expiry: -1},
			gateway.PutSession{Queue: gone, ClientID: "gone"},
			gateway.PutSubscription{Queue: a, Subscription: gateway.Subscription{Filter: "x/#"}},
			gateway.PutSubscription{Queue: a, Subscription: sub}, // replaces
			gateway.PutSubscription{Queue: a, Subscription: gateway.Subscription{Filter: "dropped"}},
			gateway.DropSubscription{Queue: a, Filter: "dropped"},
			gateway.PutInbound{Queue: a, PacketID: 65535}, gateway.PutInbound{Queue: a, PacketID: 1}, gateway.PutInbound{Queue: a, PacketID: 2},
			gateway.PutInbound{Queue: a, PacketID: 1}, gateway.DropInbound{Queue: a, PacketID: 2},
			gateway.PutReceived{Queue: a, Pos: 2}, gateway.PutReceived{Queue: a, Pos: 1}, gateway.PutReceived{Queue: a, Pos: 3},
			gateway.PutRetained{Message: message("t/1", "old")}, gateway.PutRetained{Message: message("t/1", "new"), Time: ended},
			gateway.PutRetained{Message: message("t/2", "removed")}, gateway.PutRetained{Message: message("t/2", "")},
			gateway.PutWill{ClientID: "a", User: "me", Message: will}, gateway.PutWill{ClientID: "b", Message: will}, gateway.DropWill{ClientID: "b"},
			gateway.PutWill{ClientID: "c", Message: will}, gateway.PutWill{ClientID: "c", Message: will, Delay: time.Minute, Due: ended},
			gateway.DropSession{Queue: gone},
		)
		c.Ack(a, 1) // takes the note of its PUBREC along
		c.Ack(a, 3) // behind one that is not acknowledged: after a crash the release is asked for again, not the message sent
		c.elapse(interval)
		if n := c.rows("received"); n != 2 {
			t.Errorf("%d notes of PUBREC on disk, want 2", n)
		}
		c.ops(gateway.PutReceived{Queue: a, Pos: 1}) // may come late, as from a second connection
		want := &gateway.Recovered{
			Sessions: []gateway.SessionState{
				{
					PutSession:    gateway.PutSession{Queue: a, ClientID: "a", User: "me", Expiry: time.Hour, Disconnected: ended},
					Subscriptions: []gateway.Subscription{sub}, Inbound: []uint16{1, 65535}, Received: []uint64{2, 3},
				},
				{PutSession: gateway.PutSession{Queue: b, ClientID: "b", Expiry: -1}},
			},
			Retained: []gateway.PutRetained{{Message: message("t/1", "new"), Time: ended}},
			Wills: []gateway.PutWill{
				{ClientID: "a", User: "me", Message: will}, {ClientID: "c", Message: will, Delay: time.Minute, Due: ended},
			},
		}
		k := c.crash()
		defer k.close()
		c.reopen()
		for how, r := range map[string]*rig{"crash": k, "stop": c.rig} {
			got, err := r.Recover()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("after a %s (-want +got):\n%s", how, diff)
			}
			r.want(r.read(a, 0), "x", "x")
		}
	})
}

// All of a change is committed, or none of it.
func TestOneCommitCoversAllOfAChange(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.away("session/x")
		c.fail(errNoDisk)
		done := c.change(&gateway.Change{
			Record: record("one"), To: to(q), Barrier: true,
			Ops: []gateway.Op{gateway.PutInbound{Queue: q, PacketID: 1}, gateway.PutRetained{Message: message("t", "r")}},
		})
		c.elapse(time.Second)
		k := c.crash()
		defer k.close()
		if n := k.rows("chunk") + k.rows("inbound") + k.rows("retained"); n != 0 {
			t.Errorf("%d rows of a change that is not committed", n)
		}
		c.fail(nil)
		c.ok(done)
		k = c.crash()
		defer k.close()
		if n := k.rows("chunk") + k.rows("inbound") + k.rows("retained"); n != 3 {
			t.Errorf("%d rows of a change that is committed, want 3", n)
		}
	})
}

func TestUpstreamWaitsReadsAndAcknowledges(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		u := c.Upstream("cloud")
		pos := u.Attach()
		buf := make([]gateway.Delivery, 10)
		got := make(chan []string, 1)
		read := func() {
			n, err := u.Read(t.Context(), pos, buf)
			if err != nil {
				t.Error(err)
			}
			got <- payloads(buf[:n])
		}
		go read()
		synctest.Wait()
		if len(got) > 0 {
			t.Fatal("it does not wait")
		}
		c.put("one", u.Queue())
		if list := <-got; !slices.Equal(list, []string{"one"}) {
			t.Errorf("read %q", list)
		}
		u.Ack(1)
		u.Detach()
		c.ok(c.putWait("two", u.Queue()))
		if pos = u.Attach(); pos != 1 {
			t.Errorf("acknowledged through %d, want 1", pos)
		}
		read()
		if list := <-got; !slices.Equal(list, []string{"two"}) {
			t.Errorf("read %q", list)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := u.Read(ctx, 2, buf); err != context.Canceled {
			t.Errorf("read with a context that has ended: %v", err)
		}
	})
}

func TestUpstreamReadEndsWithTheStore(t *testing.T) {
	r := running(t, Options{})
	u := r.Upstream("cloud")
	u.Attach()
	result := make(chan error, 1)
	go func() {
		_, err := u.Read(context.Background(), 0, make([]gateway.Delivery, 1))
		result <- err
	}()
	if err := r.halt(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != ErrClosed {
		t.Errorf("read returns %v, want %v", err, ErrClosed)
	}
}

func TestParkSetsADeliveryAside(t *testing.T) {
	for _, where := range []string{"memory", "disk"} {
		t.Run(where, func(t *testing.T) {
			inBubble(t, Options{}, func(t *testing.T, c *clocked) {
				u := c.Upstream("cloud")
				u.Attach()
				c.put("good", u.Queue())
				c.put("poison", u.Queue())
				if where == "disk" {
					c.elapse(interval)
					u.Detach()
				}
				if err := u.Park(t.Context(), 2, "too long"); err != nil {
					t.Fatal(err)
				}
				c.want(c.read(u.Queue(), 0), "good")
				const row = `dead WHERE queue = 'upstream/cloud' AND pos = 2 AND reason = 'too long' AND instr(body, CAST('poison' AS BLOB)) > 0`
				k := c.crash()
				defer k.close()
				if n := k.rows(row); n != 1 {
					t.Errorf("%d rows of dead, want 1", n)
				}
				if err := u.Park(t.Context(), 99, "x"); err == nil {
					t.Error("a delivery that is not there can be parked")
				}
			})
		})
	}
}

func TestEpochsAreCommittedAndNeverRepeat(t *testing.T) {
	r := running(t, Options{})
	u, other := r.Upstream("cloud"), r.Upstream("other")
	for want := range uint64(3) {
		if n, err := u.NextEpoch(t.Context()); err != nil || n != want+1 {
			t.Fatalf("epoch %d, %v, want %d", n, err, want+1)
		}
	}
	if n, err := other.NextEpoch(t.Context()); err != nil || n != 1 {
		t.Errorf("epoch %d of the other, %v", n, err)
	}
	k := r.crash()
	k.run()
	if n, err := k.Upstream("cloud").NextEpoch(t.Context()); err != nil || n != 4 {
		t.Errorf("epoch %d after a crash, %v, want 4", n, err)
	}
}

func TestInboxJournal(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		ctx, in := t.Context(), c.Inbox()
		command := func(p string) {
			c.ok(c.change(&gateway.Change{Record: record(p), To: to(in.Queue()), Barrier: true}))
		}
		next := func(in *Inbox, after uint64) string {
			pos, rec, started, err := in.Next(ctx, after)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%d %s %v", pos, rec.Body.(*gateway.Message).Payload, started)
		}
		equal := func(got, want string) {
			t.Helper()
			if got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
		for _, p := range []string{"a", "b", "c", "d"} {
			command(p)
		}
		equal(next(in, 0), "1 a false")
		equal(next(in, 1), "2 b false")
		for _, err := range []error{
			in.Start(ctx, 1), in.Start(ctx, 2), in.Start(ctx, 3),
			in.Finish(ctx, 3, "id-c", []byte("result c")), // out of order: another bus
			in.Finish(ctx, 2, "", nil),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		k := c.crash()
		defer k.close()
		k.run()
		kin := k.Inbox()
		equal(next(kin, 0), "1 a true") // it may have been carried out or not
		equal(next(kin, 1), "4 d false")
		if result, found, err := kin.Result(ctx, "id-c"); string(result) != "result c" || !found || err != nil {
			t.Errorf("result %q, %v, %v", result, found, err)
		}
		if _, found, err := kin.Result(ctx, "id-x"); found || err != nil {
			t.Errorf("an unknown id: %v, %v", found, err)
		}
		if err := kin.Finish(ctx, 1, "id-c", []byte("again")); err != nil {
			t.Fatal(err)
		}
		if result, _, err := kin.Result(ctx, "id-c"); string(result) != "again" {
			t.Errorf("result %q, %v after it was replaced", result, err)
		}
		equal(next(kin, 0), "4 d false")
		if err := kin.Finish(ctx, 4, "", nil); err != nil {
			t.Fatal(err)
		}
		<-synced(k)
		if n := k.depth("inbox"); n != 0 {
			t.Errorf("depth %d when all are finished", n)
		}
	})
}

func TestResultsAreBounded(t *testing.T) {
	r := newRig(t, Options{})
	a := &r.writer.applier
	if err := a.exec(`BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	for i := range commandRows + 500 {
		if err := a.putResult(fmt.Sprint("id", i), nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.exec(`COMMIT`); err != nil {
		t.Fatal(err)
	}
	if n := r.rows("command"); n != commandRows {
		t.Errorf("%d results, want %d", n, commandRows)
	}
	if _, found, err := r.Inbox().Result(t.Context(), "id499"); found || err != nil {
		t.Errorf("an old result: %v, %v", found, err)
	}
}

func TestStats(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		up, s := c.online("upstream/x"), c.away("session/s")
		old := record("old")
		old.Time = old.Time.Add(-time.Hour)
		c.Commit(&gateway.Change{Record: old, To: to(up, s)}, nil)
		c.put("new", up)
		c.elapse(tick)
		check := func(when string, oldest time.Time) {
			t.Helper()
			st := c.Stats()
			want := []gateway.QueueStats{
				{Name: "upstream/x", Depth: 2, Oldest: old.Time, Online: true, Bytes: 2 * (costRecord + 6)},
				{Name: "session/s", Depth: 1, Oldest: oldest, Bytes: costRecord + 6},
			}
			if diff := cmp.Diff(want, st.Queues); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		check("pending", old.Time)
		if st := c.Stats(); st.Pending != 2 || st.Appended != 2 {
			t.Errorf("%+v", st)
		}
		c.elapse(interval)
		check("committed", time.Time{}) // on disk alone, and a session: not known
		c.Detach(up)
		c.Attach(up, func() {})
		check("on disk", time.Time{}) // looked up
		if st := c.Stats(); st.Pending != 0 || st.Written != 2 || st.Commits == 0 || st.Fsyncs < st.Commits || st.BytesOut < newPageSize {
			t.Errorf("%+v", st)
		}
	})
}

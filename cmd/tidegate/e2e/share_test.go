package e2e_test

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Of the test of shares: how many records the outage leaves behind, how many come live afterwards, how many of a hundred sends belong to
// the live ones, and how many sends a second there are. The rate is well below what the publisher of the live records can do.
const (
	pastRecords = 3000
	liveRecords = 1400
	liveShare   = 70
	shareRate   = 1000
)

// TestLiveRecordsHaveTheirShare drains a backlog at a bounded rate while new records come. Where the route says live_first they must have their share
// of what is sent, from the first to the last, and the backlog must have the rest; with the strict order they come behind the backlog.
func TestLiveRecordsHaveTheirShare(t *testing.T) {
	t.Run("live_first", func(t *testing.T) {
		order := drainWhileLive(t, "live_first")
		checkShare(t, order)
	})
	t.Run("strict", func(t *testing.T) {
		order := drainWhileLive(t, "strict")
		if first := slices.Index(order, true); first != pastRecords {
			t.Errorf("the first live record came as number %d, want it behind all %d of the backlog", first+1, pastRecords)
		}
	})
}

// drainWhileLive returns for each record that came whether it was a live one, in the order of arrival.
func drainWhileLive(t *testing.T, order string) []bool {
	c := startOpenCloud(t)
	link := startProxy(t, c.addr())
	link.set(reset)
	g := newPlant(t, upstreamAt(link.addr(), 64)+"order = \""+order+"\"\n"+
		"[upstream.rate]\nmessages = "+strconv.Itoa(shareRate)+"\n")
	g.setUpstream("live_share = " + strconv.Itoa(liveShare))
	g.logLess()
	g.start()
	const past, live = plain + "past", plain + "live"
	var mu sync.Mutex
	var came []bool
	in := hearNumbers(t, c.addr(), func(topic string) {
		mu.Lock()
		defer mu.Unlock()
		came = append(came, topic == live)
	}, "site/#")
	flood(t, g.broker(), pastRecords, past)

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now()
	link.set(pass)
	wait := func(topic string, n int) {
		t.Helper()
		if err := in.waitNumber(ctx, topic, n); err != nil {
			t.Fatalf("%v; so far %+v", err, in.verdict())
		}
	}
	wait(past, 1) // it drains: what is published from now on is live
	flood(t, g.broker(), liveRecords, live)
	wait(past, pastRecords)
	wait(live, liveRecords)
	checkRate(t, time.Since(began))
	g.stop()
	if v := in.verdict(); v.missing+v.repeats > 0 || v.fault != "" {
		t.Errorf("%+v", v)
	}
	mu.Lock()
	defer mu.Unlock()
	return came
}

// checkRate insists that the rate was kept: less than a certain time cannot have passed then. How much more it was says nothing.
func checkRate(t *testing.T, took time.Duration) {
	t.Helper()
	const beyondBurst = pastRecords + liveRecords - shareRate
	if least := beyondBurst * time.Second / shareRate; took < least {
		t.Errorf("%d records came within %v, at %d a second that takes %v", pastRecords+liveRecords, took, shareRate, least)
	}
}

// checkShare counts from the first live record to the last.
func checkShare(t *testing.T, order []bool) {
	t.Helper()
	first := slices.Index(order, true)
	last := len(order) - 1
	for last > 0 && !order[last] {
		last--
	}
	if first < 0 || last == len(order)-1 {
		t.Fatalf("the live records came from %d to %d of %d: the backlog was gone before, which proves nothing", first, last, len(order))
	}
	most, run := 0, 0
	for _, live := range order[first : last+1] {
		if live {
			run = 0
			continue
		}
		run++
		most = max(most, run)
	}
	sent := last + 1 - first
	share := 100 * float64(liveRecords) / float64(sent)
	t.Logf("%d records of the backlog, then %d live ones among %d: %.1f %%, at most %d of the backlog in a row, then %d of it",
		first, liveRecords, sent, share, most, len(order)-1-last)
	if share < liveShare-5 || share > liveShare+5 {
		t.Errorf("live records had %.1f %% of what was sent, want %d", share, liveShare)
	}
	if most > 20 { // one, but for moments in which the publisher was late
		t.Errorf("%d records of the backlog came in a row while live ones waited", most)
	}
}

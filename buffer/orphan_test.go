package buffer

import (
	"slices"
	"testing"
	"time"
)

func TestOrphansAreToldThenExpire(t *testing.T) {
	book, logger := newLogBook()
	var w wallClock
	inBubble(t, w.options(Options{Logger: logger}), func(t *testing.T, c *clocked) {
		kept, gone, s := c.UpstreamLane("x", "high"), c.Upstream("old"), c.away("session/s")
		c.put("one", kept.Queue(), gone.Queue(), s)
		c.elapse(time.Second)
		c.Claim(UpstreamQueue("x", "high"))
		since := w.now()
		for day := range 7 {
			if st := c.queueStats("upstream/old"); !st.Orphan.Equal(since) {
				t.Fatalf("day %d: orphan since %v, want %v", day, st.Orphan, since)
			}
			if day == 3 { // neither a restart nor a clock that was set makes it expire
				c.reopen()
				c.Claim("upstream/x/high")
				since = w.now().Add(1000 * time.Hour)
				w.set(since)
				c.put("notices", s)
			}
			c.elapse(24 * time.Hour)
		}
		if st := c.queueStats("upstream/x/high"); !st.Orphan.IsZero() || st.Depth != 1 {
			t.Errorf("%+v", st)
		}
		c.elapse(4 * 24 * time.Hour)
		for _, q := range c.Stats().Queues {
			if q.Name == "upstream/old" {
				t.Errorf("the orphan is still there: %+v", q)
			}
		}
		if n := book.count("nobody in the configuration"); n != 2 {
			t.Errorf("said %d times, want once at each start", n)
		}
		if n := c.rows("meta WHERE key LIKE 'orphan/%'"); n != 0 {
			t.Errorf("%d rows are left", n)
		}
		c.drain(c.Queue("upstream/x/high"), s)
	})
}

func TestOrphanThatIsClaimedAgainOrUsedStays(t *testing.T) {
	var w wallClock
	inBubble(t, w.options(Options{}), func(t *testing.T, c *clocked) {
		back, used := c.away("upstream/back"), c.online("upstream/used")
		c.put("one", back, used)
		w.unsync.Store(true)
		c.elapse(2 * time.Second)
		c.Claim()
		c.elapse(200 * time.Hour) // does not count: the clock may be wrong
		w.unsync.Store(false)
		c.elapse(100 * time.Hour)
		c.Claim("upstream/back")
		c.elapse(200 * time.Hour)
		c.want(c.read(back, 0), "one")
		c.want(c.read(used, 0), "one")
		if st := c.queueStats("upstream/back"); !st.Orphan.IsZero() {
			t.Errorf("orphan since %v", st.Orphan)
		}
		if n := c.rows("meta WHERE key LIKE 'orphan/%'"); n != 1 {
			t.Errorf("%d orphans on disk, want the one that is in use", n)
		}
	})
}

func TestLanes(t *testing.T) {
	inBubble(t, Options{UpstreamLimits: Limits{Count: 10}}, func(t *testing.T, c *clocked) {
		low, plain, other := c.UpstreamLane("x", "low"), c.UpstreamLane("x", ""), c.Upstream("xy")
		c.UpstreamLane("x", "empty")
		if plain.Queue() != c.Upstream("x").Queue() || low.Queue() == plain.Queue() {
			t.Error("queues of lanes are mixed up")
		}
		c.put("one", low.Queue(), plain.Queue(), other.Queue())
		c.elapse(interval)
		if got := c.Lanes("x"); !slices.Equal(got, []string{"", "low"}) {
			t.Errorf("lanes %q", got)
		}
		for want, u := range map[uint64]*Upstream{1: low} {
			if n, err := u.NextEpoch(t.Context()); n != want || err != nil {
				t.Errorf("epoch %d, %v", n, err)
			}
		}
		if n, err := plain.NextEpoch(t.Context()); n != 2 || err != nil {
			t.Errorf("epoch %d, %v: it is the upstream's, not the lane's", n, err)
		}
		for range 30 {
			c.put("more", low.Queue())
		}
		c.elapse(2 * interval)
		c.wantAll(low.Queue(), 31)
		if err := plain.Park(t.Context(), 1, "too long"); err != nil {
			t.Fatal(err)
		}
		if n := c.rows("dead WHERE queue = 'upstream/x'"); n != 1 {
			t.Errorf("%d rows of dead", n)
		}
	})
}

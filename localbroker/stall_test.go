package localbroker_test

import (
	"context"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/tidegate/tidegate/buffer"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// limitedHost is a buffer with limits for sessions.
type limitedHost struct {
	bufferHost
	limits buffer.Limits
}

func (h *limitedHost) open(t testing.TB) localbroker.Store {
	t.Helper()
	if h.path == "" {
		h.path = filepath.Join(t.TempDir(), "buffer.db")
	}
	store, err := buffer.Open(context.Background(), buffer.Options{Path: h.path, SessionLimits: h.limits})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- store.Run(ctx) }()
	h.store, h.stop, h.end = store, cancel, end
	return store
}

// publishPaced publishes numbers with QoS 1, each when the one before is acknowledged.
func publishPaced(c *raw, topic string, from, to int) {
	c.t.Helper()
	for i := from; i < to; i++ {
		c.publish(topic, strconv.Itoa(i), 1, uint16(i%60000+1), false)
		c.next()
	}
}

// takeAll acknowledges what comes until number last, and returns the numbers.
func takeAll(c *raw, last int) (got []int) {
	c.t.Helper()
	for {
		p := c.next().(*packet.Publish)
		n, err := strconv.Atoi(string(p.Payload))
		if err != nil {
			c.t.Fatal(err)
		}
		got = append(got, n)
		ack := packet.Ack{Kind: packet.TypePuback, ID: p.ID}
		c.write(ack.Append(nil, packet.V311))
		if n == last {
			return got
		}
	}
}

// wantStalled checks that numbers are those that were in flight and then the newest without a break.
func wantStalled(t *testing.T, got []int, inflight, last, limit int) {
	t.Helper()
	for i := range inflight {
		if i >= len(got) || got[i] != i {
			t.Fatalf("%v: want %d that were in flight first", got, inflight)
		}
	}
	rest := got[inflight:]
	for i, n := range rest {
		if n != last+1-len(rest)+i {
			t.Fatalf("behind what was in flight: %v, want the newest through %d", rest, last)
		}
	}
	if len(got) > limit+limit/4 || len(got) < limit*3/4 {
		t.Errorf("%d messages, the limit is %d", len(got), limit)
	}
}

// A client that is connected and acknowledges nothing loses the oldest behind what is in flight to it, be it that it comes back to life, comes
// anew, or the gateway is killed.
func TestAStalledSessionKeepsWhatIsInFlightAndTheNewest(t *testing.T) {
	const limit, inflight, count = 200, 20, 1000
	for _, revive := range []string{"the same connection", "a new connection", "a crash"} {
		t.Run(revive, func(t *testing.T) {
			r := startOn(t, &limitedHost{limits: buffer.Limits{Count: limit}}, func(o *localbroker.Options) { o.MaxInflight = inflight })
			s := r.persistent("s", false)
			s.subscribe("a", 1)
			p := r.clean("p")
			publishPaced(p, "a", 0, count)
			switch revive {
			case "a new connection":
				s = r.persistent("s", true)
			case "a crash":
				r.crash()
				s = r.persistent("s", true)
			}
			wantStalled(t, takeAll(s, count-1), inflight, count-1, limit)
			publishPaced(r.clean("p"), "a", count, count+1)
			if got := takeAll(s, count); len(got) != 1 {
				t.Errorf("then %v, want one more", got)
			}
		})
	}
}

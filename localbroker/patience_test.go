package localbroker

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// Who waits for a subscriber waits on while it takes something, a second for each read at most, and gives up 250 ms after it has taken the last.
func TestASubscriberIsWaitedForAsLongAsItTakesSomething(t *testing.T) {
	const patience = 250 * time.Millisecond
	for _, tt := range []struct {
		name    string
		takes   []time.Duration // when
		waits   time.Duration
		stalled bool
	}{
		{name: "nothing", waits: patience, stalled: true},
		{name: "once", takes: []time.Duration{120 * time.Millisecond}, waits: 150*time.Millisecond + patience, stalled: true},
		{name: "late, and not again", takes: []time.Duration{240 * time.Millisecond}, waits: patience + patience, stalled: true},
		{name: "now and then", takes: []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 600 * time.Millisecond, 800 * time.Millisecond}, waits: time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, err := New(Options{Store: struct{ Store }{}, MaxQueued: 8})
				if err != nil {
					t.Fatal(err)
				}
				s := &session{id: "slow"}
				s.attach(&conn{b: b})
				for range 6 {
					s.offer(item{msg: &message{Message: gateway.Message{Topic: "a"}}})
				}
				var client sync.WaitGroup
				start := time.Now()
				client.Go(func() {
					for _, at := range tt.takes {
						<-time.After(at - time.Since(start))
						s.mu.Lock()
						s.advanced()
						s.mu.Unlock()
					}
				})
				c := &conn{b: b, closed: make(chan struct{}), patience: slowFactor * b.opts.StallPatience}
				for more := true; more && c.patience > 0; {
					if more, err = c.wait(s); err != nil {
						t.Fatal(err)
					}
				}
				if got := time.Since(start); got != tt.waits || s.stalled != tt.stalled {
					t.Errorf("waited for %v, stalled %v, want %v, %v", got, s.stalled, tt.waits, tt.stalled)
				}
				client.Wait()
			})
		})
	}
}

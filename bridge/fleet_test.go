package bridge

import (
	"container/heap"
	"testing"
	"time"
)

// fleetSize is how many gateways lose their broker in the same moment.
const fleetSize = 10_000

// fleetBroker is the cluster as a fleet sees it: gone for a while, and then able to take so many connections in a second.
type fleetBroker struct {
	gone      time.Duration // from the loss of all connections to the return
	perSecond int           // connections taken in one second; of the rest every other one is refused, and the others time out
	timeout   time.Duration // what a connection that is not answered costs
	cold      bool          // the gateways were not connected before: they start in one moment, as after a power cut of a region
}

// first is when a gateway makes its first attempt.
func (b fleetBroker) first(w waiter) time.Duration {
	if b.cold {
		return 0
	}
	return w.next(time.Hour, failNetwork)
}

// waiter gives the waits between connections, as backoff does.
type waiter interface {
	next(lasted time.Duration, f failure) time.Duration
}

// naive doubles its wait up to the same maximum and has no jitter. It is what the bridge is compared with.
type naive struct{ last time.Duration }

func (n *naive) next(time.Duration, failure) time.Duration {
	n.last = min(max(2*n.last, backoffMin), backoffMax)
	return n.last
}

// attempt is one gateway's next connection, at a virtual time after the loss.
type attempt struct {
	at      time.Duration
	gateway int
}

// attempts is the event queue: a heap by time, and by gateway where the times are equal.
type attempts []attempt

func (a attempts) Len() int      { return len(a) }
func (a attempts) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a attempts) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].gateway < a[j].gateway
}
func (a *attempts) Push(x any) { *a = append(*a, x.(attempt)) }

func (a *attempts) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	*a = (*a)[:last]
	return x
}

// returned is how a fleet came back.
type returned struct {
	connected int
	tries     int           // attempts after the broker's return
	peak      int           // most attempts in one second after the broker's return
	last      time.Duration // from the broker's return until the last gateway was back
}

// fleetPatience ends a simulation whose fleet does not come back.
const fleetPatience = 24 * time.Hour

// simulateFleet lets a fleet lose its broker, or start without one, and follows each attempt in virtual time until all are connected.
func simulateFleet(b fleetBroker, newWaiter func() waiter) returned {
	waiters := make([]waiter, fleetSize)
	queue := make(attempts, fleetSize)
	for i := range queue {
		waiters[i] = newWaiter()
		queue[i] = attempt{b.first(waiters[i]), i}
	}
	heap.Init(&queue)
	var (
		r       returned
		second  time.Duration // that is counted now
		seen    int           // attempts in it
		refused bool          // the last one that was not taken was refused
	)
	for len(queue) > 0 && queue[0].at < fleetPatience {
		a := queue[0]
		took := time.Duration(0)
		if a.at >= b.gone {
			if s := a.at.Truncate(time.Second); s != second {
				second, seen = s, 0
			}
			seen++
			r.tries++
			r.peak = max(r.peak, seen)
			if seen <= b.perSecond {
				r.connected++
				r.last = a.at - b.gone
				heap.Pop(&queue)
				continue
			}
			if refused = !refused; !refused {
				took = b.timeout
			}
		}
		queue[0].at = a.at + took + waiters[a.gateway].next(took, failNetwork)
		heap.Fix(&queue, 0)
	}
	return r
}

// TestFleetReturns lets 10,000 gateways lose their broker at once and come back to one that takes 500 connections a second, which is
// what a small cluster with TLS does. It is compared with the same fleet on waits that double without jitter.
func TestFleetReturns(t *testing.T) {
	for name, gone := range map[string]time.Duration{
		"failover at once":     0,
		"restart of 5 s":       5 * time.Second,
		"outage of 10 minutes": 10 * time.Minute,
	} {
		t.Run(name, func(t *testing.T) {
			b := fleetBroker{gone: gone, perSecond: 500, timeout: 15 * time.Second}
			plain := simulateFleet(b, func() waiter { return &naive{} })
			ours := simulateFleet(b, func() waiter { return &backoff{} })
			spread := simulateFleet(b, func() waiter { return &backoff{spread: time.Minute} })
			for _, r := range []struct {
				name string
				returned
			}{{"doubling, no jitter", plain}, {"bridge", ours}, {"bridge, spread 1 min", spread}} {
				t.Logf("%-20s: %5d back, %6d attempts, at most %5d in a second, all back after %v",
					r.name, r.connected, r.tries, r.peak, r.last.Round(time.Second))
			}
			if ours.connected != fleetSize || spread.connected != fleetSize {
				t.Fatalf("%d and %d of %d gateways came back", ours.connected, spread.connected, fleetSize)
			}
			if plain.peak != fleetSize {
				t.Errorf("without jitter %d attempts fell into one second, want all %d: the comparison is worth nothing", plain.peak, fleetSize)
			}
			if ours.peak > plain.peak/3 {
				t.Errorf("the bridge makes %d attempts in one second, want at most a third of %d", ours.peak, plain.peak)
			}
			if spread.peak > b.perSecond {
				t.Errorf("with a spread of a minute the fleet makes %d attempts in one second, the broker takes %d", spread.peak, b.perSecond)
			}
			if ours.last > plain.last || ours.tries > plain.tries {
				t.Errorf("the bridge took %v and %d attempts, without jitter %v and %d", ours.last, ours.tries, plain.last, plain.tries)
			}
		})
	}
}

// TestFleetStarts has 10,000 gateways get their power back in one moment, while the broker is still away. Here only the jitter of the later
// waits takes the fleet apart: no calm connection has gone before, after which all wait differently long.
func TestFleetStarts(t *testing.T) {
	for name, tt := range map[string]struct {
		gone time.Duration
		peak int // most attempts in one second that are all right
	}{
		"broker is back after 1 minute":   {time.Minute, fleetSize / 10},
		"broker is back after 10 minutes": {10 * time.Minute, fleetSize / 40},
	} {
		t.Run(name, func(t *testing.T) {
			b := fleetBroker{gone: tt.gone, perSecond: 500, timeout: 15 * time.Second, cold: true}
			r := simulateFleet(b, func() waiter { return &backoff{} })
			t.Logf("%5d back, %6d attempts, at most %5d in a second, all back after %v", r.connected, r.tries, r.peak, r.last.Round(time.Second))
			if r.connected != fleetSize {
				t.Fatalf("%d of %d gateways came back", r.connected, fleetSize)
			}
			if r.peak > tt.peak {
				t.Errorf("the fleet makes %d attempts in one second, want at most %d", r.peak, tt.peak)
			}
			if r.last > backoffMax+b.timeout {
				t.Errorf("the last one is back after %v", r.last)
			}
		})
	}
}

package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// Of the kill loop: how long one fault of the link lasts at most, how many messages the bridge has under way, and when acknowledgements
// are committed. That is sooner than usual, so that the bound of repetitions is close. When all is quiet, everything is committed
// after some intervals at the latest, however busy the machine is.
const (
	longestFault = 250 * time.Millisecond
	killWindow   = 64
	killInterval = 200 * time.Millisecond
	quiet        = 3 * time.Second
)

// TestKillLoop kills a busy gateway again and again while its link suffers every fault that the proxy knows, and expects in the cloud
// every number in its order, and no more repetitions than the contract allows.
func TestKillLoop(t *testing.T) {
	rng := chance(t)
	c := startOpenCloud(t)
	link := startProxy(t, c.addr())
	g := newPlant(t, fmt.Sprintf("[buffer]\ncommit_interval = %q\n", killInterval)+upstreamAt(link.addr(), killWindow))
	g.logLess()
	in := watchNumbers(t, c.addr(), "site/#")
	senders := startSenders(t, g.port, "site/", rng.Uint64())
	calm := disturb(t, link, rng.Uint64())

	var killed []kill
	for range rounds(t, 6, 2) {
		killed = append(killed, killOnce(g, rng))
	}
	calm()
	g.start()
	senders.finish(t, in)
	checkQuietKill(g, in)
	g.stop()

	v := in.verdict()
	if v.missing > 0 || v.fault != "" {
		t.Errorf("%d numbers are missing: %s", v.missing, v.fault)
	}
	bound := repeatBound(in, killed, int(link.total.Load()))
	t.Logf("%d kills, %d connections, acknowledged %v, arrived %d, repeated %d of %d allowed",
		len(killed), link.total.Load(), senders.acked(), v.arrived, v.repeats, bound)
	if v.repeats > bound {
		t.Errorf("%d numbers are repeated, the contract allows %d", v.repeats, bound)
	}
}

// checkQuietKill kills the gateway when everything has been acknowledged for longer than the commit interval: nothing may come again.
func checkQuietKill(g *plant, in *tally) {
	g.t.Helper()
	<-time.After(quiet)
	before := in.verdict().repeats // what the senders published once more came within this time
	g.proc.kill()
	g.start()
	publish(g.t, g.client(), "site/last", numberText("site/last", 1)) // comes behind all that the queue still holds
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	if err := in.waitNumber(ctx, "site/last", 1); err != nil {
		g.t.Fatal(err)
	}
	if again := in.verdict().repeats - before; again > 0 {
		g.t.Errorf("a kill %v after the last acknowledgement made %d numbers come again", quiet, again)
	}
}

// killOnce runs the gateway for a while and kills it, at times before it has recovered from the last kill.
func killOnce(g *plant, rng *rand.Rand) kill {
	g.t.Helper()
	life := between(rng, 100*time.Millisecond, 1500*time.Millisecond)
	switch rng.IntN(8) {
	case 0, 1: // while it starts
		life = between(rng, 0, 80*time.Millisecond)
		g.proc = start(g.t, "gateway", binary, "run", "-c", g.config)
	case 2: // long enough to connect anew after a fault
		life += 2 * time.Second
		fallthrough
	default:
		g.start()
	}
	select {
	case <-time.After(life):
	case <-g.proc.ended:
		g.t.Fatalf("the gateway ended by itself: %v", g.proc.err)
	}
	k := kill{before: time.Now()}
	g.proc.kill()
	k.after = time.Now()
	return k
}

// disturb lets the link pass and suffer by turns, until the returned function is called, which leaves it passing.
func disturb(t *testing.T, link *proxy, seed uint64) (calm func()) {
	rng := rand.New(rand.NewPCG(seed, 2))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for now := pass; ctx.Err() == nil; {
			if now == pass {
				now = pass + 1 + fault(rng.IntN(int(faults-1)))
			} else {
				now = pass
			}
			link.set(now)
			select {
			case <-time.After(between(rng, 20*time.Millisecond, longestFault)):
			case <-ctx.Done():
			}
		}
		link.set(pass)
		link.cut() // what is stuck is to be found at once, not by a timeout
	})
	calm = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(calm)
	return calm
}

// repeatBound returns how many repetitions the contract allows (the design, section 7). A number comes twice because
//   - its acknowledgement had not come when the connection ended: as many as the window holds, for each connection;
//   - its acknowledgement was not committed at a kill: those that came to the cloud within the commit interval before it. To that interval
//     belong the time that the commit itself takes and the time for which a fault may hold acknowledgements back;
//   - its sender had no acknowledgement at a kill, and published it once more: as many as the window of the sender with QoS 1 holds. With
//     QoS 2 the gateway knows the number again.
func repeatBound(in *tally, killed []kill, connections int) int {
	bound := connections * killWindow
	for _, k := range killed {
		bound += in.arrivedBetween(k.before.Add(-killInterval-commitTakes-longestFault), k.after) + senderWindow
	}
	return bound
}

package bridge

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/buffer"
	"github.com/tidegate/tidegate/gateway"
)

// cutter is an upstream that breaks each connection after a random number of publishes, the last of which it does not acknowledge. It notes the order
// in which payloads first came.
type cutter struct {
	*upstream
	mu    sync.Mutex
	seen  map[string]int
	order map[string][]int // by topic
	news  chan struct{}
}

func (u *cutter) serve() {
	for {
		c, err := u.l.Accept()
		if err != nil {
			return
		}
		u.serveOne(c, 2+rand.IntN(400))
		c.Close()
	}
}

func (u *cutter) serveOne(c net.Conn, publishes int) {
	l := &link{u.t, c, bufio.NewReader(c)}
	for {
		f, err := l.read()
		switch {
		case err != nil:
			return
		case f.kind() == 1:
			_, err = c.Write([]byte{0x20, 2, 0, 0})
		case f.kind() == 3:
			topic, id, payload := f.publishFields()
			u.note(topic, payload)
			if publishes--; publishes == 0 {
				return
			}
			_, err = c.Write([]byte{0x40, 2, byte(id >> 8), byte(id)})
		}
		if err != nil {
			return
		}
	}
}

func (u *cutter) note(topic, payload string) {
	var n int
	if _, err := fmt.Sscan(payload, &n); err != nil {
		return // birth and farewell
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.seen[topic+payload]++; u.seen[topic+payload] == 1 {
		u.order[topic] = append(u.order[topic], n)
	}
	select {
	case u.news <- struct{}{}:
	default:
	}
}

// TestLanesOfTheBuffer drains two queues of the real buffer, one strictly and one with a live share, through connections that break all the time:
// nothing is missing, and the order is the one that was promised.
func TestLanesOfTheBuffer(t *testing.T) {
	const backlog, live = 1500, 1500
	store := openStore(t)
	strict, shared := store.Upstream("strict"), store.Upstream("shared")
	publish := func(from, to int) {
		for i := from; i <= to; i++ {
			for topic, q := range map[string]gateway.QueueID{"strict": strict.Queue(), "shared": shared.Queue()} {
				rec := &gateway.Record{Time: time.Now(), Body: text(topic, fmt.Sprint(i))}
				store.Commit(&gateway.Change{Record: rec, To: []gateway.Ref{{Queue: q, QoS: 1}}}, nil)
			}
		}
	}
	publish(1, backlog)
	u := &cutter{upstream: newUpstream(t), seen: map[string]int{}, order: map[string][]int{}, news: make(chan struct{}, 1)}
	var serving sync.WaitGroup
	serving.Go(u.serve)
	b := runTuned(t, Options{
		Servers: []*url.URL{u.url()}, NextEpoch: strict.NextEpoch,
		Lanes: []Lane{{Queue: strict, Priority: PriorityNormal}, {Queue: shared, Priority: PriorityNormal, LiveShare: 70}},
		Out:   []Route{{Filter: "strict", QoS: 1}, {Filter: "shared", QoS: 1, Lane: 1}},
	}, impatient)
	publish(backlog+1, backlog+live)
	u.await(t, 2*(backlog+live))
	waitStats(t, b, func(gateway.BridgeStats) bool {
		a, _ := strict.Depth()
		b, _ := shared.Depth()
		return a+b == 0
	})
	b.end(t)
	u.l.Close()
	serving.Wait()
	for i, n := range u.order["strict"] {
		if n != i+1 {
			t.Fatalf("number %d came at place %d", n, i+1)
		}
	}
	again := 0
	for _, times := range u.seen {
		again += times - 1
	}
	t.Logf("%d connections, %d publishes came more than once", b.Stats().Connects, again)
	if most := int(b.Stats().Connects) * b.opts.MaxInflight; again > most {
		t.Errorf("%d duplicates, want at most a window for each connection: %d", again, most)
	}
}

// await waits until n different publishes have come.
func (u *cutter) await(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(2 * patience)
	for {
		u.mu.Lock()
		seen := len(u.seen)
		u.mu.Unlock()
		if seen >= n {
			return
		}
		select {
		case <-u.news:
		case <-deadline:
			t.Fatalf("%d of %d came", seen, n)
		}
	}
}

func openStore(t testing.TB) *buffer.Store {
	t.Helper()
	store, err := buffer.Open(t.Context(), buffer.Options{Path: filepath.Join(t.TempDir(), "buffer.db")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- store.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !strings.Contains(err.Error(), "canceled") {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

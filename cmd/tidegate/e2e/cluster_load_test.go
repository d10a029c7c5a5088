package e2e_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Pace of the load: some numbers at every tick, slow enough for three nodes that share two cores with everything else.
const (
	loadTick    = 10 * time.Millisecond
	loadPerTick = 5
	loadWindow  = 500 // numbers on the way and not acknowledged
)

// load is a LAN client that publishes 1, 2, 3, ... at QoS 1 until it is stopped.
type load struct {
	t      *testing.T
	client mqtt.Client
	end    context.CancelFunc
	wg     sync.WaitGroup
	acked  int   // valid after wg
	err    error // valid after wg
}

// startLoad starts the load at the gateway's broker. The connection must last: a number that was not acknowledged ends the test.
func startLoad(t *testing.T, port int, topic string) *load {
	t.Helper()
	o := mqtt.NewClientOptions().AddBroker(fmt.Sprintf("tcp://127.0.0.1:%d", port)).SetClientID("load")
	o.SetProtocolVersion(4).SetAutoReconnect(false).SetConnectRetry(false).SetWriteTimeout(patience)
	l := &load{t: t, client: mqtt.NewClient(o)}
	if token := l.client.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("connect the load: %v", token.Error())
	}
	ctx, cancel := context.WithCancel(t.Context())
	l.end = cancel
	tokens := make(chan mqtt.Token, loadWindow)
	l.wg.Go(func() { l.publish(ctx, topic, tokens) })
	l.wg.Go(func() { l.await(tokens) })
	t.Cleanup(func() {
		cancel()
		l.client.Disconnect(0) // ends what still waits for an acknowledgement
		l.wg.Wait()
	})
	return l
}

func (l *load) publish(ctx context.Context, topic string, tokens chan<- mqtt.Token) {
	defer close(tokens)
	tick := time.NewTicker(loadTick)
	defer tick.Stop()
	for n := 1; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for range loadPerTick {
			tokens <- l.client.Publish(topic, 1, false, strconv.Itoa(n))
			n++
		}
	}
}

// await counts acknowledgements. After a failure it goes on reading, so that nobody is held up.
func (l *load) await(tokens <-chan mqtt.Token) {
	for token := range tokens {
		switch {
		case l.err != nil:
		case !token.WaitTimeout(patience):
			l.err = fmt.Errorf("number %d was not acknowledged in %v", l.acked+1, patience)
		case token.Error() != nil:
			l.err = fmt.Errorf("number %d was not acknowledged: %w", l.acked+1, token.Error())
		default:
			l.acked++
		}
	}
}

// stop ends the load, waits for the last acknowledgement, and returns how many numbers were acknowledged.
func (l *load) stop() int {
	l.t.Helper()
	l.end()
	l.wg.Wait()
	if l.err != nil {
		l.t.Fatalf("load: %v", l.err)
	}
	return l.acked
}

// counter is a subscriber with a session of its own that keeps count of the messages that arrive, by the rising number that each
// carries. It stays connected to the cluster by itself, at whichever node answers.
type counter struct {
	t       *testing.T
	changed chan struct{} // has a token after something arrived

	mu          sync.Mutex
	times       map[int]int // how often each number came
	highest     int
	late        int // first arrivals below a number that was there before: out of order
	repeated    int // second arrivals: sent twice by the gateway
	redelivered int // arrivals that are neither, since the cluster marks them as sent to this counter before (DUP: MQTT 3.1.1, 3.3.1.1)
	newest      time.Time
	silence     time.Duration // the longest time without any number
}

// count subscribes at QoS 1, at first to node n.
func (c *cluster) count(n *clusterNode, id, filter string, number func(payload string) int) *counter {
	c.t.Helper()
	k := &counter{t: c.t, changed: make(chan struct{}, 1), times: map[int]int{}}
	o := mqtt.NewClientOptions().AddBroker(tcpURL(n)).SetClientID(id).SetUsername(c.user).SetPassword(c.password)
	for _, other := range c.nodes {
		if other != n {
			o.AddBroker(tcpURL(other))
		}
	}
	o.SetProtocolVersion(4).SetCleanSession(false).SetResumeSubs(true).SetOrderMatters(true)
	o.SetConnectTimeout(15 * time.Second).SetMaxReconnectInterval(time.Second).SetConnectRetry(true).SetConnectRetryInterval(time.Second)
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { k.add(number(string(m.Payload())), m.Duplicate()) })
	client := mqtt.NewClient(o)
	c.t.Cleanup(func() { client.Disconnect(0) })
	if token := client.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		c.t.Fatalf("connect the counter: %v", token.Error())
	}
	if token := client.Subscribe(filter, 1, nil); !token.WaitTimeout(patience) || token.Error() != nil {
		c.t.Fatalf("subscribe the counter: %v", token.Error())
	}
	return k
}

func tcpURL(n *clusterNode) string { return fmt.Sprintf("tcp://127.0.0.1:%d", n.port) }

func (k *counter) add(n int, dup bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.times[n]++
	switch {
	case dup:
		k.redelivered++
	case k.times[n] > 1:
		k.repeated++
	case n < k.highest:
		k.late++
	}
	k.highest = max(k.highest, n)
	now := time.Now()
	if !k.newest.IsZero() {
		k.silence = max(k.silence, now.Sub(k.newest))
	}
	k.newest = now
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

// distinct returns how many different numbers came.
func (k *counter) distinct() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.times)
}

// waitMore waits until n more have come.
func (k *counter) waitMore(n int) {
	k.t.Helper()
	want := k.distinct() + n
	if !k.wait(func() bool { return k.distinct() >= want }) {
		k.t.Fatalf("counter: %d came, want %d", k.distinct(), want)
	}
}

// wait tells whether done became true in time.
func (k *counter) wait(done func() bool) bool {
	timeout := time.After(patience)
	for !done() {
		select {
		case <-k.changed:
		case <-timeout:
			return false
		}
	}
	return true
}

// check expects the wanted numbers, in order, and at most bound of them repeated.
func (k *counter) check(what string, want []int, bound int) {
	k.t.Helper()
	// What is still missing after the wait is told below.
	k.wait(func() bool { return k.distinct() >= len(want) && len(k.missing(want)) == 0 })
	missing := k.missing(want)
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(missing) > 0 {
		k.t.Errorf("%d of %d %s are missing, the first is %d", len(missing), len(want), what, missing[0])
	}
	if k.late > 0 {
		k.t.Errorf("%d %s came out of order", k.late, what)
	}
	if k.repeated > bound {
		k.t.Errorf("%d %s were repeated, the contract allows %d", k.repeated, what, bound)
	}
	k.t.Logf("%d %s: %d missing, %d out of order, %d repeated (bound %d), %d redelivered by the cluster, longest silence %v",
		len(want), what, len(missing), k.late, k.repeated, bound, k.redelivered, k.silence.Round(time.Millisecond))
}

// missing returns which of the wanted numbers have not come.
func (k *counter) missing(want []int) []int {
	k.mu.Lock()
	defer k.mu.Unlock()
	var missing []int
	for _, n := range want {
		if k.times[n] == 0 {
			missing = append(missing, n)
		}
	}
	return missing
}

package e2e_test

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
)

// commitInterval is the gateway's default: when a reading's commit is due. The commit itself takes time too: on a busy disk a reading that
// is a little older is still in the hands of fsync. Readings come every 200 ms and a kill follows one of them at once, so one that
// is due at that very moment is the rule, not the exception.
const (
	commitInterval = time.Second
	commitTakes    = 700 * time.Millisecond
)

// published is how many numbers the LAN client publishes in an outage test.
const published = 1500

// TestOutage takes the uplink away in two ways, kills the gateway in between, and counts what arrives.
func TestOutage(t *testing.T) {
	for name, o := range map[string]outage{
		"cloud stopped": {
			begin: func(c *cloud, _ *proxy) { c.stop() },
			end:   func(c *cloud, _ *proxy) { c.start() },
		},
		"black hole after accept": {
			begin: func(_ *cloud, p *proxy) { p.blacken() },
			end:   func(_ *cloud, p *proxy) { p.clear() },
		},
	} {
		t.Run(name, func(t *testing.T) { runOutage(t, o) })
	}
}

// outage is one way to lose the uplink and to get it back.
type outage struct{ begin, end func(*cloud, *proxy) }

// kill is when the gateway was killed: somewhere between two looks at the clock.
type kill struct{ before, after time.Time }

// kills is how often the gateway is killed while the uplink is gone.
const kills = 3

func runOutage(t *testing.T, o outage) {
	c := startCloud(t)
	p := startProxy(t, c.addr())
	_, modbusPort := startTCPSlave(t)
	g := newPlant(t, tcpBus("lan", modbusPort)+deviceOn("lan", "meter")+upstreamTo(t, c, p.addr(), commonRoutes))
	inCloud := observe(t, "cloud observer", c.client(), "cloud-observer", "tidegate/#", "site/#")
	g.start()
	onLAN := observe(t, "lan observer", g.client(), "lan-observer", "tidegate/#")
	client := start(t, "publisher", needPython(t, "paho.mqtt.client", "python3-paho-mqtt"), "testdata/publisher.py",
		strconv.Itoa(g.port), "site/numbers", strconv.Itoa(published))
	waitAcked(client, 50)
	inCloud.waitMessages("some numbers before the outage", topicIs("site/numbers"), func(m []seen) bool { return len(m) >= 20 })

	o.begin(c, p)
	var killed []kill
	for range kills {
		waitAcked(client, acked(client)+published/10)
		waitReadings(t, onLAN, time.Now().Add(2*(commitInterval+commitTakes))) // so that some are too old to be lost
		k := kill{before: time.Now()}
		g.proc.kill()
		k.after = time.Now()
		killed = append(killed, k)
		g.start()
	}
	waitAcked(client, acked(client)+50)
	waitReadings(t, onLAN, time.Now())
	o.end(c, p)
	client.waitLine("done")

	got := inCloud.waitMessages("all numbers", topicIs("site/numbers"), func(m []seen) bool { return len(m) >= published && m[len(m)-1].payload == strconv.Itoa(published) })
	checkNumbers(t, got)
	checkReadings(t, inCloud, onLAN, killed)
	g.stop()
}

// acked returns the last number that the publisher saw acknowledged.
func acked(client *process) int { return lastAcked(client.all()) }

func lastAcked(lines []string) int {
	for i := len(lines) - 1; i >= 0; i-- {
		if text, ok := strings.CutPrefix(lines[i], "acked "); ok {
			n, _ := strconv.Atoi(text)
			return n
		}
	}
	return 0
}

func waitAcked(client *process, n int) {
	client.t.Helper()
	n = min(n, published)
	client.waitFor(fmt.Sprintf("number %d acknowledged", n), func(lines []string) bool { return lastAcked(lines) >= n })
}

// waitReadings waits until the LAN has a reading that was taken after since.
func waitReadings(t *testing.T, o observer, since time.Time) {
	t.Helper()
	o.waitMessages("a reading after the last restart", topicIs("tidegate/plant7/meter"), func(m []seen) bool {
		return len(m) > 0 && m[len(m)-1].at.After(since)
	})
}

// checkNumbers expects every acknowledged number once or more, first occurrences in order.
func checkNumbers(t *testing.T, got []seen) {
	t.Helper()
	next, repeated := 1, 0
	for _, m := range got {
		n, err := strconv.Atoi(m.payload)
		if err != nil {
			t.Fatalf("unexpected payload %q", m.payload)
		}
		switch {
		case n == next:
			next++
		case n > next:
			t.Fatalf("number %d came where %d was due: missing or out of order", n, next)
		default:
			repeated++
		}
	}
	if next != published+1 {
		t.Errorf("the last number is %d, want %d", next-1, published)
	}
	t.Logf("%d numbers arrived in order, %d repeated", next-1, repeated)
}

// checkReadings expects every reading that the LAN saw, but for those younger than the commit interval at a kill, in the order of seq.
func checkReadings(t *testing.T, inCloud, onLAN observer, killed []kill) {
	t.Helper()
	meter := topicIs("tidegate/plant7/meter")
	var due []uint64
	for _, m := range onLAN.messages(meter) {
		if d := parseDevice(t, m.payload); !m.retain && !youngAt(d.Time, killed) {
			due = append(due, d.Seq)
		}
	}
	last := due[len(due)-1]
	arrived := inCloud.waitMessages("all readings", meter, func(m []seen) bool {
		return len(m) > 0 && parseDevice(t, m[len(m)-1].payload).Seq >= last
	})
	seqs := map[uint64]bool{}
	var order []uint64
	for _, m := range arrived {
		if s := parseDevice(t, m.payload).Seq; !seqs[s] {
			seqs[s] = true
			order = append(order, s)
		}
	}
	if !sort.SliceIsSorted(order, func(i, j int) bool { return order[i] < order[j] }) {
		t.Errorf("readings arrived out of order: %v", order)
	}
	var missing []uint64
	for _, s := range due {
		if !seqs[s] {
			missing = append(missing, s)
		}
	}
	if len(missing) > 0 {
		t.Errorf("%d of %d readings are missing: %v", len(missing), len(due), missing)
	}
	t.Logf("%d readings due, %d arrived", len(due), len(order))
}

// youngAt says whether a reading of that time may not have been committed yet at one of the kills.
func youngAt(at time.Time, killed []kill) bool {
	for _, k := range killed {
		if at.After(k.before.Add(-commitInterval-commitTakes)) && at.Before(k.after) {
			return true
		}
	}
	return false
}

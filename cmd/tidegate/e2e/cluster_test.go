package e2e_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// cluster is several nodes that are one upstream.
type cluster struct {
	t              *testing.T
	user, password string
	nodes          []*clusterNode
}

// clusterNode is one server of a cluster, at a port that stays the same when it is started again.
type clusterNode struct {
	name  string
	port  int // of MQTT
	start func() *process
	proc  *process
}

// upstream configures all nodes as the servers of one upstream.
func (c *cluster) upstream() string {
	secret := filepath.Join(c.t.TempDir(), "secret")
	write(c.t, secret, c.password+"\n")
	var servers []string
	for _, n := range c.nodes {
		servers = append(servers, fmt.Sprintf("%q", n.url()))
	}
	return fmt.Sprintf(`
[[upstream]]
name = "cloud"
servers = [%s]
username = %q
password = { file = %q }
%s`, strings.Join(servers, ", "), c.user, secret, commonRoutes)
}

func (n *clusterNode) url() string { return fmt.Sprintf("mqtt://127.0.0.1:%d", n.port) }

// connections returns the nodes that the gateway has been connected to, in order.
func (c *cluster) connections(g *plant) []*clusterNode {
	c.t.Helper()
	var out []*clusterNode
	for _, l := range g.proc.all() {
		if !strings.Contains(l, "upstream is connected") {
			continue
		}
		i := slices.IndexFunc(c.nodes, func(n *clusterNode) bool { return strings.Contains(l, n.url()) })
		if i < 0 {
			c.t.Fatalf("the gateway is connected to a server that is no node: %s", l)
		}
		out = append(out, c.nodes[i])
	}
	return out
}

// failoverPatience is how long a gateway may need to find another node. Elections refuse it several times, and it waits longer each time.
const failoverPatience = 3 * time.Minute

// waitConnections waits until the gateway has been connected n times, and returns the node of the newest connection.
func (c *cluster) waitConnections(g *plant, n int) *clusterNode {
	c.t.Helper()
	tick, timeout := time.NewTicker(50*time.Millisecond), time.After(failoverPatience)
	defer tick.Stop()
	for {
		if all := c.connections(g); len(all) >= n {
			return all[len(all)-1]
		}
		select {
		case <-tick.C:
		case <-timeout:
			c.t.Fatalf("gateway: did not see connection %d to the cluster", n)
		case <-g.proc.ended:
			c.t.Fatalf("the gateway ended (%v) before connection %d to the cluster", g.proc.err, n)
		}
	}
}

// windowOf is the gateway's default max_inflight: what a lost connection can repeat.
const windowOf = 64

// beat is how many numbers must arrive before the test believes that the road is open.
const beat = 500

// runNodeKilled publishes on the LAN while it kills, with SIGKILL, the node to which the gateway is connected, waits until the gateway
// has found another, and starts the node again. Observers of the cluster must have seen every number that the LAN client got
// acknowledged and every reading that the LAN saw, in order. In a soak it goes on so, and each node has its turn, the observers' own too.
func (c *cluster) runNodeKilled(ready string) {
	t := c.t
	_, modbusPort := startTCPSlave(t)
	g := newPlant(t, tcpBus("lan", modbusPort)+deviceOn("lan", "meter")+c.upstream())
	last := c.nodes[len(c.nodes)-1] // the gateway begins with the first
	readings := c.count(last, "reading-observer", "tidegate/plant7/meter", readingSeq)
	numbers := c.count(last, "number-observer", "site/numbers", loadNumber)
	g.start()
	onLAN := observe(t, "lan observer", g.client(), "lan-observer", "tidegate/#")
	c.waitConnections(g, 1)

	l := startLoad(t, g.port, "site/numbers")
	for range rounds(t, 1, 1) {
		numbers.waitMore(beat)
		before := c.connections(g)
		victim := before[len(before)-1]
		victim.proc.kill()
		successor := c.waitConnections(g, len(before)+1)
		t.Logf("%s was killed, the gateway went on with %s", victim.name, successor.name)
		numbers.waitMore(beat)
		victim.proc = victim.start()
		victim.proc.waitLine(ready)
	}
	numbers.waitMore(beat)
	published := make([]int, l.stop())
	for i := range published {
		published[i] = i + 1
	}
	bound := windowOf * (len(c.connections(g)) - 1)
	numbers.check("numbers", published, bound)
	readings.check("readings", seqsOf(onLAN), bound)
	g.stop()
}

// loadNumber and readingSeq return the number that a message carries; 0, which comes out of order, when it carries none.
func loadNumber(payload string) int {
	n, _ := strconv.Atoi(payload)
	return n
}

func readingSeq(payload string) int {
	var s deviceState
	if err := json.Unmarshal([]byte(payload), &s); err != nil {
		return 0
	}
	return int(s.Seq)
}

// seqsOf returns the seq of each reading that an observer of the LAN saw as it was taken.
func seqsOf(onLAN observer) []int {
	var seqs []int
	for _, m := range onLAN.messages(topicIs("tidegate/plant7/meter")) {
		if !m.retain {
			seqs = append(seqs, int(parseDevice(onLAN.t, m.payload).Seq))
		}
	}
	return seqs
}

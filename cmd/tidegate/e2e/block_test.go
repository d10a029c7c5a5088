package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

// blockQuota is how many records the queue of the upstream may hold in the test of on_full = "block".
const blockQuota = 600

// TestBlockHoldsPublishersNotReadings fills a queue that is told to block. Publishers get their acknowledgements until it is full and none from then
// on; devices are polled all the time. A kill changes nothing about that. When the uplink is back, every number that was acknowledged comes.
func TestBlockHoldsPublishersNotReadings(t *testing.T) {
	c := startOpenCloud(t)
	link := startProxy(t, c.addr())
	link.set(reset)
	_, modbusPort := startTCPSlave(t)
	g := newPlant(t, "[buffer]\non_full = \"block\"\n"+tcpBus("lan", modbusPort)+deviceOn("lan", "meter")+upstreamAt(link.addr(), 64)+`
[[upstream.route]]
direction = "out"
filter = "tidegate/plant7/+"
`+fmt.Sprintf("[upstream.queue]\nmax_records = %d\n", blockQuota))
	g.logLess()
	in := watchNumbers(t, c.addr(), "site/#", "tidegate/plant7/gateway/gap")
	readings := observe(t, "cloud observer", lan(c.port), "", "tidegate/plant7/meter")
	g.start()
	senders := startSenders(t, g.port, "site/", 1)

	held := waitHeld(g, senders)
	if held > blockQuota || held < blockQuota/2 {
		t.Errorf("%d numbers were acknowledged before publishers were held, the queue holds %d records", held, blockQuota)
	}
	g.proc.kill()
	g.start()
	if again := waitHeld(g, senders); again > blockQuota {
		t.Errorf("%d numbers are acknowledged after a restart, the queue holds %d records", again, blockQuota)
	}
	link.set(pass)
	readings.waitMessages("readings in the cloud", topicIs("tidegate/plant7/meter"), func(m []seen) bool { return len(m) > 0 })
	senders.waitAcked(t, senders.ackedInAll()+2*blockQuota) // they go on
	senders.finish(t, in)
	g.stop()
	v := in.verdict()
	t.Logf("held at %d of %d; acknowledged %v in all, arrived %d, repeated %d, missing %d, gaps tell of %d readings",
		held, blockQuota, senders.acked(), v.arrived, v.repeats, v.missing, v.told)
	if v.missing > 0 || v.fault != "" {
		t.Errorf("%d numbers are missing: %s", v.missing, v.fault)
	}
}

// waitHeld waits until no number is acknowledged any more while the LAN gets ten further readings, and returns how many are acknowledged.
func waitHeld(g *plant, senders *crowd) int {
	g.t.Helper()
	onLAN := observe(g.t, "lan observer", g.client(), "", "tidegate/plant7/meter")
	defer onLAN.kill()
	late := time.Now().Add(patience)
	for before := -1; ; {
		got := len(onLAN.messages(topicIs("tidegate/plant7/meter")))
		onLAN.waitMessages("further readings", topicIs("tidegate/plant7/meter"), func(m []seen) bool { return len(m) >= got+10 })
		now := senders.ackedInAll()
		if now > 0 && now == before {
			return now
		}
		if before = now; time.Now().After(late) {
			g.t.Fatalf("publishers are not held: %d numbers are acknowledged", now)
		}
	}
}

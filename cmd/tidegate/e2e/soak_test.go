package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// soakVariable says how many power cuts a soak makes; it makes twice as many kills. Without it the tests are short.
const soakVariable = "TIDEGATE_SOAK"

// seedVariable repeats the random choices of an earlier run, not its timing.
const seedVariable = "TIDEGATE_SEED"

// rounds returns how often a test does its worst: short in a usual run, times the soak's number in a soak.
func rounds(t *testing.T, short, times int) int {
	t.Helper()
	text := os.Getenv(soakVariable)
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, want a number above 0", soakVariable, text)
	}
	return n * times
}

// chance returns the test's source of random choices, whose seed it logs.
func chance(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	t.Logf("random choices: %s=%d", seedVariable, seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// between returns a random duration.
func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rng.Int64N(int64(most-least)))
}

// startOpenCloud starts mosquitto without TLS and passwords, and without a line in its log for each message: for tests with many messages
// that are about something else. Its queue limits are off, as ever.
func startOpenCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{t: t, dir: t.TempDir(), port: freePort(t)}
	write(t, c.file("mosquitto.conf"), fmt.Sprintf(`
listener %d 127.0.0.1
allow_anonymous true
max_queued_messages 0
max_inflight_messages 0
user root
`, c.port))
	c.proc = start(t, "mosquitto", need(t, "mosquitto", "mosquitto"), "-c", c.file("mosquitto.conf"))
	c.proc.waitLine("running")
	return c
}

// upstreamAt configures an upstream without TLS that gets what the senders publish, and the gaps.
func upstreamAt(addr string, window int) string {
	return fmt.Sprintf(`
[[upstream]]
name = "cloud"
servers = ["mqtt://%s"]
keepalive = "5s"
max_inflight = %d
[[upstream.route]]
direction = "out"
filter = "site/#"
`, addr, window)
}

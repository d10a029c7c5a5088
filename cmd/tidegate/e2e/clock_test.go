package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// clockVariable names the file that tells a gateway built for it how far its wall clock is off, and whether that is synchronised.
const clockVariable = "TIDEGATE_TEST_CLOCK"

// buildWithClock builds the gateway with a wall clock that a test sets while it runs, for everything in the process: one line of the standard
// library's time.Now is another, and the question to the kernel whether the clock is right goes to the test. Timers and the monotonic
// clock are as ever, as when the clock of a machine is set.
func buildWithClock(t *testing.T) string {
	t.Helper()
	const now = "sec, nsec, mono := runtimeNow()\n\tif mono == 0 {"
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("go env GOROOT: %v", err)
	}
	library := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	o := newOverlay(t)
	o.word(filepath.Join(library, "time.go"), now, strings.Replace(now, "\n", "\n\tsec += shift.Load()\n", 1))
	o.file(filepath.Join(library, "shift.go"), "testdata/clock/shift.go")
	o.file("../../../gateway/app/clock.go", "testdata/clock/synced.go")
	return o.build()
}

// wallClock is the clock of a gateway that buildWithClock has built.
type wallClock struct {
	shift  *atomic.Int64 // seconds
	synced *byte
}

// newWallClock makes a clock that is right, for gateways that are started from now on.
func newWallClock(t *testing.T) wallClock {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clock")
	write(t, path, strings.Repeat("\x00", 16))
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	page, err := unix.Mmap(int(file.Fd()), 0, 16, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(clockVariable, path)
	c := wallClock{(*atomic.Int64)(unsafe.Pointer(&page[0])), &page[8]}
	c.set(0, true)
	return c
}

// set puts the clock off by so much, and tells whether it is synchronised.
func (c wallClock) set(off time.Duration, synced bool) {
	c.shift.Store(int64(off / time.Second))
	*c.synced = 0
	if synced {
		*c.synced = 1
	}
}

// stage is a part of the test of clocks: what the clock is set to, and whether that happens while the gateway is off.
type stage struct {
	name   string
	off    time.Duration
	synced bool
	asleep bool
}

const year = 366 * 24 * time.Hour // more than any, so that it ends in another one

// sinceTheEpoch takes the clock back to where that of a board without a battery starts: a little after the begin of 1970.
func sinceTheEpoch() time.Duration { return -time.Since(time.Unix(100, 0)) }

// TestClockJumps sets the clock of a gateway while its uplink is away. Each clock sees a restart, at which what is too old is dropped. Nothing may be:
// everything comes in the order in which it was taken, with the time that it had then, and what was taken before the clock was set is marked.
func TestClockJumps(t *testing.T) {
	t.Run("a board that starts in 1970", func(t *testing.T) {
		jump(t, 3,
			stage{name: "1970", off: sinceTheEpoch()},
			stage{name: "set", synced: true},
			stage{name: "a year ahead", off: year, synced: true},
			stage{name: "back again", synced: true},
			stage{name: "1970 after a power cut", off: sinceTheEpoch(), asleep: true},
			stage{name: "set once more", synced: true})
	})
	t.Run("a clock that was right and is set wrong", func(t *testing.T) {
		jump(t, 2,
			stage{name: "right", synced: true},
			stage{name: "a year ahead", off: year, synced: true},
			stage{name: "back again", synced: true})
	})
}

// jump takes a gateway through stages, in which readings come from so many years.
func jump(t *testing.T, years int, stages ...stage) {
	g := newJumper(t, stages[0].off, stages[0].synced)
	for _, s := range stages {
		g.live(s)
	}
	g.drain()
	if gaps := g.gaps.messages(topicIs("tidegate/plant7/gateway/gap")); len(gaps) > 0 {
		t.Errorf("%d gaps are told of: %s", len(gaps), gaps[0].payload)
	}
	if came := g.heardSoFar(); !slices.IsSorted(came) {
		t.Errorf("the numbers of the stages came out of order: %v", slices.Compact(came))
	}
	if v := g.in.verdict(); v.missing > 0 || v.fault != "" {
		t.Errorf("%d numbers are missing: %s", v.missing, v.fault)
	}
	g.checkReadings(years)
}

// TestOldRecordsExpire leaves a gateway without power for longer than max_age, with a clock that is right all the time. What it had is dropped at the
// start, and told: else the test above would prove nothing.
func TestOldRecordsExpire(t *testing.T) {
	g := newJumper(t, 0, true)
	g.live(stage{name: "before", synced: true})
	g.stop()
	g.clock.set(2*time.Hour, true)
	g.link.set(pass)
	g.start()
	gaps := g.gaps.waitMessages("a gap", topicIs("tidegate/plant7/gateway/gap"), func(m []seen) bool { return len(m) > 0 })
	if !strings.Contains(gaps[0].payload, `"reason":"age"`) {
		t.Errorf("the gap is %s", gaps[0].payload)
	}
	if v := g.in.verdict(); v.arrived > 0 {
		t.Errorf("%d numbers came that were too old", v.arrived)
	}
	g.stop()
}

// jumper is a plant whose clock jumps, with its uplink away.
type jumper struct {
	*plant
	clock wallClock
	link  *proxy
	in    *tally
	gaps  observer
	cloud observer // of readings
	onLAN observer

	mu     sync.Mutex
	stages int
	came   []int // the stages of the numbers, in the order of arrival
}

// stageRecords is how many numbers are published in each stage.
const stageRecords = 100

func newJumper(t *testing.T, off time.Duration, synced bool) *jumper {
	t.Helper()
	j := &jumper{clock: newWallClock(t)}
	j.clock.set(off, synced)
	c := startOpenCloud(t)
	j.link = startProxy(t, c.addr())
	j.link.set(reset)
	_, modbusPort := startTCPSlave(t)
	j.plant = newPlant(t, "[buffer]\nmax_age = \"1h\"\n"+tcpBus("lan", modbusPort)+deviceOn("lan", "meter")+upstreamAt(j.link.addr(), 64)+
		"[[upstream.route]]\ndirection = \"out\"\nfilter = \"tidegate/plant7/meter\"\n")
	j.plant.binary = buildWithClock(t)
	j.logLess()
	j.in = hearNumbers(t, c.addr(), j.hear, "site/#")
	j.gaps = observe(t, "gap observer", lan(c.port), "", "tidegate/plant7/gateway/gap")
	j.cloud = observe(t, "cloud observer", lan(c.port), "", "tidegate/plant7/meter")
	j.start()
	j.onLAN = observe(t, "lan observer", j.client(), "lan-observer", "tidegate/plant7/meter")
	return j
}

func (j *jumper) hear(topic string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var n int
	if _, err := fmt.Sscanf(topic, plain+"%d", &n); err == nil {
		j.came = append(j.came, n)
	}
}

func (j *jumper) heardSoFar() []int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.came)
}

// live sets the clock, lets devices be polled and clients publish, and restarts the gateway, which looks for what is too old then.
func (j *jumper) live(s stage) {
	j.t.Helper()
	if s.asleep {
		j.stop()
	}
	j.clock.set(s.off, s.synced)
	if s.asleep {
		j.start()
	}
	flood(j.t, j.broker(), stageRecords, fmt.Sprint(plain, j.stages))
	j.stages++
	here := time.Now().Add(s.off)
	j.onLAN.waitMessages("readings with the clock "+s.name, topicIs("tidegate/plant7/meter"), func(m []seen) bool {
		n := 0
		for _, r := range m {
			if at := parseTimed(j.t, r.payload).Time; at.After(here) && at.Before(here.Add(patience)) {
				n++
			}
		}
		return n >= 3
	})
	j.stop()
	j.start()
}

// drain brings the uplink back and waits until all has come.
func (j *jumper) drain() {
	j.t.Helper()
	j.stop()
	j.link.set(pass)
	j.start()
	onLAN := j.onLAN.messages(topicIs("tidegate/plant7/meter"))
	last := parseTimed(j.t, onLAN[len(onLAN)-1].payload).Seq
	j.cloud.waitMessages("all readings", topicIs("tidegate/plant7/meter"), func(m []seen) bool {
		return len(m) > 0 && parseTimed(j.t, m[len(m)-1].payload).Seq >= last
	})
	ctx, cancel := context.WithTimeout(j.t.Context(), patience)
	defer cancel()
	for i := range j.stages {
		if err := j.in.waitNumber(ctx, fmt.Sprint(plain, i), stageRecords); err != nil {
			j.t.Fatalf("%v; gaps: %v", err, j.gaps.messages(topicIs("tidegate/plant7/gateway/gap")))
		}
	}
	j.stop()
}

// timed is what a reading says of its time and place.
type timed struct {
	Time  time.Time `json:"time"`
	Clock string    `json:"clock"`
	Seq   uint64    `json:"seq"`
}

func parseTimed(t *testing.T, payload string) timed {
	t.Helper()
	var r timed
	if err := json.Unmarshal([]byte(payload), &r); err != nil {
		t.Fatalf("%v in %s", err, payload)
	}
	return r
}

// checkReadings compares the readings in the cloud with those that the LAN had, and looks at their marks.
func (j *jumper) checkReadings(inYears int) {
	j.t.Helper()
	var order []uint64
	arrived := map[uint64]timed{}
	unset := 0
	for _, m := range j.cloud.messages(topicIs("tidegate/plant7/meter")) {
		r := parseTimed(j.t, m.payload)
		order, arrived[r.Seq] = append(order, r.Seq), r
		if r.Clock == "unset" {
			unset++
		}
		if r.Time.Year() < 2000 && r.Clock != "unset" {
			j.t.Errorf("reading %d of %v has no mark", r.Seq, r.Time)
		}
	}
	if !slices.IsSorted(order) {
		j.t.Errorf("readings came out of order: %v", order)
	}
	compared, years := 0, map[int]int{}
	for _, m := range j.onLAN.messages(topicIs("tidegate/plant7/meter")) {
		r := parseTimed(j.t, m.payload)
		if m.retain {
			continue
		}
		if got, ok := arrived[r.Seq]; !ok || got != r {
			j.t.Errorf("reading %+v is in the cloud: %v, as %+v", r, ok, got)
		}
		compared++
		years[r.Time.Year()]++
	}
	j.t.Logf("%d readings in the cloud, %d of them marked, %d compared, by years %v", len(order), unset, compared, years)
	if len(years) < inYears {
		j.t.Errorf("the readings are from the years %v, want %d: the clock did not jump", years, inYears)
	}
	if right := years[time.Now().Year()]; unset >= years[1970]+right {
		j.t.Errorf("%d readings are marked, though %d were taken with a right clock", unset, right)
	}
}

//go:build linux && (amd64 || arm64 || riscv64)

package e2e_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/cmd/tidegate/e2e/lossyfs"
)

// TestPowerCut cuts the power again and again below a gateway that is busy, sometimes with its uplink down, and expects in the cloud
// every number that was acknowledged, in its order.
func TestPowerCut(t *testing.T) {
	p := newPowered(t, binary)
	p.cuts(rounds(t, 4, 1))
	if v := p.verdict(); v.missing > 0 || v.fault != "" {
		t.Errorf("%d of %d numbers are missing: %s", v.missing, v.arrived-v.repeats+v.missing, v.fault)
	}
}

// TestPowerCutFindsMissingSync does the same to a gateway that was built not to synchronise, and expects losses: else the
// test above would prove nothing.
func TestPowerCutFindsMissingSync(t *testing.T) {
	p := newPowered(t, buildWithoutSync(t))
	p.mayBreak = true
	p.cuts(4)
	v := p.verdict()
	if v.missing == 0 && !p.broken {
		t.Error("a gateway that never synchronises lost nothing: the test does not see what it is there for")
	}
	t.Logf("without synchronisation %d numbers are missing, broken beyond a start: %v", v.missing, p.broken)
}

// TestPowerCutAtFirstStart cuts the power while a new gateway makes its files, and expects that it starts afterwards, and by the same name if
// it had already told one.
func TestPowerCutAtFirstStart(t *testing.T) {
	rng := chance(t)
	for i := range rounds(t, 6, 1) {
		g := newPlant(t, "")
		write(t, g.config, strings.Replace(read(t, g.config), `id = "plant7"`, "", 1))
		if err := os.Mkdir(filepath.Join(g.dir, "data"), 0o750); err != nil {
			t.Fatal(err)
		}
		p := &powered{plant: g, rng: rng}
		p.mount()
		cut := p.fs.CutAfter(1 + rng.Int64N(60))
		p.proc = start(t, "gateway", binary, "run", "-c", p.config)
		p.untilCut(cut, between(rng, 10*time.Millisecond, time.Second))
		was := runningID(p.proc.all())
		p.crash(rng.IntN(2) == 0)
		p.start()
		if is := runningID(p.proc.all()); was != "" && is != was {
			t.Errorf("cut %d: the gateway was %s, and is %s after the power cut", i+1, was, is)
		}
		p.stop()
	}
}

// runningID returns the id that a gateway has told, empty when it has told none yet.
func runningID(lines []string) string {
	for _, line := range lines {
		if strings.Contains(line, "gateway is running") {
			_, id, _ := strings.Cut(line, " id=")
			id, _, _ = strings.Cut(id, " ")
			return id
		}
	}
	return ""
}

// powered is a plant whose data lies on a file system that forgets.
type powered struct {
	*plant
	rng   *rand.Rand
	link  *proxy
	crowd *crowd
	tally *tally
	image lossyfs.Image
	fs    *lossyfs.FS

	mayBreak, broken bool // whether the gateway may refuse to start after a cut, and has
}

func newPowered(t *testing.T, binary string) *powered {
	t.Helper()
	rng := chance(t)
	c := startOpenCloud(t)
	link := startProxy(t, c.addr())
	g := newPlant(t, upstreamAt(link.addr(), 64))
	g.logLess()
	if err := os.Mkdir(filepath.Join(g.dir, "data"), 0o750); err != nil {
		t.Fatal(err)
	}
	g.binary = binary
	p := &powered{plant: g, rng: rng, link: link, tally: watchNumbers(t, c.addr(), "site/#")}
	p.mount()
	p.crowd = startSenders(t, g.port, "site/", rng.Uint64())
	return p
}

// mount brings the file system up with what the last cut has left.
func (p *powered) mount() {
	p.t.Helper()
	var err error
	p.fs, err = lossyfs.Mount(filepath.Join(p.dir, "data"), p.image)
	switch {
	case errors.Is(err, lossyfs.ErrUnavailable):
		p.t.Skip(err) // also where peers are required: a container may well have no /dev/fuse
	case err != nil:
		p.t.Fatal(err)
	}
	fs := p.fs
	p.t.Cleanup(func() { // does no harm after a cut
		if p.proc != nil {
			p.proc.kill()
		}
		_ = fs.Unmount()
	})
}

// cuts cuts the power n times, brings it back, and lets everything drain. The first cut comes while the uplink is down.
func (p *powered) cuts(n int) {
	p.t.Helper()
	for i := range n {
		if i == 0 {
			p.link.set(hole)
		} else if p.rng.IntN(2) == 0 {
			p.turnLink()
		}
		if p.cutOnce(i); p.broken {
			return
		}
	}
	p.link.set(pass)
	if !p.run() {
		return
	}
	p.crowd.finish(p.t, p.tally)
	p.stop()
}

// run starts the gateway and waits until it is running. It returns false when the gateway has refused, and may.
func (p *powered) run() bool {
	p.t.Helper()
	p.proc = start(p.t, "gateway", p.binary, "run", "-c", p.config)
	p.proc.waitFor("its start", func(lines []string) bool {
		select {
		case <-p.proc.ended:
			p.broken = p.mayBreak
		default:
		}
		return p.broken || runningID(lines) != ""
	})
	return !p.broken
}

// cutOnce runs the gateway until the power is cut: at a random change on the disk, which may come while the gateway still recovers from the
// last cut, or at a random time.
func (p *powered) cutOnce(i int) {
	p.t.Helper()
	var cut <-chan struct{} // nil: none at an exact change
	after := between(p.rng, 100*time.Millisecond, 1200*time.Millisecond)
	early := i > 0 && p.rng.IntN(4) == 0
	if early {
		cut = p.fs.CutAfter(1 + p.rng.Int64N(40))
	}
	before := p.crowd.acked()
	switch {
	case early:
		p.proc = start(p.t, "gateway", p.binary, "run", "-c", p.config)
	case !p.run():
		return
	case p.rng.IntN(3) > 0:
		cut = p.fs.CutAfter(1 + p.rng.Int64N(600))
	}
	if i > 0 && p.rng.IntN(3) == 0 && !p.untilCut(cut, after) { // a backlog that is being drained, or an outage that begins
		p.turnLink()
	}
	p.untilCut(cut, after)
	torn := p.rng.IntN(2) == 0
	loss := p.crash(torn)
	p.t.Logf("cut %d: torn %v, early %v, link %v; acknowledged %v to %v; lost %+v", i+1, torn, early, p.link.mode(), before, p.crowd.acked(), loss)
}

func (p *powered) turnLink() {
	if p.link.mode() == pass {
		p.link.set(hole)
	} else {
		p.link.set(pass)
	}
}

// untilCut waits for the power cut at an exact change, or for some time, and tells whether the power is off.
func (p *powered) untilCut(cut <-chan struct{}, most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-cut:
		return true
	case <-timer.C:
		return false
	}
}

// crash cuts the power, unless it is cut already, kills the gateway, and mounts what is left.
func (p *powered) crash(torn bool) (loss lossyfs.Loss) {
	p.t.Helper()
	p.image, loss = p.fs.Crash(p.rng, torn)
	p.proc.kill()
	if err := p.fs.Unmount(); err != nil {
		p.t.Fatalf("unmount: %v", err)
	}
	p.mount()
	return loss
}

func (p *powered) verdict() verdict {
	v := p.tally.verdict()
	p.t.Logf("acknowledged %v, arrived %d, repeated %d, missing %d", p.crowd.acked(), v.arrived, v.repeats, v.missing)
	return v
}

// buildWithoutSync builds the gateway from sources in which one word is another: SQLite is told not to synchronise.
func buildWithoutSync(t *testing.T) string {
	t.Helper()
	const is, becomes = `"synchronous = FULL"`, `"synchronous = OFF"`
	files, err := filepath.Glob("../../../buffer/*.go")
	if err != nil {
		t.Fatal(err)
	}
	o := newOverlay(t)
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") && strings.Contains(read(t, file), is) {
			o.word(file, is, becomes)
		}
	}
	if len(o.replace) != 1 {
		t.Fatalf("%d files of the buffer say %s, want one", len(o.replace), is)
	}
	return o.build()
}

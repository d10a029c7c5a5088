package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// backlogVariable says how many records the backlog has in a long run.
const backlogVariable = "TIDEGATE_BACKLOG"

// Bounds of a backlog: what it may add to the memory that the same gateway takes for a short one, and what its file may have when it is drained.
const (
	shortBacklog   = 2000
	backlogGrowth  = 24 << 20
	drainedFileMax = 4 << 20
)

// TestBacklogTakesNoMemory publishes many records while the uplink is away, and lets them drain when it is back. All come, in their order;
// the gateway takes no more memory for them than for a few, and its file is small again afterwards.
func TestBacklogTakesNoMemory(t *testing.T) {
	records := backlogRecords(t)
	b := newBacklog(t)
	b.fillAndDrain("short", shortBacklog)
	short := b.peakOf(func() { b.fillAndDrain("again", shortBacklog) })

	b.link.set(reset)
	fill := b.peakOf(func() { b.fill("long", records) })
	full, log := b.fileSize(), b.sizeOf("buffer.db-wal")
	drain := b.peakOf(func() { b.drain("long", records) })
	b.waitSmallFile()
	drained := b.fileSize()
	end := b.mem.bytes("VmRSS")
	b.g.stop()

	v := b.in.verdict()
	if v.missing > 0 || v.fault != "" {
		t.Errorf("%d numbers are missing: %s", v.missing, v.fault)
	}
	t.Logf("%d records, %d arrived, %d repeated; file %s and log %s (%d bytes a record), drained %s",
		records, v.arrived, v.repeats, megabytes(full), megabytes(log), (full+log)/int64(records), megabytes(drained))
	t.Logf("peak of memory: with %d records %s, while %d are taken in %s, while they drain %s; afterwards %s",
		shortBacklog, megabytes(short), records, megabytes(fill), megabytes(drain), megabytes(end))
	if most := max(fill, drain); most > short+backlogGrowth {
		t.Errorf("a backlog of %d records takes %s of memory, want at most %s more than %s", records, megabytes(most), megabytes(backlogGrowth), megabytes(short))
	}
}

func backlogRecords(t *testing.T) int {
	t.Helper()
	text := os.Getenv(backlogVariable)
	if text == "" {
		return 40_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, want a number above 0", backlogVariable, text)
	}
	return n
}

// backlog is a gateway whose uplink can be taken away.
type backlog struct {
	t    *testing.T
	g    *plant
	link *proxy
	in   *tally
	mem  memory
}

func newBacklog(t *testing.T) *backlog {
	t.Helper()
	c := startOpenCloud(t)
	link := startProxy(t, c.addr())
	g := newPlant(t, "[buffer]\nmax_size = \"64GiB\"\n"+upstreamAt(link.addr(), 64))
	g.logLess()
	b := &backlog{t: t, g: g, link: link, in: watchNumbers(t, c.addr(), "site/#", "tidegate/plant7/gateway/gap")}
	g.start()
	b.mem = memory{t, g.proc.cmd.Process.Pid}
	return b
}

// publishers is how many LAN clients share a backlog.
const publishers = 4

func (b *backlog) topics(name string) (list []string) {
	for i := range publishers {
		list = append(list, fmt.Sprintf("%s%s/%d", plain, name, i))
	}
	return list
}

func (b *backlog) fillAndDrain(name string, records int) {
	b.t.Helper()
	b.link.set(reset)
	b.fill(name, records)
	b.drain(name, records)
}

// fill publishes while the uplink is away.
func (b *backlog) fill(name string, records int) {
	b.t.Helper()
	began := time.Now()
	flood(b.t, b.g.broker(), records/publishers, b.topics(name)...)
	b.t.Logf("%s: %d records taken in within %v", name, records, time.Since(began).Round(10*time.Millisecond))
}

// drain brings the uplink back, and waits until all has come to the cloud. After a long outage the gateway may wait some minutes before it looks
// again.
func (b *backlog) drain(name string, records int) {
	b.t.Helper()
	before, began := b.in.verdict().arrived, time.Now()
	b.link.set(pass)
	ctx, cancel := context.WithTimeout(b.t.Context(), patience+6*time.Minute+time.Duration(records)*time.Millisecond)
	defer cancel()
	for _, topic := range b.topics(name) {
		if err := b.in.waitNumber(ctx, topic, records/publishers); err != nil {
			b.t.Fatalf("%v; so far %+v", err, b.in.verdict())
		}
	}
	b.t.Logf("%s: %d came within %v after the uplink's return", name, b.in.verdict().arrived-before, time.Since(began).Round(10*time.Millisecond))
}

// peakOf returns the most memory that was taken while do ran.
func (b *backlog) peakOf(do func()) int64 {
	b.t.Helper()
	b.mem.reset()
	do()
	return b.mem.peak()
}

// fileSize returns what the database takes, without its log, which is never large.
func (b *backlog) fileSize() int64 { return b.sizeOf("buffer.db") }

func (b *backlog) sizeOf(name string) int64 {
	b.t.Helper()
	info, err := os.Stat(filepath.Join(b.g.dir, "data", name))
	if err != nil {
		b.t.Fatal(err)
	}
	return info.Size()
}

// waitSmallFile waits until the gateway has given back what the backlog took. It does that bit by bit, when it has nothing else to do.
func (b *backlog) waitSmallFile() {
	b.t.Helper()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	late := time.After(patience + 10*time.Minute)
	for b.fileSize() > drainedFileMax {
		select {
		case <-look.C:
		case <-late:
			b.t.Fatalf("the file still has %s", megabytes(b.fileSize()))
		}
	}
}

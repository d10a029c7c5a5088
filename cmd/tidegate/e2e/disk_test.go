package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The disk in the tests of full disks, in bytes: most of it is taken already, and the rest is far below what max_size allows.
const (
	smallDisk = 96 << 20
	leftFree  = 16 << 20
)

// spareDisk is what the gateway is told to leave free of the small disk: enough for the log of its database.
const spareDisk = "6MiB"

// TestDiskSmallerThanQuota lets an outage last longer than the disk has room for. Publishers go on, devices are polled, and when the uplink
// is back everything comes but what gap records tell of.
func TestDiskSmallerThanQuota(t *testing.T) {
	outlastDisk(newSmallPlant(t, spareDisk))
}

// TestDiskBelowReserve does the same on a disk that has, from the start, less free than the gateway is told to leave. However little it may
// keep, publishers must not wait for ever.
func TestDiskBelowReserve(t *testing.T) {
	outlastDisk(newSmallPlant(t, "64MiB"))
}

func outlastDisk(f *smallPlant) {
	f.t.Helper()
	f.link.set(hole)
	f.start()
	f.crowd = startSenders(f.t, f.port, bulk, 1)
	f.waitAcked(2 * leftFree / bulkSize)
	f.checkPolling("while the disk is full")
	f.finish()
}

// TestDiskFilledByOthers fills the disk up behind the gateway's back. Devices are polled; and when there is room again, publishers go on,
// and everything that was acknowledged comes, but what gap records tell of.
func TestDiskFilledByOthers(t *testing.T) {
	f := newSmallPlant(t, spareDisk)
	f.link.set(hole)
	f.start()
	f.crowd = startSenders(t, f.port, bulk, 2)
	f.waitAcked(500)
	ballast := filepath.Join(f.dir, "data", "ballast")
	fillDisk(t, ballast, smallDisk)
	f.proc.waitFor("a word about the disk", func(lines []string) bool {
		log := strings.Join(lines, "\n")
		return strings.Contains(log, "cannot be written") || strings.Contains(log, "nearly full")
	})
	f.checkPolling("while the disk is full")
	before := f.crowd.ackedInAll()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	f.waitAcked(before + 500)
	f.finish()
}

// TestDiskErrors makes a run of syncs fail with EIO. What needs them is not acknowledged, devices are polled; and when the disk works
// again, everything goes on and nothing is lost, also by a kill right after.
func TestDiskErrors(t *testing.T) {
	strace := need(t, "strace", "strace")
	f := newSmallPlant(t, spareDisk)
	f.link.set(hole)
	// The writer keeps to one thread, and strace counts the calls of each. With -D signals of the test reach the gateway itself.
	f.start(strace, "-D", "-f", "-o", os.DevNull, "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO:when=40..44")
	f.crowd = startSenders(t, f.port, "site/", 3)
	f.proc.waitLine("cannot be written")
	f.checkPolling("while the disk fails")
	f.waitAcked(f.crowd.ackedInAll() + 200)
	f.proc.kill()
	f.plant.start()
	f.finish()
	if v := f.tally.verdict(); v.missing > 0 {
		t.Errorf("%d numbers are missing", v.missing)
	}
}

// smallPlant is a plant with a device, on a small disk.
type smallPlant struct {
	*plant
	link  *proxy
	crowd *crowd
	tally *tally
	onLAN observer
}

// newSmallPlant configures the plant, and how much of its disk it is to leave free.
func newSmallPlant(t *testing.T, spare string) *smallPlant {
	t.Helper()
	c := startOpenCloud(t)
	link := startProxy(t, c.addr())
	_, modbusPort := startTCPSlave(t)
	g := newPlant(t, fmt.Sprintf("[buffer]\nmin_free = %q\n", spare)+tcpBus("lan", modbusPort)+deviceOn("lan", "meter")+upstreamAt(link.addr(), 64))
	mountSmallDisk(t, filepath.Join(g.dir, "data"))
	fillDisk(t, filepath.Join(g.dir, "data", "others"), smallDisk-leftFree)
	return &smallPlant{plant: g, link: link, tally: watchNumbers(t, c.addr(), "site/#", "tidegate/plant7/gateway/gap")}
}

// mountSmallDisk mounts a tmpfs, or skips the test where that is not allowed.
func mountSmallDisk(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%d", smallDisk))
	if errors.Is(err, unix.EPERM) {
		t.Skipf("this test mounts a small tmpfs, which takes root: %v", err)
	}
	if err != nil {
		t.Fatalf("mount tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// fillDisk writes a file of the given size, or a smaller one when nothing more fits on its disk.
func fillDisk(t *testing.T, path string, size int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, size)); err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
}

func (f *smallPlant) start(below ...string) {
	f.t.Helper()
	f.plant.start(below...)
	f.onLAN = observe(f.t, "lan observer", f.client(), "", "tidegate/plant7/meter")
}

// waitAcked waits until n numbers are acknowledged, all senders together.
func (f *smallPlant) waitAcked(n int) {
	f.t.Helper()
	f.crowd.waitAcked(f.t, n)
}

// checkPolling expects further readings on the LAN.
func (f *smallPlant) checkPolling(when string) {
	f.t.Helper()
	have := len(f.onLAN.messages(topicIs("tidegate/plant7/meter")))
	f.onLAN.waitMessages("further readings "+when, topicIs("tidegate/plant7/meter"), func(m []seen) bool { return len(m) >= have+5 })
}

// finish brings the uplink back, lets everything drain, and judges.
func (f *smallPlant) finish() {
	f.t.Helper()
	f.link.set(pass)
	f.crowd.finish(f.t, f.tally)
	f.stop()
	v := f.tally.verdict()
	f.t.Logf("acknowledged %v, arrived %d, repeated %d, missing %d, gaps tell of %d", f.crowd.acked(), v.arrived, v.repeats, v.missing, v.told)
	if v.fault != "" {
		f.t.Errorf("%d numbers are missing, gaps tell of %d: %s", v.missing, v.told, v.fault)
	}
	if log := strings.Join(f.proc.all(), "\n"); strings.Contains(log, "panic") {
		f.t.Error("the gateway panicked")
	}
}

package app

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// Go collects garbage whenever the heap has doubled. That of a gateway with a few clients is so small that thousands of messages double it: at 300,000
// messages a second it would be collected sixty times a second, for a quarter of the processor's time. While so much passes through, the heap
// may grow to busyHeap in between. A large heap is collected as usual, and so is that of a gateway with little to do, which keeps it small.
const (
	usualPercent = 100
	mostPercent  = 800
	busyRate     = 16 << 20 // bytes that are allocated in a second
	busyHeap     = 16 << 20 // bytes
)

// collector looks at each collection how much the one before it was ago.
type collector struct {
	now       func() time.Time
	at        time.Time // of the latest collection
	allocated uint64    // bytes from the start until then
	percent   int       // as it is set
	ended     atomic.Bool
}

// beacon is collected each time, and says so. It has a field because very small objects share their memory with others.
type beacon struct{ _ [64]byte }

// tuneCollector sets how often garbage is collected until the function is called that it returns. Who has set GOGC knows better.
func tuneCollector() (end func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	c := &collector{now: time.Now, at: time.Now(), allocated: heap().allocated, percent: usualPercent}
	runtime.SetFinalizer(new(beacon), c.collected)
	return func() { c.ended.Store(true) }
}

// collected is called by the runtime, on a goroutine of its own, after each collection.
func (c *collector) collected(b *beacon) {
	want := usualPercent
	if !c.ended.Load() {
		want = c.look(heap())
		runtime.SetFinalizer(b, c.collected)
	}
	if want != c.percent { // it stops everything for a moment
		debug.SetGCPercent(want)
		c.percent = want
	}
}

// heapState is what the runtime tells of the heap, in bytes.
type heapState struct{ allocated, live uint64 }

func heap() heapState {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return heapState{s[0].Value.Uint64(), s[1].Value.Uint64()}
}

// look returns by how many percent of what is live the heap may grow until the next collection. It stays as it is while it is about right.
func (c *collector) look(h heapState) int {
	now := c.now()
	took, allocated := now.Sub(c.at), h.allocated-c.allocated
	c.at, c.allocated = now, h.allocated
	if float64(allocated) < busyRate*took.Seconds() {
		return usualPercent
	}
	want := max(usualPercent, min(mostPercent, int(busyHeap*100/max(h.live, 1))-100))
	if off := want - c.percent; c.percent > usualPercent && want > usualPercent && max(off, -off) < c.percent/4 {
		return c.percent
	}
	return want
}

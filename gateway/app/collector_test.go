package app

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestCollectorLeavesABusyGatewayAHeap(t *testing.T) {
	const mb = 1 << 20
	for name, it := range map[string]struct {
		after     time.Duration
		allocated uint64
		live      uint64
		percent   int
		want      int
	}{
		"Idle":            {time.Minute, 2 * mb, 2 * mb, 100, 100},
		"AFewMessages":    {time.Second, 4 * mb, 2 * mb, 100, 100},
		"Busy":            {20 * time.Millisecond, 2 * mb, 4 * mb, 100, 300},
		"BusyWithNothing": {20 * time.Millisecond, 2 * mb, 0, 100, 800},
		"AboutRight":      {20 * time.Millisecond, 2 * mb, 4*mb + mb/4, 300, 300},
		"Grown":           {20 * time.Millisecond, 2 * mb, 6 * mb, 300, 166},
		"Large":           {20 * time.Millisecond, 2 * mb, 100 * mb, 166, 100},
		"NotBusyAnyMore":  {2 * time.Minute, 30 * mb, 2 * mb, 700, 100},
		"AtOnce":          {0, 0, 2 * mb, 100, 700},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			c := &collector{now: func() time.Time { return start.Add(it.after) }, at: start, allocated: 7, percent: it.percent}
			if got := c.look(heapState{7 + it.allocated, it.live}); got != it.want {
				t.Errorf("%d percent, want %d", got, it.want)
			}
		})
	}
}

// It goes through the runtime: garbage that comes fast makes collections rare, and the end brings the usual again.
func TestCollectorIsToldOfCollections(t *testing.T) {
	t.Setenv("GOGC", "")
	set := func() int { p := debug.SetGCPercent(100); debug.SetGCPercent(p); return p }
	defer debug.SetGCPercent(debug.SetGCPercent(usualPercent))
	end := tuneCollector()
	var keep []byte
	deadline := time.Now().Add(20 * time.Second)
	for set() == usualPercent && time.Now().Before(deadline) {
		keep = make([]byte, 1<<20)
	}
	if set() == usualPercent {
		t.Error("fast garbage is collected as often as usual")
	}
	end()
	for set() != usualPercent && time.Now().Before(deadline) {
		runtime.GC()
		runtime.Gosched()
	}
	if p := set(); p != usualPercent {
		t.Errorf("%d percent after the end", p)
	}
	runtime.KeepAlive(keep)
}

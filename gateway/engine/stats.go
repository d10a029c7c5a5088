package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// counters are what a bus counts; they are read while it runs.
type counters struct {
	polls, missed, writes, panics atomic.Uint64
	busy                          atomic.Int64 // nanoseconds

	mu      sync.Mutex
	devices []gateway.DeviceStats
}

func (c *counters) setUp(devices []*device) {
	c.devices = make([]gateway.DeviceStats, len(devices))
	for i, d := range devices {
		c.devices[i].Name = d.Name
	}
}

func (c *counters) device(index int, online bool, readings []gateway.Reading) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := &c.devices[index]
	d.Online = online
	for i := range readings {
		if r := &readings[i]; r.Quality == gateway.QualityGood && r.Time.After(d.LastGood) {
			d.LastGood = r.Time
		}
	}
}

// snapshot joins what the engine counts with what the driver counts, when it does: a Driver may have a method
// Stats() gateway.BusStats, which is called from any goroutine.
func (b *bus) snapshot() gateway.BusStats {
	var s gateway.BusStats
	if d, ok := b.driver.(interface{ Stats() gateway.BusStats }); ok {
		s = d.Stats()
	}
	c := &b.counters
	s.Name = b.name
	s.Polls, s.Missed, s.Writes = c.polls.Load(), c.missed.Load(), c.writes.Load()
	s.Panics += c.panics.Load() // a driver may catch those of its library itself
	if s.Busy == 0 {
		s.Busy = time.Duration(c.busy.Load())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Devices = append([]gateway.DeviceStats(nil), c.devices...)
	return s
}

package engine

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// rateSpan is the shortest time that rates are taken over; rateSlots is of how many polls at least.
const (
	rateSpan  = 30 * time.Second
	rateSlots = 4
)

// counters are what a bus counts; they are read while it runs.
type counters struct {
	polls, missed, writes, panics atomic.Uint64
	busy                          atomic.Int64 // nanoseconds

	mu      sync.Mutex
	devices []gateway.DeviceStats
	load    window
	rates   []window // of the devices
}

func (c *counters) setUp(devices []*device, now time.Time) {
	c.devices = make([]gateway.DeviceStats, len(devices))
	c.rates = make([]window, len(devices))
	c.load = newWindow(rateSpan, now)
	for i, d := range devices {
		wanted := d.wanted()
		c.devices[i].Name, c.devices[i].Wanted = d.Name, wanted
		c.rates[i] = newWindow(max(rateSpan, time.Duration(rateSlots/wanted*float64(time.Second))), now)
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

// poll counts a poll that was completed.
func (c *counters) poll(device int, answered bool) {
	c.polls.Add(1)
	if answered {
		c.mu.Lock()
		c.devices[device].Polls++
		c.mu.Unlock()
	}
}

// miss counts slots that were not kept.
func (c *counters) miss(device int, n uint64) {
	if n > 0 {
		c.missed.Add(n)
		c.mu.Lock()
		c.devices[device].Missed += n
		c.mu.Unlock()
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
	s.Passed, s.Refused = b.passages.carried.Load(), b.passages.refused.Load()
	s.Panics += c.panics.Load() // a driver may catch those of its library itself
	if s.Busy == 0 {
		s.Busy = time.Duration(c.busy.Load())
	}
	c.rate(&s, b.now())
	return s
}

// rate sets what is counted over a while.
func (c *counters) rate(s *gateway.BusStats, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Load = min(1, c.load.rate(now, s.Busy.Seconds()))
	s.Devices = slices.Clone(c.devices)
	for i := range s.Devices {
		d, w := &s.Devices[i], &c.rates[i]
		d.Achieved = w.rate(now, float64(d.Polls))
		// One poll more or less is where the window begins and ends.
		long := now.Sub(w.from.at)
		d.Behind = d.Online && long >= w.span && d.Achieved*long.Seconds()+1 < 0.95*d.Wanted*long.Seconds()
	}
}

// window takes the rate of a counter over the last one to two spans, or from the start when that is less far back. It moves on as it is
// asked: a rate that nobody asked for in between is taken over a longer time.
type window struct {
	span     time.Duration
	from, to mark
}

// mark is how far a counter was at some time.
type mark struct {
	at    time.Time
	count float64
}

func newWindow(span time.Duration, now time.Time) window {
	return window{span: span, from: mark{at: now}, to: mark{at: now}}
}

// rate returns the growth of a counter per second, which is at count now.
func (w *window) rate(now time.Time, count float64) float64 {
	if now.Sub(w.to.at) >= w.span {
		w.from, w.to = w.to, mark{now, count}
	}
	elapsed := now.Sub(w.from.at).Seconds()
	if elapsed <= 0 {
		return 0
	}
	return (count - w.from.count) / elapsed
}

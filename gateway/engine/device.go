package engine

import (
	"cmp"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// The rules of availability.
const (
	offlineAfter   = 2                // polls in a row without any answer, for a device that was online
	quietPolls     = 10               // polls in a row without an error, after which one is news again
	longestBackoff = 30 * time.Second // between probes, unless the device's interval is longer
)

// availability is what is known of a device, as its topic says it.
type availability string

const (
	unknown availability = ""
	online  availability = "online"
	offline availability = "offline"
)

// device is a device with what the engine knows of it. Only the goroutine of its bus uses it.
type device struct {
	Device
	index        int
	topic        string
	availability string
	names        []string        // shared by all batches
	staleAfter   []time.Duration // of each point
	fastest      time.Duration   // the shortest interval
	groups       []int           // all of them
	slots        []int           // of its groups, in the bus's schedule
	groupOf      []int           // of each point
	checker      Checker         // nil: the driver is none

	readings []gateway.Reading // the newest of each point
	before   []gateway.Reading // kept for its memory
	news     []int             // likewise
	state    availability
	failures int     // polls in a row without any answer; of an offline device: probes
	faults   []fault // of each group
	log      gateway.Throttle
	told     []told // of each point; nil: each poll is news, see talks
	asked    bool   // a command was carried out: the next poll is published whatever it brings
}

func newDevice(index int, cfg Device, topics gateway.Topics) *device {
	d := &device{
		Device: cfg, index: index,
		topic: topics.Device(cfg.Name), availability: topics.Availability(cfg.Name),
		names:      make([]string, len(cfg.Points)),
		readings:   make([]gateway.Reading, len(cfg.Points)),
		staleAfter: make([]time.Duration, len(cfg.Points)),
		groupOf:    make([]int, len(cfg.Points)),
		faults:     make([]fault, len(cfg.Groups)),
	}
	for i, p := range cfg.Points {
		d.names[i] = p.Name
		d.readings[i].Reason = gateway.ReasonNotRead
	}
	for i, g := range cfg.Groups {
		d.groups = append(d.groups, i)
		if d.fastest == 0 || g.Interval < d.fastest {
			d.fastest = g.Interval
		}
		for _, p := range g.Points {
			d.groupOf[p] = i
			d.staleAfter[p] = cmp.Or(max(cfg.StaleAfter, 0), 3*g.Interval)
		}
	}
	if !d.talks() {
		d.told = make([]told, len(cfg.Points))
	}
	return d
}

// check refuses what cannot be polled.
func (d *Device) check() error {
	groups := make([]int, len(d.Points))
	for _, g := range d.Groups {
		if g.Interval <= 0 {
			return fmt.Errorf("device %q: interval is %v, it must be positive", d.Name, g.Interval)
		}
		for _, p := range g.Points {
			if p < 0 || p >= len(groups) {
				return fmt.Errorf("device %q: a group has point number %d of %d", d.Name, p, len(groups))
			}
			groups[p]++
		}
	}
	for p, n := range groups {
		if n != 1 {
			return fmt.Errorf("device %q: point %q is in %d groups, it must be in one", d.Name, d.Points[p].Name, n)
		}
	}
	return nil
}

// wanted returns the polls a second that the intervals ask for.
func (d *Device) wanted() (perSecond float64) {
	for _, g := range d.Groups {
		perSecond += 1 / g.Interval.Seconds()
	}
	return perSecond
}

// mayGo reports whether the next poll without any answer takes the device offline, or leaves it so.
func (d *device) mayGo() bool { return d.state != online || d.failures+1 >= offlineAfter }

// failure returns the reason that the driver gave in a poll without any answer, so that points which it did not reach can tell it too.
func (d *device) failure(before []gateway.Reading) gateway.Reason {
	for i, r := range d.readings {
		if r != before[i] && r.Quality == gateway.QualityBad && r.Reason != gateway.ReasonNone {
			return r.Reason
		}
	}
	return gateway.ReasonTimeout
}

// point returns the index of the point of that name, which is looked for from a place on: neighbours are often written together.
func (d *device) point(name string, from int) (int, bool) {
	for n := range d.names {
		if i := (from + n) % len(d.names); d.names[i] == name {
			return i, true
		}
	}
	return 0, false
}

// backoff is the pause before the next probe of a device: its interval, doubled with each probe.
func backoff(interval time.Duration, probes int) time.Duration {
	limit := max(interval, longestBackoff)
	if probes > 30 || interval > limit>>probes {
		return limit
	}
	return interval << probes
}

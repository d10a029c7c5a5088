package engine

import (
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
	names        []string // shared by all batches
	staleAfter   time.Duration

	readings  []gateway.Reading // the newest of each point
	before    []gateway.Reading // kept for its memory
	state     availability
	failures  int    // polls in a row without any answer; of an offline device: probes
	lastError string // as logged
	clean     int    // polls in a row without an error
}

func newDevice(index int, cfg Device, topics gateway.Topics) *device {
	d := &device{
		Device: cfg, index: index,
		topic: topics.Device(cfg.Name), availability: topics.Availability(cfg.Name),
		staleAfter: cfg.StaleAfter,
		names:      make([]string, len(cfg.Points)),
		readings:   make([]gateway.Reading, len(cfg.Points)),
	}
	if d.staleAfter <= 0 {
		d.staleAfter = 3 * cfg.Interval
	}
	for i, p := range cfg.Points {
		d.names[i] = p.Name
		d.readings[i].Reason = gateway.ReasonNotRead
	}
	return d
}

// failure returns the reason that the driver gave in a poll without any answer, so that points which it did not reach can tell it too.
func (d *device) failure(before []gateway.Reading) gateway.Reason {
	for i, r := range d.readings {
		if r != before[i] && r.Quality == gateway.QualityBad && r.Reason != gateway.ReasonNone {
			return r.Reason
		}
	}
	return gateway.ReasonTimeout
}

// point returns the index of the point of that name.
func (d *device) point(name string) (int, bool) {
	for i := range d.names {
		if d.names[i] == name {
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

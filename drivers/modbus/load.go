package modbus

import (
	"fmt"
	"time"
)

// Demand is what reading all points of a bus in their intervals asks of it.
type Demand struct {
	// Load is the share of the time that the requests take; 1 is all of it. On a serial line it is what the characters and
	// silences take, so a lower bound: the time that the devices take to think comes on top. On a network it is a guess, since nothing but
	// the devices' time counts, and AssumedResponse stands for it.
	Load float64
	// Serial says that there is a serial line of which the rate is known, which may be behind a device server.
	Serial   bool
	Requests float64   // a second
	Devices  []float64 // the load of each, in the order of the options
}

// AssumedResponse is how long a device on a network is assumed to take for an answer that nobody has measured.
const AssumedResponse = networkResponse

// Load plans the requests and computes what they ask of the bus. It opens nothing.
func Load(o Options) (Demand, error) {
	if err := o.check(); err != nil {
		return Demand{}, fmt.Errorf("bus %q: %w", o.Name, err)
	}
	pace := newPace(o)
	demand := Demand{Serial: pace.serial}
	for _, d := range o.Devices {
		cost := pace.cost(pace.usual, d.Gap)
		turn := int64(0) // of the line to this unit, which each poll begins with where there are others
		if len(o.Devices) > 1 {
			turn = 1000 * int64(max(0, o.UnitGap-max(pace.silence, d.Gap)))
		}
		var load float64
		for _, g := range newGroups(d) {
			if g.interval <= 0 {
				return Demand{}, fmt.Errorf("bus %q: device %q: interval %v is not positive", o.Name, d.Name, g.interval)
			}
			blocks := planner{points: d.Points, limits: o.limits(), cost: cost}.plan(g.points)
			load += float64(cost.total(blocks)+turn) / 1000 / float64(g.interval)
			demand.Requests += float64(len(blocks)) * float64(time.Second) / float64(g.interval)
		}
		demand.Devices = append(demand.Devices, load)
		demand.Load += load
	}
	return demand, nil
}

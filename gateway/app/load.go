package app

import (
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/drivers/modbus"
	"github.com/tidegate/tidegate/gateway/config"
)

// The loads of a bus, as shares of its time. Requests cannot be interrupted, so that a bus needs some room to keep each interval.
const (
	fullLoad = 1.0
	highLoad = 0.7
)

// mostRegisters is what one request may ask for: max_registers below that is a bound that somebody has set.
const mostRegisters = 125

// CheckLoad plans the requests of each bus and compares the time that they take with the time there is. The error is of type config.Errors and
// names each serial line that is asked for more than it can carry; a warning names each bus above 70 %. What a network can carry depends on the
// devices alone and is never an error.
func CheckLoad(cfg *config.Config) (warnings []config.Diagnostic, err error) {
	var errs config.Errors
	for i, b := range cfg.Buses {
		o := modbusOptions(b, cfg.Devices, slog.New(slog.DiscardHandler))
		demand, err := modbus.Load(o)
		if err != nil {
			return nil, err
		}
		if demand.Load <= highLoad {
			continue
		}
		d := cfg.Error(fmt.Sprintf("bus[%d]", i), describeLoad(b.Name, o, demand), relief(o, demand))
		if demand.Serial && demand.Load > fullLoad {
			errs = append(errs, d)
		} else {
			warnings = append(warnings, d)
		}
	}
	if len(errs) > 0 {
		return warnings, errs
	}
	return warnings, nil
}

func describeLoad(name string, o modbus.Options, d modbus.Demand) string {
	if !d.Serial {
		return fmt.Sprintf("bus %q: its %s requests a second take %s of the time if each is answered within %v", name, perSecond(d.Requests), percent(d.Load), modbus.AssumedResponse)
	}
	return fmt.Sprintf("bus %q: its %s requests a second take %s of the time on the wire at %v, and what the devices take to answer comes on top",
		name, perSecond(d.Requests), percent(d.Load), wire(&o))
}

// wire returns how characters travel on the serial line of a bus, which may be behind a device server.
func wire(o *modbus.Options) *bus.Mode {
	if o.Bus.Port == "" {
		return &o.Line
	}
	return &o.Bus.Mode
}

// relief says what would bring the load down, and by how much.
func relief(o modbus.Options, d modbus.Demand) string {
	ways := []string{fmt.Sprintf("make the intervals %.1f times as long", math.Ceil(10*d.Load/highLoad)/10)}
	if baud, load, ok := faster(o); ok {
		ways = append(ways, fmt.Sprintf("or set line and devices to %d baud for %s", baud, percent(load)))
	}
	if keys, load, ok := without(o, d); ok {
		ways = append(ways, fmt.Sprintf("or leave out %s for %s", keys, percent(load)))
	}
	if !d.Serial {
		ways = append(ways, "or put the devices on several buses if they have several addresses")
	}
	if len(o.Devices) > 1 {
		most := slices.Index(d.Devices, slices.Max(d.Devices))
		ways = append(ways, fmt.Sprintf("device %q takes most, %s", o.Devices[most].Name, percent(d.Devices[most])))
	}
	return strings.Join(ways, "; ")
}

// faster finds the lowest usual rate that brings the load of a serial line below the high one, or else the fastest.
func faster(o modbus.Options) (baud int, load float64, ok bool) {
	line := wire(&o)
	now := line.Baud
	for _, baud = range []int{9600, 19200, 38400, 57600, 115200} {
		if now == 0 || baud <= now {
			continue
		}
		line.Baud = baud
		d, err := modbus.Load(o)
		if err != nil {
			return 0, 0, false
		}
		if load, ok = d.Load, true; load <= highLoad {
			break
		}
	}
	return line.Baud, load, ok
}

// without finds what the bounds of the requests cost, when it is worth a word.
func without(o modbus.Options, before modbus.Demand) (keys string, load float64, ok bool) {
	var given []string
	if o.MaxRegisters > 0 && o.MaxRegisters < mostRegisters {
		given = append(given, "max_registers")
	}
	if o.MaxGap != nil {
		given = append(given, "max_gap")
	}
	o.MaxGap, o.MaxRegisters = nil, 0
	d, err := modbus.Load(o)
	return strings.Join(given, " and "), d.Load, err == nil && d.Load < 0.9*before.Load
}

// perSecond writes a rate without more digits than anybody needs.
func perSecond(rate float64) string {
	if rate >= 10 {
		return fmt.Sprintf("%.0f", rate)
	}
	return fmt.Sprintf("%.2g", rate)
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

package modbus

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/gateway"
)

// Options describe a bus and its devices.
type Options struct {
	Name string // of the bus
	// Bus tells how to open it. Marked and Untagged are set by New.
	Bus bus.Options
	// Line is how characters travel on the serial line behind an Endpoint, for the plan; a Baud of 0 means that nobody has said.
	Line bus.Mode
	// Framing is what is spoken there; FramingDefault is RTU on a Port and Modbus TCP at an Endpoint.
	Framing Framing
	// UnitGap is the silence before a request to another unit than the last one, when longer than that of the bus.
	UnitGap time.Duration
	// MaxInFlight bounds the requests that wait for an answer at the same time; 0 means 1. More than 1 is for Modbus TCP, whose answers
	// tell which request they are to, and for devices that can.
	MaxInFlight int
	// MaxRegisters bounds how many registers points are put together to ask for at once; 0 means 125, the most that Modbus allows.
	MaxRegisters int
	// MaxGap bounds the unwanted registers between two points that are asked for together; nil means as many as cost less than another
	// request.
	MaxGap *int
	// Timeout is that of requests which are passed to a unit that is none of the Devices; 0 means 1 s.
	Timeout time.Duration
	Devices []Device
}

// Device is one unit on the bus.
type Device struct {
	Name       string
	Unit       byte          // on a serial line 1 to 247 (Modbus over Serial Line V1.02, 2.2), on TCP any
	Interval   time.Duration // between polls of the points that do not say it themselves
	StaleAfter time.Duration // a reading older than this is stale; 0: the engine's default
	Publish    gateway.PublishMode
	Timeout    time.Duration // from the end of a request to the answer, transmission not counted; 0 means 1 s
	Retries    int           // how often a read is repeated that brought no valid answer
	Gap        time.Duration // silence before a request to it, when longer than that of the bus
	// ReadWrite has registers written and read back in one request (function 23), for devices that know it.
	ReadWrite bool
	Points    []Point
}

// DeviceInfo is a device as the engine sees it: field by field the engine's Device, with a Group for each GroupInfo.
type DeviceInfo struct {
	Name       string
	Groups     []GroupInfo
	StaleAfter time.Duration
	Publish    gateway.PublishMode
	Points     []gateway.Point
}

// GroupInfo is the points of a device that are polled together, because they have the same interval.
type GroupInfo struct {
	Interval time.Duration
	Points   []int // indices of the device's points
}

// check reports all mistakes at once.
func (o Options) check() error {
	var errs []error
	if o.MaxRegisters < 0 || o.MaxRegisters > maxRegisters {
		errs = append(errs, fmt.Errorf("max registers %d is outside 1 to %d", o.MaxRegisters, maxRegisters))
	}
	if o.MaxGap != nil && *o.MaxGap < 0 {
		errs = append(errs, fmt.Errorf("max gap %d is negative", *o.MaxGap))
	}
	if err := o.checkFraming(); err != nil {
		errs = append(errs, err)
	}
	for _, d := range o.Devices {
		if err := d.check(o.framing() != FramingTCP); err != nil {
			errs = append(errs, fmt.Errorf("device %q: %w", d.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (d Device) check(serial bool) error {
	var errs []error
	if serial && (d.Unit < 1 || d.Unit > 247) {
		errs = append(errs, fmt.Errorf("unit %d is outside 1 to 247: 0 is broadcast, which nobody answers, and the others are reserved", d.Unit))
	}
	if d.Timeout < 0 || d.Retries < 0 {
		errs = append(errs, errors.New("timeout or retries are negative"))
	}
	if d.Gap < 0 {
		errs = append(errs, errors.New("gap is negative"))
	}
	for _, p := range d.Points {
		if p.Interval < 0 {
			errs = append(errs, fmt.Errorf("point %q: interval %v is negative", p.Name, p.Interval))
		}
		if err := p.check(); err != nil {
			errs = append(errs, fmt.Errorf("point %q: %w", p.Name, err))
		}
	}
	return errors.Join(errs...)
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// limits returns the bounds for the plan.
func (o Options) limits() limits {
	l := limits{gap: -1, count: cmp.Or(o.MaxRegisters, maxRegisters)}
	if o.MaxGap != nil {
		l.gap = *o.MaxGap
	}
	return l
}

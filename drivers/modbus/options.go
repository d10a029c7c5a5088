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
	// Bus tells how to open it. With a Port the driver speaks Modbus RTU, with an Endpoint Modbus TCP.
	Bus bus.Options
	// MaxRegisters bounds how many registers points are put together to ask for at once; 0 means 125, the most that Modbus allows.
	MaxRegisters int
	// MaxGap bounds the unwanted registers between two points that are asked for together; nil means as many as cost less than another
	// request.
	MaxGap  *int
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
	Points     []Point
}

// Point is one value of a device.
type Point struct {
	gateway.Point // its Kind is set by New
	Address       Address
	Type          Type
	Order         Order // of 32-bit types
	// The value is raw * Scale + Offset. A Scale of 0 means 1.
	Scale, Offset float64
	Interval      time.Duration // between polls; 0: the device's
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
	if serial := o.Bus.Port != ""; serial && o.Bus.Mode.DataBits != 8 && o.Bus.Mode.DataBits != 0 {
		errs = append(errs, fmt.Errorf("data bits %d: Modbus RTU sends whole bytes, use 8", o.Bus.Mode.DataBits))
	}
	for _, d := range o.Devices {
		if err := d.check(o.Bus.Port != ""); err != nil {
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

func (p Point) check() error {
	switch last := int(p.Address.Offset) + p.Type.width() - 1; {
	case p.Type < Bool || p.Type > Float32:
		return fmt.Errorf("%v is not known", p.Type)
	case p.Order > DCBA:
		return fmt.Errorf("%v is not known", p.Order)
	case p.Address.Table > Holding:
		return fmt.Errorf("%v is not known", p.Address.Table)
	case p.Address.Table.bits() != (p.Type == Bool):
		return fmt.Errorf("%v cannot be read as %v: bool is for coils and discrete inputs, the other types are for registers", p.Address, p.Type)
	case last > math.MaxUint16:
		return fmt.Errorf("%v has no second register for a %v", p.Address, p.Type)
	case p.Writable && !p.Address.Table.writable():
		return fmt.Errorf("%v cannot be written: only coils and holding registers can", p.Address)
	case !finite(p.Scale) || !finite(p.Offset):
		return errors.New("scale or offset is not a number")
	}
	return nil
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

package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/drivers/bus/trace"
	"github.com/tidegate/tidegate/drivers/modbus"
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/config"
	"github.com/tidegate/tidegate/gateway/engine"
)

// buses makes a driver for each configured bus, with its devices.
func buses(cfg *config.Config, log *slog.Logger, traceOf func(bus string) func(trace.Exchange)) ([]engine.Bus, error) {
	var out []engine.Bus
	for _, b := range cfg.Buses {
		o := modbusOptions(b, cfg.Devices, log)
		var err error
		if o.Bus.TLS, err = busTLS(b); err != nil {
			return nil, fmt.Errorf("bus %q: %w", b.Name, err)
		}
		o.Bus.Trace = traceOf(b.Name)
		d, err := modbus.New(o)
		if err != nil {
			return nil, err
		}
		out = append(out, engine.Bus{Name: b.Name, Driver: driver{d}})
	}
	return out, nil
}

func modbusOptions(b config.Bus, devices []config.Device, log *slog.Logger) modbus.Options {
	o := modbus.Options{
		Name:         b.Name,
		MaxRegisters: b.MaxRegisters,
		MaxGap:       b.MaxGap,
		Framing:      framing(b.Transport),
		UnitGap:      b.UnitGap,
		MaxInFlight:  b.MaxInFlight,
		Timeout:      b.Timeout,
		Bus: bus.Options{
			Gap: b.Gap, ConnectDelay: b.ConnectDelay, DialTimeout: b.Timeout, IdleClose: b.IdleClose,
			Log: log.With("component", "bus", "name", b.Name),
		},
	}
	line := bus.Mode{Baud: b.Baud, DataBits: b.DataBits, Parity: bus.Parity(b.Parity), StopBits: b.StopBits}
	if b.Transport.Serial() {
		o.Bus.Port, o.Bus.Mode, o.Bus.RS485 = b.Port, line, rs485(b.RS485)
	} else {
		o.Bus.Endpoint, o.Bus.Network = b.Endpoint, network(b.Transport)
	}
	if b.Transport.Behind() {
		o.Line = line
	}
	for _, d := range devices {
		if d.Bus == b.Name {
			o.Devices = append(o.Devices, modbusDevice(b, d))
		}
	}
	return o
}

// modbusDevice maps a device. Enumerations of both packages have the same values; a test compares their names.
func modbusDevice(b config.Bus, d config.Device) modbus.Device {
	out := modbus.Device{
		Name: d.Name, Unit: byte(d.UnitID), Interval: d.Interval, Publish: gateway.PublishMode(d.Publish),
		Timeout: b.Timeout, Retries: b.Retries, Gap: d.Gap, ReadWrite: d.ReadWrite,
		Points: make([]modbus.Point, len(d.Points)),
	}
	for i, p := range d.Points {
		out.Points[i] = modbusPoint(p)
	}
	return out
}

func modbusPoint(p config.Point) modbus.Point {
	out := modbus.Point{
		Point:   point(p),
		Address: modbus.Address{Table: modbus.Table(p.Address.Table), Offset: p.Address.Number},
		Type:    modbus.Type(p.Type),
		Length:  p.Length,
		Order:   modbus.Order(p.ByteOrder),
		Scale:   p.Scale, Offset: p.Offset, Decimals: p.Decimals,
		Enum:     p.Enum,
		Interval: p.Interval,
		Verify:   p.Verify,
	}
	switch {
	case p.Bit != nil:
		out.Bits = modbus.Bits{First: uint8(*p.Bit), Count: 1}
	case p.Bits != nil:
		out.Bits = modbus.Bits{First: uint8(p.Bits.First), Count: uint8(p.Bits.Last - p.Bits.First + 1)}
	}
	out.ValidMin, out.ValidMax = bounds(p.ValidMin, p.ValidMax)
	for _, s := range p.Invalid {
		out.Invalid = append(out.Invalid, sentinel(out.Type, s))
	}
	return out
}

// sentinel returns the bits by which a device says that it has no value. The configuration was checked: the type can hold the number.
func sentinel(t modbus.Type, s config.Sentinel) uint64 {
	bits, err := t.RawBits(s.Value())
	if s.Raw || err != nil {
		return s.Bits
	}
	return bits
}

// point maps a point to the vocabulary.
func point(p config.Point) gateway.Point {
	out := gateway.Point{Name: p.Name, Unit: p.Unit, Writable: p.Writable, Deadband: p.Deadband, Heartbeat: p.Heartbeat}
	out.Min, out.Max = bounds(p.Min, p.Max)
	return out
}

// bounds maps a range. One missing bound is infinite; two are no limit.
func bounds(low, high *float64) (from, to float64) {
	if low == nil && high == nil {
		return 0, 0
	}
	from, to = math.Inf(-1), math.Inf(1)
	if low != nil {
		from = *low
	}
	if high != nil {
		to = *high
	}
	return from, to
}

// driver adapts a Modbus bus to the engine, which must not know it.
type driver struct{ *modbus.Driver }

// Devices implements engine.Driver.
func (d driver) Devices() []engine.Device {
	infos := d.Driver.Devices()
	out := make([]engine.Device, len(infos))
	for i, info := range infos {
		out[i] = engine.Device{Name: info.Name, StaleAfter: info.StaleAfter, Publish: info.Publish, Points: info.Points}
		for _, g := range info.Groups {
			out[i].Groups = append(out[i].Groups, engine.Group(g))
		}
	}
	return out
}

// Poll implements engine.Driver.
func (d driver) Poll(ctx context.Context, device, group, step int, readings []gateway.Reading) (bool, error) {
	more, err := d.Driver.Poll(ctx, device, group, step, readings)
	return more, noAnswer(err)
}

// Write implements engine.Driver.
func (d driver) Write(ctx context.Context, device, point int, v gateway.Value) (gateway.Reading, error) {
	r, err := d.Driver.Write(ctx, device, point, v)
	return r, noAnswer(err)
}

// WriteBlock implements engine.BlockWriter.
func (d driver) WriteBlock(ctx context.Context, device int, points []int, values []gateway.Value) ([]gateway.Reading, error) {
	back, err := d.Driver.WriteBlock(ctx, device, points, values)
	return back, noAnswer(err)
}

// noAnswer says in the engine's words that a device did not answer.
func noAnswer(err error) error {
	if errors.Is(err, modbus.ErrNoAnswer) {
		return fmt.Errorf("%w: %w", engine.ErrNoAnswer, err)
	}
	return err
}

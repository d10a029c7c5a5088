package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/drivers/modbus"
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/config"
	"github.com/tidegate/tidegate/gateway/engine"
)

// buses makes a driver for each configured bus, with its devices.
func buses(cfg *config.Config, log *slog.Logger) ([]engine.Bus, error) {
	var out []engine.Bus
	for _, b := range cfg.Buses {
		d, err := modbus.New(modbusOptions(b, cfg.Devices, log))
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
		Bus: bus.Options{
			Gap: b.Gap, ConnectDelay: b.ConnectDelay, DialTimeout: b.Timeout,
			Log: log.With("component", "bus", "name", b.Name),
		},
	}
	if b.Transport == config.TransportTCP {
		o.Bus.Endpoint = b.Endpoint
	} else {
		o.Bus.Port = b.Port
		o.Bus.Mode = bus.Mode{Baud: b.Baud, DataBits: b.DataBits, Parity: bus.Parity(b.Parity), StopBits: b.StopBits}
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
		Timeout: b.Timeout, Retries: b.Retries,
	}
	for _, p := range d.Points {
		out.Points = append(out.Points, modbus.Point{
			Point:   point(p),
			Address: modbus.Address{Table: modbus.Table(p.Address.Table), Offset: p.Address.Number},
			Type:    modbus.Type(p.Type),
			Order:   modbus.Order(p.ByteOrder),
			Scale:   p.Scale, Offset: p.Offset,
		})
	}
	return out
}

// point maps a point to the vocabulary. One missing bound is infinite; two are no limit.
func point(p config.Point) gateway.Point {
	out := gateway.Point{Name: p.Name, Unit: p.Unit, Writable: p.Writable}
	if p.Min == nil && p.Max == nil {
		return out
	}
	out.Min, out.Max = math.Inf(-1), math.Inf(1)
	if p.Min != nil {
		out.Min = *p.Min
	}
	if p.Max != nil {
		out.Max = *p.Max
	}
	return out
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

// noAnswer says in the engine's words that a device did not answer.
func noAnswer(err error) error {
	if errors.Is(err, modbus.ErrNoAnswer) {
		return fmt.Errorf("%w: %w", engine.ErrNoAnswer, err)
	}
	return err
}

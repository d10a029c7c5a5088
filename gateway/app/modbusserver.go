package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/tidegate/tidegate/drivers/modbus"
	"github.com/tidegate/tidegate/drivers/modbus/server"
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/certs"
	"github.com/tidegate/tidegate/gateway/config"
	"github.com/tidegate/tidegate/gateway/engine"
)

// stopModbusServer bounds the end of a Modbus server: requests under way are given up.
const stopModbusServer = 3 * time.Second

// openModbusServers binds the listeners for other masters. What the handlers ask for, the engine first of all, is there before they are
// asked anything.
func (a *App) openModbusServers() error {
	for i, cfg := range a.opts.Config.ModbusServers {
		log := a.log.With("component", "modbus server", "name", cfg.Name)
		handler, err := a.modbusHandler(cfg, log)
		if err != nil {
			return fmt.Errorf("modbus server %q: %w", cfg.Name, err)
		}
		o := server.Options{
			Name: cfg.Name, MaxConnections: cfg.MaxConnections, MaxPerAddress: cfg.MaxPerAddress, IdleTimeout: cfg.IdleTimeout,
			Allow: prefixes(cfg.Allow), Handler: handler, Logger: log,
		}
		if o.Upgrade, err = a.modbusTLS(fmt.Sprintf("modbus_server[%d].tls", i), cfg, log); err != nil {
			return err
		}
		if o.Listener, err = a.opts.Listen("tcp", cfg.Listen); err != nil {
			return fmt.Errorf("listen for Modbus masters: %w; set another address in [[modbus_server]] or stop the program that holds it", err)
		}
		a.close = append(a.close, o.Listener.Close)
		s, err := server.New(o)
		if err != nil {
			return fmt.Errorf("modbus server %q: %w", cfg.Name, err)
		}
		a.modbus.servers = append(a.modbus.servers, s)
	}
	return nil
}

// modbusHandler returns what answers the requests of a server.
func (a *App) modbusHandler(cfg config.ModbusServer, log *slog.Logger) (server.Handler, error) {
	if cfg.Proxy != "" {
		return proxy{a, cfg.Proxy}, nil
	}
	m, err := server.NewMap(a.modbusMap(cfg, log))
	if err == nil {
		a.modbus.maps = append(a.modbus.maps, m)
	}
	return m, err
}

func (a *App) modbusMap(cfg config.ModbusServer, log *slog.Logger) server.MapOptions {
	o := server.MapOptions{
		Unit: byte(cfg.UnitID), ZeroHoles: cfg.Holes == config.HolesZero, Commander: commander{a},
		Identity: server.Identity{Vendor: "Tidegate", Product: "tidegate", Revision: a.opts.Version, Name: cfg.Name},
		Logger:   log,
	}
	for _, r := range cfg.Registers {
		o.Registers = append(o.Registers, a.modbusRegister(r))
	}
	return o
}

// modbusRegister maps a register. The configuration was checked: its source is there, and fits.
func (a *App) modbusRegister(r config.ModbusRegister) server.Register {
	device, point, _ := a.opts.Config.Place(r)
	d := a.opts.Config.Devices[device]
	source := d.Points[point]
	out := server.Register{
		Layout: modbusPoint(config.Point{
			Address: r.Address, Type: r.Type, Length: r.Length, ByteOrder: r.ByteOrder, Scale: r.Scale, Offset: r.Offset,
		}),
		Bit: r.Bit, Device: d.Name, Point: source.Name, Index: point, Writable: r.Writable,
	}
	if r.Type != config.TypeString {
		out.Layout.Enum = source.Enum
	}
	if c, err := modbus.NewCodec(modbusPoint(source)); err == nil {
		out.Kind = c.Kind()
	}
	if r.BadValue != nil {
		bits := sentinel(out.Layout.Type, *r.BadValue)
		out.Bad = &bits
	}
	return out
}

func prefixes(list []config.Network) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, n := range list {
		out[i] = n.Prefix
	}
	return out
}

// modbusTLS returns what makes TLS of a connection (Modbus/TCP Security); nil for a server without.
func (a *App) modbusTLS(path string, cfg config.ModbusServer, log *slog.Logger) (func(context.Context, net.Conn) (net.Conn, error), error) {
	t := cfg.TLS.Listener()
	if !t.IsSet() {
		return nil, nil
	}
	s, err := certs.New(certs.Options{
		CertFile: t.Cert, KeyFile: t.Key, ClientCAFile: t.ClientCA, ClientAuth: t.ClientCert.TLS(), MinVersion: t.MinVersion.TLS(), Logger: log,
	})
	if err != nil { // the files have changed since the configuration was checked
		return nil, a.opts.Config.Error(path, err.Error(), "mend the file, and start again")
	}
	a.certificates = append(a.certificates, certificate{"mbaps://" + cfg.Listen, s})
	return func(ctx context.Context, raw net.Conn) (net.Conn, error) {
		c, _, err := s.Handshake(ctx, raw)
		if err != nil {
			return nil, err // and not a nil *tls.Conn in an interface
		}
		return c, nil
	}, nil
}

// modbusStats are the snapshots of the servers, in the order of configuration.
func (a *App) modbusStats() []gateway.ModbusServerStats {
	stats := make([]gateway.ModbusServerStats, len(a.modbus.servers))
	for i, s := range a.modbus.servers {
		stats[i] = s.Stats()
	}
	return stats
}

// ModbusAddrs are the addresses that the Modbus servers listen on, in the order of configuration.
func (a *App) ModbusAddrs() []net.Addr {
	addrs := make([]net.Addr, len(a.modbus.servers))
	for i, s := range a.modbus.servers {
		addrs[i] = s.Addr()
	}
	return addrs
}

// observers tells every map of registers what the engine has read.
type observers []*server.Map

// Observe implements engine.Observer.
func (o observers) Observe(device string, readings []gateway.Reading, staleAfter []time.Duration) {
	for _, m := range o {
		m.Observe(device, readings, staleAfter)
	}
}

// observer is who wants to know what the engine has read; nil when nobody does.
func (a *App) observer() engine.Observer {
	if len(a.modbus.maps) == 0 {
		return nil
	}
	return observers(a.modbus.maps)
}

// commander lets the engine carry out what masters write, and says in the words of Modbus what came of it.
type commander struct{ app *App }

// Check implements server.Commander.
func (c commander) Check(device string, values []gateway.Setting) error {
	return inModbus(c.app.engine.Check(device, values))
}

// Set implements server.Commander.
func (c commander) Set(ctx context.Context, device string, values []gateway.Setting) error {
	_, err := c.app.engine.Set(ctx, device, values)
	return inModbus(err)
}

// inModbus adds to an error of the engine the exception that a master is answered with.
func inModbus(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", modbusException(err), err)
}

func modbusException(err error) server.Exception {
	var refusal *modbus.Error
	switch {
	case errors.Is(err, engine.ErrRefused):
		return server.IllegalValue
	case errors.Is(err, engine.ErrNotBegun):
		return server.DeviceBusy
	case errors.As(err, &refusal) && (refusal.Exception == byte(server.IllegalValue) || refusal.Exception == byte(server.DeviceBusy)):
		return server.Exception(refusal.Exception)
	case errors.Is(err, engine.ErrNoAnswer), errors.Is(err, context.DeadlineExceeded):
		return server.TargetFailed
	}
	return server.DeviceFailure
}

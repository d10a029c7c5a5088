// Package demo runs the whole road in one process without hardware: simulated Modbus devices, a gateway that reads them, and a
// second gateway that plays the cloud.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/tidegate/tidegate/configs"
	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/gateway/app"
	"github.com/tidegate/tidegate/gateway/config"
)

// Options are what the demo needs to know.
type Options struct {
	DataDir string    // of both gateways, in folders of their own
	Out     io.Writer // what a person is told
	Logger  *slog.Logger
	Version string
}

// modbusAddr is where the simulated Modbus TCP endpoint listens if it can.
const modbusAddr = "127.0.0.1:1502"

// Run runs the demo until ctx ends.
func Run(ctx context.Context, o Options) error {
	if err := os.MkdirAll(o.DataDir, 0o750); err != nil {
		return fmt.Errorf("make the demo's data folder: %w; choose another with --data", err)
	}
	d := &demo{Options: o}
	defer d.close()
	if err := d.open(ctx); err != nil {
		return err
	}
	d.tell()
	return d.run(ctx)
}

// demo is what a running demo consists of.
type demo struct {
	Options
	server *sim.Server
	pty    *sim.PTY
	slave  *sim.Slave
	line   sim.Line
	cloud  *app.App
	plant  *app.App
}

// open makes everything and starts nothing. The cloud comes first, because the plant must know its address.
func (d *demo) open(ctx context.Context) error {
	if err := d.openSimulator(); err != nil {
		return err
	}
	cloud, err := parse("cloud.toml", configs.Cloud, filepath.Join(d.DataDir, "cloud"))
	if err != nil {
		return err
	}
	if d.cloud, err = d.gateway(ctx, cloud, "cloud"); err != nil {
		return err
	}
	plant, err := d.plantConfig()
	if err != nil {
		return err
	}
	d.plant, err = d.gateway(ctx, plant, "plant")
	return err
}

func (d *demo) openSimulator() error {
	l, err := d.listen("tcp", modbusAddr)
	if err != nil {
		return fmt.Errorf("listen for Modbus TCP: %w", err)
	}
	tcp, rtu := sim.Demo(nil)
	d.server = sim.NewServer(l, tcp, sim.ServerOptions{Log: d.Logger})
	if d.pty, err = sim.OpenPTY(filepath.Join(d.DataDir, "rs485")); err != nil {
		return errors.Join(err, l.Close())
	}
	d.line = sim.Line{Baud: 19200, Parity: sim.EvenParity}
	d.slave = sim.NewSlave(d.pty, rtu, sim.SlaveOptions{Line: d.line, StrictGap: true, Log: d.Logger})
	return nil
}

// plantConfig is configs/demo.toml with the addresses that were free on this machine.
func (d *demo) plantConfig() (*config.Config, error) {
	cfg, err := parse("demo.toml", configs.Demo, filepath.Join(d.DataDir, "plant"))
	if err != nil {
		return nil, err
	}
	host, port, err := splitPort(d.cloud.BrokerAddrs()[0])
	if err != nil {
		return nil, err
	}
	for i := range cfg.Upstreams {
		cfg.Upstreams[i].Servers = []config.Server{{Host: host, Port: port}}
	}
	for i := range cfg.Buses {
		switch b := &cfg.Buses[i]; b.Transport {
		case config.TransportTCP:
			b.Endpoint = d.server.Addr().String()
		case config.TransportRTU:
			b.Port, b.Baud, b.Parity = d.pty.Port(), d.line.Baud, config.ParityEven
		}
	}
	return cfg, nil
}

func parse(name string, text []byte, dataDir string) (*config.Config, error) {
	cfg, err := config.Parse(name, text, config.OSEnv(""))
	if err != nil {
		return nil, err
	}
	cfg.Gateway.DataDir = dataDir
	return cfg, nil
}

func (d *demo) gateway(ctx context.Context, cfg *config.Config, name string) (*app.App, error) {
	return app.New(ctx, app.Options{
		Config: cfg, Logger: d.Logger.With("gateway", name), Version: d.Version, Listen: d.listen,
	})
}

// portsTried bounds the search for a free port.
const portsTried = 20

// listen takes the address, or the next free port behind it, and says so.
func (d *demo) listen(network, address string) (net.Listener, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	first, err := strconv.Atoi(text)
	if err != nil {
		return nil, err
	}
	for port := first; port < first+portsTried; port++ {
		l, err := net.Listen(network, net.JoinHostPort(host, strconv.Itoa(port)))
		if err == nil {
			if port != first {
				fmt.Fprintf(d.Out, "Port %d is taken by another program, using %d instead.\n", first, port)
			}
			return l, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("ports %d to %d are all taken", first, first+portsTried-1)
}

// run runs the simulator and both gateways. The gateways stop before the devices do, and the plant before the cloud, so that
// each can still say goodbye.
func (d *demo) run(ctx context.Context) error {
	base := context.WithoutCancel(ctx)
	devices, stopDevices := context.WithCancel(base)
	defer stopDevices()
	var simulator errgroup.Group
	simulator.Go(func() error { return d.server.Run(devices) })
	simulator.Go(func() error { return d.slave.Run(devices) })

	cloud, stopCloud := context.WithCancel(base)
	defer stopCloud()
	plant, stopPlant := context.WithCancel(ctx)
	defer stopPlant()
	var cloudGroup errgroup.Group
	cloudGroup.Go(func() error {
		defer stopPlant() // without its cloud the demo shows nothing
		return d.cloud.Run(cloud)
	})
	err := d.plant.Run(plant)
	stopCloud()
	err = errors.Join(err, cloudGroup.Wait())
	stopDevices()
	err = errors.Join(err, simulator.Wait())
	if err == nil {
		fmt.Fprintln(d.Out, "The demo has stopped; its data is kept in", d.DataDir)
	}
	return err
}

// close gives back what a failed open has left.
func (d *demo) close() {
	for _, a := range []*app.App{d.plant, d.cloud} {
		if a != nil {
			_ = a.Close()
		}
	}
	if d.pty != nil {
		_ = d.pty.Close()
	}
}

func splitPort(a net.Addr) (string, uint16, error) {
	host, text, err := net.SplitHostPort(a.String())
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	return host, uint16(port), err
}

package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tidegate/tidegate/bridge"
	"github.com/tidegate/tidegate/bridge/transport"
	"github.com/tidegate/tidegate/buffer"
	"github.com/tidegate/tidegate/drivers/bus/trace"
	"github.com/tidegate/tidegate/drivers/modbus/server"
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/api"
	"github.com/tidegate/tidegate/gateway/config"
	"github.com/tidegate/tidegate/gateway/engine"
	"github.com/tidegate/tidegate/localbroker"
)

// Options are what an App needs to know.
type Options struct {
	Config  *config.Config
	Logger  *slog.Logger
	Version string
	// Notify tells a supervisor that the gateway is up or going ("READY=1", "STOPPING=1"); nil when there is none.
	Notify func(state string)
	// Listen binds the listeners; nil is net.Listen. The demo looks for free ports with it.
	Listen func(network, address string) (net.Listener, error)
	// TraceFile is written each conversation on a bus; "" for none. TraceSize bounds it in bytes, see trace.FileOptions; 0 is the default.
	TraceFile string
	TraceSize int64
}

// App is one gateway. Several can run in one process: nothing is shared.
type App struct {
	opts   Options
	log    *slog.Logger
	id     string
	topics gateway.Topics

	store      *buffer.Store
	broker     *localbroker.Broker
	access     *accessFiles
	bridges    []*bridge.Bridge
	transports []*transport.Transport // of the bridges
	queues     map[string][]string    // the names of each upstream's queues
	trace      *trace.File            // nil: nobody traces
	engine     *engine.Engine
	modbus     struct { // for other masters
		servers []*server.Server
		maps    []*server.Map
	}
	api          *api.Server
	listeners    []listener
	certificates []certificate // of listeners with TLS
	http         net.Listener
	control      struct {
		net.Listener
		server *api.ControlServer
	}
	close  []func() error // what New has opened, for when it or Run ends
	status atomic.Pointer[[]byte]
}

// Bounds of the steps of a stop. Their sum stays below the 90 s that the unit allows.
const (
	stopHTTP     = 3 * time.Second
	stopStatus   = 3 * time.Second
	stopEngine   = 10 * time.Second // a conversation on a bus ends first
	stopBridges  = 10 * time.Second // confirm their windows, say goodbye, all at once
	stopListener = 3 * time.Second
	stopBroker   = 10 * time.Second
	stopBuffer   = 30 * time.Second // commits what is left, on a slow card
)

// New opens the data folder, the buffer and the listeners and wires the components. It starts nothing. What it opened is closed
// again when it fails, or by Run.
func New(ctx context.Context, o Options) (*App, error) {
	if o.Listen == nil {
		o.Listen = net.Listen
	}
	a := &App{opts: o, log: o.Logger, queues: map[string][]string{}}
	if err := a.open(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *App) open(ctx context.Context) error {
	cfg := a.opts.Config
	if err := os.MkdirAll(cfg.Gateway.DataDir, 0o750); err != nil {
		return fmt.Errorf("make the data folder: %w; set data_dir in [gateway] to a folder that this user may write", err)
	}
	id, err := gatewayID(cfg.Gateway)
	if err != nil {
		return err
	}
	a.id = id
	a.topics = gateway.Topics{Base: cfg.Gateway.Base(id)}
	if err := a.openStore(ctx); err != nil {
		return err
	}
	if err := a.openBroker(); err != nil {
		return err
	}
	if err := a.openBridges(); err != nil {
		return err
	}
	if err := a.openModbusServers(); err != nil {
		return err
	}
	if err := a.openEngine(); err != nil {
		return err
	}
	if err := a.openHTTP(); err != nil {
		return err
	}
	return a.openControl()
}

func (a *App) openStore(ctx context.Context) error {
	cfg, session := a.opts.Config.Buffer, a.opts.Config.Broker.Session
	store, err := buffer.Open(ctx, buffer.Options{
		Path:           filepath.Join(a.opts.Config.Gateway.DataDir, "buffer.db"),
		CommitInterval: cfg.CommitInterval,
		AckHold:        cfg.AckHold,
		MaxSize:        int64(cfg.MaxSize),
		MinFree:        int64(cfg.MinFree),
		OrphanAge:      cfg.OrphanAge,
		ClockSynced:    clockSynced,
		UpstreamLimits: buffer.Limits{Age: cfg.MaxAge, Full: buffer.Policy(cfg.OnFull)},
		SessionLimits: buffer.Limits{
			Bytes: int64(session.MaxSize), Count: uint64(session.MaxRecords), Full: buffer.DropOldest,
		},
		Logger: a.log.With("component", "buffer"),
	})
	if err != nil {
		return err
	}
	a.store = store
	a.close = append(a.close, store.Close)
	return nil
}

func (a *App) openBroker() error {
	opts, err := a.brokerOptions()
	if err != nil {
		return err
	}
	if a.broker, err = localbroker.New(opts); err != nil {
		return err
	}
	a.broker.AddQueue(a.inboxSubscription())
	return a.openListeners()
}

func (a *App) openEngine() error {
	if err := a.openTrace(); err != nil {
		return err
	}
	buses, err := buses(a.opts.Config, a.log, a.traceOf)
	if err != nil {
		return err
	}
	a.engine, err = engine.New(engine.Options{
		Publisher:   a.broker,
		Journal:     inbox{a.store.Inbox()},
		Topics:      a.topics,
		Buses:       buses,
		Alarm:       engine.KernelAlarm,
		Timer:       engine.KernelTimer,
		ClockSynced: clockSynced,
		Observer:    a.observer(),
		Logger:      a.log.With("component", "engine"),
	})
	return err
}

func (a *App) openHTTP() error {
	addr := a.opts.Config.HTTP.Listen
	if addr == "" {
		return nil
	}
	l, err := a.opts.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for HTTP: %w; set another address in [http] listen, or \"\" for none", err)
	}
	a.close = append(a.close, l.Close)
	a.http = l
	a.api = api.New(api.Options{
		Snapshots: a.snapshots(),
		Version:   a.opts.Version, GatewayID: a.id, CardEndurance: int64(a.opts.Config.Buffer.CardEndurance),
		Logger: a.log.With("component", "http"),
	})
	return nil
}

// openControl opens the socket through which verbs ask a gateway that runs.
func (a *App) openControl() error {
	l, err := api.ListenControl(filepath.Join(a.opts.Config.Gateway.DataDir, api.ControlSocket))
	if err != nil {
		return err
	}
	a.close = append(a.close, l.Close)
	a.control.Listener = l
	a.control.server = api.NewControl(api.ControlOptions{
		Buffer: a.store, Snapshots: a.snapshots(), Version: a.opts.Version, GatewayID: a.id, Logger: a.log.With("component", "control"),
	})
	return nil
}

func (a *App) snapshots() api.Snapshots {
	return api.Snapshots{Buffer: a.store.Stats, Broker: a.broker.Stats, Bridges: a.bridgeStats, Buses: a.engine.Stats, ModbusServers: a.modbusStats, Listeners: a.listenerStats}
}

func (a *App) bridgeStats() []gateway.BridgeStats {
	stats := make([]gateway.BridgeStats, len(a.bridges))
	for i, b := range a.bridges {
		stats[i] = b.Stats()
		own := a.transports[i].Certificates().Client
		if at := &stats[i].CertExpiry; !own.IsZero() && (at.IsZero() || own.Before(*at)) {
			*at = own
		}
	}
	return stats
}

// ID is the gateway's id.
func (a *App) ID() string { return a.id }

// BaseTopic is what comes before all of the gateway's own topics.
func (a *App) BaseTopic() string { return a.topics.Base }

// BrokerAddrs are the addresses that the broker listens on, in the order of configuration.
func (a *App) BrokerAddrs() []net.Addr {
	addrs := make([]net.Addr, len(a.listeners))
	for i, l := range a.listeners {
		addrs[i] = l.Addr()
	}
	return addrs
}

// HTTPAddr is the address of health and metrics; nil when there is none.
func (a *App) HTTPAddr() net.Addr {
	if a.http == nil {
		return nil
	}
	return a.http.Addr()
}

// Close gives back what New has opened. Run does it by itself.
func (a *App) Close() error {
	var errs []error
	for i := len(a.close) - 1; i >= 0; i-- {
		if err := a.close[i](); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	a.close = nil
	return errors.Join(errs...)
}

// Run runs the gateway until ctx ends, stops it in order, and returns nil; or returns why it could not go on.
func (a *App) Run(ctx context.Context) error {
	l := newLifecycle(a.log)
	err := a.start(ctx, l)
	if err == nil {
		a.log.Info("gateway is running", "id", a.id, "version", a.opts.Version, "mqtt", addrs(a.BrokerAddrs()), "modbus", addrs(a.ModbusAddrs()), "base_topic", a.topics.Base)
		a.notify("READY=1")
		err = a.untilDamaged(ctx, l)
	}
	a.notify("STOPPING=1")
	if err != nil {
		a.log.Error("a component failed, the gateway stops", "error", err)
	}
	stopErr := l.stop()
	closeErr := a.Close()
	a.log.Info("gateway has stopped")
	return errors.Join(err, stopErr, closeErr)
}

// ErrDamaged is why Run ends when reading has found that the buffer's file is damaged. A new App sets the file aside and goes on.
var ErrDamaged = errors.New("the buffer's file is damaged: it is set aside at the next start, which saves what can be read")

// untilDamaged waits until ctx ends (nil) or the gateway cannot go on.
func (a *App) untilDamaged(ctx context.Context, l *lifecycle) error {
	if err := l.wait(ctx, a.store.Damaged()); err != nil || ctx.Err() != nil {
		return err
	}
	return ErrDamaged
}

// start starts the components in order. What publishes waits until the broker has recovered its sessions.
func (a *App) start(ctx context.Context, l *lifecycle) error {
	l.start(ctx, "buffer", stopBuffer, a.store.Run)
	l.start(ctx, "broker", stopBroker, a.broker.Run)
	if err := l.wait(ctx, a.broker.Ready()); err != nil {
		return err
	}
	for _, in := range a.listeners {
		l.start(ctx, "listener "+in.Addr().String(), stopListener, func(ctx context.Context) error {
			return a.broker.Serve(ctx, in.Listener, in.opts)
		})
	}
	if len(a.bridges) > 0 {
		l.start(ctx, "bridges", stopBridges, a.runBridges)
	}
	if a.trace != nil {
		l.start(ctx, "trace", stopTrace, a.trace.Run)
	}
	l.start(ctx, "engine", stopEngine, a.engine.Run)
	for i, s := range a.modbus.servers {
		l.start(ctx, "modbus server "+a.opts.Config.ModbusServers[i].Name, stopModbusServer, s.Run)
	}
	if len(a.certificates) > 0 {
		l.start(ctx, "certificates", stopStatus, a.watchCertificates)
	}
	l.start(ctx, "status", stopStatus, a.runStatus)
	l.start(ctx, "memory", stopStatus, a.tendMemory)
	l.start(ctx, "control socket", stopHTTP, func(ctx context.Context) error {
		return a.control.server.Serve(ctx, a.control.Listener)
	})
	if a.http != nil {
		l.start(ctx, "http", stopHTTP, func(ctx context.Context) error { return a.api.Serve(ctx, a.http) })
	}
	return nil
}

// runBridges runs all bridges until ctx ends. They stop together: an upstream that does not answer takes seconds to take leave of.
func (a *App) runBridges(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, b := range a.bridges {
		g.Go(func() error { return b.Run(ctx) })
	}
	return g.Wait()
}

func (a *App) notify(state string) {
	if a.opts.Notify != nil {
		a.opts.Notify(state)
	}
}

func addrs(list []net.Addr) []string {
	text := make([]string, len(list))
	for i, a := range list {
		text[i] = a.String()
	}
	return text
}

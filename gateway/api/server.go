package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tidegate/tidegate/gateway"
)

// Snapshots are the functions that give the state of the components. Each may be called from any goroutine at any time.
type Snapshots struct {
	Buffer  func() gateway.BufferStats
	Broker  func() gateway.BrokerStats
	Bridges func() []gateway.BridgeStats
	Buses   func() []gateway.BusStats
	// ModbusServers is nil where there are none.
	ModbusServers func() []gateway.ModbusServerStats
	// Listeners are those with TLS; nil where there are none.
	Listeners func() []gateway.ListenerStats
}

// listeners returns those with TLS, when there are any.
func (s Snapshots) listeners() []gateway.ListenerStats {
	if s.Listeners == nil {
		return nil
	}
	return s.Listeners()
}

// modbusServers returns the servers, when there are any.
func (s Snapshots) modbusServers() []gateway.ModbusServerStats {
	if s.ModbusServers == nil {
		return nil
	}
	return s.ModbusServers()
}

// Options are what the server needs to know.
type Options struct {
	Snapshots Snapshots
	Version   string
	GatewayID string
	// CardEndurance is how many bytes the card takes before it is worn out; 0: not known, and no life of it is projected.
	CardEndurance int64
	Logger        *slog.Logger
}

// Server serves health and metrics.
type Server struct {
	opts    Options
	handler http.Handler
}

// Bounds on a client, which is a supervisor or a scraper.
const (
	headerTimeout = 5 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10
	stopGrace     = 2 * time.Second
)

// New returns a server that serves nothing until Serve is called.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: o}
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCollector(o))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.health)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	s.handler = mux
	return s
}

// Handler returns the routes, for tests.
func (s *Server) Handler() http.Handler { return s.handler }

// Serve answers on l until ctx ends, and closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: headerTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.opts.Logger.Handler(), slog.LevelDebug),
	}
	return serve(ctx, srv, l)
}

// serve runs srv on l until ctx ends.
func serve(ctx context.Context, srv *http.Server, l net.Listener) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		stopped <- errors.Join(srv.Shutdown(grace), srv.Close())
	})
	err := srv.Serve(l)
	if stop() { // Serve ended by itself
		return fmt.Errorf("serve http on %s: %w", l.Addr(), err)
	}
	<-stopped // a client that does not go away in time is cut
	return nil
}

// Health is the body of /healthz. Liveness does not depend on field devices or upstreams: restarting the gateway mends neither.
type Health struct {
	Status    string `json:"status"`
	Version   string `json:"version"`
	Gateway   string `json:"gateway"`
	Upstreams []Link `json:"upstreams"`
	Buses     []Link `json:"buses"`

	Buffer BufferHealth `json:"buffer"`
}

// BufferHealth is the state of the buffer's disk.
type BufferHealth struct {
	Failing  bool   `json:"failing"`   // commits fail: acknowledgements that need the disk are withheld
	SetAside string `json:"set_aside"` // path of a damaged file that was set aside; "" when there is none
}

// Link is the state of one upstream or bus.
type Link struct {
	Name   string `json:"name"`
	Online bool   `json:"online"`
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	h := Health{Status: "ok", Version: s.opts.Version, Gateway: s.opts.GatewayID, Upstreams: []Link{}, Buses: []Link{}}
	for _, b := range s.opts.Snapshots.Bridges() {
		h.Upstreams = append(h.Upstreams, Link{b.Name, b.Connected})
	}
	for _, b := range s.opts.Snapshots.Buses() {
		h.Buses = append(h.Buses, Link{b.Name, b.Open})
	}
	b := s.opts.Snapshots.Buffer()
	h.Buffer = BufferHealth{Failing: b.Failing, SetAside: b.SetAside}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err := json.NewEncoder(w).Encode(h); err != nil {
		s.opts.Logger.Debug("health answer was not taken", "error", err)
	}
}

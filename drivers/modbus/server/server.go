package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// Handler answers the requests of one listener. Many goroutines call it.
type Handler interface {
	// Serve returns the PDU of the answer, function code and data, which may be an exception; nil: no answer is sent, and the connection
	// goes on, as after a broadcast. request is a whole PDU, 1 to 253 bytes, valid until Serve returns. ctx ends when the peer
	// hangs up and when the server stops.
	Serve(ctx context.Context, unit byte, request []byte) []byte
}

// Defaults of [Options].
const (
	DefaultMaxConnections = 32
	DefaultIdleTimeout    = 5 * time.Minute
	DefaultFrameTimeout   = 5 * time.Second
)

// Options describe a server.
type Options struct {
	Name     string // for the log and the counters
	Listener net.Listener
	// Upgrade makes what the peer speaks over of a new connection, such as one with TLS; nil: Modbus TCP without. It ends with ctx and with
	// the connection's deadline. The server closes raw after an error.
	Upgrade func(ctx context.Context, raw net.Conn) (net.Conn, error)
	// Allow lists who may connect; empty: everybody who can reach the listener.
	Allow          []netip.Prefix
	MaxConnections int           // in all; 0: DefaultMaxConnections
	MaxPerAddress  int           // from one IP address; 0: half of MaxConnections, at least 1
	IdleTimeout    time.Duration // ends a connection without requests; 0: DefaultIdleTimeout
	FrameTimeout   time.Duration // bounds the time from the first byte of a request to its last, and the taking of an answer; 0: DefaultFrameTimeout
	Handler        Handler
	Logger         *slog.Logger // nil: nothing is logged
}

// Server serves Modbus TCP on one listener.
type Server struct {
	opts Options
	log  *slog.Logger

	counters counters
	mu       sync.Mutex
	conns    []*conn // that are open, in the order of their arrival
}

// New checks the options. It starts nothing. Run closes the listener; without a Run it is the caller's to close.
func New(o Options) (*Server, error) {
	switch {
	case o.Listener == nil:
		return nil, errors.New("set up Modbus server: listener is missing")
	case o.Handler == nil:
		return nil, errors.New("set up Modbus server: handler is missing")
	case o.MaxConnections < 0 || o.MaxPerAddress < 0 || o.IdleTimeout < 0 || o.FrameTimeout < 0:
		return nil, errors.New("set up Modbus server: a limit is negative")
	}
	o.MaxConnections = cmp.Or(o.MaxConnections, DefaultMaxConnections)
	o.MaxPerAddress = cmp.Or(o.MaxPerAddress, max(1, o.MaxConnections/2))
	o.IdleTimeout = cmp.Or(o.IdleTimeout, DefaultIdleTimeout)
	o.FrameTimeout = cmp.Or(o.FrameTimeout, DefaultFrameTimeout)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{opts: o, log: o.Logger}, nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.opts.Listener.Addr() }

// The pause after an error of accept, such as too many open files: doubled from the first to the longest.
const (
	firstPause   = 10 * time.Millisecond
	longestPause = time.Second
)

// Run serves until ctx ends, and then returns nil; it fails when the listener does. All connections are closed and all goroutines have ended
// when it returns. It is called once.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() {
		<-ctx.Done()
		_ = s.opts.Listener.Close() // it fails only when it is closed already
	})
	pause := firstPause
	for {
		raw, err := s.opts.Listener.Accept()
		switch {
		case err == nil:
			pause = firstPause
			s.admit(ctx, &running, raw)
		case ctx.Err() != nil:
			return nil
		case !passing(err):
			return fmt.Errorf("accept Modbus connections on %s: %w", s.Addr(), err)
		default:
			s.log.Warn("connections are not accepted for a moment", "error", err, "pause", pause)
			rest(ctx, pause)
			pause = min(2*pause, longestPause)
		}
	}
}

// passing reports whether accept may work again soon.
func passing(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EPROTO, syscall.EPERM,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// rest waits, but not beyond ctx.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// admit serves a connection unless it is one too many or may not be there.
func (s *Server) admit(ctx context.Context, running *sync.WaitGroup, raw net.Conn) {
	from := addressOf(raw)
	if !s.allowed(from) {
		s.counters.denied.Add(1)
		s.log.Debug("connection refused: allow does not list its address", "from", from)
		_ = raw.Close() // nothing was said
		return
	}
	c := newConn(s, raw, from)
	if !s.enter(c) {
		s.counters.refused.Add(1)
		s.log.Debug("connection refused: there are too many", "from", from, "most", s.opts.MaxConnections)
		_ = raw.Close() // nothing was said
		return
	}
	s.counters.accepted.Add(1)
	running.Go(func() {
		defer s.leave(c)
		c.serve(ctx)
	})
}

// addressOf returns the peer's IP address; that of a listener of another kind is the zero one.
func addressOf(raw net.Conn) netip.Addr {
	tcp, ok := raw.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

func (s *Server) allowed(from netip.Addr) bool {
	return len(s.opts.Allow) == 0 || slices.ContainsFunc(s.opts.Allow, func(p netip.Prefix) bool { return p.Contains(from) })
}

// enter gives a connection one of the places, in that of another one when its address is at its bound.
func (s *Server) enter(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var same []*conn
	for _, o := range s.conns {
		if o.from == c.from {
			same = append(same, o)
		}
	}
	switch {
	case len(same) >= s.opts.MaxPerAddress:
		s.evict(slices.MinFunc(same, longestSilent))
	case len(s.conns) >= s.opts.MaxConnections:
		return false
	}
	s.conns = append(s.conns, c)
	return true
}

// longestSilent orders connections for being closed in favour of another one: first those that never asked anything, so that a flood of them
// takes the place of its own and not that of a master at work, then the one without a request for the longest time.
func longestSilent(a, b *conn) int {
	return cmp.Or(cmp.Compare(a.silence(), b.silence()), a.since.Compare(b.since))
}

// evict ends a connection. Its goroutine finds it closed.
func (s *Server) evict(c *conn) {
	s.counters.evicted.Add(1)
	s.log.Debug("connection closed in favour of a new one from its address", "from", c.from)
	s.conns = slices.DeleteFunc(s.conns, func(o *conn) bool { return o == c })
	c.close()
}

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = slices.DeleteFunc(s.conns, func(o *conn) bool { return o == c })
}

// serve lets the handler answer, and catches its panics: one request must not take the gateway down.
func (s *Server) serve(ctx context.Context, f frame) (pdu []byte) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("answering a Modbus request panicked", "unit", f.unit, "request", fmt.Sprintf("% x", f.pdu), "panic", p, "stack", string(debug.Stack()))
			pdu = DeviceFailure.Answer(f.pdu[0])
		}
	}()
	return s.opts.Handler.Serve(ctx, f.unit, f.pdu)
}

// Stats returns a snapshot. It may be called at any time.
func (s *Server) Stats() gateway.ModbusServerStats {
	s.mu.Lock()
	open := len(s.conns)
	s.mu.Unlock()
	st := s.counters.snapshot()
	st.Name, st.Address, st.Connections = s.opts.Name, s.Addr().String(), open
	return st
}

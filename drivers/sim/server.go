package sim

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Defaults of [ServerOptions].
const (
	DefaultMaxConnections = 64
	DefaultIdleTimeout    = 5 * time.Minute
)

// ServerOptions say how a [Server] behaves; the zero value is good.
type ServerOptions struct {
	MaxConnections int           // further ones are closed at once; 0: DefaultMaxConnections
	IdleTimeout    time.Duration // closes a connection on which no whole request came, or no answer was taken, for so long; 0: DefaultIdleTimeout
	Log            *slog.Logger  // nil: none
}

// ServerStats counts since the server was made.
type ServerStats struct {
	Connections uint64 // accepted and served
	Refused     uint64 // closed at once because there were too many
	Requests    uint64 // well-formed requests, to whatever unit
	BadHeaders  uint64 // connections closed because what came was not Modbus TCP
}

// Server serves units over Modbus TCP. The requests of one connection are carried out one after another, however many are under way.
// A unit id that it does not have is answered with exception 11, as by a gateway whose device does not respond.
type Server struct {
	listener net.Listener
	units    map[byte]*Unit
	opts     ServerOptions
	log      *slog.Logger

	mu     sync.Mutex
	active int
	stats  ServerStats
}

// NewServer makes a server on a listener, which is closed when Run returns. The units map must not be changed afterwards.
func NewServer(l net.Listener, units map[byte]*Unit, opts ServerOptions) *Server {
	opts.MaxConnections = orDefault(opts.MaxConnections, DefaultMaxConnections)
	if opts.IdleTimeout == 0 {
		opts.IdleTimeout = DefaultIdleTimeout
	}
	log := opts.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Server{listener: l, units: units, opts: opts, log: log}
}

// Addr returns the address that the server listens on, with the port that a listener on port 0 was given.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Stats returns the counters.
func (s *Server) Stats() ServerStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Run serves until the context ends, and then returns nil; it fails when the listener does. All connections are closed
// and all goroutines have ended when it returns.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() {
		<-ctx.Done()
		_ = s.listener.Close() // it fails only if the caller has closed it already
	})

	for {
		conn, err := s.listener.Accept()
		if ctx.Err() != nil && err != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept Modbus TCP connection: %w", err)
		}
		if !s.enter() {
			s.log.Debug("too many connections", "from", conn.RemoteAddr(), "most", s.opts.MaxConnections)
			_ = conn.Close()
			continue
		}
		running.Go(func() {
			defer s.leave()
			s.serve(ctx, conn)
		})
	}
}

// enter takes one of the places for connections, or returns false.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active >= s.opts.MaxConnections {
		s.stats.Refused++
		return false
	}
	s.active++
	s.stats.Connections++
	return true
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
}

// serve answers the requests of one connection until it ends.
func (s *Server) serve(ctx context.Context, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()

	in := bufio.NewReader(conn)
	var buf [maxADU]byte
	for {
		if conn.SetReadDeadline(time.Now().Add(s.opts.IdleTimeout)) != nil {
			return
		}
		req, err := readRequest(in, &buf)
		if err != nil {
			s.refuse(conn, err)
			return
		}
		s.count(&s.stats.Requests)
		err = s.answer(ctx, conn, req)
		if errors.Is(err, errHalfOpen) {
			_, _ = io.Copy(io.Discard, in) // until the master gives up, or the idle timeout
			return
		}
		if err != nil {
			s.log.Debug("Modbus TCP connection ended", "from", conn.RemoteAddr(), "error", err)
			return
		}
	}
}

// refuse tells why a connection ends on which no further request came.
func (s *Server) refuse(conn net.Conn, err error) {
	if errors.Is(err, errBadHeader) {
		s.count(&s.stats.BadHeaders)
	}
	s.log.Debug("Modbus TCP connection ended", "from", conn.RemoteAddr(), "error", err)
}

var (
	errReset    = errors.New("reset on request")
	errHalfOpen = errors.New("half open on request")
)

// answer carries out one request; an error ends the connection.
func (s *Server) answer(ctx context.Context, conn net.Conn, req request) error {
	x := exchange{pdu: GatewayTargetFailed.pdu(req.pdu[0])}
	if u, ok := s.units[req.unit]; ok {
		x = u.handle(req.pdu)
	}
	if x.fault.kind == reset {
		abort(conn)
		return errReset
	}
	if x.fault.kind == halfOpen {
		return errHalfOpen
	}
	for _, p := range x.tcpPieces(req.transaction, req.unit) {
		if err := pause(ctx, p.pause); err != nil {
			return err
		}
		if err := conn.SetWriteDeadline(time.Now().Add(s.opts.IdleTimeout)); err != nil {
			return err
		}
		if _, err := conn.Write(p.data); err != nil {
			return err
		}
	}
	return nil
}

// abort makes the close of a connection a reset instead of an orderly end.
func abort(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it fails only on a connection that is closed already
	}
}

// pause waits, but not longer than the context.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (s *Server) count(counter *uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*counter++
}

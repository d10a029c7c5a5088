package sim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hangs is how long a test waits for what must come before it calls it hung.
const hangs = 20 * time.Second

// serve starts a server with the fault unit as unit 7 and returns it and the unit.
func serve(t *testing.T, opts ServerOptions) (*Server, *Unit) {
	t.Helper()
	u := faultUnit(t)
	return serveUnit(t, u, opts), u
}

// serveUnit starts a server with a unit as unit 7.
func serveUnit(t *testing.T, u *Unit, opts ServerOptions) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(listener, map[byte]*Unit{7: u}, opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	return s
}

func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(hangs)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func send(t *testing.T, conn net.Conn, request string) {
	t.Helper()
	if _, err := conn.Write(unhex(t, request)); err != nil {
		t.Fatal(err)
	}
}

// expect reads as many bytes as are wanted and compares them.
func expect(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(unhex(t, want)))
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatalf("read answer: %v", err)
	}
	if !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("answer = % X, want %s", got, want)
	}
}

// expectEnd waits for the server to close the connection.
func expectEnd(t *testing.T, conn net.Conn) {
	t.Helper()
	if got, err := io.ReadAll(conn); len(got) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got % X, %v; want the connection closed", got, err)
	}
}

const (
	askTwo   = "0001 0000 0006 07 03 0000 0002"
	replyTwo = "0001 0000 0007 07 03 04 0102 0304"
)

func TestServerAnswers(t *testing.T) {
	tests := []struct{ name, request, want string }{
		{"read", askTwo, replyTwo},
		{"exception", "ABCD 0000 0006 07 03 0004 0001", "ABCD 0000 0003 07 83 02"},
		{"unknown function without data", "0000 0000 0002 07 63", "0000 0000 0003 07 E3 01"},
		{"unit that is not there", "0002 0000 0006 09 03 0000 0001", "0002 0000 0003 09 83 0B"},
		{"longest request", "0003 0000 00FE 07 10" + strings.Repeat("00", 252), "0003 0000 0003 07 90 03"},
		{
			"pipelined",
			"0001 0000 0006 07 03 0000 0001 0002 0000 0006 07 06 0000 0009 0003 0000 0006 07 03 0000 0001",
			"0001 0000 0005 07 03 02 0102 0002 0000 0006 07 06 0000 0009 0003 0000 0005 07 03 02 0009",
		},
	}
	s, _ := serve(t, ServerOptions{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := dial(t, s)
			send(t, conn, tt.request)
			expect(t, conn, tt.want)
		})
	}
}

func TestServerTakesARequestInPieces(t *testing.T) {
	s, _ := serve(t, ServerOptions{})
	conn := dial(t, s)
	for _, b := range unhex(t, askTwo) {
		if _, err := conn.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, conn, replyTwo)
}

func TestServerIsStrictAboutHeaders(t *testing.T) {
	tests := []struct{ name, request string }{
		{"protocol id", "0001 0001 0006 07 03 0000 0002"},
		{"length without function code", "0001 0000 0001 07 03"},
		{"length 0", "0001 0000 0000 07"},
		{"length above 254", "0001 0000 00FF 07 03 0000 0002"},
		{"RTU framing", "07 03 0001 0002 95AD"},
		{"HTTP", "474554202F20485454502F312E310D0A"},
	}
	s, u := serve(t, ServerOptions{})
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := dial(t, s)
			send(t, conn, tt.request)
			expectEnd(t, conn)
			if got := s.Stats().BadHeaders; got != uint64(i+1) {
				t.Errorf("%d bad headers counted, want %d", got, i+1)
			}
		})
	}
	if got := u.Stats().Requests; got != 0 {
		t.Errorf("%d requests reached the unit", got)
	}
}

func TestServerFaults(t *testing.T) {
	s, u := serve(t, ServerOptions{})
	conn := dial(t, s)
	u.Inject(NoAnswer(), 1)
	u.Inject(Late(time.Millisecond), 1)
	u.Inject(Split(4, time.Millisecond), 1)
	u.Inject(StaleFirst(1), 1)
	u.Inject(WrongUnit(0), 1)
	for range 5 {
		send(t, conn, askTwo)
	}
	const stale, zero = "0000 0000 0007 07 03 04 0102 0304", "0001 0000 0007 00 03 04 0102 0304"
	expect(t, conn, replyTwo+replyTwo+stale+replyTwo+zero)
	if got, want := u.Stats(), (UnitStats{Requests: 5, Faults: 5}); got != want {
		t.Errorf("stats = %+v, want %+v", got, want)
	}
}

func TestServerReset(t *testing.T) {
	s, u := serve(t, ServerOptions{})
	u.Inject(Reset(), 1)
	conn := dial(t, s)
	send(t, conn, askTwo)
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read = %v, want ECONNRESET", err)
	}
	conn = dial(t, s)
	send(t, conn, askTwo)
	expect(t, conn, replyTwo)
}

// A half open connection neither answers nor ends, whatever is asked on it; a new one works.
func TestServerHalfOpen(t *testing.T) {
	s, u := serve(t, ServerOptions{})
	u.Inject(HalfOpen(), 1)
	dead, conn := dial(t, s), dial(t, s)
	send(t, dead, askTwo)
	send(t, dead, askTwo)
	for u.Stats().Faults == 0 {
		runtime.Gosched()
	}
	send(t, conn, askTwo)
	expect(t, conn, replyTwo)
	if err := dead.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := dead.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read = %d, %v, want nothing and no end", n, err)
	}
	if n := u.Stats().Requests; n != 2 {
		t.Errorf("%d requests reached the unit, want 2", n)
	}
}

func TestServerBoundsConnections(t *testing.T) {
	s, _ := serve(t, ServerOptions{MaxConnections: 1})
	first := dial(t, s)
	send(t, first, askTwo)
	expect(t, first, replyTwo) // it has its place now
	expectEnd(t, dial(t, s))
	send(t, first, askTwo)
	expect(t, first, replyTwo)
	if got := s.Stats(); got.Connections != 1 || got.Refused != 1 || got.Requests != 2 {
		t.Errorf("stats = %+v", got)
	}
}

func TestServerPlaceIsFreeAgain(t *testing.T) {
	s, _ := serve(t, ServerOptions{MaxConnections: 1})
	for range 3 {
		conn := dial(t, s)
		send(t, conn, "0001 0001") // refused once the header is whole
		send(t, conn, "0006 07")
		expectEnd(t, conn)
		waitFor(t, "a free place", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.active == 0
		})
	}
}

// waitFor looks again and again, a moment apart, until what it waits for is so.
func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	timeout := time.After(hangs)
	for !is() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestServerClosesIdleConnections(t *testing.T) {
	s, _ := serve(t, ServerOptions{IdleTimeout: 20 * time.Millisecond})
	expectEnd(t, dial(t, s))
	half := dial(t, s)
	send(t, half, "0001 0000 00")
	expectEnd(t, half)
}

// TestServerRunEnds leaves one connection idle and one in a long wait.
func TestServerRunEnds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := faultUnit(t)
	u.Inject(Late(time.Hour), 1)
	s := NewServer(listener, map[byte]*Unit{7: u}, ServerOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	idle, waiting := dial(t, s), dial(t, s)
	send(t, waiting, askTwo)
	waitFor(t, "the request", func() bool { return u.Stats().Requests == 1 })
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Run = %v", err)
		}
	case <-time.After(hangs):
		t.Fatal("Run did not end")
	}
	expectEnd(t, idle)
	expectEnd(t, waiting)
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("the listener is still open")
	}
}

func TestServerRunFailsWithTheListener(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := NewServer(listener, nil, ServerOptions{}).Run(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run = %v, want net.ErrClosed", err)
	}
}

// FuzzReadRequest holds that whatever is accepted is a request that a header describes exactly.
func FuzzReadRequest(f *testing.F) {
	f.Add(unhex(f, askTwo))
	f.Add(unhex(f, "0001 0001 0006 07 03 0000 0002"))
	f.Add(unhex(f, "0001 0000 00FE 07 03 0000 0002"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		in := bytes.NewReader(stream)
		var buf [maxADU]byte
		var again []byte
		for {
			req, err := readRequest(in, &buf)
			if err != nil {
				break
			}
			if len(req.pdu) < 1 || len(req.pdu) > maxPDU {
				t.Fatalf("a PDU of %d bytes", len(req.pdu))
			}
			again = appendADU(again, req.transaction, req.unit, req.pdu)
		}
		if !bytes.HasPrefix(stream, again) {
			t.Errorf("read % X from % X", again, stream)
		}
	})
}

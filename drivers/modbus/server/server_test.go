package server_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/modbus/server"
	"github.com/tidegate/tidegate/gateway"
)

// patience bounds what a test waits for that comes at once.
const patience = 20 * time.Second

// handlerFunc answers requests with a function.
type handlerFunc func(ctx context.Context, unit byte, request []byte) []byte

func (f handlerFunc) Serve(ctx context.Context, unit byte, request []byte) []byte {
	return f(ctx, unit, request)
}

// echo answers with the request.
func echo(_ context.Context, _ byte, request []byte) []byte { return slices.Clone(request) }

// start runs a server on loopback until the test ends.
func start(t testing.TB, o server.Options) *server.Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Listener = l
	if o.Handler == nil {
		o.Handler = handlerFunc(echo)
	}
	s, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(patience):
			t.Error("the server does not stop")
		}
	})
	return s
}

// dial connects to the server until the test ends.
func dial(t testing.TB, s *server.Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// adu puts a header before a PDU.
func adu(transaction uint16, unit byte, pdu ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, transaction)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(1+len(pdu)))
	return append(append(b, unit), pdu...)
}

// send writes bytes to a connection.
func send(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

// expect reads exactly these bytes.
func expect(t *testing.T, c net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got % x, %v, want % x", got, err, want)
	}
}

// expectEnd waits until the server has closed the connection.
func expectEnd(t *testing.T, c net.Conn) {
	t.Helper()
	n, err := io.Copy(io.Discard, c)
	var timeout net.Error
	if n > 0 || errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("connection goes on: %d bytes, %v", n, err)
	}
}

// eventually waits until the server's counters satisfy a condition.
func eventually(t *testing.T, s *server.Server, what string, ok func(gateway.ModbusServerStats) bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(s.Stats()); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("never came: %s; %+v", what, s.Stats())
		}
	}
}

func TestAnswersCarryTransactionAndUnit(t *testing.T) {
	s := start(t, server.Options{Name: "plc"})
	c := dial(t, s)
	send(t, c, adu(0x1234, 17, 3, 0, 0, 0, 1))
	expect(t, c, adu(0x1234, 17, 3, 0, 0, 0, 1))
	if st := s.Stats(); st.Name != "plc" || st.Connections != 1 || st.Accepted != 1 || st.Requests != 1 || st.Exceptions != 0 {
		t.Errorf("%+v", st)
	}
}

func TestRequestsThatComeInOnePieceAreAnsweredInOrder(t *testing.T) {
	s := start(t, server.Options{})
	c := dial(t, s)
	const n = 5000
	sent := make(chan error, 1)
	go func() {
		var all []byte
		for i := range n {
			all = append(all, adu(uint16(i), 1, 3, byte(i>>8), byte(i))...)
		}
		_, err := c.Write(all)
		sent <- err
	}()
	for i := range n {
		expect(t, c, adu(uint16(i), 1, 3, byte(i>>8), byte(i)))
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestWhoeverIsNotAllowedHearsNothing(t *testing.T) {
	s := start(t, server.Options{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.2/32")}})
	c := dial(t, s)
	expectEnd(t, c)
	eventually(t, s, "denied", func(st gateway.ModbusServerStats) bool { return st.Denied == 1 && st.Accepted == 0 })

	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	d, err := from.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Skipf("no second loopback address: %v", err)
	}
	defer d.Close()
	send(t, d, adu(1, 1, 3))
	expect(t, d, adu(1, 1, 3))
}

// oneConn is a listener with a single connection.
type oneConn struct {
	conn   net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}
func (l *oneConn) Close() error   { close(l.closed); return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

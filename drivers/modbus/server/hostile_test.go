package server_test

import (
	"bytes"
	"context"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/modbus/server"
	"github.com/tidegate/tidegate/gateway"
)

// What is no Modbus TCP ends the connection without an answer, and nobody else's.
func TestGarbageEndsTheConnection(t *testing.T) {
	for name, b := range map[string][]byte{
		"HTTP":              []byte("GET / HTTP/1.1\r\nHost: gateway\r\n\r\n"),
		"RTU":               {1, 3, 0, 10, 0, 2, 0xE4, 0x09},
		"protocol id":       {0, 1, 0, 1, 0, 6, 1, 3, 0, 0, 0, 1},
		"giant length":      {0, 1, 0, 0, 0xFF, 0xFF, 1, 3, 0, 0, 0, 1},
		"one byte too long": append([]byte{0, 1, 0, 0, 0, 255, 1}, make([]byte, 254)...),
		"no length":         {0, 1, 0, 0, 0, 0, 1, 3},
		"no function":       {0, 1, 0, 0, 0, 1, 1, 3},
		"TLS":               {0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, server.Options{})
			good := dial(t, s)
			send(t, good, adu(1, 1, 3))
			expect(t, good, adu(1, 1, 3))
			bad := dial(t, s)
			send(t, bad, b)
			expectEnd(t, bad)
			send(t, good, adu(2, 1, 4))
			expect(t, good, adu(2, 1, 4))
			if st := s.Stats(); st.Malformed != 1 || st.Requests != 2 {
				t.Errorf("%+v", st)
			}
		})
	}
}

func TestLongestRequestAndAnswer(t *testing.T) {
	s := start(t, server.Options{})
	c := dial(t, s)
	pdu := bytes.Repeat([]byte{0x55}, 253)
	send(t, c, adu(7, 9, pdu...))
	expect(t, c, adu(7, 9, pdu...))
}

// A request that does not become complete ends its connection, byte by byte as well; a silent connection ends later.
func TestSlowAndSilentPeers(t *testing.T) {
	s := start(t, server.Options{IdleTimeout: 300 * time.Millisecond, FrameTimeout: 50 * time.Millisecond})
	silent := dial(t, s)
	half := dial(t, s)
	send(t, half, adu(1, 1, 3, 0, 0)[:9])
	slow := dial(t, s)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for _, b := range adu(1, 1, make([]byte, 200)...) {
			if _, err := slow.Write([]byte{b}); err != nil {
				return
			}
			<-tick.C
		}
	}()
	for _, c := range []net.Conn{half, slow, silent} {
		expectEnd(t, c)
	}
	eventually(t, s, "three timeouts", func(st gateway.ModbusServerStats) bool {
		return st.Timeouts == 3 && st.Connections == 0 && st.Requests == 0
	})
}

// A request that takes longer than a silent connection may last is answered.
func TestARequestIsNoSilence(t *testing.T) {
	s := start(t, server.Options{IdleTimeout: 10 * time.Millisecond, Handler: handlerFunc(func(ctx context.Context, _ byte, request []byte) []byte {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
		return slices.Clone(request)
	})})
	c := dial(t, s)
	send(t, c, adu(1, 1, 3))
	expect(t, c, adu(1, 1, 3))
	expectEnd(t, c)
}

// A request whose peer hangs up is given up.
func TestHangingUpEndsTheRequest(t *testing.T) {
	asked, ended := make(chan struct{}), make(chan struct{})
	s := start(t, server.Options{Handler: handlerFunc(func(ctx context.Context, _ byte, _ []byte) []byte {
		close(asked)
		<-ctx.Done()
		close(ended)
		return nil
	})})
	c := dial(t, s)
	send(t, c, adu(1, 1, 3))
	<-asked
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the request goes on")
	}
}

// A peer that takes no answer is cut off.
func TestAPeerThatTakesNoAnswers(t *testing.T) {
	ours, theirs := net.Pipe() // without any buffer
	defer ours.Close()
	s, err := server.New(server.Options{
		Listener: &oneConn{conn: theirs, closed: make(chan struct{})}, Handler: handlerFunc(echo), FrameTimeout: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	send(t, ours, adu(1, 1, 3))
	eventually(t, s, "the end of the connection", func(st gateway.ModbusServerStats) bool { return st.Accepted == 1 && st.Connections == 0 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Stopping does not wait for peers, whatever they do.
func TestStopWithPeers(t *testing.T) {
	asked := make(chan struct{})
	s := start(t, server.Options{Handler: handlerFunc(func(ctx context.Context, _ byte, _ []byte) []byte {
		close(asked)
		<-ctx.Done()
		return nil
	})}) // which stops it at the end, and fails when that takes long
	dial(t, s)
	half := dial(t, s)
	send(t, half, adu(1, 1, 3)[:5])
	waits := dial(t, s)
	send(t, waits, adu(1, 1, 3))
	<-asked
}

// An address at its bound gives up its longest silent connection, first of all one that never asked anything.
func TestOneMoreConnectionFromAnAddress(t *testing.T) {
	s := start(t, server.Options{MaxConnections: 10, MaxPerAddress: 3})
	ask := func(c net.Conn) {
		t.Helper()
		send(t, c, adu(1, 1, 3))
		expect(t, c, adu(1, 1, 3))
	}
	first, second := dial(t, s), dial(t, s)
	ask(first)
	ask(second)
	mute := dial(t, s)
	eventually(t, s, "three connections", func(st gateway.ModbusServerStats) bool { return st.Connections == 3 })
	ask(first)

	third := dial(t, s)
	expectEnd(t, mute)
	ask(third)
	fourth := dial(t, s)
	expectEnd(t, second)
	for _, c := range []net.Conn{first, third, fourth} {
		ask(c)
	}
	if st := s.Stats(); st.Evicted != 2 || st.Refused != 0 || st.Connections != 3 {
		t.Errorf("%+v", st)
	}
}

// A flood of connections takes no goroutines and no places from a master at work.
func TestFloodOfConnections(t *testing.T) {
	s := start(t, server.Options{MaxConnections: 8, MaxPerAddress: 4})
	master := dial(t, s)
	send(t, master, adu(1, 1, 3))
	expect(t, master, adu(1, 1, 3))
	before := runtime.NumGoroutine()
	for range 500 {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	eventually(t, s, "all of the flood", func(st gateway.ModbusServerStats) bool { return st.Accepted == 501 })
	send(t, master, adu(2, 1, 3))
	expect(t, master, adu(2, 1, 3))
	eventually(t, s, "the places of the flood", func(st gateway.ModbusServerStats) bool { return st.Connections == 4 })
	if n := runtime.NumGoroutine() - before; n > 100 {
		t.Errorf("%d goroutines more", n)
	}
}

// At the bound for all, who comes from elsewhere is refused.
func TestTooManyConnections(t *testing.T) {
	s := start(t, server.Options{MaxConnections: 2, MaxPerAddress: 2})
	a, b := dial(t, s), dial(t, s)
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	c, err := from.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Skipf("no second loopback address: %v", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	expectEnd(t, c)
	for _, o := range []net.Conn{a, b} {
		send(t, o, adu(1, 1, 3))
		expect(t, o, adu(1, 1, 3))
	}
	if st := s.Stats(); st.Refused != 1 || st.Evicted != 0 {
		t.Errorf("%+v", st)
	}
}

// A panic is answered with exception 4, and the connection goes on.
func TestPanicIsAnException(t *testing.T) {
	s := start(t, server.Options{Handler: handlerFunc(func(_ context.Context, _ byte, request []byte) []byte {
		if request[0] == 3 {
			panic("no such point")
		}
		return slices.Clone(request)
	})})
	c := dial(t, s)
	send(t, c, adu(1, 1, 3, 0, 0))
	expect(t, c, adu(1, 1, 0x83, 4))
	send(t, c, adu(2, 1, 4))
	expect(t, c, adu(2, 1, 4))
	if st := s.Stats(); st.Exceptions != 1 {
		t.Errorf("%+v", st)
	}
}

// Without an answer, as after a broadcast, the next request is answered.
func TestNoAnswer(t *testing.T) {
	s := start(t, server.Options{Handler: handlerFunc(func(_ context.Context, unit byte, request []byte) []byte {
		if unit == 0 {
			return nil
		}
		return slices.Clone(request)
	})})
	c := dial(t, s)
	send(t, c, append(adu(1, 0, 6, 0, 0), adu(2, 1, 3)...))
	expect(t, c, adu(2, 1, 3))
}

// Bytes that come in pieces make the same requests.
func TestRequestsInPieces(t *testing.T) {
	s := start(t, server.Options{})
	c := dial(t, s)
	all := append(adu(1, 1, 3, 0, 0, 0, 1), adu(2, 1, 4)...)
	for _, b := range all {
		send(t, c, []byte{b})
	}
	expect(t, c, all)
}

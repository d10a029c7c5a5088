package app_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hurried has little patience with clients that do not log in.
const hurried = `
[broker]
connect_timeout = "300ms"
` + allKinds

// drip sends a text byte by byte, for as long as the other side takes it, and then waits for the end of the connection.
func (s *site) drip(addr, text string) {
	s.t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := range len(text) {
		<-tick.C
		if _, err := io.WriteString(c, text[i:i+1]); err != nil {
			return
		}
	}
	s.cutOff(c)
}

// dialTLS does the handshake of TLS at a listener.
func (s *site) dialTLS(i int) net.Conn {
	s.t.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", s.addr(i), &tls.Config{RootCAs: s.pool(), ServerName: "localhost"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// cutOff waits until the gateway has ended the connection.
func (s *site) cutOff(c net.Conn) {
	s.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
		s.t.Fatal("the connection is still open")
	}
}

// TestSlowHandshakesEnd keeps each kind of listener busy with handshakes that never come to their end. The connect timeout counts from
// accept to CONNACK: what comes in small pieces does not prolong it.
func TestSlowHandshakesEnd(t *testing.T) {
	s := startSite(t, hurried)
	const mqtts, ws, wss = 1, 2, 3
	slow := "GET /mqtt HTTP/1.1\r\nHost: gateway\r\nX-Slow: " + strings.Repeat("x", 1000)
	for name, tt := range map[string]struct {
		listener  int
		text, log string
	}{
		"silence to mqtts":   {mqtts, "", "tls handshake: the client did not finish it within the connect timeout"},
		"half a ClientHello": {mqtts, "\x16\x03\x01\x04\x00\x01\x00\x03\xfc\x03\x03" + strings.Repeat("\x00", 500), "tls handshake: the client did not finish it"},
		"silence to ws":      {ws, "", "nothing came within the connect timeout"},
		"headers to ws":      {ws, slow, "the HTTP request did not come to its end within the connect timeout"},
		"silence to wss":     {wss, "", "tls handshake: the client did not finish it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.drip(s.addr(tt.listener), tt.text)
			s.logged("connection refused", tt.log)
		})
	}
	t.Run("headers to wss", func(t *testing.T) {
		t.Parallel()
		c := s.dialTLS(wss)
		_, _ = io.WriteString(c, slow)
		s.cutOff(c)
	})
	t.Run("a WebSocket without CONNECT", func(t *testing.T) {
		t.Parallel()
		s.dialWS("ws", ws).ends()
		s.logged("no CONNECT within the connect timeout")
	})
}

// TestLimitsComeBeforeHandshakes fills the places of one address with connections that have not logged in: the next is turned away before
// it costs a handshake, and places come back.
func TestLimitsComeBeforeHandshakes(t *testing.T) {
	s := startSite(t, "\n[broker]\nmax_connections = 4\n"+allKinds)
	const perAddress = 2 // half of all
	held := s.dialTLS(1)
	web := s.dialWS("ws", 2) // listeners count together
	for _, scheme := range []string{"mqtts", "ws", "wss"} {
		i := map[string]int{"mqtts": 1, "ws": 2, "wss": 3}[scheme]
		s.say(s.addr(i), "")
		s.logged("connection refused", "listener="+scheme+"://"+s.addr(i), "connections from this address already")
	}
	held.Close()
	_ = web.c.CloseNow()
	s.eventually("their places", func() bool { return strings.Count(s.log.String(), "closed before CONNECT") >= perAddress })
	peer := s.dialWS("wss", 3)
	peer.frame(connectBytes("c", 60))
	peer.expect([]byte{0x20, 2, 0, 0})
}

// TestGiantHandshakesStaySmall sends far more than a handshake may have: it is refused when the bound is passed, and what it has sent is
// not kept.
func TestGiantHandshakesStaySmall(t *testing.T) {
	s := startSite(t, allKinds)
	const conns, size = 50, 1 << 20
	giant := []byte("GET /mqtt HTTP/1.1\r\nHost: gateway\r\nCookie: " + strings.Repeat("x", size))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range conns {
		c, err := net.Dial("tcp", s.addr(2))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(giant)
		s.cutOff(c)
		c.Close()
	}
	s.logged("connection refused", "more than 16 KiB of headers")
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > conns*size/2 {
		t.Errorf("%d requests of %d bytes took %d bytes of memory", conns, size, got)
	}
}

// TestClientThatReadsNothing stops reading in the middle of its WebSocket: publishers go on, and the gateway stops in time.
func TestClientThatReadsNothing(t *testing.T) {
	s := startSite(t, allKinds)
	for i, scheme := range []string{"ws", "wss"} {
		stuck := s.dialWS(scheme, 2+i)
		stuck.frame(append(connectBytes("stuck-"+scheme, 0), subscribeBytes("flood", 1)...))
		stuck.expect([]byte{0x20, 2, 0, 0, 0x90, 3, 0, 1, 0})
	}
	p := s.dialWS("ws", 2)
	p.frame(connectBytes("p", 60))
	p.expect([]byte{0x20, 2, 0, 0})
	payload := make([]byte, 200<<10)
	for range 100 { // 20 MB, more than sockets hold
		p.frame(publishBytes("flood", payload))
	}
	p.frame([]byte{0xc0, 0}) // PINGREQ
	p.expect([]byte{0xd0, 0})
}

// TestReconnectStormLeavesNothing connects and leaves in all ways at once: afterwards there are no more goroutines than before.
func TestReconnectStormLeavesNothing(t *testing.T) {
	s := startSite(t, allKinds)
	for range 30 {
		for i := range 4 {
			c, err := net.Dial("tcp", s.addr(i))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(c, "GET / HT")
			c.Close()
		}
		p := s.dialWS("wss", 3)
		p.frame(connectBytes("same", 60))
		_ = p.c.CloseNow()
	}
	s.eventually("the end of what attends connections", func() bool { return !attends() })
}

// attends reports whether a goroutine is there for a connection. Their number alone tells nothing while the gateway itself still starts some.
func attends() bool {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for _, frame := range []string{"localbroker.(*conn).", "localbroker.(*Broker).admit", "net/http.(*conn)."} {
		if bytes.Contains(stacks, []byte(frame)) {
			return true
		}
	}
	return false
}

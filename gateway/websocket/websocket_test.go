package websocket_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"

	"github.com/tidegate/tidegate/gateway/websocket"
)

// patience bounds every wait of these tests, to find a hang.
const patience = 20 * time.Second

// serve starts an HTTP server on loopback.
func serve(t *testing.T, h http.HandlerFunc) *url.URL {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Scheme, u.Path = "ws", "/mqtt"
	return u
}

// accepting serves WebSockets and hands them to the test.
func accepting(t *testing.T, o websocket.AcceptOptions) (*url.URL, <-chan net.Conn) {
	t.Helper()
	conns := make(chan net.Conn, 1)
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, o)
		if err != nil {
			return
		}
		conns <- c
	}), conns
}

func dial(t *testing.T, u *url.URL, header http.Header) (net.Conn, error) {
	t.Helper()
	raw, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel() // before the connection is used: it bounds the handshake only
	return websocket.Client(ctx, raw, u, header)
}

// pair returns both ends of a WebSocket.
func pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	u, conns := accepting(t, websocket.AcceptOptions{})
	client, err := dial(t, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	server = <-conns
	for _, c := range []net.Conn{client, server} {
		t.Cleanup(func() { cut(c) })
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	return client, server
}

// cut closes the connection beneath, without the goodbye that a peer of a test would not answer.
func cut(c net.Conn) { c.(interface{ NetConn() net.Conn }).NetConn().Close() }

// TestStream writes in pieces that fit no boundary, reads in others, and sends far more than the library's own limit at once.
func TestStream(t *testing.T) {
	client, server := pair(t)
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<14) // 256 KiB
	for name, way := range map[string][2]net.Conn{"to the server": {client, server}, "to the client": {server, client}} {
		t.Run(name, func(t *testing.T) {
			sent := make(chan error, 1)
			go func() {
				for _, piece := range [][]byte{want[:1], want[1:3], {}, want[3:1000], want[1000:]} {
					if _, err := way[0].Write(piece); err != nil {
						sent <- err
						return
					}
				}
				sent <- nil
			}()
			got := make([]byte, len(want))
			if _, err := io.ReadFull(way[1], got[:7]); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(way[1], got[7:]); err != nil {
				t.Fatal(err)
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Error("what came is not what was sent")
			}
		})
	}
}

func TestAddressesAreThoseBeneath(t *testing.T) {
	client, server := pair(t)
	if client.LocalAddr().String() != server.RemoteAddr().String() || client.RemoteAddr().String() != server.LocalAddr().String() {
		t.Errorf("client %v to %v, server %v to %v", client.LocalAddr(), client.RemoteAddr(), server.LocalAddr(), server.RemoteAddr())
	}
	beneath, ok := client.(interface{ NetConn() net.Conn })
	if !ok || beneath.NetConn().LocalAddr() != client.LocalAddr() {
		t.Error("the connection beneath cannot be reached")
	}
}

func TestDeadline(t *testing.T) {
	client, _ := pair(t)
	if err := client.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, err := client.Read(make([]byte, 1))
	var n net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &n) || !n.Timeout() {
		t.Errorf("got %v, want a timeout as of the net package", err)
	}
}

func TestWriteDeadline(t *testing.T) {
	client, _ := pair(t) // and the server does not read
	if err := client.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write(make([]byte, 64<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a timeout", err)
	}
}

func TestCloseIsEOFAtThePeer(t *testing.T) {
	client, server := pair(t)
	read := make(chan error, 1)
	go func() {
		_, err := server.Read(make([]byte, 1))
		read <- err
	}()
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if err := <-read; !errors.Is(err, io.EOF) {
		t.Errorf("the peer reads %v, want io.EOF", err)
	}
	if err := client.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the second Close returns %v", err)
	}
	if _, err := client.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a Write after Close returns %v", err)
	}
	if err := client.SetReadDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a deadline after Close returns %v", err)
	}
}

// TestCloseEndsReadOfASilentPeer has a peer that never answers the close frame.
func TestCloseEndsReadOfASilentPeer(t *testing.T) {
	client, _ := pair(t)
	read := make(chan error, 1)
	go func() {
		_, err := client.Read(make([]byte, 1))
		read <- err
	}()
	closed := make(chan error, 1)
	go func() { closed <- client.Close() }()
	for range 2 {
		select {
		case err := <-read:
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("Read returns %v", err)
			}
		case err := <-closed:
			if err != nil {
				t.Errorf("Close returns %v", err)
			}
		case <-time.After(patience):
			t.Fatal("Close or Read hangs")
		}
	}
}

func TestMQTT_6_0_0_1_TextIsRefused(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := coder.Accept(w, r, &coder.AcceptOptions{Subprotocols: []string{"mqtt"}})
		if err != nil {
			return
		}
		_ = c.Write(r.Context(), coder.MessageText, []byte("hello"))
		_, _, err = c.Read(r.Context())
		if coder.CloseStatus(err) != coder.StatusUnsupportedData {
			t.Errorf("the connection was closed with %v", err)
		}
	})
	c, err := dial(t, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 10)); err == nil || !strings.Contains(err.Error(), "text message") {
		t.Errorf("got %v", err)
	}
}

func TestRefusals(t *testing.T) {
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://elsewhere.invalid/")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, tt := range map[string]struct {
		h    http.HandlerFunc
		want string
	}{
		"no such path":   {http.NotFound, "404 Not Found: 404 page not found; the path is probably another one"},
		"forbidden":      {answer(http.StatusForbidden, "<html>long page"), "403 Forbidden; it asks for other credentials"},
		"moved":          {answer(http.StatusMovedPermanently, ""), "301 Moved Permanently; it sends the client elsewhere"},
		"out of order":   {answer(http.StatusBadGateway, ""), "502 Bad Gateway; the server behind it is out of order"},
		"a web server":   {answer(http.StatusOK, "hello"), "200 OK: hello; it is a web server, but no WebSocket"},
		"not for MQTT":   {func(w http.ResponseWriter, r *http.Request) { _, _ = coder.Accept(w, r, nil) }, `did not choose the sub-protocol "mqtt"`},
		"connection cut": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dial(t, serve(t, tt.h), nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "open websocket ws://127.0.0.1") {
				t.Errorf("got %v, want it to say %q", err, tt.want)
			}
		})
	}
}

func TestHandshakeEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // it accepts, and never answers
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = websocket.Client(ctx, raw, &url.URL{Scheme: "ws", Host: l.Addr().String(), Path: "/mqtt"}, nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if _, err := raw.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection beneath is still open: %v", err)
	}
}

func TestOrigins(t *testing.T) {
	for name, tt := range map[string]struct {
		origins []string
		origin  string
		want    bool
	}{
		"no page":              {nil, "", true},
		"a foreign page":       {nil, "https://evil.example", false},
		"a page that is named": {[]string{"*.example.com"}, "https://panel.example.com", true},
		"another than named":   {[]string{"*.example.com"}, "https://example.org", false},
		"any page":             {[]string{"*"}, "https://evil.example", true},
	} {
		t.Run(name, func(t *testing.T) {
			u, _ := accepting(t, websocket.AcceptOptions{Origins: tt.origins})
			header := http.Header{}
			if tt.origin != "" {
				header.Set("Origin", tt.origin)
			}
			c, err := dial(t, u, header)
			if err == nil {
				cut(c)
			}
			if (err == nil) != tt.want {
				t.Errorf("got %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), "403") {
				t.Errorf("got %v, want status 403", err)
			}
		})
	}
}

// TestSubprotocols has what older clients offer, too.
func TestSubprotocols(t *testing.T) {
	for name, tt := range map[string]struct {
		asked []string
		want  string
		ok    bool
	}{
		"mqtt [MQTT-6.0.0-3] [MQTT-6.0.0-4]": {[]string{"mqtt"}, "mqtt", true},
		"mqtt 3.1":                           {[]string{"mqttv3.1"}, "mqttv3.1", true},
		"one of several":                     {[]string{"chat", "mqtt"}, "mqtt", true},
		"none":                               {nil, "", true},
		"another":                            {[]string{"chat"}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			u, conns := accepting(t, websocket.AcceptOptions{})
			c, answer, err := coder.Dial(t.Context(), u.String(), &coder.DialOptions{Subprotocols: tt.asked})
			if (err == nil) != tt.ok {
				t.Fatalf("got %v", err)
			}
			if err != nil {
				if answer.StatusCode != http.StatusBadRequest {
					t.Errorf("status %v", answer.Status)
				}
				return
			}
			defer (<-conns).Close()
			defer c.CloseNow()
			if c.Subprotocol() != tt.want {
				t.Errorf("the sub-protocol is %q", c.Subprotocol())
			}
		})
	}
}

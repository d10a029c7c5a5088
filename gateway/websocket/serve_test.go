package websocket_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	coder "github.com/coder/websocket"

	"github.com/tidegate/tidegate/gateway/websocket"
)

// served is what became of a connection.
type served struct {
	conn net.Conn
	err  error
}

// serveOnce accepts one connection with Serve, and returns the address.
func serveOnce(t *testing.T, o websocket.ServeOptions) (addr string, result <-chan served) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	done := make(chan served, 1)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			return // the test has ended
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = raw.SetDeadline(time.Now().Add(patience))
		c, err := websocket.Serve(ctx, raw, o)
		if err != nil {
			raw.Close()
		} else {
			_ = raw.SetDeadline(time.Now().Add(patience))
		}
		done <- served{c, err}
	}()
	return l.Addr().String(), done
}

var paths = websocket.ServeOptions{Paths: []string{"/mqtt", "/"}}

// handshake is a request as a client in a browser sends it, with lines in addition or in place of the usual ones.
func handshake(path string, lines ...string) string {
	usual := []string{
		"Host: gateway.example:8083", "Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: mqtt",
	}
	return "GET " + path + " HTTP/1.1\r\n" + strings.Join(append(usual, lines...), "\r\n") + "\r\n\r\n"
}

// TestServeAnswers sends what comes to such a port and looks at what each side is told.
func TestServeAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		sent   string
		status int    // 0: nothing is answered
		body   string // a part of it
		err    string // a part of it; "": none
	}{
		"the first path":       {handshake("/mqtt"), 101, "", ""},
		"the other path":       {handshake("/"), 101, "", ""},
		"a query is no matter": {handshake("/mqtt?token=1"), 101, "", ""},
		"no such path":         {handshake("/ws"), 404, "there is no MQTT at the path /ws, it is at /mqtt and /", "at the path /ws"},
		"a browser":            {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 426, "There is no page to see here", "a plain HTTP request, GET /"},
		"a POST":               {"POST /mqtt HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 426, "MQTT.js", "POST /mqtt"},
		"HTTP/1.0":             {strings.Replace(handshake("/"), "HTTP/1.1", "HTTP/1.0", 1), 426, "at least HTTP/1.1", "at least HTTP/1.1"},
		"another sub-protocol": {strings.Replace(handshake("/"), ": mqtt", ": chat", 1), 400, `here is "mqtt"`, "sub-protocol chat"},
		"no key":               {strings.Replace(handshake("/"), "Sec-WebSocket-Key", "X-Key", 1), 400, "Sec-WebSocket-Key", "Sec-WebSocket-Key"},
		"a foreign page":       {handshake("/", "Origin: https://evil.example"), 403, "name them in origins", "pages from https://evil.example"},
		"giant headers":        {handshake("/", "Cookie: "+strings.Repeat("x", 17<<10)), 431, "16 KiB", "more than 16 KiB of headers"},
		"headers without end":  {"GET / HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 4<<10), 431, "16 KiB", "more than 16 KiB"},
		"no HTTP":              {"hello\r\n\r\n", 400, "no HTTP request", "no HTTP request"},
		"control characters":   {"\x01\x02\x1b[31m\r\n\r\n", 400, "no HTTP request", "no HTTP request"},
		"MQTT":                 {"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", 0, "", "speaks MQTT without WebSocket"},
		"TLS":                  {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0, "", "speaks TLS, and this listener is without"},
	} {
		t.Run(name, func(t *testing.T) {
			addr, result := serveOnce(t, paths)
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patience))
			if _, err := io.WriteString(c, tt.sent); err != nil {
				t.Fatal(err)
			}
			checkAnswer(t, c, tt.status, tt.body)
			c.Close()
			switch got := <-result; {
			case tt.err == "" && got.err != nil:
				t.Errorf("got %v", got.err)
			case tt.err == "":
				cut(got.conn)
			case got.err == nil || !strings.Contains(got.err.Error(), tt.err) || strings.ContainsAny(got.err.Error(), "\x1b\x01\r\n"):
				t.Errorf("got %q, want it to say %q", got.err, tt.err)
			}
		})
	}
}

func checkAnswer(t *testing.T, c net.Conn, status int, body string) {
	t.Helper()
	if status == 0 {
		if b, _ := io.ReadAll(c); len(b) > 0 {
			t.Errorf("answered %q", b)
		}
		return
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != status {
		t.Errorf("status %v, want %d", r.Status, status)
	}
	if status == http.StatusSwitchingProtocols {
		if got := r.Header.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455, 1.3
			t.Errorf("Sec-WebSocket-Accept is %q", got)
		}
		return
	}
	text, err := io.ReadAll(r.Body)
	if err != nil || !strings.Contains(string(text), body) || !r.Close {
		t.Errorf("body %q (%v), close %v, want it to say %q", text, err, r.Close, body)
	}
}

// TestServeEndsInTime holds the handshake up at each of its places: nobody may keep a connection that way.
func TestServeEndsInTime(t *testing.T) {
	for name, tt := range map[string]struct{ sent, err string }{
		"silence":        {"", "nothing came within the connect timeout"},
		"half a line":    {"GET /mq", "did not come to its end within the connect timeout"},
		"half a request": {"GET /mqtt HTTP/1.1\r\nHost: x\r\n", "did not come to its end within the connect timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // else what is sent might come when the time is over
				const timeout = 10 * time.Second
				theirs, ours := net.Pipe()
				defer ours.Close()
				if tt.sent != "" {
					go func() { _, _ = io.WriteString(theirs, tt.sent) }()
				}
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				began := time.Now()
				_ = ours.SetDeadline(began.Add(timeout))
				_, err := websocket.Serve(ctx, ours, paths)
				if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want it to say %q", err, tt.err)
				}
				if took := time.Since(began); took != timeout {
					t.Errorf("it took %v, want %v", took, timeout)
				}
			})
		})
	}
}

func TestServeOfAClientThatLeaves(t *testing.T) {
	for name, tt := range map[string]struct {
		sent string
		want func(error) bool
	}{
		"without a word":     {"", func(err error) bool { return err == io.EOF }},
		"within its request": {"GET / HT", func(err error) bool { return strings.Contains(err.Error(), "in the middle of its HTTP request") }},
	} {
		t.Run(name, func(t *testing.T) {
			addr, result := serveOnce(t, paths)
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(c, tt.sent)
			c.Close()
			if got := <-result; got.err == nil || !tt.want(got.err) {
				t.Errorf("got %v", got.err)
			}
		})
	}
}

// TestServeWithTheFirstFrameBehindTheRequest sends a frame before the answer has come, as a hurried client may: nothing of it is lost.
func TestServeWithTheFirstFrameBehindTheRequest(t *testing.T) {
	addr, result := serveOnce(t, paths)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	frame := []byte{0x82, 0x85, 0, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'} // binary, masked with zeros
	if _, err := c.Write(append([]byte(handshake("/mqtt")), frame...)); err != nil {
		t.Fatal(err)
	}
	got := <-result
	if got.err != nil {
		t.Fatal(got.err)
	}
	defer cut(got.conn)
	b := make([]byte, 5)
	if _, err := io.ReadFull(got.conn, b); err != nil || string(b) != "hello" {
		t.Errorf("got %q (%v)", b, err)
	}
}

// TestServeTakesFramesOfAllKinds talks with another implementation: packets that span frames, several in one, pings between them, an empty
// frame; a packet is one frame on the way back; and the close frame is the end of the stream.
func TestServeTakesFramesOfAllKinds(t *testing.T) {
	addr, result := serveOnce(t, paths)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	peer, _, err := coder.Dial(ctx, "ws://"+addr+"/mqtt", &coder.DialOptions{Subprotocols: []string{"mqtt"}})
	if err != nil {
		t.Fatal(err)
	}
	defer peer.CloseNow()
	got := <-result
	if got.err != nil {
		t.Fatal(got.err)
	}
	want := bytes.Repeat([]byte("0123456789"), 5000)
	go func() {
		for _, piece := range [][]byte{want[:1], want[1:2], {}, want[2:700], want[700:]} {
			_ = peer.Write(ctx, coder.MessageBinary, piece)
		}
		w, err := peer.Writer(ctx, coder.MessageBinary) // a message of several frames
		if err == nil {
			_, _ = fmt.Fprint(w, "ab")
			_, _ = fmt.Fprint(w, "cd")
			_ = w.Close()
		}
	}()
	b := make([]byte, len(want)+4)
	if _, err := io.ReadFull(got.conn, b); err != nil || !bytes.Equal(b, append(want, "abcd"...)) {
		t.Fatalf("what came is not what was sent: %v", err)
	}
	read := make(chan error, 1)
	go func() { // answers the ping, and then sees the close frame
		_, err := got.conn.Read(b)
		read <- err
	}()
	want = append([]byte{0x30, 0xd0, 0x86, 0x03}, want...) // a PUBLISH by its length
	if _, err := got.conn.Write(want); err != nil {
		t.Fatal(err)
	}
	peer.SetReadLimit(-1)
	if kind, text, err := peer.Read(ctx); err != nil || kind != coder.MessageBinary || !bytes.Equal(text, want) {
		t.Errorf("got %v of %d bytes (%v), want one binary message", kind, len(text), err)
	}
	pong := make(chan error, 1)
	go func() { pong <- peer.Ping(ctx) }()
	go func() { _, _, _ = peer.Read(ctx) }() // takes the pong
	if err := <-pong; err != nil {
		t.Errorf("ping: %v", err)
	}
	_ = peer.Close(coder.StatusNormalClosure, "")
	if err := <-read; !errors.Is(err, io.EOF) {
		t.Errorf("after the close frame: %v", err)
	}
	_ = got.conn.Close()
}

// TestOriginsOfTheLAN asks as pages do that a browser on another machine shows.
func TestOriginsOfTheLAN(t *testing.T) {
	for name, tt := range map[string]struct {
		host, origin string
		want         bool
	}{
		"the same host":            {"gateway.example:8083", "http://gateway.example:8080", true},
		"in other letters":         {"Gateway.Example:8083", "https://gateway.example", true},
		"the same address":         {"192.168.1.10:8083", "http://192.168.1.10", true},
		"the same of IPv6":         {"[fe80::1]:8083", "http://[fe80::1]:8080", true},
		"another host":             {"gateway.example:8083", "http://gateway.example.org", false},
		"a page on one's own":      {"gateway.example:8083", "http://localhost:8080", false},
		"no host":                  {"", "http://", false},
		"what is no URL":           {"gateway.example", "://", false},
		"this machine, other name": {"127.0.0.1:8083", "http://localhost:8080", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/mqtt", nil)
			r.Host = tt.host
			for _, line := range strings.Split(handshake("/"), "\r\n")[2:] {
				if key, value, ok := strings.Cut(line, ": "); ok {
					r.Header.Set(key, value)
				}
			}
			r.Header.Set("Origin", tt.origin)
			w := httptest.NewRecorder() // which cannot be taken over, so that it answers 501 at best
			_, err := websocket.Accept(w, r, websocket.AcceptOptions{})
			if err == nil || (w.Code != http.StatusForbidden) != tt.want {
				t.Errorf("status %d (%v)", w.Code, err)
			}
		})
	}
}

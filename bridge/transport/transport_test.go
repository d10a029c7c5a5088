package transport_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/bridge/transport"
	"github.com/tidegate/tidegate/bridge/transport/transporttest"
	"github.com/tidegate/tidegate/gateway/websocket"
)

// patience bounds every wait of these tests, to find a hang.
const patience = 20 * time.Second

// echo starts a server on loopback that sends back what it gets, over TLS when cfg is set.
func echo(t *testing.T, cfg *tls.Config) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if cfg != nil {
		l = tls.NewListener(l, cfg)
	}
	serve(t, l, func(c net.Conn) { _, _ = io.Copy(c, c) })
	return l
}

// serve hands each connection to handle and closes it when that returns.
func serve(t *testing.T, l net.Listener, handle func(net.Conn)) {
	t.Helper()
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				handle(c)
			}()
		}
	}()
}

func parse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func to(t *testing.T, scheme string, l net.Listener) *url.URL {
	t.Helper()
	return parse(t, scheme+"://"+l.Addr().String())
}

func newTransport(t *testing.T, o transport.Options) *transport.Transport {
	t.Helper()
	tr, err := transport.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// dial connects and closes at the end of the test.
func dial(t *testing.T, tr *transport.Transport, u *url.URL) (net.Conn, error) {
	t.Helper()
	c, err := tr.Dial(t.Context(), u)
	if err == nil {
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	return c, err
}

// mustEcho checks that the other end is echo.
func mustEcho(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.WriteString(c, "ping"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "ping" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func mustFail(t *testing.T, err error, want ...string) {
	t.Helper()
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got %v, want it to say %q", err, w)
		}
	}
}

func TestSchemes(t *testing.T) {
	ca := transporttest.NewCA(t)
	secured := &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, transporttest.Leaf{}).TLS}}
	for scheme, cfg := range map[string]*tls.Config{"mqtt": nil, "tcp": nil, "mqtts": secured, "ssl": secured, "tls": secured} {
		t.Run(scheme, func(t *testing.T) {
			c, err := dial(t, newTransport(t, transport.Options{TLS: transport.TLSOptions{CAFile: ca.File}}), to(t, scheme, echo(t, cfg)))
			if err != nil {
				t.Fatal(err)
			}
			mustEcho(t, c)
			if _, ok := c.(interface{ ConnectionState() tls.ConnectionState }); ok != (cfg != nil) {
				t.Errorf("TLS state: %v", ok)
			}
		})
	}
	_, err := newTransport(t, transport.Options{}).Dial(t.Context(), parse(t, "http://h"))
	mustFail(t, err, `unknown scheme "http"; the schemes are mqtt, mqtts, ws and wss`)
}

// TestNamesAreResolved dials a name, of which every address is tried: localhost may be ::1 first, where nobody listens.
func TestNamesAreResolved(t *testing.T) {
	_, port, _ := net.SplitHostPort(echo(t, nil).Addr().String())
	c, err := dial(t, newTransport(t, transport.Options{}), parse(t, "mqtt://localhost:"+port))
	if err != nil {
		t.Fatal(err)
	}
	mustEcho(t, c)
}

func TestNewRefuses(t *testing.T) {
	for want, o := range map[string]transport.Options{
		"cert_file and key_file belong together":     {TLS: transport.TLSOptions{CertFile: "x"}},
		`min_version "1.1" is unknown`:               {TLS: transport.TLSOptions{MinVersion: "1.1"}},
		`pin "abc" is not a SHA-256 sum in base64`:   {TLS: transport.TLSOptions{Pins: []string{"abc"}}},
		`unknown scheme "ftp"`:                       {Proxy: parse(t, "ftp://h")},
		"proxy http://u:xxxxx@: no host":             {Proxy: parse(t, "http://u:p@")},
		"more than scheme, user, host and port":      {Proxy: parse(t, "http://h/x")},
		"user and password of a SOCKS5 proxy have 1": {Proxy: parse(t, "socks5://:secret@h")},
	} {
		t.Run(want, func(t *testing.T) {
			_, err := transport.New(o)
			mustFail(t, err, want)
		})
	}
}

// TestWebSocketOfMosquitto opens a session with a real broker over ws and wss. Mosquitto 2.0.11 does not start with nothing but WebSocket
// listeners, hence the unused one.
func TestWebSocketOfMosquitto(t *testing.T) {
	ca := transporttest.NewCA(t)
	server := ca.Issue(t, transporttest.Leaf{})
	plain, secured, unused := transporttest.FreePort(t), transporttest.FreePort(t), transporttest.FreePort(t)
	transporttest.Mosquitto(t, fmt.Sprintf(`
allow_anonymous true
listener %s 127.0.0.1
listener %s
protocol websockets
listener %s
protocol websockets
certfile %s
keyfile %s
`, unused, plain, secured, server.CertFile, server.KeyFile))
	tr := newTransport(t, transport.Options{TLS: transport.TLSOptions{CAFile: ca.File}})
	for _, server := range []string{"ws://127.0.0.1:" + plain, "ws://127.0.0.1:" + plain + "/mqtt", "wss://127.0.0.1:" + secured} {
		t.Run(server[:4], func(t *testing.T) {
			c, err := dial(t, tr, parse(t, server))
			if err != nil {
				t.Fatal(err)
			}
			mustConnect(t, c)
			s, ok := c.(interface{ ConnectionState() tls.ConnectionState })
			if ok != strings.HasPrefix(server, "wss") || ok && len(s.ConnectionState().VerifiedChains) == 0 {
				t.Errorf("TLS state: %v", ok)
			}
		})
	}
	if ends := tr.Certificates().Server; !ends.Equal(server.Cert.NotAfter) {
		t.Errorf("the server's certificate ends %v, want %v", ends, server.Cert.NotAfter)
	}
}

// TestWebSocketRequest looks at what the server is asked for.
func TestWebSocketRequest(t *testing.T) {
	for name, tt := range map[string]struct {
		o          transport.Options
		path, want string
	}{
		"the usual path":     {transport.Options{}, "", "/mqtt"},
		"a path of the URL":  {transport.Options{Path: "/ws"}, "/broker/7?x=1", "/broker/7?x=1"},
		"the root":           {transport.Options{}, "/", "/"},
		"a path of our own":  {transport.Options{Path: "/ws"}, "", "/ws"},
		"a header goes with": {transport.Options{Header: http.Header{"X-Plant": {"7"}}}, "", "/mqtt 7"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan string, 1)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c, err := websocket.Accept(w, r, websocket.AcceptOptions{}); err == nil {
					asked <- strings.TrimSpace(r.RequestURI + " " + r.Header.Get("X-Plant"))
					_, _ = io.Copy(c, c)
				}
			}))
			defer s.Close()
			c, err := dial(t, newTransport(t, tt.o), parse(t, "ws://"+s.Listener.Addr().String()+tt.path))
			if err != nil {
				t.Fatal(err)
			}
			mustEcho(t, c)
			if got := <-asked; got != tt.want {
				t.Errorf("asked for %s, want %s", got, tt.want)
			}
		})
	}
}

// mustConnect sends CONNECT in two pieces and reads CONNACK (MQTT 3.1.1, 3.1 and 3.2).
func mustConnect(t *testing.T, c net.Conn) {
	t.Helper()
	for _, piece := range []string{"\x10\x0d\x00\x04MQ", "TT\x04\x02\x00\x1e\x00\x01x"} {
		if _, err := io.WriteString(c, piece); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "\x20\x02\x00\x00" {
		t.Fatalf("CONNACK % x, %v", got, err)
	}
}

// TestTrace is what shows the steps of a dial to the connection test.
func TestTrace(t *testing.T) {
	ca := transporttest.NewCA(t)
	_, port, _ := net.SplitHostPort(echo(t, &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, transporttest.Leaf{}).TLS}}).Addr().String())
	var steps []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		DNSDone: func(httptrace.DNSDoneInfo) { steps = append(steps, "dns") },
		ConnectDone: func(_, _ string, err error) {
			if err == nil {
				steps = append(steps, "tcp")
			}
		},
		TLSHandshakeStart: func() { steps = append(steps, "tls begins") },
		TLSHandshakeDone:  func(_ tls.ConnectionState, err error) { steps = append(steps, fmt.Sprint("tls ", err)) },
	})
	tr := newTransport(t, transport.Options{TLS: transport.TLSOptions{CAFile: ca.File}})
	c, err := tr.Dial(ctx, parse(t, "mqtts://localhost:"+port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := strings.Join(steps, ", "); got != "dns, tcp, tls begins, tls <nil>" {
		t.Errorf("steps %s", got)
	}
}

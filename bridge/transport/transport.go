package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/websocket"
)

// Defaults of Options.
const (
	DefaultConnectTimeout = 15 * time.Second
	DefaultWriteTimeout   = 10 * time.Second
	DefaultPath           = "/mqtt"
)

// keepAlive is the interval of TCP's own probes, which notice a peer that is gone while nothing is sent.
const keepAlive = 15 * time.Second

// Options say how an upstream is reached.
type Options struct {
	TLS TLSOptions
	// Proxy is http://, https:// or socks5:// with host, optional port (80, 443, 1080), and optional user and password. nil: none. The
	// proxy resolves the server's name.
	Proxy *url.URL
	// ProxyCAFile holds the certificates in PEM that an https:// proxy's is checked against; "": those of the system.
	ProxyCAFile    string
	ConnectTimeout time.Duration // of all steps of a dial together; 15 s
	WriteTimeout   time.Duration // what the kernel waits for TCP's acknowledgement of sent data; 10 s
	Path           string        // of ws and wss URLs that have none; "/mqtt"
	Header         http.Header   // sent with the WebSocket's handshake; nil: none
	Now            func() time.Time
}

// Transport dials one upstream. Several goroutines may use it.
type Transport struct {
	opts Options

	mu    sync.Mutex
	certs Certificates
}

// Certificates tells when the certificates of the last TLS connection end. Zero: there is none.
type Certificates struct {
	Client time.Time // the client certificate, as last read
	Server time.Time // the first to end of the chain that the server was trusted for
}

// New checks the options and fills in defaults. It reads no file and opens nothing.
func New(o Options) (*Transport, error) {
	if err := o.TLS.check(); err != nil {
		return nil, err
	}
	if err := checkProxy(o.Proxy); err != nil {
		return nil, err
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = DefaultConnectTimeout
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = DefaultWriteTimeout
	}
	if o.Path == "" {
		o.Path = DefaultPath
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Transport{opts: o}, nil
}

// Certificates returns a snapshot; any goroutine may call it.
func (t *Transport) Certificates() Certificates {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.certs
}

// Dial connects to server, whose scheme is mqtt (or tcp), mqtts (or ssl, tls), ws or wss. When TLS is in use, the connection has a method
// ConnectionState, as *tls.Conn.
func (t *Transport) Dial(ctx context.Context, server *url.URL) (net.Conn, error) {
	s, known := gateway.SchemeOf(server.Scheme)
	if !known {
		return nil, fmt.Errorf("dial %s: unknown scheme %q; the schemes are mqtt, mqtts, ws and wss", server.Redacted(), server.Scheme)
	}
	ctx, cancel := context.WithTimeout(ctx, t.opts.ConnectTimeout)
	defer cancel()
	c, err := t.reach(ctx, withPort(server, s.Port))
	if err != nil {
		return nil, err
	}
	if s.TLS {
		if c, err = t.secure(ctx, c, server.Hostname()); err != nil {
			return nil, err
		}
	}
	if s.WebSocket {
		return t.upgrade(ctx, c, server)
	}
	return c, nil
}

// withPort returns host:port of u.
func withPort(u *url.URL, port string) string {
	if p := u.Port(); p != "" {
		port = p
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// reach opens the stream of bytes to addr, through the proxy when there is one.
func (t *Transport) reach(ctx context.Context, addr string) (net.Conn, error) {
	if t.opts.Proxy == nil {
		return t.DialContext(ctx, "tcp", addr)
	}
	c, err := t.tunnel(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("proxy %s: %w", t.opts.Proxy.Redacted(), err)
	}
	reportTunnel(ctx, c)
	return c, nil
}

// DialContext opens a plain TCP connection with our settings, to the server or to its proxy.
func (t *Transport) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: keepAlive}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		setUserTimeout(tcp, t.opts.WriteTimeout)
	}
	return c, nil
}

// upgrade makes a WebSocket of c.
func (t *Transport) upgrade(ctx context.Context, c net.Conn, server *url.URL) (net.Conn, error) {
	u := *server
	u.User = nil
	if u.Path == "" {
		u.Path = t.opts.Path
	}
	ws, err := websocket.Client(ctx, c, &u, t.opts.Header)
	if err != nil {
		return nil, err
	}
	if secured, ok := c.(*tls.Conn); ok {
		return secureWebSocket{ws, secured}, nil
	}
	return ws, nil
}

// secureWebSocket is a WebSocket over TLS.
type secureWebSocket struct {
	net.Conn
	tls *tls.Conn
}

// ConnectionState tells about the TLS beneath.
func (c secureWebSocket) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/websocket"
)

// defaultPath is that of ws and wss URLs that have none.
const defaultPath = "/mqtt"

// ErrURL is wrapped by errors about a URL that cannot be used, whatever answers there.
var ErrURL = errors.New("the schemes are mqtt, mqtts, ws and wss, as in mqtt://127.0.0.1:1883")

// Open connects to the host of a URL whose scheme is mqtt (or tcp), mqtts (or ssl, tls), ws or wss, and sends nothing of MQTT yet. The ports
// are 1883, 8883, 80 and 443 where the URL names none; the path of a WebSocket is /mqtt then. config is for mqtts and wss, nil for the
// defaults; its ServerName is the host's name if it is empty. header is sent with the handshake of a WebSocket; it may be nil.
func Open(ctx context.Context, rawURL string, config *tls.Config, header http.Header) (net.Conn, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrURL)
	}
	s, known := gateway.SchemeOf(u.Scheme)
	if !known || u.Hostname() == "" {
		return nil, fmt.Errorf("dial %q: %w", u.Redacted(), ErrURL)
	}
	addr := net.JoinHostPort(u.Hostname(), s.Port)
	if u.Port() != "" {
		addr = u.Host
	}
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if s.TLS {
		if nc, err = secure(ctx, nc, config, u.Hostname()); err != nil {
			return nil, err
		}
	}
	if !s.WebSocket {
		return nc, nil
	}
	u.User = nil
	if u.Path == "" {
		u.Path = defaultPath
	}
	return websocket.Client(ctx, nc, u, header)
}

// secure does the TLS handshake over nc, which it closes when that fails.
func secure(ctx context.Context, nc net.Conn, config *tls.Config, host string) (net.Conn, error) {
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = host
	}
	secured := tls.Client(nc, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("tls handshake with %s: %w", config.ServerName, err)
	}
	return secured, nil
}

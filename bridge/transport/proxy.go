package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"

	"golang.org/x/net/proxy"
)

// maxSOCKSCredential is how long a user or password may be (RFC 1929, 2), in bytes.
const maxSOCKSCredential = 255

// maxProxyAnswer bounds the header of a proxy's answer, in bytes.
const maxProxyAnswer = 64 << 10

// The ports of proxies whose URL names none.
const (
	portHTTPProxy  = "80"
	portHTTPSProxy = "443"
	portSOCKS      = "1080"
)

func checkProxy(u *url.URL) error {
	if u == nil {
		return nil
	}
	password, _ := u.User.Password()
	switch {
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" && u.Scheme != "socks5h":
		return fmt.Errorf("proxy %s: unknown scheme %q; it is http, https or socks5", u.Redacted(), u.Scheme)
	case u.Hostname() == "":
		return fmt.Errorf("proxy %s: no host", u.Redacted())
	case u.Path != "" && u.Path != "/" || u.RawQuery != "":
		return fmt.Errorf("proxy %s: more than scheme, user, host and port; end it after the port", u.Redacted())
	case isSOCKS(u) && u.User != nil && (u.User.Username() == "" || max(len(u.User.Username()), len(password)) > maxSOCKSCredential):
		return fmt.Errorf("proxy %s: user and password of a SOCKS5 proxy have 1 to %d bytes", u.Redacted(), maxSOCKSCredential)
	}
	return nil
}

func isSOCKS(u *url.URL) bool { return u.Scheme == "socks5" || u.Scheme == "socks5h" }

// tunnel opens a way through the proxy to addr.
func (t *Transport) tunnel(ctx context.Context, addr string) (net.Conn, error) {
	u := t.opts.Proxy
	if isSOCKS(u) {
		return t.socks(ctx, u, addr)
	}
	port := portHTTPProxy
	if u.Scheme == "https" {
		port = portHTTPSProxy
	}
	c, err := t.DialContext(ctx, "tcp", withPort(u, port))
	if err != nil {
		return nil, err
	}
	if u.Scheme == "https" {
		if c, err = t.secureProxy(ctx, c); err != nil {
			return nil, err
		}
	}
	if err := connect(ctx, c, u.User, addr); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// secureProxy does the TLS handshake with an https:// proxy. It is kept from a trace, which is about the server.
func (t *Transport) secureProxy(ctx context.Context, c net.Conn) (net.Conn, error) {
	roots, err := loadRoots("proxy ca_file", t.opts.ProxyCAFile, t.opts.Now())
	if err != nil {
		c.Close()
		return nil, err
	}
	host := t.opts.Proxy.Hostname()
	secured := tls.Client(c, &tls.Config{ServerName: host, RootCAs: roots, MinVersion: tls.VersionTLS12, Time: t.opts.Now})
	if err := secured.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("tls handshake with %s: %w", host, err)
	}
	return secured, nil
}

// connect asks an HTTP proxy for a tunnel (RFC 9110, 9.3.6).
func connect(ctx context.Context, c net.Conn, user *url.Userinfo, addr string) error {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	err := exchange(c, user, addr)
	if !stop() {
		return fmt.Errorf("ask for a tunnel to %s: no answer: %w", addr, context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("ask for a tunnel to %s: %w", addr, err)
	}
	return nil
}

func exchange(c net.Conn, user *url.Userinfo, addr string) error {
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{}}
	if user != nil {
		password, _ := user.Password()
		r.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	r.Header.Set("User-Agent", "tidegate")
	if err := r.Write(c); err != nil {
		return err
	}
	buffered := bufio.NewReader(io.LimitReader(c, maxProxyAnswer))
	answer, err := http.ReadResponse(buffered, r)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the proxy closed the connection without an answer: is it a proxy for HTTP, and is the scheme right?")
	case err != nil:
		return fmt.Errorf("the answer is not HTTP: %w", err)
	}
	_ = answer.Body.Close() // there is none, or nobody reads it
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return errors.New("the proxy answered " + answer.Status + proxyHint(answer.StatusCode, user != nil))
	}
	if buffered.Buffered() > 0 { // neither TLS nor MQTT lets the server speak first
		return errors.New("the proxy sent data before the tunnel was used")
	}
	return nil
}

// proxyHint says what to do about a status (RFC 9110, 15).
func proxyHint(status int, credentials bool) string {
	switch {
	case status == http.StatusProxyAuthRequired && credentials:
		return ": it refuses user and password of the proxy URL, or wants another scheme than Basic"
	case status == http.StatusProxyAuthRequired:
		return ": it wants a user and a password; write them into the proxy URL"
	case status == http.StatusForbidden, status == http.StatusMethodNotAllowed:
		return ": it does not allow this host or port; many allow only 443, for which the upstream needs a wss:// or ALPN listener"
	case status == http.StatusBadRequest:
		return ": it does not understand the request; it may allow no tunnels"
	case status >= 500:
		return ": it cannot reach the server; check the server's name and port, and the proxy's own network"
	}
	return ": it opens no tunnel"
}

// socks opens a way through a SOCKS5 proxy (RFC 1928, RFC 1929). The name of the server is resolved there.
func (t *Transport) socks(ctx context.Context, u *url.URL, addr string) (net.Conn, error) {
	var auth *proxy.Auth
	if u.User != nil {
		password, _ := u.User.Password()
		auth = &proxy.Auth{User: u.User.Username(), Password: password}
	}
	d, err := proxy.SOCKS5("tcp", withPort(u, portSOCKS), auth, forward{t})
	if err != nil {
		return nil, err
	}
	c, err := d.(proxy.ContextDialer).DialContext(ctx, "tcp", addr)
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = fmt.Errorf("ask for a way to %s: %w", addr, op.Err) // the rest of its text repeats addresses
	}
	return c, err
}

// forward is how the SOCKS client reaches its proxy.
type forward struct{ *Transport }

// Dial is not used by a client that knows contexts, but required of it.
func (f forward) Dial(network, addr string) (net.Conn, error) {
	return f.DialContext(context.Background(), network, addr)
}

// reportTunnel tells a trace in ctx that the proxy has opened the way.
func reportTunnel(ctx context.Context, c net.Conn) {
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: c})
	}
}

package transport_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/tidegate/tidegate/bridge/transport"
	"github.com/tidegate/tidegate/bridge/transport/transporttest"
)

// httpProxy starts a proxy on loopback that opens tunnels (RFC 9110, 9.3.6) for whoever knows the password, if there is one.
func httpProxy(t *testing.T, cfg *tls.Config, password string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if cfg != nil {
		l = tls.NewListener(l, cfg)
	}
	serve(t, l, func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		r.Header.Set("Authorization", r.Header.Get("Proxy-Authorization"))
		if _, given, _ := r.BasicAuth(); given != password {
			_, _ = io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
			return
		}
		join(t, c, r.Host, func(err error) {
			if err != nil {
				_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
		})
	})
	return l
}

// join connects c with addr, telling opened about it.
func join(t *testing.T, c net.Conn, addr string, opened func(error)) {
	up, err := net.Dial("tcp", addr)
	opened(err)
	if err != nil {
		return
	}
	defer up.Close()
	_ = up.SetDeadline(time.Now().Add(patience))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(up, c)
		up.Close()
	}()
	_, _ = io.Copy(c, up)
	c.Close()
	<-done
}

// socksProxy starts a SOCKS5 proxy on loopback (RFC 1928) that wants a password (RFC 1929) if there is one.
func socksProxy(t *testing.T, password string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, func(c net.Conn) {
		r := bufio.NewReader(c)
		read := func(n int) []byte {
			b := make([]byte, n)
			_, _ = io.ReadFull(r, b)
			return b
		}
		methods := read(int(read(2)[1]))
		if password == "" {
			_, _ = c.Write([]byte{5, 0})
		} else {
			if methods[len(methods)-1] != 2 {
				_, _ = c.Write([]byte{5, 0xff})
				return
			}
			_, _ = c.Write([]byte{5, 2})
			_ = read(int(read(2)[1]))
			if string(read(int(read(1)[0]))) != password {
				_, _ = c.Write([]byte{1, 1})
				return
			}
			_, _ = c.Write([]byte{1, 0})
		}
		host := ""
		switch head := read(4); head[3] {
		case 1:
			host = net.IP(read(4)).String()
		case 3:
			host = string(read(int(read(1)[0])))
		}
		port := binary.BigEndian.Uint16(read(2))
		join(t, c, net.JoinHostPort(host, fmt.Sprint(port)), func(err error) {
			if err != nil {
				_, _ = c.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
				return
			}
			_, _ = c.Write([]byte{5, 0, 0, 1, 127, 0, 0, 1, 0, 0})
		})
	})
	return l
}

// through returns options that use the proxy.
func through(t *testing.T, scheme, user string, l net.Listener, ca *transporttest.CA) transport.Options {
	t.Helper()
	u := to(t, scheme, l)
	if user != "" {
		u.User = url.UserPassword(user, "pass word")
	}
	return transport.Options{Proxy: u, ProxyCAFile: ca.File, TLS: transport.TLSOptions{CAFile: ca.File}}
}

// TestProxies speaks TLS with a server behind each kind of proxy.
func TestProxies(t *testing.T) {
	ca := transporttest.NewCA(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, transporttest.Leaf{}).TLS}}
	server := to(t, "mqtts", echo(t, cfg))
	for name, o := range map[string]transport.Options{
		"http":               through(t, "http", "", httpProxy(t, nil, ""), ca),
		"http, password":     through(t, "http", "user", httpProxy(t, nil, "pass word"), ca),
		"https, password":    through(t, "https", "user", httpProxy(t, cfg, "pass word"), ca),
		"socks5":             through(t, "socks5", "", socksProxy(t, ""), ca),
		"socks5, password":   through(t, "socks5", "user", socksProxy(t, "pass word"), ca),
		"socks5h, by a name": through(t, "socks5h", "", socksProxy(t, ""), ca),
	} {
		t.Run(name, func(t *testing.T) {
			u := *server
			if o.Proxy.Scheme == "socks5h" {
				u.Host = net.JoinHostPort("localhost", u.Port())
			}
			c, err := dial(t, newTransport(t, o), &u)
			if err != nil {
				t.Fatal(err)
			}
			mustEcho(t, c)
		})
	}
}

// answers is a proxy that says only this.
func answers(t *testing.T, text string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, text)
		}
	})
	return l
}

func TestProxyErrors(t *testing.T) {
	ca := transporttest.NewCA(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, transporttest.Leaf{}).TLS}}
	closed := "127.0.0.1:" + transporttest.FreePort(t)
	behind := echo(t, nil).Addr().String()
	untrusted := through(t, "https", "", httpProxy(t, cfg, ""), ca)
	untrusted.ProxyCAFile = ""
	for name, tt := range map[string]struct {
		o    transport.Options
		to   string
		want string
	}{
		"wants a password":      {through(t, "http", "", httpProxy(t, nil, "x"), ca), behind, "407 Proxy Authentication Required: it wants a user and a password"},
		"refuses the password":  {through(t, "http", "user", httpProxy(t, nil, "x"), ca), behind, "it refuses user and password of the proxy URL"},
		"cannot reach it":       {through(t, "http", "", httpProxy(t, nil, ""), ca), closed, "502 Bad Gateway: it cannot reach the server"},
		"forbids the port":      {through(t, "http", "", answers(t, "HTTP/1.1 403 Forbidden\r\n\r\n"), ca), behind, "many allow only 443"},
		"is a web server":       {through(t, "http", "", answers(t, "HTTP/1.1 404 Not Found\r\n\r\n"), ca), behind, "404 Not Found: it opens no tunnel"},
		"closes":                {through(t, "http", "", answers(t, ""), ca), behind, "the proxy closed the connection without an answer"},
		"is no proxy":           {through(t, "http", "", answers(t, "220 mail.example ESMTP\r\n"), ca), behind, "the answer is not HTTP"},
		"speaks first":          {through(t, "http", "", answers(t, "HTTP/1.1 200 OK\r\n\r\nhello"), ca), behind, "sent data before the tunnel was used"},
		"is not trusted":        {untrusted, behind, "unknown authority"},
		"socks wants password":  {through(t, "socks5", "", socksProxy(t, "x"), ca), behind, "no acceptable authentication methods"},
		"socks refuses it":      {through(t, "socks5", "user", socksProxy(t, "x"), ca), behind, "username/password authentication failed"},
		"socks cannot reach it": {through(t, "socks5", "", socksProxy(t, ""), ca), closed, "ask for a way to " + closed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dial(t, newTransport(t, tt.o), parse(t, "mqtt://"+tt.to))
			mustFail(t, err, tt.want, "proxy "+tt.o.Proxy.Redacted()+": ")
		})
	}
}

// TestSilentProxy accepts and never answers.
func TestSilentProxy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, scheme := range []string{"http", "https", "socks5"} {
		t.Run(scheme, func(t *testing.T) {
			tr := newTransport(t, transport.Options{Proxy: to(t, scheme, l), ConnectTimeout: 100 * time.Millisecond})
			_, err := tr.Dial(t.Context(), parse(t, "mqtt://127.0.0.1:1"))
			var n net.Error
			if !errors.Is(err, context.DeadlineExceeded) && (!errors.As(err, &n) || !n.Timeout()) {
				t.Errorf("got %v, want a timeout", err)
			}
		})
	}
}

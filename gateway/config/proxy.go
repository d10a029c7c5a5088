package config

import (
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Proxy is what the connections to an upstream go through, from http://user@host:port, https:// or socks5://. Its zero value is none.
type Proxy struct {
	Scheme string // "http" and "https" (CONNECT, RFC 9110, 9.3.6) or "socks5" (RFC 1928); "" for no proxy
	User   string
	Host   string
	Port   uint16
}

// IsSet tells whether there is a proxy.
func (p Proxy) IsSet() bool { return p.Scheme != "" }

// Addr returns host:port, for dialling.
func (p Proxy) Addr() string { return net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port))) }

// String returns the URL with the user and without a password; "" for no proxy.
func (p Proxy) String() string {
	if !p.IsSet() {
		return ""
	}
	u := url.URL{Scheme: p.Scheme, Host: p.Addr()}
	if p.User != "" {
		u.User = url.User(p.User)
	}
	return u.String()
}

// URL returns the proxy with its password for a dialler, nil for no proxy. It must not be logged.
func (p Proxy) URL(password Secret) *url.URL {
	if !p.IsSet() {
		return nil
	}
	u := &url.URL{Scheme: p.Scheme, Host: p.Addr()}
	switch {
	case password.IsSet():
		u.User = url.UserPassword(p.User, password.Reveal())
	case p.User != "":
		u.User = url.User(p.User)
	}
	return u
}

const proxyHint = `write "http://host:3128" or "socks5://host:1080", with user@ before the host where the proxy wants one`

// UnmarshalText reads a URL. The port has no default: proxies have none that all agree on.
func (p *Proxy) UnmarshalText(text []byte) error {
	u, err := url.Parse(string(text))
	switch {
	case !strings.Contains(string(text), "://"):
		return &valueError{reason: "no scheme", hint: proxyHint}
	case err != nil || u.Hostname() == "":
		return &valueError{reason: "not a URL", hint: proxyHint}
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5":
		return &valueError{reason: "unknown scheme " + strconv.Quote(u.Scheme), hint: `the schemes are "http", "https" and "socks5"`}
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return &valueError{reason: "more than scheme, user, host and port", hint: "end the URL after the port"}
	}
	if _, has := u.User.Password(); has {
		return &valueError{reason: "a password in a URL", hint: "use the key proxy_password"}
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return &valueError{reason: "no port", hint: proxyHint}
	}
	*p = Proxy{Scheme: u.Scheme, User: u.User.Username(), Host: u.Hostname(), Port: uint16(port)}
	return nil
}

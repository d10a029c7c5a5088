package config

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Server is one address of an upstream, from mqtt://host:port, mqtts://, or for MQTT in WebSocket frames ws://host:port/path, wss://.
type Server struct {
	TLS       bool
	WebSocket bool
	Host      string
	Port      uint16
	Path      string // of a WebSocket, with its "/" and what follows a "?"; empty otherwise
}

// The ports taken when a URL names none: what IANA gives to MQTT, and what RFC 6455, 3 gives to WebSockets.
const (
	portMQTT  = 1883
	portMQTTS = 8883
	portWS    = 80
	portWSS   = 443
)

// pathWS is where brokers commonly take WebSockets.
const pathWS = "/mqtt"

// Addr returns host:port, for dialling.
func (s Server) Addr() string { return net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port))) }

// Scheme returns "mqtt", "mqtts", "ws" or "wss".
func (s Server) Scheme() string {
	scheme := "mqtt"
	if s.WebSocket {
		scheme = "ws"
	}
	if s.TLS {
		scheme += "s"
	}
	return scheme
}

// String returns the URL.
func (s Server) String() string { return s.Scheme() + "://" + s.Addr() + s.Path }

// URL returns the URL for a dialler.
func (s Server) URL() *url.URL {
	u, err := url.Parse(s.String())
	if err != nil { // cannot be: Path comes from a URL
		return &url.URL{Scheme: s.Scheme(), Host: s.Addr()}
	}
	return u
}

// UnmarshalText reads a URL. Anything beyond scheme, host and port (and, of a WebSocket, its path) is refused: it would be
// silently ignored, and a password in a URL ends up in logs.
func (s *Server) UnmarshalText(text []byte) error {
	u, err := url.Parse(string(text))
	if !strings.Contains(string(text), "://") {
		return &valueError{reason: "no scheme", hint: fmt.Sprintf(`write "mqtt://%s", or "mqtts://" for TLS`, text)}
	}
	if err != nil || u.Host == "" {
		return &valueError{reason: "not a URL", hint: `write "mqtt://host:1883", or "mqtts://host:8883" for TLS`}
	}
	out := Server{Host: u.Hostname()}
	switch u.Scheme {
	case "mqtt":
		out.Port = portMQTT
	case "mqtts":
		out.TLS, out.Port = true, portMQTTS
	case "ws":
		out.WebSocket, out.Port = true, portWS
	case "wss":
		out.WebSocket, out.TLS, out.Port = true, true, portWSS
	default:
		return &valueError{reason: "unknown scheme " + strconv.Quote(u.Scheme), hint: schemeHint(u.Scheme)}
	}
	switch {
	case u.User != nil:
		return &valueError{reason: "user name or password in a URL", hint: "use the keys username and password"}
	case u.Fragment != "", !out.WebSocket && (u.Path != "" && u.Path != "/" || u.RawQuery != ""):
		return &valueError{reason: "more than scheme, host and port", hint: "end the URL after the port"}
	case out.Host == "":
		return &valueError{reason: "no host", hint: "put a host name or an address between // and the port"}
	}
	if out.WebSocket {
		out.Path = websocketPath(u)
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return &valueError{reason: "port outside 1 to 65535", hint: out.portHint()}
		}
		out.Port = uint16(n)
	}
	*s = out
	return nil
}

func (s Server) portHint() string {
	if s.WebSocket {
		return "80 is usual for ws, 443 for wss"
	}
	return "1883 is usual for mqtt, 8883 for mqtts"
}

// websocketPath returns the path and query of a URL. A URL that ends with the port means the usual path.
func websocketPath(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		path = pathWS
	}
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	return path
}

// schemeHint names the scheme that stands here for what others call differently.
func schemeHint(scheme string) string {
	switch scheme {
	case "tcp":
		return `write "mqtt://" for MQTT over TCP`
	case "ssl", "tls", "tcps":
		return `write "mqtts://" for MQTT over TLS`
	case "http":
		return `write "ws://" for MQTT in WebSocket frames`
	case "https":
		return `write "wss://" for MQTT in WebSocket frames over TLS`
	}
	return `the schemes are "mqtt" (TCP), "mqtts" (TLS), "ws" (WebSocket) and "wss" (WebSocket over TLS)`
}

package config

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Server is one address of an upstream, from mqtt://host:port or mqtts://host:port.
type Server struct {
	TLS  bool
	Host string
	Port uint16
}

// The ports that IANA gives to MQTT, taken when a URL names none.
const (
	portMQTT  = 1883
	portMQTTS = 8883
)

// Addr returns host:port, for dialling.
func (s Server) Addr() string { return net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port))) }

// String returns the URL.
func (s Server) String() string {
	if s.TLS {
		return "mqtts://" + s.Addr()
	}
	return "mqtt://" + s.Addr()
}

// UnmarshalText reads a URL. Anything beyond scheme, host and port is refused: it would be silently ignored, and
// a password in a URL ends up in logs.
func (s *Server) UnmarshalText(text []byte) error {
	u, err := url.Parse(string(text))
	if !strings.Contains(string(text), "://") {
		return &valueError{reason: "no scheme", hint: fmt.Sprintf(`write "mqtt://%s", or "mqtts://" for TLS`, text)}
	}
	if err != nil || u.Host == "" {
		return &valueError{reason: "not a URL", hint: `write "mqtt://host:1883", or "mqtts://host:8883" for TLS`}
	}
	out := Server{Host: u.Hostname(), Port: portMQTT}
	switch u.Scheme {
	case "mqtt":
	case "mqtts":
		out.TLS, out.Port = true, portMQTTS
	default:
		return &valueError{reason: "unknown scheme " + strconv.Quote(u.Scheme), hint: schemeHint(u.Scheme)}
	}
	switch {
	case u.User != nil:
		return &valueError{reason: "user name or password in a URL", hint: "use the keys username and password"}
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return &valueError{reason: "more than scheme, host and port", hint: "end the URL after the port"}
	case out.Host == "":
		return &valueError{reason: "no host", hint: "put a host name or an address between // and the port"}
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return &valueError{reason: "port outside 1 to 65535", hint: "1883 is usual for mqtt, 8883 for mqtts"}
		}
		out.Port = uint16(n)
	}
	*s = out
	return nil
}

// schemeHint names the scheme that stands here for what others call differently.
func schemeHint(scheme string) string {
	switch scheme {
	case "tcp":
		return `write "mqtt://" for MQTT over TCP`
	case "ssl", "tls", "tcps":
		return `write "mqtts://" for MQTT over TLS`
	}
	return `the schemes are "mqtt" (TCP) and "mqtts" (TLS)`
}

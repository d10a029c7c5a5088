package gateway

// Scheme is what the scheme of a broker's URL stands for.
type Scheme struct {
	Port      string // when the URL names none
	TLS       bool
	WebSocket bool
}

// SchemeOf returns what a URL's scheme stands for: mqtt (or tcp), mqtts (or ssl, tls), ws, wss. It reports false for any other.
func SchemeOf(name string) (Scheme, bool) {
	switch name {
	case "mqtt", "tcp":
		return Scheme{Port: "1883"}, true
	case "mqtts", "ssl", "tls":
		return Scheme{Port: "8883", TLS: true}, true
	case "ws":
		return Scheme{Port: "80", WebSocket: true}, true
	case "wss":
		return Scheme{Port: "443", TLS: true, WebSocket: true}, true
	}
	return Scheme{}, false
}

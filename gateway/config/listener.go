package config

import "crypto/tls"

// ListenerTLS says how a listener proves who it is, and what it asks of clients. The files are read again when they change.
type ListenerTLS struct {
	// Cert is the listener's own certificate in PEM, with those between it and its root behind it, and Key its key; both are empty
	// without TLS.
	Cert string `toml:"cert_file"`
	Key  string `toml:"key_file"`
	// ClientCA has the certificates in PEM of which one must have signed that of a client; empty with ClientCertNone only.
	ClientCA   string     `toml:"client_ca_file"`
	ClientCert ClientCert `toml:"client_cert"`
	// CertUser makes the common name of a client's certificate its user name, in place of user name and password.
	CertUser   bool       `toml:"cert_user"`
	MinVersion TLSVersion `toml:"min_version"`
}

// IsSet tells whether the listener is for TLS.
func (t ListenerTLS) IsSet() bool { return t.Cert != "" }

// ClientCert says whether clients show a certificate.
type ClientCert uint8

// ClientCertNone asks for none, ClientCertOptional takes one that is good or none at all, ClientCertRequired lets nobody in without.
const (
	ClientCertNone ClientCert = iota
	ClientCertOptional
	ClientCertRequired
)

func (ClientCert) names() []string  { return []string{"none", "optional", "required"} }
func (c ClientCert) String() string { return nameOf(c, uint8(c)) }

// TLS returns the same as crypto/tls says it.
func (c ClientCert) TLS() tls.ClientAuthType {
	switch c {
	case ClientCertOptional:
		return tls.VerifyClientCertIfGiven
	case ClientCertRequired:
		return tls.RequireAndVerifyClientCert
	}
	return tls.NoClientCert
}

// Usual ports of the local broker over WebSocket. Those of MQTT over TCP are portMQTT and portMQTTS.
const (
	portMQTTWS  = 8083
	portMQTTWSS = 8084
)

// usualPort is the port that people expect such a listener at.
func (l Listener) usualPort(encrypted bool) int {
	switch {
	case l.Protocol == ProtocolWebSocket && encrypted:
		return portMQTTWSS
	case l.Protocol == ProtocolWebSocket:
		return portMQTTWS
	case encrypted:
		return portMQTTS
	}
	return portMQTT
}

// anyPage tells whether the pages of all hosts may connect when nothing else is said. They may where a client must know a password: it stands
// in no browser. Where nothing is asked, or a certificate that the browser shows by itself, any page that a person visits could command
// devices in that person's name.
func (l Listener) anyPage() bool { return !l.AllowAnonymous && !l.TLS.CertUser }

// inheritListener fills in what depends on other keys.
func (c *Config) inheritListener(path string, l *Listener) {
	if !c.src.has(join(path, "allow_anonymous")) {
		l.AllowAnonymous = c.Broker.AllowAnonymous && loopback(l.Address)
	}
	if l.Protocol != ProtocolWebSocket {
		return
	}
	if !c.src.has(join(path, "paths")) {
		l.Paths = []string{"/mqtt", "/"}
	}
	if !c.src.has(join(path, "origins")) && l.anyPage() {
		l.Origins = []string{"*"}
	}
}

package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/bridge/transport"
	"github.com/tidegate/tidegate/gateway/config"
)

// The ports of MQTT by convention.
const (
	plainPort = 1883
	tlsPort   = 8883
)

// serverFlags say where the broker is.
type serverFlags struct {
	host   string
	port   uint16
	url    string
	config string

	ca, cert, key string
	alpn          string
	insecure      bool
	system        bool
}

func (f *serverFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.host, "host", "h", "127.0.0.1", "`HOST` of the broker")
	flags.Uint16VarP(&f.port, "port", "p", 0, "`PORT` of the broker (default 1883, with TLS 8883; port 8883 means TLS)")
	flags.StringVarP(&f.url, "url", "L", "", "`URL` of the broker: mqtt://, mqtts://[USER[:PASSWORD]@]HOST[:PORT][/TOPIC], ws:// or wss://HOST[:PORT][/PATH]")
	flags.StringVar(&f.config, "config", "", "take the address of the first listener in configuration `FILE`")
	flags.StringVar(&f.ca, "cafile", "", "TLS: trust the certificates in `FILE`, PEM, in place of the system's")
	flags.StringVar(&f.cert, "cert", "", "TLS: show the client certificate in `FILE`, PEM")
	flags.StringVar(&f.key, "key", "", "TLS: its private key in `FILE`, PEM")
	flags.StringVar(&f.alpn, "tls-alpn", "", "TLS: ask for `PROTOCOL`, as some clouds want on port 443")
	flags.StringVar(&f.alpn, "alpn", "", "the same as --tls-alpn")
	flags.BoolVar(&f.insecure, "insecure", false, "TLS: do not check that the certificate is for this host; it is for trials only")
	flags.BoolVar(&f.system, "tls-use-os-certs", false, "TLS: trust the system's certificates")
}

// wantTLS tells whether a flag makes sense with TLS only.
func (f *serverFlags) wantTLS() bool {
	return f.ca != "" || f.cert != "" || f.key != "" || f.alpn != "" || f.insecure || f.system
}

// target is a server, and the topic that its URL named.
type target struct {
	url   *url.URL
	topic string
}

// target returns the server that the flags name.
func (f *serverFlags) target(cmd *cobra.Command) (target, error) {
	given := cmd.Flags().Changed("host") || cmd.Flags().Changed("port")
	switch {
	case f.url != "" && (given || f.config != ""), f.config != "" && given:
		return target{}, errors.New("-L, --config, and -h with -p each name a broker: give one of them")
	case f.url != "":
		return f.parseURL()
	case f.config != "":
		return f.fromConfig()
	}
	return f.hostAndPort()
}

// hostAndPort reads -h and -p.
func (f *serverFlags) hostAndPort() (target, error) {
	if f.host == "" || strings.ContainsAny(f.host, ":/") && net.ParseIP(f.host) == nil {
		return target{}, fmt.Errorf("-h %s: this is no host; a port goes into -p, and a URL into -L", f.host)
	}
	port := f.port
	if port == 0 {
		port = plainPort
		if f.wantTLS() {
			port = tlsPort
		}
	}
	return target{url: &url.URL{Scheme: f.scheme(), Host: net.JoinHostPort(f.host, strconv.Itoa(int(port)))}}, nil
}

func (f *serverFlags) scheme() string {
	if f.wantTLS() || f.port == tlsPort {
		return "mqtts"
	}
	return "mqtt"
}

// parseURL reads -L. In an mqtt URL all behind the host is the topic as it stands, "#" too.
func (f *serverFlags) parseURL() (target, error) {
	scheme, rest, _ := strings.Cut(f.url, "://")
	text, topic := f.url, ""
	if scheme == "mqtt" || scheme == "mqtts" {
		var authority string
		authority, topic, _ = strings.Cut(rest, "/")
		text = scheme + "://" + authority
	}
	u, err := url.Parse(text)
	if err != nil {
		return target{}, errors.New("-L: this is no URL; it is like mqtt://HOST:PORT/TOPIC, and in USER and PASSWORD the characters %, :, /, ? and # are written %25, %3A, %2F, %3F and %23")
	}
	secure := false
	switch u.Scheme {
	case "mqtts", "wss":
		secure = true
	case "mqtt", "ws":
	default:
		return target{}, fmt.Errorf("-L: the schemes are mqtt, mqtts, ws and wss, not %q", u.Scheme)
	}
	if u.Hostname() == "" {
		return target{}, errors.New("-L: the URL names no host")
	}
	if !secure && f.wantTLS() {
		return target{}, fmt.Errorf("-L %[1]s:// is without TLS, and a flag for TLS is given: use %[1]ss://", u.Scheme)
	}
	return target{u, topic}, nil
}

// fromConfig reads --config: the first listener of a gateway, as a client on this machine reaches it.
func (f *serverFlags) fromConfig() (target, error) {
	cfg, err := parseWithoutSecrets(f.config)
	if err != nil {
		return target{}, fmt.Errorf("--config: %w", err)
	}
	if len(cfg.Broker.Listeners) == 0 {
		return target{}, fmt.Errorf("--config %s: it has no [[broker.listener]]", f.config)
	}
	l := cfg.Broker.Listeners[0]
	host, port, err := net.SplitHostPort(l.Address)
	if err != nil {
		return target{}, fmt.Errorf("--config %s: %w", f.config, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	u := &url.URL{Scheme: "mqtt", Host: net.JoinHostPort(host, port)}
	if l.Protocol == config.ProtocolWebSocket {
		u.Scheme = "ws"
		if len(l.Paths) > 0 {
			u.Path = l.Paths[0]
		}
	}
	if l.TLS.IsSet() {
		u.Scheme += "s"
	} else if f.wantTLS() {
		return target{}, fmt.Errorf("--config %s: its first listener is without TLS, and a flag for TLS is given", f.config)
	}
	return target{url: u}, nil
}

// tlsConfig reads the certificate files for a connection to u. It is nil without TLS.
func (f *serverFlags) tlsConfig(u *url.URL) (*tls.Config, error) {
	if u.Scheme != "mqtts" && u.Scheme != "wss" {
		return nil, nil
	}
	o := transport.TLSOptions{CAFile: f.ca, CertFile: f.cert, KeyFile: f.key}
	if f.alpn != "" {
		o.ALPN = []string{f.alpn}
	}
	if (f.cert == "") != (f.key == "") {
		return nil, errors.New("--cert and --key belong together: give both or neither")
	}
	cfg, _, err := o.Load(u.Hostname(), time.Now())
	if err != nil {
		return nil, err
	}
	if f.insecure {
		trustAnyName(cfg)
	}
	return cfg, nil
}

// trustAnyName leaves the name in the server's certificate unchecked. That it comes from an authority that is trusted is checked all the same.
func trustAnyName(cfg *tls.Config) {
	roots := cfg.RootCAs
	cfg.InsecureSkipVerify = true
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		between := x509.NewCertPool()
		for _, c := range s.PeerCertificates[1:] {
			between.AddCert(c)
		}
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
		return err
	}
}

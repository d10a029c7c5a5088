package transport

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http/httptrace"
	"slices"
	"strings"
	"time"
)

// TLSOptions are the settings of mqtts and wss. The zero value trusts the certificates of the system and shows none.
type TLSOptions struct {
	CAFile     string   // trusted certificates in PEM; "": those of the system
	CertFile   string   // client certificate in PEM, the chain behind it; with KeyFile, or ""
	KeyFile    string   // its private key in PEM, not encrypted
	ServerName string   // replaces the host of the URL in SNI (RFC 6066, 3) and in the check of the certificate
	ALPN       []string // protocols offered (RFC 7301), such as x-amzn-mqtt-ca
	MinVersion string   // "1.2" (also ""), "1.3"
	// Pins are SHA-256 sums of public keys (SubjectPublicKeyInfo, as in RFC 7469, 2.4) in base64. When there are any, one of them must
	// belong to a certificate of the chain, which must be valid besides.
	Pins []string
}

// check finds mistakes that need no file.
func (o TLSOptions) check() error {
	if (o.CertFile == "") != (o.KeyFile == "") {
		return errors.New("tls: cert_file and key_file belong together: give both or neither")
	}
	if _, err := o.minVersion(); err != nil {
		return err
	}
	_, err := o.pins()
	return err
}

func (o TLSOptions) minVersion() (uint16, error) {
	switch o.MinVersion {
	case "", "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf(`tls: min_version %q is unknown; it is "1.2" or "1.3"`, o.MinVersion)
}

// pinPrefix may stand before a pin, as some tools print it.
const pinPrefix = "sha256/"

func (o TLSOptions) pins() ([][sha256.Size]byte, error) {
	var sums [][sha256.Size]byte
	for _, pin := range o.Pins {
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(pin, pinPrefix))
		if err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("tls: pin %q is not a SHA-256 sum in base64, 44 characters that end in \"=\"", pin)
		}
		sums = append(sums, [sha256.Size]byte(sum))
	}
	return sums, nil
}

// Load reads the files and returns the configuration for a connection to host, and when the client certificate ends (zero: there
// is none). Its errors name the file, what is wrong with it, and what to do.
func (o TLSOptions) Load(host string, now time.Time) (cfg *tls.Config, ends time.Time, err error) {
	cfg = &tls.Config{ServerName: host, NextProtos: o.ALPN}
	if o.ServerName != "" {
		cfg.ServerName = o.ServerName
	}
	if cfg.MinVersion, err = o.minVersion(); err != nil {
		return nil, ends, err
	}
	if cfg.RootCAs, err = loadRoots("ca_file", o.CAFile, now); err != nil {
		return nil, ends, err
	}
	if o.CertFile != "" {
		cert, err := loadClient(o.CertFile, o.KeyFile, now)
		if err != nil {
			return nil, ends, err
		}
		ends = cert.Leaf.NotAfter
		// Shown whatever issuers the server asks for: a refusal by the server says more than a certificate that was silently kept back.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	pins, err := o.pins()
	if len(pins) > 0 {
		cfg.VerifyConnection = func(s tls.ConnectionState) error { return checkPins(pins, s) }
	}
	return cfg, ends, err
}

// pinOf is the sum that stands for a certificate's public key.
func pinOf(c *x509.Certificate) [sha256.Size]byte { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// Pin returns the pin of a certificate's public key, as Pins want it.
func Pin(c *x509.Certificate) string {
	sum := pinOf(c)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// checkPins runs after the chain was verified. A resumed session comes here too.
func checkPins(pins [][sha256.Size]byte, s tls.ConnectionState) error {
	for _, chain := range s.VerifiedChains {
		for _, c := range chain {
			if slices.Contains(pins, pinOf(c)) {
				return nil
			}
		}
	}
	return fmt.Errorf("the server's public key has the pin %q, which is not among the configured ones: "+
		"add it if the server has a new key, otherwise somebody else answers in its place", Pin(s.PeerCertificates[0]))
}

// secure does the TLS handshake over c. It closes c when it fails.
func (t *Transport) secure(ctx context.Context, c net.Conn, host string) (net.Conn, error) {
	cfg, ends, err := t.opts.TLS.Load(host, t.opts.Now())
	if err != nil {
		c.Close()
		return nil, err
	}
	t.mu.Lock()
	t.certs = Certificates{Client: ends}
	t.mu.Unlock()
	cfg.Time = t.opts.Now
	secured, err := handshake(ctx, c, cfg)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.certs.Server = firstEnd(secured.ConnectionState())
	t.mu.Unlock()
	return secured, nil
}

// handshake does the TLS handshake and tells a trace in ctx about it. It closes c when it fails.
func handshake(ctx context.Context, c net.Conn, cfg *tls.Config) (*tls.Conn, error) {
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	secured := tls.Client(c, cfg)
	err := secured.HandshakeContext(ctx)
	if err != nil {
		c.Close()
		err = fmt.Errorf("tls handshake with %s: %w", cfg.ServerName, err)
	}
	if trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(secured.ConnectionState(), err)
	}
	if err != nil {
		return nil, err
	}
	return secured, nil
}

// firstEnd returns when the first certificate of the chain ends. Of several chains the one that lasts longest counts.
func firstEnd(s tls.ConnectionState) time.Time {
	var ends time.Time
	for _, chain := range s.VerifiedChains {
		end := chain[0].NotAfter
		for _, c := range chain {
			if c.NotAfter.Before(end) {
				end = c.NotAfter
			}
		}
		if end.After(ends) {
			ends = end
		}
	}
	return ends
}

package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// heardConn notes what the client has said last, until its handshake is over.
type heardConn struct {
	net.Conn
	done bool
	last [7]byte // at the end of what was read
	size int
}

// Read implements io.Reader.
func (c *heardConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.done {
		c.size = copy(c.last[:], p[max(0, n-len(c.last)):n])
	}
	return n, err
}

func (c *heardConn) heard() bool { return c.size > 0 }

// alert returns what the client has sent as an alert without encryption (RFC 8446, 6), which crypto/tls takes for a damaged record where
// encryption has begun. OpenSSL sends it so when it does not trust a certificate. As anybody on the way could have sent it, it is good for
// an explanation and nothing else.
func (c *heardConn) alert() (text string, ok bool) {
	if c.size != len(c.last) || string(c.last[:5]) != "\x15\x03\x03\x00\x02" {
		return "", false
	}
	return tls.AlertError(c.last[6]).Error(), true
}

// explain returns an error that tells a person why a handshake failed and what to do. Alerts of a client come as text alone.
func (s *Server) explain(ctx context.Context, c *heardConn, err error) error {
	var record tls.RecordHeaderError
	var untrusted *tls.CertificateVerificationError
	text := err.Error()
	if sent, ok := c.alert(); ok && strings.Contains(text, "bad record MAC") {
		return refusedBy(sent)
	}
	switch {
	case (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) && !c.heard():
		return io.EOF
	case errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil:
		return fmt.Errorf("tls handshake: the client did not finish it within the connect timeout: %w", os.ErrDeadlineExceeded)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("tls handshake: the client closed the connection in the middle of it; some do so when they do not trust the certificate here")
	case errors.As(err, &record) && record.Conn != nil:
		return s.plain(record)
	case errors.As(err, &untrusted):
		return s.untrusted(untrusted)
	case strings.Contains(text, "didn't provide a certificate"):
		return errors.New("tls handshake: the client showed no certificate, and client_cert = \"required\" asks for one: give it a certificate " +
			"that client_ca_file has signed, and its key")
	case strings.Contains(text, "offered only unsupported versions"):
		return fmt.Errorf("tls handshake: the client speaks no version of TLS from %s on: update it, or lower min_version if it is above 1.2",
			tls.VersionName(max(s.opts.MinVersion, tls.VersionTLS12)))
	case strings.Contains(text, "remote error"):
		return refusedBy(text)
	default:
		return fmt.Errorf("tls handshake: %w", err)
	}
}

// plain says what came instead of TLS.
func (s *Server) plain(e tls.RecordHeaderError) error {
	const firstOfMQTT = 0x10 // CONNECT (MQTT 3.1.1, 2.2)
	head := string(e.RecordHeader[:])
	switch {
	case head[0] == firstOfMQTT:
		return errors.New("the client speaks MQTT without TLS, and this listener is for TLS: turn TLS on in the client, or use the port of another listener")
	case strings.HasPrefix(head, "GET ") || strings.HasPrefix(head, "POST ") || strings.HasPrefix(head, "HEAD "):
		_, _ = io.WriteString(e.Conn, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nThis port is for TLS: use wss:// or https://.\n")
		return errors.New("the client speaks HTTP without TLS, and this listener is for TLS: it must use wss:// and not ws://")
	}
	return fmt.Errorf("what came is no TLS: it begins with % x", e.RecordHeader)
}

// untrusted says what is wrong with a client's certificate.
func (s *Server) untrusted(e *tls.CertificateVerificationError) error {
	name := ""
	if len(e.UnverifiedCertificates) > 0 {
		name = nameOf(e.UnverifiedCertificates[0])
	}
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	what := e.Err.Error()
	switch {
	case errors.As(e.Err, &unknown):
		what = fmt.Sprintf("no certificate in client_ca_file %s has signed it", s.opts.ClientCAFile)
	case errors.As(e.Err, &invalid) && invalid.Reason == x509.Expired:
		what = fmt.Sprintf("it is valid from %s to %s, and the clock here says %s", date(invalid.Cert.NotBefore), date(invalid.Cert.NotAfter), date(s.opts.Now()))
	case errors.As(e.Err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		what = "it was not issued for clients (extended key usage clientAuth)"
	}
	return fmt.Errorf("tls handshake: the certificate of the client, %q, is not accepted: %s", name, what)
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// refusedBy says why a client ended the handshake, by the alert that it sent (RFC 8446, 6.2).
func refusedBy(text string) error {
	_, alert, _ := strings.Cut(text, "tls: ")
	advice := ""
	switch {
	case strings.Contains(alert, "unknown certificate authority"), strings.Contains(alert, "bad certificate"), strings.Contains(alert, "unknown certificate"):
		advice = "it does not trust the certificate here: give it the CA that signed this one (mosquitto_sub: --cafile), " +
			"and let it connect to a name or address that stands in the certificate"
	case strings.Contains(alert, "expired certificate"):
		advice = "the certificate here has expired, or the client's clock is wrong"
	case strings.Contains(alert, "protocol version"):
		advice = "it takes no version of TLS that is spoken here"
	}
	if advice == "" {
		return fmt.Errorf("tls handshake: the client ended it with the alert %q", alert)
	}
	return fmt.Errorf("tls handshake: the client ended it with the alert %q: %s", alert, advice)
}

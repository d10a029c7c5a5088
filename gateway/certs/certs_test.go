package certs_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/bridge/transport/transporttest"
	"github.com/tidegate/tidegate/gateway/certs"
)

// patience bounds every wait, to find a hang.
const patience = 20 * time.Second

// clock is a time that tests set.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// rig is a server with a CA, a clock and a log.
type rig struct {
	t      *testing.T
	ca     *transporttest.CA
	pair   transporttest.Pair
	clock  *clock
	log    logText
	server *certs.Server
}

// logText is a log that is read while it is written.
type logText struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logText) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Reset()
}

func newRig(t *testing.T, adjust func(r *rig, o *certs.Options)) *rig {
	t.Helper()
	r := &rig{t: t, ca: transporttest.NewCA(t), clock: &clock{at: time.Now()}}
	r.pair = r.ca.Issue(t, transporttest.Leaf{})
	o := certs.Options{CertFile: r.pair.CertFile, KeyFile: r.pair.KeyFile, Logger: slog.New(slog.NewTextHandler(&r.log, nil)), Now: r.clock.now}
	if adjust != nil {
		adjust(r, &o)
	}
	var err error
	if r.server, err = certs.New(o); err != nil {
		t.Fatal(err)
	}
	return r
}

// result is what became of a handshake.
type result struct {
	user string
	err  error
}

// accept does one handshake with whoever connects to the address that it returns, says hello, and closes.
func (r *rig) accept(timeout time.Duration) (addr string, done <-chan result) {
	r.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	results := make(chan result, 1)
	go func() {
		defer l.Close()
		raw, err := l.Accept()
		if err != nil {
			results <- result{err: err}
			return
		}
		defer raw.Close()
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		c, user, err := r.server.Handshake(ctx, raw)
		if err == nil {
			_, _ = io.WriteString(c, "hello")
			_ = c.Close()
		}
		results <- result{user, err}
	}()
	return l.Addr().String(), results
}

// dial connects as a client and returns the server's certificate. The error is the first that shows, of the handshake or of reading.
func (r *rig) dial(addr string, cfg *tls.Config) (*x509.Certificate, error) {
	r.t.Helper()
	if cfg.RootCAs == nil {
		cfg.RootCAs = x509.NewCertPool()
		cfg.RootCAs.AddCert(r.ca.Cert)
	}
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", addr, cfg)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, err = io.ReadFull(c, make([]byte, 5)) // in TLS 1.3 the client learns only now that it was refused
	return c.ConnectionState().PeerCertificates[0], err
}

// meet does one handshake from both sides.
func (r *rig) meet(cfg *tls.Config) (*x509.Certificate, result, error) {
	r.t.Helper()
	addr, done := r.accept(patience)
	cert, err := r.dial(addr, cfg)
	return cert, <-done, err
}

// renew puts another certificate into the server's files and lets it be noticed.
func (r *rig) renew(pair transporttest.Pair) {
	r.t.Helper()
	copyFile(r.t, pair.CertFile, r.pair.CertFile)
	copyFile(r.t, pair.KeyFile, r.pair.KeyFile)
	r.clock.advance(time.Hour)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestHandshake(t *testing.T) {
	r := newRig(t, nil)
	cert, got, err := r.meet(&tls.Config{})
	if err != nil || got.err != nil || got.user != "" || !cert.Equal(r.pair.Cert) {
		t.Errorf("client %v, server %+v", err, got)
	}
	if !r.server.Expiry().Equal(r.pair.Cert.NotAfter) {
		t.Errorf("Expiry is %v, want %v", r.server.Expiry(), r.pair.Cert.NotAfter)
	}
}

// TestClientCertificates tries who is let in, and by what name.
func TestClientCertificates(t *testing.T) {
	stranger := transporttest.NewCA(t)
	for name, tt := range map[string]struct {
		auth  tls.ClientAuthType
		shows func(r *rig) []tls.Certificate
		user  string
		err   string
	}{
		"required, shown":        {tls.RequireAndVerifyClientCert, of("press 4"), "press 4", ""},
		"required, none":         {tls.RequireAndVerifyClientCert, nil, "", "showed no certificate"},
		"required, of another":   {tls.RequireAndVerifyClientCert, by(stranger, transporttest.Leaf{Name: "mallory"}), "", `"mallory", is not accepted: no certificate in client_ca_file`},
		"optional, shown":        {tls.VerifyClientCertIfGiven, of("press 4"), "press 4", ""},
		"optional, none":         {tls.VerifyClientCertIfGiven, nil, "", ""},
		"optional, of another":   {tls.VerifyClientCertIfGiven, by(stranger, transporttest.Leaf{Name: "mallory"}), "", "is not accepted"},
		"expired":                {tls.RequireAndVerifyClientCert, old("press 4"), "", "it is valid from"},
		"not asked for, shown":   {tls.NoClientCert, of("press 4"), "", ""},
		"with control in its CN": {tls.RequireAndVerifyClientCert, of("a\nb"), "", "control characters"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(r *rig, o *certs.Options) { o.ClientAuth, o.ClientCAFile, o.NamesUser = tt.auth, r.ca.File, true })
			cfg := &tls.Config{}
			if tt.shows != nil {
				shown := tt.shows(r)
				cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &shown[0], nil }
			}
			_, got, err := r.meet(cfg)
			if got.user != tt.user || (got.err == nil) != (tt.err == "") || (err == nil) != (tt.err == "") {
				t.Fatalf("client %v, server %+v", err, got)
			}
			if tt.err != "" && !strings.Contains(got.err.Error(), tt.err) {
				t.Errorf("got %v, want it to say %q", got.err, tt.err)
			}
		})
	}
}

func of(name string) func(*rig) []tls.Certificate {
	return func(r *rig) []tls.Certificate { return by(r.ca, transporttest.Leaf{Name: name})(r) }
}

func old(name string) func(*rig) []tls.Certificate {
	return func(r *rig) []tls.Certificate {
		return by(r.ca, transporttest.Leaf{Name: name, Begins: time.Now().Add(-2 * time.Hour), Ends: time.Now().Add(-time.Hour)})(r)
	}
}

func by(ca *transporttest.CA, l transporttest.Leaf) func(*rig) []tls.Certificate {
	return func(r *rig) []tls.Certificate { return []tls.Certificate{ca.Issue(r.t, l).TLS} }
}

// TestCertificateWithoutName lets nobody in as a user without a name.
func TestCertificateWithoutName(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"plant"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(_ *rig, o *certs.Options) {
		o.ClientAuth, o.NamesUser, o.ClientCAFile = tls.RequireAndVerifyClientCert, true, transporttest.WritePEM(t, "CERTIFICATE", der)
	})
	_, got, _ := r.meet(&tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if got.err == nil || !strings.Contains(got.err.Error(), `"O=plant" has no common name (CN)`) {
		t.Errorf("got %+v", got)
	}
}

// TestFailedHandshakesAreExplained connects as people do who have turned TLS on or off at the wrong end.
func TestFailedHandshakesAreExplained(t *testing.T) {
	says := func(text string) func(net.Conn) {
		return func(c net.Conn) { _, _ = io.WriteString(c, text); _, _ = io.Copy(io.Discard, c) }
	}
	speaks := func(cfg *tls.Config) func(net.Conn) {
		return func(c net.Conn) { _ = tls.Client(c, cfg).Handshake() }
	}
	for name, tt := range map[string]struct {
		peer func(net.Conn)
		want string
	}{
		"MQTT":              {says("\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"), "speaks MQTT without TLS"},
		"HTTP":              {says("GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n"), "it must use wss:// and not ws://"},
		"something":         {says("hello, is anybody there?"), "it begins with 68 65 6c 6c 6f"},
		"trusts us not":     {speaks(&tls.Config{ServerName: "localhost", RootCAs: x509.NewCertPool()}), "give it the CA that signed this one"},
		"another name":      {speaks(&tls.Config{ServerName: "gateway", RootCAs: x509.NewCertPool()}), "does not trust the certificate here"},
		"too old":           {speaks(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), "no version of TLS from TLS 1.2 on"},
		"leaves in silence": {func(net.Conn) {}, "EOF"},
		"alerts in the clear": {func(c net.Conn) {
			_ = tls.Client(&alertConn{Conn: c}, &tls.Config{InsecureSkipVerify: true}).Handshake()
		}, `the alert "unknown certificate authority": it does not trust`},
		"leaves amid it": {func(c net.Conn) { _, _ = io.WriteString(c, "\x16\x03\x01") }, "closed the connection in the middle"},
		"never goes on":  {says("\x16\x03\x01"), "did not finish it within the connect timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			timeout := patience
			if name == "never goes on" {
				timeout = 50 * time.Millisecond
			}
			addr, done := r.accept(timeout)
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			tt.peer(c)
			c.Close()
			got := <-done
			if got.err == nil || !strings.Contains(got.err.Error(), tt.want) {
				t.Errorf("got %v, want it to say %q", got.err, tt.want)
			}
			if name == "leaves in silence" && !errors.Is(got.err, io.EOF) {
				t.Errorf("got %v, want io.EOF", got.err)
			}
		})
	}
}

// alertConn says what OpenSSL does when it does not trust a certificate, in place of all that follows the first message.
type alertConn struct {
	net.Conn
	begun bool
}

func (c *alertConn) Write(p []byte) (int, error) {
	if c.begun {
		p = []byte("\x14\x03\x03\x00\x01\x01\x15\x03\x03\x00\x02\x02\x30")
	}
	c.begun = true
	if _, err := c.Conn.Write(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func TestMinimumVersion(t *testing.T) {
	r := newRig(t, func(_ *rig, o *certs.Options) { o.MinVersion = tls.VersionTLS13 })
	_, got, err := r.meet(&tls.Config{MaxVersion: tls.VersionTLS12})
	if err == nil || got.err == nil || !strings.Contains(got.err.Error(), "TLS 1.3 on") {
		t.Errorf("client %v, server %v", err, got.err)
	}
}

// TestMistakesInFiles is what New says of files that cannot be used.
func TestMistakesInFiles(t *testing.T) {
	ca := transporttest.NewCA(t)
	pair, other := ca.Issue(t, transporttest.Leaf{}), ca.Issue(t, transporttest.Leaf{})
	text := transporttest.WriteFile(t, "hello")
	locked := transporttest.WritePEM(t, "ENCRYPTED PRIVATE KEY", []byte("x"))
	for name, tt := range map[string]struct {
		o    certs.Options
		want string
	}{
		"no such file":    {certs.Options{CertFile: "/nowhere.pem", KeyFile: pair.KeyFile}, "read cert_file: open /nowhere.pem: no such file"},
		"swapped":         {certs.Options{CertFile: pair.KeyFile, KeyFile: pair.CertFile}, "are cert_file and key_file swapped?"},
		"no certificate":  {certs.Options{CertFile: text, KeyFile: pair.KeyFile}, "no certificate in PEM"},
		"no key":          {certs.Options{CertFile: pair.CertFile, KeyFile: text}, "no private key in PEM"},
		"encrypted key":   {certs.Options{CertFile: pair.CertFile, KeyFile: locked}, "the key is encrypted"},
		"key of another":  {certs.Options{CertFile: pair.CertFile, KeyFile: other.KeyFile}, "do not go together"},
		"no CA":           {certs.Options{CertFile: pair.CertFile, KeyFile: pair.KeyFile, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAFile: text}, "client_ca_file " + text},
		"CA not readable": {certs.Options{CertFile: pair.CertFile, KeyFile: pair.KeyFile, ClientCAFile: "/nowhere.pem"}, "read client_ca_file"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := certs.New(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want it to say %q", err, tt.want)
			}
		})
	}
}

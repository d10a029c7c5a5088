package transport_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/bridge/transport"
	"github.com/tidegate/tidegate/bridge/transport/transporttest"
)

func TestServerIsChecked(t *testing.T) {
	ca, foreign := transporttest.NewCA(t), transporttest.NewCA(t)
	server := ca.Issue(t, transporttest.Leaf{})
	past := transporttest.Leaf{Begins: time.Now().Add(-2 * time.Hour), Ends: time.Now().Add(-time.Hour)}
	only12 := &tls.Config{MaxVersion: tls.VersionTLS12}
	for name, tt := range map[string]struct {
		server tls.Certificate
		cfg    *tls.Config
		o      transport.TLSOptions
		want   string // "": accepted
	}{
		"trusted":            {server.TLS, nil, transport.TLSOptions{CAFile: ca.File}, ""},
		"foreign authority":  {server.TLS, nil, transport.TLSOptions{CAFile: foreign.File}, "unknown authority"},
		"not of the system":  {server.TLS, nil, transport.TLSOptions{}, "unknown authority"},
		"expired":            {ca.Issue(t, past).TLS, nil, transport.TLSOptions{CAFile: ca.File}, "expired"},
		"another name":       {ca.Issue(t, transporttest.Leaf{Name: "a.example"}).TLS, nil, transport.TLSOptions{CAFile: ca.File}, "127.0.0.1"},
		"server_name":        {ca.Issue(t, transporttest.Leaf{Name: "a.example"}).TLS, nil, transport.TLSOptions{CAFile: ca.File, ServerName: "a.example"}, ""},
		"version 1.2":        {server.TLS, only12, transport.TLSOptions{CAFile: ca.File, MinVersion: "1.2"}, ""},
		"version too old":    {server.TLS, only12, transport.TLSOptions{CAFile: ca.File, MinVersion: "1.3"}, "protocol version"},
		"pin of the server":  {server.TLS, nil, transport.TLSOptions{CAFile: ca.File, Pins: []string{transport.Pin(foreign.Cert), transport.Pin(server.Cert)}}, ""},
		"pin of its issuer":  {server.TLS, nil, transport.TLSOptions{CAFile: ca.File, Pins: []string{"sha256/" + transport.Pin(ca.Cert)}}, ""},
		"pin of another key": {server.TLS, nil, transport.TLSOptions{CAFile: ca.File, Pins: []string{transport.Pin(foreign.Cert)}}, `the pin "` + transport.Pin(server.Cert)},
		"pin without chain":  {server.TLS, nil, transport.TLSOptions{CAFile: foreign.File, Pins: []string{transport.Pin(server.Cert)}}, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := &tls.Config{}
			if tt.cfg != nil {
				cfg = tt.cfg.Clone()
			}
			cfg.Certificates = []tls.Certificate{tt.server}
			c, err := dial(t, newTransport(t, transport.Options{TLS: tt.o}), to(t, "mqtts", echo(t, cfg)))
			if tt.want != "" {
				mustFail(t, err, tt.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			mustEcho(t, c)
		})
	}
}

// TestHandshakeOffers looks at what the server is told.
func TestHandshakeOffers(t *testing.T) {
	ca := transporttest.NewCA(t)
	server, client := ca.Issue(t, transporttest.Leaf{Name: "broker.example"}), ca.Issue(t, transporttest.Leaf{Name: "gateway 7"})
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	seen := make(chan tls.ConnectionState, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{
		Certificates: []tls.Certificate{server.TLS}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, NextProtos: []string{"x-amzn-mqtt-ca"},
	}
	serve(t, tls.NewListener(l, cfg), func(c net.Conn) {
		if c.(*tls.Conn).Handshake() == nil {
			seen <- c.(*tls.Conn).ConnectionState()
		}
	})
	tr := newTransport(t, transport.Options{TLS: transport.TLSOptions{
		CAFile: ca.File, CertFile: client.CertFile, KeyFile: client.KeyFile,
		ServerName: "broker.example", ALPN: []string{"mqtt", "x-amzn-mqtt-ca"},
	}})
	if _, err := dial(t, tr, to(t, "mqtts", l)); err != nil {
		t.Fatal(err)
	}
	select {
	case s := <-seen:
		if s.ServerName != "broker.example" || s.NegotiatedProtocol != "x-amzn-mqtt-ca" || s.PeerCertificates[0].Subject.CommonName != "gateway 7" {
			t.Errorf("SNI %q, ALPN %q, client %v", s.ServerName, s.NegotiatedProtocol, s.PeerCertificates[0].Subject)
		}
	case <-time.After(patience):
		t.Fatal("no handshake")
	}
	got := tr.Certificates()
	if !got.Client.Equal(client.Cert.NotAfter) || !got.Server.Equal(server.Cert.NotAfter) {
		t.Errorf("certificates end %+v", got)
	}
}

// TestFilesAreReadAnew replaces the trusted certificate between two dials of one transport.
func TestFilesAreReadAnew(t *testing.T) {
	ca, old := transporttest.NewCA(t), transporttest.NewCA(t)
	l := echo(t, &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, transporttest.Leaf{}).TLS}})
	trusted := filepath.Join(t.TempDir(), "ca.pem")
	replace := func(from string) {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(trusted, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tr := newTransport(t, transport.Options{TLS: transport.TLSOptions{CAFile: trusted}})
	replace(old.File)
	_, err := dial(t, tr, to(t, "mqtts", l))
	mustFail(t, err, "unknown authority")
	replace(ca.File)
	if _, err := dial(t, tr, to(t, "mqtts", l)); err != nil {
		t.Error(err)
	}
}

func TestFileErrors(t *testing.T) {
	ca := transporttest.NewCA(t)
	good, other := ca.Issue(t, transporttest.Leaf{}), ca.Issue(t, transporttest.Leaf{})
	past := ca.Issue(t, transporttest.Leaf{Name: "gw7", Begins: time.Now().Add(-2 * time.Hour), Ends: time.Now().Add(-time.Hour)})
	text := transporttest.WriteFile(t, "hello")
	missing := filepath.Join(t.TempDir(), "none.pem")
	for name, tt := range map[string]struct {
		o    transport.TLSOptions
		want []string
	}{
		"no such file":        {transport.TLSOptions{CAFile: missing}, []string{"read ca_file: open " + missing, "no such file"}},
		"not PEM":             {transport.TLSOptions{CAFile: text}, []string{"ca_file " + text + ": no certificate in PEM", "openssl x509"}},
		"a damaged one":       {transport.TLSOptions{CAFile: transporttest.WritePEM(t, "CERTIFICATE", []byte("x"))}, []string{"certificate 1 is damaged"}},
		"an expired root":     {transport.TLSOptions{CAFile: past.CertFile}, []string{`ca_file`, `the certificate of "gw7" ended at`}},
		"client not PEM":      {transport.TLSOptions{CertFile: text, KeyFile: good.KeyFile}, []string{"cert_file " + text + ": no certificate"}},
		"no key file":         {transport.TLSOptions{CertFile: good.CertFile, KeyFile: missing}, []string{"read key_file: open " + missing}},
		"key not PEM":         {transport.TLSOptions{CertFile: good.CertFile, KeyFile: text}, []string{"key_file " + text + ": no private key in PEM"}},
		"key of another":      {transport.TLSOptions{CertFile: good.CertFile, KeyFile: other.KeyFile}, []string{"the key does not belong to the certificate in cert_file " + good.CertFile}},
		"certificate for key": {transport.TLSOptions{CertFile: good.CertFile, KeyFile: good.CertFile}, []string{`it holds "CERTIFICATE", no private key`, "swapped?"}},
		"encrypted": {
			transport.TLSOptions{CertFile: good.CertFile, KeyFile: transporttest.WritePEM(t, "ENCRYPTED PRIVATE KEY", []byte("x"))},
			[]string{"the key is encrypted", "openssl pkey"},
		},
		"a damaged key": {
			transport.TLSOptions{CertFile: good.CertFile, KeyFile: transporttest.WritePEM(t, "PRIVATE KEY", []byte("x"))},
			[]string{"key_file", "failed to parse private key"},
		},
		"client expired": {transport.TLSOptions{CertFile: past.CertFile, KeyFile: past.KeyFile}, []string{"cert_file", `the certificate of "gw7" ended at`, "renewed"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := tt.o.Load("h", time.Now())
			mustFail(t, err, tt.want...)
		})
	}
}

// TestPinIsWhatOpensslComputes holds a pin against one that was computed by other means:
//
//	openssl x509 -in cert.pem -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64
func TestPinIsWhatOpensslComputes(t *testing.T) {
	data, err := os.ReadFile("testdata/cert.pem")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/cert.pin")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if got := transport.Pin(cert); got != strings.TrimSpace(string(want)) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Package transporttest gives tests what an upstream has: certificates of an authority that lives as long as the test, and Debian's
// mosquitto.
package transporttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA is a certificate authority.
type CA struct {
	File string // its own certificate, in PEM
	Cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Leaf is a certificate to be issued. The zero value is good for 127.0.0.1, localhost and as a client, for a day around now.
type Leaf struct {
	Name   string    // common name and host name; "": localhost and 127.0.0.1
	Begins time.Time // zero: an hour ago
	Ends   time.Time // zero: in a day
}

// Pair is an issued certificate and its key, as files in PEM.
type Pair struct {
	CertFile, KeyFile string
	Cert              *x509.Certificate
	TLS               tls.Certificate
}

// NewCA makes an authority.
func NewCA(t testing.TB) *CA {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tidegate test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	cert, file := issue(t, template, template, key, key)
	return &CA{File: file, Cert: cert, key: key}
}

// Issue makes a certificate for servers and clients.
func (ca *CA) Issue(t testing.TB, l Leaf) Pair {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: l.Name},
		NotBefore: l.Begins, NotAfter: l.Ends, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{l.Name},
	}
	if l.Name == "" {
		template.Subject.CommonName, template.DNSNames = "localhost", []string{"localhost"}
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	if l.Begins.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if l.Ends.IsZero() {
		template.NotAfter = time.Now().Add(24 * time.Hour)
	}
	key := newKey(t)
	cert, file := issue(t, template, ca.Cert, key, ca.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return Pair{
		CertFile: file, KeyFile: WritePEM(t, "PRIVATE KEY", der), Cert: cert,
		TLS: tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key},
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func issue(t testing.TB, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*x509.Certificate, string) {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, WritePEM(t, "CERTIFICATE", der)
}

// WritePEM writes a block into a file of its own and returns the file's path.
func WritePEM(t testing.TB, kind string, der []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "block.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

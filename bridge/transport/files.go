package transport

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// maxFile bounds a certificate file. The system's bundle of all authorities has about 250 kB.
const maxFile = 4 << 20

// readFile reads the file that the key named setting points to.
func readFile(setting, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", setting, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", setting, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s %s: larger than %d MiB, so it holds no certificates", setting, path, maxFile>>20)
	}
	return data, nil
}

// certificates returns those in data, PEM.
func certificates(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d is damaged: %w", len(certs)+1, err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, errors.New(`no certificate in PEM: it must have a block "-----BEGIN CERTIFICATE-----"; ` +
			"a file in DER is converted by: openssl x509 -inform der -in FILE")
	}
	return certs, nil
}

// loadRoots returns the pool of trusted certificates; nil, for those of the system, when there is no file.
func loadRoots(setting, path string, now time.Time) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	data, err := readFile(setting, path)
	if err != nil {
		return nil, err
	}
	certs, err := certificates(data)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", setting, path, err)
	}
	pool := x509.NewCertPool()
	var last time.Time
	for _, c := range certs {
		pool.AddCert(c)
		if c.NotAfter.After(last) {
			last = c.NotAfter
		}
	}
	if now.After(last) {
		return nil, fmt.Errorf("%s %s: %w", setting, path, ended(certs[0], last))
	}
	return pool, nil
}

func ended(c *x509.Certificate, when time.Time) error {
	return fmt.Errorf("the certificate of %q ended at %s; put a renewed one in its place, or set the clock if it is wrong",
		nameOf(c), when.UTC().Format(time.RFC3339))
}

// nameOf is what people know a certificate by.
func nameOf(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return c.Subject.CommonName
	}
	return c.Subject.String()
}

// loadClient returns the client certificate with its key.
func loadClient(certFile, keyFile string, now time.Time) (*tls.Certificate, error) {
	certPEM, err := readFile("cert_file", certFile)
	if err != nil {
		return nil, err
	}
	certs, err := certificates(certPEM)
	if err != nil {
		return nil, fmt.Errorf("cert_file %s: %w", certFile, err)
	}
	keyPEM, err := readFile("key_file", keyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, keyProblem(certFile, keyFile, keyPEM, err)
	}
	if now.After(certs[0].NotAfter) {
		return nil, fmt.Errorf("cert_file %s: %w", certFile, ended(certs[0], certs[0].NotAfter))
	}
	return &pair, nil
}

// keyProblem says which of the ways to get a key wrong it is. That the certificate is well is known.
func keyProblem(certFile, keyFile string, key []byte, err error) error {
	block, _ := pem.Decode(key)
	switch {
	case block == nil:
		return fmt.Errorf(`key_file %s: no private key in PEM: it must have a block "-----BEGIN PRIVATE KEY-----"`, keyFile)
	case bytes.Contains(key, []byte("ENCRYPTED")): // in the name of the block, or in its Proc-Type header
		return fmt.Errorf("key_file %s: the key is encrypted, and nobody is there to type the pass phrase; "+
			"write it out without one: openssl pkey -in FILE -out NEWFILE, readable for the service only", keyFile)
	case !hasKey(key):
		return fmt.Errorf("key_file %s: it holds %q, no private key: are cert_file and key_file swapped?", keyFile, block.Type)
	case keyReads(key):
		return fmt.Errorf("key_file %s: the key does not belong to the certificate in cert_file %s: the two must come from one request",
			keyFile, certFile)
	}
	return fmt.Errorf("key_file %s: %w", keyFile, err)
}

// hasKey tells whether there is a block of a private key.
func hasKey(data []byte) bool { return keyBlock(data) != nil }

func keyBlock(data []byte) *pem.Block {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
			return block
		}
	}
	return nil
}

// keyReads tells whether the key itself is well.
func keyReads(data []byte) bool {
	block := keyBlock(data)
	_, pkcs8 := x509.ParsePKCS8PrivateKey(block.Bytes)
	_, pkcs1 := x509.ParsePKCS1PrivateKey(block.Bytes)
	_, sec1 := x509.ParseECPrivateKey(block.Bytes)
	return pkcs8 == nil || pkcs1 == nil || sec1 == nil
}

package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// settings are the keys of the configuration that name the files.
var settings = [3]string{"cert_file", "key_file", "client_ca_file"}

// keyPair returns the server's certificate with its key.
func keyPair(cert, key []byte, o Options) (tls.Certificate, error) {
	pair, err := tls.X509KeyPair(cert, key)
	switch {
	case err == nil:
		return pair, nil
	case !hasBlock(cert, "CERTIFICATE") && hasKey(cert):
		err = fmt.Errorf("cert_file %s: it holds a private key and no certificate: are cert_file and key_file swapped?", o.CertFile)
	case !hasBlock(cert, "CERTIFICATE"):
		err = fmt.Errorf("cert_file %s: no certificate in PEM: it must have a block \"-----BEGIN CERTIFICATE-----\"", o.CertFile)
	case bytes.Contains(key, []byte("ENCRYPTED")): // in the name of the block, or in its Proc-Type header
		err = fmt.Errorf("key_file %s: the key is encrypted, and nobody is there to type its pass phrase: write it out without one, "+
			"as openssl pkey -in FILE -out NEWFILE does", o.KeyFile)
	case !hasKey(key):
		err = fmt.Errorf("key_file %s: no private key in PEM: it must have a block \"-----BEGIN PRIVATE KEY-----\"", o.KeyFile)
	default:
		err = fmt.Errorf("cert_file %s and key_file %s do not go together: %w; the key must be the one that the certificate was requested with", o.CertFile, o.KeyFile, err)
	}
	return pair, err
}

func hasKey(data []byte) bool {
	return hasBlock(data, "PRIVATE KEY") || hasBlock(data, "RSA PRIVATE KEY") || hasBlock(data, "EC PRIVATE KEY")
}

// hasBlock tells whether there is a PEM block of a type.
func hasBlock(data []byte, kind string) bool {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == kind {
			return true
		}
	}
	return false
}

// nameOf is what people know a certificate by.
func nameOf(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return c.Subject.CommonName
	}
	if len(c.DNSNames) > 0 {
		return c.DNSNames[0]
	}
	return c.Subject.String()
}

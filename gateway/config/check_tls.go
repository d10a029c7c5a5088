package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// tls checks [upstream.tls] and the files that it names.
func (c *checker) tls(path string, u Upstream) {
	if !c.given(path) {
		return
	}
	encrypted := slices.ContainsFunc(u.Servers, func(s Server) bool { return s.TLS })
	if !encrypted && len(u.Servers) > 0 && !c.anyFailed(join(parent(path), "servers"), len(u.Servers)) {
		c.out.about(path, "tls: none of the servers uses TLS", "write mqtts:// in servers, or remove tls")
	}
	for i, p := range u.TLS.ALPN {
		if where := at(join(path, "alpn"), i); !c.out.failed[where] && (p == "" || len(p) > 255) { // RFC 7301, 3.1
			c.fail(where, p, "not 1 to 255 bytes long", "write the name of a protocol")
		}
	}
	c.caFile(join(path, "ca_file"), u.TLS)
	c.keyPair(path, u.TLS)
}

func (c *checker) caFile(path string, t TLS) {
	pem, ok := c.certFile(path, t.CAFile, "name a file of certificates in PEM, or leave the key out for those of the system")
	if ok && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		c.fail(path, t.CAFile, "contains no certificate in PEM", `it must have a block "-----BEGIN CERTIFICATE-----"`)
	}
}

// keyPair checks the gateway's own certificate and its key.
func (c *checker) keyPair(path string, t TLS) {
	certPath, keyPath := join(path, "cert_file"), join(path, "key_file")
	if !c.given(certPath) && !c.given(keyPath) {
		return
	}
	const both = "a certificate and its key go together; name both files, or neither"
	if !c.need(path, "cert_file", both) || !c.need(path, "key_file", both) {
		return
	}
	const hint = "the file must exist and be readable for the user that runs tidegate"
	cert, okCert := c.certFile(certPath, t.CertFile, hint)
	key, okKey := c.certFile(keyPath, t.KeyFile, hint)
	if !okCert || !okKey {
		return
	}
	pair, err := tls.X509KeyPair(cert, key)
	switch {
	case err != nil:
		c.out.at(keyPath, fmt.Sprintf("cert_file and key_file do not work together: %v", err),
			"name the certificate in PEM, with those between it and its root behind it, and the key that it was made for")
	case pair.Leaf.NotAfter.Before(time.Now()):
		c.out.warn(certPath, fmt.Sprintf("cert_file %q: was valid until %s", t.CertFile, pair.Leaf.NotAfter.UTC().Format(time.DateOnly)), "renew it")
	}
}

// certFile reads the file that a key names. It is false when there is none to check.
func (c *checker) certFile(path, name, hint string) ([]byte, bool) {
	if !c.given(path) || c.out.failed[path] || c.env.NoCertificates {
		return nil, false
	}
	name = c.env.path(name)
	text, _, err := c.env.readFile(name)
	if err != nil {
		c.out.at(path, "read "+lastKey(path)+": "+fileError(name, err), hint)
		return nil, false
	}
	return text, true
}

package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	pathpkg "path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// exampleAddress is where such a listener usually is.
func (c *checker) exampleAddress(path string, l Listener) string {
	return fmt.Sprintf("127.0.0.1:%d", l.usualPort(c.given(join(path, "tls"))))
}

// listener checks one listener, but for its address.
func (c *checker) listener(path string, l Listener) {
	c.webSocket(path, l)
	c.oddListenerPort(path, l)
	c.clientCertificates(join(path, "tls"), l.TLS)
	c.listenerKeyPair(join(path, "tls"), l.TLS)
}

// oddListenerPort warns of a port that clients know for something else.
func (c *checker) oddListenerPort(path string, l Listener) {
	if c.out.failed[join(path, "protocol")] || c.out.failed[join(path, "address")] || c.out.failed[join(path, "tls")] {
		return
	}
	spoken := map[int]string{
		portMQTT: "MQTT without TLS", portMQTTS: "MQTT over TLS",
		portMQTTWS: "MQTT in WebSockets without TLS", portMQTTWSS: "MQTT in WebSockets over TLS",
	}
	_, port, _ := net.SplitHostPort(l.Address)
	number, _ := strconv.Atoi(port)
	usual := l.usualPort(c.given(join(path, "tls")))
	if what := spoken[number]; what != "" && number != usual {
		c.out.warn(join(path, "address"), fmt.Sprintf("address %q: port %d is usually %s", l.Address, number, what),
			fmt.Sprintf("%s is usually at port %d", spoken[usual], usual))
	}
}

// webSocket checks what only a WebSocket listener has.
func (c *checker) webSocket(path string, l Listener) {
	if c.out.failed[join(path, "protocol")] {
		return
	}
	if l.Protocol != ProtocolWebSocket {
		for _, key := range []string{"paths", "origins"} {
			if c.given(join(path, key)) {
				c.out.at(join(path, key), key+": only a WebSocket listener has it", `write protocol = "websocket" in this listener, or remove `+key)
			}
		}
		return
	}
	where := join(path, "paths")
	if len(l.Paths) == 0 {
		c.out.at(where, "paths: the list is empty", `name one, or leave the key out for "/mqtt" and "/"`)
	}
	for i, p := range l.Paths {
		c.urlPath(at(where, i), p, l.Paths[:i])
	}
	for i, o := range l.Origins {
		c.origin(at(join(path, "origins"), i), o)
	}
}

func (c *checker) urlPath(where, p string, before []string) {
	switch {
	case c.out.failed[where]:
	case !strings.HasPrefix(p, "/"):
		c.fail(where, p, `does not begin with "/"`, fmt.Sprintf("write %q", "/"+p))
	case strings.ContainsAny(p, "?# ") || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }):
		c.fail(where, p, "more than a path", `write what stands behind host and port in the URL, up to "?", such as "/mqtt"`)
	case slices.Contains(before, p):
		c.fail(where, p, "listed twice", "remove one of the two")
	}
}

// origin checks a pattern of the hosts whose pages may connect.
func (c *checker) origin(where, pattern string) {
	const hint = `write the host of the page, with its port if it has one: "panel.example.com", "*.example.com:8443", or "*" for all pages`
	_, host, ok := strings.Cut(pattern, "://")
	if !ok {
		host = pattern
	}
	_, err := pathpkg.Match(pattern, "")
	switch {
	case c.out.failed[where]:
	case err != nil:
		c.fail(where, pattern, "not a pattern: a bracket is not closed", hint)
	case host == "":
		c.fail(where, pattern, "no host", hint)
	case strings.ContainsAny(host, "/?#@ "):
		c.fail(where, pattern, "more than a host and a port", hint)
	}
}

// clientCertificates checks that the keys about the certificates of clients make sense together.
func (c *checker) clientCertificates(path string, t ListenerTLS) {
	ca, mode, user := join(path, "client_ca_file"), join(path, "client_cert"), join(path, "cert_user")
	if c.out.failed[mode] || c.out.failed[ca] {
		return
	}
	asked := t.ClientCert != ClientCertNone
	switch {
	case asked && t.ClientCA == "":
		c.out.at(mode, fmt.Sprintf("client_cert %q: without client_ca_file no certificate can be told good or bad", t.ClientCert),
			`add client_ca_file = "ca.pem", the authority that signs the certificates of clients`)
	case !asked && c.given(ca):
		c.out.at(ca, "client_ca_file: no client is asked for a certificate", `add client_cert = "required" or "optional", or remove client_ca_file`)
	}
	if !asked && t.CertUser {
		c.out.at(user, "cert_user: no client is asked for a certificate", `add client_cert = "required" or "optional" and client_ca_file, or remove cert_user`)
	}
	pem, ok := c.certFile(ca, t.ClientCA, fileHint)
	if ok && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		c.fail(ca, t.ClientCA, "contains no certificate in PEM", `it must have a block "-----BEGIN CERTIFICATE-----"`)
	}
}

const fileHint = "the file must exist and be readable for the user that runs tidegate"

// listenerKeyPair checks the listener's own certificate and its key.
func (c *checker) listenerKeyPair(path string, t ListenerTLS) {
	if !c.given(path) || c.out.failed[path] {
		return
	}
	const both = "a certificate and its key go together; name both files"
	okCert, okKey := c.need(path, "cert_file", both), c.need(path, "key_file", both)
	if !okCert || !okKey {
		return
	}
	certPath, keyPath := join(path, "cert_file"), join(path, "key_file")
	cert, okCert := c.certFile(certPath, t.Cert, fileHint)
	key, okKey := c.certFile(keyPath, t.Key, fileHint)
	if !okCert || !okKey {
		return
	}
	c.privateFile(keyPath, t.Key)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		c.keyProblem(certPath, keyPath, t, cert, key, err)
		return
	}
	c.leaf(certPath, t.Cert, pair.Leaf)
}

// privateFile warns of a key that everybody may read.
func (c *checker) privateFile(path, name string) {
	if _, mode, err := c.env.readFile(c.env.path(name)); err == nil && mode&0o004 != 0 {
		c.out.warn(path, fmt.Sprintf("every user of this machine can read %s", name), "chmod 600 "+name)
	}
}

// keyProblem says which of the ways to get a certificate and its key wrong it is.
func (c *checker) keyProblem(certPath, keyPath string, t ListenerTLS, cert, key []byte, err error) {
	const begin = "-----BEGIN "
	isCert := bytes.Contains(cert, []byte(begin+"CERTIFICATE"))
	isKey := func(data []byte) bool { return bytes.Contains(data, []byte("PRIVATE KEY-----")) }
	switch {
	case !isCert && isKey(cert) && !isKey(key):
		c.fail(certPath, t.Cert, "holds a private key and no certificate", "exchange cert_file and key_file")
	case !isCert:
		c.fail(certPath, t.Cert, "contains no certificate in PEM", `it must have a block "-----BEGIN CERTIFICATE-----"`)
	case bytes.Contains(key, []byte("ENCRYPTED")): // in the name of the block, or in its Proc-Type header
		c.fail(keyPath, t.Key, "the key is encrypted, and nobody is there to type its pass phrase",
			"write it out without one: openssl pkey -in FILE -out NEWFILE")
	case !isKey(key):
		c.fail(keyPath, t.Key, "contains no private key in PEM", `it must have a block "-----BEGIN PRIVATE KEY-----"`)
	case strings.Contains(err.Error(), "does not match"):
		c.fail(keyPath, t.Key, fmt.Sprintf("does not belong to the certificate in %s", t.Cert),
			"name the key that the certificate was requested with")
	default:
		c.out.at(keyPath, fmt.Sprintf("cert_file and key_file do not work together: %v", err),
			"name the certificate in PEM, with those between it and its root behind it, and the key that it was made for")
	}
}

// leaf warns of a certificate that clients will refuse.
func (c *checker) leaf(path, name string, leaf *x509.Certificate) {
	switch now := time.Now(); {
	case leaf.NotAfter.Before(now):
		c.out.warn(path, fmt.Sprintf("cert_file %q: was valid until %s", name, leaf.NotAfter.UTC().Format(time.DateOnly)), "renew it: clients refuse it")
	case leaf.NotBefore.After(now):
		c.out.warn(path, fmt.Sprintf("cert_file %q: is valid from %s on", name, leaf.NotBefore.UTC().Format(time.DateOnly)), "set the clock if it is wrong")
	}
	if len(leaf.DNSNames) == 0 && len(leaf.IPAddresses) == 0 {
		c.out.warn(path, fmt.Sprintf("cert_file %q: names no host", name),
			"issue it with the names and addresses that clients connect to (subjectAltName): most refuse it otherwise")
	}
}

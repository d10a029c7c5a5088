package bridge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// soon is how long before its end a certificate is pointed out.
const soon = 30 * 24 * time.Hour

// dialTrace collects what httptrace tells about a dial. Attempts at several addresses run side by side, and may end after the dial.
type dialTrace struct {
	mu        sync.Mutex
	last      time.Time // when the last step ended
	addresses []string  // of the name
	resolved  time.Duration
	dnsErr    error
	dns       bool
	connected string // the address that answered; "": none did
	dialled   time.Duration
	tunnel    time.Duration // until the proxy opened the way; 0: it did not
	tls       *tls.ConnectionState
	secured   time.Duration
}

// lap returns the time since the last step and begins the next one.
func (t *dialTrace) lap() time.Duration {
	now := time.Now()
	took := now.Sub(t.last)
	t.last = now
	return max(took, 1)
}

// hooks returns what fills t.
func (t *dialTrace) hooks(proxied bool) *httptrace.ClientTrace {
	locked := func(f func()) {
		t.mu.Lock()
		defer t.mu.Unlock()
		f()
	}
	return &httptrace.ClientTrace{
		DNSDone: func(i httptrace.DNSDoneInfo) {
			locked(func() {
				t.dns, t.dnsErr, t.resolved = true, i.Err, t.lap()
				for _, a := range i.Addrs {
					t.addresses = append(t.addresses, a.String())
				}
			})
		},
		ConnectDone: func(_, addr string, err error) {
			locked(func() {
				if err == nil && t.connected == "" {
					t.connected, t.dialled = addr, t.lap()
				}
			})
		},
		GotConn: func(httptrace.GotConnInfo) {
			locked(func() {
				if proxied && t.tunnel == 0 {
					t.tunnel = t.lap()
				}
			})
		},
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			locked(func() {
				if err == nil {
					t.tls, t.secured = &s, t.lap()
				}
			})
		},
	}
}

// dial opens the transport and reports its steps. It returns nil when one has failed.
func (p *prober) dial(ctx context.Context) net.Conn {
	t := &dialTrace{last: time.Now()}
	c, err := p.o.Dial(httptrace.WithClientTrace(ctx, t.hooks(p.o.Proxy != nil)), p.server)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, step := range []func(*dialTrace, error) bool{p.dialDNS, p.dialTCP, p.dialProxy, p.dialTLS, p.dialWebSocket} {
		if !step(t, err) {
			return nil
		}
	}
	return c
}

// host is whose name is resolved and who is connected to: the server, or the proxy.
func (p *prober) host() string {
	if p.o.Proxy != nil {
		return p.o.Proxy.Hostname()
	}
	return p.server.Hostname()
}

func (p *prober) dialDNS(t *dialTrace, err error) bool {
	if _, notName := netip.ParseAddr(p.host()); notName == nil {
		p.passed(stepDNS, 0, p.host()+" is an address: there is no name to resolve", "")
		return true
	}
	switch {
	case t.dns && t.dnsErr == nil:
		p.passed(stepDNS, t.resolved, p.host()+" is "+strings.Join(t.addresses, ", "), "")
		return true
	case t.dnsErr != nil:
		err = t.dnsErr
	case t.connected != "" || err == nil: // a dial that tells no trace about names
		return true
	}
	p.fail(stepDNS, t.lap(), err)
	return false
}

func (p *prober) dialTCP(t *dialTrace, err error) bool {
	switch {
	case t.connected != "":
		p.passed(stepTCP, t.dialled, "connected to "+t.connected, "")
		return true
	case err == nil: // a dial that tells no trace about it
		return true
	}
	p.fail(stepTCP, t.lap(), err)
	return false
}

func (p *prober) dialProxy(t *dialTrace, err error) bool {
	switch {
	case p.o.Proxy == nil:
		return true
	case t.tunnel > 0 || err == nil:
		p.passed(stepProxy, t.tunnel, p.o.Proxy.Redacted()+" has opened the way to "+p.server.Host, "")
		return true
	}
	p.fail(stepProxy, t.lap(), err)
	return false
}

func (p *prober) dialTLS(t *dialTrace, err error) bool {
	if !p.secured() {
		return true
	}
	if t.tls == nil && err != nil {
		p.fail(stepTLS, t.lap(), err)
		return false
	}
	if t.tls != nil && len(t.tls.PeerCertificates) > 0 {
		leaf := t.tls.PeerCertificates[0]
		advice := ""
		if left := leaf.NotAfter.Sub(p.o.Now()); left < soon {
			advice = fmt.Sprintf("the server's certificate ends in %d days: it must be renewed before", int(left.Hours()/24))
		}
		p.passed(stepTLS, t.secured, describeTLS(*t.tls), advice)
	}
	return true
}

// describeTLS tells what the two sides agreed on and who the server is.
func describeTLS(s tls.ConnectionState) string {
	text := tls.VersionName(s.Version)
	if s.NegotiatedProtocol != "" {
		text += ", ALPN " + s.NegotiatedProtocol
	}
	for i, c := range s.PeerCertificates {
		if i == 0 {
			text += ", certificate of " + describeCert(c)
		} else {
			text += ", behind it " + describeCert(c)
		}
	}
	return text
}

// describeCert tells whose certificate it is, from whom, and until when.
func describeCert(c *x509.Certificate) string {
	names := append(append([]string(nil), c.DNSNames...), ipTexts(c)...)
	name := c.Subject.CommonName
	if len(names) > 0 {
		name = strings.Join(names, " and ")
	}
	return fmt.Sprintf("%s, issued by %q, valid until %s", name, c.Issuer.CommonName, c.NotAfter.UTC().Format(time.DateOnly))
}

func ipTexts(c *x509.Certificate) []string {
	var texts []string
	for _, ip := range c.IPAddresses {
		texts = append(texts, ip.String())
	}
	return texts
}

func (p *prober) dialWebSocket(t *dialTrace, err error) bool {
	if err == nil {
		if p.overWebSocket() {
			p.passed(stepWebSocket, t.lap(), "opened, with the sub-protocol mqtt", "")
		}
		return true
	}
	name := stepWebSocket
	if !p.overWebSocket() {
		name = stepTCP
	}
	p.fail(name, t.lap(), err)
	return false
}

// fail reports a step that ended with an error, in words.
func (p *prober) fail(name string, took time.Duration, err error) {
	detail := err.Error()
	var unverified *tls.CertificateVerificationError
	if errors.As(err, &unverified) && len(unverified.UnverifiedCertificates) > 0 {
		detail += "; the server shows the certificate of " + describeCert(unverified.UnverifiedCertificates[0])
	}
	p.failed(name, took, detail, p.explain(name, err))
}

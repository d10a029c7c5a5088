package certs_test

import (
	"crypto/tls"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/bridge/transport/transporttest"
	"github.com/tidegate/tidegate/gateway/certs"
)

// TestRenewedCertificate replaces the files while the server runs: the next handshake has the new certificate, at most a second later.
func TestRenewedCertificate(t *testing.T) {
	r := newRig(t, nil)
	if cert, _, err := r.meet(&tls.Config{}); err != nil || !cert.Equal(r.pair.Cert) {
		t.Fatalf("before: %v", err)
	}
	renewed := r.ca.Issue(t, transporttest.Leaf{Ends: time.Now().Add(36 * time.Hour)})
	r.renew(renewed)
	cert, _, err := r.meet(&tls.Config{})
	if err != nil || !cert.Equal(renewed.Cert) {
		t.Errorf("the certificate shown is not the renewed one (%v)", err)
	}
	if !r.server.Expiry().Equal(renewed.Cert.NotAfter) {
		t.Errorf("Expiry is %v, want %v", r.server.Expiry(), renewed.Cert.NotAfter)
	}
	if n := strings.Count(r.log.String(), "were replaced"); n != 1 {
		t.Errorf("the log tells it %d times:\n%s", n, &r.log)
	}
}

// TestFilesAreReadOnceASecond keeps a storm of connections from reading files for each.
func TestFilesAreReadOnceASecond(t *testing.T) {
	r := newRig(t, nil)
	if _, _, err := r.meet(&tls.Config{}); err != nil {
		t.Fatal(err)
	}
	renewed := r.ca.Issue(t, transporttest.Leaf{})
	copyFile(t, renewed.CertFile, r.pair.CertFile)
	copyFile(t, renewed.KeyFile, r.pair.KeyFile)
	if cert, _, err := r.meet(&tls.Config{}); err != nil || !cert.Equal(r.pair.Cert) {
		t.Errorf("the files were read again within the second (%v)", err)
	}
	r.clock.advance(time.Second)
	if cert, _, err := r.meet(&tls.Config{}); err != nil || !cert.Equal(renewed.Cert) {
		t.Errorf("the files were not read again after a second (%v)", err)
	}
}

// TestBrokenCertificateKeepsTheOld breaks the files in several ways, and mends them.
func TestBrokenCertificateKeepsTheOld(t *testing.T) {
	r := newRig(t, nil)
	renewed := r.ca.Issue(t, transporttest.Leaf{})
	keeps := func(what, told string) {
		t.Helper()
		r.log.Reset()
		for range 3 { // told once
			r.clock.advance(time.Hour)
			if cert, got, err := r.meet(&tls.Config{}); err != nil || got.err != nil || !cert.Equal(r.pair.Cert) {
				t.Fatalf("%s: client %v, server %v", what, err, got.err)
			}
		}
		if n := strings.Count(r.log.String(), told); n != 1 {
			t.Errorf("%s: the log says %q %d times:\n%s", what, told, n, &r.log)
		}
	}
	copyFile(t, renewed.CertFile, r.pair.CertFile)
	keeps("a certificate without its key", "do not go together")
	if err := os.WriteFile(r.pair.CertFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	keeps("an empty file", "no certificate in PEM")
	if err := os.Remove(r.pair.CertFile); err != nil {
		t.Fatal(err)
	}
	keeps("no file", "no such file")
	r.renew(renewed)
	if cert, _, err := r.meet(&tls.Config{}); err != nil || !cert.Equal(renewed.Cert) {
		t.Errorf("after it was mended: %v", err)
	}
}

// TestHalfOfARenewalIsNotTold reads the files between the writing of the certificate and of its key: nothing is wrong.
func TestHalfOfARenewalIsNotTold(t *testing.T) {
	r := newRig(t, nil)
	renewed := r.ca.Issue(t, transporttest.Leaf{})
	copyFile(t, renewed.CertFile, r.pair.CertFile)
	r.clock.advance(time.Second)
	if cert, _, err := r.meet(&tls.Config{}); err != nil || !cert.Equal(r.pair.Cert) {
		t.Errorf("halfway: %v", err)
	}
	copyFile(t, renewed.KeyFile, r.pair.KeyFile)
	r.clock.advance(time.Second)
	if cert, _, err := r.meet(&tls.Config{}); err != nil || !cert.Equal(renewed.Cert) {
		t.Errorf("afterwards: %v", err)
	}
	if strings.Contains(r.log.String(), "level=WARN") {
		t.Errorf("the log has a warning:\n%s", &r.log)
	}
}

// TestReplacedClientCA shuts out whom the CA from before had signed, even one that resumes a session of that time.
func TestReplacedClientCA(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			before, after := transporttest.NewCA(t), transporttest.NewCA(t)
			r := newRig(t, func(_ *rig, o *certs.Options) {
				o.ClientAuth, o.ClientCAFile = tls.RequireAndVerifyClientCert, before.File
			})
			client := before.Issue(t, transporttest.Leaf{Name: "press 4"}).TLS
			cfg := &tls.Config{
				Certificates: []tls.Certificate{client}, ClientSessionCache: tls.NewLRUClientSessionCache(1), MaxVersion: version, ServerName: "localhost",
			}
			for range 2 {
				if _, got, err := r.meet(cfg); err != nil || got.err != nil {
					t.Fatalf("client %v, server %v", err, got.err)
				}
			}
			copyFile(t, after.File, before.File)
			r.clock.advance(10 * time.Second)
			if _, got, err := r.meet(cfg); err == nil || got.err == nil || !strings.Contains(got.err.Error(), "is not accepted") {
				t.Errorf("client %v, server %v", err, got.err)
			}
			cfg.Certificates = []tls.Certificate{after.Issue(t, transporttest.Leaf{Name: "press 4"}).TLS}
			cfg.ClientSessionCache = nil
			if _, got, err := r.meet(cfg); err != nil || got.err != nil {
				t.Errorf("with a certificate of the new CA: client %v, server %v", err, got.err)
			}
		})
	}
}

// TestBrokenCertificateOfTheFuture is told too: the clock of a machine without a battery begins in the past.
func TestBrokenCertificateOfTheFuture(t *testing.T) {
	r := newRig(t, func(r *rig, _ *certs.Options) { r.clock.advance(-100000 * time.Hour) })
	if err := os.WriteFile(r.pair.KeyFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, _ = r.meet(&tls.Config{InsecureSkipVerify: true})
	if !strings.Contains(r.log.String(), "cannot be used") {
		t.Errorf("the log says %q", &r.log)
	}
}

func TestExpiredCertificateIsTold(t *testing.T) {
	r := newRig(t, func(r *rig, _ *certs.Options) { r.clock.advance(1000 * time.Hour) })
	if !strings.Contains(r.log.String(), "has expired") {
		t.Errorf("the log says %q", &r.log)
	}
}

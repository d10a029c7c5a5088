package app_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/bridge/transport/transporttest"
	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/gateway/app"
)

// A device over TLS that wants to know who asks answers a gateway with a certificate of its authority, and nobody else.
func TestTLSBusWithClientCertificate(t *testing.T) {
	ours, others := transporttest.NewCA(t), transporttest.NewCA(t)
	where := demanding(t, ours)
	for _, tc := range []struct {
		name string
		keys string
		says string // "" is that the device tells what it is
	}{
		{"Own", certificate(ours.Issue(t, transporttest.Leaf{Name: "gateway"})), ""},
		{"None", "", "certificate required"},
		{"OfAnotherAuthority", certificate(others.Issue(t, transporttest.Leaf{Name: "gateway"})), "unknown certificate authority"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := load(t, t.TempDir(), minimal+fmt.Sprintf(`
[[bus]]
name = "plant"
transport = "tls"
endpoint = %q
retries = 0
[bus.tls]
ca_file = %q
%s
[[device]]
name = "meter"
bus = "plant"
unit_id = 1
[[device.point]]
name = "p"
address = "holding:0"
type = "uint16"
`, where, ours.File, tc.keys))
			var id app.Identity
			err := app.Identify(t.Context(), cfg, nil, app.IdentifyBasic, slog.New(slog.DiscardHandler), func(i app.Identity) { id = i })
			switch {
			case err != nil:
				t.Fatal(err)
			case tc.says == "" && (id.Err != nil || len(id.Says) != 3):
				t.Errorf("identity %+v, want three objects", id)
			case tc.says != "" && (id.Err == nil || !strings.Contains(id.Err.Error(), tc.says)):
				t.Errorf("error %v, want %q in it", id.Err, tc.says)
			}
		})
	}
}

// demanding runs a simulated device behind TLS that takes only those with a certificate of an authority, and returns where it is.
func demanding(t *testing.T, ca *transporttest.CA) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	server := sim.NewServer(tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{ca.Issue(t, transporttest.Leaf{}).TLS}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
	}), sim.Units(nil, 1), sim.ServerOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// certificate writes the keys of [bus.tls] that name a certificate.
func certificate(p transporttest.Pair) string {
	return fmt.Sprintf("cert_file = %q\nkey_file = %q\n", p.CertFile, p.KeyFile)
}

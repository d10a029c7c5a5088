package app

import (
	"context"
	"errors"
	"sync"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/certs"
)

// certificate is what a listener shows to its clients.
type certificate struct {
	listener string // as the configuration has it, as a URL
	server   *certs.Server
}

// listenerStats are the snapshots of the listeners with TLS, in the order of configuration.
func (a *App) listenerStats() []gateway.ListenerStats {
	stats := make([]gateway.ListenerStats, len(a.certificates))
	for i, c := range a.certificates {
		stats[i] = gateway.ListenerStats{Name: c.listener, CertExpiry: c.server.Expiry()}
	}
	return stats
}

// watchCertificates warns of certificates that end soon.
func (a *App) watchCertificates(ctx context.Context) error {
	errs := make([]error, len(a.certificates))
	var all sync.WaitGroup
	for i, c := range a.certificates {
		all.Go(func() { errs[i] = c.server.Watch(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

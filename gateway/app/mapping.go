package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"

	"github.com/tidegate/tidegate/bridge"
	"github.com/tidegate/tidegate/buffer"
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/auth"
	"github.com/tidegate/tidegate/gateway/config"
	"github.com/tidegate/tidegate/gateway/engine"
	"github.com/tidegate/tidegate/localbroker"
)

// logins adapts a password file to the broker.
type logins struct{ *auth.Passwords }

// Authenticate implements localbroker.Authenticator.
func (l logins) Authenticate(ctx context.Context, user string, password []byte) bool {
	return l.Check(ctx, user, password)
}

func (a *App) brokerOptions() (localbroker.Options, error) {
	cfg := a.opts.Config.Broker
	o := localbroker.Options{
		Store:          a.store,
		Topics:         a.topics,
		MaxPacket:      int(cfg.MaxPacketSize),
		MaxConnections: cfg.MaxConnections,
		ConnectTimeout: cfg.ConnectTimeout,
		MaxInflight:    cfg.MaxInflight,
		SessionMaxAge:  cfg.Session.MaxAge,
		Logger:         a.log.With("component", "broker"),
	}
	if cfg.PasswordFile == "" {
		return o, nil
	}
	passwords, err := auth.LoadPasswords(cfg.PasswordFile)
	if err != nil {
		return o, a.opts.Config.Error("broker.password_file", err.Error(), "make it with tidegate passwd")
	}
	o.Auth = logins{passwords}
	return o, nil
}

// inboxSubscription takes commands from everybody, committed before their publisher is answered.
func (a *App) inboxSubscription() localbroker.QueueSub {
	return localbroker.QueueSub{
		Queue:    a.store.Inbox().Queue(),
		Filters:  a.topics.Commands(),
		Barrier:  true,
		NoRetain: true,
	}
}

// upstreamSubscription gathers what the out routes of an upstream want. Commands stay on this side: an upstream that subscribes to
// what it may command would get them back and send them again. Births and mirrors are not queued: a late one is wrong.
func (a *App) upstreamSubscription(u config.Upstream) localbroker.QueueSub {
	sub := localbroker.QueueSub{
		Queue: a.store.Upstream(u.Name).Queue(),
		Owner: u.Name,
		Exclude: append(a.topics.Commands(),
			a.topics.State(), a.topics.UpstreamState("+"), a.topics.Status()),
	}
	for _, r := range u.Routes {
		if r.Direction == config.DirectionOut {
			sub.Filters = append(sub.Filters, r.LocalPrefix+r.Filter)
		}
	}
	return sub
}

// upstreamQueues names the durable queues of an upstream.
func (a *App) upstreamQueues(u config.Upstream) map[string]bool {
	return map[string]bool{"upstream/" + u.Name: true}
}

func (a *App) bridgeOptions(u config.Upstream) bridge.Options {
	o := bridge.Options{
		Name:        u.Name,
		ClientID:    u.ClientID,
		Username:    u.Username,
		TLS:         func() (*tls.Config, error) { return upstreamTLS(u.TLS) },
		KeepAlive:   u.KeepAlive,
		MaxInflight: u.MaxInflight,
		Local:       a.broker,
		Topics:      a.topics,
		Logger:      a.log.With("component", "bridge"),
	}
	if o.ClientID == "" {
		o.ClientID = a.id + "-" + u.Name
	}
	if u.Username != "" {
		o.Password = u.Password.Reveal
	}
	for _, s := range u.Servers {
		scheme := "mqtt"
		if s.TLS {
			scheme = "mqtts"
		}
		o.Servers = append(o.Servers, &url.URL{Scheme: scheme, Host: s.Addr()})
	}
	for _, r := range u.Routes {
		route := bridge.Route{
			Filter: r.Filter, LocalPrefix: r.LocalPrefix, RemotePrefix: r.RemotePrefix,
			QoS: gateway.QoS(r.QoS), Retain: bridge.Retain(r.Retain),
		}
		if r.Direction == config.DirectionOut {
			o.Out = append(o.Out, route)
		} else {
			o.In = append(o.In, route)
		}
	}
	return o
}

// upstreamTLS reads the trusted certificates anew, so that a renewed file is taken at the next connect.
func upstreamTLS(t config.TLS) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read ca_file: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read ca_file: %s holds no certificate in PEM form", t.CAFile)
	}
	return cfg, nil
}

// inbox adapts the buffer's command inbox to the engine's journal.
type inbox struct{ *buffer.Inbox }

// Next implements engine.Journal.
func (i inbox) Next(ctx context.Context, pos uint64) (engine.Entry, error) {
	at, rec, started, err := i.Inbox.Next(ctx, pos)
	return engine.Entry{Pos: at, Record: rec, Started: started}, err
}

package app

import (
	"context"

	"github.com/tidegate/tidegate/buffer"
	"github.com/tidegate/tidegate/gateway/auth"
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

// inbox adapts the buffer's command inbox to the engine's journal.
type inbox struct{ *buffer.Inbox }

// Next implements engine.Journal.
func (i inbox) Next(ctx context.Context, pos uint64) (engine.Entry, error) {
	at, rec, started, err := i.Inbox.Next(ctx, pos)
	return engine.Entry{Pos: at, Record: rec, Started: started}, err
}

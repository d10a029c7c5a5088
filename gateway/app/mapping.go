package app

import (
	"context"
	"strings"

	"github.com/tidegate/tidegate/buffer"
	"github.com/tidegate/tidegate/gateway/engine"
	"github.com/tidegate/tidegate/localbroker"
)

func (a *App) brokerOptions() (localbroker.Options, error) {
	cfg := a.opts.Config.Broker
	o := localbroker.Options{
		Version:          a.opts.Version,
		SysInterval:      cfg.SysInterval,
		Stored:           a.sessionBacklog,
		Store:            a.store,
		Topics:           a.topics,
		MaxPacket:        int(cfg.MaxPacketSize),
		MaxConnections:   cfg.MaxConnections,
		ConnectTimeout:   cfg.ConnectTimeout,
		MaxInflight:      cfg.MaxInflight,
		MaxPerAddress:    cfg.MaxPerAddress,
		MaxQueued:        cfg.MaxQueued,
		MaxQueuedBytes:   int(cfg.MaxQueuedSize),
		MaxQueuedTotal:   int(cfg.MaxQueuedTotal),
		MaxSubscriptions: cfg.MaxSubscriptions,
		MaxSessions:      cfg.MaxSessions,
		MaxRetained:      cfg.MaxRetained,
		MaxRetainedBytes: int(cfg.MaxRetainedSize),
		ResponseBase:     "response",
		SessionMaxAge:    cfg.Session.MaxAge,
		Logger:           a.log.With("component", "broker"),
	}
	files, err := loadAccess(a.opts.Config)
	if err != nil {
		return o, err
	}
	a.access = files
	o.Auth, o.Access = files.authenticator(), files
	return o, nil
}

// sessionBacklog returns how many messages wait for the sessions of clients, and about how many bytes they take.
func (a *App) sessionBacklog() (messages, bytes uint64) {
	for _, q := range a.store.Stats().Queues {
		if strings.HasPrefix(q.Name, "session/") {
			messages += q.Depth
			bytes += uint64(max(0, q.Bytes))
		}
	}
	return messages, bytes
}

// inboxSubscription takes commands from everybody, committed before their publisher is answered.
func (a *App) inboxSubscription() localbroker.QueueSub {
	return localbroker.QueueSub{
		Queue:    a.store.Inbox().Queue(),
		Filters:  a.topics.Commands(),
		Barrier:  true,
		NoRetain: true,
		Replies:  true,
	}
}

// inbox adapts the buffer's command inbox to the engine's journal.
type inbox struct{ *buffer.Inbox }

// Next implements engine.Journal.
func (i inbox) Next(ctx context.Context, pos uint64) (engine.Entry, error) {
	at, rec, started, err := i.Inbox.Next(ctx, pos)
	return engine.Entry{Pos: at, Record: rec, Started: started}, err
}

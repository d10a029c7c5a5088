package localbroker

import (
	"context"
	"log/slog"
)

// connLog is the log of a connection: each line tells whose it is. What tells that is put together when a line is written, because most
// connections write none, and a handler that has it ready takes more memory than the rest of the connection.
type connLog conn

func (l *connLog) Enabled(ctx context.Context, level slog.Level) bool {
	return l.b.log.Handler().Enabled(ctx, level)
}

func (l *connLog) Handle(ctx context.Context, r slog.Record) error { return l.handler().Handle(ctx, r) }

func (l *connLog) WithAttrs(attrs []slog.Attr) slog.Handler { return l.handler().WithAttrs(attrs) }

func (l *connLog) WithGroup(name string) slog.Handler { return l.handler().WithGroup(name) }

func (l *connLog) handler() slog.Handler {
	attrs := []slog.Attr{slog.String("remote", l.remote)}
	if l.name != "" {
		attrs = append(attrs, slog.String("client", l.name))
	}
	return l.b.log.Handler().WithAttrs(attrs)
}

package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"

	"github.com/tidegate/tidegate/gateway/config"
)

// newLogger returns the logger that [log] asks for: text for people on a terminal, JSON for programs elsewhere.
func newLogger(w io.Writer, cfg config.Log) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.Level.Slog(), ReplaceAttr: withUnit}
	format := cfg.Format
	if format == config.FormatAuto {
		format = config.FormatJSON
		if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			format = config.FormatText
		}
	}
	if format == config.FormatJSON {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// withUnit writes a duration as text: JSON would have it as a bare number of nanoseconds.
func withUnit(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// logWarnings puts what a configuration is warned of into the log, in the log's own form.
func logWarnings(log *slog.Logger, list []config.Diagnostic) {
	for _, w := range list {
		log.Warn("configuration: "+w.Message, "place", fmt.Sprintf("%s:%d:%d", w.File, w.Line, w.Column), "hint", w.Hint)
	}
}

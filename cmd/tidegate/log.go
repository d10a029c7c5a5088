package main

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"

	"github.com/tidegate/tidegate/gateway/config"
)

// newLogger returns the logger that [log] asks for: text for people on a terminal, JSON for programs elsewhere.
func newLogger(w io.Writer, cfg config.Log) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.Level.Slog()}
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

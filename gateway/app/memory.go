package app

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"
)

// settled is how long after its start a gateway has opened, connected and polled everything for the first time.
const settled = 10 * time.Second

// GiveBack returns to the system what only the past needed, for a program between two parts of its work: the heap that is free, and the pages of
// the program's file. What reading a configuration takes would otherwise add to what the gateway takes that is then made of it.
func GiveBack(log *slog.Logger) {
	debug.FreeOSMemory()
	if n, err := unmapProgram(); err != nil {
		log.Debug("the program's pages stay mapped", "error", err)
	} else {
		log.Debug("memory given back", "program_bytes", n)
	}
}

// tendMemory gives back, once, what only the start needed. Until ctx ends it has the collector tuned.
func (a *App) tendMemory(ctx context.Context) error {
	defer tuneCollector()()
	t := time.NewTimer(settled)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-t.C:
	}
	GiveBack(a.log)
	<-ctx.Done()
	return nil
}

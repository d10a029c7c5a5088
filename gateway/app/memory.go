package app

import (
	"context"
	"runtime/debug"
	"time"
)

// settled is how long after its start a gateway has opened, connected and polled everything for the first time.
const settled = 10 * time.Second

// giveBack returns to the system, once, what only the start needed: the heap that reading the configuration took, and the pages of the program's
// file that nothing uses any more. Until ctx ends it has the collector tuned.
func (a *App) giveBack(ctx context.Context) error {
	defer tuneCollector()()
	t := time.NewTimer(settled)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-t.C:
	}
	debug.FreeOSMemory()
	if n, err := unmapProgram(); err != nil {
		a.log.Debug("the program's pages stay mapped", "error", err)
	} else {
		a.log.Debug("pages of the start given back", "program_bytes", n)
	}
	<-ctx.Done()
	return nil
}

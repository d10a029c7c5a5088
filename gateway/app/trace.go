package app

import (
	"time"

	"github.com/tidegate/tidegate/drivers/bus/trace"
)

// stopTrace bounds the end of the trace: what waits is written.
const stopTrace = 3 * time.Second

// openTrace opens the file that conversations on the buses are written to, when there is to be one.
func (a *App) openTrace() error {
	if a.opts.TraceFile == "" {
		return nil
	}
	f, err := trace.Open(trace.FileOptions{Path: a.opts.TraceFile, MaxSize: a.opts.TraceSize, Log: a.log.With("component", "trace")})
	if err != nil {
		return err
	}
	a.close = append(a.close, f.Close)
	a.trace = f
	return nil
}

// traceOf returns what takes the conversations of a bus; nil when nobody wants them.
func (a *App) traceOf(bus string) func(trace.Exchange) {
	if a.trace == nil {
		return nil
	}
	return a.trace.Bus(bus)
}

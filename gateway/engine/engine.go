package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// Options are what an Engine needs.
type Options struct {
	Publisher Publisher
	Journal   Journal
	Topics    gateway.Topics
	Buses     []Bus
	Logger    *slog.Logger     // nil: logs nothing
	Now       func() time.Time // nil: time.Now
	// Alarm makes what a bus waits on. nil: an Alarm on Go's timers; KernelAlarm costs less.
	Alarm func() Alarm
	// Timer makes what calls a function later. nil: a Timer on Go's timers; KernelTimer costs less.
	Timer func(call func()) Timer
	// ClockSynced says whether the clock is right, which "expires" of a command needs. nil: it never is.
	ClockSynced func() bool
	Observer    Observer // nil: nobody
}

// Bus is a driver under the name that configuration gave it.
type Bus struct {
	Name   string
	Driver Driver
}

// The engine's bounds.
const (
	laneSize  = 64              // commands that wait for one bus
	stopGrace = 5 * time.Second // for the command that is being carried out at a stop
)

// Engine runs the buses of one gateway.
type Engine struct {
	buses      []*bus
	lanes      []*lane
	dispatcher *dispatcher
}

// New checks the options and wires the engine. It starts nothing, and calls no driver but for its list of devices.
func New(o Options) (*Engine, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("set up engine: %w", err)
	}
	answers := &answerer{publisher: o.Publisher, journal: o.Journal, topics: o.Topics, now: o.Now, log: o.Logger}
	e := &Engine{dispatcher: newDispatcher(o, answers)}
	for _, cfg := range o.Buses {
		b, err := newBus(cfg, o)
		if err != nil {
			return nil, fmt.Errorf("set up bus %s: %w", cfg.Name, err)
		}
		l := &lane{bus: b, queue: make(chan *order, laneSize), answers: answers, clockSynced: o.ClockSynced}
		if err := e.dispatcher.add(l); err != nil {
			return nil, fmt.Errorf("set up bus %s: %w", cfg.Name, err)
		}
		e.buses = append(e.buses, b)
		e.lanes = append(e.lanes, l)
	}
	return e, nil
}

// complete refuses what the engine cannot do without and fills in the rest.
func (o *Options) complete() error {
	switch {
	case o.Publisher == nil:
		return errors.New("publisher is missing")
	case o.Journal == nil:
		return errors.New("journal is missing")
	case o.Topics.Base == "":
		return errors.New("base topic is missing")
	}
	names := make(map[string]struct{})
	for _, b := range o.Buses {
		if _, twice := names[b.Name]; twice {
			return fmt.Errorf("bus %q is there twice", b.Name)
		}
		if b.Driver == nil {
			return fmt.Errorf("bus %q has no driver", b.Name)
		}
		names[b.Name] = struct{}{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Alarm == nil {
		o.Alarm = newTimerAlarm
	}
	if o.Timer == nil {
		o.Timer = newGoTimer
	}
	if o.ClockSynced == nil {
		o.ClockSynced = func() bool { return false }
	}
	return nil
}

// Run polls and takes commands until ctx ends, and returns nil when all its goroutines have ended. The journal and the publisher
// must work until then. Run is called once.
func (e *Engine) Run(ctx context.Context) error {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	for i, b := range e.buses {
		wg.Go(func() { b.run(ctx, late) })
		wg.Go(func() { e.lanes[i].run(ctx, late) })
	}
	wg.Go(func() { e.dispatcher.run(ctx, late) })

	ended := make(chan struct{})
	var grace sync.WaitGroup
	grace.Go(func() {
		defer cancel()
		select {
		case <-ctx.Done():
			wait(stopGrace, ended)
		case <-ended:
		}
	})
	wg.Wait()
	close(ended)
	grace.Wait()
	return e.closeAlarms()
}

func (e *Engine) closeAlarms() error {
	var errs []error
	for _, b := range e.buses {
		errs = append(errs, b.alarm.Close())
	}
	return errors.Join(errs...)
}

// Stats returns a snapshot of each bus, in the order of the options. It may be called at any time.
func (e *Engine) Stats() []gateway.BusStats {
	stats := make([]gateway.BusStats, len(e.buses))
	for i, b := range e.buses {
		stats[i] = b.snapshot()
	}
	return stats
}

// wait waits for d, or until done is closed.
func wait(d time.Duration, done <-chan struct{}) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}

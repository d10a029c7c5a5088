package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// step is a component while it runs.
type step struct {
	name   string
	run    func(context.Context) error
	bound  time.Duration // for its end, once asked
	cancel context.CancelFunc
	ended  chan error // buffered; closed after the result
}

// lifecycle runs steps and stops them in reverse. Only one goroutine uses it.
type lifecycle struct {
	log    *slog.Logger
	steps  []*step
	failed chan *step // the first step that has ended; buffered, so that it need not wait to be noticed
}

func newLifecycle(log *slog.Logger) *lifecycle {
	return &lifecycle{log: log, failed: make(chan *step, 1)}
}

// start runs a step on its own goroutine and context. The context carries ctx's values but not its end: stop ends the steps, in order.
func (l *lifecycle) start(ctx context.Context, name string, bound time.Duration, run func(context.Context) error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &step{name: name, run: run, bound: bound, cancel: cancel, ended: make(chan error, 1)}
	l.steps = append(l.steps, s)
	go func() {
		s.ended <- s.run(own)
		close(s.ended)
		select {
		case l.failed <- s:
		default: // another has ended before
		}
	}()
}

// wait blocks until ready is closed or ctx ends (nil), or until a step ends by itself, which is a failure. ready may be nil.
func (l *lifecycle) wait(ctx context.Context, ready <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return nil
	case <-ready:
		return nil
	case s := <-l.failed:
		if err := <-s.ended; err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		return fmt.Errorf("%s ended unexpectedly", s.name)
	}
}

// stop ends the steps in reverse order. A step that fails or takes too long is reported and does not keep the others from ending.
func (l *lifecycle) stop() error {
	var errs []error
	for i := len(l.steps) - 1; i >= 0; i-- {
		if err := l.end(l.steps[i]); err != nil {
			errs = append(errs, err)
		}
	}
	l.steps = nil
	return errors.Join(errs...)
}

func (l *lifecycle) end(s *step) error {
	began := time.Now()
	s.cancel()
	timer := time.NewTimer(s.bound)
	defer timer.Stop()
	select {
	case err := <-s.ended:
		l.log.Debug("stopped", "step", s.name, "took", time.Since(began).Round(time.Millisecond))
		if err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("stop %s: %w", s.name, err)
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("stop %s: not done within %v, left behind", s.name, s.bound)
	}
}

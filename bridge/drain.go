package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// drain sends the lanes until the epoch ends, and returns why. When it ends on purpose the window is confirmed first.
func (e *epoch) drain() error {
	w := newWindow(e.suspect.window(min(slowStart, e.b.ceiling)), e.b.ceiling, e.b.opts.MaxInflight)
	s := newSender(e, w)
	defer s.close()
	e.b.window.Store(w)
	defer e.b.window.Store(nil)
	var wg sync.WaitGroup
	wg.Go(func() { e.acknowledge(w) })
	err := s.run()
	_, leaves := planned(err)
	ours := !leaves && e.ctx.Err() == nil // the queue failed, not the connection
	if ours {
		e.cancel(err)
	}
	close(w.flights)
	wg.Wait()
	if leaves && e.ctx.Err() != nil {
		err, leaves = context.Cause(e.ctx), false
	}
	if !leaves && !ours && e.run.Err() == nil {
		e.learn(w)
	}
	return err
}

// learn draws the conclusions from a cut connection: what is suspected, and how far the next window may grow fast.
func (e *epoch) learn(w *window) {
	e.b.suspect = e.suspect.after(e.verdict(), e.head, e.cleared)
	switch {
	case time.Since(e.began) >= backoffCalm:
		e.b.ceiling = e.b.opts.MaxInflight
	case e.head != nil:
		e.b.ceiling = min(e.b.opts.MaxInflight, max(leastCeiling, int(w.limit.Load())/2))
	}
}

// verdict says how the connection ended, as far as it speaks against the head of its window.
func (e *epoch) verdict() ending {
	switch cause := context.Cause(e.ctx); {
	case errors.As(cause, new(cutError)):
		return endCut
	case errors.Is(cause, errNoAnswer) && e.passed:
		return endPassed
	default:
		return endSilent
	}
}

// leastCeiling is how far the window may grow fast after any number of cut connections: a line that breaks often must not be slow as well.
const leastCeiling = 8

// acknowledge confirms the head of the window to its queue, in order, and ends the epoch when the head fails.
func (e *epoch) acknowledge(w *window) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for f := range w.flights {
		if err := e.confirmed(f.token, timer); err != nil {
			e.head = &f
			e.cancel(fmt.Errorf("publish: %w", err))
			for later := range w.flights { // it was not confirmed in order and will be sent again
				e.passed = e.passed || later.acknowledged()
			}
			return
		}
		e.confirm(f)
		w.leave(e.suspect.cuts == 0 || e.cleared)
	}
}

func (e *epoch) confirm(f flight) {
	if f.token != nil {
		e.b.counters.acked.Add(1)
	}
	if f.last {
		e.cleared = e.cleared || e.suspect.is(f)
		f.lane.Queue.Ack(f.pos)
	}
	for _, pos := range f.more {
		f.lane.Queue.Ack(pos)
	}
}

// confirmed waits for the head's PUBACK. It never waits for the token alone: in a session that outlives its connection, paho leaves the tokens of a lost
// connection open for ever.
func (e *epoch) confirmed(t mqtt.Token, timer *time.Timer) error {
	if t == nil {
		return nil
	}
	select {
	case <-t.Done():
		if err := t.Error(); err != nil {
			return because(e.ctx, err)
		}
		return nil
	default:
	}
	timer.Reset(e.b.opts.AckTimeout)
	return e.await(e.ctx, t, timer.C, e.b.opts.AckTimeout)
}

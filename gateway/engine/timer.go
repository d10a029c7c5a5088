package engine

import (
	"sync"
	"time"
)

// Timer calls a function on a goroutine of its own. Its methods are called one at a time, also by the function.
type Timer interface {
	// Set has the function called after d, and not at the time that was set before.
	Set(d time.Duration)
	// Stop has it not called, unless that has begun.
	Stop()
	// Close is Stop for good, and waits until no call is under way: the function must not call it.
	Close() error
}

// goTimer is a Timer on Go's own timers.
type goTimer struct {
	timer *time.Timer
	calls sync.WaitGroup // that are to come or under way
}

func newGoTimer(call func()) Timer {
	t := &goTimer{}
	t.timer = time.AfterFunc(time.Hour, func() {
		defer t.calls.Done()
		call()
	})
	t.timer.Stop()
	return t
}

func (t *goTimer) Set(d time.Duration) {
	t.Stop()
	t.calls.Add(1)
	t.timer.Reset(d)
}

func (t *goTimer) Stop() {
	if t.timer.Stop() {
		t.calls.Done()
	}
}

func (t *goTimer) Close() error {
	t.Stop()
	t.calls.Wait()
	return nil
}

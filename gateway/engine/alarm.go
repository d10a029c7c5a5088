package engine

import "time"

// Alarm is what the goroutine of a bus waits on while nothing is due.
type Alarm interface {
	// Wait returns after d, or when Ring is called, or at once when it was called since the last Wait. A negative d waits for Ring alone.
	// One goroutine uses it.
	Wait(d time.Duration)
	// Ring may be called from any goroutine, at any time.
	Ring()
	// Close gives back what the alarm holds. Nobody waits by then.
	Close() error
}

// timerAlarm is an Alarm on Go's own timers.
type timerAlarm struct{ rung chan struct{} }

func newTimerAlarm() Alarm { return &timerAlarm{rung: make(chan struct{}, 1)} }

func (a *timerAlarm) Wait(d time.Duration) {
	var due <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-due:
	case <-a.rung:
	}
}

func (a *timerAlarm) Ring() {
	select {
	case a.rung <- struct{}{}:
	default: // it rings already
	}
}

func (a *timerAlarm) Close() error { return nil }

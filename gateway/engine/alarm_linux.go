package engine

import (
	"sync"
	"time"

	"github.com/tidegate/tidegate/gateway/ktimer"
)

// KernelAlarm returns an Alarm on a timer of the kernel, which a goroutine waits for as for a socket (timerfd_create(2)). In a process that has
// little to do, waiting for one of Go's timers costs ten times as much: the runtime rounds it down to a millisecond and waits again for the
// rest, and its monitor wakes for the same timer and looks every 20 us whether somebody has served it.
func KernelAlarm() Alarm {
	return &kernelAlarm{spare: newTimerAlarm()}
}

// kernelAlarm has its timer from the first Wait on.
type kernelAlarm struct {
	spare Alarm // waited on when the kernel gives no timer

	mu      sync.Mutex
	timer   *ktimer.Timer
	waiting bool // for the timer
	rung    bool // since the last Wait
	closed  bool
}

func (a *kernelAlarm) Wait(d time.Duration) {
	if !a.ready() {
		a.spare.Wait(d)
		return
	}
	timer := a.begin(d)
	if timer == nil {
		return
	}
	_ = timer.Wait() // fails when the alarm is closed: then there is nothing to wait for
	a.mu.Lock()
	a.waiting, a.rung = false, false
	a.mu.Unlock()
}

// begin sets the timer and returns it, or nil when the alarm has been rung: then there is nothing to wait for.
func (a *kernelAlarm) begin(d time.Duration) *ktimer.Timer {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rung || a.closed {
		a.rung = false
		return nil
	}
	if d >= 0 {
		a.timer.Set(d)
	} else {
		a.timer.Stop()
	}
	a.waiting = true
	return a.timer
}

// ready makes the timer if there is none. Without a descriptor for it the next Wait tries again.
func (a *kernelAlarm) ready() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.timer != nil || a.closed || a.open()
}

func (a *kernelAlarm) open() bool {
	timer, err := ktimer.New()
	if err != nil {
		return false
	}
	a.timer = timer
	return true
}

// Ring has whoever waits go on at once, or not wait at all the next time.
func (a *kernelAlarm) Ring() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rung = true
	a.spare.Ring()
	if a.waiting {
		a.timer.Set(0)
	}
}

func (a *kernelAlarm) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.timer == nil {
		return nil
	}
	timer := a.timer
	a.timer, a.waiting = nil, false
	return timer.Close()
}

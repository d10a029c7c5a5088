package engine

import (
	"time"

	"github.com/tidegate/tidegate/gateway/ktimer"
)

// KernelTimer returns a Timer on one of the kernel's, for the reasons of KernelAlarm: it is set often and hardly ever expires. It is one on Go's own
// timers when the kernel gives none.
func KernelTimer(call func()) Timer {
	timer, err := ktimer.New()
	if err != nil {
		return newGoTimer(call)
	}
	t := &kernelTimer{timer: timer, ended: make(chan struct{})}
	go t.run(call)
	return t
}

type kernelTimer struct {
	timer *ktimer.Timer
	ended chan struct{} // closed when run has returned
}

// run lasts until Close.
func (t *kernelTimer) run(call func()) {
	defer close(t.ended)
	for t.timer.Wait() == nil {
		call()
	}
}

func (t *kernelTimer) Set(d time.Duration) { t.timer.Set(d) }

func (t *kernelTimer) Stop() { t.timer.Stop() }

func (t *kernelTimer) Close() error {
	err := t.timer.Close()
	<-t.ended
	return err
}

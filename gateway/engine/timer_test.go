package engine

import (
	"testing"
	"time"
)

// timers are the kinds of Timer, which all keep the same promises.
var timers = map[string]func(func()) Timer{"Go": newGoTimer, "Kernel": KernelTimer}

func TestTimerCalls(t *testing.T) {
	for name, open := range timers {
		t.Run(name, func(t *testing.T) {
			called := make(chan time.Time)
			timer := open(func() { called <- time.Now() })
			for _, d := range []time.Duration{5 * time.Millisecond, 0, -time.Second, time.Millisecond} {
				start := time.Now()
				timer.Set(time.Hour)
				timer.Set(d)
				select {
				case at := <-called:
					if took := at.Sub(start); took < d {
						t.Errorf("called after %v, set to %v", took, d)
					}
				case <-time.After(alarmPatience):
					t.Fatal("not called")
				}
			}
			timer.Set(20 * time.Millisecond)
			timer.Stop()
			select {
			case <-called:
				t.Error("called though it was stopped")
			case <-time.After(60 * time.Millisecond):
			}
			if err := timer.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Close waits for the call that is under way, and nothing is called afterwards.
func TestTimerCloseWaits(t *testing.T) {
	for name, open := range timers {
		t.Run(name, func(t *testing.T) {
			begun, goOn := make(chan struct{}), make(chan struct{})
			calls := 0
			timer := open(func() {
				close(begun)
				<-goOn
				calls++
			})
			timer.Set(0)
			<-begun
			closed := make(chan error)
			go func() { closed <- timer.Close() }()
			select {
			case <-closed:
				t.Fatal("Close has not waited")
			case <-time.After(20 * time.Millisecond):
			}
			close(goOn)
			if err := <-closed; err != nil || calls != 1 {
				t.Errorf("%d calls, %v", calls, err)
			}
		})
	}
}

package engine

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// alarmPatience is how long a test waits for what should come at once.
const alarmPatience = 20 * time.Second

// alarms are the kinds of Alarm, which all keep the same promises.
var alarms = map[string]func() Alarm{"Timer": newTimerAlarm, "Kernel": KernelAlarm}

// waits runs Wait and returns a channel that is closed when it has returned.
func waits(a Alarm, d time.Duration) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Wait(d)
	}()
	return done
}

func mustEnd(t *testing.T, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(alarmPatience):
		t.Fatal("Wait has not returned")
	}
}

func TestAlarmWaits(t *testing.T) {
	for name, open := range alarms {
		t.Run(name, func(t *testing.T) {
			a := open()
			defer a.Close()
			for _, d := range []time.Duration{20 * time.Millisecond, time.Millisecond, 0, 30 * time.Microsecond} {
				start := time.Now()
				mustEnd(t, waits(a, d))
				if took := time.Since(start); took < d {
					t.Errorf("Wait(%v) has returned after %v", d, took)
				}
			}
		})
	}
}

func TestAlarmRings(t *testing.T) {
	for name, open := range alarms {
		t.Run(name, func(t *testing.T) {
			for _, d := range []time.Duration{time.Hour, -1} {
				a := open()
				a.Ring() // before the first Wait
				mustEnd(t, waits(a, d))
				done := waits(a, d) // it was told already: now it waits
				select {
				case <-done:
					t.Errorf("Wait(%v) has returned a second time for one ring", d)
				case <-time.After(20 * time.Millisecond):
				}
				a.Ring()
				mustEnd(t, done)
				if err := a.Close(); err != nil {
					t.Error(err)
				}
				a.Ring() // after the end
			}
		})
	}
}

// Whoever rings has put something down first, which the waiter must find: with a lost ring it would wait for an hour.
func TestAlarmLosesNoRing(t *testing.T) {
	const rings = 20000
	for name, open := range alarms {
		t.Run(name, func(t *testing.T) {
			a := open()
			defer a.Close()
			put, taken := make(chan int, 1), make(chan struct{})
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() {
				for i := range rings {
					put <- i
					a.Ring()
					select {
					case <-taken:
					case <-time.After(alarmPatience):
						t.Errorf("ring %d of %d is lost", i, rings)
						close(put)
						a.Ring()
						return
					}
				}
				close(put)
				a.Ring()
			})
			for open := true; open; {
				select {
				case _, open = <-put:
					if open {
						taken <- struct{}{}
					}
				default:
					a.Wait(time.Hour)
				}
			}
		})
	}
}

// The whole engine on the kernel's timers: it polls, takes a command while it waits for an hour, and stops.
func TestEngineOnKernelAlarm(t *testing.T) {
	d, p, j := meters("m"), &fakePublisher{}, newJournal()
	d.devices[0].Groups[0].Interval = time.Hour
	e, err := New(Options{
		Publisher: p, Journal: j, Topics: gateway.Topics{Base: "t"}, Buses: []Bus{{Name: "bus", Driver: d}}, Alarm: KernelAlarm,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	until(t, func() bool { return len(d.taken("poll")) == 1 })
	j.add(&gateway.Message{Topic: "t/m/a/set", Payload: []byte("42"), QoS: 1})
	until(t, func() bool { return len(p.messages("t/m/result")) == 1 && len(d.taken("poll")) == 2 })
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(alarmPatience):
		t.Fatal("the engine does not stop while it waits for a poll")
	}
}

// until waits for something that is about to happen on another goroutine.
func until(t *testing.T, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for limit := time.After(alarmPatience); !happened(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("it has not happened")
		}
	}
}

package modbus

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a test with short timeouts shows holds on a machine that keeps the times: there nothing stands still for so long.
const (
	standstill = patience / 10
	tries      = 20
)

// steady tries what depends on a timeout that is kept, or on an answer that comes a little behind one. A try that fails while the machine stood
// still says nothing of the driver, which cannot tell that from a device that did, and is followed by another. One that fails on a machine that went
// on is a failure, as on any.
func steady(t *testing.T, try func(t testing.TB)) {
	t.Helper()
	for n := 1; ; n++ {
		a := &attempt{TB: t}
		w := watchPauses()
		a.run(try)
		stood, _ := w.end()
		if !a.Failed() {
			return
		}
		if stood <= standstill || n == tries {
			t.Fatalf("try %d, in which the machine stood still for %v at most:\n%s", n, stood, strings.Join(a.said, "\n"))
		}
		t.Logf("try %d says nothing, the machine stood still for %v:\n%s", n, stood, strings.Join(a.said, "\n"))
	}
}

// steadily makes a parallel test of it.
func steadily(try func(t testing.TB)) func(*testing.T) {
	return func(t *testing.T) {
		t.Parallel()
		steady(t, try)
	}
}

// whole is the test that an attempt is part of, for what no pause excuses.
func whole(t testing.TB) testing.TB {
	if a, ok := t.(*attempt); ok {
		return a.TB
	}
	return t
}

// pauseWatch looks at the clock again and again, to see when it could not.
type pauseWatch struct {
	over              chan struct{}
	ended             chan struct{}
	longest, together time.Duration
}

// noPause is what a thread waits for its turn on any busy machine.
const noPause = 10 * time.Millisecond

func watchPauses() *pauseWatch {
	w := &pauseWatch{over: make(chan struct{}), ended: make(chan struct{})}
	last := time.Now()
	go func() {
		defer close(w.ended)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for ended := false; !ended; {
			select {
			case <-tick.C:
			case <-w.over:
				ended = true
			}
			now := time.Now()
			w.note(now.Sub(last))
			last = now
		}
	}()
	return w
}

func (w *pauseWatch) note(pause time.Duration) {
	w.longest = max(w.longest, pause)
	if pause > noPause {
		w.together += pause
	}
}

// end returns for how long the machine stood still at most, and all pauses together.
func (w *pauseWatch) end() (longest, together time.Duration) {
	close(w.over)
	<-w.ended
	return w.longest, w.together
}

// attempt is a test within a test, which may fail without it.
type attempt struct {
	testing.TB
	mu       sync.Mutex
	failed   bool
	said     []string
	cleanups []func()
	ctx      context.Context
}

// givenUp is what FailNow throws. The test itself has to stay on its goroutine, for the sake of Skip.
type givenUp struct{ *attempt }

func (a *attempt) run(try func(testing.TB)) {
	var cancel context.CancelFunc
	a.ctx, cancel = context.WithCancel(a.TB.Context())
	a.catch(func() { try(a) })
	cancel()
	for _, f := range slices.Backward(a.cleanups) {
		a.catch(f)
	}
}

func (a *attempt) catch(f func()) {
	defer func() {
		if r := recover(); r != nil && r != (givenUp{a}) {
			panic(r)
		}
	}()
	f()
}

func (a *attempt) say(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.said = append(a.said, text)
}

func (a *attempt) Fail() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed = true
}

func (a *attempt) Failed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed
}

func (a *attempt) Context() context.Context          { return a.ctx }
func (a *attempt) Cleanup(f func())                  { a.cleanups = append(a.cleanups, f) }
func (a *attempt) Log(args ...any)                   { a.say(fmt.Sprint(args...)) }
func (a *attempt) Logf(format string, args ...any)   { a.say(fmt.Sprintf(format, args...)) }
func (a *attempt) FailNow()                          { a.Fail(); panic(givenUp{a}) }
func (a *attempt) Error(args ...any)                 { a.Log(args...); a.Fail() }
func (a *attempt) Errorf(format string, args ...any) { a.Logf(format, args...); a.Fail() }
func (a *attempt) Fatal(args ...any)                 { a.Log(args...); a.FailNow() }
func (a *attempt) Fatalf(format string, args ...any) { a.Logf(format, args...); a.FailNow() }

// What fails on a machine that goes on is not tried again, and what fails on one that stood still is, with all that belongs to it made anew.
func TestAttempts(t *testing.T) {
	var order []string
	a := &attempt{TB: t}
	a.run(func(t testing.TB) {
		ctx := t.Context()
		t.Cleanup(func() { order = append(order, fmt.Sprint("first ", ctx.Err())) })
		t.Cleanup(func() { order = append(order, "second") })
		t.Errorf("%d", 1)
		t.Fatal("two")
		t.Error("three")
	})
	if got := strings.Join(append(a.said, order...), ", "); !a.Failed() || t.Failed() || got != "1, two, second, first context canceled" {
		t.Errorf("said and did %s, failed: %v", got, a.Failed())
	}
	w := watchPauses()
	<-time.After(3 * time.Millisecond)
	if longest, together := w.end(); longest <= 0 || together > 0 && together < noPause {
		t.Errorf("stood still for %v at most, %v together", longest, together)
	}
}

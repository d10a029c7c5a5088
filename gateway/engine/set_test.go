package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// set is what a caller of Set asks for.
func set(name string, v gateway.Value) []gateway.Setting {
	return []gateway.Setting{{Point: name, Value: v}}
}

// A caller of Set gets what was read back, in one line with the commands from the journal, and nobody else is told.
func TestSetByACaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		d.onWrite = writesFor(50 * time.Millisecond)
		r := newRig(t, d)
		r.start()
		r.after(100 * time.Millisecond)
		r.send("t/m/a/set", "1")
		r.after(time.Millisecond)
		back, err := r.engine.Set(t.Context(), "m", append(set("b", gateway.Bool(true)), set("a", gateway.Int(7))...))
		if err != nil || len(back) != 2 || back[1].Value != gateway.Float64(7) {
			t.Errorf("got %v, %v", back, err)
		}
		r.after(50 * time.Millisecond)
		r.stop()
		// Between the two there is a poll, unless the second is at hand before the bus looks for what is next.
		writes := slices.DeleteFunc(d.words(), func(what string) bool { return what == "poll 0.0" })
		want(t, "writes", writes, "write 0.0=1", "write 0.1=true", "write 0.0=7")
		if words := d.words(); words[0] != "poll 0.0" || words[len(words)-1] != "poll 0.0" {
			t.Errorf("conversations %v, want a poll before and behind", words)
		}
		want(t, "results", r.results("t/m/result"), "done a=1")
		want(t, "open entries", r.journal.open())
	})
}

// A bus that waits for its next poll is woken: a command is no poll's passenger.
func TestSetDoesNotWaitForAPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		r := newRig(t, d)
		r.start()
		r.after(700 * time.Millisecond) // polled at 0 and at 500 ms, and then at 1500 ms
		began := time.Now()
		_, err := r.engine.Set(t.Context(), "m", set("a", gateway.Int(7)))
		if took := time.Since(began); err != nil || took > 100*time.Millisecond {
			t.Errorf("took %v on an idle bus, %v", took, err)
		}
		r.stop()
		want(t, "writes", d.taken("write"), talk{"write 0.0=7", 700 * time.Millisecond})
	})
}

func TestSetRefusesBeforeAnythingIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		r := newRig(t, d)
		r.start()
		for _, c := range []struct {
			device string
			values []gateway.Setting
			want   string
		}{
			{"x", set("a", gateway.Int(1)), "device x is not known"},
			{"m", set("x", gateway.Int(1)), "has no point x"},
			{"m", set("c", gateway.Int(1)), "not writable"},
			{"m", set("a", gateway.Int(101)), "101 is above 100"},
			{"m", append(set("b", gateway.Bool(true)), set("a", gateway.Int(-1))...), "-1 is below 0"},
			{"m", nil, "no values"},
		} {
			_, err := r.engine.Set(t.Context(), c.device, c.values)
			if check := r.engine.Check(c.device, c.values); !errors.Is(err, ErrRefused) || !errors.Is(check, ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v and %v, want a refusal: %s", err, check, c.want)
			}
		}
		r.after(100 * time.Millisecond)
		r.stop()
		want(t, "writes", d.taken("write"))
	})
}

// narrow is a driver whose points hold no more than 50.
type narrow struct{ *fakeDriver }

func (narrow) Check(_, point int, v gateway.Value) error {
	if v.Float() > 50 {
		return fmt.Errorf("point number %d holds 50", point)
	}
	return nil
}

// What a point cannot hold is refused like what it must not be set to: as rejected, and before other values of the command are written.
func TestWhatAPointCannotHoldIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		r := newRig(t, d)
		r.options.Buses[0].Driver = narrow{d}
		r.start()
		values := append(set("b", gateway.Bool(true)), set("a", gateway.Int(51))...)
		_, err := r.engine.Set(t.Context(), "m", values)
		if check := r.engine.Check("m", values); !errors.Is(err, ErrRefused) || !errors.Is(check, ErrRefused) || !strings.Contains(err.Error(), "point a: point number 0 holds 50") {
			t.Errorf("got %v and %v", err, check)
		}
		r.send("t/m/set", `{"values":{"b":true,"a":51}}`)
		r.after(100 * time.Millisecond)
		r.stop()
		want(t, "writes", d.taken("write"))
		if got := r.results("t/m/result"); len(got) != 1 || !strings.HasPrefix(got[0], "rejected") {
			t.Errorf("got results %q", got)
		}
	})
}

func TestSetTellsWhatWentWrong(t *testing.T) {
	for _, c := range []struct {
		name string
		back gateway.Reading
		err  error
		want error
	}{
		{"no answer", gateway.Reading{}, ErrNoAnswer, ErrNoAnswer},
		{"refused by the device", gateway.Reading{}, errNoise, errNoise},
		{"read back as bad", gateway.Reading{Reason: gateway.ReasonSentinel}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := meters("m")
				d.onWrite = func(context.Context, int, int, gateway.Value) (gateway.Reading, error) { return c.back, c.err }
				r := newRig(t, d)
				r.start()
				_, err := r.engine.Set(t.Context(), "m", set("a", gateway.Int(1)))
				r.stop()
				if err == nil || c.want != nil && !errors.Is(err, c.want) || errors.Is(err, ErrNotBegun) || errors.Is(err, ErrRefused) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// A command that its caller gave up before its turn is never carried out; one that was begun is.
func TestSetGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		d.onWrite = writesFor(time.Second)
		r := newRig(t, d)
		r.start()
		r.after(100 * time.Millisecond)
		short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		var first, second error
		var callers sync.WaitGroup
		callers.Go(func() { _, first = r.engine.Set(short, "m", set("a", gateway.Int(1))) })
		synctest.Wait()
		callers.Go(func() { _, second = r.engine.Set(short, "m", set("a", gateway.Int(2))) })
		callers.Wait()
		if first == nil || errors.Is(first, ErrNotBegun) || !errors.Is(first, context.DeadlineExceeded) {
			t.Errorf("begun: got %v, want that the time was up", first)
		}
		if !errors.Is(second, ErrNotBegun) {
			t.Errorf("not begun: got %v, want ErrNotBegun", second)
		}
		r.after(3 * time.Second)
		r.stop()
		if got := d.taken("write"); len(got) != 1 || got[0].what != "write 0.0=1" {
			t.Errorf("got %v, want the first alone", got)
		}
	})
}

func TestSetOfAFullLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		d.onWrite = writesFor(time.Hour)
		r := newRig(t, d)
		r.start()
		r.after(100 * time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		for range laneSize + 1 { // one is under way
			callers.Go(func() { _, _ = r.engine.Set(ctx, "m", set("a", gateway.Int(1))) })
			synctest.Wait()
		}
		if _, err := r.engine.Set(ctx, "m", set("a", gateway.Int(1))); !errors.Is(err, ErrNotBegun) {
			t.Errorf("got %v, want ErrNotBegun", err)
		}
		cancel()
		callers.Wait()
		r.stop()
	})
}

// Nobody waits for ever when the engine stops: the command under way is interrupted, the ones behind it are not begun.
func TestSetWhileTheEngineStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		d.onWrite = writesForEver
		r := newRig(t, d)
		r.start()
		r.after(100 * time.Millisecond)
		var first error
		var callers sync.WaitGroup
		callers.Go(func() { _, first = r.engine.Set(t.Context(), "m", set("a", gateway.Int(1))) })
		synctest.Wait()
		r.stop()
		callers.Wait()
		if !errors.Is(first, errInterrupted) {
			t.Errorf("got %v, want that it was interrupted", first)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.engine.Set(ctx, "m", set("a", gateway.Int(1))); !errors.Is(err, ErrNotBegun) {
			t.Errorf("after the stop: got %v, want ErrNotBegun", err)
		}
	})
}

// witness keeps what an observer is told, as "a=1 b=bad(timeout)".
type witness struct {
	mu   sync.Mutex
	seen []string
	old  []time.Duration
}

func (w *witness) Observe(device string, readings []gateway.Reading, staleAfter []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line := device
	for _, r := range readings {
		line += " " + r.Value.String()
		if r.Quality != gateway.QualityGood {
			line += string(r.Reason)
		}
	}
	w.seen = append(w.seen, line)
	w.old = slices.Clone(staleAfter)
}

// The observer hears of each poll, published or not, and of each write at once.
func TestObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		for i := range d.devices[0].Points {
			d.devices[0].Points[i].Heartbeat = time.Hour
		}
		value := int64(1)
		d.onPoll = func(_ context.Context, _, _ int, readings []gateway.Reading) (bool, error) {
			setAll(readings, good(gateway.Int(value)))
			return false, nil
		}
		w := &witness{}
		r := newRig(t, d)
		r.options.Observer = w
		r.start()
		r.after(1500 * time.Millisecond)
		if _, err := r.engine.Set(t.Context(), "m", set("a", gateway.Int(7))); err != nil {
			t.Fatal(err)
		}
		r.after(time.Millisecond)
		d.kill(0, 10*time.Millisecond)
		r.after(3 * time.Second)
		r.stop()
		want(t, "observed", w.seen,
			"m 1 1 1", "m 1 1 1", "m 1 1 1", // polls, of which the first was published
			"m 7 1 1", "m 1 1 1", // the write, and the poll that follows
			"m nullcrc 1 1",             // the first poll without an answer
			"m nullcrc nullcrc nullcrc") // it is offline
		if n := len(r.publisher.batches("t/m")); n != 4 {
			t.Errorf("%d batches, want 4", n)
		}
		want(t, "stale after", w.old, 3*time.Second, 3*time.Second, 3*time.Second)
	})
}

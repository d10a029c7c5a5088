package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// passingDriver is a bus in memory that other masters may use too.
type passingDriver struct {
	*fakeDriver
	passCost time.Duration
	changed  []Place
	silent   bool // requests are broadcasts
	onPass   func(ctx context.Context) error
}

func (d *passingDriver) Pass(ctx context.Context, unit byte, request []byte) ([]byte, []Place, error) {
	d.note("pass %d %s", unit, request)
	if d.onPass != nil {
		if err := d.onPass(ctx); err != nil {
			return nil, nil, err
		}
	}
	wait(d.passCost, ctx.Done())
	if d.silent {
		return nil, d.changed, ctx.Err()
	}
	return append([]byte("re: "), request...), d.changed, ctx.Err()
}

// newPassRig is an engine with one bus, "bus0".
func newPassRig(t *testing.T, d *passingDriver) *rig {
	r := newRig(t, d.fakeDriver)
	r.options.Buses[0].Driver = d
	return r
}

// greed asks over so many connections of one client, each time as soon as it has its answer. The count is of answers.
func (r *rig) greed(client string, connections int) *atomic.Int64 {
	answers := new(atomic.Int64)
	for range connections {
		go func() {
			for {
				switch _, err := r.engine.Pass(r.Context(), "bus0", client, 9, []byte(client)); {
				case err == nil:
					answers.Add(1)
				case errors.Is(err, ErrBusy): // it has more connections than the bus has time for
				case r.Context().Err() != nil || errors.Is(err, ErrOffline):
					return
				default:
					r.Errorf("%s: %v", client, err)
					return
				}
			}
		}()
	}
	return answers
}

// Eight devices at 1 s: their polls take between half and all of the time.
func TestPollsKeepTheirRateNextToAGreedyMaster(t *testing.T) {
	for _, load := range []int{50, 80, 95, 100} {
		for _, cost := range []time.Duration{0, time.Millisecond, 50 * time.Millisecond, 300 * time.Millisecond} {
			t.Run(fmt.Sprintf("%dPercent%v", load, cost), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { greedyMaster(t, load, cost) })
			})
		}
	}
}

func greedyMaster(t *testing.T, load int, cost time.Duration) {
	d := &passingDriver{fakeDriver: meters("m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7"), passCost: cost}
	d.cost = time.Duration(load) * time.Second / 100 / 8
	onPass := 0
	d.onPass = func(ctx context.Context) error {
		if onPass++; cost == 0 && onPass%10 == 0 {
			wait(time.Millisecond, ctx.Done()) // else the clock would stand still
		}
		return nil
	}
	r := newPassRig(t, d)
	r.start()
	answers := r.greed("plc", 4)
	span := 2 * time.Minute
	if cost == 0 {
		span = 5 * time.Second
	}
	r.after(span)
	polls, carried := len(d.taken("poll")), answers.Load()
	r.stop()
	if want := 0.9 * 8 * span.Seconds(); float64(polls) < want {
		t.Errorf("%d polls, want %v at least", polls, want)
	}
	if cost == 0 {
		return
	}
	free := max(0.1, 1-float64(load)/100)
	if want := 0.9 * free * span.Seconds() / cost.Seconds(); float64(carried) < want {
		t.Errorf("%d requests of the other master, want %.0f at least", carried, want)
	}
}

// The polls take twice the time there is.
func TestMasterGetsATurnWhilePollsOverloadTheBus(t *testing.T) {
	for _, poll := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			d := &passingDriver{fakeDriver: meters("m0", "m1", "m2", "m3"), passCost: 20 * time.Millisecond}
			d.cost = poll
			for i := range d.devices {
				d.devices[i].Groups[0].Interval = 2 * poll
			}
			r := newPassRig(t, d)
			r.start()
			answers := r.greed("plc", 4)
			r.after(100 * time.Second)
			r.stop()
			if got := answers.Load(); got < 490 || got > 510 {
				t.Errorf("polls of %v: %d requests of 20 ms in 100 s, want a tenth of the time", poll, got)
			}
		})
	}
}

func TestMasterDoesNotSaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &passingDriver{fakeDriver: meters("m0", "m1", "m2", "m3"), passCost: 20 * time.Millisecond}
		d.cost = 250 * time.Millisecond // all there is
		r := newPassRig(t, d)
		r.start()
		r.after(time.Minute)
		before := len(d.taken("poll"))
		r.greed("plc", 4)
		r.after(10 * time.Second)
		polls := len(d.taken("poll")) - before
		r.stop()
		if polls < 35 { // one is cut off at the end
			t.Errorf("%d polls in the first 10 s in which a master asks, want nine tenths of 40", polls)
		}
	})
}

// While a conversation takes place a command, a request and further polls come to wait.
func TestCommandsComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &passingDriver{fakeDriver: meters("m0", "m1", "m2"), passCost: 20 * time.Millisecond}
		d.cost = 100 * time.Millisecond
		r := newPassRig(t, d)
		r.start()
		r.after(50 * time.Millisecond)
		answers := make(chan error, 2)
		for _, request := range []string{"first", "second"} {
			go func() {
				_, err := r.engine.Pass(t.Context(), "bus0", "plc", 9, []byte(request))
				answers <- err
			}()
			synctest.Wait()
		}
		r.send("t/m2/a/set", "42")
		r.after(time.Second)
		want := []string{"poll 0.0", "write 2.0=42", "pass 9 first", "poll 2.0", "pass 9 second", "poll 1.0"}
		if got := d.words()[:len(want)]; !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		for range 2 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		r.stop()
	})
}

func TestPassEntersBetweenTheStepsOfAPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &passingDriver{fakeDriver: meters("m")}
		d.onPoll = func(ctx context.Context, _, step int, readings []gateway.Reading) (bool, error) {
			wait(100*time.Millisecond, ctx.Done())
			setAll(readings, good(gateway.Int(1)))
			return step < 2, ctx.Err()
		}
		r := newPassRig(t, d)
		r.start()
		r.after(50 * time.Millisecond)
		if answer, err := r.engine.Pass(t.Context(), "bus0", "plc", 9, []byte("ask")); string(answer) != "re: ask" || err != nil {
			t.Errorf("got %q, %v", answer, err)
		}
		r.after(300 * time.Millisecond)
		r.stop()
		want := []string{"poll 0.0", "pass 9 ask", "poll 0.1", "poll 0.2"}
		if got := d.words(); !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if s := r.engine.Stats()[0]; s.Passed != 1 || s.Refused != 0 || s.Polls != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestClientsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &passingDriver{fakeDriver: &fakeDriver{}, passCost: 10 * time.Millisecond}
		r := newPassRig(t, d)
		r.start()
		greedy := r.greed("greedy", passesPerClient)
		modest := []*atomic.Int64{r.greed("modest1", 1), r.greed("modest2", 1)}
		r.after(10 * time.Second)
		r.stop()
		for _, got := range []int64{greedy.Load(), modest[0].Load(), modest[1].Load()} {
			if got < 320 || got > 340 {
				t.Errorf("one of three clients had %d of 1000 requests, want a third", got)
			}
		}
	})
}

// hold keeps the bus in a conversation until the returned function is called.
func (d *passingDriver) hold() (release func()) {
	held := make(chan struct{})
	d.onPass = func(context.Context) error {
		<-held
		return nil
	}
	return func() { close(held) }
}

func TestBoundsOfTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &passingDriver{fakeDriver: &fakeDriver{}}
		release := d.hold()
		r := newPassRig(t, d)
		r.start()
		errs := make(chan error, 100)
		ask := func(client string) {
			go func() {
				_, err := r.engine.Pass(t.Context(), "bus0", client, 9, []byte("ask"))
				errs <- err
			}()
			synctest.Wait()
		}
		ask("a") // is being carried out
		for range passesPerClient {
			ask("a")
		}
		if ask("a"); len(errs) != 1 || !errors.Is(<-errs, ErrBusy) {
			t.Error("a client's requests are not bounded")
		}
		for i := passesPerClient; i < passesPerBus; i++ {
			ask(fmt.Sprint("client", i))
		}
		if len(errs) != 0 {
			t.Fatalf("refused within the bound: %v", <-errs)
		}
		if ask("b"); len(errs) != 1 || !errors.Is(<-errs, ErrBusy) {
			t.Error("the bus's requests are not bounded")
		}
		release()
		synctest.Wait()
		for range 1 + passesPerBus {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		r.stop()
		if s := r.engine.Stats()[0]; s.Passed != 1+passesPerBus || s.Refused != 2 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestRequestThatWaitsTooLongIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &passingDriver{fakeDriver: &fakeDriver{}}
		release := d.hold()
		r := newPassRig(t, d)
		r.start()
		var first, second error
		go func() { _, first = r.engine.Pass(t.Context(), "bus0", "a", 1, []byte("slow")) }()
		synctest.Wait()
		go func() { _, second = r.engine.Pass(t.Context(), "bus0", "b", 2, []byte("late")) }()
		r.after(passPatience + time.Second)
		release()
		synctest.Wait()
		r.stop()
		if first != nil || !errors.Is(second, ErrBusy) {
			t.Errorf("got %v for the one that was begun and %v for the one that was not", first, second)
		}
		if got, want := d.words(), []string{"pass 1 slow"}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestClientHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &passingDriver{fakeDriver: &fakeDriver{}, passCost: time.Second}
		r := newPassRig(t, d)
		r.start()
		ctx, hangUp := context.WithCancel(t.Context())
		errs := make(chan error, 2)
		request := []byte("begun")
		for _, unit := range []byte{1, 2} {
			go func() {
				_, err := r.engine.Pass(ctx, "bus0", "a", unit, request)
				errs <- err
			}()
			synctest.Wait()
		}
		r.after(500 * time.Millisecond)
		hangUp()
		for range 2 {
			if err := <-errs; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want at once that the client has gone", err)
			}
		}
		copy(request, "AGAIN") // the memory is the client's again
		answer, err := r.engine.Pass(t.Context(), "bus0", "b", 3, []byte("next"))
		r.stop()
		if string(answer) != "re: next" || err != nil {
			t.Errorf("got %q, %v", answer, err)
		}
		want := []talk{{"pass 1 begun", 0}, {"pass 3 next", time.Second}} // the first to its end, the second not at all
		if got := d.taken(""); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestChangedPointsArePolledNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &passingDriver{fakeDriver: meters("m0", "m1"), changed: []Place{{1, 0}}}
		r := newPassRig(t, d)
		r.start()
		r.after(100 * time.Millisecond)
		for range 20 { // 10 times a second
			if _, err := r.engine.Pass(t.Context(), "bus0", "plc", 2, []byte("w")); err != nil {
				t.Error(err)
			}
			r.after(100 * time.Millisecond)
		}
		r.stop()
		words := d.words()
		if want := []string{"poll 0.0", "poll 1.0", "pass 2 w", "poll 1.0"}; !slices.Equal(words[:4], want) {
			t.Errorf("got %q, want %q first", words[:4], want)
		}
		// At the start, by the schedule at 1 s and 2 s, and for the writes at 0.1 s and 1.1 s.
		if got := len(d.taken("poll 1.0")); got != 5 {
			t.Errorf("device polled %d times, want 5: once an interval more", got)
		}
		if got := len(d.taken("poll 0.0")); got != 3 {
			t.Errorf("the other device polled %d times, want 3", got)
		}
	})
}

func TestBroadcastDoesNotWakeTheDead(t *testing.T) {
	for _, silent := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			d := &passingDriver{fakeDriver: meters("dead", "m"), changed: []Place{{0, 0}, {1, 0}}, silent: silent}
			d.kill(0, 100*time.Millisecond)
			r := newPassRig(t, d)
			r.start()
			r.after(10 * time.Second)
			before := len(d.taken("poll 0.0"))
			d.revive(0)
			if _, err := r.engine.Pass(t.Context(), "bus0", "plc", 0, []byte("w")); err != nil {
				t.Error(err)
			}
			r.after(50 * time.Millisecond)
			woken := len(d.taken("poll 0.0")) > before
			r.stop()
			if woken == silent {
				t.Errorf("silent %v: device that is offline was polled: %v", silent, woken)
			}
		})
	}
}

func TestPassOnABusThatPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &passingDriver{fakeDriver: meters("m")}
		d.onPass = func(context.Context) error { panic("index out of range [17]") }
		r := newPassRig(t, d)
		r.start()
		r.after(100 * time.Millisecond)
		for _, what := range []string{"panic", "pause"} {
			began := time.Now()
			if _, err := r.engine.Pass(t.Context(), "bus0", "plc", 1, []byte("ask")); !errors.Is(err, ErrOffline) || time.Since(began) > 0 {
				t.Errorf("%s: %v after %v, want at once that the bus is not open", what, err, time.Since(began))
			}
		}
		r.after(5 * time.Second)
		r.stop()
		if _, err := r.engine.Pass(t.Context(), "bus0", "plc", 1, []byte("ask")); !errors.Is(err, ErrOffline) {
			t.Errorf("after the end: %v", err)
		}
		if n := len(d.taken("poll")); n < 4 {
			t.Errorf("%d polls, want the bus to go on", n)
		}
	})
}

func TestPassErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &passingDriver{fakeDriver: &fakeDriver{}}
		d.onPass = func(context.Context) error { return fmt.Errorf("unit 7: %w", ErrNoAnswer) }
		r := newPassRig(t, d)
		r.options.Buses = append(r.options.Buses, Bus{Name: "simple", Driver: meters("m")})
		r.start()
		defer r.stop()
		if _, err := r.engine.Pass(t.Context(), "bus0", "plc", 7, nil); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("got %v, want no answer", err)
		}
		for _, bus := range []string{"simple", "unknown"} {
			if _, err := r.engine.Pass(t.Context(), bus, "plc", 7, nil); err == nil || !strings.Contains(err.Error(), bus) {
				t.Errorf("bus %s: %v", bus, err)
			}
		}
	})
}

func TestStopTurnsMastersAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &passingDriver{fakeDriver: &fakeDriver{}, passCost: time.Second}
		r := newPassRig(t, d)
		r.start()
		errs := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := r.engine.Pass(t.Context(), "bus0", "plc", 1, []byte("ask"))
				errs <- err
			}()
		}
		r.after(500 * time.Millisecond)
		r.stop()
		for range 2 {
			if err := <-errs; !errors.Is(err, ErrOffline) {
				t.Errorf("got %v", err)
			}
		}
	})
}

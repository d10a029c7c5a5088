package engine

import (
	"context"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

func TestPollsAreStaggered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m0", "m1")
		r := newRig(t, d)
		r.start()
		r.after(2200 * time.Millisecond)
		r.stop()
		ms := time.Millisecond
		want := []talk{
			{"poll 0.0", 0},
			{"poll 1.0", 10 * ms},
			{"poll 0.0", 500 * ms},
			{"poll 1.0", 1000 * ms},
			{"poll 0.0", 1500 * ms},
			{"poll 1.0", 2000 * ms},
		}
		if got := d.taken(""); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
		if s := r.engine.Stats()[0]; s.Polls != 6 || s.Missed != 0 || s.Busy != 60*ms {
			t.Errorf("got %d polls, %d missed, busy %v", s.Polls, s.Missed, s.Busy)
		}
	})
}

func TestMissedSlotsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		d.cost = 2500 * time.Millisecond // of polls that are due each second
		r := newRig(t, d)
		r.start()
		r.after(30 * time.Second)
		r.stop()
		s := r.engine.Stats()[0]
		if s.Polls < 10 || s.Polls > 12 || s.Polls+s.Missed < 28 || s.Polls+s.Missed > 31 {
			t.Errorf("got %d polls and %d missed in 30 s, want about 12 and 18", s.Polls, s.Missed)
		}
	})
}

func TestBatchHoldsAllPoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		d.devices[0].Publish = gateway.PublishBoth
		d.onPoll = func(_ context.Context, _, step int, readings []gateway.Reading) (bool, error) {
			wait(time.Millisecond, nil)
			switch step {
			case 0:
				readings[0] = good(gateway.Float64(1.5))
				return true, nil
			case 1:
				readings[1] = gateway.Reading{Reason: gateway.ReasonCRC, Time: time.Now()}
				return true, errNoise
			default:
				readings[2] = good(gateway.Int(7))
				return false, nil
			}
		}
		r := newRig(t, d)
		r.start()
		r.after(100 * time.Millisecond)
		r.stop()
		ms := func(n time.Duration) time.Time { return epoch.Add(n * time.Millisecond) }
		want := gateway.Batch{
			Topic: "t/m", Publish: gateway.PublishBoth, Time: ms(3), Names: []string{"a", "b", "c"},
			Readings: []gateway.Reading{
				{Value: gateway.Float64(1.5), Quality: gateway.QualityGood, Time: ms(1)},
				{Reason: gateway.ReasonCRC, Time: ms(2)},
				{Value: gateway.Int(7), Quality: gateway.QualityGood, Time: ms(3)},
			},
		}
		got := r.publisher.batches("t/m")
		if len(got) != 1 {
			t.Fatalf("got %d batches, want 1", len(got))
		}
		if !sameBatch(got[0], &want) {
			t.Errorf("got  %+v\nwant %+v", got[0], want)
		}
	})
}

// sameBatch compares times as instants.
func sameBatch(a, b *gateway.Batch) bool {
	if a.Topic != b.Topic || a.Publish != b.Publish || !a.Time.Equal(b.Time) || !reflect.DeepEqual(a.Names, b.Names) || len(a.Readings) != len(b.Readings) {
		return false
	}
	for i, r := range a.Readings {
		s := b.Readings[i]
		if r.Value != s.Value || r.Quality != s.Quality || r.Reason != s.Reason || !r.Time.Equal(s.Time) {
			return false
		}
	}
	return true
}

// A record is never changed once it was handed over: later polls must write elsewhere.
func TestBatchesShareNamesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		value := int64(0)
		d.onPoll = func(_ context.Context, _, _ int, readings []gateway.Reading) (bool, error) {
			value++
			setAll(readings, good(gateway.Int(value)))
			return false, nil
		}
		r := newRig(t, d)
		r.start()
		r.after(3 * time.Second)
		r.stop()
		got := r.publisher.batches("t/m")
		if len(got) < 3 {
			t.Fatalf("got %d batches, want at least 3", len(got))
		}
		for i, b := range got {
			if want := gateway.Int(int64(i + 1)); b.Readings[0].Value != want {
				t.Errorf("batch %d: got %s, want %s", i, b.Readings[0].Value, want)
			}
			if &b.Names[0] != &got[0].Names[0] {
				t.Errorf("batch %d has its own copy of the names", i)
			}
		}
	})
}

// A point that is reached only now and then keeps its reading, and is stale when that has become old.
func TestReadingsBecomeStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		polls := 0
		d.onPoll = func(_ context.Context, _, _ int, readings []gateway.Reading) (bool, error) {
			if readings[0] = good(gateway.Int(1)); polls == 0 {
				readings[1] = good(gateway.Bool(true))
			}
			polls++
			return false, nil
		}
		r := newRig(t, d)
		r.start()
		r.after(5 * time.Second) // polls at 0, 0.5, 1.5, 2.5, 3.5, 4.5 s; stale after 3 s
		r.stop()
		var got []string
		for _, b := range r.publisher.batches("t/m") {
			got = append(got, b.Readings[1].Quality.String()+" "+b.Readings[1].Value.String()+", "+b.Readings[0].Quality.String()+", "+string(b.Readings[2].Reason))
		}
		want := []string{
			"good true, good, not read", "good true, good, not read", "good true, good, not read", "good true, good, not read",
			"stale true, good, not read", "stale true, good, not read",
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

func TestStaleAfterOfTheDevice(t *testing.T) {
	m := meter("m")
	m.StaleAfter = time.Minute
	d := newDevice(0, m, topics)
	if d.staleAfter[2] != time.Minute {
		t.Errorf("got %v, want what the device says", d.staleAfter)
	}
}

// A stop does not wait for a conversation, and what it cut off is not published.
func TestStopCutsAPollOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		d.cost = time.Hour
		r := newRig(t, d)
		r.start()
		r.after(time.Second)
		r.stop()
		if took := time.Since(epoch); took != time.Second {
			t.Errorf("the stop took %v", took-time.Second)
		}
		if len(r.publisher.records) != 0 {
			t.Errorf("published %+v", r.publisher.records[0].Body)
		}
		if d.closes != 1 {
			t.Errorf("driver closed %d times, want once", d.closes)
		}
	})
}

// A line that fails now and then must not fill the log.
func TestErrorsAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		polls := 0
		d.onPoll = func(_ context.Context, _, _ int, readings []gateway.Reading) (bool, error) {
			setAll(readings, good(gateway.Int(1)))
			if polls++; polls < 100 && polls%2 == 0 {
				return false, errNoise
			}
			return false, nil
		}
		var text strings.Builder
		r := newRig(t, d)
		r.options.Logger = slog.New(slog.NewTextHandler(&text, nil))
		r.start()
		r.after(2 * time.Minute)
		r.stop()
		if n := strings.Count(text.String(), errNoise.Error()); n != 1 {
			t.Errorf("logged %d times, want once:\n%s", n, text.String())
		}
		if n := strings.Count(text.String(), "without errors again"); n != 1 {
			t.Errorf("its end logged %d times, want once:\n%s", n, text.String())
		}
	})
}

// BenchmarkPoll is what the engine adds to a conversation with a device of 100 points.
func BenchmarkPoll(b *testing.B) {
	m := Device{Name: "m", Groups: every(time.Second), Points: make([]gateway.Point, 100)}
	for i := range m.Points {
		m.Groups[0].Points = append(m.Groups[0].Points, i)
	}
	bus, err := newBus(Bus{Name: "bus", Driver: idle{&fakeDriver{devices: []Device{m}}}}, Options{
		Publisher: nowhere{}, Topics: topics, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	bus.schedule = bus.newSchedule()
	b.ReportAllocs()
	for b.Loop() {
		bus.current = bus.begin(0, bus.devices[0].groups, bus.now())
		bus.step(b.Context())
	}
}

// idle is a driver that answers at once.
type idle struct{ *fakeDriver }

func (idle) Poll(context.Context, int, int, int, []gateway.Reading) (bool, error) { return false, nil }

type nowhere struct{}

func (nowhere) Publish(*gateway.Record, func(error)) {}

func TestBusWithoutDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &fakeDriver{})
		r.start()
		r.after(time.Hour)
		r.stop()
	})
}

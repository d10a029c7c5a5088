package engine

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// gatherer is a publisher that takes several records at once, and notes which came together and when.
type gatherer struct {
	fakePublisher
	groups []handed
}

// handed is what was handed over at once.
type handed struct {
	at   time.Duration // since the start of the test
	recs []*gateway.Record
}

func (g *gatherer) Publish(rec *gateway.Record, done func(error)) {
	g.note(rec)
	g.fakePublisher.Publish(rec, done)
}

func (g *gatherer) PublishAll(recs []*gateway.Record) {
	g.note(recs...)
	for _, rec := range recs {
		g.fakePublisher.Publish(rec, nil)
	}
}

func (g *gatherer) note(recs ...*gateway.Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.groups = append(g.groups, handed{time.Since(epoch), append([]*gateway.Record(nil), recs...)})
}

// waited returns how long a record waited at most until it was handed over.
func (g *gatherer) waited() (longest time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, h := range g.groups {
		for _, rec := range h.recs {
			longest = max(longest, h.at-rec.Time.Sub(epoch))
		}
	}
	return longest
}

// since lists the sizes of the groups that were handed over from a time on.
func (g *gatherer) since(at time.Duration) (sizes []int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, h := range g.groups {
		if h.at >= at {
			sizes = append(sizes, len(h.recs))
		}
	}
	return sizes
}

// topics lists what was handed over, in its order.
func (g *gatherer) topics() (list []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, rec := range g.records {
		switch body := rec.Body.(type) {
		case *gateway.Batch:
			list = append(list, body.Topic)
		case *gateway.Message:
			list = append(list, body.Topic)
		}
	}
	return list
}

// gathering is a rig with so many meters that are polled in bursts of five, each in so much time.
func gathering(t *testing.T, n int, cost time.Duration) (*rig, *fakeDriver, *gatherer) {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprint("m", i))
	}
	d, g := meters(names...), &gatherer{}
	d.cost = cost
	r := newRig(t, d)
	r.options.Publisher = g
	return r, d, g
}

// What polls bring that follow one another at once is handed over together, soon, and in their order.
func TestWhatABurstBringsIsHandedOverTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, d, g := gathering(t, 20, 100*time.Microsecond)
		r.start()
		r.after(3400 * time.Millisecond)
		r.stop()
		if got, want := g.since(time.Second), []int{5, 5, 5, 5, 5, 5, 5, 5, 5, 5}; !reflect.DeepEqual(got, want) {
			t.Errorf("handed over in groups of %v, want %v", got, want)
		}
		if w := g.waited(); w > longestHeld {
			t.Errorf("a record waited for %v", w)
		}
		var polled, batches []string
		for _, talk := range d.taken("poll") {
			polled = append(polled, "t/m"+talk.what[len("poll "):len(talk.what)-len(".0")])
		}
		for _, topic := range g.topics() {
			if len(topic) < len("t/m00/") {
				batches = append(batches, topic)
			}
		}
		if !reflect.DeepEqual(batches, polled) {
			t.Errorf("handed over %v\npolled      %v", batches, polled)
		}
	})
}

// What the next poll would keep waiting for too long is handed over before it.
func TestSlowPollsKeepNothingWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, g := gathering(t, 20, longestHeld+time.Microsecond)
		r.start()
		r.after(3 * time.Second)
		r.stop()
		if w := g.waited(); w != 0 || len(g.batches("t/m0")) < 3 {
			t.Errorf("a record waited for %v; %d batches of the first", w, len(g.batches("t/m0")))
		}
	})
}

// A device that does not answer among those that do keeps nobody's readings waiting.
func TestASilentDeviceKeepsNothingWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, d, g := gathering(t, 20, 100*time.Microsecond)
		r.start()
		r.after(time.Second)
		d.kill(7, time.Second)
		r.after(10 * time.Second)
		r.stop()
		if w := g.waited(); w > longestHeld {
			t.Errorf("a record waited for %v", w)
		}
		if got := g.payloads("t/m7/availability"); !reflect.DeepEqual(got, []string{"online", "offline"}) {
			t.Errorf("got %v of the device", got)
		}
	})
}

// A stop in the middle of a burst loses nothing of it.
func TestAStopHandsOverWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, d, g := gathering(t, 4, 100*time.Microsecond)
		d.onPoll = func(ctx context.Context, device, _ int, readings []gateway.Reading) (bool, error) {
			if device == 3 {
				r.cancel()
			}
			setAll(readings, good(gateway.Int(1)))
			return false, ctx.Err()
		}
		r.start()
		r.after(time.Millisecond)
		r.stop()
		want := []string{"t/m0/availability", "t/m0", "t/m1/availability", "t/m1", "t/m2/availability", "t/m2"}
		if got := g.topics(); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// The result of a command comes behind what was read before and for it.
func TestAResultComesBehindWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, d, g := gathering(t, 4, 100*time.Microsecond)
		d.onPoll = func(_ context.Context, device, _ int, readings []gateway.Reading) (bool, error) {
			if device == 1 && len(d.taken("poll 1")) == 1 {
				r.send("t/m2/get", "")
				synctest.Wait() // it waits for the bus now
			}
			if device == 3 {
				wait(longestHeld/2, nil) // the result is published meanwhile
			}
			setAll(readings, good(gateway.Int(1)))
			return false, nil
		}
		r.start()
		r.after(100 * time.Millisecond)
		r.stop()
		want := []string{"t/m0/availability", "t/m0", "t/m1/availability", "t/m1", "t/m2/availability", "t/m2", "t/m2/result", "t/m3/availability", "t/m3"}
		if got := g.topics(); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// What waits is bounded, even if the clock stands still.
func TestAnOutboxIsBounded(t *testing.T) {
	g := &gatherer{}
	o := newOutbox(g, newGoTimer)
	for i := range 2*mostHeld + 1 {
		o.add(&gateway.Record{Seq: uint64(i), Body: &gateway.Batch{}}, epoch)
	}
	if got, want := g.since(0), []int{mostHeld, mostHeld}; !reflect.DeepEqual(got, want) {
		t.Errorf("handed over in groups of %v, want %v", got, want)
	}
	if err := o.close(); err != nil || len(g.records) != 2*mostHeld+1 {
		t.Errorf("%d records when it is closed, %v", len(g.records), err)
	}
	for i, rec := range g.records {
		if rec.Seq != uint64(i) {
			t.Fatalf("record %d came as number %d", rec.Seq, i)
		}
	}
}

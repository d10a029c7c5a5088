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

func TestAvailability(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m", "other")
		r := newRig(t, d)
		r.start()
		r.after(1200 * time.Millisecond)
		d.kill(0, 100*time.Millisecond)
		r.after(time.Minute)
		d.revive(0)
		r.after(time.Minute)
		r.stop()
		if got, want := r.publisher.payloads("t/m/availability"), []string{"online", "offline", "online"}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got, want := r.publisher.payloads("t/other/availability"), []string{"online"}; !reflect.DeepEqual(got, want) {
			t.Errorf("other device: got %v, want %v", got, want)
		}
		for _, m := range r.publisher.messages("t/m/availability") {
			if !m.Retain || m.QoS != 1 {
				t.Errorf("got retain %t, QoS %d, want retained, QoS 1", m.Retain, m.QoS)
			}
		}
		if s := r.engine.Stats()[0].Devices; !s[0].Online || s[0].Name != "m" || s[0].LastGood.Before(epoch.Add(90*time.Second)) {
			t.Errorf("got %+v, want m online again", s[0])
		}
	})
}

// An offline device publishes one bad batch, not one for each probe.
func TestOfflineDeviceIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		d.kill(0, 100*time.Millisecond)
		r := newRig(t, d)
		r.start()
		r.after(10 * time.Minute)
		defer r.stop()
		if n := len(d.taken("poll 0")); n < 5 {
			t.Fatalf("%d probes in 10 minutes, want it to be asked now and then", n)
		}
		batches := r.publisher.batches("t/m")
		if len(batches) != 1 || len(r.publisher.messages("t/m/availability")) != 1 {
			t.Fatalf("got %d batches, availability %v, want one of each", len(batches), r.publisher.payloads("t/m/availability"))
		}
		for i, reading := range batches[0].Readings {
			if reading.Quality != gateway.QualityBad || reading.Reason != gateway.ReasonCRC || reading.Value != (gateway.Value{}) {
				t.Errorf("point %d: got %+v, want bad with the driver's reason", i, reading)
			}
		}
		if s := r.engine.Stats()[0]; s.Devices[0].Online || s.Missed != 0 {
			t.Errorf("got %+v, want offline and no slot missed", s)
		}
	})
}

// One poll without an answer is not yet the end of a device that was there: line noise does that.
func TestOneFailedPollKeepsADeviceOnline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		r := newRig(t, d)
		r.start()
		r.after(1200 * time.Millisecond)
		d.kill(0, 100*time.Millisecond)
		r.after(time.Second) // the poll at 1.5 s
		d.revive(0)
		r.after(2 * time.Second)
		r.stop()
		if got, want := r.publisher.payloads("t/m/availability"), []string{"online"}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		var got []string
		for _, b := range r.publisher.batches("t/m") {
			got = append(got, b.Readings[0].Quality.String())
		}
		if want := []string{"good", "good", "bad", "good", "good"}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v: the failed poll is told as well", got, want)
		}
	})
}

// A device that answers at all is online, and what it did not answer any more keeps its state.
func TestPartOfAPollAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		d.onPoll = func(_ context.Context, _, step int, readings []gateway.Reading) (bool, error) {
			if step == 0 {
				readings[0] = good(gateway.Int(1))
				return true, nil
			}
			readings[1] = gateway.Reading{Reason: gateway.ReasonTimeout, Time: time.Now()}
			return true, ErrNoAnswer
		}
		r := newRig(t, d)
		r.start()
		r.after(10 * time.Second)
		r.stop()
		if got, want := r.publisher.payloads("t/m/availability"), []string{"online"}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got := d.taken("poll 0.2"); got != nil {
			t.Errorf("the rest of the poll was not given up: %v", got)
		}
		for _, b := range r.publisher.batches("t/m") {
			if b.Readings[0].Quality != gateway.QualityGood || b.Readings[1].Reason != gateway.ReasonTimeout || b.Readings[2].Reason != gateway.ReasonNotRead {
				t.Fatalf("got %+v", b.Readings)
			}
		}
	})
}

// Dead devices take no more than a twentieth of the bus, however many they are and however long each keeps it waiting.
func TestDeadDevicesCostLittle(t *testing.T) {
	for _, names := range [][]string{{"dead", "m"}, {"dead", "dead2", "dead3", "m"}} {
		synctest.Test(t, func(t *testing.T) {
			d := meters(names...)
			const timeout, hour = time.Second, time.Hour
			for i := range names[:len(names)-1] {
				d.kill(i, timeout)
			}
			r := newRig(t, d)
			r.start()
			r.after(10 * time.Second) // it takes a moment to know
			before := len(d.taken("")) - len(d.taken("poll "+last(names)))
			polls := len(d.taken("poll " + last(names)))
			r.after(hour)
			r.stop()
			probes := len(d.taken("")) - len(d.taken("poll "+last(names))) - before
			if cost := time.Duration(probes) * timeout; cost > hour/20 || probes < 10 {
				t.Errorf("%d dead: %d probes took %v of an hour", len(names)-1, probes, cost)
			}
			if got := len(d.taken("poll "+last(names))) - polls; got < 3600*95/100 {
				t.Errorf("%d dead: the living device was polled %d times in an hour, want 95 %% of 3600", len(names)-1, got)
			}
		})
	}
}

func last(names []string) string { return string(rune('0' + len(names) - 1)) }

// When the whole bus is gone, nobody is held up by probes, and it is found again soon.
func TestWholeBusComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m0", "m1")
		d.kill(0, 5*time.Second)
		d.kill(1, 5*time.Second)
		r := newRig(t, d)
		r.start()
		r.after(time.Hour)
		d.revive(0)
		d.revive(1)
		r.after(longestBackoff + 12*time.Second)
		r.stop()
		for _, topic := range []string{"t/m0/availability", "t/m1/availability"} {
			if got, want := r.publisher.payloads(topic), []string{"offline", "online"}; !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %v, want %v", topic, got, want)
			}
		}
	})
}

// A line whose devices start up later than the gateway, as after a power cut: while they are asked for the first time nobody is known to answer, and the pauses
// that keep probes off the time of those who do would be minutes long.
func TestBusThatComesUpLateIsFoundSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, timeout = 20, 2 * time.Second
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf("m%d", i)
		}
		d := meters(names...)
		for i := range n {
			d.kill(i, timeout)
		}
		r := newRig(t, d)
		r.start()
		r.after((n + 5) * timeout)
		for i := range n {
			d.revive(i)
		}
		r.after(longestBackoff + 2*timeout)
		r.stop()
		for _, name := range names {
			if got, want := r.publisher.payloads("t/"+name+"/availability"), []string{"offline", "online"}; !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %v, want %v", name, got, want)
			}
		}
	})
}

// The same while the gateway runs: the line is cut for a minute.
func TestCutLineIsFoundSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, timeout = 20, 2 * time.Second
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf("m%d", i)
		}
		d := meters(names...)
		r := newRig(t, d)
		r.start()
		r.after(10 * time.Second)
		for i := range n {
			d.kill(i, timeout)
		}
		r.after(3 * n * timeout) // each is offline after two polls
		for i := range n {
			d.revive(i)
		}
		r.after(longestBackoff + 2*timeout)
		r.stop()
		for _, name := range names {
			if got, want := r.publisher.payloads("t/"+name+"/availability"), []string{"online", "offline", "online"}; !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %v, want %v", name, got, want)
			}
		}
	})
}

// Part of a line comes back: the first of its devices that is found leads to the others.
func TestNeighboursAreFoundSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 2 * time.Second
		names := []string{"m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9", "up"}
		d := meters(names...)
		const dead = 10
		for i := range dead {
			d.kill(i, timeout)
		}
		r := newRig(t, d)
		r.start()
		r.after(dead*timeout + time.Second)
		for i := range dead {
			d.revive(i)
		}
		r.after(20*timeout + 10*time.Second) // the pause of the one that was alone then, and a moment for all
		r.stop()
		for _, name := range names[:dead] {
			if got, want := r.publisher.payloads("t/"+name+"/availability"), []string{"offline", "online"}; !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %v, want %v", name, got, want)
			}
		}
	})
}

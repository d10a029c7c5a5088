package engine

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// twoSpeeds is a device whose points a and b are polled each second and c each ten.
func twoSpeeds(name string) Device {
	d := meter(name)
	d.Groups = []Group{{time.Second, []int{0, 1}}, {10 * time.Second, []int{2}}}
	return d
}

func TestGroupsHaveTheirOwnIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{cost: 10 * time.Millisecond, devices: []Device{twoSpeeds("m")}}
		r := newRig(t, d)
		r.start()
		r.after(time.Minute)
		r.stop()
		if fast, slow := len(d.taken("poll 0.")), len(d.taken("poll 0/1.")); fast != 61 || slow != 7 {
			t.Errorf("%d fast and %d slow polls, want 61 and 7", fast, slow)
		}
		batches := r.publisher.batches("t/m")
		if got := showReadings(batches[0]); got != "a=0 b=0 c=<not read>" {
			t.Errorf("first batch: %s", got)
		}
		for _, b := range batches[1:] {
			if got := showReadings(b); got != "a=0 b=0 c=0" { // c is ten seconds old at times, and not stale
				t.Fatalf("batch: %s", got)
			}
		}
		if s := r.engine.Stats()[0].Devices[0]; s.Wanted != 1.1 || s.Polls != 67 || s.Missed != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// showReadings writes a batch as "a=1 b=<timeout> c=2?"; the last is stale.
func showReadings(b *gateway.Batch) string {
	var s []string
	for i, r := range b.Readings {
		switch r.Quality {
		case gateway.QualityGood:
			s = append(s, b.Names[i]+"="+r.Value.String())
		case gateway.QualityStale:
			s = append(s, b.Names[i]+"="+r.Value.String()+"?")
		default:
			s = append(s, fmt.Sprintf("%s=<%s>", b.Names[i], r.Reason))
		}
	}
	return strings.Join(s, " ")
}

// A device that publishes its points alone does not repeat the slow ones with each fast poll.
func TestGroupsPublishTheirPointsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{devices: []Device{twoSpeeds("m")}}
		d.devices[0].Publish = gateway.PublishPoints
		r := newRig(t, d)
		r.start()
		r.after(20 * time.Second)
		r.stop()
		n := map[string]int{}
		for _, b := range r.publisher.batches("t/m") {
			n[showReadings(b)]++
		}
		// The slow group's polls, at 0, 10 and 20 s, bring c alone; at first all points are news.
		want := map[string]int{"a=0 b=0 c=<not read>": 1, "a=0 b=0": 20, "c=0": 3}
		if !reflect.DeepEqual(n, want) {
			t.Errorf("got %v, want %v", n, want)
		}
	})
}

// While a device does not answer, one of its groups probes for all; when it does, all are read at once.
func TestOneGroupProbesForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{cost: time.Millisecond, devices: []Device{twoSpeeds("m")}}
		d.kill(0, 100*time.Millisecond)
		r := newRig(t, d)
		r.start()
		r.after(10 * time.Minute)
		if slow := d.taken("poll 0/1"); len(slow) != 0 {
			t.Errorf("the slow group was asked %d times", len(slow))
		}
		d.revive(0)
		r.after(longestBackoff)
		r.stop()
		slow, fast := d.taken("poll 0/1"), d.taken("poll 0.")
		if len(slow) == 0 {
			t.Fatal("the slow group was not read when the device was there again")
		}
		for _, probe := range fast {
			if after := slow[0].at - probe.at; after == time.Millisecond {
				if s := r.engine.Stats()[0]; s.Missed != 0 {
					t.Errorf("%d slots missed, want none: they were left out on purpose", s.Missed)
				}
				return
			}
		}
		t.Errorf("the slow group was read at %v, want right behind the probe that was answered", slow[0].at)
	})
}

func TestGetReadsAllGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{cost: time.Millisecond, devices: []Device{twoSpeeds("m")}}
		r := newRig(t, d)
		r.start()
		r.after(2100 * time.Millisecond)
		polls, batches := len(d.taken("poll")), len(r.publisher.batches("t/m"))
		r.send("t/m/get", "")
		r.after(100 * time.Millisecond)
		r.stop()
		if got := d.words()[polls:]; !reflect.DeepEqual(got, []string{"poll 0.0", "poll 0/1.0"}) {
			t.Errorf("get asked %v", got)
		}
		if got := len(r.publisher.batches("t/m")) - batches; got != 1 {
			t.Errorf("%d batches, want one with all", got)
		}
	})
}

func TestWriteHurriesItsGroupOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{cost: time.Millisecond, devices: []Device{twoSpeeds("m")}}
		r := newRig(t, d)
		r.start()
		r.after(2100 * time.Millisecond)
		before := len(d.taken(""))
		r.send("t/m/a/set", "7")
		r.after(100 * time.Millisecond)
		r.stop()
		if got := d.words()[before:]; !reflect.DeepEqual(got, []string{"write 0.0=7", "poll 0.0"}) {
			t.Errorf("got %v", got)
		}
	})
}

func TestGroupsAreChecked(t *testing.T) {
	for want, groups := range map[string][]Group{
		`device "m": point "c" is in 0 groups, it must be in one`: {{time.Second, []int{0, 1}}},
		`device "m": point "a" is in 2 groups, it must be in one`: {{time.Second, []int{0, 1, 2}}, {time.Minute, []int{0}}},
		`device "m": a group has point number 3 of 3`:             {{time.Second, []int{0, 1, 3}}},
		`device "m": interval is -1s, it must be positive`:        {{-time.Second, []int{0, 1, 2}}},
	} {
		d := meters("m")
		d.devices[0].Groups = groups
		if _, err := New(newRig(t, d).options); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Of twenty devices on a bus that is busy 70 % of the time one is dead: the others keep 95 % of their rate, and are not said to be behind.
func TestDeadDeviceOnABusyBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var names []string
		for i := range 20 {
			names = append(names, fmt.Sprintf("m%d", i))
		}
		d := meters(names...)
		d.cost = 35 * time.Millisecond // 20 of them each second are 70 %
		d.kill(7, time.Second)
		r := newRig(t, d)
		r.start()
		const span = 20 * time.Minute
		r.after(span)
		stats := r.engine.Stats()[0]
		r.stop()
		for i, s := range stats.Devices {
			if i == 7 {
				continue
			}
			if got := len(d.taken(fmt.Sprintf("poll %d.", i))); got < int(span/time.Second)*95/100 || s.Behind {
				t.Errorf("device %d was polled %d times in %v, behind: %t", i, got, span, s.Behind)
			}
		}
		if stats.Load < 0.66 || stats.Load > 0.8 {
			t.Errorf("load is %v, want 19 living devices and a twentieth: about 0.7", stats.Load)
		}
	})
}

func TestRatesOfAnOverloadedBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m0", "m1", "m2")
		d.cost = time.Second // of polls that are due each second, three of them
		r := newRig(t, d)
		r.start()
		for range 10 { // as the status does
			r.after(10 * time.Second)
			r.engine.Stats()
		}
		s := r.engine.Stats()[0]
		r.stop()
		if s.Load < 0.95 {
			t.Errorf("load is %v, want 1", s.Load)
		}
		for _, m := range s.Devices {
			if m.Wanted != 1 || m.Achieved < 0.3 || m.Achieved > 0.37 || !m.Behind || m.Missed < 55 || m.Missed > 70 {
				t.Errorf("got %+v, want a third of the polls", m)
			}
		}
	})
}

func TestWindow(t *testing.T) {
	w := newWindow(30*time.Second, zero)
	if got := w.rate(zero, 0); got != 0 {
		t.Errorf("rate of no time is %v", got)
	}
	for s := 10; s <= 120; s += 10 { // 2 a second for a minute, then none
		count := float64(2 * min(s, 60))
		got := w.rate(at(time.Duration(s)*time.Second), count)
		if s <= 60 && got != 2 {
			t.Errorf("after %d s the rate is %v, want 2", s, got)
		}
		if s == 120 && got != 0 {
			t.Errorf("the rate is %v a minute after the last", got)
		}
	}
}

// A point with a deadband is published when it moves, and at its heartbeat.
func TestDeadbandAndHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		points := d.devices[0].Points
		for i := range points {
			points[i].Deadband, points[i].Heartbeat = 1, 20*time.Second
		}
		temperature := []float64{20, 20.5, 21, 21.5, 21.5, 20.4, 20.4, 20.4, 20.4, 20.4} // then for ever
		n := 0
		d.onPoll = func(_ context.Context, _, _ int, readings []gateway.Reading) (bool, error) {
			setAll(readings, good(gateway.Float64(temperature[min(n, len(temperature)-1)])))
			if n == 7 {
				readings[1] = gateway.Reading{Reason: gateway.ReasonCRC, Time: time.Now()}
			}
			n++
			return false, nil
		}
		r := newRig(t, d)
		r.start()
		r.after(59 * time.Second)
		r.stop()
		var got []string
		for _, b := range r.publisher.batches("t/m") {
			got = append(got, fmt.Sprintf("%v %s", b.Time.Sub(epoch).Round(time.Millisecond), showReadings(b)))
		}
		want := []string{
			"0s a=20 b=20 c=20",
			"2.5s a=21.5 b=21.5 c=21.5", // 1 is not more than the deadband, 1.5 is
			"4.5s a=20.4 b=20.4 c=20.4",
			"6.5s a=20.4 b=<crc> c=20.4", // quality
			"7.5s a=20.4 b=20.4 c=20.4",
			"27.5s a=20.4 b=20.4 c=20.4", // heartbeat
			"47.5s a=20.4 b=20.4 c=20.4",
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
	})
}

// One point without a deadband, and the device is published with each poll; by points only what moved is.
func TestDeadbandOfSomePoints(t *testing.T) {
	for mode, want := range map[gateway.PublishMode]map[string]int{
		gateway.PublishDevice: {"a=0 b=0 c=0": 11},
		gateway.PublishBoth:   {"a=0 b=0 c=0": 11},
		gateway.PublishPoints: {"a=0 b=0 c=0": 1, "b=0": 10},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := meters("m")
			d.devices[0].Publish = mode
			d.devices[0].Points[0].Deadband = 1
			d.devices[0].Points[2].Heartbeat = time.Hour
			r := newRig(t, d)
			r.start()
			r.after(10 * time.Second)
			r.stop()
			got := map[string]int{}
			for _, b := range r.publisher.batches("t/m") {
				got[showReadings(b)]++
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("mode %d: got %v, want %v", mode, got, want)
			}
		})
	}
}

// What a command has asked for is published, moved or not.
func TestCommandIsAnsweredInsideTheDeadband(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		for i := range d.devices[0].Points {
			d.devices[0].Points[i].Deadband = 100
		}
		r := newRig(t, d)
		r.start()
		r.after(5200 * time.Millisecond)
		r.send("t/m/get", "")
		r.after(2 * time.Second)
		r.send("t/m/a/set", "1")
		r.after(2 * time.Second)
		r.stop()
		if got := len(r.publisher.batches("t/m")); got != 3 {
			t.Errorf("%d batches, want the first and one for each command", got)
		}
	})
}

func TestMoved(t *testing.T) {
	for _, tc := range []struct {
		from, to gateway.Value
		deadband float64
		want     bool
	}{
		{gateway.Int(5), gateway.Int(5), 0, false},
		{gateway.Int(5), gateway.Int(6), 0, true},
		{gateway.Int(5), gateway.Int(6), 1, false},
		{gateway.Int(6), gateway.Int(4), 1, true},
		{gateway.Uint(0), gateway.Uint(1 << 63), 10, true},
		{gateway.Uint(1 << 63), gateway.Uint(0), 10, true},
		{gateway.Float64(1), gateway.Float64(1.5), 0.4, true},
		{gateway.Float64(1), gateway.Float64(0.5), 0.5, false},
		{gateway.Bool(false), gateway.Bool(true), 5, true},
		{gateway.String("off"), gateway.String("on"), 5, true},
		{gateway.String("on"), gateway.String("on"), 5, false},
		{gateway.Value{}, gateway.Int(1), 5, true},
	} {
		if got := moved(tc.from, tc.to, tc.deadband); got != tc.want {
			t.Errorf("moved(%v, %v, %v) = %t", tc.from, tc.to, tc.deadband, got)
		}
	}
}

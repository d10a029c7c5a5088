package engine

import (
	"reflect"
	"testing"
	"time"
)

var zero = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return zero.Add(d) }

// play runs the schedule until end, each poll taking cost, and returns the starts of each device's polls and the missed slots.
func play(s *schedule, cost, end time.Duration) (starts [][]time.Duration, missed []uint64) {
	starts = make([][]time.Duration, len(s.slots))
	missed = make([]uint64, len(s.slots))
	for now := zero; now.Before(at(end)); {
		device, ok, wake := s.next(now)
		if !ok {
			now = wake
			continue
		}
		missed[device] += s.begin(device, now)
		starts[device] = append(starts[device], now.Sub(zero))
		now = now.Add(cost)
	}
	return starts, missed
}

func TestScheduleStaggersDevices(t *testing.T) {
	second := []time.Duration{time.Second, time.Second, time.Second, time.Second}
	starts, missed := play(newSchedule(zero, second), 10*time.Millisecond, 3*time.Second)
	ms := time.Millisecond
	want := [][]time.Duration{
		{0, 500 * ms, 1500 * ms, 2500 * ms},
		{10 * ms, 750 * ms, 1750 * ms, 2750 * ms},
		{20 * ms, 1000 * ms, 2000 * ms},
		{30 * ms, 1250 * ms, 2250 * ms},
	}
	if !reflect.DeepEqual(starts, want) {
		t.Errorf("got  %v\nwant %v", starts, want)
	}
	if !reflect.DeepEqual(missed, make([]uint64, 4)) {
		t.Errorf("missed %v on an idle bus", missed)
	}
}

// TestScheduleSharesPhases: many groups have few phases, so that the board sleeps between them; each has as many groups as the others, and few
// groups have one each.
func TestScheduleSharesPhases(t *testing.T) {
	for _, tt := range []struct {
		interval  time.Duration
		n, phases int
	}{
		{time.Second, 20, 4},
		{time.Second, 3, 3},
		{100 * time.Millisecond, 8, 4},
		{10 * time.Second, 20, 20},
		{10 * time.Second, 80, 40},
	} {
		groups := make(map[time.Duration]int)
		for i := range tt.n {
			groups[phase(tt.interval, i, tt.n)]++
		}
		if len(groups) != tt.phases {
			t.Errorf("%d groups each %v: %d phases, want %d", tt.n, tt.interval, len(groups), tt.phases)
		}
		for k := range tt.phases {
			if at := time.Duration(float64(tt.interval) * float64(k) / float64(tt.phases)); groups[at] != tt.n/tt.phases {
				t.Errorf("%d groups each %v: %d at %v, want %d", tt.n, tt.interval, groups[at], at, tt.n/tt.phases)
			}
		}
	}
}

func TestScheduleTakesEarliestDeadline(t *testing.T) {
	s := newSchedule(zero, []time.Duration{10 * time.Second, time.Second, 5 * time.Second})
	var order []int
	for range 3 {
		device, ok, _ := s.next(zero)
		if !ok {
			t.Fatal("nothing is due at the start")
		}
		order = append(order, device)
		s.begin(device, zero)
	}
	if want := []int{1, 2, 0}; !reflect.DeepEqual(order, want) {
		t.Errorf("got order %v, want %v", order, want)
	}
	_, ok, wake := s.next(zero)
	if want := at(500*time.Millisecond + time.Second/3); ok || !wake.Equal(want) {
		t.Errorf("got ok %t, wake %v, want the fastest device's slot at %v", ok, wake, want)
	}
}

func TestScheduleCoalescesMissedSlots(t *testing.T) {
	s := newSchedule(zero, []time.Duration{time.Second})
	s.begin(0, zero) // next slot: 0.5 s
	if missed := s.begin(0, at(3700*time.Millisecond)); missed != 3 {
		t.Errorf("missed %d, want 3: of the slots at 0.5, 1.5, 2.5 and 3.5 s one was served", missed)
	}
	if _, ok, wake := s.next(at(3700 * time.Millisecond)); ok || !wake.Equal(at(4500*time.Millisecond)) {
		t.Errorf("got ok %t, wake at %v, want the slot at 4.5 s", ok, wake)
	}
}

// With twice as much work as time, each device keeps about half of its slots, slow or fast, and the other half is counted.
func TestScheduleUnderOverload(t *testing.T) {
	intervals := []time.Duration{100 * time.Millisecond, 100 * time.Millisecond, 2 * time.Second}
	starts, missed := play(newSchedule(zero, intervals), 100*time.Millisecond, 20*time.Second)
	if got := len(starts[2]); got < 4 || got > 6 {
		t.Errorf("the slow device was polled %d times, want about half of 10", got)
	}
	for device := range 2 {
		polled, lost := len(starts[device]), int(missed[device])
		if polled < 80 || polled+lost < 195 || polled+lost > 202 {
			t.Errorf("device %d: %d polls and %d missed, want about half of 200 slots each", device, polled, lost)
		}
	}
}

func TestScheduleHurry(t *testing.T) {
	s := newSchedule(zero, []time.Duration{time.Second, time.Second})
	s.begin(0, zero)
	s.begin(1, zero)
	s.hurry(1, at(100*time.Millisecond))
	if device, ok, _ := s.next(at(100 * time.Millisecond)); !ok || device != 1 {
		t.Fatalf("got device %d, %t, want 1 at once", device, ok)
	}
	if missed := s.begin(1, at(100*time.Millisecond)); missed != 0 {
		t.Errorf("missed %d", missed)
	}
	if _, ok, wake := s.next(at(100 * time.Millisecond)); ok || !wake.Equal(at(500*time.Millisecond)) {
		t.Errorf("got ok %t, wake %v: the regular slots must stay", ok, wake)
	}
}

func TestSchedulePostponeMissesNothing(t *testing.T) {
	s := newSchedule(zero, []time.Duration{time.Second})
	s.begin(0, zero)
	s.postpone(0, at(10*time.Second))
	if _, ok, wake := s.next(at(9 * time.Second)); ok || !wake.Equal(at(10*time.Second)) {
		t.Errorf("got ok %t, wake %v, want the probe at 10 s", ok, wake)
	}
	if missed := s.begin(0, at(10*time.Second)); missed != 0 {
		t.Errorf("missed %d slots that were left out on purpose", missed)
	}
	if _, _, wake := s.next(at(10 * time.Second)); !wake.Equal(at(10500 * time.Millisecond)) {
		t.Errorf("wake at %v, want the regular slot at 10.5 s", wake)
	}
}

func TestScheduleOfNothing(t *testing.T) {
	if _, ok, wake := newSchedule(zero, nil).next(zero); ok || !wake.IsZero() {
		t.Errorf("got ok %t, wake %v", ok, wake)
	}
}

func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		interval time.Duration
		probes   int
		want     time.Duration
	}{
		{time.Second, 0, time.Second},
		{time.Second, 1, 2 * time.Second},
		{time.Second, 4, 16 * time.Second},
		{time.Second, 5, 30 * time.Second},
		{time.Second, 1 << 30, 30 * time.Second},
		{time.Minute, 0, time.Minute},
		{time.Minute, 9, time.Minute},
		{time.Millisecond, 10, 1024 * time.Millisecond},
	} {
		if got := backoff(c.interval, c.probes); got != c.want {
			t.Errorf("interval %v, probe %d: got %v, want %v", c.interval, c.probes, got, c.want)
		}
	}
}

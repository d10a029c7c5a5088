package engine

import "time"

// schedule says which device of a bus is polled next. It is pure: time comes in as an argument.
type schedule struct{ slots []slot }

// slot is one device's place in the schedule.
type slot struct {
	interval time.Duration
	grid     time.Time // the next regular slot that no poll has served
	due      time.Time // when to poll next: grid, or another time for a probe, a hurried poll and the first one
	deadline time.Time
	probing  bool // slots that pass before due are left out on purpose
}

// newSchedule makes all devices due at start, so that their state is known soon, and spreads their later slots evenly: the
// second poll of a device follows half an interval after start at the earliest.
func newSchedule(start time.Time, intervals []time.Duration) *schedule {
	s := &schedule{slots: make([]slot, len(intervals))}
	for i, interval := range intervals {
		phase := time.Duration(float64(interval) * float64(i) / float64(len(intervals)))
		s.slots[i] = slot{
			interval: interval,
			grid:     start.Add(interval/2 + phase),
			due:      start,
			deadline: start.Add(interval),
		}
	}
	return s
}

// next returns the device with the earliest deadline among those that are due. When none is, ok is false, and one will be at wake;
// wake is zero when there are no devices.
func (s *schedule) next(now time.Time) (device int, ok bool, wake time.Time) {
	for i := range s.slots {
		c := &s.slots[i]
		if c.due.After(now) {
			if wake.IsZero() || c.due.Before(wake) {
				wake = c.due
			}
			continue
		}
		if !ok || c.deadline.Before(s.slots[device].deadline) {
			device, ok = i, true
		}
	}
	return device, ok, wake
}

// begin notes that a poll of device starts now and serves all its slots until now. It returns how many of them were missed.
func (s *schedule) begin(device int, now time.Time) (missed uint64) {
	c := &s.slots[device]
	if late := now.Sub(c.grid); late >= 0 {
		passed := late/c.interval + 1
		c.grid = c.grid.Add(passed * c.interval)
		if !c.probing {
			missed = uint64(passed - 1)
		}
	}
	c.probing = false
	c.due, c.deadline = c.grid, c.grid.Add(c.interval)
	return missed
}

// hurry makes device the next to be polled.
func (s *schedule) hurry(device int, now time.Time) {
	c := &s.slots[device]
	c.due, c.deadline = now, now
}

// postpone leaves out the slots of device until the given time.
func (s *schedule) postpone(device int, until time.Time) {
	c := &s.slots[device]
	c.due, c.deadline, c.probing = until, until.Add(c.interval), true
}

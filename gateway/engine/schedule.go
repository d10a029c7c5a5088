package engine

import "time"

// schedule says which group of a bus's devices is polled next. It is pure: time comes in as an argument.
type schedule struct{ slots []slot }

// slot is the place of one group of a device in the schedule.
type slot struct {
	interval time.Duration
	grid     time.Time // the next regular slot that no poll has served
	due      time.Time // when to poll next: grid, or another time for a probe, a hurried poll and the first one
	deadline time.Time
	probing  bool // slots that pass before due are left out on purpose
	held     bool // not due at all until hurried or begun
}

// newSchedule makes all groups due at start, so that their state is known soon, and spreads their later slots over the interval: the
// second poll of a group follows half an interval after start at the earliest.
func newSchedule(start time.Time, intervals []time.Duration) *schedule {
	s := &schedule{slots: make([]slot, len(intervals))}
	for i, interval := range intervals {
		s.slots[i] = slot{
			interval: interval,
			grid:     start.Add(interval/2 + phase(interval, i, len(intervals))),
			due:      start,
			deadline: start.Add(interval),
		}
	}
	return s
}

// phase is where in its interval group i of n is polled. There are at most four phases in an interval, or one each 250 ms: groups that share one
// are polled one after the other. At this pace a poll costs little beside the waking up for it.
func phase(interval time.Duration, i, n int) time.Duration {
	phases := min(n, max(4, int(interval/(250*time.Millisecond))))
	return time.Duration(float64(interval) * float64(i*phases/n) / float64(phases))
}

// next returns the slot with the earliest deadline among those that are due. When none is, ok is false, and one will be at wake;
// wake is zero when there are none.
func (s *schedule) next(now time.Time) (slot int, ok bool, wake time.Time) {
	for i := range s.slots {
		c := &s.slots[i]
		switch {
		case c.held:
		case c.due.After(now):
			if wake.IsZero() || c.due.Before(wake) {
				wake = c.due
			}
		case !ok || c.deadline.Before(s.slots[slot].deadline):
			slot, ok = i, true
		}
	}
	return slot, ok, wake
}

// begin notes that a poll of the slot's group starts now and serves all its times until now. It returns how many of them were missed.
func (s *schedule) begin(slot int, now time.Time) (missed uint64) {
	c := &s.slots[slot]
	if late := now.Sub(c.grid); late >= 0 {
		passed := late/c.interval + 1
		c.grid = c.grid.Add(passed * c.interval)
		if !c.probing {
			missed = uint64(passed - 1)
		}
	}
	c.probing, c.held = false, false
	c.due, c.deadline = c.grid, c.grid.Add(c.interval)
	return missed
}

// hurry makes the slot the next to be polled.
func (s *schedule) hurry(slot int, now time.Time) {
	c := &s.slots[slot]
	c.due, c.deadline, c.held = now, now, false
}

// postpone leaves out the times of the slot until the given one.
func (s *schedule) postpone(slot int, until time.Time) {
	c := &s.slots[slot]
	c.due, c.deadline, c.probing, c.held = until, until.Add(c.interval), true, false
}

// advance has the slot due at the given time, if it would be due later.
func (s *schedule) advance(slot int, until time.Time) {
	if c := &s.slots[slot]; !c.held && c.due.After(until) {
		c.due, c.deadline = until, until.Add(c.interval)
	}
}

// sooner reports whether the slot is due before another one, or at all if that is negative.
func (s *schedule) sooner(slot, than int) bool {
	c := &s.slots[slot]
	return !c.held && (than < 0 || c.due.Before(s.slots[than].due))
}

// hold leaves out the times of the slot until it is released.
func (s *schedule) hold(slot int) {
	c := &s.slots[slot]
	c.probing, c.held = true, true
}

// release makes a slot that was held due at once.
func (s *schedule) release(slot int, now time.Time) {
	if s.slots[slot].held {
		s.hurry(slot, now)
	}
}

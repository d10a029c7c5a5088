package buffer

import (
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// clockStep is how far the wall clock may move against the one that never steps before that counts as a step, and how long afterwards
// readings may come that were taken before it.
const clockStep = time.Minute

// syncedFor is how long the answer of Options.ClockSynced holds.
const syncedFor = monotonic(time.Second)

// metaExempt is the key in meta of the number of the first record that was taken after the last step of the clock.
const metaExempt = "age_exempt"

// clock is what the store knows of the wall clock.
type clock struct {
	known  bool
	offset time.Duration // of the wall clock from the monotonic one, when last looked at
	grace  monotonic     // until when readings may come that were taken before the last step

	synced   bool
	syncedAt monotonic // when that was asked; 0: never

	exempt uint64 // of records with lower numbers the time gives no age: the clock has stepped since they were taken

	seen      []sighting // by number and time
	unsighted bool       // there may be records that have no age and no sighting
	seenTold  bool       // the disk knows seen
}

// wall returns the wall clock's time, without the monotonic clock's.
func (s *Store) wall() time.Time {
	_, wall := s.times()
	return wall
}

// watchedWall returns the wall clock's time to compare ages with, as watchClock has just seen it: read a second time it could have stepped
// meanwhile, unnoticed.
func (s *Store) watchedWall() time.Time {
	now, wall := s.times()
	s.watchClock(now, wall)
	return s.start.Round(0).Add(s.clock.offset + time.Duration(now))
}

// watchClock notices when the wall clock was set: what was taken before has a time that says nothing about its age.
func (s *Store) watchClock(now monotonic, wall time.Time) {
	offset := wall.Sub(s.start.Round(0)) - time.Duration(now)
	by := offset - s.clock.offset
	stepped := s.clock.known && (by > clockStep || by < -clockStep)
	s.clock.known, s.clock.offset = true, offset
	if !stepped {
		return
	}
	s.clock.exempt, s.clock.grace = s.seq, now+monotonic(clockStep)
	s.clock.syncedAt = 0
	s.clock.blind()
	s.log.Warn("the clock was set: the age of records taken before counts from now on", "by", by, "seq", s.seq)
	s.restartOrphans()
	exempt := s.seq
	s.append(&entry{work: func(a *applier) error { return a.putMeta(metaExempt, exempt) }})
}

// clockSynced reports whether the wall clock is known to be right.
func (s *Store) clockSynced(now monotonic) bool {
	if c := &s.clock; c.syncedAt == 0 || now-c.syncedAt >= syncedFor {
		c.synced, c.syncedAt = s.opts.ClockSynced(), now
	}
	return s.clock.synced
}

// clockUnset reports whether the time of a record that comes now may be far off. One that comes just after the clock was set may have been
// taken before.
func (s *Store) clockUnset(rec *gateway.Record, now monotonic) bool {
	if !s.clockSynced(now) {
		return true
	}
	if now >= s.clock.grace {
		return false
	}
	off := s.wall().Sub(rec.Time)
	return off > clockStep || off < -clockStep
}

// expires returns when rec has reached an age, and whether that is known. Where its time says nothing, its age counts from when a right clock
// has seen it first.
func (c *clock) expires(rec *gateway.Record, age time.Duration) (time.Time, bool) {
	if !rec.ClockUnset && rec.Seq >= c.exempt {
		return rec.Time.Add(age), true
	}
	at, seen := c.seenAt(rec.Seq)
	return at.Add(age), seen
}

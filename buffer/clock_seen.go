package buffer

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// metaSeen is the key in meta of the sightings.
const metaSeen = "age_seen"

// keptSightings bounds the sightings; with more, those that lie close together become one.
const keptSightings = 32

// sighting says that every record with a lower number was there at this time, by a clock that was right. It gives an age to those whose own time
// gives none: a younger one than they have, so that nothing is dropped too soon.
type sighting struct {
	seq uint64
	at  time.Time
}

// seenAt returns the first time at which a record is known to have been there, and whether there is one.
func (c *clock) seenAt(seq uint64) (time.Time, bool) {
	for _, s := range c.seen {
		if seq < s.seq {
			return s.at, true
		}
	}
	return time.Time{}, false
}

// unsight notes that there may be records whose age no sighting gives.
func (c *clock) unsight() { c.unsighted = true }

// blind forgets the sightings: the clock was not right after all, or is not now. The disk forgets them by the same way on which it learns new
// ones, or it could forget a new one in place of the old.
func (c *clock) blind() {
	c.seen, c.seenTold = nil, false
	c.unsight()
}

// sight takes a sighting when the clock is right and one is needed. The disk learns it with the next commit that is made anyway.
func (s *Store) sight() {
	c := &s.clock
	longest := s.longestAge()
	if !c.unsighted || longest == 0 {
		return
	}
	now := s.watchedWall()
	if !s.clockSynced(s.now()) { // it has just stepped
		return
	}
	c.seen = slices.DeleteFunc(c.seen, func(old sighting) bool { return now.Sub(old.at) > longest }) // what these were for has expired
	c.seen = append(c.seen, sighting{s.seq, now})
	c.thin()
	c.unsighted, c.seenTold = false, false
	for _, q := range s.queues {
		if q != nil {
			q.fresh = freshness{}
		}
	}
}

// thin takes out the sighting whose records lose least by the next one.
func (c *clock) thin() {
	if len(c.seen) <= keptSightings {
		return
	}
	least := 0
	for i := range len(c.seen) - 1 {
		if c.seen[i+1].at.Sub(c.seen[i].at) < c.seen[least+1].at.Sub(c.seen[least].at) {
			least = i
		}
	}
	c.seen = slices.Delete(c.seen, least, least+1)
}

// longestAge returns the longest age at which records of a queue expire, 0 when none do.
func (s *Store) longestAge() (longest time.Duration) {
	for _, q := range s.queues {
		if q != nil && !q.dropped {
			longest = max(longest, q.limits.Age)
		}
	}
	return longest
}

// tellSeen returns the sightings to store with a commit that is made, nil when the disk has them.
func (c *clock) tellSeen() *string {
	if c.seenTold {
		return nil
	}
	text := c.seenText()
	return &text
}

// seenText is the stored form of the sightings.
func (c *clock) seenText() string {
	var text strings.Builder
	for _, s := range c.seen {
		fmt.Fprintf(&text, "%d %d ", s.seq, s.at.UnixNano())
	}
	return text.String()
}

// loadSeen takes over the stored sightings.
func (c *clock) loadSeen(text string) error {
	for r := strings.NewReader(text); r.Len() > 1; {
		var seq uint64
		var at int64
		if _, err := fmt.Fscan(r, &seq, &at); err != nil {
			return fmt.Errorf("parse %s: %w", metaSeen, err)
		}
		c.seen = append(c.seen, sighting{seq, time.Unix(0, at)})
	}
	return nil
}

package gateway

import "time"

// The bounds of a Throttle: so many lines at once, and then one each pause. In a day that is no more than 298.
const (
	throttleBurst = 10
	throttlePause = 5 * time.Minute
)

// Throttle bounds how often the log is told of something that changes all the time: the first ten changes at once, after that one line each five
// minutes. The newest change that was left out is told when the next line is allowed, so that the log ends with how things stand. The zero
// Throttle is ready. One goroutine uses it.
type Throttle struct {
	used    int       // lines of the burst, less those that time has given back
	since   time.Time // from when on time counts towards the next line given back
	left    uint64    // changes that were left out since the last line
	pending func(leftOut uint64)
}

// Do calls tell now, or when a later Flush or Do finds that a line is allowed again, unless there is something newer to tell by then. tell
// gets the number of changes left out since the line before.
func (t *Throttle) Do(now time.Time, tell func(leftOut uint64)) {
	if t.pending != nil {
		t.left++
	}
	t.pending = tell
	t.Flush(now)
}

// Flush tells what is pending if a line is allowed again.
func (t *Throttle) Flush(now time.Time) {
	if t.pending == nil || !t.allow(now) {
		return
	}
	tell, left := t.pending, t.left
	t.pending, t.left = nil, 0
	tell(left)
}

// allow takes a line, if there is one.
func (t *Throttle) allow(now time.Time) bool {
	for t.used > 0 && now.Sub(t.since) >= throttlePause {
		t.used--
		t.since = t.since.Add(throttlePause)
	}
	if t.used == throttleBurst {
		return false
	}
	if t.used == 0 {
		t.since = now
	}
	t.used++
	return true
}

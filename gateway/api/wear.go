package api

import (
	"math"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// minWearSpan is how long bytes must have been counted before anything can be concluded from them: the beginning is not typical.
const minWearSpan = 24 * time.Hour

// CardLife tells how long the card will last if bytes are written to it as they have been since the buffer's file was made, and if
// endurance is how many it takes in all. It counts the buffer's bytes alone, as they leave the program: what the card writes beside them is
// its maker's secret, commonly 2 to 10 times as much. ok is false when too little is known. It is never longer than 292 years, where a
// Duration ends.
func CardLife(s gateway.BufferStats, endurance int64, now time.Time) (life time.Duration, ok bool) {
	span := now.Sub(s.WearSince)
	if endurance <= 0 || s.WearBytes == 0 || s.WearSince.IsZero() || span < minWearSpan {
		return 0, false
	}
	left := float64(endurance) - float64(s.WearBytes)
	nanoseconds := left / float64(s.WearBytes) * float64(span)
	if nanoseconds >= math.MaxInt64 {
		return math.MaxInt64, true
	}
	return max(0, time.Duration(nanoseconds)), true
}

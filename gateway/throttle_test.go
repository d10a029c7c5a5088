package gateway

import (
	"testing"
	"time"
)

// What changes every eight seconds for a week is told of a few times an hour, and what was left out is counted.
func TestThrottle(t *testing.T) {
	var throttle Throttle
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	const step, days = 8 * time.Second, 7
	lines, told, newest := 0, uint64(0), uint64(0)
	changes := uint64(days * 24 * time.Hour / step)
	for i := range changes {
		throttle.Do(start.Add(time.Duration(i)*step), func(leftOut uint64) {
			lines++
			told += leftOut + 1
			newest = i
		})
		if i < throttleBurst && newest != i {
			t.Errorf("change %d was not told at once", i)
		}
	}
	if want := days*288 + throttleBurst; lines > want || lines < want-2 {
		t.Errorf("%d lines, want %d", lines, want)
	}
	throttle.Flush(start.Add(time.Duration(changes)*step + throttlePause))
	if newest != changes-1 || told != changes {
		t.Errorf("the newest change told is %d of %d, and %d were counted", newest, changes-1, told)
	}
	throttle.Flush(start.AddDate(0, 0, 2*days))
	if told != changes {
		t.Error("a change was told twice")
	}
}

// After a quiet time changes are told at once again.
func TestThrottleRecovers(t *testing.T) {
	var throttle Throttle
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for round := range 3 {
		for i := range throttleBurst {
			told := false
			throttle.Do(now, func(uint64) { told = true })
			if !told {
				t.Errorf("round %d: change %d was left out", round, i)
			}
		}
		throttle.Do(now, func(uint64) { t.Errorf("round %d: change %d was told", round, throttleBurst) })
		throttle.pending, throttle.left = nil, 0
		now = now.Add(throttleBurst * throttlePause)
	}
}

package localbroker

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestInputOfTwoConnectionsWithinAMomentIsACrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := crowd{began: time.Now()}
		var last [3]int64 // of three connections
		for i, step := range []struct {
			after time.Duration
			who   int
			want  bool
		}{
			{time.Second, 0, false},      // the first of all
			{time.Microsecond, 0, false}, // the same one again is alone
			{time.Microsecond, 1, true},
			{crowdTime - 1, 0, true},
			{crowdTime, 1, false}, // the other one was here too long ago
			{time.Microsecond, 2, true},
			{time.Hour, 2, false},
		} {
			<-time.After(step.after)
			var together bool
			if last[step.who], together = c.join(last[step.who]); together != step.want {
				t.Errorf("step %d: connection %d is in a crowd: %v, want %v", i, step.who, together, step.want)
			}
		}
	})
}

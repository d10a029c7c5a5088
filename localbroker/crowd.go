package localbroker

import (
	"sync/atomic"
	"time"
)

// crowdTime is within what time the input of two connections comes together. Devices that publish by the clock do so at the same moments, and the
// first of them has not been read for longer than this when the next one is.
const crowdTime = 100 * time.Microsecond

// crowd tells a reader whether others are likely to be on their way with it. One that is alone writes what it has brought at once; one in a crowd
// lets the others go first, so that one write takes what all of them have for a subscriber: a write costs more than everything else that
// is done for a small message.
type crowd struct {
	began time.Time
	last  atomic.Int64 // when the latest input of any connection came, since began
}

// join notes that input has come to a connection whose latest input before came at own. It returns when that was, and whether
// somebody else's has just come too.
func (c *crowd) join(own int64) (now int64, together bool) {
	now = int64(time.Since(c.began))
	last := c.last.Swap(now)
	return now, last != own && last != 0 && now-last < int64(crowdTime)
}

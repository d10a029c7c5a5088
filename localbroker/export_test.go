package localbroker

import (
	"fmt"
	"time"
)

// LoginFlood fails so many logins with other names from other addresses, and returns how many are remembered.
func LoginFlood(n int) int {
	l := newLogins()
	for i := range n {
		who := l.attempt(fmt.Sprint("user", i), fmt.Sprint("2001:db8:", i%65536, "::", i))
		l.failed(time.Time{}, who, l.digest("", nil))
	}
	return len(l.known.young) + len(l.known.old) + len(l.any.young) + len(l.any.old)
}

// Loads makes a load of so many sockets in each of some steps, followed by idle steps, and returns the load of a minute after both.
func Loads(step time.Duration, sockets uint64, busy, idle int) (after [2]float64) {
	now := time.Unix(0, 0)
	t := newSysTree(&Broker{}, now)
	var f figures
	for i := range busy + idle {
		if now = now.Add(step); i < busy {
			f[7] += sockets
		}
		t.average(f, now)
		if i == busy-1 {
			after[0] = t.loads[7][0]
		}
	}
	after[1] = t.loads[7][0]
	return after
}

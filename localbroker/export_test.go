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
		l.failed(time.Time{}, who, l.digester.Digest("", nil))
	}
	return len(l.known.young) + len(l.known.old) + len(l.any.young) + len(l.any.old)
}

// RefusalFlood refuses a connection from so many addresses at once, and one a minute later. It returns how many of them were said, and how many
// addresses are remembered.
func RefusalFlood(n int) (said, kept int) {
	r := newRefusals()
	now, lo := time.Unix(0, 0), new(ListenerOptions)
	for i := range n {
		if _, due := r.say(now, &conn{host: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), lo: lo}, errTimeout); due {
			said++
		}
	}
	kept = len(r.from)
	if times, due := r.say(now.Add(time.Minute), &conn{host: "192.0.2.1", lo: lo}, errTimeout); times != 1 || !due {
		return n, n // a new one is told of
	}
	return said, kept
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

// SubscriptionsWait reports whether somebody waits to change subscriptions, until those who pass messages on have done so.
func (b *Broker) SubscriptionsWait() bool {
	if b.routing.TryRLock() {
		b.routing.RUnlock()
		return false
	}
	return true
}

// AttendAtOnce has every connection that can be attended be so as soon as it has brought something, however fast it is.
func (b *Broker) AttendAtOnce() { b.pacing = pacing{} }

// Attended returns how many connections are, and wait for input.
func (b *Broker) Attended() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		if c.reads.Load() == readsAttended {
			n++
		}
	}
	return n
}

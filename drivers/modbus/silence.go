package modbus

import "time"

// The rules for units that another master asks in vain.
const (
	silentAfter = 2               // requests in a row without an answer, for a unit that has ever answered; any other is after one
	silentShare = 20              // all of them together get one part in so many of the time
	silentAsked = 5 * time.Minute // a unit that nobody has asked for so long needs no part
)

// silences keeps units that do not answer from taking the line: another master may ask them again and again, and each time costs a timeout. Its zero
// value knows of none. It is pure: time comes in as an argument.
type silences struct{ units [256]silence }

// silence is what is known of one unit.
type silence struct {
	known    bool // it has answered
	failures int  // in a row
	asked    time.Time
	until    time.Time // not to be asked before
}

// heard notes that a unit has answered, whoever asked it.
func (s *silences) heard(unit byte) { s.units[unit] = silence{known: true} }

// mayAsk reports whether the unit may be asked now, and notes that somebody wanted to.
func (s *silences) mayAsk(unit byte, now time.Time) bool {
	u := &s.units[unit]
	u.asked = now
	return !now.Before(u.until)
}

// unheard notes that a unit did not answer a request, which took cost. With n such units each may cost that once in 20n times the cost.
func (s *silences) unheard(unit byte, now time.Time, cost time.Duration) {
	u := &s.units[unit]
	u.failures++
	u.asked = now
	if u.silent() {
		u.until = now.Add(cost * time.Duration(silentShare*s.count(now)-1))
	}
}

// forget makes nothing known: what comes back on the line may be others.
func (s *silences) forget() { s.units = [256]silence{} }

func (u *silence) silent() bool { return u.failures >= silentAfter || u.failures > 0 && !u.known }

// count returns how many units are silent and asked for all the same.
func (s *silences) count(now time.Time) (n int) {
	for i := range s.units {
		if u := &s.units[i]; u.silent() && now.Sub(u.asked) < silentAsked {
			n++
		}
	}
	return n
}

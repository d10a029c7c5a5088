package gateway

import "time"

// Lateness learns how late a wait of a thread usually ends: the median, which on a small board is 50 to 100 us, as much as a character on a fast
// serial line. Who must not be late sets a wait to end sooner by that, and looks at the clock for what is then left: nothing in half of the
// cases. The zero Lateness knows nothing yet, and stays as it is where waits end on time. One goroutine uses it.
type Lateness struct{ usual time.Duration }

// MostLate is the longest time that is made up for.
const MostLate = 200 * time.Microsecond

// lateStep is how much one wait may change the estimate.
const lateStep = 4 * time.Microsecond

// Usual returns how late waits are, 0 to MostLate.
func (l *Lateness) Usual() time.Duration { return l.usual }

// Note learns from a wait that was so late.
func (l *Lateness) Note(late time.Duration) {
	if late > l.usual {
		l.usual = min(l.usual+lateStep, MostLate)
	} else {
		l.usual = max(l.usual-lateStep, 0)
	}
}

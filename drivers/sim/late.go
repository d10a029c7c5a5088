package sim

import "time"

// lateness learns how late a wait of a thread usually ends: the median, which may be as much as a character takes on a fast line.
type lateness struct{ usual time.Duration }

// The bounds of the estimate: how much one wait may change it, and the longest time that is made up for by looking at the clock.
const (
	lateStep = 4 * time.Microsecond
	mostLate = 200 * time.Microsecond
)

// note learns from a wait that was so late.
func (l *lateness) note(late time.Duration) {
	if late > l.usual {
		l.usual = min(l.usual+lateStep, mostLate)
	} else {
		l.usual = max(l.usual-lateStep, 0)
	}
}

// await waits for bytes until a deadline, if there is one. The wait is set to end sooner by what waits are usually late, and what is then left is spent
// looking at the clock: a line whose characters come late makes its master look slow.
func (s *Slave) await(p []byte, deadline time.Time) (int, error) {
	if deadline.IsZero() || !s.opts.Line.paced() {
		return s.port.readUntil(p, deadline)
	}
	early := deadline.Add(-s.late.usual)
	waits := time.Now().Before(early)
	n, err := s.port.readUntil(p, early)
	if n > 0 || err != nil {
		return n, err
	}
	if waits {
		s.late.note(time.Since(early))
	}
	for time.Now().Before(deadline) { // mostLate at most
	}
	return 0, nil
}

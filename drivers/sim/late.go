package sim

import "time"

// await waits for bytes until a deadline, if there is one. The wait is set to end sooner by what waits are usually late, and what is then left is spent
// looking at the clock: a line whose characters come late makes its master look slow.
func (s *Slave) await(p []byte, deadline time.Time) (int, error) {
	if deadline.IsZero() || !s.opts.Line.paced() {
		return s.port.readUntil(p, deadline)
	}
	early := deadline.Add(-s.late.Usual())
	waits := time.Now().Before(early)
	n, err := s.port.readUntil(p, early)
	if n > 0 || err != nil {
		return n, err
	}
	if waits {
		s.late.Note(time.Since(early))
	}
	for time.Now().Before(deadline) { // gateway.MostLate at most
	}
	return 0, nil
}

package bus

import (
	"context"
	"errors"
	"time"
)

// lateness learns how late a wait of a thread usually ends: the median, which on a small board is 50 to 100 us, as much as a character on a fast
// line. The zero value knows nothing yet, and stays as it is where waits end on time.
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

// listen reads until end. On a fast line it waits for as much less as its waits are usually late, and only looks at the clock for what is then left:
// nothing in half of the cases, and else what this wait was late less than others.
func (b *Bus) listen(ctx context.Context, end time.Time) (int, error) {
	if !b.line || b.opts.Mode.Baud <= fastBaud {
		return b.link.read(ctx, b.buf[:], end)
	}
	early := end.Add(-b.late.usual)
	waits := time.Now().Before(early)
	n, err := b.link.read(ctx, b.buf[:], early)
	if !errors.Is(err, errTimeout) {
		return n, err
	}
	if waits {
		b.late.note(time.Since(early))
	}
	for time.Now().Before(end) { // mostLate at most
	}
	return n, err
}

package bus

import (
	"context"
	"errors"
	"time"
)

// listen reads until end. On a fast line it waits for as much less as its waits are usually late, and only looks at the clock for what is then left:
// nothing in half of the cases, and else what this wait was late less than others.
func (b *Bus) listen(ctx context.Context, end time.Time) (int, error) {
	if !b.line || b.opts.Mode.Baud <= fastBaud {
		return b.link.read(ctx, b.buf[:], end)
	}
	early := end.Add(-b.late.Usual())
	waits := time.Now().Before(early)
	n, err := b.link.read(ctx, b.buf[:], early)
	if !errors.Is(err, errTimeout) {
		return n, err
	}
	if waits {
		b.late.Note(time.Since(early))
	}
	for time.Now().Before(end) { // gateway.MostLate at most
	}
	return n, err
}

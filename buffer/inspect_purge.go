package buffer

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidegate/tidegate/gateway"
)

// Purge acknowledges every delivery of the queue through position through, all when that is 0, in its consumer's place, and returns how
// many there were. An upstream's queue gets a gap record with the reason "purge" at its end. The inbox cannot be purged: a command that
// was acknowledged gets its answer. It waits for the commit.
func (s *Store) Purge(ctx context.Context, queue string, through uint64) (n uint64, err error) {
	q, err := s.lookUp(queue)
	if err != nil {
		return 0, err
	}
	if q.inbox {
		return 0, errors.New("purge queue inbox: commands are not purged, their senders wait for an answer")
	}
	gap, err := s.purgeGap(ctx, q, through)
	if err != nil {
		return 0, fmt.Errorf("purge queue %s: %w", queue, err)
	}
	n = s.purge(q, through)
	if n > 0 && q.upstream() {
		gap.Count = n
		s.Commit(&gateway.Change{Record: s.gapRecord(0, gap), To: []gateway.Ref{{Queue: q.id, QoS: 1}}}, nil)
	}
	// Whatever comes next to the disk takes the cursors with it.
	if err := s.do(ctx, 0, 0, func(*applier) error { return nil }); err != nil {
		return 0, fmt.Errorf("purge queue %s: %w", queue, err)
	}
	return n, nil
}

// errEnough ends a scan.
var errEnough = errors.New("enough")

// purgeGap tells which numbers a purge takes: from the first delivery's to that of the one at through, or to the last that was given.
func (s *Store) purgeGap(ctx context.Context, q *queue, through uint64) (gap gateway.Gap, err error) {
	gap = gateway.Gap{Queue: q.name, Reason: "purge"}
	err = s.Scan(ctx, q.name, 0, func(d gateway.Delivery) error {
		gap.From = gapStart(d.Record)
		return errEnough
	})
	if err != nil && !errors.Is(err, errEnough) {
		return gap, err
	}
	s.mu.Lock()
	gap.To = s.seq - 1
	s.mu.Unlock()
	if through > 0 {
		if rec, err := s.recordAt(q.id, through); err == nil {
			gap.To = rec.Seq
		}
	}
	return gap, nil
}

// purge acknowledges deliveries in memory.
func (s *Store) purge(q *queue, through uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if through == 0 || through >= q.next {
		through = q.next - 1
	}
	before := q.depth
	if last := min(through, q.tail-1); last > q.acked {
		q.markDone(q.acked+1, last)
	}
	for pos := max(q.tail, q.acked+1); pos <= through; pos++ {
		s.ackSlot(q, pos)
	}
	q.inHand -= min(q.inHand, before-q.depth)
	s.advance(q)
	return before - q.depth
}

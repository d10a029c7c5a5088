package buffer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/gateway"
)

// ErrNoQueue is what a look at a queue gets whose name is not there. The text around it names those that are.
var ErrNoQueue = errors.New("there is no such queue")

// scanBatch is about how many deliveries a look takes from the disk with one statement, so that no transaction lasts long.
const scanBatch = 256

// Overview returns the statistics of [Store.Stats] with the number of records that were set aside as the table has them now.
func (s *Store) Overview(ctx context.Context) (gateway.BufferStats, error) {
	stats := s.Stats()
	n, err := s.disk().countDead(ctx)
	stats.Dead = uint64(n)
	return stats, err
}

// Scan calls fn for each delivery of the queue after position after that is not acknowledged, in order: from disk, and at the end those
// that only memory holds. What comes meanwhile may be among them. Deliveries that cannot be read are left out.
func (s *Store) Scan(ctx context.Context, queue string, after uint64, fn func(gateway.Delivery) error) error {
	q, err := s.lookUp(queue)
	if err != nil {
		return err
	}
	for {
		list, next, err := s.scanOnce(q, after)
		if err != nil {
			return fmt.Errorf("scan queue %s: %w", queue, err)
		}
		if err := eachDelivery(ctx, list, fn); err != nil {
			return err
		}
		if next <= after {
			return nil
		}
		after = next
	}
}

// scanOnce returns some deliveries after position after, and the position behind which to go on, after itself at the end.
func (s *Store) scanOnce(q *queue, after uint64) (list []gateway.Delivery, next uint64, err error) {
	s.mu.Lock()
	after = max(after, q.acked)
	from, tail := after+1, q.tail
	if from >= tail {
		list = make([]gateway.Delivery, scanBatch)
		list = list[:q.readMemory(max(from, tail), list)]
		s.mu.Unlock()
		if len(list) > 0 {
			after = list[len(list)-1].Pos
		}
		return list, after, nil
	}
	s.mu.Unlock()
	got, err := s.disk().read(q.id, &wanted{span: span{from, tail - 1}}, scanBatch)
	if err != nil {
		return nil, after, err
	}
	list = got.parse()
	s.mu.Lock()
	defer s.mu.Unlock()
	list = slices.DeleteFunc(list, func(d gateway.Delivery) bool { return d.Pos <= q.acked || q.done.has(d.Pos) })
	return list, got.through, nil
}

// disk returns the reader of the file.
func (s *Store) disk() *diskReader { return s.reader }

// lookUp returns the queue of that name.
func (s *Store) lookUp(name string) (*queue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.names[name]; q != nil {
		return q, nil
	}
	names := make([]string, 0, len(s.names))
	for have := range s.names {
		names = append(names, have)
	}
	return nil, noQueue(name, names)
}

// noQueue says that there is no queue of that name, and which there are.
func noQueue(name string, names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("%w as %q: there is none", ErrNoQueue, name)
	}
	slices.Sort(names)
	return fmt.Errorf("%w as %q: there are %s", ErrNoQueue, name, strings.Join(names, ", "))
}

func eachDelivery(ctx context.Context, list []gateway.Delivery, fn func(gateway.Delivery) error) error {
	for _, d := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(d); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Verify checks all of the file: its structure, the check sum of every record, and that every row can be reached. It reads all of it in
// small steps beside the writer; of the structure it sees what reading every row shows, a stopped file is checked more closely
// ([File.Verify]). progress, which may be nil, is told how many of how many rows were read.
func (s *Store) Verify(ctx context.Context, progress func(done, total int64)) (gateway.Verdict, error) {
	s.mu.Lock()
	acked := make(map[gateway.QueueID]uint64, len(s.queues))
	for _, q := range s.queues {
		if q != nil && !q.dropped {
			acked[q.id] = q.durableAcked
		}
	}
	s.mu.Unlock()
	v := verifier{reader: s.disk(), acked: acked, progress: progress}
	return v.run(ctx)
}

// Dead calls fn for each record that was set aside, the oldest first.
func (s *Store) Dead(ctx context.Context, fn func(gateway.DeadRecord) error) error {
	return s.disk().dead(ctx, fn)
}

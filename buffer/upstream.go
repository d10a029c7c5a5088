package buffer

import (
	"context"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

// Upstream is the durable queue of one upstream and the number of its connections. Its methods that wait need Run.
type Upstream struct {
	store *Store
	name  string
	lane  string
	queue gateway.QueueID
	wake  chan struct{}
}

// Upstream returns the queue of the upstream of that name, and makes it on first use. Only one consumer at a time may use it.
func (s *Store) Upstream(name string) *Upstream { return s.UpstreamLane(name, "") }

// UpstreamLane returns the queue of one of an upstream's lanes, and makes it on first use; lane "" is the queue that Upstream returns. Each
// lane has an order of its own. The number of connections is the upstream's, whichever lane counts them.
func (s *Store) UpstreamLane(name, lane string) *Upstream {
	return &Upstream{
		store: s, name: name, lane: lane, queue: s.Queue(UpstreamQueue(name, lane)), wake: make(chan struct{}, 1),
	}
}

// Queue returns the id under which records are committed for this upstream.
func (u *Upstream) Queue() gateway.QueueID { return u.queue }

// Last returns the position of the newest delivery, 0 before the first.
func (u *Upstream) Last() uint64 {
	u.store.mu.Lock()
	defer u.store.mu.Unlock()
	if q := u.store.byID(u.queue); q != nil {
		return q.next - 1
	}
	return 0
}

// Attach makes the upstream online and returns the position through which its queue is acknowledged.
func (u *Upstream) Attach() (acked uint64) {
	return u.store.Attach(u.queue, func() { signal(u.wake) })
}

// Open is Attach with a wake of the caller's own: it is called, from a goroutine of the store that it must not hold up, when there may be more
// than TryRead has found. last is the position of the newest delivery.
func (u *Upstream) Open(wake func()) (acked, last uint64) {
	acked = u.store.Attach(u.queue, wake)
	return acked, u.Last()
}

// TryRead fills buf with the deliveries after position after, in order, and returns how many: fewer than buf holds at the end.
func (u *Upstream) TryRead(after uint64, buf []gateway.Delivery) (int, error) {
	return u.store.Read(u.queue, after, buf)
}

// Depth tells how many deliveries wait, and the original time of the oldest; the zero time when that cannot be read.
func (u *Upstream) Depth() (records uint64, oldest time.Time) {
	records, oldest, want := u.store.depth(u.queue)
	if want == nil {
		return records, oldest
	}
	got, err := u.store.reader.read(u.queue, want, 1)
	if err != nil || len(got.items) == 0 {
		return records, oldest
	}
	if rec, err := got.items[0].record(); err == nil {
		oldest = rec.Time
	}
	return records, oldest
}

// depth is what memory knows of Depth, and where the oldest delivery is to be read when only the disk has it.
func (s *Store) depth(id gateway.QueueID) (records uint64, oldest time.Time, want *wanted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.byID(id)
	if q == nil {
		return 0, time.Time{}, nil
	}
	oldest, onDisk := q.oldestTime()
	if onDisk {
		want = &wanted{queue: q, span: span{q.done.after(q.acked + 1), q.tail - 1}}
	}
	return q.depth, oldest, want
}

// Detach makes the upstream offline: what it has not acknowledged goes to disk.
func (u *Upstream) Detach() { u.store.Detach(u.queue) }

// Read waits until there are deliveries after position after, fills buf with them in order, and returns how many.
func (u *Upstream) Read(ctx context.Context, after uint64, buf []gateway.Delivery) (int, error) {
	for {
		n, err := u.store.Read(u.queue, after, buf)
		if n > 0 || err != nil || len(buf) == 0 {
			return n, err
		}
		if err := u.store.wait(ctx, u.wake); err != nil {
			return 0, err
		}
	}
}

// wait waits for wake, the end of ctx, or the store's.
func (s *Store) wait(ctx context.Context, wake <-chan struct{}) error {
	select {
	case <-wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return ErrClosed
	}
}

// Ack acknowledges the delivery at pos.
func (u *Upstream) Ack(pos uint64) { u.store.Ack(u.queue, pos) }

// Park sets the delivery at pos aside with the reason, which is committed when it returns, and acknowledges it. The newest 10,000 that
// were set aside are kept.
func (u *Upstream) Park(ctx context.Context, pos uint64, reason string) error {
	rec, err := u.store.recordAt(u.queue, pos)
	if err != nil {
		return fmt.Errorf("park delivery %d of upstream %s: %w", pos, u.name, err)
	}
	queue, now := UpstreamQueue(u.name, u.lane), u.store.opts.Now()
	err = u.store.do(ctx, u.queue, pos, func(a *applier) error {
		return a.putDead(queue, pos, now, reason, payload.AppendRecord(nil, rec))
	})
	if err != nil {
		return fmt.Errorf("park delivery %d of upstream %s: %w", pos, u.name, err)
	}
	u.store.deadChanged(1)
	return nil
}

// NextEpoch counts one more connection to the upstream, and returns its number, from 1, when it is committed.
func (u *Upstream) NextEpoch(ctx context.Context) (uint64, error) {
	s := u.store
	s.mu.Lock()
	s.epochs[u.name] = max(s.epochs[u.name], s.epochFloor) + 1
	epoch := s.epochs[u.name]
	s.mu.Unlock()
	err := s.do(ctx, 0, 0, func(a *applier) error {
		return a.exec(`INSERT INTO epoch(name, value) VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET value = max(value, excluded.value)`,
			u.name, epoch)
	})
	if err != nil {
		return 0, fmt.Errorf("count a connection to upstream %s: %w", u.name, err)
	}
	return epoch, nil
}

// do commits a change of the store's own, acknowledges a delivery when that is safe, unless pos is 0, and returns. When ctx ends before,
// both may still happen.
func (s *Store) do(ctx context.Context, id gateway.QueueID, pos uint64, work func(*applier) error) error {
	result := make(chan error, 1)
	done := func(err error) {
		if err == nil && pos > 0 {
			s.Ack(id, pos)
		}
		result <- err
	}
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return ErrClosed
	}
	s.append(&entry{work: work, waiter: waiter{done: done}})
	s.mu.Unlock()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

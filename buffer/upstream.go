package buffer

import (
	"context"
	"fmt"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

// Upstream is the durable queue of one upstream and the number of its connections. Its methods that wait need Run.
type Upstream struct {
	store *Store
	name  string
	queue gateway.QueueID
	wake  chan struct{}
}

// Upstream returns the queue of the upstream of that name, and makes it on first use. Only one consumer at a time may use it.
func (s *Store) Upstream(name string) *Upstream {
	return &Upstream{store: s, name: name, queue: s.Queue(upstreamPrefix + name), wake: make(chan struct{}, 1)}
}

// Queue returns the id under which records are committed for this upstream.
func (u *Upstream) Queue() gateway.QueueID { return u.queue }

// Attach makes the upstream online and returns the position through which its queue is acknowledged.
func (u *Upstream) Attach() (acked uint64) {
	return u.store.Attach(u.queue, func() { signal(u.wake) })
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
	queue, now := upstreamPrefix+u.name, u.store.opts.Now()
	err = u.store.do(ctx, u.queue, pos, func(a *applier) error {
		return a.putDead(queue, pos, now, reason, payload.AppendRecord(nil, rec))
	})
	if err != nil {
		return fmt.Errorf("park delivery %d of upstream %s: %w", pos, u.name, err)
	}
	return nil
}

// NextEpoch counts one more connection to the upstream, and returns its number, from 1, when it is committed.
func (u *Upstream) NextEpoch(ctx context.Context) (uint64, error) {
	s := u.store
	s.mu.Lock()
	s.epochs[u.name]++
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
	s.append(&entry{work: work, done: done})
	s.mu.Unlock()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

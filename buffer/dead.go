package buffer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

// dead calls fn for each row of the table of that name, the oldest first.
func (r *diskReader) dead(ctx context.Context, fn func(gateway.DeadRecord) error) error {
	const batch = 64
	for after := int64(0); ; {
		var list []gateway.DeadRecord
		rows, err := r.db.QueryContext(ctx, `SELECT n, queue, pos, time, reason, body FROM dead WHERE n > ? ORDER BY n LIMIT ?`, after, batch)
		if err == nil {
			err = eachRow(rows, func(rows *sql.Rows) error {
				d, err := scanDead(rows)
				list = append(list, d)
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("read what was set aside: %w", explain(err))
		}
		for _, d := range list {
			if err := fn(d); err != nil {
				return err
			}
			after = d.N
		}
		if len(list) < batch {
			return nil
		}
	}
}

func scanDead(rows *sql.Rows) (d gateway.DeadRecord, err error) {
	var at int64
	err = rows.Scan(&d.N, &d.Queue, &d.Pos, &at, &d.Reason, &d.Bytes)
	d.Time = time.Unix(0, at).UTC()
	if rec, err := payload.ParseRecord(d.Bytes); err == nil {
		d.Record = rec
	}
	return d, err
}

// countDead returns how many rows the table dead has. It has 10,000 at most.
func (r *diskReader) countDead(ctx context.Context) (n int64, err error) {
	if err := r.db.QueryRowContext(ctx, `SELECT count(*) FROM dead`).Scan(&n); err != nil {
		return 0, fmt.Errorf("count what was set aside: %w", explain(err))
	}
	return n, nil
}

// DropDead deletes the records with these numbers from what was set aside, all when none is given, and returns how many there were.
// It waits for the commit.
func (s *Store) DropDead(ctx context.Context, n ...int64) (int64, error) {
	list := n
	if len(n) == 0 {
		err := s.disk().dead(ctx, func(d gateway.DeadRecord) error { list = append(list, d.N); return nil })
		if err != nil {
			return 0, err
		}
	}
	var dropped int64
	err := s.do(ctx, 0, 0, func(a *applier) error {
		dropped = 0
		for _, n := range list {
			had, err := a.dropDead(n)
			if err != nil {
				return err
			}
			dropped += had
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("drop what was set aside: %w", err)
	}
	s.deadChanged(-dropped)
	return dropped, nil
}

// dropDead deletes a row of dead and returns 1 when there was one.
func (a *applier) dropDead(n int64) (had int64, err error) {
	stmt, err := a.stmt(`DELETE FROM dead WHERE n = ?`)
	if err != nil {
		return 0, err
	}
	result, err := stmt.Exec(n)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// deadChanged notes that the table dead has some rows more, or less.
func (s *Store) deadChanged(by int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Dead = uint64(max(0, min(int64(s.stats.Dead)+by, deadRows)))
}

// RetryDead puts the records with these numbers, all that can be read when none is given, back at the end of the queues that they were
// taken from, and returns how many. They keep their original time and get a new seq, since a queue is in the order of seq. A number
// that is not there, cannot be read, or whose queue is gone is an error, and none is put back. It waits for the commit.
func (s *Store) RetryDead(ctx context.Context, n ...int64) (int64, error) {
	list, err := s.retryable(ctx, n)
	if err != nil {
		return 0, fmt.Errorf("retry what was set aside: %w", err)
	}
	if len(list) == 0 {
		return 0, nil
	}
	result := make(chan error, len(list))
	for _, r := range list {
		id := r.dead.N
		s.appendOwn(r.dead.Record, []gateway.Ref{{Queue: r.queue, QoS: r.dead.qos()}}, func(a *applier) error {
			_, err := a.dropDead(id)
			return err
		}, func(err error) { result <- err })
	}
	var done int64
	for range list {
		select {
		case e := <-result:
			if e == nil {
				done++
			}
			err = errors.Join(err, e)
		case <-ctx.Done():
			return done, ctx.Err()
		}
	}
	s.deadChanged(-done)
	return done, err
}

// retry is a record that goes back to its queue.
type retry struct {
	dead  deadRecord
	queue gateway.QueueID
}

type deadRecord gateway.DeadRecord

// qos is that of the message, 1 for what else a record may hold.
func (d deadRecord) qos() gateway.QoS {
	if m, ok := d.Record.Body.(*gateway.Message); ok {
		return min(m.QoS, 1)
	}
	return 1
}

// retryable finds the records with these numbers, all when there are none, and their queues.
func (s *Store) retryable(ctx context.Context, n []int64) (list []retry, err error) {
	missing := make(map[int64]bool, len(n))
	for _, n := range n {
		missing[n] = true
	}
	err = s.disk().dead(ctx, func(d gateway.DeadRecord) error {
		if len(n) > 0 && !missing[d.N] {
			return nil
		}
		delete(missing, d.N)
		q, err := s.lookUp(d.Queue)
		switch {
		case len(n) == 0 && (err != nil || d.Record == nil):
			return nil
		case err != nil:
			return fmt.Errorf("record %d: %w", d.N, err)
		case d.Record == nil:
			return fmt.Errorf("record %d cannot be read: it can only be exported or dropped", d.N)
		}
		list = append(list, retry{deadRecord(d), q.id})
		return nil
	})
	for n := range missing {
		err = errors.Join(err, fmt.Errorf("there is no record %d: list those that there are", n))
	}
	return list, err
}

// appendOwn puts a record behind all others together with what the store itself has to write for it, in one transaction. It is written
// even when all consumers acknowledge it before. done gets ErrFull when no queue has room for it.
func (s *Store) appendOwn(rec *gateway.Record, to []gateway.Ref, work func(*applier) error, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		s.call(waiter{done: done}, ErrClosed)
		return
	case !s.restamp(rec):
		s.call(waiter{done: done}, ErrNoSeq)
		return
	}
	e := &entry{rec: rec, work: work, waiter: waiter{done: done}, came: s.now()}
	if s.address(e, &gateway.Change{Record: rec, To: to}); len(e.refs) == 0 {
		s.call(waiter{done: done}, ErrFull)
		return
	}
	s.append(e)
}

// restamp gives a record that was stored before a new number. What was known of the clock when it was taken stays.
func (s *Store) restamp(rec *gateway.Record) bool {
	unset := rec.ClockUnset
	ok := s.stamp(rec, s.now())
	if rec.ClockUnset = unset; unset {
		s.clock.unsight()
	}
	return ok
}

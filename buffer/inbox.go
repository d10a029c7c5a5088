package buffer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/tidegate/tidegate/gateway"
)

// inboxName is the name of the queue of commands.
const inboxName = "inbox"

// commandRows is how many results are kept, the newest. Nobody empties them.
const commandRows = 10000

// States of a command in the inbox.
const (
	commandStarted  = 1
	commandFinished = 2
)

// Inbox is the journal of commands: a durable queue whose rows are committed before their sender is answered, with how far each one is.
// Only one goroutine at a time may call Next.
type Inbox struct {
	store    *Store
	queue    gateway.QueueID
	wake     chan struct{}
	attached bool
}

// Inbox returns the command inbox, and makes it on first use.
func (s *Store) Inbox() *Inbox {
	return &Inbox{store: s, queue: s.Queue(inboxName), wake: make(chan struct{}, 1)}
}

// loadInbox notes which commands were begun, and that those which are finished need not be seen again.
func (s *Store) loadInbox(c *conn) error {
	q := s.names[inboxName]
	if q == nil {
		return nil
	}
	return c.each(func(rows *sql.Rows) error {
		var pos uint64
		var state int
		err := rows.Scan(&pos, &state)
		switch {
		case pos <= q.acked || err != nil:
		case state == commandFinished:
			q.markDone(pos, pos)
			q.advance()
		default:
			s.started[pos] = true
		}
		return err
	}, `SELECT pos, state FROM command_state ORDER BY pos`)
}

// Queue returns the id under which commands are committed to the inbox, with a barrier.
func (i *Inbox) Queue() gateway.QueueID { return i.queue }

// Next waits for the first command after position pos, 0 for the first that is not finished. started says that Start was called for it
// before a crash: it may have been carried out or not.
func (i *Inbox) Next(ctx context.Context, pos uint64) (at uint64, rec *gateway.Record, started bool, err error) {
	if !i.attached {
		i.store.Attach(i.queue, func() { signal(i.wake) })
		i.attached = true
	}
	var buf [1]gateway.Delivery
	for {
		n, err := i.store.Read(i.queue, pos, buf[:])
		if err != nil {
			return 0, nil, false, err
		}
		if n > 0 {
			return buf[0].Pos, buf[0].Record, i.store.begun(buf[0].Pos), nil
		}
		if err := i.store.wait(ctx, i.wake); err != nil {
			return 0, nil, false, err
		}
	}
}

func (s *Store) begun(pos uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.started[pos]
}

// Start commits that the command at pos is about to be carried out.
func (i *Inbox) Start(ctx context.Context, pos uint64) error {
	err := i.store.do(ctx, 0, 0, func(a *applier) error { return a.putCommandState(pos, commandStarted) })
	if err != nil {
		return fmt.Errorf("note that command %d starts: %w", pos, err)
	}
	return nil
}

// Finish commits that the command at pos is done with, and with it the result under the command's id, unless that is "". The newest
// 10,000 results are kept.
func (i *Inbox) Finish(ctx context.Context, pos uint64, id string, result []byte) error {
	now := i.store.opts.Now().UnixNano()
	err := i.store.do(ctx, i.queue, pos, func(a *applier) error {
		if err := a.putCommandState(pos, commandFinished); err != nil || id == "" {
			return err
		}
		return a.putResult(id, result, now)
	})
	if err != nil {
		return fmt.Errorf("note that command %d is finished: %w", pos, err)
	}
	i.store.mu.Lock()
	delete(i.store.started, pos)
	i.store.mu.Unlock()
	return nil
}

// Result returns the result that is kept under a command's id.
func (i *Inbox) Result(ctx context.Context, id string) (result []byte, found bool, err error) {
	err = i.store.reader.db.QueryRowContext(ctx, `SELECT result FROM command WHERE id = ?`, id).Scan(&result)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("look up the result of command %q: %w", id, err)
	}
	return result, true, nil
}

// putCommandState notes how far a command is. Commands finish in any order, but the queue's acknowledged position moves in order: for
// those behind it the state is what keeps them from being carried out again.
func (a *applier) putCommandState(pos uint64, state int) error {
	return a.exec(`INSERT OR REPLACE INTO command_state(pos, state) VALUES(?, ?)`, pos, state)
}

func (a *applier) putResult(id string, result []byte, now int64) error {
	if result == nil {
		result = []byte{}
	}
	err := a.exec(`INSERT INTO command(id, result, time) VALUES(?, ?, ?)
		ON CONFLICT(id) DO UPDATE SET result = excluded.result, time = excluded.time`, id, result, now)
	if err != nil {
		return err
	}
	return a.exec(`DELETE FROM command WHERE n <= (SELECT max(n) FROM command) - ?`, commandRows)
}

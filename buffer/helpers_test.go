package buffer

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

// rig is a store in a folder of the test, and who runs it.
type rig struct {
	*Store
	t    testing.TB
	opts Options
	stop context.CancelFunc
	end  chan error
}

// newRig opens a store and does not run it.
func newRig(t testing.TB, o Options) *rig {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "buffer.db")
	}
	r := &rig{t: t, opts: o}
	r.open()
	t.Cleanup(r.close)
	return r
}

// running opens a store and runs it.
func running(t testing.TB, o Options) *rig {
	t.Helper()
	r := newRig(t, o)
	r.run()
	return r
}

func (r *rig) open() {
	r.t.Helper()
	s, err := Open(context.Background(), r.opts)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Store = s
}

func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	r.stop, r.end = cancel, make(chan error, 1)
	go func() { r.end <- r.Run(ctx) }()
}

// halt ends Run, as at a stop in order, and returns what it returned.
func (r *rig) halt() error {
	if r.stop == nil {
		return nil
	}
	r.stop()
	r.stop = nil
	return <-r.end
}

func (r *rig) close() {
	r.t.Helper()
	if r.Store == nil {
		return
	}
	if err := r.halt(); err != nil {
		r.t.Error(err)
	}
	if err := r.Close(); err != nil {
		r.t.Error(err)
	}
	r.Store = nil
}

// reopen stops in order and opens the file again, running.
func (r *rig) reopen() {
	r.t.Helper()
	r.close()
	r.open()
	r.run()
}

// crash is a rig on a copy of the file as it is now on the disk, as a killed process would leave it. It is not running.
func (r *rig) crash() *rig {
	r.t.Helper()
	o := r.opts
	o.Path = copyFiles(r.t, r.opts.Path)
	return newRig(r.t, o)
}

func message(topic, payload string) *gateway.Message {
	return &gateway.Message{Topic: topic, Payload: []byte(payload), QoS: 1}
}

func record(payload string) *gateway.Record {
	return &gateway.Record{Time: time.UnixMilli(1700000000000).UTC(), Body: message("a/b", payload)}
}

func to(queues ...gateway.QueueID) []gateway.Ref {
	refs := make([]gateway.Ref, len(queues))
	for i, q := range queues {
		refs[i] = gateway.Ref{Queue: q, QoS: 1}
	}
	return refs
}

// put commits a record that nobody waits for.
func (r *rig) put(payload string, queues ...gateway.QueueID) *gateway.Record {
	rec := record(payload)
	r.Commit(&gateway.Change{Record: rec, To: to(queues...)}, nil)
	return rec
}

// putWait commits a record and returns the channel that gets the outcome.
func (r *rig) putWait(payload string, queues ...gateway.QueueID) <-chan error {
	return r.change(&gateway.Change{Record: record(payload), To: to(queues...)})
}

// change commits c and returns the channel that gets the outcome.
func (r *rig) change(c *gateway.Change) <-chan error {
	done := make(chan error, 2)
	r.Commit(c, func(err error) { done <- err })
	return done
}

// ops commits operations and waits for them.
func (r *rig) ops(ops ...gateway.Op) {
	r.t.Helper()
	r.ok(r.change(&gateway.Change{Ops: ops}))
}

// ok waits for an outcome, which must be good.
func (r *rig) ok(done <-chan error) {
	r.t.Helper()
	select {
	case err := <-done:
		if err != nil {
			r.t.Fatalf("done(%v), want nil", err)
		}
	case <-time.After(patience):
		r.t.Fatal("done was not called")
	}
}

// isDone tells whether an outcome has come.
func isDone(done <-chan error) bool { return len(done) > 0 }

// read returns everything of a queue after a position.
func (r *rig) read(q gateway.QueueID, after uint64) []gateway.Delivery {
	r.t.Helper()
	var all []gateway.Delivery
	buf := make([]gateway.Delivery, 7)
	for {
		n, err := r.Read(q, after, buf)
		if err != nil {
			r.t.Fatal(err)
		}
		if n == 0 {
			return all
		}
		all = append(all, buf[:n]...)
		after = buf[n-1].Pos
	}
}

// payloads are the payloads of deliveries; gaps are shown by what they say.
func payloads(list []gateway.Delivery) []string {
	out := make([]string, len(list))
	for i, d := range list {
		switch b := d.Record.Body.(type) {
		case *gateway.Message:
			out[i] = string(b.Payload)
		case *gateway.Gap:
			out[i] = fmt.Sprintf("gap %d-%d: %d %s", b.From, b.To, b.Count, b.Reason)
		}
	}
	return out
}

func positions(list []gateway.Delivery) []uint64 {
	out := make([]uint64, len(list))
	for i, d := range list {
		out[i] = d.Pos
	}
	return out
}

func (r *rig) want(list []gateway.Delivery, want ...string) {
	r.t.Helper()
	if got := payloads(list); !slices.Equal(got, want) {
		r.t.Fatalf("deliveries %q, want %q", got, want)
	}
}

// commits returns how many transactions were committed.
func (r *rig) commits() uint64 { return r.Stats().Commits }

// depth returns the depth of a queue.
func (r *rig) depth(name string) uint64 {
	r.t.Helper()
	for _, q := range r.Stats().Queues {
		if q.Name == name {
			return q.Depth
		}
	}
	r.t.Fatalf("there is no queue %s", name)
	return 0
}

// rows returns how many rows a table has.
func (r *rig) rows(table string) (n int) {
	r.t.Helper()
	if err := r.reader.db.QueryRow(`SELECT count(*) FROM ` + table).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// flush waits until what is pending is committed, by committing something that hurries.
func (r *rig) flush() {
	r.t.Helper()
	if err := r.do(context.Background(), 0, 0, func(*applier) error { return nil }); err != nil {
		r.t.Fatal(err)
	}
}

// logBook is a log handler that remembers messages.
type logBook struct {
	slog.Handler
	mu    sync.Mutex
	lines []string
}

func newLogBook() (*logBook, *slog.Logger) {
	b := &logBook{Handler: slog.DiscardHandler}
	return b, slog.New(b)
}

func (b *logBook) Enabled(context.Context, slog.Level) bool { return true }

func (b *logBook) Handle(_ context.Context, r slog.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, r.Message)
	return nil
}

func (b *logBook) count(part string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		if len(l) >= len(part) && l[:len(part)] == part {
			n++
		}
	}
	return n
}

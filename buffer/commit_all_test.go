package buffer

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/tidegate/tidegate/gateway"
)

// tally is a waiter that notes what it is told.
type tally chan told

type told struct {
	numbers []uint64
	err     error
}

func (t tally) Committed(numbers []uint64, err error) { t <- told{slices.Clone(numbers), err} }

// numbers waits until n changes are settled without an error.
func (t tally) numbers(tb testing.TB, n int) (all []uint64) {
	tb.Helper()
	for len(all) < n {
		it := <-t
		if it.err != nil {
			tb.Fatalf("%d: %v", it.numbers, it.err)
		}
		all = append(all, it.numbers...)
	}
	return all
}

func changes(n int, queues ...gateway.QueueID) []gateway.Change {
	list := make([]gateway.Change, n)
	for i := range list {
		list[i] = gateway.Change{Record: record(fmt.Sprint(i)), To: to(queues...)}
	}
	return list
}

func TestCommitAllIsCommitForEach(t *testing.T) {
	r := running(t, Options{})
	q, other := r.Queue("q"), r.Queue("other")
	before := r.commits()
	r.Queue("third")
	list := append(changes(3, q), changes(2, q, other)...)
	list = append(list, gateway.Change{Record: record("nobody")}, gateway.Change{Ops: []gateway.Op{gateway.DropWill{ClientID: "x"}}})
	w := make(tally, 16)
	r.CommitAll(list, w, 7)
	got := w.numbers(t, len(list))
	slices.Sort(got)
	if want := []uint64{7, 8, 9, 10, 11, 12, 13}; !slices.Equal(got, want) {
		t.Errorf("told of %d, want %d", got, want)
	}
	r.want(r.read(q, 0), "0", "1", "2", "0", "1")
	r.want(r.read(other, 0), "0", "1")
	for i := 1; i < 6; i++ {
		if list[i].Record.Seq != list[i-1].Record.Seq+1 {
			t.Errorf("numbers %d and %d are not one after the other", list[i-1].Record.Seq, list[i].Record.Seq)
		}
	}
	if n := r.commits() - before; n > 2 {
		t.Errorf("%d commits for one call", n)
	}
	crashed := r.crash()
	crashed.want(crashed.read(q, 0), "0", "1", "2", "0", "1")
}

// What is acknowledged before its commit is told many at once, and never written.
func TestCommitAllIsElided(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.Queue("q")
		c.Attach(q, func() {})
		w := make(tally, 16)
		c.elapse(2 * c.opts.CommitInterval)
		before := c.commits()
		c.CommitAll(changes(5, q), w, 100)
		c.CommitAll(changes(1, q), nil, 0) // nobody waits
		c.Ack(q, 1, 2, 3, 4, 5, 6)
		if got := w.numbers(t, 5); !slices.Equal(got, []uint64{100, 101, 102, 103, 104}) {
			t.Errorf("told of %d", got)
		}
		if st := c.Stats(); st.Elided != 6 || st.Commits != before {
			t.Errorf("%d elided, %d commits, want 6 and none", st.Elided, st.Commits-before)
		}
	})
}

func TestCommitAllTellsOfErrors(t *testing.T) {
	inBubble(t, Options{UpstreamLimits: Limits{Count: 16, Full: Block}}, func(t *testing.T, c *clocked) {
		up := c.away("upstream/x")
		w := make(tally, 64)
		c.CommitAll(changes(18, up), w, 1)
		if got := w.numbers(t, 16); len(got) != 16 {
			t.Errorf("told of %d, want the 16 that there is room for", got)
		}
		c.elapse(c.Store.opts.BlockHold + tick)
		for n := uint64(17); n <= 18; n++ {
			if got := <-w; !slices.Equal(got.numbers, []uint64{n}) || !errors.Is(got.err, ErrFull) {
				t.Errorf("told of %d: %v, want %d: %v", got.numbers, got.err, n, ErrFull)
			}
		}
	})
}

func TestCommitAllTellsThatTheStoreHasClosed(t *testing.T) {
	r := newRig(t, Options{})
	w := make(tally, 16)
	r.CommitAll(changes(2, r.Queue("q")), w, 5)
	r.close()
	for n := uint64(5); n <= 6; n++ {
		if got := <-w; !slices.Equal(got.numbers, []uint64{n}) || !errors.Is(got.err, ErrClosed) {
			t.Errorf("told of %d: %v, want %d: %v", got.numbers, got.err, n, ErrClosed)
		}
	}
}

package buffer

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"pgregory.net/rapid"
)

// modelItem is one delivery as the model knows it.
type modelItem struct {
	payload string
	done    <-chan error // nil when nobody waits
	barrier bool
	acked   bool
	came    time.Time
	pos     uint64 // 0 until it was read
}

// safe reports whether a crash must not lose the delivery.
func (it *modelItem) safe(failing bool) bool {
	return isDone(it.done) || !failing && time.Since(it.came) > interval+tick
}

// modelQueue is a queue as the model knows it: all its deliveries since the last restart, in order.
type modelQueue struct {
	name   string
	id     gateway.QueueID
	online bool
	items  []*modelItem
}

// visible returns what a consumer must see: all that is not acknowledged, up to a barrier that is not committed.
func (q *modelQueue) visible() (list []*modelItem) {
	for _, it := range q.items {
		if it.barrier && !isDone(it.done) {
			break
		}
		if !it.acked {
			list = append(list, it)
		}
	}
	return list
}

// machine drives a store and a simple model of it side by side.
type machine struct {
	c       *clocked
	queues  []*modelQueue
	count   int
	failing bool
}

// reattach finds the queues of the model in the store that is open now.
func (m *machine) reattach() {
	for _, q := range m.queues {
		q.id, q.online = m.c.Queue(q.name), false
	}
	synctest.Wait()
}

func (m *machine) commit(t *rapid.T) {
	set := rapid.SliceOfNDistinct(rapid.IntRange(0, len(m.queues)-1), 1, len(m.queues), rapid.ID[int]).Draw(t, "consumers")
	m.count++
	it := modelItem{payload: fmt.Sprint(m.count), came: time.Now(), barrier: rapid.IntRange(0, 9).Draw(t, "barrier") == 0}
	change := &gateway.Change{Record: record(it.payload), Barrier: it.barrier}
	for _, i := range set {
		change.To = append(change.To, to(m.queues[i].id)...)
	}
	if rapid.IntRange(0, 9).Draw(t, "operations") == 0 {
		change.Ops = []gateway.Op{gateway.PutRetained{Message: message("t", it.payload)}}
	}
	if it.barrier || rapid.Bool().Draw(t, "waits") {
		it.done = m.c.change(change)
	} else {
		m.c.Commit(change, nil)
	}
	for _, i := range set {
		own := it
		m.queues[i].items = append(m.queues[i].items, &own)
	}
}

func (m *machine) queue(t *rapid.T) *modelQueue { return rapid.SampledFrom(m.queues).Draw(t, "queue") }

// read reads a queue as far as it goes and compares.
func (m *machine) read(t *rapid.T, q *modelQueue) {
	synctest.Wait()
	want := q.visible()
	var after uint64
	buf := make([]gateway.Delivery, rapid.SampledFrom([]int{1, 3, 64}).Draw(t, "buffer"))
	var got []gateway.Delivery
	for {
		n, err := m.c.Read(q.id, after, buf)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, buf[:n]...)
		if n == 0 {
			break
		}
		after = buf[n-1].Pos
	}
	expect := make([]string, len(want))
	for i, it := range want {
		expect[i] = it.payload
	}
	if !slices.Equal(payloads(got), expect) {
		t.Fatalf("%s: read %q, want %q", q.name, payloads(got), expect)
	}
	for i, d := range got {
		if want[i].pos != 0 && want[i].pos != d.Pos || i > 0 && d.Pos <= got[i-1].Pos {
			t.Fatalf("%s: %q moved from position %d to %d", q.name, expect[i], want[i].pos, d.Pos)
		}
		want[i].pos = d.Pos
	}
}

func (m *machine) ack(t *rapid.T) {
	q := m.queue(t)
	m.read(t, q)
	list := q.visible()
	if len(list) == 0 {
		return
	}
	n := rapid.IntRange(1, len(list)).Draw(t, "acknowledged")
	if rapid.Bool().Draw(t, "out of order") {
		list = rapid.Permutation(list).Draw(t, "order")
	}
	for _, it := range list[:n] {
		m.c.Ack(q.id, it.pos)
		it.acked = true
	}
}

func (m *machine) toggle(t *rapid.T) {
	q := m.queue(t)
	if q.online {
		m.c.Detach(q.id)
	} else {
		m.c.Attach(q.id, func() {})
	}
	q.online = !q.online
}

// restart lets the store stop or crash, and checks what is left: everything that is safe, nothing that was not there, in order.
func (m *machine) restart(t *rapid.T, crash bool) {
	synctest.Wait()
	if m.failing && !crash {
		m.heal()
	}
	must := map[*modelItem]bool{}
	for _, q := range m.queues {
		for _, it := range q.items {
			must[it] = !it.acked && (it.safe(m.failing) || !crash)
		}
	}
	if crash {
		k := m.c.crash()
		if m.failing {
			m.heal()
		}
		m.c.close()
		m.c.rig = k
		m.c.run()
	} else {
		m.c.reopen()
	}
	m.reattach()
	for _, q := range m.queues {
		m.adopt(t, q, must, crash)
	}
}

// adopt makes what the store has kept of a queue the model of it.
func (m *machine) adopt(t *rapid.T, q *modelQueue, must map[*modelItem]bool, crash bool) {
	var kept []*modelItem
	rest := q.items
	for _, d := range m.c.read(q.id, 0) {
		p := payloads([]gateway.Delivery{d})[0]
		if _, gap := d.Record.Body.(*gateway.Gap); gap {
			if _, known := find(rest, p); !known {
				if !crash {
					t.Fatalf("%s: %s after a stop in order", q.name, p)
				}
				kept = append(kept, &modelItem{payload: p, came: time.Now().Add(-time.Hour), pos: d.Pos})
				continue
			}
		}
		i, found := find(rest, p)
		if !found {
			t.Fatalf("%s: %q is out of order or was never there; kept %d of %d", q.name, p, len(kept), len(q.items))
		}
		for _, skipped := range rest[:i] {
			if must[skipped] {
				t.Fatalf("%s: %q is lost", q.name, skipped.payload)
			}
		}
		it := rest[i]
		it.acked, it.pos = false, d.Pos
		kept = append(kept, it)
		rest = rest[i+1:]
	}
	for _, skipped := range rest {
		if must[skipped] {
			t.Fatalf("%s: %q is lost at the end", q.name, skipped.payload)
		}
	}
	q.items = kept
}

func find(items []*modelItem, payload string) (int, bool) {
	i := slices.IndexFunc(items, func(it *modelItem) bool { return it.payload == payload })
	return i, i >= 0
}

func (m *machine) heal() {
	m.c.fail(nil)
	m.failing = false
	m.c.elapse(maxBackoff)
}

// TestStoreBehavesAsItsModel runs random histories of commits, reads, acknowledgements, consumers that come and go, disk errors, stops
// and crashes, and compares with a model that is a list for each queue.
func TestStoreBehavesAsItsModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ testing.TB }{t}, func(rt *rapid.T) { // a bubble has no deadline to ask for
			o := Options{CacheBytes: rapid.SampledFrom([]int{0, 3000}).Draw(rt, "cache")}
			m := &machine{c: &clocked{rig: running(t, o), start: time.Now()}}
			defer func() { m.c.fail(nil); m.c.close() }()
			m.queues = []*modelQueue{{name: "session/a"}, {name: "session/b"}, {name: "upstream/c"}}
			m.reattach()
			rt.Repeat(map[string]func(*rapid.T){
				"commit":  m.commit,
				"commit2": m.commit,
				"burst": func(t *rapid.T) {
					for range rapid.IntRange(1, 120).Draw(t, "size") {
						m.commit(t)
					}
				},
				"read":   func(t *rapid.T) { m.read(t, m.queue(t)) },
				"ack":    m.ack,
				"toggle": m.toggle,
				"elapse": func(t *rapid.T) {
					m.c.elapse(rapid.SampledFrom([]time.Duration{tick, 2 * hold, 2 * interval}).Draw(t, "time"))
				},
				"fail": func(t *rapid.T) {
					if m.failing {
						m.heal()
					} else if rapid.IntRange(0, 2).Draw(t, "disk") == 0 {
						m.failing = true
						m.c.fail(errNoDisk)
					}
				},
				"stop":  func(t *rapid.T) { m.restart(t, false) },
				"crash": func(t *rapid.T) { m.restart(t, true) },
			})
			m.restart(rt, true)
		})
	})
}

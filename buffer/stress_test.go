package buffer

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/tidegate/tidegate/gateway"
)

// TestManyPublishersAndConsumersAtOnce lets everything happen at the same time, in real time and on a real disk: each consumer, who comes and goes and
// acknowledges in any order, must get each record of each publisher in that publisher's order, and every publisher its answer.
func TestManyPublishersAndConsumersAtOnce(t *testing.T) {
	const publishers, each = 8, 1500
	r := running(t, Options{GroupRecords: 200, CacheBytes: 20_000})
	queues := []gateway.QueueID{r.Queue("session/a"), r.Queue("session/b"), r.Queue("upstream/c")}
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() { publishNumbers(r, p, each, queues) })
	}
	for _, q := range queues {
		wg.Go(func() { consumeNumbers(r, q, publishers, each) })
	}
	wg.Wait()
	r.flush()
	st := r.Stats()
	t.Logf("%d commits, %d written, %d elided of %d", st.Commits, st.Written, st.Elided, st.Appended)
	if st.Appended != publishers*each || st.Written+st.Elided != st.Appended || st.Pending != 0 {
		t.Errorf("%+v", st)
	}
	for _, q := range st.Queues {
		if q.Depth != 0 {
			t.Errorf("depth of %s is %d", q.Name, q.Depth)
		}
	}
	for _, table := range []string{"chunk", "ref"} {
		if n := r.rows(table); n != 0 {
			t.Errorf("%d rows of %s are left", n, table)
		}
	}
}

// publishNumbers publishes 0, 1, 2 ... with a window of 50.
func publishNumbers(r *rig, p, n int, queues []gateway.QueueID) {
	window := make(chan struct{}, 50)
	for i := range n {
		window <- struct{}{}
		rec := &gateway.Record{Body: message(strconv.Itoa(p), strconv.Itoa(i))}
		r.Commit(&gateway.Change{Record: rec, To: to(queues...), Barrier: i%100 == 0}, func(err error) {
			if err != nil {
				r.t.Errorf("done(%v)", err)
			}
			<-window
		})
	}
	for range cap(window) {
		window <- struct{}{}
	}
}

// consumeNumbers reads until it has all of all publishers.
func consumeNumbers(r *rig, q gateway.QueueID, publishers, each int) {
	next := make([]int, publishers)
	wake := make(chan struct{}, 1)
	buf := make([]gateway.Delivery, 20)
	pos := r.Attach(q, func() { signal(wake) })
	var flight []uint64 // sent and not acknowledged
	for got := 0; got < publishers*each; {
		if rand.IntN(200) == 0 { // goes and comes back
			r.Detach(q)
			acked := r.Attach(q, func() { signal(wake) })
			if len(flight) > 0 && acked >= flight[len(flight)-1] {
				r.t.Errorf("acknowledged through %d with %v in flight", acked, flight)
			}
		}
		n, err := r.Read(q, pos, buf)
		if err != nil {
			r.t.Error(err)
			return
		}
		if n == 0 {
			r.Ack(q, flight...)
			flight = flight[:0]
			<-wake
			continue
		}
		for _, d := range buf[:n] {
			m := d.Record.Body.(*gateway.Message)
			p, _ := strconv.Atoi(m.Topic)
			if want := strconv.Itoa(next[p]); string(m.Payload) != want || d.Pos <= pos {
				r.t.Errorf("queue %d: %s of publisher %d at %d, want %s", q, m.Payload, p, d.Pos, want)
				return
			}
			next[p]++
			got++
			pos = d.Pos
			flight = append(flight, d.Pos)
		}
		rand.Shuffle(len(flight), func(i, j int) { flight[i], flight[j] = flight[j], flight[i] })
		keep := rand.IntN(len(flight) + 1)
		r.Ack(q, flight[keep:]...)
		flight = flight[:keep]
	}
	r.Ack(q, flight...)
}

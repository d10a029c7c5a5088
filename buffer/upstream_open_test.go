package buffer

import (
	"fmt"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// TestOpenTellsTheEnds gives a consumer the bounds of its queue, calls it when more comes, and reads without waiting.
func TestOpenTellsTheEnds(t *testing.T) {
	r := running(t, Options{})
	u := r.Upstream("cloud")
	put := func(i int) {
		rec := &gateway.Record{Time: time.UnixMilli(int64(i)), Body: &gateway.Message{Topic: "t", Payload: fmt.Append(nil, i)}}
		r.Commit(&gateway.Change{Record: rec, To: []gateway.Ref{{Queue: u.Queue(), QoS: 1}}}, nil)
	}
	if n, oldest := u.Depth(); n != 0 || !oldest.IsZero() {
		t.Errorf("empty: %d records, oldest %v", n, oldest)
	}
	for i := 1; i <= 5; i++ {
		put(i)
	}
	woken := make(chan struct{}, 10)
	acked, last := u.Open(func() { woken <- struct{}{} })
	if acked != 0 || last != 5 {
		t.Errorf("acknowledged %d, last %d", acked, last)
	}
	buf := make([]gateway.Delivery, 8)
	if n, err := u.TryRead(3, buf); n != 2 || err != nil || buf[0].Pos != 4 {
		t.Errorf("%d read, first %d, error %v", n, buf[0].Pos, err)
	}
	u.Ack(1)
	if n, oldest := u.Depth(); n != 4 || oldest.UnixMilli() != 2 {
		t.Errorf("%d records, oldest %v", n, oldest)
	}
	<-woken // for what was there
	if n, err := u.TryRead(5, buf); n != 0 || err != nil {
		t.Errorf("%d read at the end, error %v", n, err)
	}
	put(6)
	select {
	case <-woken:
	case <-time.After(patience):
		t.Fatal("nobody calls")
	}
	u.Detach()
	if err := r.halt(); err != nil { // what is left goes to disk
		t.Fatal(err)
	}
	r.close()
	r.open()
	r.run()
	if n, oldest := r.Upstream("cloud").Depth(); n != 5 || oldest.UnixMilli() != 2 { // without the one that is acknowledged
		t.Errorf("after a restart %d records, oldest %v", n, oldest)
	}
}

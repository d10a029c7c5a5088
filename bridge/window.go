package bridge

import (
	"sync/atomic"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/tidegate/tidegate/gateway"
)

// slowStart is the window at the begin of a connection. It doubles with each window that was acknowledged, up to a threshold, and then grows by
// one: an upstream whose own limit is smaller than ours is not overrun at each connection.
const slowStart = 16

// flight is a publish in flight, or a delivery that had nothing to send and waits for its place in the order.
type flight struct {
	lane  *laneReader
	pos   uint64     // of the delivery, or the first in a batch
	last  bool       // pos is acknowledged with it; false while that delivery has more messages to come
	more  []uint64   // further deliveries that are acknowledged with it
	token mqtt.Token // nil when there was nothing to send
	qos   gateway.QoS
}

// acknowledged reports whether the upstream has sent a PUBACK for the flight. The token of a QoS 0 message says only that it was written.
func (f *flight) acknowledged() bool {
	if f.token == nil || f.qos == 0 {
		return false
	}
	select {
	case <-f.token.Done():
		return f.token.Error() == nil
	default:
		return false
	}
}

// window is what is in flight, in the order of sending. One goroutine puts in, one takes out.
type window struct {
	flights   chan flight
	room      chan struct{} // something left, or the limit grew
	inflight  atomic.Int64
	limit     atomic.Int64
	threshold int64
	confirms  int64 // since the limit last grew; the taker's own
}

// newWindow returns a window for limit flights to begin with, which grows fast up to threshold and slowly up to most.
func newWindow(limit, threshold, most int) *window {
	w := &window{flights: make(chan flight, most), room: make(chan struct{}, 1), threshold: int64(threshold)}
	w.limit.Store(int64(max(1, min(limit, most))))
	return w
}

// full reports whether the next flight has to wait.
func (w *window) full() bool { return w.inflight.Load() >= w.limit.Load() }

// put takes a flight in. The caller has seen that the window is not full; so this does not wait.
func (w *window) put(f flight) {
	w.inflight.Add(1)
	w.flights <- f
}

// leave makes room for the next one. grow says that the window may become larger.
func (w *window) leave(grow bool) {
	w.inflight.Add(-1)
	if limit := w.limit.Load(); grow && limit < int64(cap(w.flights)) {
		w.grow(limit)
	}
	select {
	case w.room <- struct{}{}:
	default:
	}
}

func (w *window) grow(limit int64) {
	if w.confirms++; w.confirms < limit {
		return
	}
	w.confirms = 0
	wider := limit + 1
	if limit < w.threshold {
		wider = min(2*limit, w.threshold)
	}
	w.limit.Store(wider)
}

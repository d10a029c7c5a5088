package bus

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/tidegate/tidegate/gateway/ktimer"
)

// watch ends the reads of a connection that last too long or whose context ends. It has a timer of the kernel: a deadline of Go's
// own is a timer of the runtime, and in a process that has little to do each of these wakes two more threads about once in a timeout.
type watch struct {
	conn  net.Conn
	timer *ktimer.Timer // set by who holds mu
	ended chan struct{} // closed when run has returned

	mu    sync.Mutex
	until time.Time       // when the read under way ends; zero: there is none
	set   time.Time       // when the timer expires; zero: it is not known to
	past  bool            // the connection's own deadline has passed: it was made to
	done  <-chan struct{} // of the context that is looked after; nil: none
	stop  func() bool     // ends looking after it; nil: none
	turn  uint64          // tells contexts apart
}

// newWatch returns nil when the kernel gives no timer.
func newWatch(conn net.Conn) *watch {
	timer, err := ktimer.New()
	if err != nil {
		return nil
	}
	w := &watch{conn: conn, timer: timer, ended: make(chan struct{})}
	go w.run()
	return w
}

// run lasts until close.
func (w *watch) run() {
	defer close(w.ended)
	for w.timer.Wait() == nil {
		w.look()
	}
}

// begin is called before a read, which end follows unless it returns an error.
func (w *watch) begin(ctx context.Context, deadline time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.past {
		w.past = false
		if err := w.conn.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
	}
	w.follow(ctx)
	if err := ctx.Err(); err != nil { // from here on the end of ctx is seen to
		return err
	}
	w.until = deadline
	if w.set.IsZero() || w.set.After(deadline) || deadline.Sub(w.set) > earliness {
		w.setTimer(time.Until(deadline))
	}
	return nil
}

// earliness is how much sooner than a read ends the timer may expire that an earlier read has set: look sets it for the rest. Most reads end
// long before, and those of a burst need not set it each.
const earliness = 50 * time.Millisecond

func (w *watch) setTimer(d time.Duration) {
	w.set = time.Now().Add(d)
	w.timer.Set(d)
}

// end leaves the timer as it is: most often it will be set anew before it expires.
func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = time.Time{}
}

// follow has the end of ctx cut reads. That lasts beyond the read: the next one usually has the same context.
func (w *watch) follow(ctx context.Context) {
	if w.done == ctx.Done() {
		return
	}
	w.leave()
	if w.done = ctx.Done(); w.done == nil {
		return
	}
	turn := w.turn
	w.stop = context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.turn == turn {
			w.cut()
		}
	})
}

// leave ends looking after a context.
func (w *watch) leave() {
	w.turn++
	if w.stop != nil {
		w.stop()
	}
	w.stop, w.done = nil, nil
}

// look ends the read under way if it has lasted long enough, and else has the timer come again: a read that nothing ends would stop the bus for good.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.set = time.Time{}
	if w.until.IsZero() {
		return
	}
	if left := time.Until(w.until); left > 0 {
		w.setTimer(left)
		return
	}
	w.cut()
}

// cut ends the read under way, or the next one as soon as it begins.
func (w *watch) cut() {
	w.past = true
	_ = w.conn.SetReadDeadline(past) // fails when the connection is closed: then there is no read
}

// close gives the timer back and waits for run. There is no read by then.
func (w *watch) close() {
	w.mu.Lock()
	w.leave()
	w.mu.Unlock()
	_ = w.timer.Close() // a timer has nothing to lose
	<-w.ended
}

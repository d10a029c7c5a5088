package bus

import (
	"context"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// watch ends the reads of a connection that last too long or whose context ends. It has a timer of the kernel (timerfd_create(2)): a deadline of Go's
// own is a timer of the runtime, and in a process that has little to do each of these wakes two more threads about once in a timeout.
type watch struct {
	conn  net.Conn
	timer *os.File
	raw   syscall.RawConn
	take  func(fd uintptr) bool // expired
	set   func(fd uintptr)      // setTime
	ended chan struct{}         // closed when run has returned

	mu    sync.Mutex
	spec  unix.ItimerSpec // for setTime
	until time.Time       // when the read under way ends; zero: there is none
	past  bool            // the connection's own deadline has passed: it was made to
	done  <-chan struct{} // of the context that is looked after; nil: none
	stop  func() bool     // ends looking after it; nil: none
	turn  uint64          // tells contexts apart
}

// newWatch returns nil when the kernel gives no timer.
func newWatch(conn net.Conn) *watch {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil
	}
	w := &watch{conn: conn, timer: os.NewFile(uintptr(fd), "timer"), ended: make(chan struct{})}
	w.take, w.set = w.expired, w.setTime
	if w.raw, err = w.timer.SyscallConn(); err != nil {
		_ = w.timer.Close()
		return nil
	}
	go w.run()
	return w
}

// run lasts until close.
func (w *watch) run() {
	defer close(w.ended)
	for w.raw.Read(w.take) == nil {
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
	w.arm(time.Until(deadline))
	return nil
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
	if w.until.IsZero() {
		return
	}
	if left := time.Until(w.until); left > 0 {
		w.arm(left)
		return
	}
	w.cut()
}

// cut ends the read under way, or the next one as soon as it begins.
func (w *watch) cut() {
	w.past = true
	_ = w.conn.SetReadDeadline(past) // fails when the connection is closed: then there is no read
}

func (w *watch) arm(d time.Duration) {
	w.spec.Value = unix.NsecToTimespec(int64(max(d, time.Nanosecond))) // 0 would stop it
	_ = w.raw.Control(w.set)                                           // fails when the timer is closed
}

func (w *watch) setTime(fd uintptr) { _ = unix.TimerfdSettime(int(fd), 0, &w.spec, nil) }

// expired says false, which means to its caller: wait for that. The runtime is not told of a system call that cannot last.
func (w *watch) expired(fd uintptr) bool {
	var times [8]byte
	_, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&times)), uintptr(len(times)))
	return errno != unix.EAGAIN
}

// close gives the timer back and waits for run. There is no read by then.
func (w *watch) close() {
	w.mu.Lock()
	w.leave()
	w.mu.Unlock()
	_ = w.timer.Close() // a timer has nothing to lose
	<-w.ended
}

package localbroker

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// maxRound is how many connections an attendant reads before it does what follows from what they have brought.
const maxRound = 64

// An attendant that is at work for more than a quarter of busyTime has too much to do: those that bring something get goroutines of their own, which
// other processors can run, and for busyRest none comes back.
const (
	busyTime = 100 * time.Millisecond
	busyRest = time.Second
)

// attendant reads the slow connections of a listener, all on one goroutine. What they bring at the same moment costs one wake-up, and what
// follows from it is done once for all of them. A goroutine for each would be woken on as many processors as there are, only to find
// that there is next to nothing to do.
//
// It waits on an epoll instance of its own, and for that in Go's poller, where the instance counts as readable when there is something in it.
type attendant struct {
	b       *Broker
	ctx     context.Context // of the connections
	begin   sync.Once
	running sync.WaitGroup
	file    *os.File // the epoll instance; nil: there is none
	raw     syscall.RawConn
	seats

	// Of run's goroutine.
	events [maxRound]syscall.EpollEvent
	round  []guest // those that have something
	kept   []*conn // of these, those that go on being attended
	work   work
}

func newAttendant(ctx context.Context, b *Broker) *attendant { return &attendant{b: b, ctx: ctx} }

// started starts the attendant when somebody wants to be attended for the first time. It is false when that failed, mostly for want of a
// descriptor: then all connections have goroutines of their own.
func (a *attendant) started() bool {
	a.begin.Do(func() {
		if a.open() {
			a.running.Go(a.run)
		}
	})
	return a.file != nil
}

func (a *attendant) open() bool {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	_ = syscall.SetNonblock(fd, true) // without it os.File does not wait in Go's poller, as the next call tells
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err != nil || file.SetReadDeadline(time.Time{}) != nil {
		file.Close()
		return false
	}
	a.file, a.raw = file, raw
	return true
}

// close ends the attendant, whose connections have all ended, and waits for it.
func (a *attendant) close() {
	if a.file != nil {
		a.file.Close()
		a.running.Wait()
	}
}

// run attends until the epoll instance is closed.
func (a *attendant) run() {
	for {
		err := a.raw.Read(a.attend)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		_ = a.raw.Control(func(fd uintptr) { a.attend(fd) }) // what has come is no silence, even if nobody had time to look
		a.lookThrough(time.Now())
	}
}

// attend handles what there is. It returns false, which means to its caller: wait until there is more. What comes before the caller waits is
// not missed, because that is reason enough for the poller not to wait.
func (a *attendant) attend(fd uintptr) bool {
	for {
		n := a.poll(int(fd))
		if n > 0 {
			a.serve(a.events[:n], time.Now())
		}
		if n < len(a.events) {
			return false
		}
		runtime.Gosched() // the scheduler hears of none of our system calls, and would let us go on for as long as there is something
	}
}

// poll asks what there is. It does not wait, and so the scheduler need not hear of it; see readNow.
func (a *attendant) poll(fd int) int {
	for {
		n, _, e := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(&a.events[0])), maxRound, 0, 0, 0)
		switch e {
		case 0:
			return int(n)
		case syscall.EINTR: // what there is would be told no more
		default:
			return 0 // not a reason that passes: the descriptor is ours until it is closed
		}
	}
}

// serve reads the connections that have something, and then does what follows.
func (a *attendant) serve(events []syscall.EpollEvent, now time.Time) {
	a.find(events, now)
	tooMuch := a.work.tooMuch(now)
	for _, g := range a.round {
		stays, err := g.c.glance(a.ctx, now)
		if stays && !g.leaves && !tooMuch {
			g.c.in.rest() // what it had for input the next one has
			a.kept = append(a.kept, g.c)
		} else {
			a.handBack(g.c, err)
		}
	}
	clear(a.round) // who ends meanwhile is not held
	a.conclude()
	a.work.spent += time.Since(now)
}

// work is how much an attendant has to do.
type work struct {
	since time.Time
	spent time.Duration // of the time since
	rests atomic.Int64  // until when nobody comes, in nanoseconds of Unix time
}

// tooMuch reports whether it is too much, at the begin of a round.
func (w *work) tooMuch(now time.Time) bool {
	if now.Sub(w.since) > busyTime {
		w.since, w.spent = now, 0
	}
	if w.spent <= busyTime/4 {
		return false
	}
	w.rests.Store(now.Add(busyRest).UnixNano())
	return true
}

// busy reports whether the attendant takes nobody now.
func (a *attendant) busy(now time.Time) bool { return now.UnixNano() < a.work.rests.Load() }

// glance reads what the socket has and handles it, as far as that can be done at once. It reports whether the connection can go on
// being attended; err is why it is over, if it is.
func (c *conn) glance(ctx context.Context, now time.Time) (stays bool, err error) {
	n, err := c.readLazily()
	switch {
	case errors.Is(err, errSlow):
		return true, nil // there was nothing
	case err != nil:
		return false, err
	}
	c.b.stats.bytesIn.Add(uint64(n))
	c.heard = now
	c.rd = c.newReading()
	if c.isFast(n) || c.in.isFull() { // there may be more, and of that nothing is told
		return false, nil
	}
	return c.handleAtOnce(ctx)
}

// conclude does what follows from what the round has brought: first for subscribers, then for those who have brought it.
func (a *attendant) conclude() {
	direct := maxDirect
	for _, c := range a.kept {
		if c.rd != nil {
			c.account()
		}
	}
	for _, c := range a.kept {
		if c.rd != nil {
			direct = c.rd.sink.flush(c.b, direct)
		}
	}
	for _, c := range a.kept {
		if c.rd != nil {
			c.reply()
			c.rd.free()
			c.rd = nil
		}
		a.letGo(c)
	}
	clear(a.kept)
	a.kept = a.kept[:0]
}

// letGo waits for the next input of a connection.
func (a *attendant) letGo(c *conn) {
	c.sock.runs = 0
	c.reads.Store(readsAttended)
	if c.killed() && c.reads.CompareAndSwap(readsAttended, readsOwn) { // kill may have looked before
		a.handBack(c, nil)
	}
}

// handBack gives a connection a goroutine of its own, where it goes on, or ends because of err. The caller owns the reading.
func (a *attendant) handBack(c *conn, err error) {
	a.leave(c)
	c.reads.Store(readsOwn)
	go c.resume(a.ctx, err) // the one that writers counts
}

// join takes a connection from its reader, which reads no more then. It reports whether it did.
func (a *attendant) join(c *conn) bool {
	if !a.started() || c.nc.SetReadDeadline(time.Time{}) != nil {
		return false
	}
	c.armed, c.quiet = false, false
	c.setPatient(false)
	seat := a.sit(c)
	c.reads.Store(readsAttended)
	if err := a.watch(c, seat); err == nil && !c.killed() {
		return true
	}
	if !c.reads.CompareAndSwap(readsAttended, readsOwn) {
		return true // and somebody else has given it back
	}
	a.leave(c)
	return false
}

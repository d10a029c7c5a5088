package localbroker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// maxRound is how many connections an attendant reads before it does what follows from what they have brought.
const maxRound = 64

// What an attendant is told of: each arrival once, and the end.
const arrivals = syscall.EPOLLIN | syscall.EPOLLRDHUP | 1<<31 // EPOLLET, which package syscall has with a sign

// attendant reads many slow connections on one goroutine, where each would otherwise have one of its own. What they bring at the same moment costs
// one wake-up, and what follows from it is done for all of them at once.
//
// It has an epoll instance of its own, and is woken by Go's poller when there is something in it.
type attendant struct {
	b    *Broker
	ctx  context.Context
	file *os.File // the epoll instance
	raw  syscall.RawConn

	events [maxRound]syscall.EpollEvent
	round  []*conn
	kept   []*conn

	mu    sync.Mutex
	seats []seat
	free  []int32
	look  time.Time // when the seats are looked through next; zero: never
}

// seat is the place of an attended connection. What epoll says names seat and turn: an event may be older than who sits there.
type seat struct {
	c     *conn // nil: it is free
	turn  int32
	heard time.Time     // when the last input was handled
	idle  time.Duration // of silence that ends the connection; 0: none does
}

// newAttendant returns nil when the system has no epoll instance left: all connections then have goroutines of their own.
func newAttendant(ctx context.Context, b *Broker) *attendant {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return nil
	}
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err != nil || file.SetReadDeadline(time.Time{}) != nil {
		file.Close()
		return nil
	}
	return &attendant{b: b, ctx: ctx, file: file, raw: raw}
}

// run attends until close.
func (a *attendant) run() {
	for {
		err := a.raw.Read(a.attend)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		a.lookThrough(time.Now())
	}
}

func (a *attendant) close() { a.file.Close() }

// attend handles what there is. It returns false, which means to its caller: wait until there is more. What comes meanwhile is not missed: the
// poller remembers it.
func (a *attendant) attend(fd uintptr) bool {
	for {
		n := a.poll(int(fd))
		if n > 0 {
			a.serve(a.events[:n])
		}
		if n < len(a.events) {
			return false
		}
	}
}

// poll asks what there is, without telling the scheduler, see readNow.
func (a *attendant) poll(fd int) int {
	n, _, e := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(&a.events[0])), maxRound, 0, 0, 0)
	if e != 0 {
		return 0
	}
	return int(n)
}

// serve reads the connections that have something, and then does once what follows.
func (a *attendant) serve(events []syscall.EpollEvent) {
	now := time.Now()
	a.called(events, now)
	for _, c := range a.round {
		if err, stays := c.glance(a.ctx, now); stays {
			a.kept = append(a.kept, c)
		} else {
			a.handBack(c, err)
		}
	}
	a.conclude()
}

// called finds the connections that events are of.
func (a *attendant) called(events []syscall.EpollEvent, now time.Time) {
	a.round = a.round[:0]
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range events {
		s := &a.seats[events[i].Fd]
		if s.c == nil || s.turn != events[i].Pad || !s.c.reads.CompareAndSwap(readsAttended, readsBusy) {
			continue
		}
		s.heard = now
		a.round = append(a.round, s.c)
	}
}

// conclude does what follows from what the round has brought.
func (a *attendant) conclude() {
	for _, c := range a.kept {
		c.commitCollected()
	}
	for _, c := range a.kept {
		c.account()
	}
	direct := maxDirect
	for _, c := range a.kept {
		direct = c.rd.sink.flush(c.b, direct)
	}
	for _, c := range a.kept {
		c.reply()
		c.rd.free()
		c.rd = nil
		c.in.rest()
	}
	for i, c := range a.kept {
		a.letGo(c)
		a.kept[i] = nil
	}
	a.kept = a.kept[:0]
}

// letGo waits for the next input of a connection.
func (a *attendant) letGo(c *conn) {
	c.reads.Store(readsAttended)
	if c.killed() && c.reads.CompareAndSwap(readsAttended, readsOwn) { // kill may have been too early to see that
		a.handBack(c, nil)
	}
}

// handBack gives a connection a goroutine of its own. The caller has the reading.
func (a *attendant) handBack(c *conn, err error) {
	c.reads.Store(readsOwn)
	a.leave(c)
	go c.resume(a.ctx, err)
}

// join takes a connection from its reader. It reports whether it did.
func (a *attendant) join(c *conn) bool {
	if c.nc.SetReadDeadline(time.Time{}) != nil {
		return false
	}
	c.armed, c.quiet = false, false
	ev := a.sit(c)
	c.reads.Store(readsAttended)
	err := a.watch(c, syscall.EPOLL_CTL_ADD, &ev)
	if (err != nil || c.killed()) && c.reads.CompareAndSwap(readsAttended, readsOwn) {
		a.leave(c)
		return false
	}
	return true
}

// sit finds a seat.
func (a *attendant) sit(c *conn) syscall.EpollEvent {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.free) == 0 {
		a.free = append(a.free, int32(len(a.seats)))
		a.seats = append(a.seats, seat{})
	}
	i := a.free[len(a.free)-1]
	a.free = a.free[:len(a.free)-1]
	s := &a.seats[i]
	s.c, s.heard, s.idle = c, c.heard, c.idle
	c.seat = i
	if c.idle > 0 {
		a.lookBy(c.heard.Add(c.idle))
	}
	return syscall.EpollEvent{Events: arrivals, Fd: i, Pad: s.turn}
}

// leave frees the seat of a connection.
func (a *attendant) leave(c *conn) {
	var ev syscall.EpollEvent
	_ = a.watch(c, syscall.EPOLL_CTL_DEL, &ev) // fails on a closed connection only, which is not watched any more
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &a.seats[c.seat]
	s.c = nil
	s.turn++
	a.free = append(a.free, c.seat)
}

func (a *attendant) watch(c *conn, op int, ev *syscall.EpollEvent) (err error) {
	cerr := a.raw.Control(func(epfd uintptr) {
		err = c.sock.raw.Control(func(fd uintptr) { err = syscall.EpollCtl(int(epfd), op, int(fd), ev) })
	})
	if cerr != nil {
		return fmt.Errorf("attend connection: %w", cerr)
	}
	return err
}

// lookBy has the seats looked through when a connection may have been silent for too long. The caller holds mu.
func (a *attendant) lookBy(t time.Time) {
	if a.look.IsZero() || t.Before(a.look) {
		a.look = t
		_ = a.file.SetReadDeadline(t)
	}
}

// lookThrough ends connections that have been silent for too long.
func (a *attendant) lookThrough(now time.Time) {
	a.round = a.round[:0]
	a.mu.Lock()
	var next time.Time
	for i := range a.seats {
		s := &a.seats[i]
		if s.c == nil || s.idle == 0 {
			continue
		}
		due := s.heard.Add(s.idle)
		switch {
		case due.After(now):
			if next.IsZero() || due.Before(next) {
				next = due
			}
		case s.c.reads.CompareAndSwap(readsAttended, readsBusy):
			a.round = append(a.round, s.c)
		}
	}
	if least := now.Add(lookTime); !next.IsZero() && next.Before(least) {
		next = least
	}
	a.look = next
	_ = a.file.SetReadDeadline(next)
	a.mu.Unlock()
	for _, c := range a.round {
		a.handBack(c, errKeepAlive)
	}
}

// lookTime is how long it is at least until the seats are looked through again.
const lookTime = 100 * time.Millisecond

// glance reads what the socket has and handles the packets. It reports whether the connection can go on being attended; err is why
// it is over, if it is.
func (c *conn) glance(ctx context.Context, now time.Time) (err error, stays bool) {
	c.rd = nil
	n, err := c.peekInput()
	d, ok := c.pace.took(now)
	if err != nil || n > smallInput || ok && d < fastPace {
		if n > 0 {
			c.b.stats.bytesIn.Add(uint64(n))
			c.heard = now
			c.rd = c.newReading()
		}
		return err, false
	}
	c.b.stats.bytesIn.Add(uint64(n))
	c.heard = now
	c.rd = c.newReading()
	return c.handleFew(ctx)
}

// peekInput reads once. Nothing read, without an error, means that there was nothing.
func (c *conn) peekInput() (int, error) {
	s := c.sock
	if err := s.raw.Read(s.peek); err != nil {
		return 0, err
	}
	return s.n, s.err
}

// peekOnce reads what the descriptor has, and does not wait.
func (s *socket) peekOnce(fd uintptr) bool {
	for {
		n, err := readNow(int(fd), s.in.space(), true)
		s.n, s.err = max(n, 0), nil
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
		case nil:
			if s.in.w += n; n == 0 {
				s.err = io.EOF
			}
		default:
			s.err = os.NewSyscallError("read", err)
		}
		return true
	}
}

// attendable reports whether the connection is one that an attendant can read.
func (c *conn) attendable() bool {
	_, ok := c.nc.(*net.TCPConn)
	return ok && c.session != nil && c.sock != nil && c.attendant != nil
}

package localbroker

import (
	"net"
	"sync"
	"syscall"
	"time"
)

// What an attendant wants to be told of: whatever arrives, and the end. The last is EPOLLET, which package syscall gives a sign: once, for that costs
// less, and because one that was killed while it took its seat is told of to nobody until it is closed.
const arrivals = syscall.EPOLLIN | syscall.EPOLLRDHUP | 1<<31

// ending is what tells the end.
const ending = syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR

// lookTime is how long it is at least until the seats are looked through again.
const lookTime = 100 * time.Millisecond

// seats are the places of attended connections.
type seats struct {
	mu   sync.Mutex
	all  []seat
	free []int32
	look time.Time // when they are looked through next, for who has been silent for too long; zero: never
}

// seat is the place of one. Events name the seat and its turn, because an event may be older than who sits there.
type seat struct {
	c     *conn // nil: it is free
	turn  int32
	heard time.Time     // when the last input came
	idle  time.Duration // of silence that ends the connection; 0: none does
}

// guest is a connection that has something.
type guest struct {
	c      *conn
	leaves bool // its client has, or the network
}

// find puts the connections that events are of into the round.
func (a *attendant) find(events []syscall.EpollEvent, now time.Time) {
	a.round = a.round[:0]
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range events {
		e := &events[i]
		s := &a.all[e.Fd]
		if s.turn == e.Pad && s.c.reads.CompareAndSwap(readsAttended, readsBusy) {
			s.heard = now
			a.round = append(a.round, guest{s.c, e.Events&ending != 0})
		}
	}
}

// sit finds a seat for a connection, and returns the event that names it.
func (a *attendant) sit(c *conn) *syscall.EpollEvent {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.free) == 0 {
		a.free = append(a.free, int32(len(a.all)))
		a.all = append(a.all, seat{})
	}
	c.seat = a.free[len(a.free)-1]
	a.free = a.free[:len(a.free)-1]
	s := &a.all[c.seat]
	s.c, s.heard, s.idle = c, c.heard, c.idle
	if due := s.heard.Add(s.idle); s.idle > 0 && (a.look.IsZero() || due.Before(a.look)) {
		a.lookAt(due)
	}
	return &syscall.EpollEvent{Events: arrivals, Fd: c.seat, Pad: s.turn}
}

// watch begins to tell of a connection.
func (a *attendant) watch(c *conn, seat *syscall.EpollEvent) error {
	return a.control(c, syscall.EPOLL_CTL_ADD, seat)
}

// leave ends that, and frees the seat.
func (a *attendant) leave(c *conn) {
	_ = a.control(c, syscall.EPOLL_CTL_DEL, nil) // fails on a closed connection only, of which nothing more is told
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &a.all[c.seat]
	*s = seat{turn: s.turn + 1}
	a.free = append(a.free, c.seat)
}

// control calls epoll_ctl(2) while neither descriptor can be closed.
func (a *attendant) control(c *conn, op int, seat *syscall.EpollEvent) error {
	err := net.ErrClosed // one of them is
	_ = a.raw.Control(func(epfd uintptr) {
		_ = c.sock.raw.Control(func(fd uintptr) {
			err = syscall.EpollCtl(int(epfd), op, int(fd), seat)
		})
	})
	return err
}

// lookAt has the seats looked through at a time, zero: never. The caller holds mu.
func (a *attendant) lookAt(t time.Time) {
	a.look = t
	_ = a.file.SetReadDeadline(t) // fails when the attendant is closed only
}

// lookThrough ends the connections that have been silent for too long.
func (a *attendant) lookThrough(now time.Time) {
	for _, g := range a.silent(now) {
		a.handBack(g.c, errKeepAlive)
	}
	clear(a.round)
}

// silent returns them, and has the seats looked through again when the next may be.
func (a *attendant) silent(now time.Time) []guest {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.round = a.round[:0]
	var next time.Time
	for i := range a.all {
		s := &a.all[i]
		if s.idle == 0 { // or it is free
			continue
		}
		due := s.heard.Add(s.idle)
		if !now.Before(due) && s.c.reads.CompareAndSwap(readsAttended, readsBusy) {
			a.round = append(a.round, guest{c: s.c})
			continue
		}
		if next.IsZero() || due.Before(next) { // it may be over for one that is only about to be attended
			next = due
		}
	}
	if soonest := now.Add(lookTime); !next.IsZero() && next.Before(soonest) {
		next = soonest
	}
	a.lookAt(next)
	return a.round
}

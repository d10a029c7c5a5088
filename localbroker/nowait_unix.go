//go:build unix

package localbroker

import (
	"io"
	"net"
	"os"
	"syscall"
)

// fewReads is how many reads in a row, none of which had to wait, are few. What a connection has then sent is more than a message now and then.
const fewReads = 4

// socket reads and writes a connection's socket without the waiting of net.Conn, and without a buffer while there is nothing to read.
type socket struct {
	raw     syscall.RawConn
	in      *inbuf
	take    func(fd uintptr) bool // readOnce
	patient bool                  // a read waits until there is something; else it fails with errSlow
	runs    int                   // reads since there was nothing to read
	n       int
	err     error
}

// grasp takes hold of the socket of a connection that is one. What lies above one, TLS or WebSocket, is not.
func (c *conn) grasp() {
	var sc syscall.Conn
	switch nc := c.nc.(type) {
	case *net.TCPConn:
		sc = nc
	case *net.UnixConn:
		sc, c.attendant = nc, nil // whose reads may end before all that there is
	default:
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return // it works without
	}
	c.sock = &socket{raw: raw, in: &c.in, patient: true}
	c.sock.take = c.sock.readOnce
	c.in.lazy = true
}

// swift reports whether c can be written to without waiting.
func (c *conn) swift() bool { return c.sock != nil }

// readLazily waits until there is something to read, and takes a buffer only then.
func (c *conn) readLazily() (int, error) {
	s := c.sock
	if err := s.raw.Read(s.take); err != nil {
		return 0, err
	}
	return s.n, s.err
}

// few reports whether the next read is one of a few.
func (s *socket) few() bool { return s.runs < fewReads }

// readOnce reads what the descriptor has. It returns false, which means to its caller: wait until there is more.
func (s *socket) readOnce(fd uintptr) bool {
	for {
		n, err := readNow(int(fd), s.in.space(), s.few())
		s.runs++
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			s.runs = 0
			s.in.rest()
			s.n, s.err = 0, errSlow
			return !s.patient
		case nil:
			s.in.w += n
			s.n, s.err = n, nil
		default:
			s.n, s.err = 0, os.NewSyscallError("read", err)
		}
		if n == 0 {
			s.err = io.EOF
		}
		return true
	}
}

// writeOnce is one write that does not wait. take is made once for each that the pool holds, so that a write allocates nothing.
type writeOnce struct {
	b    []byte
	n    int
	take func(fd uintptr) bool
}

// try writes to the descriptor what it takes at once. It returns true, which means to its caller: do not wait.
func (a *writeOnce) try(fd uintptr) bool {
	for {
		n, err := writeNow(int(fd), a.b)
		if err != syscall.EINTR {
			a.n = max(n, 0)
			return true
		}
	}
}

// writeNow writes as much of b as the socket takes at once, and returns how much that is. Errors are left to the write that waits.
func (c *conn) writeNow(a *writeOnce, b []byte) int {
	if c.sock == nil || len(b) == 0 {
		return 0
	}
	if a.take == nil {
		a.take = a.try
	}
	a.b, a.n = b, 0
	_ = c.sock.raw.Write(a.take)
	a.b = nil
	return a.n
}

// setPatient says whether a read waits until there is something.
func (c *conn) setPatient(patient bool) {
	if c.sock != nil {
		c.sock.patient = patient
	}
}

// attendable reports whether the connection is one that an attendant may read.
func (c *conn) attendable() bool { return c.sock != nil && c.session != nil && c.attendant != nil }

package bus

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is the socket of a TCP connection, read and written without waiting in a system call. As none of these calls can last, the runtime is
// not told of them: that would wake its monitor, another thread, for each of them in a process that has little to do.
type socket struct {
	raw              syscall.RawConn
	p                []byte // what is to be read into, or written
	flags            uintptr
	n                int
	errno            syscall.Errno
	reading, writing func(fd uintptr) bool // receive and send
	looking          func(fd uintptr)
}

// newSocket returns nil for what is not a bare TCP connection.
func newSocket(conn net.Conn) *socket {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil // it works without
	}
	s := &socket{raw: raw}
	s.reading, s.writing = s.receive, s.send
	s.looking = func(fd uintptr) { s.receive(fd) }
	return s
}

// receive says false when nothing has come, which means to its caller: wait.
func (s *socket) receive(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(s.p))), uintptr(len(s.p)), unix.MSG_DONTWAIT|s.flags, 0, 0)
		if errno != unix.EINTR {
			s.n, s.errno = int(n), errno
			return errno != unix.EAGAIN
		}
	}
}

// send says true, which means to its caller: do not wait.
func (s *socket) send(fd uintptr) bool {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(s.p))), uintptr(len(s.p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if s.n = int(n); errno != 0 {
		s.n = 0
	}
	return true
}

// read waits for at least one byte, until the connection's deadline.
func (s *socket) read(p []byte) (int, error) {
	s.p, s.flags = p, 0
	err := s.raw.Read(s.reading)
	return s.result(err)
}

// take returns what has come, without waiting for more, or EAGAIN; with MSG_PEEK in flags it leaves it there.
func (s *socket) take(p []byte, flags uintptr) (int, error) {
	s.p, s.flags = p, flags
	err := s.raw.Control(s.looking)
	return s.result(err)
}

func (s *socket) result(err error) (int, error) {
	s.p = nil
	switch {
	case err != nil:
		return 0, err
	case s.errno != 0:
		return 0, os.NewSyscallError("read", s.errno)
	case s.n == 0:
		return 0, io.EOF
	}
	return s.n, nil
}

// write sends as much of p as there is room for. Errors are left to the write that waits.
func (s *socket) write(p []byte) int {
	s.p, s.n = p, 0
	_ = s.raw.Write(s.writing)
	s.p = nil
	return s.n
}

package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// keepAlive finds a peer that vanished while nothing was asked of it: after 15 s of idleness, three probes 5 s apart.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// dialReason says in words what a failed connection means at the other end.
func dialReason(err error) error {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: the host is there but nothing listens on this port", syscall.ECONNREFUSED)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fmt.Errorf("%w: is the device switched on and in this network?", err)
	case certificateReason(err) != nil:
		return certificateReason(err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return errNoReply
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err // the address is named already
	}
	return err
}

// connReason leaves out the addresses, of which one is new with each connection.
func connReason(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errTimeout
	case errors.Is(err, io.EOF):
		return errHungUp
	case errors.Is(err, syscall.ECONNREFUSED): // a datagram came back
		return fmt.Errorf("%w: the host is there but nothing listens on this port", syscall.ECONNREFUSED)
	case errors.As(err, &op):
		return op.Err
	}
	return err
}

// tcpLink is a network connection.
type tcpLink struct {
	conn  net.Conn
	sock  *socket // of a bare TCP connection; else nil
	watch *watch  // of sock's reads; nil: the connection's own deadlines end them
	look  [1]byte // for standing
}

func newTCPLink(conn net.Conn) *tcpLink {
	l := &tcpLink{conn: conn, sock: newSocket(conn)}
	if l.sock != nil {
		l.watch = newWatch(conn)
	}
	return l
}

// past is a deadline that lets a blocked read return.
var past = time.Unix(1, 0)

func (l *tcpLink) read(ctx context.Context, p []byte, deadline time.Time) (int, error) {
	conn := l.conn
	if conn == nil {
		return 0, errClosed
	}
	if _, secured := conn.(*tls.Conn); !secured && !deadline.After(time.Now()) {
		return l.take(p)
	}
	if l.watch != nil {
		return l.watched(ctx, p, deadline)
	}
	if err := conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(past) })
	n, err := l.wait(p)
	if !stop() {
		return 0, ctx.Err()
	}
	return n, connReason(err)
}

// watched is read with a deadline that the watch sees to.
func (l *tcpLink) watched(ctx context.Context, p []byte, deadline time.Time) (int, error) {
	if err := l.watch.begin(ctx, deadline); err != nil {
		return 0, err
	}
	n, err := l.sock.read(p)
	l.watch.end()
	if err != nil && ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return n, connReason(err)
}

// wait waits for at least one byte, until the deadline of the connection.
func (l *tcpLink) wait(p []byte) (int, error) {
	if l.sock != nil {
		return l.sock.read(p)
	}
	return l.conn.Read(p)
}

func (l *tcpLink) write(p []byte, deadline time.Time) error {
	if l.conn == nil {
		return errClosed
	}
	if l.sock != nil {
		if p = p[l.sock.write(p):]; len(p) == 0 {
			return nil
		}
	}
	if err := l.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	_, err := l.conn.Write(p)
	return connReason(err)
}

func (l *tcpLink) pause(ctx context.Context, d time.Duration) error { return pause(ctx, d) }

// purge has nothing to do: a connection is closed after an error.
func (l *tcpLink) purge() error { return nil }

// standing looks for the end of the stream without taking data, so that a connection which the device closed while idle is
// replaced before a request is lost on it.
func (l *tcpLink) standing() bool {
	if l.conn == nil {
		return false
	}
	if l.sock != nil {
		_, err := l.sock.take(l.look[:], syscall.MSG_PEEK)
		return err == nil || errors.Is(err, syscall.EAGAIN)
	}
	waiting, up := 0, true
	if err := l.control(func(fd uintptr) { waiting, up = peek(int(fd)) }); err != nil {
		return false
	}
	if secured, ok := l.conn.(*tls.Conn); ok && waiting > 0 {
		return l.alive(secured)
	}
	return up
}

// take returns what has arrived without waiting for more. A net.Conn with a deadline in the past would not look.
func (l *tcpLink) take(p []byte) (n int, err error) {
	if l.sock != nil {
		if n, err = l.sock.take(p, 0); errors.Is(err, syscall.EAGAIN) {
			err = errTimeout
		}
		return n, connReason(err)
	}
	err = syscall.EAGAIN
	cerr := l.control(func(fd uintptr) { n, _, err = syscall.Recvfrom(int(fd), p, syscall.MSG_DONTWAIT) })
	switch {
	case cerr != nil:
		return 0, connReason(cerr)
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return 0, errTimeout
	case err != nil:
		return 0, connReason(err)
	case n == 0 && len(p) > 0:
		return 0, connReason(io.EOF)
	}
	return n, nil
}

// control calls f with the descriptor below all layers.
func (l *tcpLink) control(f func(fd uintptr)) error {
	conn := l.conn
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return nil // a connection without descriptor, in a test
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(f)
}

func (l *tcpLink) close() error {
	if l.conn == nil {
		return errClosed
	}
	conn := l.conn
	l.conn = nil
	if l.watch != nil {
		l.watch.close()
	}
	return conn.Close()
}

// peek returns how many bytes wait on fd, at most 1, and whether its stream goes on.
func peek(fd int) (waiting int, up bool) {
	var b [1]byte
	n, _, err := syscall.Recvfrom(fd, b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	if err != nil {
		return 0, errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR)
	}
	return n, n > 0
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

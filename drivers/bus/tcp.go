package bus

import (
	"context"
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

// newDialer returns a function that connects to endpoint.
func newDialer(endpoint string, timeout time.Duration) func(context.Context) (link, error) {
	d := &net.Dialer{Timeout: timeout, KeepAliveConfig: keepAlive}
	return func(ctx context.Context) (link, error) {
		conn, err := d.DialContext(ctx, "tcp", endpoint)
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", endpoint, dialReason(err))
		}
		return &tcpLink{conn: conn}, nil
	}
}

// dialReason says in words what a failed connection means at the other end.
func dialReason(err error) error {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: the host is there but nothing listens on this port", syscall.ECONNREFUSED)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fmt.Errorf("%w: is the device switched on and in this network?", err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("no answer to the connection request: is the device switched on, does a firewall stand between?")
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
		return errors.New("the device closed the connection")
	case errors.As(err, &op):
		return op.Err
	}
	return err
}

// tcpLink is a TCP connection.
type tcpLink struct{ conn net.Conn }

// past is a deadline that lets a blocked read return.
var past = time.Unix(1, 0)

func (l *tcpLink) read(ctx context.Context, p []byte, deadline time.Time) (int, error) {
	conn := l.conn
	if conn == nil {
		return 0, errClosed
	}
	if err := conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(past) })
	n, err := conn.Read(p)
	if !stop() {
		return 0, ctx.Err()
	}
	return n, connReason(err)
}

func (l *tcpLink) write(p []byte, deadline time.Time) error {
	if l.conn == nil {
		return errClosed
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
	conn, ok := l.conn.(syscall.Conn)
	if !ok {
		return l.conn != nil
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	up := false
	err = raw.Control(func(fd uintptr) { up = peek(int(fd)) })
	return err == nil && up
}

func (l *tcpLink) close() error {
	if l.conn == nil {
		return errClosed
	}
	conn := l.conn
	l.conn = nil
	return conn.Close()
}

// peek reports whether the stream of fd goes on.
func peek(fd int) bool {
	var b [1]byte
	n, _, err := syscall.Recvfrom(fd, b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	if err != nil {
		return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR)
	}
	return n > 0
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

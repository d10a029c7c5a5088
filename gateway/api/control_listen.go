package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ControlSocket is the name of the control socket in the data folder.
const ControlSocket = "control.sock"

// maxSocketPath is the longest path that an address of a unix socket has room for (sun_path, with its end).
const maxSocketPath = 107

// controlListener removes its socket when it is closed.
type controlListener struct {
	net.Listener
	path string
	once sync.Once
}

// ListenControl makes the socket at path, which only this user may open. A socket that nobody answers on, left behind by a crash, is
// replaced: call it when the data folder is locked. Closing the listener removes the socket.
func ListenControl(path string) (net.Listener, error) {
	l, err := bindControl(path)
	if errors.Is(err, unix.EADDRINUSE) {
		if err = removeStale(path); err == nil {
			l, err = bindControl(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listen on the control socket %s: %w", path, err)
	}
	return &controlListener{Listener: l, path: path}, nil
}

// Close closes the listener and removes the socket.
func (l *controlListener) Close() error {
	l.once.Do(func() { _ = os.Remove(l.path) }) // before the end, so that nobody finds a socket without an answer
	return l.Listener.Close()
}

// bindControl sets the socket's mode before it has a name: between a bind and a later chmod others could open it.
func bindControl(path string) (net.Listener, error) {
	short, done, err := shortPath(path)
	if err != nil {
		return nil, err
	}
	defer done()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var chmodErr error
		err := c.Control(func(fd uintptr) { chmodErr = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, chmodErr)
	}}
	l, err := lc.Listen(context.Background(), "unix", short)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // it would remove short, which may name nothing by then
	return l, nil
}

// removeStale removes a socket that nobody listens on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("there is a file of this name that is no socket: move it away")
	}
	c, err := dialControl(context.Background(), path)
	switch {
	case err == nil:
		_ = c.Close()
		return fmt.Errorf("another gateway answers there: stop it, or name another data folder")
	case errors.Is(err, unix.ECONNREFUSED):
		return os.Remove(path)
	}
	return err
}

// dialTimeout bounds a connect: it waits only when the backlog of a gateway that hangs is full.
const dialTimeout = 5 * time.Second

func dialControl(ctx context.Context, path string) (net.Conn, error) {
	short, done, err := shortPath(path)
	if err != nil {
		return nil, err
	}
	defer done()
	d := net.Dialer{Timeout: dialTimeout}
	return d.DialContext(ctx, "unix", short)
}

// shortPath returns a name for path that fits into an address, valid until done is called.
func shortPath(path string) (short string, done func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { _ = dir.Close() }, nil
}

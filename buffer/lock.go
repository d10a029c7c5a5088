package buffer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Errors that Open wraps, so that its caller can tell them apart. Their text says what to do.
var (
	ErrInUse   = errors.New("it is in use")
	ErrNewer   = errors.New("it was written by a newer version")
	ErrForeign = errors.New("it is not a buffer of this gateway")
	ErrDamaged = errors.New("it is damaged")
)

// lockFile takes the lock that keeps a second process, and a second gateway in this one, off the database at path. It is on a file
// beside it, since SQLite's own locks on the database are lost when any descriptor of it is closed in the same process.
func lockFile(path string) (*os.File, error) {
	name := path + ".lock"
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o640)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("folder %s does not exist: create it, or name another one", filepath.Dir(path))
	case errors.Is(err, unix.EROFS):
		return nil, fmt.Errorf("folder %s cannot be written: its disk is mounted read-only (%w); the kernel does that to a card that fails (dmesg tells); "+
			"mount it with -o remount,rw, or name a folder on another disk", filepath.Dir(path), err)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("folder %s cannot be written by user %d (%w): give it to that user, or name another one",
			filepath.Dir(path), os.Geteuid(), err)
	case err != nil:
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder := lockHolder(f)
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w by %s: stop that one, or name another data folder", ErrInUse, holder)
		}
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	// The number only serves the message above: without it the lock holds as well.
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return f, nil
}

// unlock gives the lock back and closes its file. Closing alone is not enough: a program that this process is just starting has the descriptor
// too until it is executed, and with it the lock.
func unlock(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

// lockHolder tells who holds the lock, as far as its file says.
func lockHolder(f *os.File) string {
	text, err := io.ReadAll(io.LimitReader(f, 32))
	pid := strings.TrimSpace(string(text))
	if err != nil || pid == "" {
		return "another process"
	}
	return "process " + pid
}

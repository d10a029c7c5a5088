package sim

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ptsFolder is where the kernel puts the slave sides of pseudo terminals.
const ptsFolder = "/dev/pts/"

// idleWait is how long nothing is received or sent before an exclusive use of the port is taken to be over.
const idleWait = time.Second

// PTY is a pseudo terminal in raw mode, whose slave side programs open like a serial port. It holds its own slave side open, so that
// a program that closes the port does not hang up the line for the next one.
type PTY struct {
	path, link string
	master     int // non-blocking
	slave      int
	stopped    int // eventfd, readable once stop was called

	mu     sync.Mutex // keeps stop from a descriptor that Close has given back
	closed bool
}

// OpenPTY makes a pseudo terminal and, unless link is empty, a symbolic link to its slave side, so that the port has a
// name that does not change. A link that a simulation left behind is replaced; a file, a link to somewhere else and the link of a
// simulation that still runs are not.
func OpenPTY(link string) (*PTY, error) {
	p, err := newPTY()
	if err != nil {
		return nil, fmt.Errorf("open pty: %w", err)
	}
	if link == "" {
		return p, nil
	}
	if err := makeLink(p.path, link); err != nil {
		return nil, errors.Join(fmt.Errorf("link pty: %w", err), p.Close())
	}
	p.link = link
	return p, nil
}

func newPTY() (_ *PTY, err error) {
	p := &PTY{master: -1, slave: -1, stopped: -1}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.closeDescriptors())
		}
	}()
	if p.master, err = unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("/dev/ptmx: %w", err)
	}
	if err = unix.IoctlSetPointerInt(p.master, unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlock slave side: %w", err)
	}
	number, err := unix.IoctlGetInt(p.master, unix.TIOCGPTN)
	if err != nil {
		return nil, fmt.Errorf("number of slave side: %w", err)
	}
	p.path = ptsFolder + strconv.Itoa(number)
	if p.slave, err = unix.Open(p.path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("%s: %w", p.path, err)
	}
	if err = makeRaw(p.slave); err != nil {
		return nil, fmt.Errorf("raw mode of %s: %w", p.path, err)
	}
	if err = claim(p.slave); err != nil {
		return nil, fmt.Errorf("lock %s: %w", p.path, err)
	}
	if p.stopped, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return p, nil
}

// makeRaw switches off everything that the terminal would do to the bytes, as cfmakeraw(3).
func makeRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// Path returns the slave side's own name, /dev/pts/N.
func (p *PTY) Path() string { return p.path }

// Port returns the name to give to a master: the link if there is one, else the slave side's own.
func (p *PTY) Port() string {
	if p.link != "" {
		return p.link
	}
	return p.path
}

// Close removes the link, if it still leads here, and hangs up the line: a program that has the port open gets EIO. A
// Slave's Run must have returned. A second Close does nothing.
func (p *PTY) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	var err error
	if target, readErr := os.Readlink(p.link); readErr == nil && target == p.path {
		err = os.Remove(p.link)
	}
	return errors.Join(err, p.closeDescriptors())
}

func (p *PTY) closeDescriptors() error {
	var err error
	for _, fd := range []int{p.master, p.slave, p.stopped} {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
	}
	return err
}

func (p *PTY) readUntil(buf []byte, deadline time.Time) (int, error) {
	fds := []unix.PollFd{{Fd: int32(p.master), Events: unix.POLLIN}, {Fd: int32(p.stopped), Events: unix.POLLIN}}
	for {
		ready, err := unix.Ppoll(fds, untilTimeout(deadline), nil)
		switch {
		case errors.Is(err, unix.EINTR): // the Go runtime preempts by signal
			continue
		case err != nil:
			return 0, fmt.Errorf("poll: %w", err)
		case ready == 0 && deadline.IsZero():
			p.release()
			continue
		case ready == 0:
			return 0, nil
		case fds[1].Revents != 0:
			return 0, errStopped
		}
		n, err := unix.Read(p.master, buf)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		return max(n, 0), err
	}
}

// untilTimeout gives a deadline as the timeout of ppoll; without one it is idleWait.
func untilTimeout(deadline time.Time) *unix.Timespec {
	wait := idleWait
	if !deadline.IsZero() {
		wait = max(time.Until(deadline), 0)
	}
	ts := unix.NsecToTimespec(int64(wait))
	return &ts
}

// release ends the exclusive use (TIOCEXCL) that serial libraries ask for. The kernel forgets it with the last close, but as the simulation
// has the port open too, a program killed with -9 would leave it in place, and nobody but root could open the port again.
func (p *PTY) release() {
	// It fails only on what is no terminal.
	_ = unix.IoctlSetInt(p.slave, unix.TIOCNXCL, 0)
}

func (p *PTY) write(data []byte) (int, error) {
	for {
		n, err := unix.Write(p.master, data)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN): // nobody reads; a wire would not wait either
			return 0, nil
		}
		return max(n, 0), err
	}
}

func (p *PTY) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	// The eventfd's counter cannot overflow here, and that is its only way to fail.
	_, _ = unix.Write(p.stopped, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

func (p *PTY) clear() {
	var counter [8]byte
	_, _ = unix.Read(p.stopped, counter[:]) // EAGAIN: it was not set
}

// makeLink makes link a symbolic link to path.
func makeLink(path, link string) error {
	if err := removeStaleLink(link); err != nil {
		return err
	}
	return os.Symlink(path, link)
}

// removeStaleLink removes what a simulation that was killed has left in the place of a link, and nothing else.
func removeStaleLink(link string) error {
	info, err := os.Lstat(link)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSymlink == 0 {
		return fmt.Errorf("%s exists and is not a link of a simulation: choose another name or remove it", link)
	}
	target, err := os.Readlink(link)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(target, ptsFolder) {
		return fmt.Errorf("%s is a link to %s and not one of a simulation: choose another name or remove it", link, target)
	}
	if claimed(target) {
		return fmt.Errorf("%s leads to %s, which another simulation serves: stop that or choose another name", link, target)
	}
	return os.Remove(link)
}

// claim marks a terminal as served by a simulation until its descriptor is closed, be it by kill -9. The numbers of terminals are used
// again soon, so that a link alone does not tell whether a simulation is still behind it. The lock is one of the descriptor's
// (F_OFD_SETLK); it is not in the way of the flock(2) with which programs share serial ports.
func claim(fd int) error {
	return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
}

// claimed tells whether a simulation serves the terminal.
func claimed(path string) bool {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	lock := unix.Flock_t{Type: unix.F_RDLCK}
	return unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &lock) == nil && lock.Type != unix.F_UNLCK
}

// sharpenTimers keeps the goroutine on its thread and has the kernel wake that on time instead of up to 50 us later. The function that
// it returns undoes both.
func sharpenTimers() (restore func()) {
	runtime.LockOSThread()
	// Without it waits are only less exact.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	return func() {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // 0: the thread's default
		runtime.UnlockOSThread()
	}
}

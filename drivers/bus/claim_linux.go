package bus

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// claim makes this bus the one owner of the port: a lock on its node, which every path to it shares. The library's TIOCEXCL is not
// enough, because root may open the port all the same. O_NONBLOCK keeps the opening from waiting for a carrier.
func claim(path string) (*os.File, error) {
	fd, err := openNode(path)
	if err != nil {
		return nil, nodeReason(path, err)
	}
	_ = unix.SetNonblock(fd, false) // else the runtime would watch the node, and wake for each character
	node := os.NewFile(uintptr(fd), path)
	if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
		_ = node.Close()
		return nil, errors.New("not a serial port: use a device such as those under /dev/serial/by-id")
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = node.Close()
		return nil, nodeReason(path, err)
	}
	return node, nil
}

// release gives up what claim got. Closing alone is not enough: a program that this process is just starting has the descriptor too until
// it is executed, and with it the lock.
func release(node *os.File) error {
	return errors.Join(unix.Flock(int(node.Fd()), unix.LOCK_UN), node.Close())
}

func openNode(path string) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// nodeReason says what a technician can do about a port that cannot be opened.
func nodeReason(path string, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("no such device: is the adapter plugged in? (ls /dev/serial/by-id shows those that are)")
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("permission denied: add the user to group %s", groupOf(path))
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EWOULDBLOCK):
		return fmt.Errorf("in use by another bus or program, and a port has one owner (fuser -v %s shows it)", path)
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EIO):
		return fmt.Errorf("%w: the device node is there but no hardware answers: is the adapter still plugged in?", err)
	case errors.Is(err, unix.EISDIR):
		return errors.New("this is a directory: use the name of a device in it")
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return fmt.Errorf("%w: raise LimitNOFILE or lower the number of connections", err)
	}
	return err
}

// portReason is nodeReason for the library's errors, whose own text does not name the cause.
func portReason(path string, err error) error {
	var port *serial.PortError
	if errors.As(err, &port) {
		switch port.Code() {
		case serial.PortBusy:
			return nodeReason(path, unix.EBUSY)
		case serial.PermissionDenied:
			return nodeReason(path, unix.EACCES)
		}
	}
	return nodeReason(path, err)
}

// readReason explains what a port that was open says when its adapter is pulled out.
func readReason(err error) error {
	var port *serial.PortError
	if errors.As(err, &port) && port.Code() == serial.PortClosed || errors.Is(err, unix.EIO) || errors.Is(err, unix.ENXIO) {
		return errors.New("the port is gone: was the adapter unplugged?")
	}
	return err
}

// groupOf names the group that may use the node; Debian's is dialout.
func groupOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "dialout"
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Gid == 0 {
		return "dialout"
	}
	g, err := user.LookupGroupId(strconv.FormatUint(uint64(st.Gid), 10))
	if err != nil {
		return strconv.FormatUint(uint64(st.Gid), 10)
	}
	return g.Name
}

// checkSpeed compares the rate that the driver has really set with the one asked for: an adapter that cannot do a rate takes another
// one and says nothing.
func checkSpeed(node *os.File, baud int) error {
	t, err := unix.IoctlGetTermios(int(node.Fd()), unix.TCGETS2)
	if err != nil {
		return nil // not every driver tells
	}
	return speedError(baud, int(t.Ospeed))
}

// speedError allows the 3 % that a receiver tolerates.
func speedError(want, got int) error {
	if diff := max(want-got, got-want); diff*100 > want*3 {
		return fmt.Errorf("the port cannot do %d baud, it runs at %d: choose another rate", want, got)
	}
	return nil
}

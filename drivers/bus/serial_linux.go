package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// maxSlice is the longest that a read waits without looking at its context. The library's port cannot be woken without closing it,
// and closing it under a reader could let the reader take bytes from a foreign file.
const maxSlice = 50 * time.Millisecond

// openAttempts is how often a port is opened that got descriptors which select(2) cannot handle.
const openAttempts = 3

// serialOpener opens one port, again and again.
type serialOpener struct {
	path    string
	mode    Mode
	rs485   RS485
	reserve reserve
	open    func(string, *serial.Mode) (serial.Port, error)
}

// newSerialOpener returns a function that opens the port at path.
func newSerialOpener(path string, mode Mode, rs485 RS485) func(context.Context) (link, error) {
	o := &serialOpener{path: path, mode: mode, rs485: rs485, open: serial.Open}
	return func(context.Context) (link, error) {
		l, err := o.openLink()
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
		return l, nil
	}
}

// openLink makes this process the owner of the port, opens it and checks that it runs as it was told to.
func (o *serialOpener) openLink() (*serialLink, error) {
	o.reserve.fill()
	defer o.reserve.fill()
	o.reserve.release(perLock)
	node, err := claim(o.path)
	if err != nil {
		return nil, err
	}
	if o.rs485.Mode == RS485Kernel {
		if err := switchByKernel(node, o.rs485); err != nil {
			_ = release(node)
			return nil, err
		}
	}
	port, err := o.openPort()
	if err != nil {
		_ = release(node)
		return nil, err
	}
	l := &serialLink{port: port, node: node, mode: o.mode, freed: o.reserve.fill}
	l.transmitter, err = newTransmitter(o.rs485, port)
	if err := errors.Join(err, checkSpeed(node, o.mode.Baud), l.purge()); err != nil {
		_ = l.close()
		return nil, err
	}
	return l, nil
}

// openPort opens the port with descriptors that the library can wait on.
func (o *serialOpener) openPort() (serial.Port, error) {
	for range openAttempts {
		o.reserve.release(perPort)
		port, err := o.open(o.path, o.mode.native())
		if err != nil {
			return nil, portReason(o.path, err)
		}
		if selectable(port) {
			return port, nil
		}
		_ = port.Close()
		o.reserve.fill()
	}
	return nil, fmt.Errorf("all file descriptors below %d are in use, and a serial port needs %d of them: lower the number of connections",
		unix.FD_SETSIZE, perPort)
}

// native returns the mode in the library's terms. InitialStatusBits stay unset: a pty and some adapters have no modem lines, and
// refuse to open when asked to set them.
func (m Mode) native() *serial.Mode {
	n := &serial.Mode{BaudRate: m.Baud, DataBits: m.DataBits}
	switch m.Parity {
	case ParityEven:
		n.Parity = serial.EvenParity
	case ParityOdd:
		n.Parity = serial.OddParity
	}
	if m.StopBits == 2 {
		n.StopBits = serial.TwoStopBits
	}
	return n
}

// selectable reports whether the port's descriptors are low enough for select(2), in the one way that the library leaves: a read
// that does not wait either returns or panics.
func selectable(p serial.Port) (ok bool) {
	defer func() { ok = recover() == nil }()
	var b [1]byte
	_ = p.SetReadTimeout(0)
	_, _ = p.Read(b[:]) // a byte from before the opening is no loss, and an error will show again at the first use
	return true
}

// serialLink is an open serial port. The library goes on using its descriptor after Close, so the port is forgotten when it is closed.
type serialLink struct {
	port  serial.Port
	node  *os.File // our own descriptor of the node, which holds the lock
	freed func()   // called when the descriptors are free again; may be nil
	mode  Mode
	// transmitter is switched for each request; nil when the adapter or the kernel does that.
	transmitter *transmitter
}

// read turns the library's silent timeout (0, nil) into errTimeout, and repeats what a signal interrupted.
func (l *serialLink) read(ctx context.Context, p []byte, deadline time.Time) (int, error) {
	for {
		if l.port == nil {
			return 0, errClosed
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		left := max(0, time.Until(deadline))
		if err := l.port.SetReadTimeout(min(left, maxSlice)); err != nil {
			return 0, err
		}
		n, err := l.port.Read(p)
		switch {
		case n > 0:
			return n, nil
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, readReason(err)
		case !deadline.After(time.Now()): // it was looked at until now
			return 0, errTimeout
		}
	}
}

// write sends all of p: the library's Write may send a part, and fails when a signal interrupts it. There is no deadline to set; what
// a conversation sends fits into the kernel's buffer, which purge empties after each failure, so that it does not block.
func (l *serialLink) write(p []byte, _ time.Time) error {
	if l.port != nil && l.transmitter != nil {
		return l.transmit(p)
	}
	return l.send(p)
}

func (l *serialLink) send(p []byte) error {
	for len(p) > 0 {
		if l.port == nil {
			return errClosed
		}
		n, err := l.port.Write(p)
		p = p[max(n, 0):]
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return readReason(err)
		case n <= 0:
			return io.ErrShortWrite
		}
	}
	return nil
}

// pause waits more precisely than Go's timers do, which round up to the millisecond: half a frame at 115200 baud.
func (l *serialLink) pause(ctx context.Context, d time.Duration) error {
	const fine = 5 * time.Millisecond
	end := time.Now().Add(d)
	if err := pause(ctx, d-fine); err != nil {
		return err
	}
	for left := time.Until(end); left > 0; left = time.Until(end) {
		ts := unix.NsecToTimespec(left.Nanoseconds())
		if err := unix.Nanosleep(&ts, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("sleep: %w", err)
		}
	}
	return nil
}

// purge empties the kernel's buffers in both directions.
func (l *serialLink) purge() error {
	if l.port == nil {
		return errClosed
	}
	if err := l.port.ResetOutputBuffer(); err != nil {
		return readReason(err)
	}
	if err := l.port.ResetInputBuffer(); err != nil {
		return readReason(err)
	}
	return nil
}

func (l *serialLink) standing() bool { return l.port != nil }

// close gives up the port before the lock, so that the next owner finds it free.
func (l *serialLink) close() error {
	if l.port == nil {
		return errClosed
	}
	port, node := l.port, l.node
	l.port, l.node = nil, nil
	if l.transmitter != nil {
		l.transmitter.close()
	}
	_ = port.ResetOutputBuffer() // closing a real UART waits for what is unsent, up to 30 s
	err := errors.Join(port.Close(), release(node))
	if l.freed != nil {
		l.freed()
	}
	return err
}

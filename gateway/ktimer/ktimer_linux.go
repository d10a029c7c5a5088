package ktimer

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Timer is one timer. One goroutine waits for it; another may set it meanwhile, but not two at a time.
type Timer struct {
	file *os.File
	raw  syscall.RawConn
	take func(fd uintptr) bool // expired
	set  func(fd uintptr)      // setTime
	spec unix.ItimerSpec       // for setTime
}

// New returns a timer that is not set. It fails when the process has no descriptor left for it.
func New() (*Timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	t := &Timer{file: os.NewFile(uintptr(fd), "timer")}
	t.take, t.set = t.expired, t.setTime
	if t.raw, err = t.file.SyscallConn(); err != nil {
		_ = t.file.Close()
		return nil, err
	}
	return t, nil
}

// Wait waits until the timer expires. It fails when the timer is closed.
func (t *Timer) Wait() error { return t.raw.Read(t.take) }

// Set has the timer expire after d, at once if that is not positive. That it has expired before is forgotten.
func (t *Timer) Set(d time.Duration) { t.arm(max(d, time.Nanosecond)) } // 0 would stop it

// Stop has the timer not expire, and forgets that it has.
func (t *Timer) Stop() { t.arm(0) }

func (t *Timer) arm(d time.Duration) {
	t.spec.Value = unix.NsecToTimespec(int64(d))
	_ = t.raw.Control(t.set) // fails when the timer is closed
}

func (t *Timer) setTime(fd uintptr) { _ = unix.TimerfdSettime(int(fd), 0, &t.spec, nil) }

// expired takes the note that the timer has expired. It says false, which means to its caller: wait for that. The raw system call does not tell the
// runtime that it may last, which would wake the monitor each time.
func (t *Timer) expired(fd uintptr) bool {
	var times [8]byte
	_, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&times)), uintptr(len(times)))
	return errno != unix.EAGAIN
}

// Close gives the timer back and ends the wait for it.
func (t *Timer) Close() error { return t.file.Close() }

package engine

import (
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// KernelAlarm returns an Alarm on a timer of the kernel, which a goroutine waits for as for a socket (timerfd_create(2)). In a process that has
// little to do, waiting for one of Go's timers costs ten times as much: the runtime rounds it down to a millisecond and waits again for the
// rest, and its monitor wakes for the same timer and looks every 20 us whether somebody has served it.
func KernelAlarm() Alarm {
	a := &kernelAlarm{spare: newTimerAlarm()}
	a.take, a.set = a.expired, a.setTime
	return a
}

// kernelAlarm has its timer from the first Wait on.
type kernelAlarm struct {
	spare Alarm                 // waited on when the kernel gives no timer
	take  func(fd uintptr) bool // expired
	set   func(fd uintptr)      // setTime

	mu      sync.Mutex
	timer   *os.File
	raw     syscall.RawConn
	spec    unix.ItimerSpec // for setTime
	waiting bool            // for the timer
	rung    bool            // since the last Wait
	closed  bool
}

// atOnce is the shortest time that a timer can be set to: 0 would stop it.
const atOnce = time.Nanosecond

func (a *kernelAlarm) Wait(d time.Duration) {
	if !a.ready() {
		a.spare.Wait(d)
		return
	}
	if !a.begin(d) {
		return
	}
	_ = a.raw.Read(a.take) // fails when the alarm is closed: then there is nothing to wait for
	a.mu.Lock()
	a.waiting, a.rung = false, false
	a.mu.Unlock()
}

// begin sets the timer, unless the alarm has been rung: then there is nothing to wait for.
func (a *kernelAlarm) begin(d time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rung || a.closed {
		a.rung = false
		return false
	}
	if d >= 0 {
		a.arm(max(d, atOnce))
	} else {
		a.arm(0)
	}
	a.waiting = true
	return true
}

// ready makes the timer if there is none. Without a descriptor for it the next Wait tries again.
func (a *kernelAlarm) ready() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.timer != nil || a.closed || a.open()
}

func (a *kernelAlarm) open() bool {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return false
	}
	a.timer = os.NewFile(uintptr(fd), "timer")
	if a.raw, err = a.timer.SyscallConn(); err != nil {
		_ = a.timer.Close()
		a.timer = nil
	}
	return err == nil
}

// arm has the timer expire after d, which also forgets that it has expired before; 0 stops it.
func (a *kernelAlarm) arm(d time.Duration) {
	a.spec.Value = unix.NsecToTimespec(int64(d))
	_ = a.raw.Control(a.set) // fails when the alarm is closed
}

func (a *kernelAlarm) setTime(fd uintptr) { _ = unix.TimerfdSettime(int(fd), 0, &a.spec, nil) }

// expired takes the note that the timer has expired. It says false, which means to its caller: wait for that. The raw system call does
// not tell the runtime that it may last, which would wake the monitor each time.
func (a *kernelAlarm) expired(fd uintptr) bool {
	var times [8]byte
	_, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&times)), uintptr(len(times)))
	return errno != unix.EAGAIN
}

// Ring has whoever waits go on at once, or not wait at all the next time.
func (a *kernelAlarm) Ring() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rung = true
	a.spare.Ring()
	if a.waiting {
		a.arm(atOnce)
	}
}

func (a *kernelAlarm) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.timer == nil {
		return nil
	}
	timer := a.timer
	a.timer, a.waiting = nil, false
	return timer.Close()
}

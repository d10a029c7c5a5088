package app

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// clockSynced asks the kernel whether something keeps the clock right. Without that, "expires" of a command means nothing: a board
// without a battery starts in the past. The runtime is not told of the system call, which cannot last: it would wake its monitor, another thread.
func clockSynced() bool {
	var t unix.Timex
	state, _, errno := unix.RawSyscall(unix.SYS_ADJTIMEX, uintptr(unsafe.Pointer(&t)), 0, 0)
	return errno == 0 && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
}

package localbroker

import (
	"syscall"
	"unsafe"
)

// readNow and writeNow are read(2) and write(2) on a socket that does not wait. As they cannot last, the runtime is not told of them: that
// would wake its monitor, another thread, for each of them in a process that has little to do.

func readNow(fd uintptr, p []byte) (int, error) { return rawNow(syscall.SYS_READ, fd, p) }

func writeNow(fd uintptr, p []byte) (int, error) { return rawNow(syscall.SYS_WRITE, fd, p) }

func rawNow(trap, fd uintptr, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

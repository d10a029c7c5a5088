package localbroker

import (
	"syscall"
	"unsafe"
)

// fewBytes is up to how much is written without telling the scheduler: the kernel has copied it before the scheduler could do anything about it.
const fewBytes = 16 << 10

// readNow is read(2) on a descriptor that does not wait. When few is set, Go's scheduler does not hear of it: a system call that it hears of
// wakes its monitor thread when the process has been idle, which then looks around every 20 µs. For one small message that costs as much as
// reading and answering it does. Who reads much must tell: without its monitor nothing ends the turn of a goroutine that never waits.
func readNow(fd int, b []byte, few bool) (int, error) {
	if !few || len(b) == 0 {
		return syscall.Read(fd, b)
	}
	return called(syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b))))
}

// writeNow is write(2) on a descriptor that does not wait, for few bytes in the manner of readNow.
func writeNow(fd int, b []byte) (int, error) {
	if len(b) > fewBytes || len(b) == 0 {
		return syscall.Write(fd, b)
	}
	return called(syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b))))
}

func called(n, _ uintptr, e syscall.Errno) (int, error) {
	if e != 0 {
		return -1, e
	}
	return int(n), nil
}

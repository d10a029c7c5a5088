package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// shift is how many seconds the wall clock is off, in a file that a test maps too.
var shift = func() *atomic.Int64 {
	path, ok := syscall.Getenv("TIDEGATE_TEST_CLOCK")
	if !ok {
		return new(atomic.Int64)
	}
	file, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("open the test's clock: " + err.Error())
	}
	page, err := syscall.Mmap(file, 0, 16, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("map the test's clock: " + err.Error())
	}
	return (*atomic.Int64)(unsafe.Pointer(&page[0]))
}()

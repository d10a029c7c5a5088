package bus

import (
	"os"

	"golang.org/x/sys/unix"
)

// One open serial port takes four descriptors: our lock, the library's port, and the two ends of the pipe with which it wakes its
// reader.
const (
	perLock = 1
	perPort = 3
)

// reserve holds low file descriptors, so that a port can still be opened when clients have taken all others: the serial library
// waits with select(2), which knows descriptors below 1024 only, and panics on others.
type reserve struct{ files []*os.File }

// fill takes low descriptors until there are enough for two openings, as far as there are any.
func (r *reserve) fill() {
	for len(r.files) < 2*(perLock+perPort) {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return
		}
		if f.Fd() >= unix.FD_SETSIZE {
			_ = f.Close()
			return
		}
		r.files = append(r.files, f)
	}
}

// release frees n descriptors, or those that there are. What is opened next gets them, because the kernel gives the lowest first, unless
// somebody else opens something at the same moment: that is why the caller checks, and why there are more of them.
func (r *reserve) release(n int) {
	for n = min(n, len(r.files)); n > 0; n-- {
		last := len(r.files) - 1
		_ = r.files[last].Close()
		r.files = r.files[:last]
	}
}

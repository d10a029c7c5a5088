package buffer

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestClosingGivesTheLockBack also while another descriptor refers to it, as in a program that is being started: between fork and exec it has all
// descriptors of its parent.
func TestClosingGivesTheLockBack(t *testing.T) {
	r := running(t, Options{})
	child, err := unix.Dup(int(r.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Close(child); err != nil {
			t.Error(err)
		}
	}()
	r.close()
	lock, err := lockFile(r.opts.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := unlock(lock); err != nil {
		t.Error(err)
	}
}

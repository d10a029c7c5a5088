//go:build unix

package localbroker

import (
	"bytes"
	"syscall"
	"testing"
	"time"
)

// Whether the scheduler hears of it or not, a read is a read and a write is a write.
func TestReadNowAndWriteNowDoNotWait(t *testing.T) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		defer syscall.Close(fd)
		if err := syscall.SetNonblock(fd, true); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range []int{1, 4 << 10, 4<<10 + 1} {
		for _, few := range []bool{true, false} {
			want := bytes.Repeat([]byte("x"), size)
			if n, err := writeNow(fds[0], want); n != size || err != nil {
				t.Fatalf("wrote %d of %d bytes: %v", n, size, err)
			}
			got := make([]byte, size+1)
			if n, err := readNow(fds[1], got, few); n != size || err != nil || !bytes.Equal(got[:n], want) {
				t.Errorf("few %v: read %d of %d bytes: %v", few, n, size, err)
			}
			if n, err := readNow(fds[1], got, few); n != -1 || err != syscall.EAGAIN {
				t.Errorf("few %v: a read of nothing returned %d, %v, want -1 and EAGAIN", few, n, err)
			}
			if n, err := readNow(-1, got, few); n != -1 || err != syscall.EBADF {
				t.Errorf("few %v: a read of no descriptor returned %d, %v, want -1 and EBADF", few, n, err)
			}
		}
		if n, err := writeNow(-1, make([]byte, size)); n != -1 || err != syscall.EBADF {
			t.Errorf("a write to no descriptor returned %d, %v, want -1 and EBADF", n, err)
		}
	}
}

// The scheduler's monitor ends the turns of goroutines that never wait. A reader that always has something to read has to let it know.
func TestAReaderThatDoesNotWaitIsHeardOf(t *testing.T) {
	c, client := wired(t)
	for round := range 2 {
		if _, err := client.Write(make([]byte, 2*fewReads)); err != nil {
			t.Fatal(err)
		}
		if !c.sock.few() {
			t.Errorf("round %d: the first read after a wait is heard of", round)
		}
		for range fewReads {
			c.in.b = make([]byte, 1) // so that each read takes one byte
			if n, err := c.readLazily(); n != 1 || err != nil {
				t.Fatalf("read %d bytes, %v", n, err)
			}
			c.in = inbuf{}
		}
		if c.sock.few() {
			t.Errorf("round %d: %d reads that did not wait, and none is heard of", round, fewReads)
		}
		c.in.lazy = true
		if n, err := c.readLazily(); n != fewReads || err != nil {
			t.Fatalf("read %d bytes, %v", n, err)
		}
		c.in.skip(fewReads)
		_ = c.nc.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if n, err := c.readLazily(); err == nil {
			t.Fatalf("%d bytes came from nowhere", n)
		}
		_ = c.nc.SetReadDeadline(time.Time{})
	}
}

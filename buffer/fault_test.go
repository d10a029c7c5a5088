package buffer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/gateway"
)

// flowThroughFault is commitOnFaultyDisk, while readings pass to an upstream that keeps up.
func flowThroughFault(path string) error {
	return throughFaults(path, func(s *Store, stop <-chan struct{}) flowed { return flowReadings(s, s.Upstream("cloud"), stop) })
}

// flowed is how many readings have passed while commits failed.
type flowed struct {
	while int
	err   error
}

// flowReadings passes readings to an upstream, each after the last, until stop closes.
func flowReadings(s *Store, up *Upstream, stop <-chan struct{}) (f flowed) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	pos, buf := up.Attach(), make([]gateway.Delivery, 1)
	for {
		select {
		case <-stop:
			return f
		case <-tick.C:
		}
		before := failing(s)
		s.Commit(&gateway.Change{Record: record("reading"), To: to(up.Queue())}, nil)
		if _, err := up.Read(ctx, pos, buf); err != nil {
			f.err = err
			return f
		}
		pos = buf[0].Pos
		up.Ack(pos)
		if before && failing(s) {
			f.while++
		}
	}
}

func failing(s *Store) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failing
}

// TestFaultsOfTheDiskWhileRunning lets the kernel refuse calls: nothing is acknowledged that is not safe, readings pass from memory, the
// store finds back by itself, and everything that was acknowledged is there.
func TestFaultsOfTheDiskWhileRunning(t *testing.T) {
	for name, inject := range map[string]string{ // strace counts the calls of each thread apart
		"sync fails":                   "inject=fsync:error=EIO:when=30..33",
		"write fails":                  "inject=pwrite64:error=EIO:when=150..154",
		"the disk is full":             "inject=pwrite64:error=ENOSPC:when=150..154",
		"file system became read-only": "inject=pwrite64:error=EROFS:when=150..154",
	} {
		t.Run(name, func(t *testing.T) {
			if flowed := wantSafeThroughFaults(t, "flow", inject); flowed == 0 {
				t.Error("no reading passed while commits failed")
			}
		})
	}
}

// inSequence reports whether list is 0, 1, 2 and so on.
func inSequence(list []string) bool {
	for i, p := range list {
		if p != fmt.Sprint(i) {
			return false
		}
	}
	return true
}

// mountSmall mounts a file system of its own, which only root can.
func mountSmall(t *testing.T, bytes int) (folder string) {
	t.Helper()
	folder = t.TempDir()
	if err := unix.Mount("tmpfs", folder, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skipf("a small file system cannot be mounted here (%v): run the test as root", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(folder, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return folder
}

// occupy fills a disk to its last byte.
func occupy(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	chunk := bytes.Repeat([]byte{1}, 4096)
	for err == nil {
		_, err = f.Write(chunk)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}

// Another program takes all of the disk before the store looks at it again.
func TestDiskThatIsFullIsWaitedFor(t *testing.T) {
	folder := mountSmall(t, 16<<20)
	roomy := func(string) (free, total int64, err error) { return 1 << 40, 1 << 41, nil }
	r := running(t, Options{Path: filepath.Join(folder, "buffer.db"), space: roomy})
	away, up := r.Queue("session/x"), r.Queue("upstream/y")
	r.Attach(up, func() {})
	n := 0
	for ; n < 200; n++ {
		r.ok(r.putWait(fmt.Sprint(n), away))
	}
	occupy(t, filepath.Join(folder, "ballast"))
	var waiting []<-chan error
	for !failing(r.Store) { // a log that has room within takes some more
		if n > 20000 {
			t.Fatal("the disk does not fill up")
		}
		done := r.putWait(fmt.Sprint(n), away)
		waiting = append(waiting, done)
		n++
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			waiting = waiting[:len(waiting)-1]
		case <-time.After(50 * time.Millisecond): // not a measure: it only lets the loop look whether the store fails
		}
	}
	r.put("reading", up)
	r.want(r.read(up, 0), "reading")
	r.Ack(up, 1)
	if len(waiting) == 0 || isDone(waiting[len(waiting)-1]) {
		t.Error("a record is acknowledged that the disk has no room for")
	}
	if err := os.Remove(filepath.Join(folder, "ballast")); err != nil {
		t.Fatal(err)
	}
	for _, done := range waiting {
		r.ok(done)
	}
	t.Logf("%d records, %d of them waited for room, %d commits failed", n, len(waiting), r.Stats().Failures)
	k := r.crash()
	if got := payloads(k.read(away, 0)); len(got) != n || !inSequence(got) {
		t.Errorf("%d records after a crash, want %d in their order", len(got), n)
	}
}

func TestOpenRefusesAReadOnlyDiskInWords(t *testing.T) {
	folder := mountSmall(t, 16<<20)
	path := filepath.Join(folder, "buffer.db")
	r := running(t, Options{Path: path})
	r.put("kept", r.Queue("session/x"))
	r.close()
	remount := func(flags uintptr) {
		if err := unix.Mount("", folder, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(unix.MS_RDONLY)
	before := files(t, path)
	refusedAs(t, path, unix.EROFS, "cannot be written", "mounted read-only", "dmesg")
	f := openFile(t, path) // looking works all the same
	if got := scan(t, f, "session/x", 0); len(got) != 1 {
		t.Errorf("%d deliveries, want 1", len(got))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if after := files(t, path); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("files are %v, were %v", after, before)
	}
	remount(0)
	r.open()
	r.want(r.read(r.Queue("session/x"), 0), "kept")
}

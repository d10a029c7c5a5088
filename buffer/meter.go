package buffer

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"time"
)

// meter counts what reaches the disk.
//
// Bytes are those that the writing thread hands to write(2) while a transaction or a checkpoint runs, as the kernel counts them
// (wchar in /proc/thread-self/io): the database and its log, nothing else. Where /proc cannot be read, it is the pages of log alone,
// which are all but the checkpoints.
//
// Calls of fsync cannot be seen from inside. In WAL mode with synchronous=FULL SQLite makes one for each commit that writes, one more
// for the head of a log that starts anew, and two for a checkpoint; a test holds that against strace.
type meter struct {
	bytes  uint64
	fsyncs uint64

	unread   bool // /proc cannot be read
	log      int  // pages in the log
	restored int  // of these, pages that a checkpoint has put into the database
}

// around runs fn, on one thread, and counts the bytes that it writes.
func (m *meter) around(fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, ok := writtenByThread()
	err := fn()
	after, _ := writtenByThread()
	if m.unread = !ok; ok && after > before {
		m.bytes += after - before
	}
	return err
}

// writtenByThread returns how many bytes the calling thread has handed to write(2).
func writtenByThread() (uint64, bool) {
	b, err := os.ReadFile("/proc/thread-self/io")
	if err != nil {
		return 0, false
	}
	_, rest, found := bytes.Cut(b, []byte("wchar: "))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	n, err := strconv.ParseUint(string(line), 10, 64)
	return n, found && err == nil
}

// observe takes in the state of the log after a commit. Its pages have pageSize bytes.
func (m *meter) observe(log, restored int, pageSize int64) {
	written := log - m.log
	if restored < m.restored || m.log == 0 && log > 0 { // it started anew
		m.fsyncs++
		written = log
	}
	if written > 0 {
		m.fsyncs++
	}
	if m.unread {
		m.bytes += uint64(written) * uint64(pageSize+walFrameHead)
	}
	m.log, m.restored = log, restored
}

// walFrameHead is what the log adds to each page.
const walFrameHead = 24

// count takes a commit into the statistics.
func (s *Store) count(w *writer, took time.Duration) {
	var busy, log, restored int
	if err := w.ints(`PRAGMA wal_checkpoint(NOOP)`, &busy, &log, &restored); err == nil {
		w.meter.observe(log, restored, w.pageSize)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Commits++
	s.stats.LastCommit = took
	s.stats.Fsyncs, s.stats.BytesOut = w.meter.fsyncs, w.meter.bytes
}

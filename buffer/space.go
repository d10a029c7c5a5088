package buffer

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	sqlite3 "modernc.org/sqlite/lib"
)

// Bounds of what the buffer leaves free of its disk, and how often it looks.
const (
	minFree      = 64 << 20
	minFreeShare = 20           // one in so many bytes of the disk
	minFreeLog   = 2 * logLimit // the log is emptied into the file, and both are there meanwhile
	leastGrown   = 4 << 20      // bytes of the database, however little is free: below it large records would not fit
	spaceEvery   = monotonic(5 * time.Second)
)

// room is what is known of the file system that the file is on.
type room struct {
	looked monotonic // when last looked at; 0: never
	free   int64     // -1: not known
	limit  int64     // bytes that the database may grow to, whole pages; 0: not set on this connection
	small  bool      // the disk, not max_size, sets that bound
}

// diskSpace asks the file system that path is on for its free and all its bytes.
func diskSpace(path string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &st); err != nil {
		return 0, 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil
}

// leastToOpen is what a disk must have free for the database to open: its log and its shared memory begin there.
const leastToOpen = 1 << 20

// diskFull reports whether err comes of a disk without room for the database at path. SQLite does not say so of all its files: of its shared
// memory it says "disk I/O error".
func diskFull(path string, err error) bool {
	if c := code(err); c != sqlite3.SQLITE_IOERR && c != sqlite3.SQLITE_FULL {
		return false
	}
	free, _, err := diskSpace(path)
	return err == nil && free < leastToOpen
}

// spare is how much of the disk is left free. It holds the log too while that is emptied. The default bends to small disks, what somebody
// has chosen does not.
func (o *Options) spare(total int64) int64 {
	if o.MinFree > 0 && o.MinFree != minFree {
		return o.MinFree
	}
	return min(minFree, max(total/minFreeShare, minFreeLog))
}

// watchDisk sets how far the database may grow, by max_size and by what the disk has free, so that the oldest records are dropped in order
// before a write fails for want of room. Only the writer calls it.
func (s *Store) watchDisk() {
	s.mu.Lock()
	now := s.now()
	d := s.room
	s.mu.Unlock()
	if s.writer.conn == nil || d.looked != 0 && now-d.looked < spaceEvery {
		return
	}
	d.looked = now
	if err := s.writer.fit(s, &d); err != nil {
		s.log.Warn("how far the buffer may grow cannot be set", "path", s.opts.Path, "error", err)
	}
	s.mu.Lock()
	was := s.room.small
	s.room = d
	s.stats.DiskFree, s.stats.MaxBytes = d.free, s.opts.MaxSize
	if d.small {
		s.stats.MaxBytes = min(s.opts.MaxSize, d.limit+reserve(s.opts.MaxSize))
	}
	s.mu.Unlock()
	s.saySpace(&d, was)
}

// saySpace says when the disk begins or ceases to be what bounds the buffer.
func (s *Store) saySpace(d *room, was bool) {
	switch {
	case d.small && !was:
		s.log.Warn("the disk is nearly full: the buffer grows less than max_size allows", "path", s.opts.Path,
			"free", d.free, "max", d.limit, "max_size", s.opts.MaxSize)
	case was && !d.small:
		s.log.Info("the disk has room again for the buffer to grow to max_size", "path", s.opts.Path, "free", d.free)
	}
}

// fit finds the bound for d and puts it in force. SQLite never makes it lower than what the file already has.
func (w *writer) fit(s *Store, d *room) error {
	limit := mostBytes(s.opts.MaxSize)
	free, total, err := s.opts.space(s.opts.Path)
	if d.free = free; err != nil {
		d.free = -1
	}
	have, err := w.pagesOf(`PRAGMA page_count`)
	if err != nil {
		return err
	}
	d.small = false
	if d.free >= 0 {
		if most := have + free - s.opts.spare(total); most < limit {
			limit, d.small = max(most, have, min(leastGrown, limit)), true
		}
	}
	limit -= limit % w.pageSize
	if limit == d.limit {
		return nil
	}
	d.limit = limit
	var got int64
	row := w.c.QueryRowContext(context.Background(), fmt.Sprintf(`PRAGMA max_page_count = %d`, limit/w.pageSize))
	return row.Scan(&got)
}

// Margins, as parts of the bound, between which the file counts as nearly full: what then comes has room still.
const (
	tightAt   = 16
	roomyAt   = 8
	minMargin = 512 << 10 // bytes
)

// watchFile notes whether the file is nearly full, for upstreams that then refuse what is new.
func (s *Store) watchFile(w *writer) {
	s.mu.Lock()
	strict, tight, limit := s.strict, s.tight, s.room.limit
	s.mu.Unlock()
	if !strict {
		return
	}
	if limit == 0 {
		limit = mostBytes(s.opts.MaxSize)
	}
	have, free, err := w.fileBytes()
	if err != nil {
		return
	}
	left := limit - have + free
	switch {
	case left < max(minMargin, limit/tightAt):
		tight = true
	case left > max(2*minMargin, limit/roomyAt):
		tight = false
	}
	s.mu.Lock()
	s.tight = tight
	s.mu.Unlock()
}

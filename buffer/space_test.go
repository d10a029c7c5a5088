package buffer

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// smallDisk is a disk of which others leave so many bytes to the buffer and to what must stay free.
type smallDisk struct {
	left atomic.Int64
	file func() int64
	err  atomic.Bool
}

func (d *smallDisk) space(string) (free, total int64, err error) {
	if d.err.Load() {
		return 0, 0, errors.New("no such file system")
	}
	used := int64(0)
	if d.file != nil {
		used = d.file()
	}
	return d.left.Load() - used, 100 << 20, nil
}

func TestDiskThatFillsUpBoundsTheFile(t *testing.T) {
	var d smallDisk
	d.left.Store(90 << 20)
	book, logger := newLogBook()
	inBubble(t, Options{MaxSize: 64 << 20, MinFree: 5 << 20, Logger: logger, space: d.space}, func(t *testing.T, c *clocked) {
		d.file = func() int64 { return c.Stats().FileBytes }
		up := c.away("upstream/x")
		st := c.Stats()
		if st.MaxBytes != 64<<20 || st.DiskFree != 90<<20 {
			t.Errorf("max %d, free %d", st.MaxBytes, st.DiskFree)
		}
		d.left.Store(12 << 20) // others have written
		c.elapse(10 * time.Second)
		for range 20 { // time passes, so that the disk is looked at
			c.fill(1000, up)
		}
		st = c.Stats()
		t.Logf("file %d KB, free %d KB, max %d KB, %d dropped", st.FileBytes>>10, st.DiskFree>>10, st.MaxBytes>>10, st.Dropped)
		if free := 12<<20 - st.FileBytes; free < 1<<20 {
			t.Errorf("%d bytes are free: the disk would be full", free)
		}
		if st.Dropped == 0 || st.MaxBytes > 30<<20 {
			t.Errorf("%d dropped, max %d", st.Dropped, st.MaxBytes)
		}
		c.wantAll(up, 20_000)
		d.left.Store(90 << 20)
		c.elapse(2 * time.Minute)
		before := st.Dropped
		c.fill(10_000, up)
		if st = c.Stats(); st.Dropped != before || st.MaxBytes != 64<<20 {
			t.Errorf("%d dropped, max %d: there is room again", st.Dropped-before, st.MaxBytes)
		}
		for _, line := range []string{"the disk is nearly full", "the disk has room again"} {
			if n := book.count(line); n != 1 {
				t.Errorf("said %q %d times, want once", line, n)
			}
		}
	})
}

func TestDiskThatCannotBeAskedBoundsNothing(t *testing.T) {
	var d smallDisk
	d.err.Store(true)
	inBubble(t, Options{MaxSize: 64 << 20, space: d.space}, func(t *testing.T, c *clocked) {
		if st := c.Stats(); st.DiskFree != -1 || st.MaxBytes != 64<<20 {
			t.Errorf("free %d, max %d", st.DiskFree, st.MaxBytes)
		}
	})
}

func TestSpareIsASmallPartOfASmallDisk(t *testing.T) {
	for _, c := range []struct {
		min, total, want int64
	}{{0, 1 << 40, 64 << 20}, {64 << 20, 1 << 40, 64 << 20}, {64 << 20, 400 << 20, 20 << 20}, {0, 100 << 20, 8 << 20}, {7, 1 << 40, 7}} {
		o := Options{MinFree: c.min}
		if got := o.spare(c.total); got != c.want {
			t.Errorf("spare of %d with %d: %d, want %d", c.total, c.min, got, c.want)
		}
	}
}

// A file that is mostly empty is made smaller when nobody writes, though a little of the backlog is still there.
func TestIdleFileIsMadeSmallerWithABacklog(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		up, s := c.away("upstream/x"), c.away("session/s")
		c.put("stays", s)
		for i := range 200 {
			for range 100 {
				c.put(fmt.Sprint(i, strings.Repeat("x", 1000)), up)
			}
			c.elapse(interval)
		}
		large := c.Stats().FileBytes
		pos := c.Attach(up, func() {})
		for _, d := range c.read(up, pos) {
			c.Ack(up, d.Pos)
		}
		c.elapse(2 * interval)
		if st := c.Stats(); st.FileBytes < large/2 {
			t.Fatalf("file of %d: it was made smaller while there was something to do", st.FileBytes)
		}
		c.elapse(4 * time.Minute)
		if st := c.Stats(); st.FileBytes > 2*shrinkFrom+256<<10 { // the log, and what is not worth it
			t.Errorf("file of %d bytes, was %d", st.FileBytes, large)
		}
		c.want(c.read(s, 0), "stays")
	})
}

func TestWearIsCountedOverAllRuns(t *testing.T) {
	var w wallClock
	w.unsync.Store(true)
	inBubble(t, w.options(Options{}), func(t *testing.T, c *clocked) {
		q := c.away("session/s")
		if st := c.Stats(); !st.WearSince.IsZero() {
			t.Errorf("since %v, by a clock that is not right", st.WearSince)
		}
		w.unsync.Store(false)
		c.elapse(2 * time.Second)
		since := w.now()
		for i := range 3 {
			before := c.Stats()
			if i > 0 && before.WearBytes < uint64(i)*1e6 {
				t.Errorf("run %d begins with %d bytes", i, before.WearBytes)
			}
			for range 10 {
				c.ok(c.putWait(strings.Repeat("x", 100<<10), q))
			}
			st := c.Stats()
			if got, want := st.WearBytes-before.WearBytes, st.BytesOut-before.BytesOut; got != want || want < 1e6 {
				t.Errorf("run %d: %d bytes, want %d", i, got, want)
			}
			c.reopen()
		}
		if st := c.Stats(); !st.WearSince.Equal(since) {
			t.Errorf("since %v, want %v", st.WearSince, since)
		}
	})
}

// The total of the wear must not be a part of it.
func TestWearIsNotStoredWithEachCommit(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.away("session/s")
		stored := 0
		before := c.metaValue(metaWearBytes)
		for range 300 {
			c.ok(c.change(&gateway.Change{Record: record(strings.Repeat("x", 20<<10)), To: to(q)}))
			if now := c.metaValue(metaWearBytes); now != before {
				before, stored = now, stored+1
			}
		}
		if stored < 1 || stored > 3 {
			t.Errorf("stored %d times in 300 commits with %d bytes", stored, c.Stats().BytesOut)
		}
	})
}

func (r *rig) metaValue(key string) (value string) {
	r.t.Helper()
	if err := r.reader.db.QueryRow(`SELECT value FROM meta WHERE key = ?`, key).Scan(&value); err != nil {
		r.t.Fatal(err)
	}
	return value
}

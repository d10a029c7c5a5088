package buffer

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/gateway"
)

// wantShape checks how large the pages of a running store's file are, and that all bounds that are told to SQLite in pages fit them.
func wantShape(r *rig, pageSize int64) {
	r.t.Helper()
	r.flush()
	b, err := os.ReadFile(r.opts.Path)
	if err != nil {
		r.t.Fatal(err)
	}
	if got := int64(pageOf(b)); got != pageSize {
		r.t.Errorf("the file has pages of %d bytes, want %d", got, pageSize)
	}
	var limit int64
	err = r.do(r.t.Context(), 0, 0, func(a *applier) error {
		if a.pageSize != pageSize {
			r.t.Errorf("the store believes in pages of %d bytes, want %d", a.pageSize, pageSize)
		}
		return a.ints(`PRAGMA max_page_count`, &limit)
	})
	if want := mostBytes(r.Store.opts.MaxSize) / pageSize; err != nil || limit != want {
		r.t.Errorf("max_page_count %d, %v, want %d", limit, err, want)
	}
}

// A file keeps the size of pages that it was made with, over starts and after an error of the disk; a new one has the new size.
func TestFileKeepsItsPageSize(t *testing.T) {
	for _, pageSize := range []int64{oldPageSize, newPageSize} {
		t.Run(fmt.Sprint(pageSize), func(t *testing.T) {
			r := running(t, Options{MaxSize: 8 << 20, pageSize: pageSize})
			q := r.Queue("upstream/x")
			r.put("first", q)
			wantShape(r, pageSize)
			r.opts.pageSize = 0 // as any start that comes
			r.reopen()
			wantShape(r, pageSize)
			r.put("second", q)
			failOnce(r)
			r.flush()
			wantShape(r, pageSize)
			r.want(r.read(q, 0), "first", "second")
			if got := verdict(t, r.Store); !got.OK() || got.Records != 2 {
				t.Errorf("%+v", got)
			}
		})
	}
	wantShape(running(t, Options{}), newPageSize)
}

// failOnce has one commit fail, so that the next one opens the file anew.
func failOnce(r *rig) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sabotage = func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.sabotage = nil
		return errNoDisk
	}
}

// How large the pages are is found when the head of the file is lost, and whatever the log says.
func TestPageSizeIsFound(t *testing.T) {
	for _, pageSize := range []int{oldPageSize, newPageSize} {
		for name, spoil := range map[string]spoil{
			"whole":                        func(*testing.T, string) {},
			"no log":                       removeLog,
			"no head":                      inDatabase(withoutHead),
			"no head, no log":              both(inDatabase(withoutHead), removeLog),
			"head of another size":         inDatabase(func(b []byte) []byte { b[16] ^= (oldPageSize ^ newPageSize) >> 8; return b }),
			"no head, log of another file": both(inDatabase(withoutHead), logOfAnother(int64(oldPageSize+newPageSize-pageSize))),
		} {
			t.Run(fmt.Sprint(pageSize, " ", name), func(t *testing.T) {
				r := running(t, Options{pageSize: int64(pageSize)})
				q := r.Queue("upstream/x")
				for i := range 60 {
					r.put(fmt.Sprint(i, strings.Repeat(" x", 200)), q)
				}
				r.reopen()
				r.put("in the log", q)
				r.flush()
				path := copyFiles(t, r.opts.Path)
				r.close()
				spoil(t, path)
				p, err := openPages(path)
				if err != nil {
					t.Fatal(err)
				}
				defer p.close()
				if p.size != pageSize || p.strange != strings.Contains(name, "another file") {
					t.Errorf("pages of %d bytes, want %d; the log is another store's: %t", p.size, pageSize, p.strange)
				}
			})
		}
	}
}

// What a drain acknowledges of a long backlog is deleted in few commits, and all of it in the end.
func TestDrainDeletesManyChunksAtOnce(t *testing.T) {
	const records, group = 64 * keepRecords / keepShare, 64
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		up, s := c.away("upstream/x"), c.away("session/s")
		for range records / group {
			for range group {
				c.put("x", up, s)
			}
			c.flush()
		}
		pos, deleting, kept := uint64(0), 0, 0
		for had := c.rows("chunk"); pos < records; {
			for range group {
				pos++
				c.Ack(up, pos)
				c.Ack(s, pos)
			}
			c.elapse(interval)
			left := c.rows("chunk")
			if left != had {
				deleting++
			}
			had, kept = left, max(kept, left-int(records-pos)/group)
		}
		t.Logf("%d commits of %d have deleted, at most %d chunks were kept", deleting, records/group, kept)
		if deleting < 4 || deleting > records/group/4 || kept > keepRecords/group {
			t.Errorf("%d commits have deleted, %d chunks were kept", deleting, kept)
		}
		c.wantEmpty()
	})
}

// What is acknowledged and not deleted yet neither comes again nor counts as out of reach.
func TestKeptChunksAreDoneWith(t *testing.T) {
	const records = 2000
	r := running(t, Options{})
	q := r.Queue("upstream/x")
	for i := range records {
		if r.put(fmt.Sprint(i), q); i%10 == 9 {
			r.flush()
		}
	}
	chunks := r.rows("chunk")
	for pos := range uint64(50) {
		r.Ack(q, pos+1)
	}
	r.flush()
	if n := r.rows("chunk"); n != chunks {
		t.Fatalf("%d of %d chunks are left: nothing is kept", n, chunks)
	}
	if got, want := verdict(t, r.Store), (gateway.Verdict{Records: records - 50}); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	k := r.crash()
	if list := payloads(k.read(q, 0)); list[0] != "50" {
		t.Errorf("after a crash %q comes first", list[0])
	}
	k.run()
	for _, d := range k.read(q, 0) {
		k.Ack(q, d.Pos)
	}
	k.flush()
	k.flush()
	if n := k.rows("chunk"); n != 0 {
		t.Errorf("%d chunks are left of what was kept over the crash", n)
	}
}

// What was kept is deleted though nothing else of the queue is on disk, and what follows never comes there.
func TestKeptChunksDoNotStayBehindWhatIsElided(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		up := c.online("upstream/x")
		c.ok(c.putWait("1", up))
		for i := range 100 {
			c.put(fmt.Sprint(i), up)
		}
		c.flush()
		for _, d := range c.read(up, 0) {
			c.Ack(up, d.Pos)
		}
		c.elapse(interval / 2)
		for i := range 3000 {
			c.put(fmt.Sprint(i), up)
		}
		c.elapse(interval * 3 / 4) // the acknowledgements are committed, these are not due
		for _, d := range c.read(up, 101) {
			c.Ack(up, d.Pos)
		}
		c.elapse(2 * interval)
		c.wantEmpty()
	})
}

// A full file has no room for what is acknowledged.
func TestFullBufferKeepsNothingThatIsDropped(t *testing.T) {
	inBubble(t, Options{MaxSize: 8 << 20}, func(t *testing.T, c *clocked) {
		up := c.away("upstream/x")
		for n := 0; c.Stats().Dropped == 0; n++ {
			for range 100 {
				c.put(strings.Repeat("x", 100), up)
			}
			if c.flush(); n > 2000 {
				t.Fatal("it does not fill up")
			}
		}
		st := c.queueStats("upstream/x")
		if st.Depth < 2*keepShare*dropRecords {
			t.Fatalf("%d records fill it: too few to keep some", st.Depth)
		}
		if d := c.Stats().Dropped; d > 2*dropRecords {
			t.Errorf("%d of %d records are dropped to make room for 100", d, st.Depth)
		}
	})
}

package buffer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// broke is a buffer with a number of records for an upstream and a session, whose first page is lost.
func broke(t *testing.T, records int) (path string) {
	t.Helper()
	r := running(t, Options{})
	up, s := r.Queue("upstream/x"), r.Queue("session/s")
	r.ops(gateway.PutSession{Queue: s, ClientID: "s"})
	for i := range records {
		r.put(fmt.Sprintf("%05d", i), up, s)
		if i%100 == 0 {
			r.flush()
		}
	}
	path = r.opts.Path
	r.close()
	inFile(t, path, withoutHead)
	return path
}

// counted are the payloads of messages, without gaps.
func counted(list []gateway.Delivery) (out []string) {
	for _, p := range payloads(list) {
		if !strings.HasPrefix(p, "gap") {
			out = append(out, p)
		}
	}
	return out
}

func wantNumbers(t *testing.T, list []gateway.Delivery, n int) {
	t.Helper()
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprintf("%05d", i)
	}
	if got := counted(list); !slices.Equal(got, want) {
		t.Errorf("%d records, want %d in their order, each once: %q", len(got), n, got)
	}
}

func TestSalvagedRecordsKeepTheirTimeAndGetNewNumbers(t *testing.T) {
	book, logger := newLogBook()
	path := broke(t, 700)
	r := running(t, Options{Path: path, Logger: logger})
	up, s := r.Queue("upstream/x"), r.Queue("session/s")
	salvaged(r)
	for _, q := range []gateway.QueueID{up, s} {
		list := r.read(q, 0)
		wantNumbers(t, list, 700)
		last := uint64(0)
		for _, d := range list {
			_, gap := d.Record.Body.(*gateway.Gap)
			if d.Record.Seq <= last || !gap && !d.Record.Time.Equal(record("").Time) {
				t.Fatalf("%+v after seq %d", d.Record, last)
			}
			last = d.Record.Seq
		}
	}
	if st := r.Stats(); st.Salvaged != 700 || st.Salvaging {
		t.Errorf("statistics say %d, %t", st.Salvaged, st.Salvaging)
	}
	for _, line := range []string{"the buffer is damaged: it was set aside", "what could be read of the damaged buffer is saved"} {
		if book.count(line) != 1 {
			t.Errorf("%d log lines %q, want 1", book.count(line), line)
		}
	}
}

// A stop, in order or not, in the middle of saving: the next start goes on behind what is committed.
func TestSalvageGoesOnAfterARestart(t *testing.T) {
	const records = 5000
	path := broke(t, records)
	r := newRig(t, Options{Path: path})
	ctx, cancel := context.WithCancel(t.Context())
	commits := 0
	r.mu.Lock()
	r.sabotage = func() error {
		if commits++; commits == 3 {
			cancel()
		}
		return nil
	}
	r.mu.Unlock()
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
	k := r.crash()
	r.close()
	if st := k.Stats(); st.SetAside == "" {
		t.Fatal("all was saved before the stop")
	}
	copyAside(t, path, filepath.Dir(k.opts.Path))
	k.run()
	salvaged(k)
	wantNumbers(t, k.read(k.Queue("upstream/x"), 0), records)
	wantNumbers(t, k.read(k.Queue("session/s"), 0), records)
}

// copyAside copies what was set aside of a path into another folder.
func copyAside(t *testing.T, from, folder string) {
	t.Helper()
	for _, name := range asides(from) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(name)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A crash may come between any two steps of setting a file aside.
func TestSettingAsideSurvivesACrashAtEachStep(t *testing.T) {
	for _, step := range []string{"new file is begun", "new file is ready", "old file is moved", "log is moved"} {
		t.Run(step, func(t *testing.T) {
			path := broke(t, 300)
			if err := os.WriteFile(path+"-wal", []byte("a log"), 0o600); err != nil {
				t.Fatal(err)
			}
			aside := asideName(path, time.Now())
			crashAt(t, path, aside, step)
			r := running(t, Options{Path: path})
			salvaged(r)
			wantNumbers(t, r.read(r.Queue("upstream/x"), 0), 300)
			list := asides(path)
			withLog := !strings.HasPrefix(step, "new") // of the others SQLite has seen that it is none
			if len(list) != 1 || withLog && !exists(list[0]+"-wal") || exists(path+newSuffix) {
				t.Errorf("set aside: %v", files(t, path))
			}
		})
	}
}

// crashAt does what setAside does, up to a step.
func crashAt(t *testing.T, path, aside, step string) {
	t.Helper()
	var err error
	do := func(name string, fn func() error) bool {
		err = errors.Join(err, fn())
		return name == step
	}
	state, e := brokenState(t.Context(), path)
	if e != nil {
		t.Fatal(e)
	}
	o := Options{Path: path}.withDefaults()
	_ = do("new file is begun", func() error { return os.WriteFile(path+newSuffix, []byte("half"), 0o600) }) ||
		do("new file is ready", func() error { return buildNew(t.Context(), o, state, "buffer.db"+strings.TrimPrefix(aside, path)) }) ||
		do("old file is moved", func() error { return os.Rename(path, aside) }) ||
		do("log is moved", func() error { return os.Rename(path+"-wal", aside+"-wal") })
	if err != nil {
		t.Fatal(err)
	}
}

func TestOnlyTheNewestAreKeptAside(t *testing.T) {
	path := broke(t, 10)
	var seen []string
	for range 4 {
		r := running(t, Options{Path: path})
		seen = append(seen, r.Stats().SetAside)
		salvaged(r)
		wantNumbers(t, r.read(r.Queue("upstream/x"), 0), 10)
		r.close()
		inFile(t, path, withoutHead)
	}
	if list := asides(path); !slices.Equal(list, seen[2:]) {
		t.Errorf("kept %v of %v", list, seen)
	}
}

// What was acknowledged or deleted stands in pages for a long time. It does not come back.
func TestSalvageLeavesWhatIsDoneWith(t *testing.T) {
	r := running(t, Options{})
	q := r.Queue("upstream/x")
	for i := range 10 { // one chunk
		r.put(fmt.Sprintf("%05d", i), q)
	}
	for _, body := range []string{strings.Repeat("r", 500), ""} {
		for i := range 500 {
			r.Commit(&gateway.Change{Ops: []gateway.Op{gateway.PutRetained{Message: message(fmt.Sprint("plant/", i), body)}}}, nil)
		}
		r.flush()
	}
	r.ops(gateway.PutRetained{Message: message("plant/kept", "kept")})
	r.Ack(q, 1, 2, 3, 4)
	r.close()
	inFile(t, r.opts.Path, withoutHead)
	r.open()
	r.run()
	salvaged(r)
	if got, want := counted(r.read(q, 0)), []string{"00004", "00005", "00006", "00007", "00008", "00009"}; !slices.Equal(got, want) {
		t.Errorf("records %q, want %q", got, want)
	}
	if got, err := r.Recover(); err != nil || len(got.Retained) != 1 || got.Retained[0].Message.Topic != "plant/kept" {
		t.Errorf("%d retained messages, %v, want the one that was not removed", len(got.Retained), err)
	}
}

// What cannot be read of a damaged file is in dead, wherever in its chunk it stands, and what was known of the clock stays.
func TestSalvageSetsAsideWhatCannotBeRead(t *testing.T) {
	for name, broken := range map[string][]string{
		"first": {"aaa"}, "middle": {"bbb"}, "last": {"ccc"}, "all": {"aaa", "bbb", "ccc"},
	} {
		t.Run(name, func(t *testing.T) {
			r := running(t, Options{ClockSynced: func() bool { return false }})
			q := r.Queue("upstream/x")
			var want []string
			for _, p := range []string{"aaa", "bbb", "ccc"} {
				r.put(p, q)
				if !slices.Contains(broken, p) {
					want = append(want, p)
				}
			}
			r.close()
			inFile(t, r.opts.Path, func(b []byte) []byte {
				withoutHead(b)
				for _, p := range broken {
					b = bytes.ReplaceAll(b, []byte(p), []byte(strings.ToUpper(p)))
				}
				return b
			})
			r = newRig(t, Options{Path: r.opts.Path})
			r.run()
			salvaged(r)
			list := r.read(q, 0)
			if got := counted(list); !slices.Equal(got, want) {
				t.Errorf("records %q, want %q", got, want)
			}
			for _, d := range list {
				if _, gap := d.Record.Body.(*gateway.Gap); !gap && !d.Record.ClockUnset {
					t.Error("the mark of an unset clock is lost")
				}
			}
			if dead := deadOf(t, r.Store); len(dead) != len(broken) || r.Stats().Damaged != uint64(len(broken)) {
				t.Errorf("%d records set aside, want %d", len(dead), len(broken))
			}
		})
	}
}

// Damage that a running gateway meets is said, does not stop it, and the next start sets the file aside.
func TestDamageMetWhileRunningIsSetAsideAtTheNextStart(t *testing.T) {
	book, logger := newLogBook()
	r := running(t, Options{Logger: logger})
	q, other := r.Queue("upstream/x"), r.Queue("upstream/y")
	for i := range 5000 {
		r.put(fmt.Sprintf("%05d", i), q)
		if i%50 == 0 {
			r.flush()
		}
	}
	r.reopen() // the log is in the file
	inFile(t, r.opts.Path, func(b []byte) []byte {
		return withoutMiddle(b, 16<<10)
	})
	n, err := readAll(r, q)
	if !isDamage(err) {
		t.Fatalf("read %d records and %v, want damage", n, err)
	}
	select {
	case <-r.Damaged():
	default:
		t.Error("the damage is not told")
	}
	r.Attach(other, func() {})
	r.put("goes on", other)
	r.want(r.read(other, 0), "goes on")
	if book.count("the buffer is damaged: the gateway goes on") != 1 {
		t.Error("it is not said in the log")
	}
	if !exists(r.opts.Path + suspectSuffix) {
		t.Error("the next start will not know of it")
	}
	_ = r.halt() // it may not be able to commit its cursors
	_ = r.Close()
	r.open()
	r.run()
	salvaged(r)
	if st := r.Stats(); st.SetAside == "" {
		t.Error("it was not set aside")
	}
	if exists(r.opts.Path + suspectSuffix) {
		t.Error("the start after that will set the new file aside")
	}
	got := counted(r.read(q, 0))
	if len(got) < 4000 || len(got) == 5000 || !slices.IsSorted(got) {
		t.Errorf("%d of 5000 records came back", len(got))
	}
	t.Logf("%d records before the damage, %d of 5000 came back", n, len(got))
}

// readAll reads a queue until its end or an error.
func readAll(r *rig, q gateway.QueueID) (n int, err error) {
	buf := make([]gateway.Delivery, 100)
	for pos := uint64(0); ; pos = buf[len(buf)-1].Pos {
		got, err := r.Read(q, pos, buf)
		if n += got; err != nil || got < len(buf) {
			return n, err
		}
	}
}

// No epoch comes twice, whatever of the table of epochs can be read, and wherever the clock stands.
func TestEpochsNeverGoBack(t *testing.T) {
	early := func() time.Time { return time.Unix(100, 0) }
	for name, now := range map[string]func() time.Time{"the clock is set": time.Now, "the clock was never set": early} {
		t.Run(name, func(t *testing.T) {
			r := running(t, Options{Now: now})
			up := r.Upstream("x")
			var last uint64
			for range 3 {
				for range 3 {
					epoch, err := up.NextEpoch(t.Context())
					if err != nil || epoch <= last {
						t.Fatalf("epoch %d after %d, %v", epoch, last, err)
					}
					last = epoch
				}
				r.close()
				inFile(t, r.opts.Path, withoutHead)
				r.open()
				r.run()
				up = r.Upstream("x")
			}
		})
	}
}

// FuzzPages feeds the reader of pages with what no database would hold. It must not fail, however wrong that is.
func FuzzPages(f *testing.F) {
	page := make([]byte, newPageSize)
	page[0], page[4] = pageTableLeaf, 3
	f.Add(page, byte(1))
	f.Fuzz(func(t *testing.T, b []byte, n byte) {
		for _, size := range []int{newPageSize, oldPageSize} {
			page := make([]byte, size)
			copy(page, b)
			p := &pageFile{size: size, count: 1, logged: map[uint32]int64{}}
			state := newBroken()
			for _, c := range cells(uint32(n), page) {
				c.overflow = 0 // there is no file to follow it in
				if r, ok := p.row(c, anyRow); ok {
					state.take(r)
				}
			}
		}
	})
}

package buffer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/gateway"
)

// refusedAs opens path, which must fail with want and a text that holds the given parts.
func refusedAs(t *testing.T, path string, want error, parts ...string) {
	t.Helper()
	s, err := Open(context.Background(), Options{Path: path, RefuseDamaged: true})
	if err == nil {
		s.Close()
		t.Fatal("it opens")
	}
	if want != nil && !errors.Is(err, want) {
		t.Errorf("error is not %q: %v", want, err)
	}
	for _, part := range append(parts, path) {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error does not say %q: %v", part, err)
		}
	}
	t.Log(err)
}

// madeFile makes a buffer with something in it and returns its path.
func madeFile(t *testing.T) string {
	t.Helper()
	r := running(t, Options{})
	q := r.Queue("upstream/x")
	for range 2000 {
		r.put(strings.Repeat("x", 100), q)
	}
	r.close()
	return r.opts.Path
}

func alter(t testing.TB, path, query string) {
	t.Helper()
	db, err := sql.Open(driverName, path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusesWhatAnotherHolds(t *testing.T) {
	r := running(t, Options{})
	refusedAs(t, r.opts.Path, ErrInUse, "process ", "stop that one")
	r.close()
	r.open() // and the lock is gone with its holder
	r.run()
}

func TestOpenRefusesANewerSchema(t *testing.T) {
	path := madeFile(t)
	alter(t, path, "PRAGMA user_version = 999")
	refusedAs(t, path, ErrNewer, "schema 999", "install that version")
}

func TestOpenRefusesAnotherProgramsDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.db")
	alter(t, path, "CREATE TABLE theirs(x)")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refusedAs(t, path, ErrForeign, "another program")
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the file was changed, %v", err)
	}
}

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte(strings.Repeat("These are notes. ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	refusedAs(t, path, ErrForeign, "move the file away")
}

func TestOpenRefusesDamageWhenToldTo(t *testing.T) {
	tests := []struct {
		name   string
		damage func(b []byte) []byte
		want   error
	}{
		{"the first page is zero", withoutHead, ErrDamaged},
		{"the second half is missing", func(b []byte) []byte { return b[:middle(b)] }, ErrDamaged},
		{"pages in the middle are zero", func(b []byte) []byte { clear(b[2*pageOf(b) : 12*pageOf(b)]); return b }, ErrDamaged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := madeFile(t)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, tt.damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			refusedAs(t, path, tt.want, "away")
		})
	}
}

func TestOpenNamesTheFolderThatIsMissingOrClosed(t *testing.T) {
	refusedAs(t, filepath.Join(t.TempDir(), "no", "such", "buffer.db"), nil, "does not exist", "create it")
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		dir = "/sys/kernel" // where root may not make a file either
	}
	refusedAs(t, filepath.Join(dir, "buffer.db"), nil, "cannot be written by user")
}

// A lock is written to: it must not be a link to somebody's file, as in a folder that all may write.
func TestOpenFollowsNoLinkToLock(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, "buffer.db.lock")); err != nil {
		t.Fatal(err)
	}
	refusedAs(t, filepath.Join(dir, "buffer.db"), nil, "symbolic link")
	if got, err := os.ReadFile(victim); err != nil || string(got) != "precious" {
		t.Errorf("the file behind the link holds %q (%v)", got, err)
	}
}

// The shape of a file is set when it is made; a wrong order of statements would silently leave it at SQLite's defaults.
func TestNewFileHasItsShape(t *testing.T) {
	r := running(t, Options{})
	for query, want := range map[string]string{
		"PRAGMA page_size": "2048", "PRAGMA auto_vacuum": "2", "PRAGMA journal_mode": "wal", "PRAGMA application_id": fmt.Sprint(applicationID),
		"PRAGMA user_version": "3",
	} {
		var got string
		if err := r.reader.db.QueryRow(query).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", query, got, err, want)
		}
	}
	for _, suffix := range []string{"", "-wal", ".lock"} {
		if info, err := os.Stat(r.opts.Path + suffix); err != nil || info.Mode()&0o007 != 0 {
			t.Errorf("%s%s: %v, %v, want it closed to others", r.opts.Path, suffix, info.Mode(), err)
		}
	}
	var synchronous int
	if err := r.halt(); err != nil {
		t.Fatal(err)
	}
	if err := r.writer.ints("PRAGMA synchronous", &synchronous); err != nil || synchronous != 2 {
		t.Errorf("synchronous is %d, %v, want 2 (FULL)", synchronous, err)
	}
}

func TestStoreIDComesWithTheFile(t *testing.T) {
	r, other := running(t, Options{}), running(t, Options{})
	id := r.StoreID()
	if len(id) != 16 || id == other.StoreID() {
		t.Errorf("ids %q and %q", id, other.StoreID())
	}
	r.reopen()
	if r.StoreID() != id {
		t.Errorf("id %q after a restart, was %q", r.StoreID(), id)
	}
}

func TestSeqGoesOnExactlyAfterAStopInOrder(t *testing.T) {
	r := running(t, Options{})
	up := r.Queue("upstream/x")
	first := r.put("one", up)
	r.reopen()
	next := r.put("two", up)
	if first.Seq != 1 || next.Seq != 2 {
		t.Errorf("seq %d, after the stop %d, want 1 and 2", first.Seq, next.Seq)
	}
	r.want(r.read(up, 0), "one", "two")
}

func TestSeqSkipsToTheMarkAfterACrashAndUpstreamsAreTold(t *testing.T) {
	r := newRig(t, Options{})
	a, b, s := r.Queue("upstream/a"), r.Queue("upstream/b"), r.Queue("session/s")
	r.run()
	var last *gateway.Record
	for range 10 {
		last = r.put("lost with the process", a, b, s)
	}
	r.ok(r.putWait("kept", a))
	unwritten := r.put("lost", b)
	k := r.crash()
	want := []string{"gap 12-16777216: 0 restart"} // 11 is the highest on disk, the mark is that of Open's block
	k.want(k.read(a, 0)[10:], append([]string{"kept"}, want...)...)
	k.want(k.read(b, 0)[10:], want...)
	if n := len(k.read(s, 0)); n != 10 {
		t.Errorf("%d deliveries for the session, want its 10 and no gap", n)
	}
	gap := k.read(b, 0)[10].Record
	if gap.Seq <= unwritten.Seq || gap.Seq <= last.Seq || gap.Seq < 16777217 {
		t.Errorf("gap has seq %d", gap.Seq)
	}
	k.run()
	if rec := k.put("new", a); rec.Seq <= gap.Seq {
		t.Errorf("seq %d after %d", rec.Seq, gap.Seq)
	}
}

func TestSeqBlocksAreReservedAheadOfNeed(t *testing.T) {
	r := newRig(t, Options{})
	r.mu.Lock()
	r.block, r.mark = 100, r.seq+100
	r.mu.Unlock()
	r.run()
	seen := uint64(0)
	for range 1000 {
		rec := record("x")
		r.ok(r.change(&gateway.Change{Record: rec}))
		if rec.Seq != seen+1 {
			t.Fatalf("seq %d after %d", rec.Seq, seen)
		}
		seen = rec.Seq
		r.mu.Lock()
		reserving := r.reserving
		r.mu.Unlock()
		if reserving {
			r.flush()
		}
	}
}

// Numbers beyond the mark could be given twice, so none are given when the disk has refused to move it for too long.
func TestSeqIsNeverGivenBeyondTheMark(t *testing.T) {
	r := newRig(t, Options{})
	q := r.Queue("upstream/x")
	r.mu.Lock()
	r.block, r.mark = 10, r.seq+10
	r.mu.Unlock()
	r.fail(errors.New("no disk"))
	r.run()
	for i := range uint64(10) {
		if rec := r.put("x", q); rec.Seq != i+1 {
			t.Fatalf("seq %d, want %d", rec.Seq, i+1)
		}
	}
	rec := record("x")
	done := r.change(&gateway.Change{Record: rec, To: to(q)})
	if err := <-done; !errors.Is(err, ErrNoSeq) || rec.Seq != 0 {
		t.Errorf("done(%v) with seq %d, want %v", err, rec.Seq, ErrNoSeq)
	}
	r.fail(nil)
}

// fail makes commits fail with err until it is nil.
func (r *rig) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sabotage = func() error { return err }
}

func TestCloseTwiceAndWithoutRun(t *testing.T) {
	r := newRig(t, Options{})
	done := r.putWait("one", r.Queue("session/x"))
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("done(%v), want %v", err, ErrClosed)
	}
	late := r.putWait("two", 1)
	_ = late // nobody calls back for a store that was never run; it must only not crash
}

// A stop commits everything, however much that is.
func TestStopCommitsAllThatIsPending(t *testing.T) {
	r := newRig(t, Options{})
	q := r.Queue("upstream/x")
	body := strings.Repeat("x", 1<<20)
	for range 10 { // several groups
		r.put(body, q)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	if n := len(r.read(q, 0)); n != 10 {
		t.Errorf("%d records after the stop, want 10", n)
	}
}

func TestWhatComesAfterTheStopIsRefused(t *testing.T) {
	r := running(t, Options{})
	q := r.Queue("session/x")
	pending := r.put("pending", q)
	if err := r.halt(); err != nil {
		t.Fatal(err)
	}
	done := r.putWait("late", q)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("done(%v), want %v", err, ErrClosed)
	}
	r.open()
	if list := r.read(q, 0); len(list) != 1 || list[0].Record.Seq != pending.Seq {
		t.Errorf("after the stop: %v", list)
	}
}

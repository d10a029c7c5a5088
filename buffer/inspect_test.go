package buffer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/gateway"
)

// viewer is what a running store and a stopped file have in common.
type viewer interface {
	Overview(ctx context.Context) (gateway.BufferStats, error)
	Scan(ctx context.Context, queue string, after uint64, fn func(gateway.Delivery) error) error
	Verify(ctx context.Context, progress func(done, total int64)) (gateway.Verdict, error)
	Dead(ctx context.Context, fn func(gateway.DeadRecord) error) error
}

var (
	_ viewer = (*Store)(nil)
	_ viewer = (*File)(nil)
)

// scan gathers what a scan gives.
func scan(t *testing.T, v viewer, queue string, after uint64) []gateway.Delivery {
	t.Helper()
	var list []gateway.Delivery
	if err := v.Scan(t.Context(), queue, after, func(d gateway.Delivery) error { list = append(list, d); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

// deadOf gathers what was set aside.
func deadOf(t *testing.T, v viewer) (list []gateway.DeadRecord) {
	t.Helper()
	if err := v.Dead(t.Context(), func(d gateway.DeadRecord) error { list = append(list, d); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

// verdict checks all of a buffer and that the progress it tells ends where it should.
func verdict(t *testing.T, v viewer) gateway.Verdict {
	t.Helper()
	var done, total int64
	got, err := v.Verify(t.Context(), func(d, n int64) {
		if d < done || d > n {
			t.Errorf("progress %d of %d after %d", d, n, done)
		}
		done, total = d, n
	})
	if err != nil || done != total {
		t.Fatalf("progress ended at %d of %d, %v", done, total, err)
	}
	return got
}

// openFile opens the rig's file for reading once its store has closed.
func openFile(t *testing.T, path string) *File {
	t.Helper()
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func queueStats(t *testing.T, v viewer, name string) gateway.QueueStats {
	t.Helper()
	stats, err := v.Overview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range stats.Queues {
		if q.Name == name {
			return q
		}
	}
	t.Fatalf("there is no queue %s in %+v", name, stats)
	return gateway.QueueStats{}
}

func TestScanSeesTheSameRunningAndStopped(t *testing.T) {
	r := running(t, Options{})
	up, s := r.Queue("upstream/x"), r.Queue("session/y")
	var want []string
	for i := range 1000 {
		r.put(fmt.Sprint(i), up, s)
		want = append(want, fmt.Sprint(i))
		if i == 600 {
			r.flush()
		}
	}
	r.want(scan(t, r.Store, "upstream/x", 0), want...) // from disk, and then from memory
	r.want(scan(t, r.Store, "session/y", 990), want[990:]...)
	r.Ack(up, 1, 2, 3, 5)
	want = slices.Concat(want[3:4], want[5:])
	r.want(scan(t, r.Store, "upstream/x", 0), want...)
	path := r.opts.Path
	r.close()
	f := openFile(t, path)
	// The cursor on disk moves in order: what was acknowledged behind a delivery that was not is there again.
	r.want(scan(t, f, "upstream/x", 4), slices.Concat([]string{"4"}, want[1:])...)
	if q := queueStats(t, f, "upstream/x"); q.Depth != 997 || !q.Oldest.Equal(record("").Time) || q.Bytes < 10000 {
		t.Errorf("overview says %+v", q)
	}
	if got := verdict(t, f); !got.OK() || got.Records != 997+1000 {
		t.Errorf("verdict %+v", got)
	}
}

func TestScanEndsWhenItIsTold(t *testing.T) {
	r := running(t, Options{})
	q := r.Queue("session/x")
	for i := range 10 {
		r.put(fmt.Sprint(i), q)
	}
	n := 0
	err := r.Scan(t.Context(), "session/x", 0, func(gateway.Delivery) error { n++; return errEnough })
	if n != 1 || !errors.Is(err, errEnough) {
		t.Errorf("%d deliveries, %v", n, err)
	}
	wantNoQueue(t, r.Store)
	wantNoQueue(t, stopped(t, r))
}

// wantNoQueue checks that a queue which is not there is told from one that is empty.
func wantNoQueue(t *testing.T, v viewer) {
	t.Helper()
	err := v.Scan(t.Context(), "session/z", 0, nil)
	if !errors.Is(err, ErrNoQueue) || !strings.Contains(err.Error(), `"session/z": there are session/x`) {
		t.Errorf("no such queue: %v", err)
	}
}

// stopped is the file of a store that has stopped.
func stopped(t *testing.T, r *rig) *File {
	t.Helper()
	path := r.opts.Path
	r.close()
	return openFile(t, path)
}

// files lists a folder with the check sum of each file.
func files(t *testing.T, path string) map[string]string {
	t.Helper()
	list := map[string]string{}
	names, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		list[filepath.Base(name)] = fmt.Sprintf("%x", sha256.Sum256(b))
	}
	return list
}

func TestOpenFileChangesNothing(t *testing.T) {
	r := running(t, Options{})
	q := r.Queue("upstream/x")
	r.put("one", q)
	r.flush()
	crashed := copyFiles(t, r.opts.Path)
	path := r.opts.Path
	r.close()
	for name, path := range map[string]string{"stopped": path, "crashed": crashed} {
		t.Run(name, func(t *testing.T) {
			before := files(t, path)
			f, err := OpenFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if list := scan(t, f, "upstream/x", 0); len(list) != 1 {
				t.Errorf("%d deliveries, want 1", len(list))
			}
			verdict(t, f)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			after := files(t, path)
			delete(after, filepath.Base(path)+"-shm") // the index of a log that a crash has left
			if fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("files are\n%v, were\n%v", after, before)
			}
		})
	}
}

func TestOpenFileRefuses(t *testing.T) {
	r := running(t, Options{})
	_, err := OpenFile(r.opts.Path)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("in use: %v", err)
	}
	path := r.opts.Path
	r.close()
	f := openFile(t, path)
	refusedAs(t, path, ErrInUse) // no gateway starts beneath a reader
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(filepath.Join(t.TempDir(), "no.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	alter(t, path, "PRAGMA user_version = 999")
	if _, err := OpenFile(path); !errors.Is(err, ErrNewer) {
		t.Errorf("newer: %v", err)
	}
	if _, err := OpenFile(broke(t, 10)); !errors.Is(err, ErrDamaged) {
		t.Errorf("damaged: %v", err)
	}
	alter(t, path, "PRAGMA application_id = 1")
	if _, err := OpenFile(path); !errors.Is(err, ErrForeign) {
		t.Errorf("foreign: %v", err)
	}
}

func TestVerifyCountsWhatIsDamagedAndWhatNobodyReaches(t *testing.T) {
	r := running(t, Options{})
	q, up := r.Queue("session/x"), r.Queue("upstream/y")
	for _, p := range []string{"one", "two", "broken", "four"} {
		r.put(p, q, up)
	}
	path := r.opts.Path
	r.close()
	alter(t, path, `UPDATE chunk SET body = CAST(replace(body, CAST('broken' AS BLOB), CAST('BROKEN' AS BLOB)) AS BLOB)`)
	alter(t, path, `INSERT INTO gap(key, body) VALUES(999 << 43 | 1, x'00')`)
	want := gateway.Verdict{Records: 8, Damaged: 2, Foreign: 1}
	if got := verdict(t, openFile(t, path)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("stopped: %+v, want %+v", got, want)
	}
	r = running(t, Options{Path: copyFiles(t, path)})
	if got := verdict(t, r.Store); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("running: %+v, want %+v", got, want)
	}
}

func TestVerifyTellsDamageOfTheStructure(t *testing.T) {
	path := madeFile(t)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	withoutMiddle(b, 16<<10)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := openFile(t, path).Verify(t.Context(), nil)
	if err != nil || got.OK() || len(got.Structure) == 0 {
		t.Errorf("verdict %+v, %v", got, err)
	}
}

func TestDeadRecordsAreListedDroppedAndRetried(t *testing.T) {
	r := running(t, Options{})
	up := r.Upstream("x")
	for i := range 4 {
		r.put(fmt.Sprint(i), up.Queue())
	}
	for pos := range uint64(3) {
		if err := up.Park(t.Context(), pos+1, "too long"); err != nil {
			t.Fatal(err)
		}
	}
	list := deadOf(t, r.Store)
	if len(list) != 3 || list[1].N != 2 || list[1].Pos != 2 || list[1].Queue != "upstream/x" || list[1].Reason != "too long" ||
		string(list[1].Record.Body.(*gateway.Message).Payload) != "1" {
		t.Fatalf("set aside: %+v", list)
	}
	if n, err := r.DropDead(t.Context(), 1, 77); n != 1 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
	if _, err := r.RetryDead(t.Context(), 2, 77); err == nil || !strings.Contains(err.Error(), "no record 77") {
		t.Errorf("retried what is not there: %v", err)
	}
	if n, err := r.RetryDead(t.Context(), 2); n != 1 || err != nil {
		t.Errorf("retried %d, %v", n, err)
	}
	if n := r.Stats().Dead; n != 1 {
		t.Errorf("statistics say %d, want 1", n)
	}
	if n, err := r.RetryDead(t.Context()); n != 1 || err != nil {
		t.Errorf("retried %d, %v", n, err)
	}
	got := r.read(up.Queue(), 3)
	r.want(got, "3", "1", "2")
	if got[1].Record.Seq <= got[0].Record.Seq || !got[1].Record.Time.Equal(record("").Time) {
		t.Errorf("retried record %+v", got[1].Record)
	}
	r.reopen()
	r.want(r.read(up.Queue(), 3), "3", "1", "2")
	if n := len(deadOf(t, r.Store)); n != 0 {
		t.Errorf("%d left", n)
	}
	if n, err := r.DropDead(t.Context()); n != 0 || err != nil {
		t.Errorf("dropped %d of none, %v", n, err)
	}
}

func TestPurgeAcknowledgesAndLeavesAGap(t *testing.T) {
	r := running(t, Options{})
	up, s := r.Queue("upstream/x"), r.Queue("session/y")
	for i := range 10 {
		r.put(fmt.Sprint(i), up, s)
		if i == 4 {
			r.flush()
		}
	}
	r.Ack(up, 1)
	if n, err := r.Purge(t.Context(), "upstream/x", 7); n != 6 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	r.want(r.read(up, 0), "7", "8", "9", "gap 2-7: 6 purge")
	if n, err := r.Purge(t.Context(), "session/y", 0); n != 10 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	if n, err := r.Purge(t.Context(), "session/y", 0); n != 0 || err != nil {
		t.Errorf("purged %d of none, %v", n, err)
	}
	r.want(r.read(s, 0))
	r.Inbox()
	if _, err := r.Purge(t.Context(), "inbox", 0); err == nil {
		t.Error("the inbox is purged")
	}
	k := r.crash()
	k.want(k.read(up, 0)[:4], "7", "8", "9", "gap 2-7: 6 purge")
	k.want(k.read(s, 0))
}

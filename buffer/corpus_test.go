package buffer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// What the file of the corpus holds.
const (
	corpusRecords = 3000
	corpusAcked   = 500
	corpusLogged  = 300 // of corpusRecords, that only the log has
)

// corpus is a file with something in every table, as a crash leaves it: with a log.
func corpus(t *testing.T, pageSize int64) (path string) {
	t.Helper()
	r := running(t, Options{pageSize: pageSize})
	up, s, in := r.Upstream("x"), r.Queue("session/s"), r.Inbox()
	for range 7 {
		if _, err := up.NextEpoch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{"finished", "waiting"} {
		r.ok(r.change(&gateway.Change{Record: record(p), To: to(in.Queue()), Barrier: true}))
	}
	if err := in.Finish(t.Context(), 1, "id-1", []byte("result")); err != nil {
		t.Fatal(err)
	}
	r.ops(
		gateway.PutSession{Queue: s, ClientID: "s", User: "u", Expiry: time.Hour},
		gateway.PutSubscription{Queue: s, Subscription: gateway.Subscription{Filter: "plant/#", QoS: 2}},
		gateway.PutInbound{Queue: s, PacketID: 7},
		gateway.PutRetained{Message: message("plant/large", strings.Repeat("r", 12<<10))},
		gateway.PutWill{ClientID: "s", User: "u", Message: message("plant/w", "will"), Delay: time.Minute, Due: time.UnixMilli(4)},
	)
	for i := range 100 {
		r.ops(gateway.PutRetained{Message: message(fmt.Sprintf("plant/retained/%d", i), strings.Repeat("r", 100))})
	}
	for i := range corpusRecords {
		if i == corpusRecords-corpusLogged {
			r.flush()
			restart(r)
		}
		r.put(fmt.Sprintf("%05d%s", i, strings.Repeat(" x", i%100)), up.Queue(), s)
		if i%23 == 0 {
			r.flush()
		}
	}
	for pos := range uint64(corpusAcked) {
		r.Ack(up.Queue(), pos+1)
	}
	r.flush()
	path = copyFiles(t, r.opts.Path)
	r.close()
	return path
}

// restart empties the log into the file.
func restart(r *rig) {
	r.t.Helper()
	r.reopen()
	r.Queue("session/s")
}

// spoil changes a file of the corpus.
type spoil func(t *testing.T, path string)

// inDatabase changes the bytes of the database alone.
func inDatabase(change func(b []byte) []byte) spoil {
	return func(t *testing.T, path string) { inFile(t, path, change) }
}

func inFile(t *testing.T, path string, change func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func inLog(change func(b []byte) []byte) spoil {
	return func(t *testing.T, path string) { inFile(t, path+"-wal", change) }
}

// pageOf returns the size of the pages of a database whose head is whole.
func pageOf(b []byte) int { return int(binary.BigEndian.Uint16(b[16:])) }

// middle returns where the page in the middle of a database begins.
func middle(b []byte) int { return len(b) / 2 / pageOf(b) * pageOf(b) }

// withoutHead writes zeros over the first page of a database.
func withoutHead(b []byte) []byte {
	clear(b[:pageOf(b)])
	return b
}

// withoutMiddle writes zeros over so many bytes in the middle of a database.
func withoutMiddle(b []byte, n int) []byte {
	at := middle(b)
	clear(b[at : at+n])
	return b
}

// garbage writes over b what no page looks like.
func garbage(b []byte) {
	for i := range b {
		b[i] = byte(i*i>>3 ^ i)
	}
}

// spoilMarked flips bits in payloads.
func spoilMarked(b []byte) []byte { return bytes.ReplaceAll(b, []byte("01234 x"), []byte("0!234 x")) }

// corpusCase is a way to damage a file.
type corpusCase struct {
	name  string
	spoil spoil
	aside bool // it is set aside at once; else SQLite sees nothing
	least int  // records that must come back of the 2500 that the upstream has not acknowledged
	state bool // and all of the broker's state
}

func corpusCases() []corpusCase {
	const all = corpusRecords - corpusAcked
	return []corpusCase{
		{"nothing", func(*testing.T, string) {}, false, all, true},
		{"the first page is zero", inDatabase(withoutHead), false, all, true}, // the log has it
		{"the first page is zero and there is no log", func(t *testing.T, path string) {
			inFile(t, path, withoutHead)
			removeLog(t, path)
		}, true, all - corpusLogged, true},
		{"pages in the middle are zero", inDatabase(func(b []byte) []byte { return withoutMiddle(b, 32<<10) }), true, all - 250, true},
		{"the root of queues is garbage", func(t *testing.T, path string) {
			inFile(t, path, func(b []byte) []byte { garbage(b[3*pageOf(b) : 4*pageOf(b)]); return b })
			removeLog(t, path)
		}, true, all - corpusLogged, true},
		{"all roots are garbage", func(t *testing.T, path string) {
			inFile(t, path, func(b []byte) []byte { garbage(b[2*pageOf(b) : 20*pageOf(b)]); return b })
			removeLog(t, path)
		}, true, 0, false},
		{"the second half is missing", inDatabase(func(b []byte) []byte { return b[:middle(b)] }), true, 800, false},
		{"bits of payloads are flipped", func(t *testing.T, path string) {
			inFile(t, path, spoilMarked)
		}, false, all - 1, true},
		{"the log is zero", inLog(func(b []byte) []byte { clear(b); return b }), false, all - corpusLogged, true},
		{"the log is cut", inLog(func(b []byte) []byte { return b[:len(b)/2] }), false, all - corpusLogged, true},
		{"the log is another file's", logOfAnother(newPageSize), true, all - corpusLogged, true},
		{"the log is another file's, an older one's", logOfAnother(oldPageSize), true, all - corpusLogged, true},
		{"the first page is zero and the log is another file's", both(inDatabase(withoutHead), logOfAnother(newPageSize)), true, all - corpusLogged, true},
		{"the first page is zero and the log is an older file's", both(inDatabase(withoutHead), logOfAnother(oldPageSize)), true, all - corpusLogged, true},
		{"the file is empty and the log is not", inDatabase(func([]byte) []byte { return nil }), true, corpusLogged, false},
		{"the file is zeros", func(t *testing.T, path string) {
			inFile(t, path, func(b []byte) []byte { clear(b); return b })
			removeLog(t, path)
		}, true, 0, false},
	}
}

func removeLog(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path + "-wal"); err != nil {
		t.Fatal(err)
	}
}

// both does two things to a file.
func both(a, b spoil) spoil {
	return func(t *testing.T, path string) { a(t, path); b(t, path) }
}

// logOfAnother puts the log of another buffer in the place of the file's.
func logOfAnother(pageSize int64) spoil {
	return func(t *testing.T, path string) {
		other := otherLog(t, pageSize)
		inFile(t, path+"-wal", func([]byte) []byte { return other })
	}
}

// otherLog is the log of another buffer, whose pages have that size.
func otherLog(t *testing.T, pageSize int64) []byte {
	t.Helper()
	r := running(t, Options{pageSize: pageSize})
	q := r.Queue("upstream/other")
	for i := range 200 {
		r.ok(r.putWait(strings.Repeat(fmt.Sprint("other ", i), 50), q))
	}
	b, err := os.ReadFile(r.opts.Path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	r.close()
	return b
}

// TestCorpusOfDamagedFiles opens files that were damaged in all sorts of ways: the gateway goes on, and gets back what can be found.
// So do files with pages of the old size; what takes their place has the new one.
func TestCorpusOfDamagedFiles(t *testing.T) {
	for _, pageSize := range []int64{newPageSize, oldPageSize} {
		whole := corpus(t, pageSize)
		for _, c := range corpusCases() {
			t.Run(fmt.Sprint(pageSize, "/", c.name), func(t *testing.T) {
				path := copyFiles(t, whole)
				c.spoil(t, path)
				c.check(t, path, pageSize)
			})
		}
	}
}

// check opens the damaged file at path.
func (c *corpusCase) check(t *testing.T, path string, pageSize int64) {
	r := newRig(t, Options{Path: path})
	up := r.Upstream("x")
	r.run()
	salvaged(r)
	got := order(t, r.read(up.Queue(), up.Attach()))
	st := r.Stats()
	t.Logf("%d of %d records of the upstream came back; set aside: %t, salvaged %d, in dead %d", got, corpusRecords-corpusAcked,
		st.SetAside != "", st.Salvaged, st.Dead)
	if aside := st.SetAside != ""; aside != c.aside {
		t.Errorf("set aside: %t, want %t", aside, c.aside)
	}
	if got < c.least {
		t.Errorf("%d records came back, want %d or more", got, c.least)
	}
	if c.aside {
		pageSize = newPageSize
		wantToldOfDamage(t, r, up)
	}
	if r.writer.pageSize != pageSize {
		t.Errorf("pages of %d bytes, want %d", r.writer.pageSize, pageSize)
	}
	if c.state {
		wantCorpusState(t, r)
	}
	if epoch, err := up.NextEpoch(t.Context()); epoch <= 7 || err != nil {
		t.Errorf("epoch %d, %v, want more than 7", epoch, err)
	}
	r.ok(r.putWait("new", up.Queue()))
	r.reopen()
	if st := r.Stats(); st.SetAside != "" {
		t.Errorf("after another start %s is still to be saved", st.SetAside)
	}
}

// salvaged waits until the store has saved what it can.
func salvaged(r *rig) {
	r.t.Helper()
	for began := time.Now(); r.Stats().Salvaging || r.rows("meta WHERE key = 'salvage'") > 0; r.flush() {
		if time.Since(began) > patience {
			r.t.Fatal("it is still being salvaged")
		}
	}
}

// order checks that the records of the corpus are in their order, once, and returns how many there are.
func order(t *testing.T, list []gateway.Delivery) (n int) {
	t.Helper()
	last := ""
	for _, d := range list {
		m, ok := d.Record.Body.(*gateway.Message)
		if !ok {
			continue
		}
		p := string(m.Payload[:5])
		if strings.HasPrefix(p, "other") {
			continue
		}
		if p <= last || !d.Record.Time.Equal(record("").Time) {
			t.Fatalf("record %s of %v after %s", p, d.Record.Time, last)
		}
		last = p
		n++
	}
	return n
}

// wantToldOfDamage checks that the upstream gets a gap record, and that the old file lies beside the new one.
func wantToldOfDamage(t *testing.T, r *rig, up *Upstream) {
	t.Helper()
	told := 0
	for _, d := range r.read(up.Queue(), 0) {
		if gap, ok := d.Record.Body.(*gateway.Gap); ok && gap.Reason == "damage" {
			told++
		}
	}
	if told != 1 {
		t.Errorf("%d gap records tell of the damage, want 1", told)
	}
	if aside := r.Stats().SetAside; filepath.Dir(aside) != filepath.Dir(r.opts.Path) || !exists(aside) {
		t.Errorf("set aside as %s, which is not there", aside)
	}
}

// wantCorpusState checks that what is not in queues came back: what the broker needs before it starts, and that no command runs twice.
func wantCorpusState(t *testing.T, r *rig) {
	t.Helper()
	got, err := r.Recover()
	if err != nil || len(got.Sessions) != 1 || len(got.Retained) != 101 || len(got.Wills) != 1 {
		t.Fatalf("recovered %d sessions, %d retained messages, %d wills, %v", len(got.Sessions), len(got.Retained), len(got.Wills), err)
	}
	if w := got.Wills[0]; w.ClientID != "s" || w.User != "u" || w.Delay != time.Minute || !w.Due.Equal(time.UnixMilli(4)) {
		t.Errorf("will %+v", w)
	}
	s := got.Sessions[0]
	if s.ClientID != "s" || s.User != "u" || s.Expiry != time.Hour || !s.Disconnected.IsZero() || len(s.Subscriptions) != 1 ||
		s.Subscriptions[0] != (gateway.Subscription{Filter: "plant/#", QoS: 2}) || len(s.Inbound) != 1 || s.Inbound[0] != 7 {
		t.Errorf("session %+v", s)
	}
	if s.Queue != r.Queue("session/s") {
		t.Errorf("the session's queue is %d, want %d", s.Queue, r.Queue("session/s"))
	}
	in := r.Inbox()
	if result, found, err := in.Result(t.Context(), "id-1"); string(result) != "result" || !found || err != nil {
		t.Errorf("result %q %v %v", result, found, err)
	}
	list := r.read(in.Queue(), 0)
	r.want(list, "waiting")
	if r.Stats().SetAside != "" && !r.begun(list[0].Pos) {
		t.Error("a command of the damaged file may be carried out again")
	}
}

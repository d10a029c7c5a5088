package buffer

import (
	"encoding/binary"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tidegate/tidegate/gateway"
)

// damaged is a store on a file in which every byte that follows mark in a chunk has been flipped, which SQLite's own checks do not see.
func damaged(c *clocked, mark string) *rig {
	c.t.Helper()
	path := copyFiles(c.t, c.opts.Path)
	alter(c.t, path, `UPDATE chunk SET body = CAST(replace(body, CAST('`+mark+`' AS BLOB), CAST('`+strings.ToUpper(mark)+`' AS BLOB)) AS BLOB)`)
	o := c.opts
	o.Path = path
	r := newRig(c.t, o)
	r.run()
	return r
}

func TestDamagedRecordIsSetAsideAndTheQueueGoesOn(t *testing.T) {
	book, logger := newLogBook()
	inBubble(t, Options{Logger: logger}, func(t *testing.T, c *clocked) {
		q, up := c.away("session/x"), c.away("upstream/y")
		for _, p := range []string{"one", "two", "broken", "four"} {
			c.put(p, q, up)
		}
		c.elapse(interval)
		r := damaged(c, "broken")
		defer r.close()
		r.want(r.read(q, 0), "one", "two", "four")
		r.want(r.read(up, 0)[:3], "one", "two", "four")
		<-synced(r)
		if n := r.rows("dead WHERE pos = 3 AND reason LIKE '%check sum%' AND instr(body, CAST('BROKEN' AS BLOB)) > 0"); n != 2 {
			t.Errorf("%d rows of dead for the record, want one for each queue", n)
		}
		if st := r.Stats(); st.Damaged != 2 || book.count("record is damaged") != 2 {
			t.Errorf("%d damaged, %d log lines, want 2", st.Damaged, book.count("record is damaged"))
		}
		r.Attach(q, func() {})
		r.Ack(q, 1, 2, 4)
		if acked := r.Attach(q, func() {}); acked != 4 {
			t.Errorf("acknowledged through %d, want 4", acked)
		}
	})
}

// synced closes when what is pending is committed, in fake time.
func synced(r *rig) <-chan struct{} {
	done := make(chan struct{})
	r.flush()
	synctest.Wait()
	close(done)
	return done
}

func TestDamagedChunkIsSetAsideAndTheQueueGoesOn(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		q := c.away("session/x")
		for _, p := range []string{"one", "two"} {
			c.put(p, q)
		}
		c.elapse(interval)
		c.put("three", q)
		c.elapse(interval)
		path := copyFiles(t, c.opts.Path)
		alter(t, path, `UPDATE chunk SET body = CAST(x'02' || substr(body, 2) AS BLOB) WHERE key & 0xffff = 1`)
		r := newRig(t, Options{Path: path})
		r.run()
		defer r.close()
		r.want(r.read(q, 0), "three")
		<-synced(r)
		if n := r.rows("dead WHERE reason LIKE '%damaged%'"); n != 1 {
			t.Errorf("%d rows of dead, want 1", n)
		}
		if n := r.depth("session/x"); n != 1 {
			t.Errorf("depth %d, want 1", n)
		}
	})
}

func TestDamagedRetainedMessageIsLeftOut(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, c *clocked) {
		c.ops(gateway.PutRetained{Message: message("good", "1")}, gateway.PutRetained{Message: message("bad", "2")})
		path := copyFiles(t, c.opts.Path)
		alter(t, path, `UPDATE retained SET body = CAST(x'ff' || body AS BLOB) WHERE topic = 'bad'`)
		r := newRig(t, Options{Path: path})
		defer r.close()
		rec, err := r.Recover()
		if err != nil || len(rec.Retained) != 1 || rec.Retained[0].Message.Topic != "good" {
			t.Errorf("recovered %+v, %v", rec, err)
		}
	})
}

// Whatever is wrong with what a queue holds, it is set aside, counted, and the queue goes on behind it.
func TestWhateverIsDamagedTheQueueGoesOn(t *testing.T) {
	for _, tt := range []struct {
		name, query string
		want        []string // what the upstream gets
		dead        string   // where the rest is found
	}{
		{
			"a gap record", `UPDATE gap SET body = x'01ff'`,
			[]string{"one", "three", "four"},
			"reason LIKE '%damaged%' AND pos = 2",
		},
		{
			"a record whose check sum fits and that is none", `UPDATE chunk SET body = unparsable(body)`,
			[]string{"gap 2-2: 1 size", "three", "four"},
			"reason LIKE '%record%' AND pos = 1",
		},
		{
			"a reference to a chunk that is gone", `DELETE FROM chunk WHERE refs IS NOT NULL`,
			[]string{"one", "gap 2-2: 1 size", "four"},
			"reason LIKE '%missing%' AND pos = 3",
		},
		{
			"a chunk of another version", `UPDATE chunk SET body = CAST(x'63' || substr(body, 2) AS BLOB) WHERE refs IS NOT NULL`,
			[]string{"one", "gap 2-2: 1 size", "four"},
			"reason LIKE '%version%' AND pos = 3",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := damageable(t)
			if strings.Contains(tt.query, "unparsable") {
				makeUnparsable(t, path)
			} else {
				alter(t, path, tt.query)
			}
			r := running(t, Options{Path: path})
			up := r.Queue("upstream/y")
			r.want(r.read(up, 0), tt.want...)
			r.flush()
			if n := r.rows("dead WHERE queue = 'upstream/y' AND " + tt.dead); n != 1 {
				t.Errorf("%d rows of dead, want 1: %+v", n, deadOf(t, r.Store))
			}
			if st := r.Stats(); st.Damaged != 1 || st.Dead != 1 {
				t.Errorf("%d damaged, %d dead, want 1 and 1", st.Damaged, st.Dead)
			}
			r.Attach(up, func() {})
			r.Ack(up, 1, 2, 3, 4)
			if n := r.depth("upstream/y"); n != 0 {
				t.Errorf("depth %d, want 0", n)
			}
			r.reopen()
			r.want(r.read(up, 0))
		})
	}
}

// damageable is a stopped buffer whose upstream waits for a record in a chunk of its own, a gap that has replaced one, a record that it
// shares with a session, which has it first, and another of its own.
func damageable(t *testing.T) (path string) {
	t.Helper()
	r := running(t, Options{})
	s, up := r.Queue("session/x"), r.Queue("upstream/y")
	for _, p := range []string{"one", "two"} {
		r.put(p, up)
		r.flush()
	}
	r.put("three", s, up)
	r.flush()
	r.put("four", up)
	gap := r.gapRecord(2, gateway.Gap{Queue: "upstream/y", From: 2, To: 2, Count: 1, Reason: "size"})
	err := r.do(t.Context(), 0, 0, func(a *applier) error {
		if err := a.exec(`DELETE FROM chunk WHERE key = ?`, key(up, 2)); err != nil {
			return err
		}
		return a.putGap(live{pos: 2, ref: gateway.Ref{Queue: up, QoS: 1}}, gap)
	})
	if err != nil {
		t.Fatal(err)
	}
	r.close()
	return r.opts.Path
}

// makeUnparsable puts a record of an unknown form, with the right check sum, in the place of the upstream's first.
func makeUnparsable(t *testing.T, path string) {
	t.Helper()
	r := running(t, Options{Path: path})
	at := live{pos: 1, ref: gateway.Ref{Queue: r.Queue("upstream/y"), QoS: 1}}
	var b chunkBuilder
	b.reset([]live{at})
	b.add([]live{at}, record("one"))
	b.bodies[0] = 99
	binary.LittleEndian.PutUint32(b.records[len(b.records)-4:], checksum(b.bodies))
	err := r.do(t.Context(), 0, 0, func(a *applier) error {
		return a.exec(`UPDATE chunk SET body = ? WHERE key = ?`, b.append(nil), key(at.ref.Queue, 1))
	})
	if err != nil {
		t.Fatal(err)
	}
	r.close()
}

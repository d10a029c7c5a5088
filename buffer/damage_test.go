package buffer

import (
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
		if err != nil || len(rec.Retained) != 1 || rec.Retained[0].Topic != "good" {
			t.Errorf("recovered %+v, %v", rec, err)
		}
	})
}

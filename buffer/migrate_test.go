package buffer

import (
	"database/sql"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/gateway"
)

// fixture is the file of one schema version with something in every table, as SQL, written by that version and never changed since.
func fixture(version int) string {
	return filepath.Join("testdata", fmt.Sprintf("version%d.sql", version))
}

var makeFixture = flag.Bool("make-fixture", false, "write the fixture of the present schema: once, before the next version is begun")

// makeFixtureFile writes the fixture of a schema version.
func makeFixtureFile(t *testing.T, version int) {
	t.Helper()
	now := time.Date(2026, 11, 21, 4, 30, 0, 0, time.UTC)
	r := newRig(t, Options{Now: func() time.Time { now = now.Add(time.Millisecond); return now }})
	fillFixture(r)
	r.close()
	if err := os.WriteFile(fixture(version), []byte(dump(t, r.opts.Path)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fillFixture puts something into every table. wantFixture knows what.
func fillFixture(r *rig) {
	r.run()
	up, s, in := r.Upstream("cloud"), r.Queue("session/s"), r.Inbox()
	shared := &gateway.Record{Time: time.UnixMilli(1), Body: message("plant/x", "shared")}
	reading := &gateway.Record{Time: time.UnixMilli(2), Body: &gateway.Batch{
		Topic: "base/meter", Time: time.UnixMilli(2), Names: []string{"u"}, Readings: []gateway.Reading{{
			Value: gateway.Float32(230.1), Quality: gateway.QualityGood, Time: time.UnixMilli(2),
		}},
	}}
	for range 2 {
		r.put("acknowledged", up.Queue())
	}
	r.Commit(&gateway.Change{Record: shared, To: to(up.Queue(), s)}, nil)
	r.Commit(&gateway.Change{Record: reading, To: to(up.Queue())}, nil)
	r.put("replaced by a gap", up.Queue())
	r.put("poison", up.Queue())
	for _, p := range []string{"command", "finished"} {
		r.ok(r.change(&gateway.Change{Record: record(p), To: to(in.Queue()), Barrier: true}))
	}
	r.ops(
		gateway.PutSession{Queue: s, ClientID: "s", User: "u", Expiry: time.Hour, Disconnected: time.UnixMilli(3)},
		gateway.PutSubscription{Queue: s, Subscription: gateway.Subscription{Filter: "plant/#", QoS: 1}},
		gateway.PutInbound{Queue: s, PacketID: 7}, gateway.PutReceived{Queue: s, Pos: 1},
		gateway.PutRetained{Message: message("plant/r", "retained")},
		gateway.PutWill{ClientID: "s", User: "u", Message: message("plant/w", "will"), Delay: time.Minute, Due: time.UnixMilli(4)},
	)
	gap := r.gapRecord(5, gateway.Gap{Queue: "upstream/cloud", From: 5, To: 5, Count: 1, Reason: "size"})
	ctx := r.t.Context()
	_, err := up.NextEpoch(ctx)
	for _, err := range []error{
		err,
		r.do(ctx, 0, 0, func(a *applier) error {
			return a.putGap(live{pos: 5, ref: gateway.Ref{Queue: up.Queue(), QoS: 1}}, gap)
		}),
		up.Park(ctx, 6, "too long"),
		in.Start(ctx, 1), in.Finish(ctx, 2, "id", []byte("result")),
	} {
		if err != nil {
			r.t.Fatal(err)
		}
	}
	r.Ack(up.Queue(), 1, 2)
	r.flush()
}

// wantFixture checks that everything is there which fillFixture of that version has put.
func wantFixture(r *rig, version int) {
	t := r.t
	t.Helper()
	up, s, in := r.Upstream("cloud"), r.Queue("session/s"), r.Inbox()
	list := r.read(up.Queue(), up.Attach())
	r.want(list[:1], "shared")
	batch, ok := list[1].Record.Body.(*gateway.Batch)
	if !ok || batch.Readings[0].Value.String() != "230.1" || list[1].Record.Seq != 4 {
		t.Errorf("reading %+v", list[1].Record)
	}
	r.want(list[2:3], "gap 5-5: 1 size")
	r.want(r.read(s, 0), "shared")
	pos, rec, started, err := in.Next(t.Context(), 0)
	if pos != 1 || string(rec.Body.(*gateway.Message).Payload) != "command" || !started || err != nil {
		t.Errorf("command %d %+v %v %v", pos, rec, started, err)
	}
	if result, found, err := in.Result(t.Context(), "id"); string(result) != "result" || !found || err != nil {
		t.Errorf("result %q %v %v", result, found, err)
	}
	if n, err := up.NextEpoch(t.Context()); n != 2 || err != nil {
		t.Errorf("epoch %d, %v", n, err)
	}
	got, err := r.Recover()
	if err != nil || len(got.Sessions) != 1 || len(got.Retained) != 1 || len(got.Wills) != 1 {
		t.Fatalf("recovered %+v, %v", got, err)
	}
	state := got.Sessions[0]
	if state.ClientID != "s" || state.User != "u" || state.Expiry != time.Hour || !state.Disconnected.Equal(time.UnixMilli(3)) ||
		len(state.Subscriptions) != 1 || state.Inbound[0] != 7 || state.Received[0] != 1 {
		t.Errorf("session %+v", state)
	}
	will := gateway.PutWill{ClientID: "s", User: "u", Message: message("plant/w", "will")} // before schema 3 its session tells the user
	if version >= 2 {                                                                      // there was no delay before
		will.Delay, will.Due = time.Minute, time.UnixMilli(4).UTC()
	}
	if diff := cmp.Diff(will, got.Wills[0]); diff != "" {
		t.Errorf("will (-want +got):\n%s", diff)
	}
	if n := r.rows("dead WHERE reason = 'too long'"); n != 1 {
		t.Errorf("%d rows of dead, want 1", n)
	}
}

// TestFilesOfEveryVersionOpen brings the file of each schema version there ever was up to date.
func TestFilesOfEveryVersionOpen(t *testing.T) {
	steps, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	if *makeFixture {
		makeFixtureFile(t, len(steps))
	}
	for version := 1; version <= len(steps); version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			script, err := os.ReadFile(fixture(version))
			if err != nil {
				t.Fatalf("%v: make it with go test ./buffer -run FilesOfEveryVersion -make-fixture", err)
			}
			path := filepath.Join(t.TempDir(), "buffer.db")
			alter(t, path, string(script))
			wantFixture(running(t, Options{Path: path}), version)
		})
	}
}

func TestMigrationsRunInOrderEachOnce(t *testing.T) {
	path := madeFile(t)
	c, err := dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	steps, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	more := append(steps, "CREATE TABLE later(x); INSERT INTO later VALUES (1);", "INSERT INTO later VALUES (2); CREATE TABLE later(y);")
	version, err := c.identify(len(more))
	if err != nil {
		t.Fatal(err)
	}
	err = c.migrate(version, more)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("version %d", len(more))) {
		t.Fatalf("the last step cannot succeed: %v", err)
	}
	var after, rows int
	if err := c.ints(`PRAGMA user_version`, &after); err != nil || after != len(steps)+1 {
		t.Errorf("version %d, %v: the step that succeeded counts, the one that failed does not", after, err)
	}
	if err := c.ints(`SELECT count(*) FROM later`, &rows); err != nil || rows != 1 {
		t.Errorf("%d rows, %v: a step that fails must leave nothing", rows, err)
	}
	if err := c.migrate(after, more[:after]); err != nil {
		t.Errorf("nothing to do: %v", err)
	}
}

// dump writes a database as SQL.
func dump(t *testing.T, path string) string {
	t.Helper()
	db, err := sql.Open(driverName, path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var out strings.Builder
	var app, version int
	for query, to := range map[string]*int{`PRAGMA application_id`: &app, `PRAGMA user_version`: &version} {
		if err := db.QueryRow(query).Scan(to); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Fprintf(&out, "PRAGMA application_id = %d;\nPRAGMA user_version = %d;\n", app, version)
	tables := texts(t, db, `SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`)
	for _, name := range tables {
		fmt.Fprintf(&out, "%s;\n", texts(t, db, `SELECT sql FROM sqlite_schema WHERE name = '`+name+`'`)[0])
		columns := texts(t, db, `SELECT 'quote("' || name || '")' FROM pragma_table_info('`+name+`') ORDER BY cid`)
		for _, row := range texts(t, db, `SELECT `+strings.Join(columns, ` || ', ' || `)+` FROM "`+name+`"`) {
			fmt.Fprintf(&out, "INSERT INTO \"%s\" VALUES (%s);\n", name, row)
		}
	}
	return out.String()
}

func texts(t *testing.T, db *sql.DB, query string) (list []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	err = eachRow(rows, func(rows *sql.Rows) error {
		var s string
		err := rows.Scan(&s)
		list = append(list, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

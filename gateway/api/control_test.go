package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/api"
)

// fakeBuffer is a Buffer with one queue. What is asked of it is noted in asked.
type fakeBuffer struct {
	deliveries []gateway.Delivery
	dead       []gateway.DeadRecord
	verdict    gateway.Verdict
	fail       error         // of every method, after what it has to give
	hold       chan struct{} // Verify waits for it, unless nil
	asked      string
}

func (b *fakeBuffer) Overview(context.Context) (gateway.BufferStats, error) {
	return gateway.BufferStats{
		Appended: 1, Pending: 2, LastCommit: time.Second, WearSince: time.UnixMilli(1000).UTC(), SetAside: "/x", Dead: 3,
		Queues: []gateway.QueueStats{
			{Name: "upstream/cloud", Depth: 2, Oldest: time.UnixMilli(1500).UTC(), Bytes: 7, Dropped: map[string]uint64{"age": 1}},
			{Name: "inbox", Online: true, Orphan: time.UnixMilli(1).UTC()},
		},
	}, b.fail
}

func (b *fakeBuffer) Scan(_ context.Context, queue string, after uint64, fn func(gateway.Delivery) error) error {
	b.asked = fmt.Sprintf("scan %s after %d", queue, after)
	for _, d := range b.deliveries {
		if d.Pos <= after {
			continue
		}
		if err := fn(d); err != nil {
			return err
		}
	}
	return b.fail
}

func (b *fakeBuffer) Verify(ctx context.Context, progress func(done, total int64)) (gateway.Verdict, error) {
	progress(1, 2)
	if b.hold != nil {
		select {
		case <-b.hold:
		case <-ctx.Done():
			return gateway.Verdict{}, ctx.Err()
		}
	}
	progress(2, 2)
	return b.verdict, b.fail
}

func (b *fakeBuffer) Dead(_ context.Context, fn func(gateway.DeadRecord) error) error {
	for _, d := range b.dead {
		if err := fn(d); err != nil {
			return err
		}
	}
	return b.fail
}

func (b *fakeBuffer) Purge(_ context.Context, queue string, through uint64) (uint64, error) {
	b.asked = fmt.Sprintf("purge %s through %d", queue, through)
	return 17, b.fail
}

func (b *fakeBuffer) DropDead(_ context.Context, n ...int64) (int64, error) {
	b.asked = fmt.Sprintf("drop %v", n)
	return int64(len(n)), b.fail
}

func (b *fakeBuffer) RetryDead(_ context.Context, n ...int64) (int64, error) {
	b.asked = fmt.Sprintf("retry %v", n)
	return int64(len(n)), b.fail
}

func filled() *fakeBuffer {
	at := time.Date(2026, 11, 21, 9, 30, 0, 123456789, time.UTC)
	message := &gateway.Record{
		Seq: 4711, Time: at, Origin: "cloud",
		Body: &gateway.Message{Topic: "a/b", Payload: []byte{0, 255, '\n'}, QoS: 1, Properties: &gateway.Properties{ContentType: "x"}},
	}
	batch := &gateway.Record{Seq: 4712, Time: at, ClockUnset: true, Body: &gateway.Batch{
		Topic: "t/meter", Time: at, Names: []string{"u"}, Readings: []gateway.Reading{{Value: gateway.Float32(230.1), Quality: gateway.QualityGood, Time: at}},
	}}
	return &fakeBuffer{
		deliveries: []gateway.Delivery{
			{Ref: gateway.Ref{Queue: 1, QoS: 1, Retain: true}, Pos: 3, Record: message},
			{Ref: gateway.Ref{Queue: 1, View: 2}, Pos: 5, Record: batch},
		},
		dead: []gateway.DeadRecord{
			{N: 1, Queue: "upstream/cloud", Pos: 9, Time: at, Reason: "poison", Record: message, Bytes: []byte("stored")},
			{N: 2, Queue: "upstream/cloud", Pos: 10, Time: at, Reason: "damaged", Bytes: []byte{1}},
		},
		verdict: gateway.Verdict{Structure: []string{"page 7"}, Records: 2, Damaged: 1, Foreign: 3},
	}
}

// control serves b on a socket and returns a client of it, and what stops the server.
func control(t *testing.T, b api.Buffer) (*api.Client, func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := api.ListenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	o := options()
	server := api.NewControl(api.ControlOptions{Buffer: b, Snapshots: o.Snapshots, Version: o.Version, GatewayID: o.GatewayID})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	client, err := api.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	stop := func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
		ended <- nil // for the next call
	}
	t.Cleanup(stop)
	t.Cleanup(func() { client.Close() })
	return client, stop
}

func TestClientSeesWhatBufferHolds(t *testing.T) {
	b := filled()
	c, _ := control(t, b)
	ctx := t.Context()

	want, _ := b.Overview(ctx)
	if got, err := c.Overview(ctx); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("Overview: %v, difference (-want +got):\n%s", err, cmp.Diff(want, got))
	}
	var deliveries []gateway.Delivery
	err := c.Scan(ctx, "upstream/cloud", 2, func(d gateway.Delivery) error { deliveries = append(deliveries, d); return nil })
	equal := cmp.Comparer(func(a, b gateway.Value) bool { return a == b })
	if diff := cmp.Diff(b.deliveries, deliveries, equal); err != nil || diff != "" {
		t.Errorf("Scan: %v, difference (-want +got):\n%s", err, diff)
	}
	if b.asked != "scan upstream/cloud after 2" {
		t.Errorf("asked for %q", b.asked)
	}
	var dead []gateway.DeadRecord
	err = c.Dead(ctx, func(d gateway.DeadRecord) error { dead = append(dead, d); return nil })
	if diff := cmp.Diff(b.dead, dead, equal); err != nil || diff != "" {
		t.Errorf("Dead: %v, difference (-want +got):\n%s", err, diff)
	}
	var told []int64
	verdict, err := c.Verify(ctx, func(done, total int64) { told = append(told, done, total) })
	if diff := cmp.Diff(b.verdict, verdict); err != nil || diff != "" {
		t.Errorf("Verify: %v, difference (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([]int64{1, 2, 2, 2}, told); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

func TestClientChangesBuffer(t *testing.T) {
	b := filled()
	c, _ := control(t, b)
	for _, step := range []struct {
		do    func() (uint64, error)
		asked string
		count uint64
	}{
		{func() (uint64, error) { return c.Purge(t.Context(), "upstream/cloud", 7) }, "purge upstream/cloud through 7", 17},
		{func() (uint64, error) { n, err := c.DropDead(t.Context(), 1, 2); return uint64(n), err }, "drop [1 2]", 2},
		{func() (uint64, error) { n, err := c.RetryDead(t.Context(), 3); return uint64(n), err }, "retry [3]", 1},
	} {
		if n, err := step.do(); err != nil || n != step.count || b.asked != step.asked {
			t.Errorf("got %d, %v, asked %q; want %d, asked %q", n, err, b.asked, step.count, step.asked)
		}
	}
	if _, err := c.DropDead(t.Context()); err == nil || err.Error() != "no numbers are given" {
		t.Errorf("drop without numbers: %v", err)
	}
}

func TestErrorOfBufferReachesClient(t *testing.T) {
	b := filled()
	b.fail = errors.New("disk on fire")
	c, _ := control(t, b)
	ctx := t.Context()
	var got []error
	_, err := c.Overview(ctx)
	got = append(got, err)
	seen := 0
	got = append(got, c.Scan(ctx, "q", 0, func(gateway.Delivery) error { seen++; return nil }))
	_, err = c.Verify(ctx, nil)
	got = append(got, err, c.Dead(ctx, func(gateway.DeadRecord) error { return nil }))
	_, err = c.Purge(ctx, "q", 0)
	got = append(got, err)
	for i, err := range got {
		if err == nil || err.Error() != "disk on fire" {
			t.Errorf("%d: got %v", i, err)
		}
	}
	if seen != 2 {
		t.Errorf("%d deliveries before the error, want 2", seen)
	}
}

func TestScanEndsWhenCallerHasEnough(t *testing.T) {
	c, _ := control(t, filled())
	enough := errors.New("enough")
	if err := c.Scan(t.Context(), "q", 0, func(gateway.Delivery) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}

func TestStopEndsLongAnswer(t *testing.T) {
	b := filled()
	b.hold = make(chan struct{})
	c, stop := control(t, b)
	_, err := c.Verify(t.Context(), func(int64, int64) { go stop() })
	if err == nil || err.Error() != "context canceled" { // as the buffer said: the connection was not cut
		t.Errorf("got %v", err)
	}
}

// TestAnswerThatIsCutIsNoAnswer talks to a gateway that dies in the middle of an answer.
func TestAnswerThatIsCutIsNoAnswer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.sock")
	l, err := api.ListenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/status", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{}`) })
	mux.HandleFunc("/v1/buffer/dead", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{"dead":{"n":1}}`) })
	mux.HandleFunc("/v1/buffer/verify", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"verdict":{"records":1}}`+"\n{")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: mux}}
	server.Start()
	defer server.Close()
	c, err := api.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, verifyErr := c.Verify(t.Context(), nil)
	deadErr := c.Dead(t.Context(), func(gateway.DeadRecord) error { return nil })
	for _, err := range []error{verifyErr, deadErr} {
		if err == nil || !strings.Contains(err.Error(), "the gateway went away before its answer was complete") {
			t.Errorf("got %v", err)
		}
	}
}

func TestLongAnswersAreBounded(t *testing.T) {
	b := filled()
	b.hold = make(chan struct{})
	c, _ := control(t, b)
	ended := make(chan error)
	begun := make(chan struct{}, 8)
	for range 4 {
		go func() {
			_, err := c.Verify(t.Context(), func(done, _ int64) {
				if done == 1 {
					begun <- struct{}{}
				}
			})
			ended <- err
		}()
	}
	for range 4 {
		<-begun
	}
	if err := c.Dead(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "4 long answers are under way already") {
		t.Errorf("the fifth: %v", err)
	}
	close(b.hold)
	for range 4 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if err := c.Dead(t.Context(), func(gateway.DeadRecord) error { return nil }); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestControlRefuses(t *testing.T) {
	server := api.NewControl(api.ControlOptions{Buffer: filled(), Snapshots: options().Snapshots})
	for _, c := range []struct {
		method, path, body string
		code               int
		part               string
	}{
		{"POST", "/v1/buffer/purge", `{"queue":"q","all":true}`, http.StatusBadRequest, `unknown field \"all\"`},
		{"POST", "/v1/buffer/purge", `{`, http.StatusBadRequest, "read the request"},
		{"POST", "/v1/buffer/dead/drop", `{"numbers":[` + strings.Repeat("1,", 1<<20) + `1]}`, http.StatusRequestEntityTooLarge, "too large"},
		{"GET", "/v1/buffer/scan?after=x", "", http.StatusBadRequest, "invalid syntax"},
		{"GET", "/v1/buffer/purge", "", http.StatusMethodNotAllowed, ""},
	} {
		rec := httptest.NewRecorder()
		server.Handler().ServeHTTP(rec, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		if rec.Code != c.code || !strings.Contains(rec.Body.String(), c.part) {
			t.Errorf("%s %s: got %d %s, want %d and %q", c.method, c.path, rec.Code, rec.Body, c.code, c.part)
		}
	}
}

func TestScanHasLimit(t *testing.T) {
	server := api.NewControl(api.ControlOptions{Buffer: filled(), Snapshots: options().Snapshots})
	for limit, lines := range map[string]int{"": 3, "0": 3, "1": 2, "2": 3, "9": 3} {
		rec := httptest.NewRecorder()
		server.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/v1/buffer/scan?queue=q&limit="+limit, nil))
		if got := strings.Count(rec.Body.String(), "\n"); got != lines || !strings.HasSuffix(rec.Body.String(), "{\"end\":true}\n") {
			t.Errorf("limit %q: got %d lines, want %d:\n%s", limit, got, lines, rec.Body)
		}
	}
}

func TestStatusNamesLinks(t *testing.T) {
	c, _ := control(t, filled())
	st := c.Status()
	if st.Gateway != "hall-4" || st.Version != "1.2.3" || st.PID != os.Getpid() || len(st.Upstreams) != 1 || len(st.Buses) != 1 {
		t.Fatalf("got %+v", st)
	}
	if u := st.Upstreams[0]; u.Name != "cloud" || !u.Connected || u.Waiting != "rate" {
		t.Errorf("got %+v", u)
	}
	if d := st.Buses[0].Devices; len(d) != 1 || d[0].Name != "meter" || !d[0].Online {
		t.Errorf("got %+v", d)
	}
}

func TestMarshalVerdictSaysOK(t *testing.T) {
	for want, v := range map[string]gateway.Verdict{
		`{"structure":null,"records":1,"damaged":0,"foreign":2,"ok":true}`:   {Records: 1, Foreign: 2},
		`{"structure":["x"],"records":1,"damaged":0,"foreign":0,"ok":false}`: {Records: 1, Structure: []string{"x"}},
	} {
		if got, err := api.MarshalVerdict(v); err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}

func TestMarshalBufferLeavesOutWhatIsNotKnown(t *testing.T) {
	b, err := api.MarshalBuffer(gateway.BufferStats{Queues: []gateway.QueueStats{{Name: "q"}}})
	if err != nil || !json.Valid(b) || strings.Contains(string(b), "0001-01-01") || !strings.Contains(string(b), `"queues":[{"name":"q","depth":0,"online":false,"bytes":0}]`) {
		t.Errorf("got %s, %v", b, err)
	}
}

func TestListenControl(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"OK":        filepath.Join(t.TempDir(), "c.sock"),
		"long path": filepath.Join(deep, "c.sock"), // beyond what an address holds
	} {
		t.Run(name, func(t *testing.T) {
			l, err := api.ListenControl(path)
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Lstat(path)
			if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != fs.ModeSocket {
				t.Errorf("got %v, %v", info.Mode(), err)
			}
			if _, err := api.ListenControl(path); err == nil || !strings.Contains(err.Error(), "another gateway answers there") {
				t.Errorf("a second time: %v", err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("closed twice: %v", err)
			}
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the socket is still there: %v", err)
			}
		})
	}
}

func TestListenControlReplacesStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if _, err := api.Dial(t.Context(), path); !errors.Is(err, api.ErrNoGateway) {
		t.Errorf("Dial: %v", err)
	}
	l, err := api.ListenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestListenControlLeavesFileAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.sock")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := api.ListenControl(path); err == nil || !strings.Contains(err.Error(), "no socket: move it away") {
		t.Errorf("got %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Errorf("the file was changed: %s, %v", text, err)
	}
}

func TestDialWhereNobodyIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.sock")
	if _, err := api.Dial(t.Context(), path); !errors.Is(err, api.ErrNoGateway) {
		t.Errorf("got %v", err)
	}
}

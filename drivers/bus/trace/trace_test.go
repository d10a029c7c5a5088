package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 512_000, time.UTC)

// voltage is a conversation with all fields.
func voltage() Exchange {
	return Exchange{
		Time: noon, Bus: "line1", SentAt: 1830 * time.Microsecond, Sent: []byte{1, 3, 0, 0, 0, 2, 0xc4, 0x0b},
		Received: []Chunk{{At: 5 * time.Microsecond, Bytes: []byte{0xff}}, {At: 14210 * time.Microsecond, Bytes: []byte{1, 3, 4}}},
		Took:     14260 * time.Microsecond, Outcome: Garbage, Error: "no valid answer", Cut: 3, Dropped: 2,
	}
}

func TestLine(t *testing.T) {
	want := voltage()
	text, err := want.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	const line = `{"time":"2026-03-01T12:00:00.000512Z","bus":"line1","sent_us":1830,"sent":"01 03 00 00 00 02 c4 0b",` +
		`"received":[{"us":5,"bytes":"ff"},{"us":14210,"bytes":"01 03 04"}],"cut":3,"took_us":14260,"outcome":"garbage","error":"no valid answer","dropped":2}` + "\n"
	if string(text) != line {
		t.Errorf("line %s\nwant %s", text, line)
	}
	got, err := Read(strings.NewReader(line + line + `{"outcome":"off`)) // the last one was cut by the power
	if err != nil || len(got) != 2 || !reflect.DeepEqual(got[1], want) {
		t.Errorf("Read() = %+v, %v\nwant twice %+v", got, err, want)
	}
}

func TestReadNamesTheLine(t *testing.T) {
	for _, tc := range []struct{ line, want string }{
		{"no json", "read line 2 of the trace: invalid character"},
		{`{"sent":"0x01"}`, "read line 2 of the trace: sent: encoding/hex"},
		{`{"received":[{"bytes":"012"}]}`, "read line 2 of the trace: received: encoding/hex"},
		{strings.Repeat(" ", maxLine), "read line 2 of the trace: bufio: buffer full"},
	} {
		_, err := Read(strings.NewReader(`{"outcome":"answer"}` + "\n" + tc.line + "\n"))
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("Read() error = %v, want %s...", err, tc.want)
		}
	}
}

// A line that is never silent must not fill the memory.
func TestReceiveIsBounded(t *testing.T) {
	var byBytes, byChunks Exchange
	for range 100 {
		byBytes.Receive(0, make([]byte, 1024))
	}
	for range 1000 {
		byChunks.Receive(0, []byte{1})
	}
	if n := len(byBytes.Received); n != maxBytes/1024 || byBytes.Cut != 102400-maxBytes {
		t.Errorf("%d chunks kept, %d bytes cut", n, byBytes.Cut)
	}
	if n := len(byChunks.Received); n != maxChunks || byChunks.Cut != 1000-maxChunks {
		t.Errorf("%d chunks kept, %d bytes cut", n, byChunks.Cut)
	}
	for _, x := range []Exchange{byBytes, byChunks} {
		text, err := x.AppendJSON(nil)
		if err != nil || len(text) > maxLine {
			t.Errorf("a line of %d bytes, %v; Read takes %d", len(text), err, maxLine)
		}
	}
}

func open(t *testing.T, o FileOptions) *File {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "trace.jsonl")
	}
	f, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// run writes what was told and ends.
func run(t *testing.T, f *File) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []Exchange {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all, err := Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFileGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.jsonl")
	if err := os.WriteFile(path, []byte(`{"bus":"before","outcome":"answer"}`+"\n"+`{"bus":"cut off by the power`), 0o600); err != nil {
		t.Fatal(err)
	}
	f := open(t, FileOptions{Path: path})
	f.Bus("line1")(voltage())
	f.Bus("plant")(voltage())
	run(t, f)
	var buses []string
	for _, x := range read(t, path) {
		buses = append(buses, x.Bus)
	}
	if got := strings.Join(buses, " "); got != "before line1 plant" || f.Stats() != (Stats{Written: 2}) {
		t.Errorf("buses %s, %+v", got, f.Stats())
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestFileIsBounded(t *testing.T) {
	f := open(t, FileOptions{MaxSize: 1000})
	tell := f.Bus("line1")
	for i := range 20 {
		x := voltage()
		x.Took = time.Duration(i+1) * time.Microsecond
		tell(x)
	}
	run(t, f)
	first, second := read(t, f.opts.Path+".1"), read(t, f.opts.Path)
	if len(first) == 0 || len(second) == 0 || second[len(second)-1].Took != 20*time.Microsecond ||
		second[0].Took != first[len(first)-1].Took+time.Microsecond {
		t.Errorf("the files hold %d and %d conversations, want the newest, without a gap", len(first), len(second))
	}
	for _, path := range []string{f.opts.Path, f.opts.Path + ".1"} {
		if info, err := os.Stat(path); err != nil || info.Size() > 1000 {
			t.Errorf("%s: %v, %v", path, info.Size(), err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "no", "folder"), os.DevNull} {
		if f, err := Open(FileOptions{Path: path}); err == nil || !strings.HasPrefix(err.Error(), "open trace") {
			t.Errorf("Open(%s) = %v, %v", path, f, err)
		}
	}
}

// slowDisk is a file whose writes wait, and fail as long as full is set.
type slowDisk struct {
	file
	entered, release chan struct{}
	full             bool
}

func (d *slowDisk) Write(p []byte) (int, error) {
	if d.entered != nil {
		d.entered <- struct{}{}
		<-d.release
	}
	if d.full {
		n, _ := d.file.Write(p[:len(p)/2])
		return n, errors.New("no space left on device")
	}
	return d.file.Write(p)
}

// A bus goes on while the disk stands still; what there was no room for is missing, and the file says how much.
func TestSlowDiskHoldsNobodyUp(t *testing.T) {
	f := open(t, FileOptions{Queue: 3})
	disk := &slowDisk{file: f.out.file, entered: make(chan struct{}), release: make(chan struct{})}
	f.out.file = disk
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	tell, told := f.Bus("line1"), voltage()
	told.Dropped = 0
	tell(told)
	<-disk.entered // from here on the disk stands still
	for range 10 {
		tell(told)
	}
	if s := f.Stats(); s.Dropped != 7 {
		t.Errorf("%+v, want 7 dropped of 10, for a queue of 3", s)
	}
	cancel()
	for range 3 {
		disk.release <- struct{}{}
		<-disk.entered
	}
	close(disk.release)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	var dropped []uint64
	for _, x := range read(t, f.opts.Path) {
		dropped = append(dropped, x.Dropped)
	}
	if fmt.Sprint(dropped) != "[0 7 0 0]" {
		t.Errorf("the lines say %v were dropped before them", dropped)
	}
}

// A full disk costs the conversations that do not fit, never a line's form, and is logged once.
func TestFullDisk(t *testing.T) {
	var log bytes.Buffer
	f := open(t, FileOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
	disk := &slowDisk{file: f.out.file}
	f.out.file = disk
	for i := range 6 {
		disk.full = i > 0 && i < 4
		f.write(Exchange{Bus: fmt.Sprint(i), Outcome: Answer})
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, x := range read(t, f.opts.Path) {
		lines = append(lines, fmt.Sprint(x.Bus, " after ", x.Dropped))
	}
	if got := strings.Join(lines, ", "); got != "0 after 0, 4 after 3, 5 after 0" || f.Stats() != (Stats{Written: 3, Dropped: 3}) {
		t.Errorf("written %s, %+v", got, f.Stats())
	}
	if n := strings.Count(log.String(), "no space left"); n != 1 {
		t.Errorf("logged %d times, want once:\n%s", n, log.String())
	}
}

func FuzzRead(f *testing.F) {
	x := voltage()
	text, err := x.AppendJSON(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		for _, x := range all {
			if _, err := x.AppendJSON(nil); err != nil && !strings.Contains(err.Error(), "year outside of range") {
				t.Fatal(err)
			}
		}
	})
}

package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/gateway"
)

func TestTexts(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ got, want string }{
		{sizeText(0), "0 B"},
		{sizeText(1023), "1023 B"},
		{sizeText(1024), "1 KiB"},
		{sizeText(1536 << 10), "1.5 MiB"},
		{sizeText(10 << 40), "10 TiB"},
		{sizeText(math.MaxInt64), "8192 PiB"},
		{agoText(time.Time{}, now), "-"},
		{agoText(now.Add(-59*time.Second), now), "59s ago"},
		{agoText(now.Add(-61*time.Minute), now), "1h1m ago"},
		{agoText(now.Add(-90*time.Second), now), "1m30s ago"},
		{agoText(now.Add(-49*time.Hour), now), "2d1h ago"},
		{lifeText(0), "no longer"},
		{lifeText(36 * time.Hour), "about 1 days"},
		{lifeText(5 * 365 * 24 * time.Hour), "about 5 years"},
		{lifeText(math.MaxInt64), "more than 100 years"},
		{printable("hall/°C"), "hall/°C"},
		{printable("a\x1b[2Jb"), `"a\x1b[2Jb"`},
		{printable("a\xff"), `"a\xff"`},
		{printableLines("a\r\nb\x00"), "a\n\"b\\x00\""},
		{instant(time.Unix(1<<40, 5)), "36812-02-20T00:36:16.000000005Z"}, // a clock gone mad does not stop an export
		{thereAre(nil), "and no other"},
		{thereAre(make([]gateway.QueueStats, 22)), "there are " + strings.Repeat(", ", 19) + " and 2 more: see tidegate buffer stats"},
		{dropText(map[string]uint64{"size": 2, "age": 1}), "1 age, 2 size"},
		{newPainter(new(bytes.Buffer)).bad("x"), "x"},
		{painter(true).bad("x"), "\x1b[31mx\x1b[0m"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestStatsTellWhatIsWrong(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	err := printStats(&out, gateway.BufferStats{
		FileBytes: 3 << 20, MaxBytes: 1 << 30, DiskFree: 5 << 30, Failing: true, SetAside: "/d/buffer.db.damaged-1", Salvaging: true, Salvaged: 12, Dead: 2,
		WearBytes: 20 << 30, WearSince: now.Add(-10 * 24 * time.Hour),
		Queues: []gateway.QueueStats{{
			Name: "upstream/old", Depth: 7, Bytes: 2048, Oldest: now.Add(-time.Hour), Orphan: now, Dropped: map[string]uint64{"age": 3},
		}, {Name: "session/a\nb", Online: true}},
	}, 2<<40, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"upstream/old    7      2 KiB  1h0m ago  orphan since 2026-11-21  3 age\n",
		`"session/a\nb"  0      0 B    -         online                   -` + "\n",
		"file    3 MiB of 1 GiB, 5 GiB free on its disk\n",
		"20 GiB written since 2026-11-11, 2 GiB a day: a card that takes 2 TiB lasts about 2 years\n",
		"disk    commits fail",
		"damage  a damaged file was set aside as /d/buffer.db.damaged-1, 12 records were saved from it until now\n",
		"dead    2 records",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestCSVKeepsEveryByte(t *testing.T) {
	rows := [][]string{{"", "a", "b c"}, {`say "hi"`, "a,b", " x "}, {"line\nend", "tab\t", "°C"}}
	var out bytes.Buffer
	for _, row := range rows {
		if err := writeCSV(&out, row); err != nil {
			t.Fatal(err)
		}
	}
	if want := ",a,b c\r\n\"say \"\"hi\"\"\",\"a,b\", x \r\n\"line\nend\",tab\t,°C\r\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	back, err := csv.NewReader(&out).ReadAll()
	if diff := cmp.Diff(rows, back); err != nil || diff != "" {
		t.Errorf("%v, difference (-want +got):\n%s", err, diff)
	}
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, "checking")
	p.tell(1, 10)
	p.end()
	if out.Len() != 0 {
		t.Errorf("quick work has shown %q", out.String())
	}
	p.next = time.Time{}
	p.tell(5, 10)
	p.tell(6, 10) // too soon
	p.end()
	if want := "checking: 5 of 10 (50 %)\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	out.Reset()
	p.terminal, p.next = true, time.Time{}
	p.tell(5, 10)
	p.end()
	if want := "\r\x1b[K[" + strings.Repeat("=", 15) + strings.Repeat(" ", 15) + "] checking: 5 of 10 (50 %)\r\x1b[K"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestExportOfGapAndEmptyPayload(t *testing.T) {
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for want, body := range map[string]gateway.Body{
		"7,9,2026-11-21T12:00:00Z,true,cloud,gap,,,,,size,1,false,\"seq 3 to 5, 2 records\",\r\n": &gateway.Gap{From: 3, To: 5, Count: 2, Reason: "size"},
		"7,9,2026-11-21T12:00:00Z,true,cloud,message,t,,,,,1,false,,\r\n":                         &gateway.Message{Topic: "t"},
	} {
		e := newEntry(gateway.Delivery{
			Ref: gateway.Ref{QoS: 1}, Pos: 7, Record: &gateway.Record{Seq: 9, Time: at, ClockUnset: true, Origin: "cloud", Body: body},
		})
		var out bytes.Buffer
		if err := csvEntry(&out, &e); err != nil || out.String() != want {
			t.Errorf("got %q, %v, want %q", out.String(), err, want)
		}
	}
}

func TestEntryOfViewThatIsGone(t *testing.T) {
	b := &gateway.Batch{Topic: "t/d", Publish: gateway.PublishPoints, Names: []string{"u"}, Readings: []gateway.Reading{{}}}
	e := newEntry(gateway.Delivery{Ref: gateway.Ref{View: 1}, Pos: 1, Record: &gateway.Record{Body: b}})
	if fmt.Sprint(e.Kind, e.Topic, e.Readings) != "batcht/d[]" {
		t.Errorf("got %+v", e)
	}
}

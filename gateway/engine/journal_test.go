package engine

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// What a crash leaves behind: a command with an id that was started is not repeated, any other is carried out.
func TestAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		r := newRig(t, d)
		r.send("t/m/set", `{"values":{"a":1},"id":"started"}`)
		r.send("t/m/set", `{"values":{"a":2},"id":"waiting"}`)
		r.send("t/m/set", `{"values":{"a":3}}`)
		r.journal.entries[0].Started = true
		r.start()
		r.after(time.Second)
		r.send("t/m/set", `{"values":{"a":1},"id":"started"}`)
		r.after(time.Second)
		r.stop()
		unknown := "unknown: " + errInterrupted.Error()
		want(t, "results", r.results("t/m/result"), unknown, "done a=2", "done a=3", unknown)
		want(t, "open entries", r.journal.open())
		if got := d.taken("write 0.0=1"); got != nil {
			t.Errorf("the started command was repeated: %v", got)
		}
	})
}

// The journal must know that a command with an id is about to be carried out before it is.
func TestStartIsRecordedBeforeTheWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		r := newRig(t, d)
		r.journal.onStart = func() { d.note("start") }
		r.start()
		r.after(100 * time.Millisecond)
		r.send("t/m/set", `{"values":{"a":1},"id":"x"}`)
		r.after(100 * time.Millisecond)
		r.send("t/m/a/set", `2`)
		r.after(100 * time.Millisecond)
		r.stop()
		want(t, "conversations", d.words(), "poll 0.0", "start", "write 0.0=1", "poll 0.0", "write 0.0=2", "poll 0.0")
	})
}

// Bus 0 hangs; its lane fills up; bus 1 does not notice.
func TestSlowBusHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, fast := meters("slow"), meters("fast")
		slow.onWrite = writesForEver
		r := newRig(t, slow, fast)
		r.start()
		r.after(100 * time.Millisecond)
		for range laneSize + 3 {
			r.send("t/slow/a/set", "1")
		}
		r.send("t/fast/a/set", "2")
		r.after(100 * time.Millisecond)
		want(t, "results of the fast bus", r.results("t/fast/result"), "done a=2")
		busy := "failed: bus is busy: too many commands wait for it"
		want(t, "results of the slow bus", r.results("t/slow/result"), busy, busy)
		r.stop()
		if n := len(r.journal.open()); n != laneSize+1 {
			t.Errorf("%d commands are left in the journal, want the %d that were not carried out", n, laneSize+1)
		}
	})
}

func TestCommandsOfABusKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m", "other")
		r := newRig(t, d)
		r.start()
		var order []string
		for i := range 20 {
			if i%2 == 0 {
				r.send("t/m/a/set", fmt.Sprint(i))
			} else {
				r.send("t/other/set", fmt.Sprintf(`{"values":{"a":%d},"id":"%d"}`, i, i))
			}
			order = append(order, fmt.Sprintf("write %d.0=%d", i%2, i))
		}
		r.after(10 * time.Second)
		r.stop()
		var got []string
		for _, w := range d.taken("write") {
			got = append(got, w.what)
		}
		want(t, "writes", got, order...)
	})
}

// A stop lets the write on the bus end and answers it; the commands behind it stay in the journal.
func TestStopDuringAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		d.onWrite = writesFor(time.Second)
		r := newRig(t, d)
		r.start()
		r.send("t/m/set", `{"values":{"a":1},"id":"1"}`)
		r.send("t/m/a/set", `2`)
		r.send("t/m/set", `{"values":{"a":3},"id":"3"}`)
		r.after(500 * time.Millisecond)
		r.stop()
		want(t, "results", r.results("t/m/result"), "done a=1")
		want(t, "open entries", r.journal.open(), 2, 3)
		if took := time.Since(epoch); took > 1100*time.Millisecond {
			t.Errorf("stopped after %v, want when the write was done", took)
		}
		r.start()
		r.after(5 * time.Second)
		r.stop()
		want(t, "results of both runs", r.results("t/m/result"), "done a=1", "done a=2", "done a=3")
	})
}

// A command that was recorded as started at the moment of the stop is carried out, or its fate would be unknown for no need.
func TestStopBetweenStartAndWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		r := newRig(t, d)
		reached, release := make(chan struct{}), make(chan struct{})
		r.journal.onStart = func() { close(reached); <-release }
		r.journal.ignoreStop = true
		r.start()
		r.send("t/m/set", `{"values":{"a":1},"id":"1"}`)
		<-reached
		r.cancel()
		synctest.Wait()
		close(release)
		r.stop()
		want(t, "results", r.results("t/m/result"), "done a=1")
		want(t, "open entries", r.journal.open())
	})
}

// A write that does not come to an end is cut off, and its command left for the next start to call unknown.
func TestStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		d.onWrite = writesForEver
		r := newRig(t, d)
		r.start()
		r.send("t/m/set", `{"values":{"a":1},"id":"1"}`)
		r.after(time.Second)
		r.stop()
		want(t, "results", r.results("t/m/result"))
		want(t, "open entries (started: negative)", r.journal.open(), -1)
		if took := time.Since(epoch); took != time.Second+stopGrace {
			t.Errorf("the stop took %v, want %v", took-time.Second, stopGrace)
		}
	})
}

func TestJournalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		r := newRig(t, d)
		r.journal.nextErr = errors.New("disk is gone")
		r.start()
		r.send("t/m/a/set", "1")
		r.after(10 * time.Second)
		if n := len(d.taken("poll")); n < 10 {
			t.Errorf("%d polls, want polling to go on", n)
		}
		r.journal.mu.Lock()
		r.journal.nextErr = nil
		r.journal.startErr = errors.New("disk is full")
		r.journal.mu.Unlock()
		r.send("t/m/set", `{"values":{"a":2},"id":"x"}`)
		r.after(time.Minute)
		r.stop()
		want(t, "results", r.results("t/m/result"), "done a=1", "failed: record the start of the command: disk is full")
		if got := d.taken("write 0.0=2"); got != nil {
			t.Errorf("written without a record of it: %v", got)
		}
	})
}

func TestEntriesThatAreNoCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, meters("m"))
		r.send("elsewhere", "1")
		r.journal.entries = append(r.journal.entries, Entry{Pos: 2, Record: &gateway.Record{Body: &gateway.Gap{}}})
		r.start()
		r.after(time.Second)
		r.stop()
		want(t, "open entries", r.journal.open())
	})
}

func TestFit(t *testing.T) {
	kind := func(k gateway.Kind) gateway.Point { return gateway.Point{Kind: k} }
	limited := gateway.Point{Kind: gateway.KindInt, Min: -5, Max: 5}
	named := gateway.Point{Kind: gateway.KindString, Names: map[int64]string{-1: "fault", 0: "off", 1: "auto", 7: "auto"}}
	for _, c := range []struct {
		point gateway.Point
		value gateway.Value
		want  gateway.Value
		err   string
	}{
		{kind(gateway.KindBool), gateway.Bool(true), gateway.Bool(true), ""},
		{kind(gateway.KindBool), gateway.Int(1), gateway.Bool(true), ""},
		{kind(gateway.KindBool), gateway.Int(0), gateway.Bool(false), ""},
		{kind(gateway.KindBool), gateway.String("on"), gateway.Value{}, "on is not true or false"},
		{kind(gateway.KindInt), gateway.Int(-3), gateway.Int(-3), ""},
		{kind(gateway.KindInt), gateway.Uint(1 << 63), gateway.Value{}, "is above 9223372036854775807"},
		{kind(gateway.KindInt), gateway.Float64(1.5), gateway.Value{}, "1.5 is not a whole number"},
		{kind(gateway.KindInt), gateway.Bool(true), gateway.Value{}, "true is not a number"},
		{limited, gateway.Int(5), gateway.Int(5), ""},
		{limited, gateway.Int(-6), gateway.Value{}, "-6 is below -5"},
		{limited, gateway.Uint(1 << 63), gateway.Value{}, "9223372036854775808 is above 5"},
		{kind(gateway.KindUint), gateway.Int(3), gateway.Uint(3), ""},
		{kind(gateway.KindUint), gateway.Uint(1 << 63), gateway.Uint(1 << 63), ""},
		{kind(gateway.KindUint), gateway.Int(-1), gateway.Value{}, "-1 is below 0"},
		{kind(gateway.KindUint), gateway.Float64(0.5), gateway.Value{}, "0.5 is not a whole number"},
		{kind(gateway.KindFloat32), gateway.Float64(230.1), gateway.Float32(230.1), ""},
		{kind(gateway.KindFloat32), gateway.Int(230), gateway.Float32(230), ""},
		{kind(gateway.KindFloat32), gateway.Float64(1e39), gateway.Value{}, "does not fit a float32"},
		{kind(gateway.KindFloat64), gateway.Int(-7), gateway.Float64(-7), ""},
		{kind(gateway.KindString), gateway.String("x"), gateway.String("x"), ""},
		{kind(gateway.KindString), gateway.Int(1), gateway.Value{}, "1 is not text"},
		{named, gateway.String("auto"), gateway.String("auto"), ""},
		{named, gateway.Int(-1), gateway.Int(-1), ""},
		{named, gateway.Int(2), gateway.Value{}, "2 is none of fault (-1), off (0), auto (1), auto (7)"},
		{named, gateway.String("1"), gateway.Value{}, "1 is none of fault (-1), off (0), auto (1), auto (7)"},
		{named, gateway.Bool(true), gateway.Value{}, "true is none of fault (-1), off (0), auto (1), auto (7)"},
		{named, gateway.Float64(1.5), gateway.Value{}, "1.5 is none of fault (-1), off (0), auto (1), auto (7)"},
		{kind(gateway.KindBytes), gateway.String("AQI="), gateway.Bytes([]byte{1, 2}), ""},
		{kind(gateway.KindBytes), gateway.String("?"), gateway.Value{}, "it is not base64 text"},
		{kind(gateway.KindBytes), gateway.Int(1), gateway.Value{}, "it is not base64 text"},
		{kind(gateway.KindNone), gateway.String("x"), gateway.String("x"), ""},
	} {
		got, err := fit(&c.point, c.value)
		if c.err == "" && (err != nil || !reflect.DeepEqual(got, c.want)) {
			t.Errorf("%v into kind %d: got %v, %v, want %v", c.value, c.point.Kind, got, err, c.want)
		}
		if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%v into kind %d: got %v, want error %q", c.value, c.point.Kind, err, c.err)
		}
	}
}

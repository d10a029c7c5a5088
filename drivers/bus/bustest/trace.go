package bustest

import (
	"encoding/hex"
	"os"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/bus/trace"
)

// ReadTrace reads a trace from a file.
func ReadTrace(t testing.TB, path string) []trace.Exchange {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := trace.Read(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return all
}

// FromTrace makes a conversation of what was recorded on one bus, for PlayTCP or PlayLine. The device says the same bytes, cut into the same
// pieces, as long after the request; where it had closed the connection it closes it again. What came late, after the gateway had
// given up, comes as late. Attempts to open a port or a connection are left out. A trace with gaps is refused.
func FromTrace(t testing.TB, exchanges []trace.Exchange) []IO {
	t.Helper()
	var ops []IO
	var sent time.Time // when the last request was sent
	for i := range exchanges {
		x := &exchanges[i]
		switch {
		case x.Bus != exchanges[0].Bus:
			t.Fatalf("line %d of the trace is of bus %q and the first of %q: keep the lines of one", i+1, x.Bus, exchanges[0].Bus)
		case x.Cut > 0 || x.Dropped > 0:
			t.Fatalf("line %d of the trace: %d conversations before it and %d bytes in it are missing", i+1, x.Dropped, x.Cut)
		}
		late, parts := split(x, sent)
		if len(ops) > 0 {
			last := &ops[len(ops)-1]
			last.parts = append(last.parts, late...)
		}
		if x.Sent == nil {
			continue
		}
		sent = x.Time.Add(x.SentAt)
		ops = append(ops, IO{W: hex.EncodeToString(x.Sent), parts: parts, hangUp: x.Outcome == trace.Lost})
	}
	return ops
}

// split tells what came before the request of x, late for the one that was sent before, from what came after it.
func split(x *trace.Exchange, before time.Time) (late, parts []part) {
	for _, c := range x.Received {
		if x.Sent == nil || c.At < x.SentAt {
			late = append(late, part{at: x.Time.Add(c.At).Sub(before), data: c.Bytes})
			continue
		}
		parts = append(parts, part{at: c.At - x.SentAt, data: c.Bytes})
	}
	return late, parts
}

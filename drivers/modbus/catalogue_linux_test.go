package modbus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/bus/bustest"
	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/engine"
)

// The polls of a rehearsal, counted from 0.
const (
	spoiltPoll = 2 // the first that a fault hits
	healedPoll = 6 // the first without it, for a fault that lasts
)

// misfortune is one row of the catalogue: something that goes wrong on a bus.
type misfortune struct {
	name    string
	fault   sim.Fault
	wire    distortion // the same between the driver and a real slave; nil where only the simulator can do it
	count   int        // requests that it hits; lasts: until healedPoll
	unplug  bool       // the port or the listener is taken away, and is back at healedPoll
	retries int
	only    string // "TCP" or "RTU" for what the other kind does not know
}

// lasts is the count of a fault that goes on.
const lasts = -1

func catalogue(t *testing.T) []misfortune {
	foreign := raw(t, "02 03 00 00 00 02 crc | 02 03 04 00 63 00 63 crc")
	rows := []misfortune{
		{name: "no answer", fault: sim.NoAnswer(), wire: swallow},
		{name: "no answer, and a retry is left", fault: sim.NoAnswer(), wire: swallow, retries: 1},
		{name: "no answer for four polls", fault: sim.NoAnswer(), wire: swallow, count: lasts},
		{name: "late answer", fault: sim.Late(patience * 5 / 4), wire: delayed(patience * 5 / 4)},
		{name: "late answer, right after the retry was sent", fault: sim.Late(patience * 5 / 4), count: 2, retries: 1},
		{name: "noise before the answer", fault: sim.GarbageBefore(0x00, 0xFF, 0x01), wire: before(0x00, 0xFF, 0x01)},
		{name: "noise behind the answer", fault: sim.GarbageAfter(0xFF, 0x00), wire: behind(0xFF, 0x00)},
		{name: "answer of another unit", fault: sim.WrongUnit(9)},
		{name: "gateway that answers as unit 0", fault: sim.WrongUnit(0)},
		{name: "gateway that answers as unit 255", fault: sim.WrongUnit(255)},
		{name: "answer to another function", fault: sim.WrongFunction(4)},
		{name: "answer with fewer registers", fault: sim.ShortAnswer(1)},
		{name: "answer with more registers", fault: sim.LongAnswer(1)},
		{name: "wrong check sum", fault: sim.BadCRC(), wire: flipped, only: "RTU"},
		{name: "answer cut in two", fault: sim.Split(3, 20*time.Millisecond), wire: cut},
		{name: "conversation of another master before the answer", fault: sim.GarbageBefore(foreign...), wire: before(foreign...), only: "RTU"},
		{name: "local echo", fault: sim.Echo(), wire: echoed, only: "RTU"},
		{name: "connection reset", fault: sim.Reset(), only: "TCP"},
		{name: "half-open connection", fault: sim.HalfOpen(), only: "TCP"},
		{name: "transaction id of the request before", fault: sim.OldTransaction(1), only: "TCP"},
		{name: "old answer before the right one", fault: sim.StaleFirst(1), only: "TCP"},
		{name: "port unplugged, and back under another number; connection refused, and back", unplug: true},
	}
	for code := range sim.Exception(11) {
		rows = append(rows, misfortune{name: fmt.Sprintf("exception %d", code+1), fault: sim.ExceptionAnswer(code + 1)})
	}
	return rows
}

// rehearsal is an engine with one device of one point, and what it published.
type rehearsal struct {
	*Driver
	m       misfortune
	begin   func() // the misfortune
	end     func()
	poll    int           // number of the poll under way
	seen    []string      // of the point, by poll
	states  []string      // availability, as it changed
	healthy chan struct{} // closed with the first good reading after the misfortune
	over    bool
}

// Devices implements engine.Driver.
func (r *rehearsal) Devices() []engine.Device {
	var out []engine.Device
	for _, d := range r.Driver.Devices() {
		e := engine.Device{Name: d.Name, StaleAfter: d.StaleAfter, Publish: d.Publish, Points: d.Points}
		for _, g := range d.Groups {
			e.Groups = append(e.Groups, engine.Group(g))
		}
		out = append(out, e)
	}
	return out
}

// Poll implements engine.Driver. It sets the misfortune up between two polls.
func (r *rehearsal) Poll(ctx context.Context, device, group, step int, readings []gateway.Reading) (bool, error) {
	if step == 0 {
		r.poll++
		switch r.poll {
		case spoiltPoll:
			r.begin()
		case healedPoll:
			r.end()
		}
	}
	more, err := r.Driver.Poll(ctx, device, group, step, readings)
	if errors.Is(err, ErrNoAnswer) {
		err = fmt.Errorf("%w: %w", engine.ErrNoAnswer, err)
	}
	return more, err
}

// Publish implements engine.Publisher. The engine calls it on the goroutine that polls.
func (r *rehearsal) Publish(rec *gateway.Record, _ func(error)) {
	switch body := rec.Body.(type) {
	case *gateway.Message:
		r.states = append(r.states, string(body.Payload))
	case *gateway.Batch:
		r.note(body.Readings[0])
	}
}

func (r *rehearsal) note(reading gateway.Reading) {
	for len(r.seen) <= r.poll {
		r.seen = append(r.seen, "")
	}
	if reading.Quality == gateway.QualityGood {
		r.seen[r.poll] = "good " + reading.Value.String()
	} else {
		r.seen[r.poll] = fmt.Sprintf("%v, %s", reading.Quality, reading.Reason)
	}
	if reading.Quality == gateway.QualityGood && r.poll >= r.m.lastPoll() && !r.over {
		r.over = true
		close(r.healthy)
	}
}

// lastPoll is the last that the misfortune may hit.
func (m misfortune) lastPoll() int {
	if m.unplug || m.count == lasts {
		return healedPoll
	}
	return spoiltPoll
}

// noInbox is a command inbox that stays empty.
type noInbox struct{ engine.Journal }

func (noInbox) Next(ctx context.Context, _ uint64) (engine.Entry, error) {
	<-ctx.Done()
	return engine.Entry{}, ctx.Err()
}

// rehearse lets an engine poll one point through a misfortune, until the point is good again.
func rehearse(t testing.TB, m misfortune, o Options, begin, end func()) *rehearsal {
	t.Helper()
	o.Devices = []Device{{
		Name: "d", Interval: 10 * time.Millisecond, Timeout: patience, Retries: m.retries, StaleAfter: time.Hour,
		Points: []Point{{Point: gateway.Point{Name: "p"}, Address: Address{Holding, 2}, Type: Uint32}},
	}}
	r := &rehearsal{Driver: newTestDriver(t, o), m: m, begin: begin, end: end, poll: -1, healthy: make(chan struct{})}
	e, err := engine.New(engine.Options{Publisher: r, Journal: noInbox{}, Topics: gateway.Topics{Base: "b"}, Buses: []engine.Bus{{Name: "line", Driver: r}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	select {
	case <-r.healthy:
	case <-time.After(2 * hangs):
		t.Error("the point was not good again")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return r
}

// result is a cell of the table: what the point showed, and how long.
type result struct{ shown, until string }

// judge reads off what the misfortune did, and checks what holds for each of them: the point is never good with a wrong value, and the
// device is offline only when it was.
func (r *rehearsal) judge(t testing.TB) result {
	t.Helper()
	for i, s := range r.seen {
		if strings.HasPrefix(s, "good") && s != goodReading {
			t.Errorf("poll %d: %s, want %s or bad", i, s, goodReading)
		}
	}
	want := "online"
	if r.m.lastPoll() == healedPoll {
		want = "online offline online"
	}
	if got := strings.Join(r.states, " "); got != want {
		t.Errorf("availability %s, want %s", got, want)
	}
	again := slices.Index(r.seen[r.m.lastPoll():], goodReading)
	switch shown, _, _ := strings.Cut(r.seen[spoiltPoll], " 131075"); {
	case r.m.unplug:
		return result{shown, "when it is back, after the pause before it is opened again"}
	case r.m.count == lasts:
		return result{shown, fmt.Sprintf("with probe %d after it is back", again+1)}
	case again == 0:
		return result{shown, "at once"}
	case again == 1:
		return result{shown, "with the next poll"}
	default:
		return result{shown, fmt.Sprintf("with poll %d after it", again)}
	}
}

// goodReading is what a good poll shows: registers 2 and 3 of the devices in testdata/peers.
const goodReading = "good 131075"

// TestFaultCatalogue takes each misfortune through driver and engine, and compares with the table in docs/modbus.md.
func TestFaultCatalogue(t *testing.T) {
	rows := catalogue(t)
	results := make([]map[string]result, len(rows))
	t.Run("rows", func(t *testing.T) {
		for i, m := range rows {
			results[i] = map[string]result{}
			for _, kind := range []string{"TCP", "RTU"} {
				if m.only != "" && m.only != kind {
					continue
				}
				t.Run(strings.ReplaceAll(m.name, " ", "_")+"/"+kind, func(t *testing.T) {
					steady(t, func(t testing.TB) { results[i][kind] = simulated(t, m, kind) })
				})
			}
		}
	})
	checkTable(t, table(rows, results))
	t.Run("libmodbus", func(t *testing.T) { // a real slave behind the same line brings the same
		command := libmodbus(t)
		for i, m := range rows {
			if m.wire == nil {
				continue
			}
			t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
				steady(t, func(t testing.TB) {
					if got, want := realSlave(t, m, command), results[i]["RTU"]; got != want && !t.Failed() {
						t.Errorf("%+v, with the simulator %+v", got, want)
					}
				})
			})
		}
	})
}

// simulated rehearses with the simulator.
func simulated(t testing.TB, m misfortune, kind string) result {
	unit := sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 2, Count: 2}}})
	if err := unit.Set(sim.HoldingRegisters, 2, 2, 3); err != nil {
		t.Fatal(err)
	}
	units := map[byte]*sim.Unit{1: unit}
	begin, end := func() { unit.Inject(m.fault, max(m.count, 1)) }, func() {}
	if m.count == lasts {
		begin, end = func() { unit.Inject(m.fault, lasts) }, unit.Heal
	}
	var o Options
	if kind == "TCP" {
		e := simtest.TCP(t, units, sim.ServerOptions{})
		o.Bus = tcpBus(e.Address)
		if m.unplug {
			begin, end = e.Unplug, e.Plug
		}
		return rehearse(t, m, o, begin, end).judge(t)
	}
	e := simtest.RTU(t, units, sim.SlaveOptions{})
	o.Bus = rtuBus(e.Port)
	if m.unplug {
		begin, end = e.Unplug, func() { plugElsewhere(t, e) }
	}
	return rehearse(t, m, o, begin, end).judge(t)
}

// plugElsewhere plugs a port in again after another has taken its number, as it is with ttyUSB0 and ttyUSB1.
func plugElsewhere(t testing.TB, e *simtest.RTUEndpoint) {
	other := bustest.NewPTY(t)
	e.Plug()
	if now, err := os.Readlink(e.Port); err != nil || now == other.Path {
		t.Errorf("the port is %s, %v", now, err)
	}
}

// table writes the rows for docs/modbus.md. Rows that differ only in the exception's code are one.
func table(rows []misfortune, results []map[string]result) string {
	code := regexp.MustCompile(`exception \d+`)
	var b strings.Builder
	b.WriteString("| what happens | Modbus TCP: the point | good again | serial line: the point | good again |\n|---|---|---|---|---|\n")
	last := ""
	for i, m := range rows {
		tcp, rtu := results[i]["TCP"], results[i]["RTU"]
		if m.only == "RTU" {
			tcp = result{"does not occur", ""}
		} else if m.only == "TCP" {
			rtu = result{"does not occur", ""}
		}
		row := fmt.Sprintf("| %s | %s | %s | %s | %s |\n", m.name, tcp.shown, tcp.until, rtu.shown, rtu.until)
		if row = code.ReplaceAllString(row, "exception N"); row != last {
			b.WriteString(row)
		}
		last = row
	}
	return strings.Replace(b.String(), "\n| exception N |", "\n| exception N, for N from 1 to 11 |", 1)
}

// The lines around the table in docs/modbus.md.
const (
	tableBegin = "<!-- faults: written by TestFaultCatalogue -update -->\n"
	tableEnd   = "<!-- end of faults -->\n"
)

func checkTable(t *testing.T, want string) {
	t.Helper()
	file := filepath.Join("..", "..", "docs", "modbus.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(text), tableBegin)
	got, tail, ended := strings.Cut(rest, tableEnd)
	switch {
	case !found || !ended:
		t.Fatalf("%s has no table of faults", file)
	case t.Failed() || got == want:
	case *update:
		if err := os.WriteFile(file, []byte(head+tableBegin+want+tableEnd+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the table in %s is not what was seen; run with -update if that is right\n%s", file, want)
	}
}

// The tests that docs/modbus.md names as its witnesses are there.
func TestDocumentedTestsExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "modbus.md"))
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, pattern := range []string{"*_test.go", "../bus/*_test.go", "../../gateway/*/*_test.go", "../../cmd/*/*_test.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	var source strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(b)
	}
	names := regexp.MustCompile("`(Test[A-Z][A-Za-z]*)[ `]").FindAllStringSubmatch(string(text), -1)
	if len(names) < 40 {
		t.Errorf("%d tests are named", len(names))
	}
	for _, n := range names {
		if !strings.Contains(source.String(), "func "+n[1]+"(t *testing.T)") {
			t.Errorf("%s is named and does not exist", n[1])
		}
	}
}

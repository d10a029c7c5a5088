package modbus

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/bus/bustest"
	"github.com/tidegate/tidegate/drivers/bus/trace"
	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
	"github.com/tidegate/tidegate/gateway"
)

var update = flag.Bool("update", false, "write what the cases in testdata/traces bring, and the traces of the real devices that are installed, anew")

// traceFolder holds a folder for each case: case.json and trace.jsonl.
var traceFolder = filepath.Join("testdata", "traces")

// traceCase is what was done when a trace was recorded, and what it brought.
type traceCase struct {
	About     string
	Transport string // "tcp" or "rtu"
	Unit      byte
	Timeout   string
	Retries   int  `json:",omitempty"`
	MaxGap    *int `json:",omitempty"`
	ReadWrite bool `json:",omitempty"`
	Points    []casePoint
	Steps     []string // "poll", "write POINT VALUE", "identify LEVEL", or "send FUNCTION DATA" for a write that no point makes
	Want      []string // of each step: the readings of all points, or what was read back, or what the device says, or the error
}

type casePoint struct {
	Name, Address, Type string
	Order               string  `json:",omitempty"`
	Scale               float64 `json:",omitempty"`
	Bits                *Bits   `json:",omitempty"`
	Writable            bool    `json:",omitempty"`
}

// options makes the driver's options of a case.
func (c traceCase) options(t testing.TB, where string) Options {
	t.Helper()
	timeout, err := time.ParseDuration(c.Timeout)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{MaxGap: c.MaxGap, Devices: []Device{{Name: "d", Unit: c.Unit, Timeout: timeout, Retries: c.Retries, ReadWrite: c.ReadWrite}}}
	switch c.Transport {
	case "tcp":
		o.Bus = tcpBus(where)
	case "rtu":
		o.Bus = rtuBus(where)
	default:
		t.Fatalf("transport %q", c.Transport)
	}
	for _, p := range c.Points {
		o.Devices[0].Points = append(o.Devices[0].Points, p.point(t))
	}
	return o
}

func (p casePoint) point(t testing.TB) Point {
	t.Helper()
	table, offset, _ := strings.Cut(p.Address, ":")
	number, err := strconv.ParseUint(offset, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	tables := []Table{Coil, Discrete, Input, Holding}
	bits := Bits{}
	if p.Bits != nil {
		bits = *p.Bits
	}
	return Point{
		Point: gateway.Point{Name: p.Name, Writable: p.Writable}, Bits: bits,
		Address: Address{Table: named(t, tables, table), Offset: uint16(number)},
		Type:    named(t, Types(), p.Type), Order: named(t, allOrders(), p.Order), Scale: p.Scale,
	}
}

// named finds the one of that name; the first for "".
func named[E fmt.Stringer](t testing.TB, all []E, name string) E {
	t.Helper()
	i := slices.IndexFunc(all, func(e E) bool { return e.String() == name })
	if i < 0 && name != "" {
		t.Fatalf("%q is none of %v", name, all)
	}
	return all[max(0, i)]
}

// run takes the steps and returns what they bring.
func (c traceCase) run(t testing.TB, d *Driver) (got []string) {
	t.Helper()
	for _, s := range c.Steps {
		word := strings.Fields(s)
		switch {
		case s == "poll":
			readings, _ := poll(t, d, 0)
			got = append(got, values(readings))
		case len(word) == 3 && word[0] == "write":
			got = append(got, c.write(t, d, word[1], word[2]))
		case len(word) == 2 && word[0] == "identify":
			got = append(got, c.identify(t, d, word[1]))
		case len(word) == 3 && word[0] == "send":
			got = append(got, c.send(t, d, word[1], word[2]))
		default:
			t.Fatalf("step %q", s)
		}
	}
	return got
}

func (c traceCase) write(t testing.TB, d *Driver, point, text string) string {
	t.Helper()
	i := slices.IndexFunc(c.Points, func(p casePoint) bool { return p.Name == point })
	if i < 0 {
		t.Fatalf("point %q", point)
	}
	r, err := d.Write(t.Context(), 0, i, parsed(text))
	if err != nil {
		return err.Error()
	}
	return r.Value.String()
}

// identify returns what the device says of itself.
func (c traceCase) identify(t testing.TB, d *Driver, level string) string {
	t.Helper()
	n, err := strconv.ParseUint(level, 10, 8)
	if err != nil {
		t.Fatal(err)
	}
	id, err := d.Identify(t.Context(), 0, Level(n))
	if err != nil {
		return err.Error()
	}
	said := []string{fmt.Sprintf("conformity %#x", id.Conformity)}
	for _, o := range id.Objects {
		said = append(said, o.Name()+" "+o.Value)
	}
	return strings.Join(said, ", ")
}

// send writes with a function that the driver takes only where a device refuses another.
func (c traceCase) send(t testing.TB, d *Driver, function, data string) string {
	t.Helper()
	q := request{function: raw(t, function)[0], data: raw(t, data)}
	if _, err := d.client.put(t.Context(), d.devices[0].call(q)); err != nil {
		return err.Error()
	}
	return "done"
}

// parsed reads a value as people write it.
func parsed(text string) gateway.Value {
	if b, err := strconv.ParseBool(text); err == nil && len(text) > 1 {
		return gateway.Bool(b)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return gateway.Int(n)
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return gateway.Float64(f)
	}
	return gateway.String(text)
}

// check compares what the steps brought, or writes it down.
func (c traceCase) check(t testing.TB, dir string, got []string) {
	t.Helper()
	if *update {
		c.Want = got
		writeCase(t, dir, c)
	}
	for i, want := range c.Want {
		if i >= len(got) || got[i] != want {
			t.Errorf("step %d, %s: %s\nwant %s", i, c.Steps[i], got[i], want)
		}
	}
	if len(c.Want) != len(c.Steps) {
		t.Errorf("%d results are wanted of %d steps: run this test with -update", len(c.Want), len(c.Steps))
	}
}

func readCase(t testing.TB, dir string) (c traceCase) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "case.json"))
	if err != nil {
		t.Fatal(err)
	}
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	if err := in.Decode(&c); err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	return c
}

func writeCase(t testing.TB, dir string, c traceCase) {
	t.Helper()
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := errors.Join(out.Encode(c), os.WriteFile(filepath.Join(dir, "case.json"), b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// playBack returns where a trace is played.
func playBack(t testing.TB, transport string, exchanges []trace.Exchange) (where string) {
	t.Helper()
	if transport == "rtu" {
		return bustest.PlayLine(t, bustest.FromTrace(t, exchanges))
	}
	return bustest.PlayTCP(t, bustest.FromTrace(t, exchanges))
}

// startAt lets the driver's next request have the transaction id of the first in the trace, which may begin anywhere.
func startAt(t testing.TB, d *Driver, transport string, exchanges []trace.Exchange) {
	t.Helper()
	if transport != "tcp" {
		return
	}
	first := slices.IndexFunc(exchanges, func(x trace.Exchange) bool { return x.Sent != nil })
	want := binary.BigEndian.Uint16(exchanges[first].Sent) - 1
	for range 1 << 16 {
		if want == 0 {
			return
		}
		frame, err := d.client.framing.encode(1, askRead2)
		if err != nil {
			t.Fatal(err)
		}
		if binary.BigEndian.Uint16(frame) == want {
			return
		}
	}
	t.Fatalf("no transaction has the id %d", want)
}

// Each folder in testdata/traces is a conversation that took place, with a real device or at somebody's site, and what it must bring.
func TestTraces(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(traceFolder, "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			c, exchanges := readCase(t, dir), bustest.ReadTrace(t, filepath.Join(dir, "trace.jsonl"))
			d := newTestDriver(t, c.options(t, playBack(t, c.Transport, exchanges)))
			startAt(t, d, c.Transport, exchanges)
			c.check(t, dir, c.run(t, d))
		})
	}
}

// recorder keeps what a bus tells, as the lines of a trace.
type recorder struct {
	mu    sync.Mutex
	lines []byte
}

func (r *recorder) tell(t testing.TB) func(trace.Exchange) {
	return func(x trace.Exchange) {
		r.mu.Lock()
		defer r.mu.Unlock()
		var err error
		if r.lines, err = x.AppendJSON(r.lines); err != nil {
			t.Error(err)
		}
	}
}

func (r *recorder) exchanges(t testing.TB) []trace.Exchange {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	all, err := trace.Read(bytes.NewReader(r.lines))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A line that misbehaves is recorded, and its trace brings another driver the same readings, late answers and all.
func TestRecordAndPlayBack(t *testing.T) {
	for _, kind := range []string{"tcp", "rtu"} {
		t.Run(kind, steadily(func(t testing.TB) {
			unit := sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 10}, {First: 50, Count: 10}}})
			for address, value := range map[uint16]uint16{0: 7, 1: 8, 50: 57, 51: 58} {
				if err := unit.Set(sim.HoldingRegisters, address, value); err != nil {
					t.Fatal(err)
				}
			}
			for _, f := range []sim.Fault{
				sim.Split(3, patience/10), sim.GarbageBefore(0xff), // the first poll
				sim.Late(patience * 5 / 4), sim.Late(patience * 5 / 4), sim.Split(1, 0), // the second
				sim.Split(5, patience/20), sim.NoAnswer(), // the write
			} {
				unit.Inject(f, 1)
			}
			c := traceCase{
				Transport: kind, Timeout: patience.String(), Retries: 1, Unit: 1,
				Points: []casePoint{
					{Name: "p0", Address: "holding:0", Type: "uint16"},
					{Name: "p1", Address: "holding:1", Type: "uint16", Writable: true},
					{Name: "p50", Address: "holding:50", Type: "uint16"},
					{Name: "p51", Address: "holding:51", Type: "uint16"},
				},
				Steps: []string{"poll", "poll", "write p1 42", "poll", "poll"},
			}
			units := map[byte]*sim.Unit{1: unit}
			where := simtest.TCP(t, units, sim.ServerOptions{}).Address
			if kind == "rtu" {
				where = simtest.RTU(t, units, sim.SlaveOptions{}).Port
			}
			var rec recorder
			o := c.options(t, where)
			o.Bus.Trace = rec.tell(t)
			recorded := newTestDriver(t, o)
			want := c.run(t, recorded)
			exchanges := rec.exchanges(t)
			if n := len(strings.Split(string(rec.lines), "\n")) - 1; n != len(exchanges) || n < 2*len(c.Steps) {
				t.Fatalf("%d lines, %d conversations", n, len(exchanges))
			}
			played := newTestDriver(t, c.options(t, playBack(t, kind, exchanges)))
			if got := c.run(t, played); !slices.Equal(got, want) {
				t.Errorf("played back: %q\nrecorded:    %q", got, want)
			}
		}))
	}
}

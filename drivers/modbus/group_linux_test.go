package modbus

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
	"github.com/tidegate/tidegate/gateway"
)

// asked returns what the current plan of a device's first group asks for.
func asked(d *Driver) string { return show(d.devices[0].groups[0].blocks) }

func TestGroupsByInterval(t *testing.T) {
	points := holding(0, 1, 2, 3, 4)
	points[1].Interval = 100 * time.Millisecond
	points[3].Interval = time.Minute
	points[4].Interval = time.Second // the device's own
	server := simtest.TCP(t, benchUnit(), sim.ServerOptions{})
	d := newTestDriver(t, Options{Bus: tcpBus(server.Address), Devices: []Device{{Name: "d", Interval: time.Second, Points: points}}})
	groups := d.Devices()[0].Groups
	if got, want := fmt.Sprint(groups), "[{100ms [1]} {1s [0 2 4]} {1m0s [3]}]"; got != want {
		t.Fatalf("groups %s, want %s", got, want)
	}
	for group, want := range []string{
		"untouched 0 untouched untouched untouched", "0 untouched 0 untouched 0", "untouched untouched untouched 0 untouched",
	} {
		readings := make([]gateway.Reading, len(points))
		for step, more := 0, true; more; step++ {
			var err error
			if more, err = d.Poll(t.Context(), 0, group, step, readings); err != nil {
				t.Fatal(err)
			}
		}
		if got := values(readings); got != want {
			t.Errorf("group %d: readings %s, want %s", group, got, want)
		}
	}
}

// One bad address in a block of a hundred: it is found by halving, left out of later polls, and what is left takes two requests.
func TestRefusalPartsTheBlockOnce(t *testing.T) {
	layout := sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 60}, {First: 61, Count: 39}}}
	unit := sim.NewUnit(layout)
	server := simtest.TCP(t, map[byte]*sim.Unit{1: unit}, sim.ServerOptions{})
	d := newTestDriver(t, Options{Bus: tcpBus(server.Address), Devices: []Device{{Name: "d", Points: registers(100)}}})
	for i, most := range []uint64{20, 2, 2} {
		before := unit.Stats().Requests
		readings, errs := poll(t, d, 0)
		if got := unit.Stats().Requests - before; got > most {
			t.Errorf("poll %d took %d requests, want at most %d", i, got, most)
		}
		for p, r := range readings {
			if good := r.Quality == gateway.QualityGood; good != (p != 60) {
				t.Errorf("poll %d: point %d is %v %q", i, p, r.Quality, r.Reason)
			}
		}
		if len(errs) != 1 { // the log does not say that all is well again
			t.Errorf("poll %d: errors %v, want the refusal", i, errs)
		}
	}
}

// What was refused is asked for again after a while: at first soon, since it may have been a device that starts up.
func TestRefusalIsTriedAgain(t *testing.T) {
	unit := sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 10}}})
	server := simtest.TCP(t, map[byte]*sim.Unit{1: unit}, sim.ServerOptions{})
	d := newTestDriver(t, Options{Bus: tcpBus(server.Address), Devices: []Device{{Name: "d", Points: holding(0, 1, 2, 3)}}})
	refuseAll := func() { unit.Inject(sim.ExceptionAnswer(2), 7) } // the block, its halves, each point
	refuseAll()
	const none = "<exception 2> <exception 2> <exception 2> <exception 2>"
	wantValues(t, d, 0, none)
	unit.Inject(sim.ExceptionAnswer(2), 1)
	wantValues(t, d, 0, none) // one is asked for, to see whether the device is there

	g := d.devices[0].groups[0]
	for _, pause := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		if left := time.Until(g.again); g.pause != pause || left > pause || left < pause-hangs {
			t.Fatalf("again in %v, pause %v, want %v", left, g.pause, pause)
		}
		g.again = time.Now()
		refuseAll()
		wantValues(t, d, 0, none)
	}
	g.pause, g.again = 20*time.Hour, time.Now()
	refuseAll()
	wantValues(t, d, 0, none)
	if g.pause != 24*time.Hour {
		t.Errorf("pause %v, want a day at most", g.pause)
	}
	g.again = time.Now()
	wantValues(t, d, 0, "0 0 0 0")
	if got := asked(d); got != "holding:0+4[0 1 2 3]" {
		t.Errorf("asks for %s", got)
	}
}

// A device that was refused everything and begins to answer the one point that is still asked for has it back at once.
func TestRefusedPointThatAnswersIsTakenBack(t *testing.T) {
	unit := sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 10}}})
	server := simtest.TCP(t, map[byte]*sim.Unit{1: unit}, sim.ServerOptions{})
	d := newTestDriver(t, Options{Bus: tcpBus(server.Address), Devices: []Device{{Name: "d", Points: holding(0, 1)}}})
	unit.Inject(sim.ExceptionAnswer(2), 3)
	wantValues(t, d, 0, "<exception 2> <exception 2>")
	wantValues(t, d, 0, "0 <exception 2>")
	wantValues(t, d, 0, "0 <exception 2>")
}

// Points of one register are refused together: asking for some of them is asking for all.
func TestPointsOfOneRegisterAreRefusedTogether(t *testing.T) {
	unit := sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 1}}})
	server := simtest.TCP(t, map[byte]*sim.Unit{1: unit}, sim.ServerOptions{})
	d := newTestDriver(t, Options{Bus: tcpBus(server.Address), Devices: []Device{{Name: "d", Points: slices.Concat(holding(5, 5, 5, 5), holding(0))}}})
	wantValues(t, d, 0, "<exception 2> <exception 2> <exception 2> <exception 2> 0")
	if got := unit.Stats().Requests; got > 6 {
		t.Errorf("%d requests", got)
	}
}

// A device that takes its time makes a second request dearer, so that more unwanted registers are read along; and the plan does not
// change with each answer that is a little faster or slower.
func TestPlanFollowsTheResponseTime(t *testing.T) {
	line := bus.Options{Port: "/dev/null", Mode: bus.Mode{Baud: 9600}}
	d, err := New(Options{Name: "b", Bus: line, Devices: []Device{{Name: "d", Unit: 1, Points: holding(0, 1, 20, 21)}}})
	if err != nil {
		t.Fatal(err)
	}
	dev := d.devices[0]
	d.begin(dev, dev.groups[0])
	plan := asked(d)
	answers := func(took time.Duration) string {
		for range 50 {
			dev.response.add(took)
		}
		d.begin(dev, dev.groups[0])
		before := asked(d)
		dev.groups[0].compared = dev.groups[0].compared.Add(-dev.groups[0].review)
		if d.begin(dev, dev.groups[0]); before != plan {
			t.Errorf("the plan was compared again at once: %s", before)
		}
		plan = asked(d)
		return plan
	}
	const apart, together = "holding:0+2[0 1] holding:20+2[2 3]", "holding:0+22[0 1 2 3]"
	const ms = time.Millisecond
	// 18 registers of gap last 37.5 ms; a request is 17.2 ms beside the answer's time.
	for _, step := range []struct {
		took time.Duration
		want string
	}{{0, apart}, {18 * ms, apart}, {22 * ms, apart}, {100 * ms, together}, {22 * ms, together}, {18 * ms, together}, {ms, apart}} {
		if got := answers(step.took); got != step.want {
			t.Errorf("after answers in %v the plan is %s, want %s", step.took, got, step.want)
		}
	}
}

func TestResponseIsMeasured(t *testing.T) {
	unit := sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 10}}})
	const delay = 20 * time.Millisecond
	unit.Inject(sim.Late(delay), -1)
	line := simtest.RTU(t, map[byte]*sim.Unit{1: unit}, sim.SlaveOptions{Line: sim.Line{Baud: 115200}})
	d := newTestDriver(t, Options{Bus: rtuBus(line.Port), Devices: []Device{{Name: "d", Points: holding(0)}}})
	for range enoughSamples + 5 {
		wantValues(t, d, 0, "0")
	}
	r := d.devices[0].response
	if got := r.or(0); r.samples < enoughSamples || got < delay { // an upper bound would be a matter of the machine
		t.Errorf("%d samples, the device takes %v, want at least %v", r.samples, got, delay)
	}
}

func TestResponseForgetsAccidents(t *testing.T) {
	var r response
	if got := r.or(time.Second); got != time.Second {
		t.Errorf("without a sample %v", got)
	}
	for range 20 {
		r.add(10 * time.Millisecond)
	}
	r.add(10 * time.Second)
	if r.mean > 13*time.Millisecond {
		t.Errorf("one accident makes %v of 10 ms", r.mean)
	}
	for range 40 {
		r.add(50 * time.Millisecond)
	}
	if r.mean < 45*time.Millisecond {
		t.Errorf("40 answers of 50 ms make %v", r.mean)
	}
}

// A device that is not there is not asked twice in a poll, and one that is there is.
func TestProbesAreNotRepeated(t *testing.T) {
	steady(t, func(t testing.TB) {
		unit := sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 10}}})
		server := simtest.TCP(t, map[byte]*sim.Unit{1: unit}, sim.ServerOptions{})
		d := newTestDriver(t, Options{Bus: tcpBus(server.Address), Devices: []Device{{Name: "d", Points: holding(0), Retries: 2, Timeout: patience}}})
		wantValues(t, d, 0, "0")
		unit.Inject(sim.NoAnswer(), -1)
		for i, want := range []uint64{3, 3, 1, 1} {
			before := d.Stats().Requests
			wantValues(t, d, 0, "<timeout>")
			if got := d.Stats().Requests - before; got != want {
				t.Errorf("poll %d: %d requests, want %d", i, got, want)
			}
		}
		unit.Heal()
		wantValues(t, d, 0, "0")
		unit.Inject(sim.NoAnswer(), 1)
		wantValues(t, d, 0, "0") // repeated
	})
}

// Two points that the device does not read in one request stay apart also when the plan changes for another reason.
func TestHalvesStayApart(t *testing.T) {
	unit := sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 1}, {First: 5, Count: 1}, {First: 100, Count: 1}}})
	server := simtest.TCP(t, map[byte]*sim.Unit{1: unit}, sim.ServerOptions{})
	d := newTestDriver(t, Options{Bus: tcpBus(server.Address), MaxGap: gap(10), Devices: []Device{{Name: "d", Points: holding(0, 5, 100, 101)}}})
	for range 3 {
		wantValues(t, d, 0, "0 0 0 <exception 2>")
	}
	if got := unit.Stats().Requests; got != 6+2*3 { // both blocks and their halves, then what was answered
		t.Errorf("%d requests for three polls, want 12; asks for %s", got, asked(d))
	}
}

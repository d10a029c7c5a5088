package modbus

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/drivers/bus/trace"
	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
	"github.com/tidegate/tidegate/gateway"
)

// registers makes n adjacent points.
func registers(n int) []Point {
	offsets := make([]uint16, n)
	for i := range offsets {
		offsets[i] = uint16(i)
	}
	return holding(offsets...)
}

func benchUnit() map[byte]*sim.Unit {
	return map[byte]*sim.Unit{1: sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 125}}})}
}

// benchLine reports which part of the wire's limit polls of these slaves in turn reach. They are simulated and answer at once, unless real ones are given: how
// long those think is a part of the limit.
func benchLine(b *testing.B, baud, n, slaves int, real *realSlaves) {
	units := map[byte]*sim.Unit{}
	opts := sim.SlaveOptions{Line: sim.Line{Baud: baud, Parity: sim.EvenParity}}
	if real != nil {
		opts.Ask = real.ask
	}
	mode := bus.Mode{Baud: baud, Parity: bus.ParityEven}
	var o Options
	for id := range byte(slaves) {
		units[id+1] = benchUnit()[1]
		o.Devices = append(o.Devices, Device{Name: fmt.Sprint("d", id), Unit: id + 1, Points: registers(n)})
	}
	line := simtest.RTU(b, units, opts)
	var polls []linePoll
	o.Bus = bus.Options{Port: line.Port, Mode: mode, Trace: func(x trace.Exchange) {
		polls = append(polls, linePoll{x.Time.Add(x.SentAt), line.Slave.Answered(), real.thought()})
	}}
	took := benchPoll(b, newTestDriver(b, o), n)
	thought := meanThought(polls)
	if real != nil {
		b.ReportMetric(float64(thought.Nanoseconds())/1e3, "us-slave")
	}
	limit := mode.Chars(13+2*n) + 2*mode.Silence() + thought
	b.ReportMetric(100*float64(limit)/float64(took.mean), "%ofwire")
	b.ReportMetric(100*float64(limit)/float64(took.median), "%ofwire(median)") // what other programs on the machine leave alone
	benchLosses(b, limit, mode.Chars(13+2*n)+mode.Silence(), mode.Silence(), polls)
	if s := line.Slave.Stats(); s.GapViolations > 0 || s.BadFrames > 0 {
		b.Errorf("line: %+v, want neither violations nor bad frames", s)
	}
}

// linePoll is one poll on a simulated line: when the request was sent, when the last character of its answer was there, and how long a real slave took for it.
type linePoll struct {
	sent, answered time.Time
	thought        time.Duration
}

// meanThought leaves out the first poll, as the times do.
func meanThought(polls []linePoll) (mean time.Duration) {
	for _, p := range polls[1:] {
		mean += p.thought / time.Duration(len(polls)-1)
	}
	return mean
}

// benchLosses tells whose the time is that polls took beyond the limit: the driver's, from the moment at which an answer was complete, or the simulated line's,
// which sees a request late and is late with its answer, as no wire is. wire is how long that takes from the first character to the last with no time to think.
func benchLosses(b *testing.B, limit, wire, silence time.Duration, polls []linePoll) {
	var driver, line []time.Duration
	for i := 1; i < len(polls); i++ {
		driver = append(driver, polls[i].sent.Sub(polls[i-1].answered)-silence)
		line = append(line, polls[i].answered.Sub(polls[i].sent)-wire-polls[i].thought)
	}
	report := func(who string, lost []time.Duration) (mean time.Duration) {
		var sum time.Duration
		for _, l := range lost {
			sum += l
		}
		slices.Sort(lost)
		mean = sum / time.Duration(max(1, len(lost)))
		b.ReportMetric(float64(mean.Nanoseconds())/1e3, "us-lost/"+who)
		if len(lost) > 0 {
			b.ReportMetric(float64(lost[len(lost)/2].Nanoseconds())/1e3, "us-lost/"+who+"(median)")
		}
		return mean
	}
	report("line", line)
	own := report("driver", driver)
	b.ReportMetric(100*float64(limit)/float64(limit+own), "%ofwire(driver)") // on a line that is never late
}

// pollTimes is how long polls took.
type pollTimes struct{ mean, median time.Duration }

// benchPoll polls the devices in turn b.N times, each poll one request, and reports the rates.
func benchPoll(b *testing.B, d *Driver, n int) pollTimes {
	b.Helper()
	readings := make([]gateway.Reading, n)
	device := 0
	one := func() {
		if _, err := d.Poll(b.Context(), device, 0, 0, readings); err != nil {
			b.Fatal(err)
		}
		device = (device + 1) % len(d.devices)
	}
	one() // opens
	b.ReportAllocs()
	var times []time.Duration
	for b.Loop() {
		start := time.Now()
		one()
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "registers/s")
	return pollTimes{mean: b.Elapsed() / time.Duration(b.N), median: times[len(times)/2]}
}

// One device read as fast as it answers; the simulated device is part of what is measured.
func BenchmarkTCP(b *testing.B) {
	for _, n := range []int{1, 10, 100, 125} {
		b.Run(fmt.Sprintf("Registers%d", n), func(b *testing.B) {
			o := Options{Bus: tcpBus(simtest.TCP(b, benchUnit(), sim.ServerOptions{}).Address), Devices: []Device{{Name: "d", Points: registers(n)}}}
			benchPoll(b, newTestDriver(b, o), n)
		})
	}
}

// The driver's own speed on a serial port: a line without pace, at a rate that makes t3.5 all that it waits for.
func BenchmarkRTUWithoutPace(b *testing.B) {
	for _, n := range []int{10, 125} {
		b.Run(fmt.Sprintf("Registers%d", n), func(b *testing.B) {
			o := Options{Bus: rtuBus(simtest.RTU(b, benchUnit(), sim.SlaveOptions{}).Port), Devices: []Device{{Name: "d", Points: registers(n)}}}
			o.Bus.Mode.Baud = 4000000
			benchPoll(b, newTestDriver(b, o), n)
		})
	}
}

// How near the driver comes to the wire: a cycle lasts c(13+2n) + 2*t3.5 at best, and the simulated line counts who is faster than that.
func BenchmarkRTUEfficiency(b *testing.B) {
	benchLines(b, func(b *testing.B, baud, n, slaves int) { benchLine(b, baud, n, slaves, nil) })
}

// The same with slaves of libmodbus behind the line. What they need to answer is shown as us-slave and is not the driver's.
func BenchmarkRTUEfficiencyLibmodbus(b *testing.B) {
	command := libmodbus(b)
	benchLines(b, func(b *testing.B, baud, n, slaves int) {
		benchLine(b, baud, n, slaves, startSlaves(b, command, baud, slaves))
	})
}

// benchLines runs bench for the lines and requests of which efficiency is wanted.
func benchLines(b *testing.B, bench func(b *testing.B, baud, n, slaves int)) {
	for _, baud := range []int{9600, 19200, 115200} {
		for _, n := range []int{10, 125} {
			for _, slaves := range []int{1, 3} {
				b.Run(fmt.Sprintf("Baud%d/Registers%d/Slaves%d", baud, n, slaves), func(b *testing.B) { bench(b, baud, n, slaves) })
			}
		}
	}
}

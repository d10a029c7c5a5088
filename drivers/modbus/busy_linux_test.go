package modbus

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/engine"
)

// engineDriver is the driver as the engine takes it.
type engineDriver struct{ *Driver }

func (d engineDriver) Devices() (out []engine.Device) {
	for _, info := range d.Driver.Devices() {
		dev := engine.Device{Name: info.Name, StaleAfter: info.StaleAfter, Publish: info.Publish, Points: info.Points}
		for _, g := range info.Groups {
			dev.Groups = append(dev.Groups, engine.Group(g))
		}
		out = append(out, dev)
	}
	return out
}

func (d engineDriver) Poll(ctx context.Context, device, group, step int, readings []gateway.Reading) (bool, error) {
	more, err := d.Driver.Poll(ctx, device, group, step, readings)
	if errors.Is(err, ErrNoAnswer) {
		err = fmt.Errorf("%w: %w", engine.ErrNoAnswer, err)
	}
	return more, err
}

type nowhere struct{}

func (nowhere) Publish(*gateway.Record, func(error)) {}

// noCommands is a journal without any.
type noCommands struct{ engine.Journal }

func (noCommands) Next(ctx context.Context, _ uint64) (engine.Entry, error) {
	<-ctx.Done()
	return engine.Entry{}, ctx.Err()
}

// Twenty devices on a line that keeps its pace, busy 70 % of the time, and one of them dead: the others keep 95 % of their rate. What is
// counted is polls, over a long enough time; a machine that is busy with other things gets five tries, and more where it stood still. What a poll takes is measured, because
// the simulated line is late there, and a line that is meant to be busy 70 % of the time would have no time left for anybody. Nor are the living
// taken for dead there: only the dead one has a timeout that is short.
func TestDeadDeviceOnABusyLine(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds of a line's time")
	}
	const baud, dead, load = 38400, 7, 0.7
	for failures, n := 0, 0; ; n++ {
		begin, w := time.Now(), watchPauses()
		kept := pollBusyLine(t, baud, dead, load)
		_, stood := w.end()
		if kept >= 0.95 {
			return
		}
		if share := stood.Seconds() / time.Since(begin).Seconds(); share > 0.02 {
			t.Logf("the machine stood still for %.1f %% of the time, so that this says nothing", 100*share)
		} else if failures++; failures == 5 {
			t.Fatalf("the others kept %.1f %% of their rate, want 95 %%", 100*kept)
		}
		if n == 11 {
			t.Fatal("the machine stands still too often to say how many polls there should be")
		}
	}
}

// pollBusyLine returns the share of their polls that the living devices got.
func pollBusyLine(t *testing.T, baud int, dead byte, load float64) (kept float64) {
	t.Helper()
	units := map[byte]*sim.Unit{}
	o := Options{Name: "line"}
	for unit := byte(1); unit <= 20; unit++ {
		units[unit] = sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 10}}})
		o.Devices = append(o.Devices, Device{
			Name: fmt.Sprintf("d%d", unit), Unit: unit, Interval: time.Second, Timeout: hangs, Retries: 1, Points: holding(0, 1),
		})
	}
	o.Devices[dead-1].Timeout = 100 * time.Millisecond
	units[dead].Inject(sim.NoAnswer(), -1)
	line := simtest.RTU(t, units, sim.SlaveOptions{Line: sim.Line{Baud: baud}})
	o.Bus = bus.Options{Port: line.Port, Mode: bus.Mode{Baud: baud}}
	wire, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	all := max(roundTime(t, o, int(dead)-1), time.Duration(wire.Load*float64(time.Second)))
	for i := range o.Devices {
		o.Devices[i].Interval = time.Duration(float64(all) / load)
	}
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Options{
		Publisher: nowhere{}, Journal: noCommands{}, Topics: gateway.Topics{Base: "t"},
		Buses: []engine.Bus{{Name: "line", Driver: engineDriver{d}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	begin := time.Now()
	if err := e.Run(ctx); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	stats := e.Stats()[0]
	wanted, got, fewest := 0.0, 0.0, uint64(1<<32)
	for i, s := range stats.Devices {
		if byte(i+1) != dead {
			wanted += s.Wanted * took.Seconds()
			got += float64(s.Polls)
			fewest = min(fewest, s.Polls)
		} else if s.Polls != 0 {
			t.Errorf("the dead device answered %d polls", s.Polls)
		}
	}
	t.Logf("polls of all take %v, on the wire %.1f ms; load %.2f planned, %.2f measured; %d timeouts; %.0f of %.0f polls, the device with the fewest got %d", all, 1000*wire.Load, load, stats.Busy.Seconds()/took.Seconds(), stats.Timeouts, got, wanted, fewest)
	return got / wanted
}

// roundTime returns how long it takes to poll each device once, one right after the other, as if the dead one answered like the others.
func roundTime(t *testing.T, o Options, dead int) time.Duration {
	t.Helper()
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const rounds = 4 // and one more, which opens the port
	var begin time.Time
	for round := range rounds + 1 {
		if round == 1 {
			begin = time.Now()
		}
		for i := range o.Devices {
			if i == dead {
				continue
			}
			if _, errs := poll(t, d, i); len(errs) > 0 {
				t.Logf("before the test: %v", errs) // the machine is very busy
			}
		}
	}
	each := time.Since(begin) / time.Duration(rounds*(len(o.Devices)-1))
	return each * time.Duration(len(o.Devices))
}

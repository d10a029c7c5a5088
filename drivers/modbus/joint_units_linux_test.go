package modbus

import (
	"fmt"
	"testing"

	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
	"github.com/tidegate/tidegate/gateway"
)

// writeAll writes all values to points 0 and up of a device as the engine does, and returns the first error.
func writeAll(t *testing.T, d *Driver, device int, values []gateway.Value) error {
	t.Helper()
	var points []int
	for i := range values {
		points = append(points, i)
	}
	for len(points) > 0 {
		back, err := d.WriteBlock(t.Context(), device, points, values)
		if err != nil {
			return err
		}
		if len(back) == 0 {
			t.Fatal("neither readings nor an error")
		}
		points, values = points[len(back):], values[len(back):]
	}
	return nil
}

// What a unit takes at once is known of that unit alone, until the bus was lost: what comes back may be another device.
func TestJointWritesOfEachUnit(t *testing.T) {
	for _, tc := range []struct {
		table  Table
		values []gateway.Value
	}{
		{Holding, uints(1, 2, 3, 4)},
		{Coil, []gateway.Value{gateway.Bool(true), gateway.Bool(false), gateway.Bool(true), gateway.Bool(true)}},
	} {
		t.Run(fmt.Sprint(tc.table), func(t *testing.T) {
			cells := []sim.Range{{First: 0, Count: 4}}
			units := map[byte]*sim.Unit{}
			var devices []Device
			for id := byte(1); id <= 2; id++ {
				units[id] = sim.NewUnit(sim.Layout{HoldingRegisters: cells, Coils: cells})
				points := holding(0, 1, 2, 3)
				for i := range points {
					if points[i].Address.Table = tc.table; tc.table.bits() {
						points[i].Type = Bool
					}
				}
				devices = append(devices, Device{Name: fmt.Sprint("d", id), Unit: id, Points: points})
			}
			line := simtest.RTU(t, units, sim.SlaveOptions{})
			d := newTestDriver(t, Options{Bus: rtuBus(line.Port), Devices: devices})
			wantRequests := func(unit byte, want uint64) {
				t.Helper()
				before := units[unit].Stats().Requests
				if err := writeAll(t, d, int(unit)-1, tc.values); err != nil {
					t.Fatal(err)
				}
				if got := units[unit].Stats().Requests - before; got != want {
					t.Errorf("unit %d was sent %d requests, want %d", unit, got, want)
				}
			}
			wantRequests(1, 2) // all at once, and back
			units[1].Inject(sim.ExceptionAnswer(4), 1)
			if err := writeAll(t, d, 0, tc.values); err == nil {
				t.Error("no error of a unit that has failed")
			}
			if s := d.Stats(); s.Writes != 4+1 {
				t.Errorf("%d writes are counted, want four and the one that failed", s.Writes)
			}
			wantRequests(1, 4)
			wantRequests(2, 2)
			line.Unplug()
			if _, errs := poll(t, d, 0); len(errs) == 0 {
				t.Error("a poll on a line that is unplugged")
			}
			line.Plug()
			within(t, "a good poll", func() bool { _, errs := poll(t, d, 0); return len(errs) == 0 })
			wantRequests(1, 2)
		})
	}
}

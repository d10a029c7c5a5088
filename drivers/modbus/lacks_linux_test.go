package modbus

import (
	"testing"

	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
	"github.com/tidegate/tidegate/gateway"
)

// That a device lacks a function is forgotten when the bus was lost: what comes back may be another device.
func TestLackIsForgottenWithTheBus(t *testing.T) {
	unit := sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 1}}})
	line := simtest.RTU(t, map[byte]*sim.Unit{1: unit}, sim.SlaveOptions{})
	points := holding(0)
	points[0].Bits = Bits{First: 2, Count: 1}
	d := newTestDriver(t, Options{Bus: rtuBus(line.Port), Devices: []Device{{Name: "d", Points: points}}})
	wantRequests := func(want uint64) {
		t.Helper()
		before := unit.Stats().Requests
		if _, err := d.Write(t.Context(), 0, 0, gateway.Uint(1)); err != nil {
			t.Fatal(err)
		}
		if got := unit.Stats().Requests - before; got != want {
			t.Errorf("%d requests, want %d", got, want)
		}
	}
	unit.Inject(sim.ExceptionAnswer(1), 1)
	wantRequests(4) // the mask write is refused; read, write, read back
	wantRequests(3)
	line.Unplug()
	wantValues(t, d, 0, "<offline>")
	line.Plug()
	within(t, "a good poll", func() bool { _, errs := poll(t, d, 0); return len(errs) == 0 })
	wantRequests(2)
}

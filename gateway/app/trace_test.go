package app_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/bus/trace"
	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
	"github.com/tidegate/tidegate/gateway/app"
)

// What a gateway says on its buses is in the file when it has stopped, also after a second start; without the option there is no file.
func TestTrace(t *testing.T) {
	unit := sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 2}}})
	asked := make(chan struct{}, 100)
	unit.Observe(func([]byte) {
		select {
		case asked <- struct{}{}:
		default:
		}
	})
	device := simtest.TCP(t, map[byte]*sim.Unit{1: unit}, sim.ServerOptions{})
	dir := t.TempDir()
	text := minimal + fmt.Sprintf(`
[[bus]]
name = "plant"
transport = "tcp"
endpoint = %q
[[device]]
name = "meter"
bus = "plant"
unit_id = 1
interval = "50ms"
[[device.point]]
name = "voltage"
address = "holding:0"
type = "uint32"
`, device.Address)
	file := filepath.Join(dir, "trace.jsonl")
	for round := range 3 {
		o := app.Options{Config: load(t, dir, text), Logger: slog.New(slog.DiscardHandler), Version: "test"}
		if round > 0 {
			o.TraceFile = file
		}
		a, err := app.New(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, a)
		for range 3 {
			select {
			case <-asked:
			case <-time.After(time.Minute):
				t.Fatal("the device was not asked")
			}
		}
		stop()
		checkTrace(t, file, 2*round)
	}
}

// checkTrace looks for at least so many answers, all of them whole.
func checkTrace(t *testing.T, file string, least int) {
	t.Helper()
	written, err := os.ReadFile(file)
	if least == 0 {
		if !os.IsNotExist(err) {
			t.Errorf("a trace that nobody asked for: %v", err)
		}
		return
	}
	all, err := trace.Read(bytes.NewReader(written))
	if err != nil || len(all) < least {
		t.Fatalf("%d conversations, %v, want %d", len(all), err, least)
	}
	for _, x := range all {
		if x.Outcome == trace.Cancelled { // the last, by the stop
			continue
		}
		if x.Bus != "plant" || x.Outcome != trace.Answer || len(x.Sent) != 12 || len(x.Received) != 1 || len(x.Received[0].Bytes) != 13 || x.Dropped != 0 {
			t.Errorf("conversation %+v", x)
		}
	}
}

package modbus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/gateway"
)

// tcpBus and rtuBus are where the drivers of these tests look for their devices.
func tcpBus(endpoint string) bus.Options {
	return bus.Options{Endpoint: endpoint, ReopenMin: time.Millisecond, ReopenMax: 5 * time.Millisecond}
}

func rtuBus(port string) bus.Options {
	return bus.Options{Port: port, Mode: bus.Mode{Baud: 115200}, ReopenMin: time.Millisecond, ReopenMax: 5 * time.Millisecond}
}

// hangs is how long the tests' devices may take to answer on a machine that is busy with other things.
const hangs = 30 * time.Second

func newTestDriver(t testing.TB, o Options) *Driver {
	t.Helper()
	o.Name = "line"
	for i := range o.Devices {
		if o.Devices[i].Timeout == 0 {
			o.Devices[i].Timeout = hangs
		}
		if o.Devices[i].Unit == 0 {
			o.Devices[i].Unit = 1
		}
	}
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close(): %v", err)
		}
	})
	return d
}

// poll runs a whole poll as the engine does, and returns the readings with all errors but nil.
func poll(t testing.TB, d *Driver, device int) ([]gateway.Reading, []error) {
	t.Helper()
	readings := make([]gateway.Reading, len(d.devices[device].points))
	var errs []error
	for step := 0; ; step++ {
		more, err := d.Poll(context.Background(), device, 0, step, readings)
		if err != nil {
			errs = append(errs, err)
		}
		if errors.Is(err, ErrNoAnswer) || !more {
			return readings, errs
		}
		if step > 1000 {
			t.Fatal("a poll without end")
		}
	}
}

// values writes readings as "230.1 true timeout".
func values(readings []gateway.Reading) string {
	var s []string
	for _, r := range readings {
		switch {
		case r.Quality == gateway.QualityGood && !r.Time.IsZero():
			s = append(s, r.Value.String())
		case r.Reason == "" && r.Value.IsZero() && r.Time.IsZero():
			s = append(s, "untouched")
		default:
			s = append(s, fmt.Sprintf("<%s>", r.Reason))
		}
	}
	return strings.Join(s, " ")
}

// wantValues polls and compares.
func wantValues(t testing.TB, d *Driver, device int, want string) {
	t.Helper()
	readings, errs := poll(t, d, device)
	if got := values(readings); got != want {
		t.Fatalf("readings %s, want %s (errors: %v)", got, want, errs)
	}
}

// holding makes uint16 points at these offsets.
func holding(offsets ...uint16) []Point {
	var points []Point
	for _, o := range offsets {
		points = append(points, Point{Point: gateway.Point{Name: fmt.Sprintf("p%d", o), Writable: true}, Address: Address{Holding, o}, Type: Uint16})
	}
	return points
}

func gap(n int) *int { return &n }

func allOrders() []Order { return []Order{ABCD, CDAB, BADC, DCBA, AB, BA} }

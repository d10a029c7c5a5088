package modbus

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
	"github.com/tidegate/tidegate/gateway"
)

// The commonest mistake in an address is named where the device refuses it, and no other refusal is explained by it.
func TestHintAtAnOffset(t *testing.T) {
	for _, tc := range []struct {
		at        Address
		exception byte
		want      string
	}{
		{Address{Holding, 40001}, 2, `write address = "40001", which is holding:0`},
		{Address{Holding, 49999}, 2, `write address = "49999", which is holding:9998`},
		{Address{Input, 30017}, 2, `write address = "30017", which is input:16`},
		{Address{Discrete, 10001}, 2, `write address = "10001", which is discrete:0`},
		{Address{Holding, 40001}, 3, ""},
		{Address{Holding, 40000}, 2, ""},
		{Address{Holding, 50001}, 2, ""},
		{Address{Holding, 30001}, 2, ""},
		{Address{Holding, 1}, 2, ""},
		{Address{Coil, 1}, 2, ""},
	} {
		err := fmt.Errorf("read: %w", &failure{err: &Error{Function: 3, Exception: tc.exception}})
		got := hintOffset(tc.at, err)
		if tc.want == "" && got != err || !strings.Contains(got.Error(), tc.want) || !errors.Is(got, err) {
			t.Errorf("exception %d at %v: got %v, want %q in it", tc.exception, tc.at, got, tc.want)
		}
	}
}

func TestRefusedModiconNumberIsExplained(t *testing.T) {
	unit := sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 10}}})
	o := Options{Bus: tcpBus(simtest.TCP(t, map[byte]*sim.Unit{1: unit}, sim.ServerOptions{}).Address)}
	o.Devices = []Device{{Name: "d", Points: holding(40001)}}
	d := newTestDriver(t, o)
	const want = `address = "40001"`
	if _, errs := poll(t, d, 0); len(errs) != 1 || !strings.Contains(errs[0].Error(), want) {
		t.Errorf("poll: got %v, want %s in it", errs, want)
	}
	if _, err := d.Write(t.Context(), 0, 0, gateway.Int(1)); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("write: got %v, want %s in it", err, want)
	}
}

// A device that has never answered is most often a mistake in the configuration or the wiring: the settings in force are named.
func TestHintAtSilence(t *testing.T) {
	const patience = 100 * time.Millisecond
	const never = "it has never answered, check unit_id 7"
	const swapped = " and the wiring: A and B may be swapped"
	layout := sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 10}}}
	for _, tc := range []struct {
		name     string
		absent   bool // the gateway on the way says so
		line     *bus.Mode
		framing  Framing
		together bool // with a device that answers
		want     string
	}{
		{name: "TCP", want: never},
		{name: "NoSuchUnit", absent: true, want: never},
		{name: "AmongOthers", together: true, want: never + ", and whether the device is wired and has power"},
		{name: "RTU", line: &bus.Mode{Baud: 9600}, want: never + ", baud and parity (9600 8N1)" + swapped},
		{name: "RTUAmongOthers", line: &bus.Mode{Baud: 115200}, together: true, want: never + ", and whether the device is wired and has power"},
		{name: "RTUOverTCP", framing: FramingRTU, want: never + ", baud and parity behind the converter" + swapped},
	} {
		t.Run(tc.name, steadily(func(t testing.TB) {
			units := map[byte]*sim.Unit{1: sim.NewUnit(layout)}
			if !tc.absent {
				units[7] = sim.NewUnit(layout)
				units[7].Inject(sim.NoAnswer(), -1)
			}
			o := Options{Framing: tc.framing, Devices: []Device{{Name: "lost", Unit: 7, Points: holding(0), Timeout: patience}}}
			switch {
			case tc.line != nil:
				o.Bus = rtuBus(simtest.RTU(t, units, sim.SlaveOptions{}).Port)
				o.Bus.Mode = *tc.line
			case tc.framing == FramingRTU:
				o.Bus = tcpBus(silentEndpoint(t))
			default:
				o.Bus = tcpBus(simtest.TCP(t, units, sim.ServerOptions{}).Address)
			}
			if tc.together {
				o.Devices = append(o.Devices, Device{Name: "there", Points: holding(0)})
			}
			d := newTestDriver(t, o)
			if tc.together {
				wantValues(t, d, 1, "0")
			}
			if _, errs := poll(t, d, 0); len(errs) != 1 || !strings.HasSuffix(errs[0].Error(), ": "+tc.want) || !errors.Is(errs[0], ErrNoAnswer) {
				t.Errorf("got %v, want %s at its end", errs, tc.want)
			}
		}))
	}
}

// silentEndpoint takes connections and says nothing.
func silentEndpoint(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // the system completes connections that nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// One that has answered is switched off or cut off: its settings are right.
func TestSilenceLaterIsNoMistakeOfTheConfiguration(t *testing.T) {
	steady(t, func(t testing.TB) {
		s := newSite(t, "TCP", 0)
		s.recovers()
		s.unit.Inject(sim.NoAnswer(), -1)
		if _, errs := poll(t, s.driver, 0); len(errs) == 0 || strings.Contains(errs[0].Error(), "check") {
			t.Errorf("got %v, want no answer and no hint", errs)
		}
	})
}

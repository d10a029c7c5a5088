package modbus

import (
	"math"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/bus"
)

// The times of a poll at 9600 and 115200 baud 8E1, as the formula gives them on paper.
func TestLoad(t *testing.T) {
	line := func(baud int) bus.Options {
		return bus.Options{Port: "p", Mode: bus.Mode{Baud: baud, Parity: bus.ParityEven}}
	}
	near := func(n int) []Point {
		var points []Point
		for i := range n {
			points = append(points, holding(uint16(i))...)
		}
		return points
	}
	mixed := near(20)
	for i := range 10 {
		mixed[i].Interval = 10 * time.Second
	}
	for _, tc := range []struct {
		name     string
		o        Options
		load     float64
		requests float64
	}{
		{"Nothing", Options{Bus: line(9600)}, 0, 0},
		{"OneRegister", Options{Bus: line(9600), Devices: []Device{{Unit: 1, Interval: time.Second, Points: near(1)}}}, 0.0252, 1},
		{"TenRegisters", Options{Bus: line(9600), Devices: []Device{{Unit: 1, Interval: time.Second, Points: near(10)}}}, 0.0458, 1},
		{"ALongOne", Options{Bus: line(9600), Devices: []Device{{Unit: 1, Interval: 100 * time.Millisecond, Points: near(125)}}}, 3.094, 10},
		{"Fast", Options{Bus: line(115200), Devices: []Device{{Unit: 1, Interval: 100 * time.Millisecond, Points: near(125)}}}, 0.286, 10},
		{"TwoDevices", Options{Bus: line(9600), Devices: []Device{
			{Unit: 1, Interval: time.Second, Points: near(10)}, {Unit: 2, Interval: 2 * time.Second, Points: near(1)},
		}}, 0.0458 + 0.0126, 1.5},
		{"TwoIntervals", Options{Bus: line(9600), Devices: []Device{{Unit: 1, Interval: time.Second, Points: mixed}}}, 0.0458 + 0.00458, 1.1},
		{"Gap", Options{Bus: bus.Options{Port: "p", Mode: line(9600).Mode, Gap: 104010 * time.Microsecond}, Devices: []Device{
			{Unit: 1, Interval: time.Second, Points: near(10)},
		}}, 0.1458, 1},
		{"GapOfADevice", Options{Bus: line(9600), Devices: []Device{{Unit: 1, Interval: time.Second, Gap: 104010 * time.Microsecond, Points: near(10)}}}, 0.1458, 1},
		{"UnitGap", Options{Bus: line(9600), UnitGap: 50 * time.Millisecond, Devices: []Device{
			{Unit: 1, Interval: time.Second, Points: near(10)}, {Unit: 2, Interval: 2 * time.Second, Points: near(1)},
		}}, 0.0458 + 0.0126 + 1.5*(0.05-0.00401), 1.5},
		{"UnitGapWithoutAnotherUnit", Options{Bus: line(9600), UnitGap: time.Second, Devices: []Device{{Unit: 1, Interval: time.Second, Points: near(10)}}}, 0.0458, 1},
		{"ASCII", Options{Bus: bus.Options{Port: "p", Mode: bus.Mode{Baud: 9600, DataBits: 7, Parity: bus.ParityEven}}, Framing: FramingASCII, Devices: []Device{
			{Unit: 1, Interval: time.Second, Points: near(10)},
		}}, 0.0708, 1},
		{"BehindADeviceServer", Options{Bus: tcpBus("e:4001"), Line: line(9600).Mode, Framing: FramingRTU, Devices: []Device{
			{Unit: 1, Interval: time.Second, Points: near(10)},
		}}, 0.0458, 1},
		{"BehindOneOfUnknownRate", Options{Bus: tcpBus("e:4001"), Framing: FramingRTU, Devices: []Device{{Unit: 1, Interval: 10 * time.Millisecond, Points: near(10)}}}, 0.1, 100},
		{"SeveralInFlight", Options{Bus: tcpBus("e:502"), MaxInFlight: 4, Devices: []Device{{Interval: 10 * time.Millisecond, Points: near(10)}}}, 0.0253, 100},
		{"Network", Options{Bus: tcpBus("e:502"), Devices: []Device{{Interval: 10 * time.Millisecond, Points: near(10)}}}, 0.1, 100},
	} {
		got, err := Load(tc.o)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if math.Abs(got.Load-tc.load) > 0.005*tc.load+1e-9 || math.Abs(got.Requests-tc.requests) > 1e-9 || len(got.Devices) != len(tc.o.Devices) {
			t.Errorf("%s: got %+v, want load %v with %v requests/s", tc.name, got, tc.load, tc.requests)
		}
		if got.Serial != (tc.o.Bus.Port != "" || tc.o.Line.Baud > 0) {
			t.Errorf("%s: serial %t", tc.name, got.Serial)
		}
	}
	if _, err := Load(Options{Bus: line(9600), Devices: []Device{{Unit: 1, Points: near(1)}}}); err == nil {
		t.Error("no interval is taken")
	}
	if _, err := Load(Options{Bus: line(9600), MaxRegisters: 126}); err == nil {
		t.Error("wrong options are taken")
	}
}

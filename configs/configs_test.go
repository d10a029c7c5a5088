package configs_test

import (
	"bytes"
	"testing"

	"github.com/tidegate/tidegate/configs"
	"github.com/tidegate/tidegate/gateway/config"
)

// All embedded configurations are accepted as they stand.
func TestParse(t *testing.T) {
	for name, data := range map[string][]byte{
		"reference.toml": configs.Reference, "demo.toml": configs.Demo, "cloud.toml": configs.Cloud, "first.toml": configs.First,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := config.Parse(name, data, config.Env{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// The README shows the first configuration whole, so it must stay short.
func TestFirstIsShort(t *testing.T) {
	if n := bytes.Count(configs.First, []byte("\n")); n > 22 {
		t.Errorf("first.toml has %d lines", n)
	}
}

// register is one line of the demo's register map, which the simulator shares.
type register struct {
	device, point, address string
	kind                   config.Type
	order                  config.ByteOrder
	scale                  float64
	unit                   string
	min, max               float64
	writable               bool
}

func TestDemoIsTheSimulatorsRegisterMap(t *testing.T) {
	cfg, err := config.Parse("demo.toml", configs.Demo, config.Env{})
	if err != nil {
		t.Fatal(err)
	}
	var want []register
	meter := func(device string, order config.ByteOrder) {
		for _, r := range []register{
			{point: "voltage_l1", address: "input:0 (30001)", unit: "V"},
			{point: "voltage_l2", address: "input:2 (30003)", unit: "V"},
			{point: "voltage_l3", address: "input:4 (30005)", unit: "V"},
			{point: "current_l1", address: "input:6 (30007)", unit: "A"},
			{point: "current_l2", address: "input:8 (30009)", unit: "A"},
			{point: "current_l3", address: "input:10 (30011)", unit: "A"},
			{point: "power", address: "input:12 (30013)", unit: "W"},
			{point: "energy", address: "input:20 (30021)", unit: "Wh", kind: config.TypeUint32},
		} {
			r.device, r.order, r.scale = device, order, 1
			if r.kind == 0 {
				r.kind = config.TypeFloat32
			}
			want = append(want, r)
		}
	}
	meter("meter", config.OrderABCD)
	want = append(want,
		register{device: "tank", point: "level", address: "input:0 (30001)", kind: config.TypeUint16, order: config.OrderAB, scale: 0.1, unit: "%"},
		register{device: "tank", point: "temperature", address: "input:1 (30002)", kind: config.TypeInt16, order: config.OrderAB, scale: 0.1, unit: "°C"},
		register{device: "tank", point: "setpoint", address: "holding:0 (40001)", kind: config.TypeUint16, order: config.OrderAB, scale: 0.1, unit: "%", writable: true, max: 100},
		register{device: "tank", point: "valve", address: "coil:0 (00001)", kind: config.TypeBool, scale: 1, writable: true},
		register{device: "tank", point: "high_alarm", address: "discrete:0 (10001)", kind: config.TypeBool, scale: 1},
		register{device: "tank", point: "low_alarm", address: "discrete:1 (10002)", kind: config.TypeBool, scale: 1},
		register{device: "drive", point: "status", address: "input:0 (30001)", kind: config.TypeUint16, order: config.OrderAB, scale: 1},
		register{device: "drive", point: "speed", address: "input:1 (30002)", kind: config.TypeInt16, order: config.OrderAB, scale: 1, unit: "rpm"},
		register{device: "drive", point: "torque", address: "input:2 (30003)", kind: config.TypeInt16, order: config.OrderAB, scale: 0.1, unit: "%"},
		register{device: "drive", point: "speed_setpoint", address: "holding:0 (40001)", kind: config.TypeInt16, order: config.OrderAB, scale: 1, unit: "rpm", writable: true, min: -3000, max: 3000},
		register{device: "drive", point: "run", address: "coil:0 (00001)", kind: config.TypeBool, scale: 1, writable: true},
	)
	meter("meter2", config.OrderCDAB)

	var got []register
	for _, d := range cfg.Devices {
		for _, p := range d.Points {
			r := register{
				device: d.Name, point: p.Name, address: p.Address.String(), kind: p.Type, order: p.ByteOrder,
				scale: p.Scale, unit: p.Unit, writable: p.Writable,
			}
			if p.Min != nil {
				r.min = *p.Min
			}
			if p.Max != nil {
				r.max = *p.Max
			}
			got = append(got, r)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d points, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got  %+v\nwant %+v", got[i], want[i])
		}
	}
	units := map[string]int{"meter": 1, "tank": 2, "drive": 1, "meter2": 2}
	for _, d := range cfg.Devices {
		if d.UnitID != units[d.Name] {
			t.Errorf("%s has unit %d", d.Name, d.UnitID)
		}
	}
	if b := cfg.Buses[1]; b.Baud != 19200 || b.DataBits != 8 || b.Parity != config.ParityEven || b.StopBits != 1 {
		t.Errorf("the line is not 19200 8E1: %+v", b)
	}
}

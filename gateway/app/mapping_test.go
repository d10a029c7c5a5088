package app

import (
	"fmt"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/bridge"
	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/drivers/modbus"
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/config"
)

// TestEnumerationsAgree compares the names of values that are converted by number.
func TestEnumerationsAgree(t *testing.T) {
	for _, tt := range []struct{ from, to fmt.Stringer }{
		{config.TableCoil, modbus.Table(config.TableCoil)},
		{config.TableDiscrete, modbus.Table(config.TableDiscrete)},
		{config.TableInput, modbus.Table(config.TableInput)},
		{config.TableHolding, modbus.Table(config.TableHolding)},
		{config.TypeBool, modbus.Type(config.TypeBool)},
		{config.TypeInt8, modbus.Type(config.TypeInt8)},
		{config.TypeInt16, modbus.Type(config.TypeInt16)},
		{config.TypeInt32, modbus.Type(config.TypeInt32)},
		{config.TypeInt64, modbus.Type(config.TypeInt64)},
		{config.TypeUint8, modbus.Type(config.TypeUint8)},
		{config.TypeUint16, modbus.Type(config.TypeUint16)},
		{config.TypeUint32, modbus.Type(config.TypeUint32)},
		{config.TypeUint64, modbus.Type(config.TypeUint64)},
		{config.TypeFloat16, modbus.Type(config.TypeFloat16)},
		{config.TypeFloat32, modbus.Type(config.TypeFloat32)},
		{config.TypeFloat64, modbus.Type(config.TypeFloat64)},
		{config.TypeBCD16, modbus.Type(config.TypeBCD16)},
		{config.TypeBCD32, modbus.Type(config.TypeBCD32)},
		{config.TypeString, modbus.Type(config.TypeString)},
		{config.TypeBytes, modbus.Type(config.TypeBytes)},
		{config.OrderABCD, modbus.Order(config.OrderABCD)},
		{config.OrderCDAB, modbus.Order(config.OrderCDAB)},
		{config.OrderBADC, modbus.Order(config.OrderBADC)},
		{config.OrderDCBA, modbus.Order(config.OrderDCBA)},
		{config.OrderAB, modbus.Order(config.OrderAB)},
		{config.OrderBA, modbus.Order(config.OrderBA)},
		{config.ParityNone, bus.Parity(config.ParityNone)},
		{config.ParityEven, bus.Parity(config.ParityEven)},
		{config.ParityOdd, bus.Parity(config.ParityOdd)},
	} {
		if tt.from.String() != tt.to.String() {
			t.Errorf("%T %v becomes %T %v", tt.from, tt.from, tt.to, tt.to)
		}
	}
	publish := map[config.Publish]gateway.PublishMode{
		config.PublishDevice: gateway.PublishDevice, config.PublishPoints: gateway.PublishPoints, config.PublishBoth: gateway.PublishBoth,
	}
	for from, to := range publish {
		if gateway.PublishMode(from) != to {
			t.Errorf("publish %v becomes %d", from, gateway.PublishMode(from))
		}
	}
	retain := map[config.Retain]bridge.Retain{
		config.RetainKeep: bridge.RetainKeep, config.RetainClear: bridge.RetainClear, config.RetainSet: bridge.RetainSet,
	}
	for from, to := range retain {
		if bridge.Retain(from) != to {
			t.Errorf("retain %v becomes %d", from, bridge.Retain(from))
		}
	}
}

// TestPointsAreMapped parses points of every form and compares what the driver gets.
func TestPointsAreMapped(t *testing.T) {
	const text = `
[[bus]]
name = "b"
transport = "tcp"
endpoint = "127.0.0.1:502"
[[device]]
name = "d"
bus = "b"
unit_id = 1
read_write = true
byte_order = "CDAB"
[[device.point]]
name = "plain"
address = "holding:0"
type = "int32"
scale = 0.1
offset = 2
decimals = 1
invalid = [0x80000000, -1]
valid_min = -5
interval = "1m"
writable = true
verify = true
[[device.point]]
name = "bit"
address = "holding:0"
bit = 3
[[device.point]]
name = "mode"
address = "holding:0"
type = "uint32"
bits = "4-7"
enum = { 0 = "off", 0x2 = "auto" }
[[device.point]]
name = "text"
address = "holding:10"
type = "string"
length = 4
byte_order = "BA"
[[device.point]]
name = "float"
address = "holding:20"
type = "float32"
invalid = [-9999.0, 0x7FC00001, 1e3]
[[device.point]]
name = "counter"
address = "holding:30"
type = "uint64"
invalid = ["0xFFFFFFFFFFFFFFFF"]
[[device.point]]
name = "digits"
address = "holding:40"
type = "bcd16"
invalid = [9999, 0xFFFF]
[[device.point]]
name = "coil"
address = "coil:1"
`
	cfg, err := config.Parse("x.toml", []byte(text), config.Env{})
	if err != nil {
		t.Fatal(err)
	}
	device := modbusOptions(cfg.Buses[0], cfg.Devices, slog.New(slog.DiscardHandler)).Devices[0]
	if !device.ReadWrite {
		t.Error("read_write is lost")
	}
	got := device.Points
	one, holding := 1, func(n uint16) modbus.Address { return modbus.Address{Table: modbus.Holding, Offset: n} }
	named := func(name string) gateway.Point { return gateway.Point{Name: name} }
	want := []modbus.Point{
		{
			Point: gateway.Point{Name: "plain", Writable: true}, Address: holding(0), Type: modbus.Int32, Order: modbus.CDAB, Scale: 0.1, Offset: 2, Decimals: &one,
			Invalid: []uint64{0x80000000, 0xFFFFFFFF}, ValidMin: -5, ValidMax: math.Inf(1), Interval: time.Minute, Verify: true,
		},
		{Point: named("bit"), Address: holding(0), Type: modbus.Uint16, Order: modbus.AB, Scale: 1, Bits: modbus.Bits{First: 3, Count: 1}},
		{
			Point: named("mode"), Address: holding(0), Type: modbus.Uint32, Order: modbus.CDAB, Scale: 1, Bits: modbus.Bits{First: 4, Count: 4},
			Enum: map[int64]string{0: "off", 2: "auto"},
		},
		{Point: named("text"), Address: holding(10), Type: modbus.String, Length: 4, Order: modbus.BA, Scale: 1},
		{Point: named("float"), Address: holding(20), Type: modbus.Float32, Order: modbus.CDAB, Scale: 1, Invalid: []uint64{0xC61C3C00, 0x7FC00001, 0x447A0000}},
		{Point: named("counter"), Address: holding(30), Type: modbus.Uint64, Order: modbus.CDAB, Scale: 1, Invalid: []uint64{math.MaxUint64}},
		{Point: named("digits"), Address: holding(40), Type: modbus.BCD16, Order: modbus.AB, Scale: 1, Invalid: []uint64{0x9999, 0xFFFF}},
		{Point: named("coil"), Address: modbus.Address{Table: modbus.Coil, Offset: 1}, Type: modbus.Bool, Order: modbus.CDAB, Scale: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, err := buses(cfg, slog.New(slog.DiscardHandler), (&App{}).traceOf); err != nil {
		t.Errorf("the driver refuses what the configuration takes: %v", err)
	}
}

func TestPointBounds(t *testing.T) {
	low, high := 1.0, 2.0
	for name, tt := range map[string]struct {
		min, max *float64
		want     gateway.Point
	}{
		"none": {nil, nil, gateway.Point{}},
		"low":  {&low, nil, gateway.Point{Min: 1, Max: math.Inf(1)}},
		"high": {nil, &high, gateway.Point{Min: math.Inf(-1), Max: 2}},
		"both": {&low, &high, gateway.Point{Min: 1, Max: 2}},
	} {
		if diff := cmp.Diff(tt.want, point(config.Point{Min: tt.min, Max: tt.max})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

package app

import (
	"fmt"
	"math"
	"testing"

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
		{config.TypeInt16, modbus.Type(config.TypeInt16)},
		{config.TypeUint16, modbus.Type(config.TypeUint16)},
		{config.TypeInt32, modbus.Type(config.TypeInt32)},
		{config.TypeUint32, modbus.Type(config.TypeUint32)},
		{config.TypeFloat32, modbus.Type(config.TypeFloat32)},
		{config.OrderABCD, modbus.Order(config.OrderABCD)},
		{config.OrderCDAB, modbus.Order(config.OrderCDAB)},
		{config.OrderBADC, modbus.Order(config.OrderBADC)},
		{config.OrderDCBA, modbus.Order(config.OrderDCBA)},
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

package modbus

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/gateway"
)

// Registers with the values that they stand for, as makers and bodies of standards publish them: the conventions that points must be able to say.
func TestPublishedExamples(t *testing.T) {
	notUsed := func(typ Type, bits uint64) Point { return Point{Type: typ, Invalid: []uint64{bits}} }
	for _, tc := range []struct {
		name  string
		point Point
		wire  string
		want  string
	}{
		{"EnergyMeterVoltage", Point{Type: Float32}, "4366 3334", "230.20001"},
		{"EnergyMeterVoltageOneDecimal", Point{Type: Float32, Decimals: gap(1)}, "4366 3334", "230.2"},
		{"LowWordFirst", Point{Type: Int32, Order: CDAB, Scale: 0.1}, "08fd 0000", "230.1"},
		{"LowWordFirstNegative", Point{Type: Int32, Order: CDAB, Scale: 0.1}, "ffff ffff", "-0.1"},
		{"SunSpecMarker", Point{Type: String, Length: 2}, "5375 6e53", "SunS"},
		{"SunSpecMarkerAsNumber", Point{Type: Uint32}, "5375 6e53", "1400204883"},
		{"SunSpecInt16NotImplemented", notUsed(Int16, 0x8000), "8000", "sentinel"},
		{"SunSpecUint16NotImplemented", notUsed(Uint16, 0xFFFF), "ffff", "sentinel"},
		{"SunSpecInt32NotImplemented", notUsed(Int32, 0x80000000), "8000 0000", "sentinel"},
		{"SunSpecUint32NotImplemented", notUsed(Uint32, 0xFFFFFFFF), "ffff ffff", "sentinel"},
		{"SunSpecInt64NotImplemented", notUsed(Int64, 1<<63), "8000 0000 0000 0000", "sentinel"},
		{"SunSpecUint64NotImplemented", notUsed(Uint64, 1<<64-1), "ffff ffff ffff ffff", "sentinel"},
		{"SunSpecFloatNotImplemented", Point{Type: Float32}, "7fc0 0000", "not number"},
		{"OneInEachSize", Point{Type: Float16}, "3c00", "1"},
		{"OneFloat32", Point{Type: Float32}, "3f80 0000", "1"},
		{"OneFloat64", Point{Type: Float64}, "3ff0 0000 0000 0000", "1"},
		{"PiLowWordFirst", Point{Type: Float32, Order: CDAB}, "0fdb 4049", "3.1415927"},
		{"PiLittleEndian", Point{Type: Float32, Order: DCBA}, "db0f 4940", "3.1415927"},
		{"PiFloat64LittleEndian", Point{Type: Float64, Order: DCBA}, "182d 4454 fb21 0940", "3.141592653589793"},
		{"SensorNotConnected", Point{Type: Int16, Scale: 0.1, Invalid: []uint64{0x7FFF}}, "7fff", "sentinel"},
		{"SensorConnected", Point{Type: Int16, Scale: 0.1, Invalid: []uint64{0x7FFF}}, "ff9c", "-10"},
		{"ClockDigits", Point{Type: BCD16}, "2359", "2359"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wire, err := hex.DecodeString(strings.ReplaceAll(tc.wire, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			v, reason := newCodec(tc.point).decode(wire)
			got := v.String()
			if reason != gateway.ReasonNone {
				got = string(reason)
			}
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

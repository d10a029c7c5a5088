package modbus

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/engine"
)

func TestDevicesAreTheEngines(t *testing.T) {
	d := newTestDriver(t, Options{Bus: tcpBus("127.0.0.1:502"), Devices: []Device{
		{Name: "meter", Interval: time.Second, StaleAfter: time.Minute, Publish: gateway.PublishBoth, Points: meterPoints()},
	}})
	got := d.Devices()[0]
	if got.Name != "meter" || len(got.Groups) != 1 || engine.Group(got.Groups[0]).Interval != time.Second || got.StaleAfter != time.Minute || got.Publish != gateway.PublishBoth || len(got.Points) != 9 {
		t.Errorf("Devices() = %+v", got)
	}
	for i, kind := range []gateway.Kind{gateway.KindFloat64, gateway.KindFloat64, gateway.KindUint, gateway.KindFloat32, gateway.KindBool} {
		if p := got.Points[i]; p.Kind != kind {
			t.Errorf("point %s has kind %d, want %d", p.Name, p.Kind, kind)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	good := bus.Options{Port: "/dev/ttyS0", Mode: bus.Mode{Baud: 9600}}
	point := func(p Point) Options {
		p.Name = "p"
		return Options{Name: "b", Bus: good, Devices: []Device{{Name: "d", Unit: 1, Points: []Point{p}}}}
	}
	for _, tc := range []struct {
		name string
		o    Options
		want string
	}{
		{"Bus", Options{Name: "b"}, `bus "b": a bus needs either a serial port or a network endpoint`},
		{"SevenBits", Options{Name: "b", Bus: bus.Options{Port: "p", Mode: bus.Mode{Baud: 9600, DataBits: 7}}}, `bus "b": data bits 7: Modbus RTU sends whole bytes, use 8`},
		{"MaxRegisters", Options{Name: "b", Bus: good, MaxRegisters: 126}, `bus "b": max registers 126 is outside 1 to 125`},
		{"MaxGap", Options{Name: "b", Bus: good, MaxGap: gap(-1)}, `bus "b": max gap -1 is negative`},
		{
			"Broadcast",
			Options{Name: "b", Bus: good, Devices: []Device{{Name: "d"}}},
			`bus "b": device "d": unit 0 is outside 1 to 247: 0 is broadcast, which nobody answers, and the others are reserved`,
		},
		{"Timeout", Options{Name: "b", Bus: good, Devices: []Device{{Name: "d", Unit: 1, Timeout: -1}}}, `bus "b": device "d": timeout or retries are negative`},
		{"NoType", point(Point{Address: Address{Holding, 0}}), `bus "b": device "d": point "p": type 0 is not known`},
		{
			"BoolOfRegister", point(Point{Address: Address{Holding, 0}, Type: Bool}),
			`bus "b": device "d": point "p": holding:0 (40001) cannot be read as bool: bool is for coils and discrete inputs, the other types are for registers`,
		},
		{
			"NumberOfCoil", point(Point{Address: Address{Coil, 0}, Type: Uint16}),
			`bus "b": device "d": point "p": coil:0 (00001) cannot be read as uint16: bool is for coils and discrete inputs, the other types are for registers`,
		},
		{"Table", point(Point{Address: Address{4, 0}, Type: Uint16}), `bus "b": device "d": point "p": table 4 is not known`},
		{"Order", point(Point{Address: Address{Input, 0}, Type: Uint16, Order: 6}), `bus "b": device "d": point "p": order 6 is not known`},
		{"BeyondTheEnd", point(Point{Address: Address{Holding, 65535}, Type: Float32}), `bus "b": device "d": point "p": holding:65535 (465536) has no second register for a float32`},
		{
			"Writable", point(Point{Point: gateway.Point{Writable: true}, Address: Address{Input, 0}, Type: Uint16}),
			`bus "b": device "d": point "p": input:0 (30001) cannot be written: only coils and holding registers can`,
		},
		{"Length", point(Point{Address: Address{Input, 0}, Type: String}), `bus "b": device "d": point "p": length 0 of a string: strings and bytes need one, other types have their own`},
		{"LengthOfNumber", point(Point{Address: Address{Input, 0}, Type: Uint16, Length: 2}), `bus "b": device "d": point "p": length 2 of a uint16: strings and bytes need one, other types have their own`},
		{"TooLong", point(Point{Address: Address{Input, 0}, Type: Bytes, Length: 126}), `bus "b": device "d": point "p": length 126 is outside 1 to 125 registers`},
		{
			"TooLongToWrite", point(Point{Point: gateway.Point{Writable: true}, Address: Address{Holding, 0}, Type: Bytes, Length: 124}),
			`bus "b": device "d": point "p": length 124 is outside 1 to 123 registers`,
		},
		{"TextBeyondTheEnd", point(Point{Address: Address{Input, 65530}, Type: String, Length: 7}), `bus "b": device "d": point "p": input:65530 (365531): there are no 7 registers from here on`},
		{"OrderOfOneRegister", point(Point{Address: Address{Input, 0}, Type: Int64, Order: BA}), `bus "b": device "d": point "p": order BA is for a single register, int64 takes several`},
		{"BitsOfFloat", point(Point{Address: Address{Input, 0}, Type: Float32, Bits: Bits{3, 1}}), `bus "b": device "d": point "p": a float32 has no bits to choose: an unsigned integer has`},
		{"BitsBeyond", point(Point{Address: Address{Input, 0}, Type: Uint16, Bits: Bits{12, 5}}), `bus "b": device "d": point "p": bits 12 to 16 are not inside the 16 of a uint16`},
		{"NamesOfFloat", point(Point{Address: Address{Input, 0}, Type: Float32, Enum: map[int64]string{0: "off"}}), `bus "b": device "d": point "p": names are for whole numbers and bits, not for a float32`},
		{"ScaledNames", point(Point{Address: Address{Input, 0}, Type: Uint16, Enum: map[int64]string{0: "off"}, Scale: 0.1}), `bus "b": device "d": point "p": scale, offset, decimals and valid range are for numbers`},
		{"ScaledBit", point(Point{Address: Address{Input, 0}, Type: Uint16, Bits: Bits{0, 1}, Offset: 1}), `bus "b": device "d": point "p": scale, offset, decimals and valid range are for numbers`},
		{"InvalidText", point(Point{Address: Address{Input, 0}, Type: String, Length: 1, Invalid: []uint64{0}}), `bus "b": device "d": point "p": a string has no number that could say that there is none`},
		{"Decimals", point(Point{Address: Address{Input, 0}, Type: Uint16, Decimals: gap(16)}), `bus "b": device "d": point "p": decimals 16 are outside 0 to 15`},
		{"ValidRange", point(Point{Address: Address{Input, 0}, Type: Uint16, ValidMin: 2, ValidMax: 1}), `bus "b": device "d": point "p": valid range 2 to 1 is empty`},
		{"Scale", point(Point{Address: Address{Input, 0}, Type: Uint16, Scale: math.NaN()}), `bus "b": device "d": point "p": scale or offset is not a number`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := New(tc.o); err == nil || err.Error() != tc.want {
				t.Errorf("New() error = %v\nwant        %s", err, tc.want)
			}
		})
	}
	o := point(Point{})
	o.MaxRegisters = -1
	if _, err := New(o); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("New() error = %v, want both mistakes", err)
	}
}

func TestNames(t *testing.T) {
	var names []string
	for _, ty := range append(Types(), 0, 17) {
		names = append(names, ty.String())
	}
	for _, o := range append(allOrders(), 9) {
		names = append(names, o.String())
	}
	if got, want := strings.Join(names, " "), "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 bcd16 bcd32 string bytes type 0 type 17 "+
		"ABCD CDAB BADC DCBA AB BA order 9"; got != want {
		t.Errorf("names %s, want %s", got, want)
	}
	var exceptions []string
	for code := range byte(13) {
		exceptions = append(exceptions, (&Error{Exception: code}).Error())
		if got, want := (&Error{Exception: code}).Reason(), gateway.Reason("exception "+itoa(code)); got != want {
			t.Errorf("Reason() = %q, want %q", got, want)
		}
	}
	if n := strings.Count(strings.Join(exceptions, "\n"), "not in the specification"); n != 4 { // 0, 7, 9, 12
		t.Errorf("%d of the codes 0 to 12 have no name, want 4", n)
	}
}

func itoa(b byte) string {
	if b < 10 {
		return string('0' + b)
	}
	return "1" + string('0'+b-10)
}

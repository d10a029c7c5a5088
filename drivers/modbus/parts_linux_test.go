package modbus

import (
	"testing"

	"github.com/tidegate/tidegate/drivers/bus/bustest"
	"github.com/tidegate/tidegate/gateway"
)

// pumpPoints share registers: a status word with bits, a field and names, two bytes of a register, a wide field, and a text.
func pumpPoints() []Point {
	status := Address{Holding, 10}
	w := func(name string) gateway.Point { return gateway.Point{Name: name, Writable: true} }
	return []Point{
		{Point: w("status"), Address: status, Type: Uint16},
		{Point: w("running"), Address: status, Type: Uint16, Bits: Bits{0, 1}},
		{Point: w("mode"), Address: status, Type: Uint16, Bits: Bits{4, 2}, Enum: map[int64]string{0: "off", 1: "manual", 2: "auto"}},
		{Point: w("low"), Address: Address{Holding, 11}, Type: Int8},
		{Point: w("high"), Address: Address{Holding, 11}, Type: Uint8, Order: BA},
		{Point: w("field"), Address: Address{Holding, 12}, Type: Uint32, Order: CDAB, Bits: Bits{12, 8}},
		{Point: w("bit20"), Address: Address{Holding, 12}, Type: Uint32, Order: CDAB, Bits: Bits{20, 1}},
		{Point: w("name"), Address: Address{Holding, 14}, Type: String, Length: 3},
		{Point: w("level"), Address: Address{Holding, 17}, Type: Int16, Scale: 0.1, Invalid: []uint64{0x8000}, ValidMin: -10, ValidMax: 100},
	}
}

// Points that share a register are read by one request. What is written to one of them leaves the others as they are.
func TestPartsOfRegisters(t *testing.T) {
	d := newTestDriver(t, Options{
		Bus: tcpBus(bustest.PlayTCP(t, speakTCP([]bustest.IO{
			{W: "03 000a 0008", R: "03 10 0021 fe05 b000 000a 5031 2000 0000 8000"},
			{W: "03 000a 0008", R: "03 10 0030 fe05 b000 000a 5031 2000 0000 03e9"},
			{W: "16 000a fffe 0001", R: "96 01"},                // running on: the device does not know the mask write
			{W: "03 000a 0001", R: "03 02 ff30"},                // so the others' bits as they are now, not as they were polled
			{W: "06 000a ff31", R: "06 000a ff31"},              //
			{W: "03 000a 0001", R: "03 02 ff31"},                //
			{W: "03 000a 0001", R: "03 02 ff31"},                // mode
			{W: "06 000a ff11", R: "06 000a ff11"},              //
			{W: "03 000a 0001", R: "03 02 ff11"},                //
			{W: "03 000b 0001", R: "03 02 1234"},                // low byte
			{W: "06 000b 12ff", R: "06 000b 12ff"},              //
			{W: "03 000b 0001", R: "03 02 12ff"},                //
			{W: "03 000c 0002", R: "03 04 1fff fff0"},           // across both words: in one write, so that nobody sees half of it
			{W: "10 000c 0002 04 bfff fffa", R: "10 000c 0002"}, //
			{W: "03 000c 0002", R: "03 04 bfff fffa"},           //
			{W: "03 000d 0001", R: "03 02 0000"},                // a bit of the second register: the first is not touched
			{W: "06 000d 0010", R: "06 000d 0010"},              //
			{W: "03 000c 0002", R: "03 04 0000 0010"},           //
			{W: "10 000e 0003 06 4f4b 0000 0000", R: "10 000e 0003"},
			{W: "03 000e 0003", R: "03 06 4f4b 0000 0000"}, // text is filled up
			{W: "03 000a 0001", R: "83 04"},                // nothing is written when what is to be kept cannot be read
		}))),
		Devices: []Device{{Name: "pump", Unit: 17, Points: pumpPoints()}},
	})
	wantValues(t, d, 0, "33 true auto 5 254 171 false P1 <sentinel>")
	wantValues(t, d, 0, "48 false 3 5 254 171 false P1 <range>")
	for _, tc := range []struct {
		point int
		value gateway.Value
		want  string
	}{
		{1, gateway.Bool(true), "true"},
		{2, gateway.String("manual"), "manual"},
		{2, gateway.String("turbo"), `write holding:10 (40011) of device "pump": value "turbo" is none of auto, manual, off`},
		{3, gateway.Int(-1), "-1"},
		{5, gateway.Int(171), "171"},
		{6, gateway.Bool(true), "true"},
		{7, gateway.String("OK"), "OK"},
		{1, gateway.Bool(true), `write holding:10 (40011) of device "pump": read what is to be kept: device answered exception 4 (server device failure) to function 3`},
	} {
		if got := written(t, d, tc.point, tc.value); got != tc.want {
			t.Errorf("write %v to point %d: %s\nwant %s", tc.value, tc.point, got, tc.want)
		}
	}
}

// With verify a write has failed when the device then has another value; without, the value that it has is the answer.
func TestVerify(t *testing.T) {
	holding := func(p Point) Point {
		p.Writable, p.Verify, p.Address.Table = true, true, Holding
		return p
	}
	d := newTestDriver(t, Options{
		Bus: tcpBus(bustest.PlayTCP(t, speakTCP([]bustest.IO{
			{W: "06 0000 00e7", R: "06 0000 00e7"},
			{W: "03 0000 0001", R: "03 02 00e7"},
			{W: "06 0000 01f4", R: "06 0000 01f4"},
			{W: "03 0000 0001", R: "03 02 012c"},
			{W: "06 0000 01f4", R: "06 0000 01f4"},
			{W: "03 0000 0001", R: "03 02 8000"},
			{W: "10 0001 0002 04 3dcc cccd", R: "10 0001 0002"},
			{W: "03 0001 0002", R: "03 04 3dcc cccd"},
			{W: "05 0000 ff00", R: "05 0000 ff00"},
			{W: "01 0000 0001", R: "01 01 00"},
		}))),
		Devices: []Device{{Name: "d", Unit: 17, Points: []Point{
			holding(Point{Type: Int16, Scale: 0.1, Invalid: []uint64{0x8000}}),
			holding(Point{Type: Float32, Address: Address{Offset: 1}}),
			{Point: gateway.Point{Writable: true}, Type: Bool, Verify: true},
		}}},
	})
	const limited = "it may bound or round what it takes, or refuse writes without saying so"
	for _, tc := range []struct {
		point int
		value gateway.Value
		want  string
	}{
		{0, gateway.Float64(23.14), "23.1"}, // rounding to what the register holds is no difference
		{0, gateway.Int(50), `verify holding:0 (40001) of device "d": device took the value 50 and now has 30: ` + limited},
		{0, gateway.Int(50), `verify holding:0 (40001) of device "d": device took the value 50, and reads as bad: sentinel`},
		{1, gateway.Float64(0.1), "0.1"},
		{2, gateway.Bool(true), `verify coil:0 (00001) of device "d": device took the value true and now has false: ` + limited},
	} {
		if got := written(t, d, tc.point, tc.value); got != tc.want {
			t.Errorf("write %v to point %d: %s\nwant %s", tc.value, tc.point, got, tc.want)
		}
	}
}

// written writes and returns what was read back, or the error.
func written(t testing.TB, d *Driver, point int, v gateway.Value) string {
	t.Helper()
	r, err := d.Write(t.Context(), 0, point, v)
	if err != nil {
		return err.Error()
	}
	if r.Quality != gateway.QualityGood || r.Time.IsZero() {
		t.Errorf("reading %+v, want a good one", r)
	}
	return r.Value.String()
}

package modbus

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/drivers/bus/bustest"
	"github.com/tidegate/tidegate/gateway"
)

// meterPoints are points of all tables and types.
func meterPoints() []Point {
	return []Point{
		{Point: gateway.Point{Name: "voltage", Unit: "V"}, Address: Address{Holding, 0}, Type: Uint16, Scale: 0.1},
		{Point: gateway.Point{Name: "temperature", Unit: "°C"}, Address: Address{Holding, 1}, Type: Int16, Scale: 0.1},
		{Point: gateway.Point{Name: "energy", Unit: "Wh"}, Address: Address{Holding, 2}, Type: Uint32, Order: CDAB},
		{Point: gateway.Point{Name: "power", Unit: "W"}, Address: Address{Input, 5}, Type: Float32},
		{Point: gateway.Point{Name: "alarm"}, Address: Address{Discrete, 3}, Type: Bool},
		{Point: gateway.Point{Name: "door"}, Address: Address{Discrete, 12}, Type: Bool},
		{Point: gateway.Point{Name: "relay", Writable: true}, Address: Address{Coil, 0}, Type: Bool},
		{Point: gateway.Point{Name: "setpoint", Unit: "°C", Writable: true}, Address: Address{Holding, 100}, Type: Int16, Scale: 0.1},
		{Point: gateway.Point{Name: "limit", Writable: true}, Address: Address{Holding, 200}, Type: Float32, Order: CDAB},
	}
}

// meterConversation is one poll of meterPoints and three writes, as protocol data units.
var meterConversation = []bustest.IO{
	{W: "01 0000 0001", R: "01 01 01"},                                           // relay
	{W: "02 0003 000a", R: "02 02 0002"},                                         // alarm to door, 10 bits: the tenth is set
	{W: "04 0005 0002", R: "04 04 44fa 2000"},                                    // power
	{W: "03 0000 0004", R: "03 08 08fd fff6 e240 0001"},                          // voltage, temperature, energy in one
	{W: "03 0064 0001", R: "03 02 00d7"},                                         // setpoint
	{W: "03 00c8 0002", R: "03 04 199a 4366"},                                    // limit
	{W: "05 0000 0000", R: "05 0000 0000"},                                       // relay off
	{W: "01 0000 0001", R: "01 01 00"},                                           // and read back
	{W: "06 0064 fff1", R: "06 0064 fff1"},                                       // setpoint -1.5
	{W: "03 0064 0001", R: "03 02 fff1"},                                         //
	{W: "10 00c8 0002 04 0000 4120", R: "10 00c8 0002"},                          // limit 10
	{W: "03 00c8 0002", R: "03 04 0000 4120"},                                    //
	{W: "05 0000 ff00", R: "05 0000 ff00"},                                       // relay on
	{W: "01 0000 0001", R: "01 01 ff"},                                           // a device that sets the padding too
	{W: "06 0064 00ff", R: "86 03"},                                              // refused
	{W: "06 0064 0100", R: "06 0064 0100"}, {W: "03 0064 0001", R: "03 02 00fa"}, // taken, but limited by the device
}

// speak frames a conversation of unit 17.
func speakTCP(ops []bustest.IO) []bustest.IO {
	frame := func(n int, pdu string) string {
		return fmt.Sprintf("%04x 0000 %04x 11 %s", n+1, 1+hexLen(pdu), pdu)
	}
	return speak(ops, frame)
}

func speakRTU(t testing.TB, ops []bustest.IO) []bustest.IO {
	return speak(ops, func(_ int, pdu string) string { return fmt.Sprintf("%x", raw(t, "11 "+pdu+" crc")) })
}

func speak(ops []bustest.IO, frame func(n int, pdu string) string) []bustest.IO {
	var framed []bustest.IO
	for i, op := range ops {
		io := bustest.IO{W: frame(i, op.W)}
		if op.R != "" { // else there is no answer
			io.R = frame(i, op.R)
		}
		framed = append(framed, io)
	}
	return framed
}

func hexLen(s string) int { return len(strings.ReplaceAll(s, " ", "")) / 2 }

func TestConversation(t *testing.T) {
	t.Run("TCP", func(t *testing.T) {
		meterConverses(t, Options{Bus: tcpBus(bustest.PlayTCP(t, speakTCP(meterConversation))), MaxGap: gap(10)})
	})
	t.Run("RTU", func(t *testing.T) {
		meterConverses(t, Options{Bus: rtuBus(bustest.PlayLine(t, speakRTU(t, meterConversation)))})
	})
}

func meterConverses(t *testing.T, o Options) {
	o.Devices = []Device{{Name: "meter", Unit: 17, Points: meterPoints()}}
	d := newTestDriver(t, o)
	wantValues(t, d, 0, "230.1 -1 123456 2001 false true true 21.5 230.1")
	for _, tc := range []struct {
		point int
		value gateway.Value
		want  string
	}{
		{6, gateway.Bool(false), "false"},
		{7, gateway.Float64(-1.5), "-1.5"},
		{8, gateway.Int(10), "10"},
		{6, gateway.Bool(true), "true"},
		{7, gateway.Float64(25.5), `write 25.5 to holding:100 (40101) of device "meter": device answered exception 3 (illegal data value: the device does not accept it) to function 6`},
		{7, gateway.Float64(25.6), "25"},
		{7, gateway.Int(4000), `write holding:100 (40101) of device "meter": value 4000 is outside the range of the register: -3276.8 to 3276.7`},
		{6, gateway.String("on"), `write coil:0 (00001) of device "meter": value on is neither true nor false, and the point is a coil`},
		{0 + 3, gateway.Int(1), `write input:5 (30006) of device "meter": only coils and holding registers can be written`},
	} {
		r, err := d.Write(t.Context(), 0, tc.point, tc.value)
		got := r.Value.String()
		if err != nil {
			got = err.Error()
		} else if r.Quality != gateway.QualityGood || r.Time.IsZero() {
			t.Errorf("reading %+v, want a good one", r)
		}
		if got != tc.want {
			t.Errorf("write %v: %s\nwant %s", tc.value, got, tc.want)
		}
	}
	s := d.Stats()
	if s.Name != "line" || !s.Open || s.Opens != 1 || s.Requests != uint64(len(meterConversation)) || s.Writes != 6 || s.Exception != 1 || s.Timeouts+s.Errors+s.Panics != 0 || s.Busy == 0 {
		t.Errorf("Stats() = %+v", s)
	}
}

// One illegal address must not take the values of the others: the block is halved until the address stands alone, and stays so.
func TestConversationIllegalAddress(t *testing.T) {
	d := newTestDriver(t, Options{
		Bus: tcpBus(bustest.PlayTCP(t, speakTCP([]bustest.IO{
			{W: "03 0000 0004", R: "83 02"},
			{W: "03 0000 0002", R: "03 04 0000 0001"},
			{W: "03 0002 0002", R: "83 02"},
			{W: "03 0002 0001", R: "83 02"},
			{W: "03 0003 0001", R: "03 02 0003"},
			{W: "03 0000 0002", R: "03 04 0000 0001"}, // the second poll knows
			{W: "03 0003 0001", R: "03 02 0003"},
			{W: "03 0000 0004", R: "03 08 0000 0001 0002 0003"}, // after Close it may be another device
		}))),
		Devices: []Device{{Name: "d", Unit: 17, Points: holding(0, 1, 2, 3)}},
	})
	wantValues(t, d, 0, "0 1 <exception 2> 3")
	wantValues(t, d, 0, "0 1 <exception 2> 3")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d.client.framing.(*tcpFraming).packager = newTCPFraming().packager
	for range 7 { // the played transaction ids go on where the last one was
		if _, err := d.client.framing.encode(17, askRead2); err != nil {
			t.Fatal(err)
		}
	}
	wantValues(t, d, 0, "0 1 2 3")
}

// The quantity of a block may be what the device refuses, with exception 3, or a register in a gap.
func TestConversationRefusedGap(t *testing.T) {
	d := newTestDriver(t, Options{
		Bus: tcpBus(bustest.PlayTCP(t, speakTCP([]bustest.IO{
			{W: "03 0000 0006", R: "83 03"},
			{W: "03 0000 0001", R: "03 02 0000"},
			{W: "03 0005 0001", R: "03 02 0005"},
		}))),
		Devices: []Device{{Name: "d", Unit: 17, Points: holding(0, 5)}},
	})
	wantValues(t, d, 0, "0 5")
}

// Exceptions that say nothing about addresses do not split a block.
func TestConversationBusy(t *testing.T) {
	d := newTestDriver(t, Options{
		Bus: tcpBus(bustest.PlayTCP(t, speakTCP([]bustest.IO{
			{W: "03 0000 0002", R: "83 06"},
			{W: "03 0000 0002", R: "83 0b"},
			{W: "03 0000 0002", R: "03 04 0000 0001"},
		}))),
		Devices: []Device{{Name: "d", Unit: 17, Points: holding(0, 1), Retries: 3}},
	})
	wantValues(t, d, 0, "<exception 6> <exception 6>")
	readings, errs := poll(t, d, 0)
	if got, want := fmt.Sprintln(values(readings), errs), `<exception 11> <exception 11> [device "d": read 2 registers from holding:0 (40001) of unit 17: `+
		`device answered exception 11 (gateway target device failed to respond) to function 3]`+"\n"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	wantValues(t, d, 0, "0 1")
}

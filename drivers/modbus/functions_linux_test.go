package modbus

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/drivers/bus/bustest"
	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
	"github.com/tidegate/tidegate/gateway"
)

// The examples of Modbus Application Protocol V1.1b3, chapter 6: request and answer behind unit and function.
func TestFunctions(t *testing.T) {
	for _, tc := range []struct {
		name            string
		q               request
		request, answer string
		data            string
	}{
		{"ReadCoils", newRead(Address{Coil, 19}, 19), "01 00 13 00 13", "01 03 cd 6b 05", "cd 6b 05"},
		{"ReadInputs", newRead(Address{Discrete, 196}, 22), "02 00 c4 00 16", "02 03 ac db 35", "ac db 35"},
		{"ReadHolding", newRead(Address{Holding, 107}, 3), "03 00 6b 00 03", "03 06 02 2b 00 00 00 64", "02 2b 00 00 00 64"},
		{"ReadInput", newRead(Address{Input, 8}, 1), "04 00 08 00 01", "04 02 00 0a", "00 0a"},
		{"WriteCoil", newCoilWrite(172, true), "05 00 ac ff 00", "05 00 ac ff 00", ""},
		{"WriteRegister", newRegisterWrite(1, []byte{0, 3}), "06 00 01 00 03", "06 00 01 00 03", ""},
		{"WriteCoils", newCoilsWrite(19, 10, []byte{0xCD, 0x01}), "0f 00 13 00 0a 02 cd 01", "0f 00 13 00 0a", ""},
		{"WriteRegisters", newRegistersWrite(1, []byte{0, 0x0A, 1, 2}), "10 00 01 00 02 04 00 0a 01 02", "10 00 01 00 02", ""},
		{"MaskWrite", newMaskWrite(4, 0x00F2, 0x0025), "16 00 04 00 f2 00 25", "16 00 04 00 f2 00 25", ""},
		{
			"ReadWrite", newReadWrite(3, 6, 14, []byte{0, 0xFF, 0, 0xFF, 0, 0xFF}),
			"17 00 03 00 06 00 0e 00 03 06 00 ff 00 ff 00 ff", "17 0c 00 fe 0a cd 00 01 00 03 00 0d 00 ff", "00 fe 0a cd 00 01 00 03 00 0d 00 ff",
		},
		{
			"Identification", newIdentification(LevelBasic, 0), "2b 0e 01 00",
			"2b 0e 01 01 00 00 03 00 04 41 63 6d 65 01 02 50 31 02 03 56 31 2e", "01 00 00 03 00 04 41 63 6d 65 01 02 50 31 02 03 56 31 2e",
		},
	} {
		for name, f := range map[string]framing{"RTU": newRTUFraming(), "ASCII": newASCIIFraming(), "TCP": newTCPFraming()} {
			t.Run(tc.name+name, func(t *testing.T) {
				frame, err := f.encode(1, tc.q)
				if err != nil {
					t.Fatal(err)
				}
				pdu, err := f.decode(frame, frame)
				if err != nil || !bytes.Equal(append([]byte{pdu.FunctionCode}, pdu.Data...), raw(t, tc.request)) {
					t.Fatalf("request % x % x, %v, want %s", pdu.FunctionCode, pdu.Data, err, tc.request)
				}
				answer := raw(t, tc.answer)
				framed, err := f.encode(1, request{function: answer[0], data: answer[1:]})
				if err != nil {
					t.Fatal(err)
				}
				copy(framed[:2], frame[:2]) // the transaction id, or what is equal anyway
				for n := range framed {
					if found, err := f.reply(frame, tc.q).find(framed[:n]); err != nil || found.Frame != nil {
						t.Fatalf("after %d of %d bytes: found % x, %v", n, len(framed), found.Frame, err)
					}
				}
				found, err := f.reply(frame, tc.q).find(framed)
				if err != nil || !bytes.Equal(found.Frame, framed) {
					t.Fatalf("find() = % x, %v, want % x", found.Frame, err, framed)
				}
				data, err := (&client{framing: f}).open(tc.q, frame, found.Frame)
				if err != nil || !bytes.Equal(data, raw(t, tc.data)) {
					t.Errorf("data % x, %v, want %s", data, err, tc.data)
				}
			})
		}
	}
}

func playRTU(t testing.TB, ops []bustest.IO) *Driver {
	t.Helper()
	return newTestDriver(t, Options{Bus: rtuBus(bustest.PlayLine(t, speakRTU(t, ops))), Devices: []Device{{Name: "d", Unit: 17, Points: []Point{
		holding(3)[0], {Point: gateway.Point{Name: "c", Writable: true}, Address: Address{Coil, 5}, Type: Bool},
	}}}})
}

// A device that knows only the functions for several values is found out once.
func TestWriteSeveralInsteadOfOne(t *testing.T) {
	d := playRTU(t, []bustest.IO{
		{W: "06 0003 0007", R: "86 01"},
		{W: "10 0003 0001 02 0007", R: "10 0003 0001"},
		{W: "03 0003 0001", R: "03 02 0007"},
		{W: "10 0003 0001 02 0008", R: "10 0003 0001"},
		{W: "03 0003 0001", R: "03 02 0008"},
		{W: "05 0005 ff00", R: "85 01"},
		{W: "0f 0005 0001 01 01", R: "0f 0005 0001"},
		{W: "01 0005 0001", R: "01 01 01"},
		{W: "0f 0005 0001 01 00", R: "0f 0005 0001"},
		{W: "01 0005 0001", R: "01 01 00"},
	})
	for i, v := range []gateway.Value{gateway.Uint(7), gateway.Uint(8), gateway.Bool(true), gateway.Bool(false)} {
		if r, err := d.Write(t.Context(), 0, i/2, v); err != nil || r.Value != v {
			t.Errorf("Write(%v) = %v, %v", v, r.Value, err)
		}
	}
}

// A device that refuses both is asked for the first again: nothing was learnt about it. Another exception is no reason to try the other.
func TestWriteRefused(t *testing.T) {
	d := playRTU(t, []bustest.IO{
		{W: "06 0003 0007", R: "86 01"},
		{W: "10 0003 0001 02 0007", R: "90 01"},
		{W: "06 0003 0007", R: "86 04"},
		{W: "06 0003 0007", R: "86 01"},
		{W: "10 0003 0001 02 0007", R: "90 02"},
	})
	for _, want := range []byte{1, 4, 2} {
		_, err := d.Write(t.Context(), 0, 0, gateway.Uint(7))
		var exception *Error
		if !errors.As(err, &exception) || exception.Exception != want {
			t.Errorf("Write() error = %v, want exception %d", err, want)
		}
	}
}

// A part of one register is changed by the device itself; a part of several is read and written back.
func TestWriteOfAPartIsAMaskWrite(t *testing.T) {
	d := newTestDriver(t, Options{
		Bus: tcpBus(bustest.PlayTCP(t, speakTCP([]bustest.IO{
			{W: "16 000a fffe 0001", R: "16 000a fffe 0001"}, // running
			{W: "03 000a 0001", R: "03 02 ff31"},
			{W: "16 000a ffcf 0010", R: "16 000a ffcf 0010"}, // mode
			{W: "03 000a 0001", R: "03 02 ff11"},
			{W: "16 000b ff00 00ff", R: "16 000b ff00 00ff"}, // low byte
			{W: "03 000b 0001", R: "03 02 12ff"},
			{W: "16 000d ffef 0010", R: "16 000d ffef 0010"}, // a bit of the second register
			{W: "03 000c 0002", R: "03 04 0000 0010"},
			{W: "03 000c 0002", R: "03 04 1fff fff0"}, // across both words
			{W: "10 000c 0002 04 bfff fffa", R: "10 000c 0002"},
			{W: "03 000c 0002", R: "03 04 bfff fffa"},
			{W: "16 000a fffe 0001", R: "96 02"}, // another exception is no reason to do it in another way
		}))),
		Devices: []Device{{Name: "pump", Unit: 17, Points: pumpPoints()}},
	})
	for _, tc := range []struct {
		point int
		value gateway.Value
		want  string
	}{
		{1, gateway.Bool(true), "true"},
		{2, gateway.String("manual"), "manual"},
		{3, gateway.Int(-1), "-1"},
		{6, gateway.Bool(true), "true"},
		{5, gateway.Int(171), "171"},
		{1, gateway.Bool(true), `write true to holding:10 (40011) of device "pump": device answered exception 2 (illegal data address: the device has nothing there) to function 22`},
	} {
		if got := written(t, d, tc.point, tc.value); got != tc.want {
			t.Errorf("write %v to point %d: %s\nwant %s", tc.value, tc.point, got, tc.want)
		}
	}
	if s := d.Stats(); s.Writes != 6 {
		t.Errorf("%d writes are counted, want 6", s.Writes)
	}
}

// A device that leaves the mask write without an answer is not sent another one: the first write fails, because nobody knows what became of
// it, and the later ones read and write. From one that has answered a mask write silence says nothing.
func TestMaskWriteWithoutAnAnswer(t *testing.T) {
	for _, tc := range []struct {
		name string
		ops  []bustest.IO
		want string
	}{
		{"Never", []bustest.IO{
			{W: "16 000a fffe 0001"},
			{W: "03 000a 0001", R: "03 02 ff30"},
			{W: "06 000a ff31", R: "06 000a ff31"},
			{W: "03 000a 0001", R: "03 02 ff31"},
		}, "timeout true"},
		{"Once", []bustest.IO{
			{W: "16 000a fffe 0001", R: "16 000a fffe 0001"},
			{W: "03 000a 0001", R: "03 02 ff31"},
			{W: "16 000a fffe 0001"},
			{W: "16 000a fffe 0001", R: "16 000a fffe 0001"},
			{W: "03 000a 0001", R: "03 02 ff31"},
		}, "true timeout true"},
	} {
		t.Run(tc.name, steadily(func(t testing.TB) {
			d := newTestDriver(t, Options{
				Bus:     rtuBus(bustest.PlayLine(t, speakRTU(t, tc.ops))),
				Devices: []Device{{Name: "pump", Unit: 17, Timeout: patience, Points: pumpPoints()}},
			})
			var got []string
			for range strings.Fields(tc.want) {
				r, err := d.Write(t.Context(), 0, 1, gateway.Bool(true))
				switch {
				case err == nil:
					got = append(got, r.Value.String())
				case errors.Is(err, ErrNoAnswer) && strings.HasSuffix(err.Error(), "(the device may have taken the value)"):
					got = append(got, "timeout")
				default:
					t.Error(err)
				}
			}
			if said := strings.Join(got, " "); said != tc.want {
				t.Errorf("writes: %s, want %s", said, tc.want)
			}
		}))
	}
}

// What is to be kept is read before anything is written: when that fails the device has taken nothing, and the error does not say that it may.
func TestPartThatCannotBeRead(t *testing.T) {
	d := playRTU(t, []bustest.IO{{W: "16 0003 ff00 0005", R: "96 01"}, {W: "03 0003 0001"}})
	d.devices[0].points[0].Type, d.devices[0].timeout = Uint8, patience
	d.devices[0].codecs[0] = newCodec(d.devices[0].points[0])
	if _, err := d.Write(t.Context(), 0, 0, gateway.Uint(5)); err == nil || !strings.Contains(err.Error(), "read what is to be kept") || strings.Contains(err.Error(), "may have taken") {
		t.Errorf("error = %v", err)
	}
}

// Where the device takes it, registers are written and read back in one request, which is never repeated.
func TestReadWrite(t *testing.T) {
	d := newTestDriver(t, Options{
		Bus: tcpBus(bustest.PlayTCP(t, speakTCP([]bustest.IO{
			{W: "17 000a 0001 000a 0001 02 0007", R: "17 02 0006"}, // the device has rounded
			{W: "17 000c 0002 000c 0002 04 4120 0000", R: "17 04 4120 0000"},
			{W: "16 0014 ff00 0005", R: "96 01"},
			{W: "03 0014 0001", R: "03 02 1234"},
			{W: "17 0014 0001 0014 0001 02 1205", R: "17 02 1205"},
			{W: "17 000a 0001 000a 0001 02 0007", R: "97 04"},
			{W: "17 000a 0001 000a 0001 02 0007", R: "97 01"}, // it does not know it after all
			{W: "06 000a 0007", R: "06 000a 0007"},
			{W: "03 000a 0001", R: "03 02 0007"},
			{W: "05 0000 ff00", R: "05 0000 ff00"},
			{W: "01 0000 0001", R: "01 01 01"},
		}))),
		Devices: []Device{{Name: "drive", Unit: 17, ReadWrite: true, Retries: 2, Points: []Point{
			{Address: Address{Holding, 10}, Type: Uint16},
			{Address: Address{Holding, 12}, Type: Float32},
			{Address: Address{Holding, 20}, Type: Uint8},
			{Address: Address{Coil, 0}, Type: Bool},
		}}},
	})
	for _, tc := range []struct {
		point int
		value gateway.Value
		want  string
	}{
		{0, gateway.Uint(7), "6"},
		{1, gateway.Float32(10), "10"},
		{2, gateway.Uint(5), "5"},
		{0, gateway.Uint(7), `write 7 to holding:10 (40011) of device "drive": device answered exception 4 (server device failure) to function 23`},
		{0, gateway.Uint(7), "7"},
		{3, gateway.Bool(true), "true"},
	} {
		if got := written(t, d, tc.point, tc.value); got != tc.want {
			t.Errorf("write %v to point %d: %s\nwant %s", tc.value, tc.point, got, tc.want)
		}
	}
}

// Broadcasts reach all units of a line and are not answered; on TCP unit 0 is the device itself.
func TestBroadcastWrite(t *testing.T) {
	layout := sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 10}}}
	units := map[byte]*sim.Unit{1: sim.NewUnit(layout), 2: sim.NewUnit(layout)}
	d := newTestDriver(t, Options{Bus: rtuBus(simtest.RTU(t, units, sim.SlaveOptions{}).Port), Devices: []Device{{Name: "d", Points: holding(3)}}})
	to := call{unit: 0, request: newRegisterWrite(3, []byte{0, 42}), timeout: hangs}
	start := time.Now()
	if _, err := d.client.put(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	wantValues(t, d, 0, "42")
	if time.Since(start) < turnaround {
		t.Error("the devices were given no time to carry the broadcast out")
	}
	if cells, err := units[2].Get(sim.HoldingRegisters, 3, 1); err != nil || cells[0] != 42 {
		t.Errorf("unit 2 has %v, %v, want 42", cells, err)
	}
	to.request = newRead(Address{Holding, 3}, 1)
	if _, err := d.client.do(t.Context(), to); err == nil || !strings.Contains(err.Error(), "only writes make sense there") {
		t.Errorf("read of unit 0: error %v", err)
	}
	if s := d.Stats(); s.Requests != 2 || s.Timeouts != 0 {
		t.Errorf("Stats() = %+v, want two requests and no timeout", s)
	}
}

// The gap before another unit, and that of a device, are what the bus is told.
func TestGaps(t *testing.T) {
	c := &client{unitGap: 20}
	for _, tc := range []struct {
		unit byte
		gap  time.Duration
		want time.Duration
	}{{1, 0, 20}, {1, 0, 0}, {1, 5, 5}, {2, 5, 20}, {2, 30, 30}, {1, 30, 30}} {
		if got := c.gap(call{unit: tc.unit, gap: tc.gap}); got != tc.want {
			t.Errorf("unit %d with gap %d: %d, want %d", tc.unit, tc.gap, got, tc.want)
		}
	}
}

// An identification in parts, one that goes round in circles, and a device that does not know the function.
func TestIdentify(t *testing.T) {
	d := playRTU(t, []bustest.IO{
		{W: "2b 0e 03 00", R: "2b 0e 03 83 ff 02 02 00 01 41 01 01 42"},
		{W: "2b 0e 03 02", R: "2b 0e 03 83 ff 80 01 02 01 43"},
		{W: "2b 0e 03 80", R: "2b 0e 03 83 00 00 01 80 02 44 45"},
		{W: "2b 0e 01 00", R: "2b 0e 01 01 ff 00 01 00 01 41"},
		{W: "2b 0e 01 00", R: "ab 01"},
	})
	id, err := d.Identify(t.Context(), 0, LevelExtended)
	var said []string
	for _, o := range id.Objects {
		said = append(said, o.Name()+"="+o.Value)
	}
	if got := strings.Join(said, " "); err != nil || id.Conformity != 0x83 || got != "VendorName=A ProductCode=B MajorMinorRevision=C object 0x80=DE" {
		t.Errorf("Identify() = %s, %v", got, err)
	}
	if _, err := d.Identify(t.Context(), 0, LevelBasic); err == nil || !strings.Contains(err.Error(), "object 0x00 follows 0x00") {
		t.Errorf("circle: error = %v", err)
	}
	var exception *Error
	if _, err := d.Identify(t.Context(), 0, LevelBasic); !errors.As(err, &exception) || exception.Exception != 1 {
		t.Errorf("unknown function: error = %v", err)
	}
}

func TestFramingRefuses(t *testing.T) {
	line, net := bus.Options{Port: "p", Mode: bus.Mode{Baud: 9600}}, bus.Options{Endpoint: "h:502"}
	udp := net
	udp.Network = bus.NetworkUDP
	six := line
	six.Mode.DataBits = 6
	for _, tc := range []struct {
		o    Options
		want string
	}{
		{Options{Bus: line, Framing: FramingTCP}, "the framing of Modbus TCP does not work on a serial line: use rtu or ascii"},
		{Options{Bus: net, Framing: 9}, "framing 9 is not known"},
		{Options{Bus: udp, Framing: FramingRTU}, "rtu frames go over tcp, not over udp"},
		{Options{Bus: six, Framing: FramingASCII}, "data bits 6: Modbus ASCII sends characters of 7 bits, use 7, or 8 when the devices do"},
		{Options{Bus: net, MaxInFlight: 17}, "max in flight 17 is outside 1 to 16"},
		{Options{Bus: line, MaxInFlight: 2}, "max in flight 2: answers in rtu frames do not tell which request they are to"},
		{Options{Bus: udp, MaxInFlight: 2}, "max in flight 2: each datagram is one frame, and udp carries one at a time here"},
		{Options{Bus: net, UnitGap: -1}, "unit gap is negative"},
		{Options{Bus: net, Framing: FramingRTU, Devices: []Device{{Name: "d"}}}, `device "d": unit 0 is outside 1 to 247: 0 is broadcast, which nobody answers, and the others are reserved`},
		{Options{Bus: net, Devices: []Device{{Name: "d", Gap: -1}}}, `device "d": gap is negative`},
	} {
		tc.o.Name = "b"
		if _, err := New(tc.o); err == nil || err.Error() != `bus "b": `+tc.want {
			t.Errorf("New() error = %v\nwant        %s", err, tc.want)
		}
	}
}

// On a line that is never silent nothing is sent: the device cannot have taken the value, and nobody knows whether it knows the function.
func TestWriteOnALineThatIsNeverSilent(t *testing.T) {
	steady(t, func(t testing.TB) {
		pty := bustest.NewPTY(t)
		defer pty.Hold()()
		line := rtuBus(pty.Port)
		line.Gap = 300 * time.Millisecond // longer than what writes to it stands still
		d := newTestDriver(t, Options{Bus: line, Devices: []Device{{Name: "pump", Unit: 17, Timeout: 20 * time.Millisecond, Points: append(pumpPoints(), holding(0, 1)...)}}})
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = pty.Master.Write([]byte{0x55})
				}
			}
		}()
		defer func() { close(stop); <-stopped }()
		first := len(d.devices[0].points) - 2
		for name, write := range map[string]func() error{
			"Part": func() error { _, err := d.Write(t.Context(), 0, 1, gateway.Bool(true)); return err },
			"Block": func() error {
				_, err := d.WriteBlock(t.Context(), 0, []int{first, first + 1}, uints(1, 2))
				return err
			},
		} {
			var busy *bus.ReplyError
			if err := write(); !errors.As(err, &busy) || !busy.Busy || strings.Contains(err.Error(), "may have taken") {
				t.Errorf("%s: error %v", name, err)
			}
		}
		if len(d.client.lacks) != 0 || len(d.client.most) != 0 {
			t.Errorf("learnt from nothing: %v, %v", d.client.lacks, d.client.most)
		}
	})
}

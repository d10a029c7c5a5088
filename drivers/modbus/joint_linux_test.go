package modbus

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/drivers/bus/bustest"
	"github.com/tidegate/tidegate/gateway"
)

// writeBlocks writes values as the engine does, until one fails, and returns what was read back with the error at its end.
func writeBlocks(t testing.TB, d *Driver, points []int, values []gateway.Value) string {
	t.Helper()
	var done []string
	for at := 0; at < len(points); {
		these := slices.Clone(points[at:])
		back, err := d.WriteBlock(t.Context(), 0, these, values[at:])
		clear(these) // it is the caller's
		for _, r := range back {
			if r.Time.IsZero() {
				t.Errorf("reading %+v has no time", r)
			}
			done = append(done, values1(r))
		}
		at += len(back)
		switch {
		case err != nil:
			return strings.Join(append(done, "error: "+err.Error()), " ")
		case len(back) == 0:
			t.Fatal("neither readings nor an error")
		}
	}
	return strings.Join(done, " ")
}

func values1(r gateway.Reading) string { return values([]gateway.Reading{r}) }

func uints(list ...uint64) (values []gateway.Value) {
	for _, n := range list {
		values = append(values, gateway.Uint(n))
	}
	return values
}

// jointPoints are neighbours of all kinds: registers 0 to 2, 3 and 4 as one number, 5 of which a bit is a point, 7 behind a gap, and coils 8 to 10.
func jointPoints() []Point {
	points := holding(0, 1, 2, 3, 5, 7)
	points[3].Type = Uint32
	points[4].Bits = Bits{First: 2, Count: 1}
	for i := range uint16(3) {
		points = append(points, Point{Point: gateway.Point{Name: fmt.Sprintf("c%d", i), Writable: true}, Address: Address{Coil, 8 + i}, Type: Bool})
	}
	return points
}

// step is one command: values for points, what is said on the line, and what comes of it.
type step struct {
	points string // as digits
	values []gateway.Value
	ops    []bustest.IO
	want   string
}

func playJoint(t testing.TB, dev Device, o Options, steps ...step) *Driver {
	t.Helper()
	var ops []bustest.IO
	for _, s := range steps {
		ops = append(ops, s.ops...)
	}
	dev.Name, dev.Unit = "d", 17
	if dev.Points == nil {
		dev.Points = jointPoints()
	}
	o.Bus, o.Devices = rtuBus(bustest.PlayLine(t, speakRTU(t, ops))), []Device{dev}
	d := newTestDriver(t, o)
	for _, s := range steps {
		var points []int
		for _, digit := range s.points {
			points = append(points, int(digit-'0'))
		}
		if got := writeBlocks(t, d, points, s.values); got != s.want {
			t.Errorf("write of points %s: %s\nwant %s", s.points, got, s.want)
		}
	}
	return d
}

// Neighbours are written and read back together; in the order that was given, never across what is not written, and parts alone.
func TestJointWrites(t *testing.T) {
	on, off := gateway.Bool(true), gateway.Bool(false)
	d := playJoint(t, Device{}, Options{},
		step{"0123", uints(1, 2, 3, 0x40005), []bustest.IO{
			{W: "10 0000 0005 0a 0001 0002 0003 0004 0005", R: "10 0000 0005"},
			{W: "03 0000 0005", R: "03 0a 0001 0009 0003 0004 0005"}, // the device has another value
		}, "1 9 3 262149"},
		step{"3455", append(uints(6), on, gateway.Uint(7), gateway.Uint(8)), []bustest.IO{
			{W: "10 0003 0002 04 0000 0006", R: "10 0003 0002"},
			{W: "03 0003 0002", R: "03 04 0000 0006"},
			{W: "16 0005 fffb 0004", R: "16 0005 fffb 0004"},
			{W: "03 0005 0001", R: "03 02 0004"},
			{W: "06 0007 0007", R: "06 0007 0007"},
			{W: "03 0007 0001", R: "03 02 0007"},
			{W: "06 0007 0008", R: "06 0007 0008"},
			{W: "03 0007 0001", R: "03 02 0008"},
		}, "6 true 7 8"},
		step{"210", uints(3, 2, 1), []bustest.IO{
			{W: "06 0002 0003", R: "06 0002 0003"},
			{W: "03 0002 0001", R: "03 02 0003"},
			{W: "06 0001 0002", R: "06 0001 0002"},
			{W: "03 0001 0001", R: "03 02 0002"},
			{W: "06 0000 0001", R: "06 0000 0001"},
			{W: "03 0000 0001", R: "03 02 0001"},
		}, "3 2 1"},
		step{"25", uints(3, 7), []bustest.IO{ // 3 to 6 lie in between
			{W: "06 0002 0003", R: "06 0002 0003"},
			{W: "03 0002 0001", R: "03 02 0003"},
			{W: "06 0007 0007", R: "06 0007 0007"},
			{W: "03 0007 0001", R: "03 02 0007"},
		}, "3 7"},
		step{"56", append(uints(9), on), []bustest.IO{ // register 7 and coil 8
			{W: "06 0007 0009", R: "06 0007 0009"},
			{W: "03 0007 0001", R: "03 02 0009"},
			{W: "05 0008 ff00", R: "05 0008 ff00"},
			{W: "01 0008 0001", R: "01 01 01"},
		}, "9 true"},
		step{"678", []gateway.Value{on, off, on}, []bustest.IO{
			{W: "0f 0008 0003 01 05", R: "0f 0008 0003"},
			{W: "01 0008 0003", R: "01 01 05"},
		}, "true false true"},
	)
	if s := d.Stats(); s.Writes != 18 {
		t.Errorf("%d writes are counted, want one for each value", s.Writes)
	}
}

// A device that does not know the function for several, or takes fewer at once, is found out and gets what it takes. What it refuses alone
// ends the command there, as if nothing had been tried together.
func TestJointWriteRefused(t *testing.T) {
	on := gateway.Bool(true)
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"Function", []step{
			{"01", uints(1, 2), []bustest.IO{
				{W: "10 0000 0002 04 0001 0002", R: "90 01"},
				{W: "06 0000 0001", R: "06 0000 0001"},
				{W: "03 0000 0001", R: "03 02 0001"},
				{W: "06 0001 0002", R: "06 0001 0002"},
				{W: "03 0001 0001", R: "03 02 0002"},
			}, "1 2"},
			{"01", uints(3, 4), []bustest.IO{
				{W: "06 0000 0003", R: "06 0000 0003"},
				{W: "03 0000 0001", R: "03 02 0003"},
				{W: "06 0001 0004", R: "86 04"},
			}, `3 error: write 4 to holding:1 (40002) of device "d": device answered exception 4 (server device failure) to function 6`},
			{"67", []gateway.Value{on, on}, []bustest.IO{ // coils are another function
				{W: "0f 0008 0002 01 03", R: "0f 0008 0002"},
				{W: "01 0008 0002", R: "01 01 03"},
			}, "true true"},
			{"67", []gateway.Value{on, on}, []bustest.IO{
				{W: "0f 0008 0002 01 03", R: "8f 04"},
			}, `error: write 2 bits from coil:8 (00009) of unit 17 of device "d", which are 2 points: device answered exception 4 (server device failure) to function 15 (the device may have taken some of the values)`},
			{"67", []gateway.Value{on, on}, []bustest.IO{ // of both functions it is known what the device takes
				{W: "05 0008 ff00", R: "05 0008 ff00"},
				{W: "01 0008 0001", R: "01 01 01"},
				{W: "05 0009 ff00", R: "05 0009 ff00"},
				{W: "01 0009 0001", R: "01 01 01"},
			}, "true true"},
			{"01", uints(5, 6), []bustest.IO{
				{W: "06 0000 0005", R: "06 0000 0005"},
				{W: "03 0000 0001", R: "03 02 0005"},
				{W: "06 0001 0006", R: "06 0001 0006"},
				{W: "03 0001 0001", R: "03 02 0006"},
			}, "5 6"},
		}},
		{"FunctionAndValue", []step{
			{"01", uints(1, 2), []bustest.IO{
				{W: "10 0000 0002 04 0001 0002", R: "90 01"},
				{W: "06 0000 0001", R: "86 03"},
			}, `error: write 1 to holding:0 (40001) of device "d": device answered exception 3 (illegal data value: the device does not accept it) to function 6`},
			{"01", uints(3, 4), []bustest.IO{ // the function is known to be lacking
				{W: "06 0000 0003", R: "06 0000 0003"},
				{W: "03 0000 0001", R: "03 02 0003"},
				{W: "06 0001 0004", R: "06 0001 0004"},
				{W: "03 0001 0001", R: "03 02 0004"},
			}, "3 4"},
		}},
		{"Quantity", []step{
			{"0123", uints(1, 2, 3, 4), []bustest.IO{
				{W: "10 0000 0005 0a 0001 0002 0003 0000 0004", R: "90 03"},
				{W: "06 0000 0001", R: "06 0000 0001"},
				{W: "03 0000 0001", R: "03 02 0001"},
				{W: "06 0001 0002", R: "06 0001 0002"},
				{W: "03 0001 0001", R: "03 02 0002"},
				{W: "06 0002 0003", R: "06 0002 0003"},
				{W: "03 0002 0001", R: "03 02 0003"},
				{W: "10 0003 0002 04 0000 0004", R: "10 0003 0002"},
				{W: "03 0003 0002", R: "03 04 0000 0004"},
			}, "1 2 3 4"},
			{"012", uints(5, 6, 7), []bustest.IO{ // half of the five, two at once
				{W: "10 0000 0002 04 0005 0006", R: "90 02"}, // is refused too
				{W: "06 0000 0005", R: "06 0000 0005"},
				{W: "03 0000 0001", R: "03 02 0005"},
				{W: "06 0001 0006", R: "06 0001 0006"},
				{W: "03 0001 0001", R: "03 02 0006"},
				{W: "06 0002 0007", R: "06 0002 0007"},
				{W: "03 0002 0001", R: "03 02 0007"},
			}, "5 6 7"},
			{"01", uints(8, 9), []bustest.IO{
				{W: "06 0000 0008", R: "06 0000 0008"},
				{W: "03 0000 0001", R: "03 02 0008"},
				{W: "06 0001 0009", R: "06 0001 0009"},
				{W: "03 0001 0001", R: "03 02 0009"},
			}, "8 9"},
		}},
		{"OneValue", []step{
			{"012", uints(1, 2, 3), []bustest.IO{
				{W: "10 0000 0003 06 0001 0002 0003", R: "90 02"},
				{W: "06 0000 0001", R: "06 0000 0001"},
				{W: "03 0000 0001", R: "03 02 0001"},
				{W: "06 0001 0002", R: "86 02"},
			}, `1 error: write 2 to holding:1 (40002) of device "d": device answered exception 2 (illegal data address: the device has nothing there) to function 6`},
			{"01", uints(4, 5), []bustest.IO{ // it has not shown that it takes them apart only
				{W: "10 0000 0002 04 0004 0005", R: "10 0000 0002"},
				{W: "03 0000 0002", R: "03 04 0004 0005"},
			}, "4 5"},
			{"12", uints(8, 9), []bustest.IO{ // and the rest of what was refused is over with it
				{W: "10 0001 0002 04 0008 0009", R: "10 0001 0002"},
				{W: "03 0001 0002", R: "03 04 0008 0009"},
			}, "8 9"},
			{"23", uints(6, 7), []bustest.IO{
				{W: "10 0002 0003 06 0006 0000 0007", R: "10 0002 0003"},
				{W: "03 0002 0003", R: "03 06 0006 0000 0007"},
			}, "6 7"},
		}},
		{"Failure", []step{
			{"0123", uints(1, 2, 3, 4), []bustest.IO{{W: "10 0000 0005 0a 0001 0002 0003 0000 0004", R: "90 04"}}, `error: write 5 registers from holding:0 (40001) of unit 17 of device "d", which are 4 points: device answered exception 4 (server device failure) to function 16 (the device may have taken some of the values)`},
			{"012", uints(1, 2, 3), []bustest.IO{
				{W: "10 0000 0002 04 0001 0002", R: "10 0000 0002"},
				{W: "03 0000 0002", R: "03 04 0001 0002"},
				{W: "06 0002 0003", R: "06 0002 0003"},
				{W: "03 0002 0001", R: "03 02 0003"},
			}, "1 2 3"},
		}},
		{"Busy", []step{
			{"01", uints(1, 2), []bustest.IO{{W: "10 0000 0002 04 0001 0002", R: "90 06"}}, `error: write 2 registers from holding:0 (40001) of unit 17 of device "d", which are 2 points: device answered exception 6 (server device busy) to function 16`},
			{"01", uints(1, 2), []bustest.IO{
				{W: "10 0000 0002 04 0001 0002", R: "10 0000 0002"},
				{W: "03 0000 0002", R: "03 04 0001 0002"},
			}, "1 2"},
		}},
		{"Values", []step{
			{"012", uints(1, 70000, 3), nil, "error: write 3 registers from holding:0 (40001) of unit 17 for 3 points: value 70000 is outside the range of the register: 0 to 65535"},
			{"67", []gateway.Value{on, gateway.Uint(7)}, nil, "error: write 2 bits from coil:8 (00009) of unit 17 for 2 points: value 7 is neither true nor false, and the point is a coil"},
		}},
		{"ReadingBackFails", []step{
			{"012", uints(1, 2, 3), []bustest.IO{
				{W: "10 0000 0003 06 0001 0002 0003", R: "10 0000 0003"},
				{W: "03 0000 0003", R: "83 04"},
			}, `error: read 3 registers from holding:0 (40001) of unit 17 of device "d" back after it took the values: device answered exception 4 (server device failure) to function 3`},
		}},
		{"ReadingBack", []step{
			{"012", uints(1, 2, 3), []bustest.IO{
				{W: "10 0000 0003 06 0001 0002 0003", R: "10 0000 0003"},
				{W: "03 0000 0003", R: "83 02"},
				{W: "03 0000 0001", R: "03 02 0001"},
				{W: "03 0001 0001", R: "83 02"},
			}, `1 error: read holding:1 (40002) of device "d" back after it took the value 2: device answered exception 2 (illegal data address: the device has nothing there) to function 3`},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) { playJoint(t, Device{}, Options{}, tc.steps...) })
	}
}

// What was refused together and is not carried on with, as when its command has expired, does not hold up other points.
func TestJointWriteRefusedAndLeft(t *testing.T) {
	points := jointPoints()[:4]
	d := newTestDriver(t, Options{
		Devices: []Device{{Name: "d", Unit: 17, Points: points}},
		Bus: rtuBus(bustest.PlayLine(t, speakRTU(t, []bustest.IO{
			{W: "10 0000 0003 06 0001 0002 0003", R: "90 03"},
			{W: "06 0000 0001", R: "06 0000 0001"},
			{W: "03 0000 0001", R: "03 02 0001"},
			{W: "10 0002 0003 06 0004 0000 0005", R: "10 0002 0003"},
			{W: "03 0002 0003", R: "03 06 0004 0000 0005"},
		}))),
	})
	if back, err := d.WriteBlock(t.Context(), 0, []int{0, 1, 2}, uints(1, 2, 3)); err != nil || len(back) != 1 {
		t.Errorf("got %v, %v, want the first value", back, err)
	}
	if got := writeBlocks(t, d, []int{2, 3}, uints(4, 5)); got != "4 5" {
		t.Errorf("got %s", got)
	}
}

// What cannot be written is not sent, be it the first one or behind others.
func TestJointWriteOfWhatCannotBe(t *testing.T) {
	points := holding(0, 1, 2)
	for i := range points[1:] {
		points[1+i].Address.Table, points[1+i].Writable = Input, false
	}
	const refused = `error: write input:1 (30002) of device "d": only coils and holding registers can be written`
	playJoint(t, Device{Points: points}, Options{},
		step{"01", uints(1, 2), []bustest.IO{
			{W: "06 0000 0001", R: "06 0000 0001"},
			{W: "03 0000 0001", R: "03 02 0001"},
		}, "1 " + refused},
		step{"12", uints(1, 2), nil, refused},
	)
}

// A device that leaves the function for several without an answer is sent one value after the other from then on, unless it has answered before.
func TestJointWriteWithoutAnAnswer(t *testing.T) {
	const failed = `error: write 2 registers from holding:0 (40001) of unit 17 of device "d", which are 2 points: `
	const doubt = " (the device may have taken the value)"
	alone := step{"01", uints(1, 2), []bustest.IO{
		{W: "06 0000 0001", R: "06 0000 0001"},
		{W: "03 0000 0001", R: "03 02 0001"},
		{W: "06 0001 0002", R: "06 0001 0002"},
		{W: "03 0001 0001", R: "03 02 0002"},
	}, "1 2"}
	lost := step{"01", uints(1, 2), []bustest.IO{{W: "10 0000 0002 04 0001 0002"}}, failed + "no answer within " + patience.String() + doubt}
	noise := step{
		"01", uints(1, 2),
		[]bustest.IO{{W: "10 0000 0002 04 0001 0002", R: "10 0000"}},
		failed + "no valid answer within " + patience.String() + ", only other bytes" + doubt,
	}
	joint := step{"01", uints(1, 2), []bustest.IO{
		{W: "10 0000 0002 04 0001 0002", R: "10 0000 0002"},
		{W: "03 0000 0002", R: "03 04 0001 0002"},
	}, "1 2"}
	t.Run("Never", steadily(func(t testing.TB) { playJoint(t, Device{Timeout: patience}, Options{}, lost, alone) }))
	t.Run("Once", steadily(func(t testing.TB) { playJoint(t, Device{Timeout: patience}, Options{}, joint, lost, joint) }))
	t.Run("Noise", steadily(func(t testing.TB) { playJoint(t, Device{Timeout: patience}, Options{}, noise, joint) }))
}

// Behind a value that is verified nothing is written until it was; what is read back as bad does not hide what came before it.
func TestJointWriteVerified(t *testing.T) {
	points := jointPoints()
	points[1].Verify = true
	points[2].Invalid = []uint64{0x8000}
	playJoint(t, Device{Points: points}, Options{},
		step{"0123", uints(1, 2, 3, 4), []bustest.IO{
			{W: "10 0000 0002 04 0001 0002", R: "10 0000 0002"},
			{W: "03 0000 0002", R: "03 04 0001 0002"},
			{W: "10 0002 0003 06 0003 0000 0004", R: "10 0002 0003"},
			{W: "03 0002 0003", R: "03 06 8000 0000 0004"},
		}, "1 2 <sentinel> 4"},
		step{"012", uints(1, 2, 3), []bustest.IO{
			{W: "10 0000 0002 04 0001 0002", R: "10 0000 0002"},
			{W: "03 0000 0002", R: "03 04 0001 0007"},
		}, `1 error: verify holding:1 (40002) of device "d": device took the value 2 and now has 7: it may bound or round what it takes, or refuse writes without saying so`},
	)
}

// Eight coils are one byte.
func TestJointWriteOfAByteOfCoils(t *testing.T) {
	var points []Point
	for i := range uint16(8) {
		points = append(points, Point{Point: gateway.Point{Name: fmt.Sprint(i), Writable: true}, Address: Address{Coil, i}, Type: Bool})
	}
	on, off := gateway.Bool(true), gateway.Bool(false)
	playJoint(t, Device{Points: points}, Options{}, step{
		"01234567",
		[]gateway.Value{on, off, off, on, off, off, off, on},
		[]bustest.IO{{W: "0f 0000 0008 01 89", R: "0f 0000 0008"}, {W: "01 0000 0008", R: "01 01 89"}},
		"true false false true false false false true",
	})
}

// Function 23 writes and reads a block in one request, of what it takes; without it there are two.
func TestJointReadWrite(t *testing.T) {
	playJoint(t, Device{ReadWrite: true}, Options{},
		step{"012", uints(1, 2, 3), []bustest.IO{
			{W: "17 0000 0003 0000 0003 06 0001 0002 0003", R: "17 06 0001 0002 0003"},
		}, "1 2 3"},
		step{"012", uints(4, 5, 6), []bustest.IO{
			{W: "17 0000 0003 0000 0003 06 0004 0005 0006", R: "97 01"},
			{W: "10 0000 0003 06 0004 0005 0006", R: "10 0000 0003"},
			{W: "03 0000 0003", R: "03 06 0004 0005 0006"},
		}, "4 5 6"},
	)
}

// A text that is longer than function 23 takes is written and read back in two requests.
func TestReadWriteOfALongText(t *testing.T) {
	for _, tc := range []struct {
		length int
		ops    []bustest.IO
	}{
		{121, []bustest.IO{{W: "17 0000 0079 0000 0079 f2" + strings.Repeat(" 4141", 121), R: "17 f2" + strings.Repeat(" 4141", 121)}}},
		{122, []bustest.IO{
			{W: "10 0000 007a f4" + strings.Repeat(" 4141", 122), R: "10 0000 007a"},
			{W: "03 0000 007a", R: "03 f4" + strings.Repeat(" 4141", 122)},
		}},
	} {
		points := holding(0)
		points[0].Type, points[0].Length = String, tc.length
		text := strings.Repeat("AA", tc.length)
		playJoint(t, Device{ReadWrite: true, Points: points}, Options{}, step{"0", []gateway.Value{gateway.String(text)}, tc.ops, text})
	}
}

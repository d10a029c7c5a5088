package server_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/modbus"
	"github.com/tidegate/tidegate/drivers/modbus/server"
	"github.com/tidegate/tidegate/gateway"
)

// plant is a commander that notes what is set, and refuses or fails on request.
type plant struct {
	check, fail map[string]error // by device
	set         []string
	deadline    bool // Set waits for the end of its context
}

func (p *plant) Check(device string, _ []gateway.Setting) error { return p.check[device] }

func (p *plant) Set(ctx context.Context, device string, values []gateway.Setting) error {
	line := device
	for _, s := range values {
		line += fmt.Sprintf(" %s=%v", s.Point, s.Value)
	}
	p.set = append(p.set, line)
	if p.deadline {
		<-ctx.Done()
		return fmt.Errorf("%w: %w", server.TargetFailed, ctx.Err())
	}
	return p.fail[device]
}

func at(table modbus.Table, offset uint16) modbus.Address {
	return modbus.Address{Table: table, Offset: offset}
}

func pointer[T any](v T) *T { return &v }

// registers of two devices: boiler has a number (0), a text (1), a counter (2) and a switch (3), pump a state with names (0), two bits (1, 2)
// and a byte string (3).
func registers() []server.Register {
	return []server.Register{
		{Layout: modbus.Point{Address: at(modbus.Holding, 0), Type: modbus.Float32}, Device: "boiler", Point: "setpoint", Index: 0, Kind: gateway.KindFloat64, Writable: true},
		{Layout: modbus.Point{Address: at(modbus.Holding, 2), Type: modbus.Int16, Scale: 0.1}, Device: "boiler", Point: "setpoint", Index: 0, Kind: gateway.KindFloat64, Writable: true},
		{Layout: modbus.Point{Address: at(modbus.Holding, 3), Type: modbus.Uint16, Enum: states()}, Device: "pump", Point: "state", Index: 0, Kind: gateway.KindString, Writable: true},
		{Layout: modbus.Point{Address: at(modbus.Holding, 4)}, Bit: pointer(0), Device: "pump", Point: "run", Index: 1, Kind: gateway.KindBool, Writable: true},
		{Layout: modbus.Point{Address: at(modbus.Holding, 4)}, Bit: pointer(15), Device: "pump", Point: "fault", Index: 2, Kind: gateway.KindBool, Writable: true},
		{Layout: modbus.Point{Address: at(modbus.Holding, 5), Type: modbus.Uint32, Order: modbus.CDAB}, Device: "boiler", Point: "count", Index: 2, Kind: gateway.KindUint, Writable: true},
		{Layout: modbus.Point{Address: at(modbus.Holding, 20), Type: modbus.String, Length: 3}, Device: "boiler", Point: "name", Index: 1, Kind: gateway.KindString, Writable: true},
		{Layout: modbus.Point{Address: at(modbus.Holding, 23), Type: modbus.Bytes, Length: 1}, Device: "pump", Point: "raw", Index: 3, Kind: gateway.KindBytes, Writable: true},
		{Layout: modbus.Point{Address: at(modbus.Holding, 24), Type: modbus.Uint16}, Device: "boiler", Point: "on", Index: 3, Kind: gateway.KindBool},
		{Layout: modbus.Point{Address: at(modbus.Input, 0), Type: modbus.Uint16}, Bad: pointer(uint64(0x8000)), Device: "boiler", Point: "count", Index: 2, Kind: gateway.KindUint},
		{Layout: modbus.Point{Address: at(modbus.Input, 1)}, Bit: pointer(3), Bad: pointer(uint64(1)), Device: "pump", Point: "fault", Index: 2, Kind: gateway.KindBool},
		{Layout: modbus.Point{Address: at(modbus.Coil, 8), Type: modbus.Bool}, Device: "boiler", Point: "on", Index: 3, Kind: gateway.KindBool, Writable: true},
		{Layout: modbus.Point{Address: at(modbus.Coil, 9), Type: modbus.Bool}, Device: "pump", Point: "run", Index: 1, Kind: gateway.KindBool, Writable: true},
		{Layout: modbus.Point{Address: at(modbus.Coil, 10), Type: modbus.Bool}, Device: "pump", Point: "fault", Index: 2, Kind: gateway.KindBool},
		{Layout: modbus.Point{Address: at(modbus.Discrete, 0), Type: modbus.Bool}, Device: "pump", Point: "fault", Index: 2, Kind: gateway.KindBool},
	}
}

func states() map[int64]string { return map[int64]string{0: "off", 1: "manual", 7: "automatic"} }

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// rig is a map whose clock stands still.
type rig struct {
	*server.Map
	plant *plant
	now   time.Time
}

func newRig(t testing.TB, change ...func(*server.MapOptions)) *rig {
	t.Helper()
	r := &rig{plant: &plant{}, now: noon}
	o := server.MapOptions{
		Registers: registers(), Commander: r.plant, Now: func() time.Time { return r.now },
		Identity: server.Identity{Vendor: "Tidegate", Product: "tidegate", Revision: "1.2.3", Name: "plc"},
		Logger:   slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, f := range change {
		f(&o)
	}
	var err error
	if r.Map, err = server.NewMap(o); err != nil {
		t.Fatal(err)
	}
	return r
}

// boiler and pump bring good readings, in the order of their points.
func (r *rig) boiler(values ...gateway.Value) { r.bring("boiler", values) }
func (r *rig) pump(values ...gateway.Value)   { r.bring("pump", values) }

func (r *rig) bring(device string, values []gateway.Value) {
	readings := make([]gateway.Reading, len(values))
	stale := make([]time.Duration, len(values))
	for i, v := range values {
		readings[i] = gateway.Reading{Value: v, Quality: gateway.QualityGood, Time: r.now}
		stale[i] = 3 * time.Second
	}
	r.Observe(device, readings, stale)
}

// usual readings.
func (r *rig) usual() {
	r.boiler(gateway.Float64(21.5), gateway.String("Kessel"), gateway.Uint(0x12345678), gateway.Bool(true))
	r.pump(gateway.String("automatic"), gateway.Bool(true), gateway.Bool(false), gateway.Bytes([]byte{0xCA, 0xFE}))
}

// ask sends a PDU in hexadecimal and returns the answer likewise.
func (r *rig) ask(t testing.TB, unit byte, request string) string {
	t.Helper()
	pdu, err := hex.DecodeString(strings.ReplaceAll(request, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("% x", r.Serve(t.Context(), unit, pdu))
}

func (r *rig) expect(t *testing.T, request, want string) {
	t.Helper()
	if got := r.ask(t, 1, request); got != want {
		t.Errorf("%s: got %s, want %s", request, got, want)
	}
}

func TestMapReads(t *testing.T) {
	for _, c := range []struct{ name, request, want string }{
		{"float", "03 0000 0002", "03 04 41 ac 00 00"},
		{"scaled", "03 0002 0001", "03 02 00 d7"},
		{"name of a number", "03 0003 0001", "03 02 00 07"},
		{"bits", "03 0004 0001", "03 02 00 01"},
		{"order", "03 0005 0002", "03 04 56 78 12 34"},
		{"block", "03 0000 0007", "03 0e 41 ac 00 00 00 d7 00 07 00 01 56 78 12 34"},
		{"text, bytes, switch", "03 0014 0005", "03 0a 4b 65 73 73 65 6c ca fe 00 01"},
		{"beyond uint16", "04 0000 0001", "04 02 80 00"},
		{"coils", "01 0008 0003", "01 01 03"},
		{"one coil", "01 0009 0001", "01 01 01"},
		{"discrete", "02 0000 0001", "02 01 00"},
		{"hole", "03 0006 0010", "83 02"},
		{"behind the last", "03 0018 0002", "83 02"},
		{"before the first", "01 0007 0002", "81 02"},
		{"half a float, first", "03 0000 0001", "83 02"},
		{"half a float, second", "03 0001 0002", "83 02"},
		{"cut at the end", "03 0004 0002", "83 02"},
		{"nothing there", "02 0001 0001", "82 02"},
		{"none", "03 0000 0000", "83 03"},
		{"too many", "03 0000 007e", "83 03"},
		{"too many bits", "01 0000 07d1", "81 03"},
		{"beyond the table", "03 ffff 0002", "83 02"},
		{"too short", "03 0000", "83 03"},
		{"too long", "03 0000 0001 00", "83 03"},
		{"function", "07", "87 01"},
		{"function with the exception bit", "83 0000 0001", "83 01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.usual()
			r.expect(t, c.request, c.want)
		})
	}
}

func TestMapZeroHoles(t *testing.T) {
	r := newRig(t, func(o *server.MapOptions) { o.ZeroHoles = true })
	r.usual()
	r.expect(t, "03 0005 0012", "03 24 56 78 12 34"+strings.Repeat(" 00", 26)+" 4b 65 73 73 65 6c")
	r.expect(t, "03 0008 0002", "03 04 00 00 00 00")
	r.expect(t, "03 0018 0002", "83 02") // behind the last
	r.expect(t, "03 0006 0002", "83 02") // cut
	r.expect(t, "02 0000 0002", "82 02")
	r.expect(t, "10 0007 0001 02 0000", "90 02") // nobody takes what is written there
}

func TestMapUnit(t *testing.T) {
	r := newRig(t, func(o *server.MapOptions) { o.Unit = 5 })
	r.usual()
	if got := r.ask(t, 5, "03 0003 0001"); got != "03 02 00 07" {
		t.Error(got)
	}
	for _, unit := range []byte{0, 1, 255} {
		if got := r.ask(t, unit, "03 0003 0001"); got != "83 0b" {
			t.Errorf("unit %d: %s", unit, got)
		}
	}
}

// What a point without a good reading is answered with.
func TestMapBad(t *testing.T) {
	bad := func(reason gateway.Reason) gateway.Reading {
		return gateway.Reading{Reason: reason, Time: noon}
	}
	stale := gateway.Reading{Value: gateway.String("off"), Quality: gateway.QualityStale, Time: noon.Add(-time.Minute)}
	old := gateway.Reading{Value: gateway.String("off"), Quality: gateway.QualityGood, Time: noon.Add(-3001 * time.Millisecond)}
	young := gateway.Reading{Value: gateway.String("off"), Quality: gateway.QualityGood, Time: noon.Add(-3 * time.Second)}
	for _, c := range []struct {
		name    string
		reading *gateway.Reading
		want    string
	}{
		{"no reading yet", nil, "83 0b"},
		{"not read", pointer(bad(gateway.ReasonNotRead)), "83 0b"},
		{"timeout", pointer(bad(gateway.ReasonTimeout)), "83 0b"},
		{"offline", pointer(bad(gateway.ReasonOffline)), "83 0b"},
		{"crc", pointer(bad(gateway.ReasonCRC)), "83 0b"},
		{"frame", pointer(bad(gateway.ReasonFrame)), "83 0b"},
		{"sentinel", pointer(bad(gateway.ReasonSentinel)), "83 04"},
		{"not a number", pointer(bad(gateway.ReasonNotNumber)), "83 04"},
		{"range", pointer(bad(gateway.ReasonOutOfRange)), "83 04"},
		{"exception of the device", pointer(bad("exception 2")), "83 04"},
		{"stale", &stale, "83 0b"},
		{"older than three intervals", &old, "83 0b"},
		{"three intervals old", &young, "03 02 00 00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			if c.reading != nil {
				r.Observe("pump", []gateway.Reading{*c.reading}, []time.Duration{3 * time.Second})
			}
			r.expect(t, "03 0003 0001", c.want)
		})
	}
}

func TestMapBadValue(t *testing.T) {
	r := newRig(t)
	r.expect(t, "04 0000 0002", "04 04 80 00 00 08")
	r.boiler(gateway.Float64(1), gateway.String("x"), gateway.Uint(5), gateway.Bool(true))
	r.pump(gateway.String("off"), gateway.Bool(true), gateway.Bool(false), gateway.Bytes([]byte{1, 2}))
	r.expect(t, "04 0000 0002", "04 04 00 05 00 00")
	r.now = noon.Add(time.Hour)
	r.expect(t, "04 0000 0002", "04 04 80 00 00 08")
}

// A value that the registers cannot hold is never cut or wrapped.
func TestMapValuesThatDoNotFit(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		name          string
		boiler        []gateway.Value
		request, want string
	}{
		{"scaled, too large", []gateway.Value{gateway.Float64(3276.8)}, "03 0002 0001", "83 04"},
		{"scaled, largest", []gateway.Value{gateway.Float64(3276.7)}, "03 0002 0001", "03 02 7f ff"},
		{"scaled, smallest", []gateway.Value{gateway.Float64(-3276.8)}, "03 0002 0001", "03 02 80 00"},
		{"scaled, too small", []gateway.Value{gateway.Float64(-3276.9)}, "03 0002 0001", "83 04"},
		{"beyond float32", []gateway.Value{gateway.Float64(1e39)}, "03 0000 0002", "83 04"},
		{"good again", []gateway.Value{gateway.Float64(1)}, "03 0000 0003", "03 06 3f 80 00 00 00 0a"},
		{"negative in unsigned", []gateway.Value{gateway.Float64(1), gateway.String("x"), gateway.Int(-1)}, "03 0005 0002", "83 04"},
		{"text too long", []gateway.Value{gateway.Float64(1), gateway.String("Heizkessel")}, "03 0014 0003", "83 04"},
	} {
		r.boiler(c.boiler...)
		if got := r.ask(t, 1, c.request); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	r.pump(gateway.String("9")) // a state of a newer device has no name
	r.expect(t, "03 0003 0001", "03 02 00 09")
	r.pump(gateway.String("nonsense"))
	r.expect(t, "03 0003 0001", "83 04")
}

func TestMapWrites(t *testing.T) {
	for _, c := range []struct{ name, request, want, set string }{
		{"coil on", "05 0008 ff00", "05 00 08 ff 00", "boiler on=true"},
		{"coil off", "05 0008 0000", "05 00 08 00 00", "boiler on=false"},
		{"coil between", "05 0008 0100", "85 03", ""},
		{"register", "06 0002 00d8", "06 00 02 00 d8", "boiler setpoint=21.6"},
		{"whole number of a float", "06 0002 00dc", "06 00 02 00 dc", "boiler setpoint=22"},
		{"float", "10 0000 0002 04 41ae6666", "10 00 00 00 02", "boiler setpoint=21.8"},
		{"name", "06 0003 0001", "06 00 03 00 01", "pump state=manual"},
		{"number without a name", "06 0003 0002", "86 03", ""},
		{"order", "10 0005 0002 04 56781234", "10 00 05 00 02", "boiler count=305419896"},
		{"text", "10 0014 0003 06 616263000000", "10 00 14 00 03", "boiler name=abc"},
		{"bytes as base64", "06 0017 cafe", "06 00 17 ca fe", "pump raw=yv4="},
		{"all bits", "06 0004 8000", "06 00 04 80 00", "pump run=false fault=true"},
		{"a bit of nobody", "06 0004 0002", "86 03", ""},
		{"in the order of registers", "10 0002 0003 06 000a 0007 0001", "10 00 02 00 03", "boiler setpoint=1; pump state=automatic run=true fault=false"},
		{
			"devices in turns", "10 0000 0007 0e 3f800000 000a 0000 8001 00010000", "10 00 00 00 07",
			"boiler setpoint=1 setpoint=1; pump state=off run=true fault=true; boiler count=1",
		},
		{"coils", "0f 0008 0002 01 02", "0f 00 08 00 02", "boiler on=false; pump run=true"},
		{"coils, one not writable", "0f 0008 0003 01 07", "8f 02", ""},
		{"not writable", "06 0018 0001", "86 02", ""},
		{"half a value", "06 0000 0001", "86 03", ""},
		{"half a value, second", "06 0001 0001", "86 03", ""},
		{"half of one of two", "10 0002 0004 08 000a000000000000", "90 03", ""},
		{"hole", "06 0008 0001", "86 02", ""},
		{"across a hole", "10 0005 0003 06 000000000000", "90 02", ""},
		{"not a number", "10 0000 0002 04 7fc00000", "90 03", ""},
		{"mask of bits", "16 0004 7fff ffff", "16 00 04 7f ff ff ff", "pump fault=true"},
		{"mask of bits, both", "16 0004 7ffe 0000", "16 00 04 7f fe 00 00", "pump run=false fault=false"},
		{"mask of a bit of nobody", "16 0004 fffd 0002", "96 03", ""},
		{"mask of a register", "16 0002 ff00 0001", "16 00 02 ff 00 00 01", "boiler setpoint=0.1"},
		{"mask of half a value", "16 0000 0000 0000", "96 03", ""},
		{"write and read", "17 0003 0002 0002 0001 02 00dc", "17 04 00 07 00 01", "boiler setpoint=22"},
		{"write and read a hole", "17 0007 0001 0002 0001 02 00dc", "97 02", ""},
		{"no registers", "10 0002 0000 00", "90 03", ""},
		{"too many", "10 0000 007c f8" + strings.Repeat("00", 248), "90 03", ""},
		{"wrong byte count", "10 0002 0001 04 00000000", "90 03", ""},
		{"short", "10 0002 0001 02 00", "90 03", ""},
		{"coils, byte count", "0f 0008 0002 02 0200", "8f 03", ""},
		{"mask, short", "16 0004 7fff", "96 03", ""},
		{"write and read, short", "17 0003 0002 0002 0001", "97 03", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.usual()
			r.expect(t, c.request, c.want)
			if got := strings.Join(r.plant.set, "; "); got != c.set {
				t.Errorf("set %q, want %q", got, c.set)
			}
		})
	}
}

// A mask write of a register whose content is not known cannot keep it.
func TestMapMaskOfABadPoint(t *testing.T) {
	r := newRig(t)
	r.expect(t, "16 0002 ff00 0001", "96 0b")
	r.expect(t, "16 0004 7fff ffff", "16 00 04 7f ff ff ff") // bits are written each alone
	if len(r.plant.set) != 1 {
		t.Error(r.plant.set)
	}
}

func TestMapWriteErrors(t *testing.T) {
	const both = "10 0002 0002 04 000a 0007" // boiler, then pump
	for _, c := range []struct {
		name      string
		plant     plant
		want, set string
	}{
		{"second refused", plant{check: map[string]error{"pump": fmt.Errorf("%w: too high", server.IllegalValue)}}, "90 03", ""},
		{"first fails", plant{fail: map[string]error{"boiler": fmt.Errorf("%w: silent", server.TargetFailed)}}, "90 0b", "boiler setpoint=1"},
		{"second is busy", plant{fail: map[string]error{"pump": server.DeviceBusy}}, "90 06", "boiler setpoint=1; pump state=automatic"},
		{"another error", plant{fail: map[string]error{"boiler": errors.New("noise")}}, "90 04", "boiler setpoint=1"},
		{"never answered", plant{deadline: true}, "90 0b", "boiler setpoint=1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(o *server.MapOptions) { o.WriteTimeout = time.Millisecond })
			*r.plant = c.plant
			r.expect(t, both, c.want)
			if got := strings.Join(r.plant.set, "; "); got != c.set {
				t.Errorf("set %q, want %q", got, c.set)
			}
		})
	}
}

func TestMapIdentification(t *testing.T) {
	text := func(s string) string { return fmt.Sprintf("%02x % x", len(s), s) }
	basic := "00 " + text("Tidegate") + " 01 " + text("tidegate") + " 02 " + text("1.2.3")
	for _, c := range []struct{ name, request, want string }{
		{"basic", "2b 0e 01 00", "2b 0e 01 82 00 00 03 " + basic},
		{"regular", "2b 0e 02 00", "2b 0e 02 82 00 00 04 " + basic + " 06 " + text("plc")},
		{"extended", "2b 0e 03 00", "2b 0e 03 82 00 00 04 " + basic + " 06 " + text("plc")},
		{"from the version on", "2b 0e 02 02", "2b 0e 02 82 00 00 02 02 " + text("1.2.3") + " 06 " + text("plc")},
		{"from what is not there", "2b 0e 01 80", "2b 0e 01 82 00 00 03 " + basic},
		{"one", "2b 0e 04 02", "2b 0e 04 82 00 00 01 02 " + text("1.2.3")},
		{"one that is not there", "2b 0e 04 05", "ab 02"},
		{"way", "2b 0e 05 00", "ab 03"},
		{"short", "2b 0e 01", "ab 03"},
		{"another interface", "2b 0d 00 00", "ab 01"},
		{"nothing", "2b", "ab 01"},
	} {
		t.Run(c.name, func(t *testing.T) { newRig(t).expect(t, c.request, c.want) })
	}
	long := strings.Repeat("x", 300)
	r := newRig(t, func(o *server.MapOptions) { o.Identity = server.Identity{long, long, long, long} })
	if n := len(r.Serve(t.Context(), 1, []byte{43, 14, 3, 0})); n > 253 {
		t.Errorf("answer has %d bytes", n)
	}
}

func TestMapRefusesRegisters(t *testing.T) {
	number := func(offset uint16, typ modbus.Type) server.Register {
		return server.Register{Layout: modbus.Point{Address: at(modbus.Holding, offset), Type: typ}, Device: "d", Point: "p"}
	}
	bit := func(offset uint16, n int) server.Register {
		r := number(offset, 0)
		r.Bit = &n
		return r
	}
	writable := number(0, modbus.Uint16)
	writable.Writable = true
	for _, c := range []struct {
		name string
		list []server.Register
		want string
	}{
		{"overlap", []server.Register{number(3, modbus.Uint16), number(2, modbus.Uint32)}, "register of"},
		{"same", []server.Register{number(3, modbus.Uint16), number(3, modbus.Uint16)}, "register of"},
		{"bit of a number", []server.Register{number(3, modbus.Uint16), bit(3, 0)}, "register of"},
		{"bit twice", []server.Register{bit(3, 5), bit(3, 5)}, "bit 5 twice"},
		{"bit", []server.Register{bit(3, 16)}, "outside 0 to 15"},
		{"type", []server.Register{number(3, modbus.Bool)}, "bool"},
		{"end", []server.Register{number(65535, modbus.Uint32)}, "no second register"},
		{"nobody to write", []server.Register{writable}, "nobody to write"},
	} {
		if _, err := server.NewMap(server.MapOptions{Registers: c.list}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// What stands in for a value that is not known is no content that a mask write could keep.
func TestMapMaskOfABadValue(t *testing.T) {
	r := newRig(t, func(o *server.MapOptions) {
		o.Registers[1].Bad, o.Registers[1].Writable = pointer(uint64(0x8000)), true
	})
	r.expect(t, "03 0002 0001", "03 02 80 00")
	r.expect(t, "16 0002 ff00 0001", "96 0b")
	if len(r.plant.set) != 0 {
		t.Errorf("the device was sent %v", r.plant.set)
	}
	r.usual()
	r.expect(t, "16 0002 ff00 0001", "16 00 02 ff 00 00 01")
	r.now = noon.Add(time.Hour)
	r.expect(t, "16 0002 ff00 0001", "96 0b")
}

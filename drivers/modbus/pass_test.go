package modbus

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// pdu reads hexadecimal.
func pdu(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRequestsThatAreNotPassedOn(t *testing.T) {
	for name, tc := range map[string]struct {
		request string
		want    byte
	}{
		"FunctionZero":        {"00", 1},
		"FunctionOfException": {"83 02", 1},
		"ReadShort":           {"03 00 00 00", 3},
		"ReadLong":            {"03 00 00 00 01 00", 3},
		"ReadNothing":         {"03 00 00 00 00", 3},
		"ReadTooManyWords":    {"04 00 00 00 7e", 3},
		"ReadTooManyBits":     {"01 00 00 07 e0", 3},
		"WriteCoilShort":      {"05 00 00 ff", 3},
		"WriteCoilsEmpty":     {"0f 00 00 00 00 00", 3},
		"WriteByteCount":      {"10 00 00 00 01 02 00", 3},
		"WriteNoByteCount":    {"10 00 00 00 01", 3},
		"MaskShort":           {"16 00 00 00 00 00", 3},
		"ReadWriteByteCount":  {"17 00 00 00 01 00 00 00 01 02 00", 3},
		"ReadWriteTooMany":    {"17 00 00 00 7e 00 00 00 01 02 00 00", 3},
		"StatusWithData":      {"07 00", 3},
		"DiagnosticsShort":    {"08 00", 3},
		"FileByteCount":       {"14 07 06 00 04 00 01 00", 3},
		"FileWithoutData":     {"15", 3},
		"FIFOLong":            {"18 00 00 00", 3},
		"IdentificationLong":  {"2b 0e 01 00 00", 3},
		"EncapsulatedEmpty":   {"2b", 3},
		"TooLong":             {"41" + strings.Repeat("00", 253), 1},

		"ReadWords":        {"03 00 00 00 7d", 0},
		"ReadBits":         {"01 00 00 07 d0", 0},
		"WriteCoils":       {"0f 00 00 00 0a 02 ff 03", 0},
		"ReadWrite":        {"17 00 00 00 7d 00 00 00 01 02 00 00", 0},
		"Identification":   {"2b 0e 01 00", 0},
		"CANopen":          {"2b 0d 00 00", 0},
		"UserDefined":      {"41", 0},
		"UserDefinedOfAll": {"41" + strings.Repeat("00", 252), 0},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := newForeign(pdu(t, tc.request)); got != tc.want {
				t.Errorf("newForeign(%s): exception %d, want %d", tc.request, got, tc.want)
			}
		})
	}
}

func TestSilentUnitsTakeATwentiethOfTheTime(t *testing.T) {
	const cost = time.Second
	for _, units := range []int{1, 5, 100} {
		var s silences
		start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		now, waited := start, time.Duration(0)
		begun := start.Add(time.Duration(2*units) * cost * silentShare) // when the pauses have found their length
		for now.Sub(begun) < 20*time.Duration(units)*cost*silentShare {
			for u := range units {
				if s.mayAsk(byte(u), now) {
					now = now.Add(cost)
					s.unheard(byte(u), now, cost)
					if now.After(begun) {
						waited += cost
					}
				}
			}
			now = now.Add(cost / 10)
		}
		if share := float64(waited) / float64(now.Sub(begun)); share > 0.0501 || share < 0.04 {
			t.Errorf("%d silent units take %.2f %% of the time, want 5 %%", units, 100*share)
		}
	}
}

func TestSilences(t *testing.T) {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	var s silences
	may := func(what string, unit byte, want bool) {
		t.Helper()
		if got := s.mayAsk(unit, now); got != want {
			t.Errorf("%s: mayAsk(%d) = %v", what, unit, got)
		}
	}
	may("never asked", 1, true)
	s.unheard(1, now, time.Second)
	may("never heard", 1, false)
	may("another", 2, true)
	now = now.Add(18 * time.Second)
	may("almost", 1, false)
	now = now.Add(time.Second)
	may("again", 1, true)

	s.heard(2)
	s.unheard(2, now, time.Second)
	may("one answer lost", 2, true)
	s.unheard(2, now, time.Second)
	may("two answers lost", 2, false)
	now = now.Add(38 * time.Second)
	may("two silent units", 2, false)
	s.heard(2)
	may("heard by a poll", 2, true)

	s.unheard(3, now, time.Second)
	s.forget()
	may("the port is another one", 3, true)

	for u := range 200 {
		s.unheard(byte(u), now, time.Second)
	}
	now = now.Add(2 * silentAsked) // a scan that is over
	s.unheard(250, now, time.Second)
	now = now.Add(19 * time.Second)
	may("after a scan", 250, true)
}

func TestTouchedGroups(t *testing.T) {
	slow := func(p []Point) []Point {
		for i := range p {
			p[i].Interval = time.Minute
		}
		return p
	}
	long := Point{Point: gateway.Point{Name: "long"}, Address: Address{Holding, 20}, Type: Uint32}
	coil := Point{Point: gateway.Point{Name: "coil"}, Address: Address{Coil, 5}, Type: Bool}
	d := newTestDriver(t, Options{Bus: tcpBus("127.0.0.1:1"), Framing: FramingRTU, Devices: []Device{
		{Name: "a", Unit: 1, Interval: time.Second, Points: append(append(holding(0, 1), long), slow(holding(10))...)},
		{Name: "b", Unit: 2, Interval: time.Second, Points: append(holding(0), coil)},
		{Name: "c", Unit: 1, Interval: time.Second, Points: holding(10)},
	}})
	for _, tc := range []struct {
		unit    byte
		request string
		want    []GroupRef
	}{
		{1, "06 00 00 00 07", []GroupRef{{0, 0}}},
		{1, "06 00 02 00 07", nil},
		{1, "06 00 15 00 07", []GroupRef{{0, 0}}}, // the second half of long
		{1, "06 00 16 00 07", nil},
		{1, "06 00 0a 00 07", []GroupRef{{0, 1}, {2, 0}}},
		{1, "16 00 0a 00 00 00 07", []GroupRef{{0, 1}, {2, 0}}},
		{1, "10 00 09 00 02 04 00 01 00 02", []GroupRef{{0, 1}, {2, 0}}},
		{1, "10 00 0b 00 0a 14" + strings.Repeat("00", 20), []GroupRef{{0, 0}}},
		{1, "17 00 0a 00 01 00 00 00 01 02 00 07", []GroupRef{{0, 0}}},
		{2, "05 00 05 ff 00", []GroupRef{{1, 0}}},
		{2, "05 00 00 ff 00", nil},
		{2, "0f 00 00 00 06 01 3f", []GroupRef{{1, 0}}},
		{3, "06 00 00 00 07", nil},
		{0, "06 00 00 00 07", []GroupRef{{0, 0}, {1, 0}}},
		{1, "03 00 00 00 07", nil},
		{1, "41 00 00 00 07", nil},
	} {
		q, code := newForeign(pdu(t, tc.request))
		if got := d.touched(tc.unit, tc.unit == 0, q); code != 0 || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("unit %d, %s: got %v, want %v", tc.unit, tc.request, got, tc.want)
		}
	}
}

// Whatever another master asks and whatever then comes: no panic, and what is taken for the answer is a frame of that unit and function.
func FuzzPassed(f *testing.F) {
	f.Add(pdu(f, "03 00 00 00 01"), pdu(f, "03 02 00 07"), pdu(f, ""), uint8(0))
	f.Add(pdu(f, "03 00 00 00 01"), pdu(f, "03"), pdu(f, ""), uint8(1)) // a function and nothing else
	f.Add(pdu(f, "11"), pdu(f, "11 03 41 42 ff"), pdu(f, "00"), uint8(1))
	f.Add(pdu(f, "41 01"), pdu(f, "41 02 03"), pdu(f, "09 41"), uint8(0))
	f.Add(pdu(f, "2b 0d 01"), pdu(f, "2b 0d 02 03"), pdu(f, "09"), uint8(2))
	f.Add(pdu(f, "18 00 00"), pdu(f, "18 ff ff 00 00"), pdu(f, "09"), uint8(0))
	f.Fuzz(func(t *testing.T, request, answer, noise []byte, kind uint8) {
		q, code := newForeign(request)
		if code != 0 || len(answer) == 0 || len(answer) > maxPDU || len(noise) > 500 {
			return
		}
		framing := []framing{newRTUFraming(), newASCIIFraming(), newTCPFraming()}[kind%3]
		frame, err := framing.encode(9, q)
		if err != nil {
			t.Fatalf("% x: %v", request, err)
		}
		if framing.expect(q) < 4 {
			t.Fatalf("% x: expect %d", request, framing.expect(q))
		}
		sent, err := framing.encode(9, fromPDU(answer))
		if err != nil {
			t.Fatal(err)
		}
		received := append(bytes.Clone(noise), sent...)
		if framing.tagged() {
			copy(sent[:2], frame[:2])
			received = sent
		}
		reply := framing.reply(frame, q)
		found, err := reply.find(received)
		if err != nil || found.Frame == nil {
			reply.blame(received)
			return
		}
		got, err := framing.decode(frame, found.Frame)
		if err != nil {
			t.Fatalf("find() took % x: %v", found.Frame, err)
		}
		if fn := got.FunctionCode &^ exceptionBit; fn != q.function && !framing.tagged() {
			t.Fatalf("% x was taken for the answer to % x", found.Frame, request)
		}
	})
}

// fromPDU makes a request of a whole protocol data unit.
func fromPDU(pdu []byte) request { return request{function: pdu[0], data: pdu[1:]} }

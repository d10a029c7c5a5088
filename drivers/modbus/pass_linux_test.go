package modbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/bus/bustest"
	"github.com/tidegate/tidegate/drivers/bus/trace"
	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
)

// conversations have every function of the specification, and some that are not in it.
var conversations = []struct{ name, request, answer string }{
	{"ReadCoils", "01 00 00 00 0a", "01 02 ff 03"},
	{"ReadRegisters", "03 00 00 00 02", "03 04 00 01 00 02"},
	{"Exception", "04 00 00 00 02", "84 02"},
	{"WriteCoil", "05 00 03 ff 00", "05 00 03 ff 00"},
	{"WriteRegister", "06 00 03 00 07", "06 00 03 00 07"},
	{"ExceptionStatus", "07", "07 6d"},
	{"ReturnQueryData", "08 00 00 a5 37", "08 00 00 a5 37"},
	{"DiagnosticCounter", "08 00 0b 00 00", "08 00 0b 00 2a"},
	{"EventCounter", "0b", "0b ff ff 01 08"},
	{"EventLog", "0c", "0c 08 00 00 01 08 01 21 20 00"},
	{"WriteCoils", "0f 00 13 00 0a 02 cd 01", "0f 00 13 00 0a"},
	{"WriteRegisters", "10 00 01 00 02 04 00 0a 01 02", "10 00 01 00 02"},
	{"ServerID", "11", "11 05 54 69 64 65 ff"},
	{"ReadFile", "14 07 06 00 04 00 01 00 02", "14 06 05 06 0d fe 00 20"},
	{"WriteFile", "15 09 06 00 04 00 07 00 01 06 af", "15 09 06 00 04 00 07 00 01 06 af"},
	{"MaskWrite", "16 00 04 00 f2 00 25", "16 00 04 00 f2 00 25"},
	{"ReadWrite", "17 00 03 00 02 00 0e 00 01 02 00 ff", "17 04 00 fe 0a cd"},
	{"FIFO", "18 04 de", "18 00 06 00 02 01 b8 12 84"},
	{"Identification", "2b 0e 01 00", "2b 0e 01 01 00 00 01 00 02 41 42"},
	{"CANopen", "2b 0d 01 02 03", "2b 0d 09 08"},
	{"UserDefined", "41 01 02", "41 09 08 07 06 05 04 03 02 01"},
	{"UserDefinedLong", "6e 01", "6e" + strings.Repeat(" 55", 252)},
	{"UserDefinedException", "42 01", "c2 01"},
	{"GatewayNoReply", "03 00 00 00 01", "83 0b"},
}

// wraps are the frames of each framing, as hexadecimal.
var wraps = map[string]func(transaction int, unit byte, pdu []byte) string{
	"RTU": func(_ int, unit byte, pdu []byte) string {
		frame := append([]byte{unit}, pdu...)
		return fmt.Sprintf("%x", binary.LittleEndian.AppendUint16(frame, crc16(frame)))
	},
	"ASCII": func(_ int, unit byte, pdu []byte) string {
		sum := unit
		for _, c := range pdu {
			sum += c
		}
		return fmt.Sprintf("%x", fmt.Sprintf(":%02X%X%02X\r\n", unit, pdu, -sum))
	},
	"TCP": func(transaction int, unit byte, pdu []byte) string {
		return fmt.Sprintf("%04x0000%04x%02x%x", transaction, 1+len(pdu), unit, pdu)
	},
}

func TestPass(t *testing.T) {
	for framing, wrap := range wraps {
		t.Run(framing, func(t *testing.T) {
			var ops []bustest.IO
			for i, c := range conversations {
				ops = append(ops, bustest.IO{W: wrap(i+1, 9, pdu(t, c.request)), R: wrap(i+1, 9, pdu(t, c.answer))})
			}
			o := Options{Timeout: hangs}
			switch framing {
			case "TCP":
				o.Bus = tcpBus(bustest.PlayTCP(t, ops))
			case "ASCII":
				o.Framing = FramingASCII
				fallthrough
			default:
				o.Bus = rtuBus(bustest.PlayLine(t, ops))
			}
			d := newTestDriver(t, o)
			for _, c := range conversations {
				answer, _, err := d.Pass(t.Context(), 9, pdu(t, c.request))
				if want := fmt.Sprintf("% x", pdu(t, c.answer)); err != nil || fmt.Sprintf("% x", answer) != want {
					t.Fatalf("%s: got % x, %v\nwant %s", c.name, answer, err, want)
				}
			}
			s := d.Stats()
			if s.Requests != uint64(len(conversations)) || s.Exception != 3 || s.Timeouts != 0 || s.Errors != 0 {
				t.Errorf("Stats() = %+v", s)
			}
		})
	}
}

// The adapter hears what it sends, and some answers are the same as their requests.
func TestPassOnALineThatEchoes(t *testing.T) {
	var ops []bustest.IO
	wrap := wraps["RTU"]
	for _, c := range conversations {
		request := wrap(0, 9, pdu(t, c.request))
		ops = append(ops, bustest.IO{W: request, R: request + wrap(0, 9, pdu(t, c.answer))})
	}
	d := newTestDriver(t, Options{Bus: rtuBus(bustest.PlayLine(t, ops)), Timeout: hangs})
	for _, c := range conversations {
		answer, _, err := d.Pass(t.Context(), 9, pdu(t, c.request))
		if want := fmt.Sprintf("% x", pdu(t, c.answer)); err != nil || fmt.Sprintf("% x", answer) != want {
			t.Fatalf("%s: got % x, %v\nwant %s", c.name, answer, err, want)
		}
	}
}

// An answer of unknown length comes behind noise and in pieces, of which the first would be a whole frame.
func TestPassedAnswerInPieces(t *testing.T) {
	pty := bustest.NewPTY(t)
	release := pty.Hold()
	ended := make(chan struct{})
	begin := pdu(t, wraps["RTU"](0, 9, pdu(t, "41 09")))
	want := fmt.Sprintf("%x05040302", begin[1:])
	frame := pdu(t, wraps["RTU"](0, 9, pdu(t, want)))
	go func() {
		defer close(ended)
		if _, err := io.ReadFull(pty.Master, make([]byte, 5)); err != nil {
			return
		}
		for _, piece := range [][]byte{{0x09, 0x00}, frame[:1], frame[1:len(begin)], frame[len(begin):]} {
			<-time.After(5 * time.Millisecond)
			if _, err := pty.Master.Write(piece); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		pty.Unplug()
		<-ended
		release()
	})
	d := newTestDriver(t, Options{Bus: rtuBus(pty.Port), Timeout: hangs})
	answer, _, err := d.Pass(t.Context(), 9, pdu(t, "41 07"))
	if got := fmt.Sprintf("%x", answer); got != want || err != nil {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

// passRig is a driver that polls unit 1 on a line of two simulated slaves, and the line.
func passRig(t testing.TB, timeout time.Duration) (*Driver, *simtest.RTUEndpoint, map[byte]*sim.Unit) {
	units := map[byte]*sim.Unit{}
	for _, id := range []byte{1, 2} {
		units[id] = sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 125}}})
		if err := units[id].Set(sim.HoldingRegisters, 0, 100+uint16(id), 200+uint16(id)); err != nil {
			t.Fatal(err)
		}
	}
	line := simtest.RTU(t, units, sim.SlaveOptions{})
	d := newTestDriver(t, Options{
		Bus: rtuBus(line.Port), Timeout: timeout,
		Devices: []Device{{Name: "d", Unit: 1, Timeout: timeout, Points: holding(0, 1)}},
	})
	return d, line, units
}

func wantPass(t testing.TB, d *Driver, unit byte, request, want string) {
	t.Helper()
	answer, _, err := d.Pass(t.Context(), unit, pdu(t, request))
	if got := fmt.Sprintf("%x", answer); err != nil || got != strings.ReplaceAll(want, " ", "") {
		t.Errorf("unit %d, %s: got %s, %v, want %s", unit, request, got, err, want)
	}
}

func wantNoPass(t testing.TB, d *Driver, unit byte, request string, want error) {
	t.Helper()
	if answer, _, err := d.Pass(t.Context(), unit, pdu(t, request)); answer != nil || !errors.Is(err, want) {
		t.Errorf("unit %d, %s: got % x, %v, want %v", unit, request, answer, err, want)
	}
}

const patient = 300 * time.Millisecond

func TestPassedFaults(t *testing.T) {
	for name, fault := range map[string]sim.Fault{
		"NoAnswer": sim.NoAnswer(), "BadCRC": sim.BadCRC(), "WrongUnit": sim.WrongUnit(7), "WrongFunction": sim.WrongFunction(4), "Short": sim.ShortAnswer(1),
	} {
		t.Run(name, steadily(func(t testing.TB) {
			d, _, units := passRig(t, patient)
			wantPass(t, d, 2, "03 00 00 00 02", "03 04 00 66 00 ca")
			units[2].Inject(fault, 1)
			wantNoPass(t, d, 2, "03 00 00 00 02", ErrNoAnswer)
			wantPass(t, d, 2, "03 00 00 00 02", "03 04 00 66 00 ca")
			wantValues(t, d, 0, "101 201")
		}))
	}
}

// A late answer to one request is not taken for that to the next one, whoever asked.
func TestPassedLateAnswer(t *testing.T) {
	steady(t, func(t testing.TB) {
		d, _, units := passRig(t, patient)
		wantPass(t, d, 1, "03 00 00 00 01", "03 02 00 65")
		units[1].Inject(sim.Late(patient+patient/2), 1)
		wantNoPass(t, d, 1, "03 00 00 00 01", ErrNoAnswer)
		wantPass(t, d, 1, "03 00 01 00 01", "03 02 00 c9")
		units[1].Inject(sim.Late(patient+patient/2), 1)
		wantNoPass(t, d, 1, "03 00 7b 00 02", ErrNoAnswer) // two registers, as the poll asks for
		wantValues(t, d, 0, "101 201")
	})
}

func TestPassOnALineThatIsUnplugged(t *testing.T) {
	steady(t, func(t testing.TB) {
		d, line, _ := passRig(t, patient)
		wantPass(t, d, 2, "03 00 00 00 01", "03 02 00 66")
		line.Unplug()
		wantNoPass(t, d, 2, "03 00 00 00 01", ErrOffline)
		wantNoPass(t, d, 77, "03 00 00 00 01", ErrOffline)
		line.Plug()
		within(t, "an answer after the port is back", func() bool {
			answer, _, err := d.Pass(t.Context(), 2, pdu(t, "03 00 00 00 01"))
			return err == nil && len(answer) == 4
		})
	})
}

func TestPassedBroadcast(t *testing.T) {
	steady(t, func(t testing.TB) {
		d, _, units := passRig(t, patient)
		answer, changed, err := d.Pass(t.Context(), 0, pdu(t, "06 00 00 00 07"))
		if answer != nil || err != nil || len(changed) != 1 {
			t.Errorf("got % x, %v, %v", answer, changed, err)
		}
		for id, u := range units {
			if got, err := u.Get(sim.HoldingRegisters, 0, 1); err != nil || got[0] != 7 {
				t.Errorf("unit %d has %v, %v", id, got, err)
			}
		}
		wantPass(t, d, 0, "03 00 00 00 01", "83 0b")
		wantValues(t, d, 0, "7 201")
	})
}

// A master asks a unit that is not there, again and again: it is asked once, and again after 19 times as long; polls go on.
func TestPassToASilentUnit(t *testing.T) {
	steady(t, func(t testing.TB) {
		d, _, _ := passRig(t, patient)
		const tries = 2000
		start := time.Now()
		for range tries {
			wantNoPass(t, d, 77, "03 00 00 00 01", ErrNoAnswer)
		}
		asked, most := d.client.requests.Load(), 1+time.Since(start)/(19*patient)
		if asked < 1 || time.Duration(asked) > most {
			t.Errorf("%d tries: the unit was asked %d times, want %d at most", tries, asked, most)
		}
		wantValues(t, d, 0, "101 201")
		wantPass(t, d, 2, "03 00 00 00 01", "03 02 00 66")
	})
}

// A gateway on the way that does not reach the unit takes as much time as silence does.
func TestPassToAUnitBehindAnotherGateway(t *testing.T) {
	steady(t, func(t testing.TB) {
		d, _, units := passRig(t, patient)
		units[2].Inject(sim.ExceptionAnswer(11), -1)
		wantPass(t, d, 2, "03 00 00 00 01", "83 0b")
		if d.client.silent.mayAsk(2, time.Now().Add(-time.Second)) {
			t.Error("the unit may be asked again at once")
		}
	})
}

// A unit that a poll has heard, and one on a port that is another one by now, need not wait.
func TestSilentUnitComesBack(t *testing.T) {
	steady(t, func(t testing.TB) {
		d, line, units := passRig(t, patient)
		units[1].Inject(sim.NoAnswer(), 1)
		wantNoPass(t, d, 1, "03 00 00 00 01", ErrNoAnswer)
		wantNoPass(t, d, 1, "03 00 00 00 01", ErrNoAnswer)
		wantValues(t, d, 0, "101 201")
		wantPass(t, d, 1, "03 00 00 00 01", "03 02 00 65")

		units[2].Inject(sim.NoAnswer(), 1)
		wantNoPass(t, d, 2, "03 00 00 00 01", ErrNoAnswer)
		wantNoPass(t, d, 2, "03 00 00 00 01", ErrNoAnswer)
		line.Unplug()
		if _, errs := poll(t, d, 0); len(errs) == 0 {
			t.Error("a poll on a line that is unplugged")
		}
		if !d.client.silent.mayAsk(2, time.Now()) {
			t.Error("the unit may not be asked on another port")
		}
		line.Plug()
		within(t, "an answer of the other unit", func() bool {
			_, _, err := d.Pass(t.Context(), 2, pdu(t, "03 00 00 00 01"))
			return err == nil
		})
	})
}

// Where nothing is polled nobody else needs the time.
func TestPassOnABusWithoutDevices(t *testing.T) {
	o := Options{Bus: rtuBus(simtest.RTU(t, map[byte]*sim.Unit{}, sim.SlaveOptions{}).Port), Timeout: 20 * time.Millisecond}
	var sent []string
	o.Bus.Trace = func(x trace.Exchange) { sent = append(sent, fmt.Sprintf("% x", x.Sent)) }
	d := newTestDriver(t, o)
	for range 3 {
		wantNoPass(t, d, 77, "03 00 00 00 01", ErrNoAnswer)
	}
	// What the bus has sent, and not what the other end has read: the port throws away what is unread when the time is up.
	if want := slices.Repeat([]string{fmt.Sprintf("% x", raw(t, "| 4d 03 00 00 00 01 crc"))}, 3); !slices.Equal(sent, want) {
		t.Errorf("sent %q, want %q", sent, want)
	}
}

// Real slaves are asked with functions that the gateway does not use.
func TestPassToPeers(t *testing.T) {
	for name, command := range map[string]func(testing.TB) []string{"Pymodbus": pymodbus, "Libmodbus": libmodbus} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := command(t)
			ours, theirs := ptyPair(t)
			start(t, cmd[0], append(cmd[1:], "rtu", theirs, "115200")...)
			d := newTestDriver(t, Options{Bus: rtuBus(ours), Timeout: hangs, Devices: []Device{{Name: "peer", Timeout: time.Second, Points: holding(5)}}})
			within(t, "the first answer of the peer", func() bool {
				readings, _ := poll(t, d, 0)
				return values(readings) == "5"
			})
			d.devices[0].timeout = hangs // it is there
			for _, c := range []struct{ request, pymodbus, libmodbus string }{
				{"03 00 02 00 02", "03 04 00 02 00 03", "03 04 00 02 00 03"},
				{"03 00 63 00 02", "83 02", "83 02"},
				{"07", "07 00", ""}, // libmodbus does not answer what it does not know
				{"08 00 00 a5 37", "08 00 00 a5 37", ""},
				{"11", "11 14", "11 0a"},
				{"16 00 04 00 f2 00 25", "16 00 04 00 f2 00 25", "16 00 04 00 f2 00 25"},
				{"17 00 03 00 02 00 0e 00 01 02 00 ff", "17 04 00 03 00 05", "17 04 00 03 00 05"},
				{"2b 0e 01 00", "2b 0e 01", ""},
			} {
				want := map[string]string{"Pymodbus": c.pymodbus, "Libmodbus": c.libmodbus}[name]
				if want == "" {
					continue
				}
				answer, _, err := d.Pass(t.Context(), 1, pdu(t, c.request))
				if got := fmt.Sprintf("% x", answer); err != nil || !strings.HasPrefix(got, want) {
					t.Errorf("%s: got %s, %v, want %s", c.request, got, err, want)
				}
			}
			wantValues(t, d, 0, "5")
		})
	}
}

package modbus

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// raw reads hexadecimal with spaces; "crc" stands for the check sum of what is before it since the last "|", a mark that is left out.
func raw(t testing.TB, s string) []byte {
	t.Helper()
	var out []byte
	start := 0
	for _, word := range strings.Fields(s) {
		switch word {
		case "|":
			start = len(out)
		case "crc":
			sum := crc16(out[start:])
			out = append(out, byte(sum), byte(sum>>8))
		default:
			b, err := hex.DecodeString(word)
			if err != nil {
				t.Fatalf("%q: %v", word, err)
			}
			out = append(out, b...)
		}
	}
	return out
}

// read2 is the request for two holding registers of unit 1, and good2 the right answer.
const (
	read2 = "01 03 00 10 00 02 c5 ce"
	good2 = "| 01 03 04 00 0a 01 02 crc"
	set1  = "| 01 06 00 10 00 07 crc"
)

var (
	askRead2 = newRead(Address{Holding, 0x10}, 2)
	askSet1  = newRegisterWrite(0x10, []byte{0, 7})
	askCoil  = newCoilWrite(3, true)
	askSet2  = newRegisterWrite(0x10, []byte{0, 1, 0, 2})
	askBits  = newRead(Address{Discrete, 0}, 9)
)

// The example of Modbus over Serial Line V1.02, appendix B, and others taken from devices.
func TestCRC(t *testing.T) {
	for _, s := range []string{"02 07 41 12", "01 03 00 00 00 0a c5 cd", "01 03 00 10 00 02 c5 ce", "01 83 02 c0 f1"} {
		if b := raw(t, s); !checksumOK(b) {
			t.Errorf("check sum of % x is wrong", b)
		}
	}
}

func newTestReply(t testing.TB, q request) *rtuReply {
	t.Helper()
	f := newRTUFraming()
	frame, err := f.encode(1, q)
	if err != nil {
		t.Fatal(err)
	}
	return newRTUReply(f, frame, q)
}

func TestRTUReply(t *testing.T) {
	for _, tc := range []struct {
		name     string
		q        request
		received string
		want     string // the frame; "" when there is none
		damaged  bool
	}{
		{"Nothing", askRead2, "", "", false},
		{"Answer", askRead2, good2, good2, false},
		{"NoiseBefore", askRead2, "00 " + good2, good2, false},
		{"NoiseThatLooksLikeTheUnit", askRead2, "01 " + good2, good2, false},
		{"NoiseThatLooksLikeAHeader", askRead2, "01 03 04 " + good2, good2, false},
		{"NoiseThatLooksLikeAnException", askRead2, "01 83 02 " + good2, good2, false},
		{"NoiseBehind", askRead2, good2 + " 00 ff", good2, false},
		{"DamagedCopyBefore", askRead2, "01 03 04 00 0a 01 02 00 00 " + good2, good2, false},
		{"ForeignFrameBefore", askRead2, "| 02 03 04 00 63 00 63 crc " + good2, good2, false},
		{"EchoOfTheRequest", askRead2, read2 + " " + good2, good2, false},
		{"OwnAnswerToSomethingElseBefore", askRead2, "| 01 03 02 00 63 crc " + good2, good2, false},
		{"Exception", askRead2, "| 01 83 02 crc", "| 01 83 02 crc", false},
		{"ExceptionOfAnotherFunction", askRead2, "| 01 84 02 crc", "", false},
		{"Short", askRead2, "01 03 04 00 0a", "", false},
		{"OneRegisterInsteadOfTwo", askRead2, "| 01 03 02 00 0a crc", "", false},
		{"WrongCRC", askRead2, "01 03 04 00 0a 01 02 12 34", "", true},
		{"WrongCRCOfException", askRead2, "01 83 02 12 34", "", true},
		{"WrongUnit", askRead2, "| 02 03 04 00 0a 01 02 crc", "", false},
		{"WrongFunction", askRead2, "| 01 04 04 00 0a 01 02 crc", "", false},
		{"Bits", askBits, "| 01 02 02 ff 01 crc", "| 01 02 02 ff 01 crc", false},
		{"BitsWithRegistersByteCount", askBits, "| 01 02 12 ff 01 crc", "", false},
		{"WriteRegister", askSet1, set1, set1, false},
		{"WriteRegisterOtherAddress", askSet1, "| 01 06 00 11 00 07 crc", "", false},
		{"WriteRegisterOtherValue", askSet1, "| 01 06 00 10 00 08 crc", "", false},
		{"WriteCoil", askCoil, "| 01 05 00 03 ff 00 crc", "| 01 05 00 03 ff 00 crc", false},
		{"WriteRegisters", askSet2, "| 01 10 00 10 00 02 crc", "| 01 10 00 10 00 02 crc", false},
		{"WriteRegistersOtherQuantity", askSet2, "| 01 10 00 10 00 01 crc", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newTestReply(t, tc.q)
			found, err := r.find(raw(t, tc.received))
			if err != nil || !bytes.Equal(found.Frame, raw(t, tc.want)) || found.Damaged != tc.damaged {
				t.Errorf("find() = % x, damaged %v, %v, want % x, damaged %v", found.Frame, found.Damaged, err, raw(t, tc.want), tc.damaged)
			}
		})
	}
}

// The number of missing bytes is what the bus sleeps for: too few costs wake-ups, too many costs time.
func TestRTUNeed(t *testing.T) {
	answer := raw(t, good2)
	want := []int{5, 4, 7, 6, 5, 4, 3, 2, 1}
	r := newTestReply(t, askRead2)
	for n := range answer {
		if found, _ := r.find(answer[:n]); found.Need != want[n] {
			t.Errorf("after %d bytes: need %d, want %d", n, found.Need, want[n])
		}
	}
}

// On a line that echoes, the answer to the write of one value comes behind a copy of itself.
func TestRTUEcho(t *testing.T) {
	r := newTestReply(t, askRead2)
	if _, err := r.find(raw(t, read2+" "+good2)); err != nil || !r.framing.echo {
		t.Fatalf("the echo was not learnt: %v", err)
	}
	w := newRTUReply(r.framing, raw(t, set1), askSet1)
	for _, tc := range []struct {
		received string
		found    bool
	}{{set1, false}, {set1 + " " + set1, true}, {set1 + " | 01 86 02 crc", true}, {"00 " + set1, true}} {
		found, _ := w.find(raw(t, tc.received))
		if (found.Frame != nil) != tc.found {
			t.Errorf("received % x: found % x, want found %v", raw(t, tc.received), found.Frame, tc.found)
		}
	}
	if f := w.blame(raw(t, set1)); f != nil {
		t.Errorf("blame() of the echo alone = %v, want nil", f)
	}
	if _, err := newRTUReply(r.framing, raw(t, read2), askRead2).find(raw(t, good2)); err != nil || r.framing.echo {
		t.Errorf("the end of the echo was not learnt: %v", err)
	}
}

func TestRTUBlame(t *testing.T) {
	for _, tc := range []struct {
		name     string
		q        request
		received string
		want     string // reason: text
		gone     bool
	}{
		{"Silence", askRead2, "", "", false},
		{"Noise", askRead2, "00 ff 55", "", false},
		{"ForeignConversation", askRead2, "| 02 04 00 00 00 01 crc | 02 04 02 00 05 crc", "", false},
		{"CRC", askRead2, "01 03 04 00 0a 01 02 12 34", "crc: check sum is wrong", false},
		{"Short", askRead2, "01 03 04 00 0a", "frame: the answer is cut short", false},
		{"WrongUnit", askRead2, "| 09 03 04 00 0a 01 02 crc", "frame: unit 9 answered, asked unit 1", true},
		{"WrongFunction", askRead2, "| 01 04 04 00 0a 01 02 crc", "frame: answer has function 4, asked for 3", false},
		{"ExceptionOfAnotherFunction", askRead2, "| 01 84 02 crc", "frame: answer has function 132, asked for 3", false},
		{"OneRegisterInsteadOfTwo", askRead2, "| 01 03 02 00 0a crc", "frame: answer has 2 bytes, asked for 4", false},
		{"OtherValue", askSet1, "| 01 06 00 10 00 08 crc", "frame: answer 00 10 00 08 does not repeat the request's 00 10 00 07", false},
		{"EchoOfTheRequestAlone", askRead2, read2, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newTestReply(t, tc.q).blame(raw(t, tc.received))
			got, gone := "", false
			if f != nil {
				got, gone = string(f.reason)+": "+f.Error(), f.gone
			}
			if got != tc.want || gone != tc.gone {
				t.Errorf("blame() = %q, gone %v, want %q, gone %v", got, gone, tc.want, tc.gone)
			}
		})
	}
}

// fuzzRequest makes a request of each kind that the driver sends.
func fuzzRequest(kind, offset, count uint16) request {
	a := Address{Table: Table(kind % 4), Offset: offset}
	switch kind % 11 {
	case 4:
		return newCoilWrite(offset, count%2 == 1)
	case 5:
		return newRegisterWrite(offset, []byte{byte(count >> 8), byte(count)})
	case 6:
		return newRegisterWrite(offset, []byte{1, 2, byte(count >> 8), byte(count)})
	case 7:
		return newCoilsWrite(offset, 9, []byte{byte(count), 1})
	case 8:
		return newMaskWrite(offset, count, ^count)
	case 9:
		return newReadWrite(offset, 1+int(count)%maxRegisters, count, []byte{1, 2})
	case 10:
		return newIdentification(Level(1+count%3), byte(offset))
	}
	return newRead(a, 1+int(count)%a.Table.limit())
}

func FuzzRTUReply(f *testing.F) {
	for _, s := range []string{good2, "00 " + good2, "| 01 83 02 crc", set1, "01 03 04 00", read2 + " " + good2, "| 02 03 02 00 00 crc " + good2} {
		f.Add(uint16(3), uint16(0x10), uint16(1), raw(f, s), false)
		f.Add(uint16(5), uint16(0x10), uint16(7), raw(f, s), true)
	}
	f.Fuzz(func(t *testing.T, kind, offset, count uint16, received []byte, echoes bool) {
		q := fuzzRequest(kind, offset, count)
		framing := newRTUFraming()
		framing.echo = echo(echoes)
		if frame := fuzzLine(t, framing, q, received); frame != nil {
			checkRTU(t, q, frame)
		}
	})
}

// fuzzLine looks for the answer in what a serial line has brought, and opens it.
func fuzzLine(t *testing.T, framing framing, q request, received []byte) (answer []byte) {
	t.Helper()
	frame, err := framing.encode(1, q)
	if err != nil {
		t.Fatal(err)
	}
	r := framing.reply(frame, q)
	found, err := r.find(received)
	switch {
	case err != nil:
		t.Fatalf("find: %v", err)
	case found.Frame != nil:
		checkOpened(t, framing, q, frame, found.Frame)
	case found.Need < 1 || found.Skip != 0:
		t.Fatalf("find() = %+v", found)
	default:
		r.blame(received)
	}
	return found.Frame
}

// checkRTU states what a frame must be to be an answer of unit 1 to q.
func checkRTU(t *testing.T, q request, frame []byte) {
	t.Helper()
	n := len(frame)
	switch {
	case n < 5 || !checksumOK(frame) || frame[0] != 1:
		t.Fatalf("% x is no frame of unit 1", frame)
	case frame[1] == q.function|0x80 && n == 5:
	case frame[1] != q.function:
		t.Fatalf("% x has another function", frame)
	case q.function == encapsulated:
		if n != 3+identificationSize(frame[1:n-2]) || !bytes.Equal(frame[2:4], q.data[:2]) {
			t.Fatalf("% x is no identification", frame)
		}
	case q.isRead() && (n != 5+int(frame[2]) || int(frame[2]) != q.answerSize()-2):
		t.Fatalf("% x has another length", frame)
	case q.function == 22 && n == 10 && bytes.Equal(frame[2:8], q.data):
	case !q.isRead() && (n != 8 || !bytes.Equal(frame[2:6], q.data[:4])):
		t.Fatalf("% x does not repeat % x", frame, q.data)
	}
}

// checkOpened takes a frame that was found apart, as the client does.
func checkOpened(t *testing.T, f framing, q request, frame, answer []byte) {
	t.Helper()
	data, err := (&client{framing: f}).open(q, frame, answer)
	if err != nil || q.function == encapsulated {
		return
	}
	want := 0
	if q.isRead() {
		want = q.answerSize() - 2
	}
	if len(data) != want {
		t.Fatalf("% x gives %d bytes of data, want %d", answer, len(data), want)
	}
}

package modbus

import (
	"bytes"
	"strings"
	"testing"
)

const (
	asciiGood = ":0103 0400 0A01 02 EB\r\n" // the right answer to askRead2
	asciiSet  = ":0106 0010 0007 E2\r\n"    // to askSet1, whose request it is as well
)

// plain leaves the spaces of a frame out.
func plain(s string) string { return strings.ReplaceAll(s, " ", "") }

func newTestASCII(t testing.TB, q request) *asciiReply {
	t.Helper()
	f := newASCIIFraming()
	frame, err := f.encode(1, q)
	if err != nil {
		t.Fatal(err)
	}
	return f.reply(frame, q).(*asciiReply)
}

// The check sums of the frames here, worked out by hand once, and the request as it goes out.
func TestASCIIFrames(t *testing.T) {
	r := newTestASCII(t, askSet1)
	if string(r.request) != plain(asciiSet) || r.unit != 1 {
		t.Errorf("encode() = %q, want %q", r.request, plain(asciiSet))
	}
	for _, s := range []string{asciiGood, asciiSet, ":0183 02 7A\r\n"} {
		if _, sound := asciiBytes([]byte(plain(s))); !sound {
			t.Errorf("check sum of %q is wrong", s)
		}
	}
}

func TestASCIIReply(t *testing.T) {
	echoing := func(s string) string { return ":010300100002EA\r\n" + s }
	for _, tc := range []struct {
		name     string
		q        request
		received string
		want     string // the frame; "" when there is none
		damaged  bool
	}{
		{"Nothing", askRead2, "", "", false},
		{"Answer", askRead2, asciiGood, asciiGood, false},
		{"SmallLetters", askRead2, strings.ToLower(asciiGood), strings.ToLower(asciiGood), false},
		{"NoiseBefore", askRead2, "\x00\xff" + asciiGood, asciiGood, false},
		{"ColonBefore", askRead2, ":" + asciiGood, asciiGood, false},
		{"BeginningBefore", askRead2, ":0103" + asciiGood, asciiGood, false},
		{"NoiseBehind", askRead2, asciiGood + ":01", asciiGood, false},
		{"DamagedCopyBefore", askRead2, ":0103 0400 0A01 02 EC\r\n" + asciiGood, asciiGood, false},
		{"ForeignFrameBefore", askRead2, ":0203 0400 6300 63 31\r\n" + asciiGood, asciiGood, false},
		{"EchoOfTheRequest", askRead2, echoing(asciiGood), asciiGood, false},
		{"Exception", askRead2, ":0183 02 7A\r\n", ":0183 02 7A\r\n", false},
		{"ExceptionOfAnotherFunction", askRead2, ":0184 02 79\r\n", "", false},
		{"Short", askRead2, ":0103 0400 0A", "", false},
		{"WithoutLineFeed", askRead2, strings.TrimSuffix(asciiGood, "\n"), "", false},
		{"OneRegisterInsteadOfTwo", askRead2, ":0103 0200 0A F0\r\n", "", false},
		{"WrongLRC", askRead2, ":0103 0400 0A01 02 EC\r\n", "", true},
		{"WrongLRCThenMore", askRead2, ":0103 0400 0A01 02 EC\r\n:0103", "", false},
		{"NotHexadecimal", askRead2, ":0103 0400 0X01 02 EB\r\n", "", true},
		{"OddDigits", askRead2, ":0103 0400 0A01 02 E\r\n", "", true},
		{"DamagedFrameOfOthers", askRead2, ":0204 0400 0A01 02 00\r\n", "", false},
		{"WrongUnit", askRead2, ":0203 0400 0A01 02 EA\r\n", "", false},
		{"Write", askSet1, asciiSet, asciiSet, false},
		{"WriteOtherValue", askSet1, ":0106 0010 0008 E1\r\n", "", false},
		{"EmptyFrames", askRead2, ":\r\n:\r\n:\r\n" + asciiGood, asciiGood, false},
		{"WithoutEnd", askRead2, ":" + strings.Repeat("01", 400) + asciiGood, asciiGood, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			found, err := newTestASCII(t, tc.q).find([]byte(plain(tc.received)))
			if err != nil || string(found.Frame) != plain(tc.want) || found.Damaged != tc.damaged {
				t.Errorf("find() = %q, damaged %v, %v, want %q, damaged %v", found.Frame, found.Damaged, err, plain(tc.want), tc.damaged)
			}
		})
	}
}

// On a line that echoes, the answer to the write of one value comes behind a copy of itself.
func TestASCIIEcho(t *testing.T) {
	r := newTestASCII(t, askRead2)
	if _, err := r.find([]byte(":010300100002EA\r\n" + plain(asciiGood))); err != nil || !r.framing.echo {
		t.Fatalf("the echo was not learnt: %v", err)
	}
	w := r.framing.reply([]byte(plain(asciiSet)), askSet1)
	for received, want := range map[string]bool{asciiSet: false, asciiSet + asciiSet: true, asciiSet + ":0186 01 78\r\n": true} {
		if found, _ := w.find([]byte(plain(received))); (found.Frame != nil) != want {
			t.Errorf("received %q: found %q, want found %v", received, found.Frame, want)
		}
	}
	if f := w.blame([]byte(plain(asciiSet))); f != nil {
		t.Errorf("blame() of the echo alone = %v, want nil", f)
	}
}

func TestASCIIBlame(t *testing.T) {
	for received, want := range map[string]string{
		"":                                 "",
		"\x00\x55":                         "",
		":0103 0400 0A01 02 EC\r\n":        "crc: check sum is wrong",
		":0103 0400 0A":                    "frame: the answer is cut short",
		":0903 0400 0A01 02 E3\r\n":        "frame: unit 9 answered, asked unit 1",
		":0104 0400 0A01 02 EA\r\n":        "frame: answer has function 4, asked for 3",
		":0103 0200 0A F0\r\n":             "frame: answer has 2 bytes, asked for 4",
		":0204 0000 0001 F9\r\n:0204 0200": "frame: the answer is cut short",
	} {
		got := ""
		if f := newTestASCII(t, askRead2).blame([]byte(plain(received))); f != nil {
			got = string(f.reason) + ": " + f.Error()
		}
		if got != want {
			t.Errorf("blame(%q) = %q, want %q", received, got, want)
		}
	}
}

func FuzzASCIIReply(f *testing.F) {
	for _, s := range []string{asciiGood, asciiSet, ":0183 02 7A\r\n", ":0103", ":010300100002EA\r\n" + asciiGood, ":2B0E01\r\n"} {
		f.Add(uint16(3), uint16(0x10), uint16(1), []byte(plain(s)), false)
		f.Add(uint16(5), uint16(0x10), uint16(7), []byte(plain(s)), true)
	}
	f.Fuzz(func(t *testing.T, kind, offset, count uint16, received []byte, echoes bool) {
		q := fuzzRequest(kind, offset, count)
		framing := newASCIIFraming()
		framing.echo = echo(echoes)
		frame := fuzzLine(t, framing, q, received)
		if frame == nil {
			return
		}
		b, sound := asciiBytes(frame)
		if !sound || b[0] != 1 || b[1]&^exceptionBit != q.function || !bytes.Contains(received, frame) {
			t.Fatalf("%q is no answer of unit 1 to function %d", frame, q.function)
		}
	})
}

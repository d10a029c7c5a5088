package sim

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

// testBank has ten cells of everything, holding registers in two runs with a hole at 5, and no value above 999 in holding:9.
func testBank(t testing.TB) *Bank {
	t.Helper()
	b := NewBank(Layout{
		Coils:            []Range{{0, 10}},
		DiscreteInputs:   []Range{{0, 10}},
		HoldingRegisters: []Range{{0, 5}, {6, 4}},
		InputRegisters:   []Range{{0, 10}},
		Accept: func(t Table, address, value uint16) bool {
			return t != HoldingRegisters || address != 9 || value <= 999
		},
	})
	for _, err := range []error{
		b.Set(Coils, 0, 1, 0, 1, 1, 0, 0, 1, 1, 1, 0),
		b.Set(DiscreteInputs, 0, 0, 0, 1, 1, 0, 1, 0, 1, 0, 1),
		b.Set(HoldingRegisters, 0, 0x022B, 0x0000, 0x0064, 0x1234, 0xFFFF),
		b.Set(InputRegisters, 0, 0x000A, 0x0102, 0x0304),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// The clauses are those of Modbus Application Protocol V1.1b3, chapter 6.
var pduCases = []struct {
	name     string
	request  string
	response string
}{
	{"6.1 read coils", "01 0000 000A", "01 02 CD 01"},
	{"6.1 read one coil", "01 0003 0001", "01 01 01"},
	{"6.1 read 8 coils", "01 0000 0008", "01 01 CD"},
	{"6.1 no coils", "01 0000 0000", "81 03"},
	{"6.1 2001 coils", "01 0000 07D1", "81 03"},
	{"6.1 2000 coils that are not there", "01 0000 07D0", "81 02"},
	{"6.1 one coil too far", "01 0009 0002", "81 02"},
	{"6.1 too short", "01 0000 00", "81 03"},
	{"6.1 too long", "01 0000 0001 00", "81 03"},
	{"6.2 read discrete inputs", "02 0002 0008", "02 01 AB"},
	{"6.2 one too far", "02 000A 0001", "82 02"},
	{"6.3 read holding registers", "03 0000 0003", "03 06 022B 0000 0064"},
	{"6.3 none", "03 0000 0000", "83 03"},
	{"6.3 126", "03 0000 007E", "83 03"},
	{"6.3 125 that are not there", "03 0000 007D", "83 02"},
	{"6.3 over a hole", "03 0004 0003", "83 02"},
	{"6.3 last address of all", "03 FFFF 0001", "83 02"},
	{"6.3 round the end of all", "03 FFFF 0002", "83 02"},
	{"6.3 no data at all", "03", "83 03"},
	{"6.4 read input registers", "04 0000 0001", "04 02 000A"},
	{"6.4 two", "04 0001 0002", "04 04 0102 0304"},
	{"6.4 one too far", "04 0009 0002", "84 02"},
	{"6.5 write coil on", "05 0001 FF00", "05 0001 FF00"},
	{"6.5 write coil off", "05 0000 0000", "05 0000 0000"},
	{"6.5 neither on nor off", "05 0000 0001", "85 03"},
	{"6.5 value is looked at before the address", "05 0063 1234", "85 03"},
	{"6.5 one too far", "05 000A FF00", "85 02"},
	{"6.5 too short", "05 0000 FF", "85 03"},
	{"6.6 write register", "06 0001 0003", "06 0001 0003"},
	{"6.6 in the hole", "06 0005 0003", "86 02"},
	{"6.6 not accepted", "06 0009 03E8", "86 03"},
	{"6.6 just accepted", "06 0009 03E7", "06 0009 03E7"},
	{"6.6 too long", "06 0001 0003 00", "86 03"},
	{"6.11 write coils", "0F 0000 000A 02 CD01", "0F 0000 000A"},
	{"6.11 byte count does not fit", "0F 0000 000A 01 CD", "8F 03"},
	{"6.11 data missing", "0F 0000 000A 02 CD", "8F 03"},
	{"6.11 none", "0F 0000 0000 00", "8F 03"},
	{"6.11 1969", "0F 0000 07B1 F7" + strings.Repeat("00", 247), "8F 03"},
	{"6.11 1968 that are not there", "0F 0000 07B0 F6" + strings.Repeat("00", 246), "8F 02"},
	{"6.12 write registers", "10 0001 0002 04 000A 0102", "10 0001 0002"},
	{"6.12 byte count does not fit", "10 0001 0002 05 000A 0102", "90 03"},
	{"6.12 data missing", "10 0001 0002 04 000A 01", "90 03"},
	{"6.12 124", "10 0000 007C F8" + strings.Repeat("00", 248), "90 03"},
	{"6.12 123 that are not there", "10 0000 007B F6" + strings.Repeat("00", 246), "90 02"},
	{"6.12 one of them not accepted", "10 0008 0002 04 0001 03E8", "90 03"},
	{"6.16 mask register", "16 0003 00F2 0025", "16 0003 00F2 0025"},
	{"6.16 in the hole", "16 0005 00F2 0025", "96 02"},
	{"6.16 result not accepted", "16 0009 0000 FFFF", "96 03"},
	{"6.16 too short", "16 0003 00F2 00", "96 03"},
	{"6.17 write, then read", "17 0000 0003 0001 0001 02 00FF", "17 06 022B 00FF 0064"},
	{"6.17 read range wrong", "17 0004 0002 0001 0001 02 00FF", "97 02"},
	{"6.17 write range wrong", "17 0000 0001 0005 0001 02 00FF", "97 02"},
	{"6.17 reads 126", "17 0000 007E 0001 0001 02 00FF", "97 03"},
	{"6.17 writes none", "17 0000 0001 0001 0000 00", "97 03"},
	{"6.17 writes 122", "17 0000 0001 0001 007A F4" + strings.Repeat("00", 244), "97 03"},
	{"6.17 writes 121 that are not there", "17 0000 0001 0001 0079 F2" + strings.Repeat("00", 242), "97 02"},
	{"6.17 byte count does not fit", "17 0000 0001 0001 0001 04 00FF", "97 03"},
	{"6.17 too short", "17 0000 0001 00", "97 03"},
	{"unknown function", "14 07 06 0004 0001 0002", "94 01"},
	{"exception bit in a request", "83 02", "83 01"},
	{"function 0", "00", "80 01"},
	{"nothing", "", ""},
}

func TestRespond(t *testing.T) {
	for _, tt := range pduCases {
		t.Run(tt.name, func(t *testing.T) {
			got := testBank(t).Respond(unhex(t, tt.request))
			if want := unhex(t, tt.response); !bytes.Equal(got, want) {
				t.Errorf("Respond(%s) = % X, want % X", tt.request, got, want)
			}
		})
	}
}

func TestRespondLimitsAreReached(t *testing.T) {
	all := []Range{{0, 2000}}
	b := NewBank(Layout{Coils: all, DiscreteInputs: all, HoldingRegisters: all, InputRegisters: all})
	tests := []struct {
		name, request string
		length        int
	}{
		{"2000 coils", "01 0000 07D0", 252},
		{"2000 discrete inputs", "02 0000 07D0", 252},
		{"125 holding registers", "03 0000 007D", 252},
		{"125 input registers", "04 0000 007D", 252},
		{"1968 coils written", "0F 0000 07B0 F6" + strings.Repeat("00", 246), 5},
		{"123 registers written", "10 0000 007B F6" + strings.Repeat("00", 246), 5},
		{"125 read and 121 written", "17 0000 007D 0001 0079 F2" + strings.Repeat("00", 242), 252},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := b.Respond(unhex(t, tt.request))
			if len(got) != tt.length || got[0]&exceptionBit != 0 {
				t.Errorf("Respond = %d bytes % X, want %d", len(got), got[:min(len(got), 8)], tt.length)
			}
		})
	}
}

func TestRespondWrites(t *testing.T) {
	tests := []struct {
		name, request string
		table         Table
		want          []uint16
	}{
		{"coil", "05 0001 FF00", Coils, []uint16{1, 1, 1, 1, 0, 0, 1, 1, 1, 0}},
		{"coils", "0F 0001 0009 02 5501", Coils, []uint16{1, 1, 0, 1, 0, 1, 0, 1, 0, 1}},
		{"register", "06 0004 8000", HoldingRegisters, []uint16{0x022B, 0, 0x64, 0x1234, 0x8000}},
		{"registers", "10 0000 0002 04 0001 FFFE", HoldingRegisters, []uint16{1, 0xFFFE, 0x64, 0x1234, 0xFFFF}},
		{"mask", "16 0003 00F2 0025", HoldingRegisters, []uint16{0x022B, 0, 0x64, 0x0035, 0xFFFF}},
		{"mask sets only what it may", "16 0001 00F2 0025", HoldingRegisters, []uint16{0x022B, 0x0005, 0x64, 0x1234, 0xFFFF}},
		{"refused for the address", "10 0004 0002 04 0001 0002", HoldingRegisters, []uint16{0x022B, 0, 0x64, 0x1234, 0xFFFF}},
		{"refused read, so not written", "17 0004 0002 0000 0001 02 7777", HoldingRegisters, []uint16{0x022B, 0, 0x64, 0x1234, 0xFFFF}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := testBank(t)
			b.Respond(unhex(t, tt.request))
			if got, err := b.Get(tt.table, 0, len(tt.want)); err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("%v = %X, %v; want %X", tt.table, got, err, tt.want)
			}
		})
	}
}

func TestRespondRefusedValueWritesNothing(t *testing.T) {
	b := testBank(t)
	b.Respond(unhex(t, "10 0008 0002 04 0001 03E8"))
	if got, _ := b.Get(HoldingRegisters, 8, 2); !slices.Equal(got, []uint16{0, 0}) {
		t.Errorf("holding:8 = %v, want [0 0]", got)
	}
}

// FuzzRespond holds what every answer must be like, whatever is asked.
func FuzzRespond(f *testing.F) {
	for _, tt := range pduCases {
		f.Add(unhex(f, tt.request))
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		b := testBank(t)
		before := append([]byte(nil), request...)
		answer := b.Respond(request)
		if !bytes.Equal(before, request) {
			t.Fatal("the request was changed")
		}
		checkAnswer(t, request, answer)
		if again := testBank(t).Respond(request); !bytes.Equal(again, answer) {
			t.Errorf("the same request to the same bank: % X, then % X", answer, again)
		}
		if isException(answer) && !bytes.Equal(readAll(b), readAll(testBank(t))) {
			t.Error("a request that failed has changed the tables")
		}
	})
}

func checkAnswer(t *testing.T, request, answer []byte) {
	t.Helper()
	if len(request) == 0 {
		if answer != nil {
			t.Errorf("answer to nothing: % X", answer)
		}
		return
	}
	switch {
	case len(answer) < 2 || len(answer) > maxPDU:
		t.Errorf("answer of %d bytes", len(answer))
	case isException(answer) && (len(answer) != 2 || answer[0] != request[0]|exceptionBit || answer[1] < 1 || answer[1] > 3):
		t.Errorf("malformed exception: % X", answer)
	case !isException(answer) && answer[0] != request[0]:
		t.Errorf("answer with function %d to %d", answer[0], request[0])
	}
}

func isException(answer []byte) bool { return len(answer) > 0 && answer[0]&exceptionBit != 0 }

// readAll reads everything that testBank has.
func readAll(b *Bank) []byte {
	var all []byte
	for _, request := range []string{"\x01\x00\x00\x00\x0A", "\x02\x00\x00\x00\x0A", "\x03\x00\x00\x00\x05", "\x03\x00\x06\x00\x04", "\x04\x00\x00\x00\x0A"} {
		all = append(all, b.Respond([]byte(request))...)
	}
	return all
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatalf("bad test data %q: %v", s, err)
	}
	return b
}

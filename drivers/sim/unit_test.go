package sim

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// faultCases show each fault on the answer to a read of two registers, 0x0102 and 0x0304, by unit 7 under transaction 0x0010.
var faultCases = []struct {
	name  string
	fault Fault
	rtu   []string // pieces without their CRC; the test appends it where there is "crc"
	tcp   []string
}{
	{
		"none",
		Fault{},
		[]string{"07 03 04 0102 0304 crc"},
		[]string{"0010 0000 0007 07 03 04 0102 0304"},
	},
	{"no answer", NoAnswer(), nil, nil},
	{"reset", Reset(), nil, nil},
	{
		"garbage before", GarbageBefore(0xFF, 0x00),
		[]string{"FF00 | 07 03 04 0102 0304 crc"},
		[]string{"FF00 0010 0000 0007 07 03 04 0102 0304"},
	},
	{
		"garbage after", GarbageAfter(0xAA),
		[]string{"07 03 04 0102 0304 crc AA"},
		[]string{"0010 0000 0007 07 03 04 0102 0304 AA"},
	},
	{
		"wrong unit", WrongUnit(255),
		[]string{"FF 03 04 0102 0304 crc"},
		[]string{"0010 0000 0007 FF 03 04 0102 0304"},
	},
	{
		"wrong function", WrongFunction(4),
		[]string{"07 04 04 0102 0304 crc"},
		[]string{"0010 0000 0007 07 04 04 0102 0304"},
	},
	{
		"short answer", ShortAnswer(1),
		[]string{"07 03 02 0102 crc"},
		[]string{"0010 0000 0005 07 03 02 0102"},
	},
	{
		"empty answer", ShortAnswer(0),
		[]string{"07 03 00 crc"},
		[]string{"0010 0000 0003 07 03 00"},
	},
	{
		"short answer that is not short", ShortAnswer(3),
		[]string{"07 03 04 0102 0304 crc"},
		[]string{"0010 0000 0007 07 03 04 0102 0304"},
	},
	{
		"long answer", LongAnswer(1),
		[]string{"07 03 06 0102 0304 0000 crc"},
		[]string{"0010 0000 0009 07 03 06 0102 0304 0000"},
	},
	{
		"bad CRC", BadCRC(),
		[]string{"07 03 04 0102 0304 bad"},
		[]string{"0010 0000 0007 07 03 04 0102 0304"},
	},
	{
		"exception", ExceptionAnswer(6),
		[]string{"07 83 06 crc"},
		[]string{"0010 0000 0003 07 83 06"},
	},
	{
		"cut in two", Split(3, time.Second),
		[]string{"07 03 04", "0102 0304 crc"},
		[]string{"0010 00", "00 0007 07 03 04 0102 0304"},
	},
	{
		"cut before the first byte", Split(0, 0),
		[]string{"07", "03 04 0102 0304 crc"},
		[]string{"00", "10 0000 0007 07 03 04 0102 0304"},
	},
	{
		"old transaction", OldTransaction(0x11),
		[]string{"07 03 04 0102 0304 crc"},
		[]string{"FFFF 0000 0007 07 03 04 0102 0304"},
	},
	{
		"stale answer first", StaleFirst(1),
		[]string{"07 03 04 0102 0304 crc"},
		[]string{"000F 0000 0007 07 03 04 0102 0304 0010 0000 0007 07 03 04 0102 0304"},
	},
}

// An adapter that hears itself hands over the request, and then the answer.
func TestEcho(t *testing.T) {
	u := faultUnit(t)
	u.Inject(Echo(), 1)
	x := u.handle([]byte{3, 0, 0, 0, 2})
	got := x.rtuPieces(7)
	want := append(appendCRC([]byte{7, 3, 0, 0, 0, 2}), appendCRC([]byte{7, 3, 4, 1, 2, 3, 4})...)
	if len(got) != 1 || !bytes.Equal(got[0].data, want) {
		t.Errorf("on a line %v, want %x", got, want)
	}
	if got := x.tcpPieces(0x10, 7); len(got) != 1 || len(got[0].data) != 13 {
		t.Errorf("on TCP %v, want the answer alone", got)
	}
}

func faultUnit(t testing.TB) *Unit {
	t.Helper()
	u := NewUnit(Layout{HoldingRegisters: []Range{{0, 4}}})
	if err := u.Set(HoldingRegisters, 0, 0x0102, 0x0304, 0x0506, 0x0708); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestFaults(t *testing.T) {
	for _, tt := range faultCases {
		t.Run(tt.name, func(t *testing.T) {
			u := faultUnit(t)
			if tt.fault.kind != noFault {
				u.Inject(tt.fault, 1)
			}
			x := u.handle([]byte{3, 0, 0, 0, 2})
			comparePieces(t, "RTU", x.rtuPieces(7), tt.rtu)
			comparePieces(t, "TCP", x.tcpPieces(0x10, 7), tt.tcp)
			if got := u.handle([]byte{3, 0, 0, 0, 1}); got.fault.kind != noFault || len(got.pdu) != 4 {
				t.Errorf("the request after that: %+v", got)
			}
		})
	}
}

func comparePieces(t *testing.T, framing string, got []piece, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d pieces %v, want %d", framing, len(got), got, len(want))
	}
	var all []byte // since the frame's begin, which the CRC covers
	for i, text := range want {
		wantBytes, garbage := frameBytes(t, text, all)
		all = append(all, wantBytes[garbage:]...)
		if !bytes.Equal(got[i].data, wantBytes) {
			t.Errorf("%s: piece %d = % X, want % X", framing, i, got[i].data, wantBytes)
		}
	}
}

// frameBytes turns a case's text to bytes. "crc" and "bad" stand for the checksum of what is before them, without what is left of a bar.
func frameBytes(t *testing.T, text string, before []byte) (all []byte, garbage int) {
	t.Helper()
	for _, word := range bytes.Fields([]byte(text)) {
		switch string(word) {
		case "|":
			garbage = len(all)
		case "crc", "bad":
			crc := crc16(slices.Concat(before, all[garbage:]))
			if string(word) == "bad" {
				crc ^= 0xFF00
			}
			all = append(all, byte(crc), byte(crc>>8))
		default:
			all = append(all, unhex(t, string(word))...)
		}
	}
	return all, garbage
}

func TestFaultsOnWrites(t *testing.T) {
	tests := []struct {
		name   string
		fault  Fault
		answer string
		value  uint16 // of the register afterwards
	}{
		{"a lost answer has taken effect", BadCRC(), "06 0000 0009", 9},
		{"no answer, no effect", NoAnswer(), "", 0x0102},
		{"exception, no effect", ExceptionAnswer(4), "86 04", 0x0102},
		{"nothing to shorten", ShortAnswer(0), "06 0000 0009", 9},
		{"nothing to lengthen", LongAnswer(1), "06 0000 0009", 9},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := faultUnit(t)
			u.Inject(tt.fault, 1)
			if got := u.handle(unhex(t, "06 0000 0009")).pdu; !bytes.Equal(got, unhex(t, tt.answer)) {
				t.Errorf("answer = % X, want %s", got, tt.answer)
			}
			if got, _ := u.Get(HoldingRegisters, 0, 1); got[0] != tt.value {
				t.Errorf("register = %04X, want %04X", got[0], tt.value)
			}
		})
	}
}

func TestInjectTakesTurns(t *testing.T) {
	u := faultUnit(t)
	u.Inject(ExceptionAnswer(4), 2)
	u.Inject(NoAnswer(), 0)
	u.Inject(ExceptionAnswer(5), 1)
	u.Inject(NoAnswer(), -1)
	var got []string
	for range 6 {
		got = append(got, fmt.Sprintf("%X", u.handle([]byte{3, 0, 0, 0, 1}).pdu))
	}
	u.Heal()
	got = append(got, fmt.Sprintf("%X", u.handle([]byte{3, 0, 0, 0, 1}).pdu))
	want := []string{"8304", "8304", "8305", "", "", "", "03020102"}
	if !slices.Equal(got, want) {
		t.Errorf("answers = %q, want %q", got, want)
	}
	if got, want := u.Stats(), (UnitStats{Requests: 7, Exceptions: 3, Faults: 6}); got != want {
		t.Errorf("stats = %+v, want %+v", got, want)
	}
}

func TestBroadcastSparesFaults(t *testing.T) {
	u := faultUnit(t)
	u.Inject(NoAnswer(), 1)
	u.broadcast(unhex(t, "06 0000 0009"))
	if got, _ := u.Get(HoldingRegisters, 0, 1); got[0] != 9 {
		t.Errorf("register = %d, want 9", got[0])
	}
	if got, want := u.Stats(), (UnitStats{Requests: 1}); got != want {
		t.Errorf("stats = %+v, want %+v", got, want)
	}
}

func TestObserve(t *testing.T) {
	u := faultUnit(t)
	u.Inject(NoAnswer(), 1)
	var got []string
	u.Observe(func(pdu []byte) { got = append(got, fmt.Sprintf("%X", pdu)) })
	u.handle([]byte{3, 0, 0, 0, 2})
	u.handle([]byte{4, 0, 0, 0, 1})
	u.Observe(nil)
	u.handle([]byte{1, 0, 0, 0, 1})
	if want := []string{"0300000002", "0400000001"}; !slices.Equal(got, want) {
		t.Errorf("observed %q, want %q", got, want)
	}
}

// TestUnitIsSafe is for the race detector.
func TestUnitIsSafe(t *testing.T) {
	u := NewTank(nil)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range uint16(100) {
				u.Inject(Late(time.Millisecond), 1)
				u.handle([]byte{6, 0, 0, 0, byte(i)})
				if err := u.Set(InputRegisters, 0, i); err != nil {
					t.Error(err)
				}
				if _, err := u.Get(HoldingRegisters, 0, 1); err != nil {
					t.Error(err)
				}
				u.Stats()
			}
		})
	}
	wg.Wait()
	if got := u.Stats(); got.Requests != 400 || got.Faults != 400 {
		t.Errorf("stats = %+v", got)
	}
}

func TestGetOutside(t *testing.T) {
	u := faultUnit(t)
	if _, err := u.Get(HoldingRegisters, 4, 1); !errors.Is(err, ErrAddress) {
		t.Errorf("Get = %v, want ErrAddress", err)
	}
	if err := u.Set(Coils, 0, 1); !errors.Is(err, ErrAddress) {
		t.Errorf("Set = %v, want ErrAddress", err)
	}
}

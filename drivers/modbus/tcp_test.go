package modbus

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestTCPReply(t *testing.T) {
	const answer = "00 07 00 00 00 07 01 03 04 00 0a 01 02"
	for _, tc := range []struct {
		name     string
		received string
		want     string // the frame, or the error
		skip     int
		need     int
	}{
		{"Nothing", "", "", 0, 7},
		{"Header", "00 07 00 00 00 07", "", 0, 1},
		{"HeaderWhole", "00 07 00 00 00 07 01", "", 0, 6},
		{"Answer", answer, answer, 0, 0},
		{"MoreBehind", answer + " 00 08", answer, 0, 0},
		{"Exception", "00 07 00 00 00 03 01 83 02", "00 07 00 00 00 03 01 83 02", 0, 0},
		{"OlderBefore", "00 06 00 00 00 03 01 83 02 " + answer, answer, 0, 0},
		{"OnlyOlder", "00 06 00 00 00 03 01 83 02 00 07", "", 9, 5},
		{"OlderByALot", "ff f0 00 00 00 03 01 83 02", "", 9, 7},
		{"Newer", "00 08 00 00 00 03 01 83 02", "answer has a transaction id that was never sent", 0, 0},
		{"HTTP", "48 54 54 50 2f 31 2e", "protocol id is 0x5450 and not 0: the peer does not speak Modbus TCP", 0, 0},
		{"RTU", good2, `the device answers in RTU framing: set transport = "rtu-over-tcp"`, 0, 0},
		{"TooShort", "00 07 00 00 00 02 01", "length 2 in the header is outside 3 to 254", 0, 0},
		{"LengthZero", "00 07 00 00 00 00 01", "length 0 in the header is outside 3 to 254", 0, 0},
		{"TooLong", "00 07 00 00 00 ff 01", "length 255 in the header is outside 3 to 254", 0, 0},
		{"Huge", "00 07 00 00 ff ff 01", "length 65535 in the header is outside 3 to 254", 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			found, err := (&tcpReply{transaction: 7, unit: 1, q: askRead2}).find(raw(t, tc.received))
			if err != nil {
				if err.Error() != tc.want {
					t.Errorf("find() error = %v, want %s", err, tc.want)
				}
				return
			}
			if !bytes.Equal(found.Frame, raw(t, tc.want)) || found.Skip != tc.skip || found.Need != tc.need {
				t.Errorf("find() = %+v, want % x, skip %d, need %d", found, raw(t, tc.want), tc.skip, tc.need)
			}
		})
	}
}

// The transaction ids wrap around.
func TestTCPTransactionsWrap(t *testing.T) {
	for _, tc := range []struct {
		asked, got uint16
		older      bool
	}{{0, 0xFFFF, true}, {3, 0xFFFE, true}, {0xFFFF, 0, false}, {5, 6, false}, {0x8000, 1, true}} {
		frame := binary.BigEndian.AppendUint16(nil, tc.got)
		_, err := (&tcpReply{transaction: tc.asked, unit: 1, q: askRead2}).find(append(frame, raw(t, "00 00 00 03 01 83 02")...))
		if (err == nil) != tc.older {
			t.Errorf("asked %d, got %d: error %v, want older %v", tc.asked, tc.got, err, tc.older)
		}
	}
}

func TestTCPAnswerIsChecked(t *testing.T) {
	for _, tc := range []struct {
		name     string
		q        request
		received string // behind the transaction id
		want     string // the data, or the error
	}{
		{"Read", askRead2, "00 00 00 07 01 03 04 00 0a 01 02", "00 0a 01 02"},
		{"UnitZero", askRead2, "00 00 00 07 00 03 04 00 0a 01 02", "00 0a 01 02"},
		{"Unit255", askRead2, "00 00 00 07 ff 03 04 00 0a 01 02", "00 0a 01 02"},
		{"WrongUnit", askRead2, "00 00 00 07 09 03 04 00 0a 01 02", "unit 9 answered, asked unit 1"},
		{"WrongFunction", askRead2, "00 00 00 07 01 04 04 00 0a 01 02", "answer has function 4, asked for 3"},
		{"OneRegisterInsteadOfTwo", askRead2, "00 00 00 05 01 03 02 00 0a", "answer has 3 bytes behind the function, asked for 5"},
		{"ByteCountTooLarge", askRead2, "00 00 00 05 01 03 04 00 0a", "answer has 3 bytes behind the function, asked for 5"},
		{"ByteCountTooSmall", askRead2, "00 00 00 07 01 03 02 00 0a 01 02", "answer has 5 bytes behind the function, asked for 5"},
		{"Exception", askRead2, "00 00 00 03 01 83 02", "device answered exception 2 (illegal data address: the device has nothing there) to function 3"},
		{"ExceptionOfAnotherFunction", askRead2, "00 00 00 03 01 84 02", "answer has function 132, asked for 3"},
		{"ExceptionTooLong", askRead2, "00 00 00 04 01 83 02 00", "answer has function 131, asked for 3"},
		{"Write", askSet1, "00 00 00 06 01 06 00 10 00 07", ""},
		{"WriteOtherValue", askSet1, "00 00 00 06 01 06 00 10 00 08", "answer 00 10 00 08 does not repeat the request's 00 10 00 07"},
		{"WriteOtherAddress", askSet1, "00 00 00 06 01 06 00 11 00 07", "answer 00 11 00 07 does not repeat the request's 00 10 00 07"},
		{"WriteOtherQuantity", askSet2, "00 00 00 06 01 10 00 10 00 01", "answer 00 10 00 01 does not repeat the request's 00 10 00 02"},
		{"WriteLonger", askSet1, "00 00 00 08 01 06 00 10 00 07 00 00", "answer 00 10 00 07 00 00 does not repeat the request's 00 10 00 07"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newTCPFraming()
			frame, err := f.encode(1, tc.q)
			if err != nil {
				t.Fatal(err)
			}
			found, err := f.reply(frame, tc.q).find(append(frame[:2:2], raw(t, tc.received)...))
			if err != nil || found.Frame == nil {
				t.Fatalf("find() = %+v, %v", found, err)
			}
			data, err := (&client{framing: f}).open(tc.q, frame, found.Frame)
			if err != nil {
				if err.Error() != tc.want {
					t.Errorf("error = %v\nwant    %s", err, tc.want)
				}
				return
			}
			if !bytes.Equal(data, raw(t, tc.want)) {
				t.Errorf("data = % x, want %s", data, tc.want)
			}
		})
	}
}

func FuzzTCPReply(f *testing.F) {
	for _, s := range []string{"00 01 00 00 00 07 01 03 04 00 0a 01 02", "00 01 00 00 00 03 01 83 02", "00 00 00 00 00 03 01 83 02 00 01", "00 01 00 00 00 06 01 06 00 10 00 07"} {
		f.Add(uint16(3), uint16(0x10), uint16(1), raw(f, s))
		f.Add(uint16(5), uint16(0x10), uint16(7), raw(f, s))
	}
	f.Fuzz(func(t *testing.T, kind, offset, count uint16, received []byte) {
		q := fuzzRequest(kind, offset, count)
		framing := newTCPFraming()
		frame, err := framing.encode(1, q)
		if err != nil {
			t.Fatal(err)
		}
		r := framing.reply(frame, q)
		found, err := r.find(received)
		if err != nil {
			return
		}
		if found.Frame == nil {
			if found.Need < 1 || found.Skip > len(received) {
				t.Fatalf("find() = %+v", found)
			}
			r.blame(received)
			return
		}
		if n := len(found.Frame); n < 9 || !bytes.Equal(found.Frame[:2], frame[:2]) || int(binary.BigEndian.Uint16(found.Frame[4:])) != n-6 {
			t.Fatalf("% x is no answer to % x", found.Frame, frame)
		}
		if _, err := framing.decode(frame, found.Frame); err == nil && found.Frame[6] != 1 && found.Frame[6] != 0 && found.Frame[6] != 255 {
			t.Fatalf("% x of another unit was taken", found.Frame)
		}
		checkOpened(t, framing, q, frame, found.Frame)
	})
}

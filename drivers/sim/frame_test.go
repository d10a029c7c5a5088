package sim

import (
	"bytes"
	"testing"
)

func TestCRC16(t *testing.T) {
	tests := []struct {
		name, data string
		want       uint16
	}{
		{"the catalogue's check value for CRC-16/MODBUS", "313233343536373839", 0x4B37},
		{"nothing", "", 0xFFFF},
		{"serial line V1.02, section 6.2.2: unit 2, function 7", "0207", 0x1241},
		{"read ten registers of unit 1", "01030000000A", 0xCDC5},
		{"read three registers of unit 17", "1103006B0003", 0x8776},
		{"exception 2", "018302", 0xF1C0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data := unhex(t, tt.data)
			if got := crc16(data); got != tt.want {
				t.Errorf("crc16 = %04X, want %04X", got, tt.want)
			}
			if got := bitwiseCRC(data); got != tt.want {
				t.Errorf("bit by bit: %04X, want %04X", got, tt.want)
			}
		})
	}
	if got, want := appendCRC(unhex(t, "01030000000A")), unhex(t, "01030000000AC5CD"); !bytes.Equal(got, want) {
		t.Errorf("appendCRC = % X, want % X (low byte first)", got, want)
	}
}

func TestCRCTable(t *testing.T) {
	for i, got := range crcTable {
		// The table's entry for a byte is the CRC of that byte begun at 0, which bitwiseCRC shows when it starts from that.
		crc := uint16(i)
		for range 8 {
			crc = shiftCRC(crc)
		}
		if got != crc {
			t.Fatalf("crcTable[%d] = %04X, want %04X", i, got, crc)
		}
	}
	for i, want := range map[int]uint16{0: 0x0000, 1: 0xC0C1, 2: 0xC181, 128: 0xA001, 255: 0x4040} {
		if crcTable[i] != want {
			t.Errorf("crcTable[%d] = %04X, want %04X", i, crcTable[i], want)
		}
	}
}

// bitwiseCRC follows the procedure of Modbus over Serial Line V1.02, section 6.2.2, literally.
func bitwiseCRC(data []byte) uint16 {
	crc := uint16(0xFFFF)
	for _, b := range data {
		crc ^= uint16(b)
		for range 8 {
			crc = shiftCRC(crc)
		}
	}
	return crc
}

func shiftCRC(crc uint16) uint16 {
	if crc&1 == 1 {
		return crc>>1 ^ 0xA001
	}
	return crc >> 1
}

var (
	readTen   = []byte{0x01, 0x03, 0x00, 0x00, 0x00, 0x0A, 0xC5, 0xCD}
	readThree = []byte{0x11, 0x03, 0x00, 0x6B, 0x00, 0x03, 0x76, 0x87}
)

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestRequestLength(t *testing.T) {
	tests := []struct {
		name, begin string
		want        int
	}{
		{"unit alone", "01", 0},
		{"read", "0103", 8},
		{"write coils, count to come", "010F0000000A", 0},
		{"write coils", "010F0000000A02", 11},
		{"write registers", "01100000000204", 13},
		{"mask", "0116", 10},
		{"read and write, count to come", "0117000000030001 0001", 0},
		{"read and write", "01170000000300010001 02", 15},
		{"unknown", "012B0E0100", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := requestLength(unhex(t, tt.begin)); got != tt.want {
				t.Errorf("requestLength = %d, want %d", got, tt.want)
			}
		})
	}
}

func TestCutFrames(t *testing.T) {
	unknown := appendCRC([]byte{1, 0x2B, 0x0E, 1, 0})
	tests := []struct {
		name     string
		received []byte
		cut      int // frames
		rest     []byte
		salvaged int // frames, once silence has ended it
	}{
		{"nothing", nil, 0, nil, 0},
		{"one", readTen, 1, nil, 1},
		{"two", join(readTen, readThree), 2, nil, 2},
		{"one and a half", join(readTen, readThree[:5]), 1, readThree[:5], 1},
		{"half of one", readTen[:7], 0, readTen[:7], 0},
		{"noise before", join([]byte{0xFF}, readTen), 0, join([]byte{0xFF}, readTen), 1},
		{"noise between", join(readTen, []byte{0, 1}, readThree), 1, join([]byte{0, 1}, readThree), 2},
		{"unknown function", unknown, 0, unknown, 1},
		{"noise alone", []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}, 0, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			frames, rest := cutFrames(tt.received)
			if len(frames) != tt.cut || !bytes.Equal(rest, tt.rest) {
				t.Errorf("cutFrames = %d frames, rest % X; want %d, % X", len(frames), rest, tt.cut, tt.rest)
			}
			if salvaged := salvageFrames(tt.received); len(salvaged) != tt.salvaged {
				t.Errorf("salvageFrames = %d frames, want %d", len(salvaged), tt.salvaged)
			}
		})
	}
}

// FuzzFrames feeds a stream to a line without pace in parts of any size: a request behind the noise must come out after a silence.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{}, uint8(1))
	f.Add(readTen, uint8(3))
	f.Add(join(readThree[:5], readTen), uint8(4))
	f.Add(bytes.Repeat([]byte{1, 16, 0, 0, 0, 123, 246}, 60), uint8(255))
	f.Fuzz(func(t *testing.T, noise []byte, part uint8) {
		for _, line := range []Line{{}, {Baud: 115200}} {
			p := newPacer(line)
			now := feed(t, p, fuzzStart, noise, int(part)+1)
			now = now.Add(line.Chars(len(noise)+maxFrame) + 2*p.silence)
			p.receive(now, nil)
			if len(p.rx) != 0 {
				t.Fatalf("%v: %d bytes are left after a silence", line, len(p.rx))
			}
			got := p.receive(now, readTen)
			got = append(got, p.receive(now.Add(line.Chars(len(readTen))+p.silence), nil)...)
			if len(got) != 1 || !bytes.Equal(got[0].data, readTen) {
				t.Errorf("%v: a request after a silence came out as %v", line, got)
			}
		}
	})
}

// TestFeedKeepsBound shows that bytes without end do not gather without end.
func TestFeedKeepsBound(t *testing.T) {
	for _, line := range []Line{{}, {Baud: 9600}} {
		p := newPacer(line)
		feed(t, p, fuzzStart, make([]byte, 100_000), 500)
	}
}

package modbus

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func FuzzUDPReply(f *testing.F) {
	for _, s := range []string{"00 01 00 00 00 07 01 03 04 00 0a 01 02", "00 01 00 00 00 03 01 83 02", "00 00 00 00 00 03 01 83 02", "00 01"} {
		f.Add(uint16(3), uint16(0x10), uint16(1), raw(f, s))
	}
	f.Fuzz(func(t *testing.T, kind, offset, count uint16, datagram []byte) {
		q := fuzzRequest(kind, offset, count)
		framing := newTCPFraming()
		framing.datagrams = true
		frame, err := framing.encode(1, q)
		if err != nil {
			t.Fatal(err)
		}
		r := framing.reply(frame, q)
		found, err := r.find(datagram)
		if err != nil || r.blame(datagram) != nil {
			t.Fatalf("a datagram is no reason to give up: %v", err)
		}
		if found.Frame == nil {
			if found.Skip != len(datagram) || found.Need < 1 {
				t.Fatalf("find() = %+v", found)
			}
			return
		}
		if !bytes.Equal(found.Frame, datagram) || !bytes.Equal(datagram[:2], frame[:2]) || int(binary.BigEndian.Uint16(datagram[4:])) != len(datagram)-6 {
			t.Fatalf("% x is no answer to % x", datagram, frame)
		}
		checkOpened(t, framing, q, frame, found.Frame)
	})
}

// An identification has objects of any length, in any of the framings.
func FuzzIdentification(f *testing.F) {
	f.Add(raw(f, "2b 0e 01 01 00 00 01 00 02 41 42"), uint8(0))
	f.Add(raw(f, "2b 0e 01 01 ff 05 02 00 00 01 00"), uint8(1))
	f.Add(raw(f, "ab 01"), uint8(2))
	f.Fuzz(func(t *testing.T, pdu []byte, kind uint8) {
		if len(pdu) < 2 || len(pdu) > 253 {
			return
		}
		framing := []framing{newRTUFraming(), newASCIIFraming(), newTCPFraming()}[kind%3]
		q := newIdentification(LevelBasic, 0)
		frame, err := framing.encode(1, q)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := framing.encode(1, request{function: pdu[0], data: pdu[1:]})
		if err != nil {
			t.Fatal(err)
		}
		if framing.tagged() {
			copy(answer[:2], frame[:2])
		}
		r := framing.reply(frame, q)
		found, err := r.find(answer)
		if err != nil || found.Frame == nil {
			r.blame(answer)
			return
		}
		data, err := (&client{framing: framing}).open(q, frame, found.Frame)
		if err != nil {
			return
		}
		list, size := objects(data[4:]), 0
		for _, o := range list {
			size += 2 + len(o.Value)
		}
		if len(list) != int(data[3]) || size != len(data)-4 {
			t.Fatalf("% x gives %d objects of %d bytes", data, len(list), size)
		}
	})
}

// Answers to several requests in any order, cut anywhere: each is taken once, and what is left over is no answer.
func FuzzVolley(f *testing.F) {
	f.Add(raw(f, "00 02 00 00 00 03 01 83 02 00 01 00 00 00 05 01 03 02 00 07"), uint8(9), uint16(1))
	f.Add(raw(f, "ff ff 00 00 00 03 01 83 02 00 00 00 00 00 03 01 83 02"), uint8(3), uint16(0xFFFF))
	f.Fuzz(func(t *testing.T, stream []byte, step uint8, first uint16) {
		v := &volley{first: first, answers: make([][]byte, 3), open: 3}
		var held []byte
		for len(stream) > 0 {
			n := min(len(stream), int(step)+1)
			held, stream = append(held, stream[:n]...), stream[n:]
			found, err := v.find(held)
			if err != nil {
				return
			}
			if (found.Frame != nil) != (v.open == 0) || found.Frame == nil && (found.Need < 1 || found.Skip > len(held)) {
				t.Fatalf("find() = %+v with %d open", found, v.open)
			}
			if found.Frame != nil {
				break
			}
			held = held[found.Skip:]
		}
		for i, a := range v.answers {
			if a != nil && binary.BigEndian.Uint16(a) != first+uint16(i) {
				t.Fatalf("% x was taken for request %d", a, i)
			}
		}
	})
}

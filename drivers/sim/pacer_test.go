package sim

import (
	"bytes"
	"testing"
	"time"
)

var fuzzStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// feed gives a pacer a stream in parts, each at once, and fails if it keeps more than it may. It returns the time of the last part.
func feed(t testing.TB, p *pacer, now time.Time, stream []byte, part int) time.Time {
	t.Helper()
	for len(stream) > 0 {
		n := min(part, len(stream))
		p.receive(now, stream[:n])
		stream = stream[n:]
		if len(p.rx) > maxFrame+1 {
			t.Fatalf("%v: %d bytes kept", p.line, len(p.rx))
		}
		now = now.Add(time.Microsecond)
	}
	return now
}

// at gives a moment of the pacer tests.
func at(us float64) time.Time { return fuzzStart.Add(time.Duration(us * 1000)) }

// since is the inverse of at.
func since(t time.Time) float64 { return float64(t.Sub(fuzzStart)) / 1000 }

// One bit lasts 100 us here and a character 1 ms, so that times are easy to read; t3.5 is 3.5 ms.
var tenKilobaud = Line{Baud: 10_000}

func TestPacerFrameEnds(t *testing.T) {
	tests := []struct {
		name string
		line Line
		see  []float64 // us at which one of equal parts of readTen is seen
		want []float64 // us at which a frame is complete
	}{
		{"at once", tenKilobaud, []float64{0}, []float64{8000 + 3500}},
		{"in halves at once", tenKilobaud, []float64{0, 10}, []float64{8000 + 3500}},
		{"byte by byte at the pace of the wire", tenKilobaud, []float64{1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000}, []float64{9000 + 3500}},
		{"a gap shorter than t3.5 is part of the frame", tenKilobaud, []float64{0, 4000 + 3499}, []float64{7499 + 4000 + 3500}},
		{"a gap of t3.5 ends it", tenKilobaud, []float64{0, 4000 + 3500}, []float64{4000 + 3500, 7500 + 4000 + 3500}},
		{"fast: fixed t3.5", Line{Baud: 100_000}, []float64{0}, []float64{800 + 1750}},
		{"no pace: whole frame, no silence", Line{}, []float64{0, 10}, []float64{10}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPacer(tt.line)
			var got []received
			for i, us := range tt.see {
				n := len(readTen) / len(tt.see)
				got = append(got, p.receive(at(us), readTen[i*n:][:n])...)
			}
			if next := p.next(); !next.IsZero() {
				if early := p.receive(next.Add(-1), nil); len(early) != 0 {
					t.Errorf("frame 1 ns before its end")
				}
				got = append(got, p.receive(next, nil)...)
			}
			if len(got) != len(tt.want) {
				t.Fatalf("%d frames, want %d", len(got), len(tt.want))
			}
			for i, want := range tt.want {
				if us := since(got[i].end); us != want {
					t.Errorf("frame %d ends at %v us, want %v", i, us, want)
				}
			}
		})
	}
}

// handedOver is what reached the master's end at one time.
type handedOver struct {
	us    float64
	bytes int
}

// drain lets time pass from one event to the next, each late by delay, until nothing is under way.
func drain(p *pacer, delay time.Duration) (chunks []handedOver, data []byte) {
	for next := p.next(); !next.IsZero(); next = p.next() {
		now := next.Add(delay)
		p.receive(now, nil)
		if chunk := p.due(now); len(chunk) > 0 {
			chunks = append(chunks, handedOver{since(now), len(chunk)})
			data = append(data, chunk...)
		}
	}
	return chunks, data
}

func TestPacerAnswers(t *testing.T) {
	tests := []struct {
		name  string
		line  Line
		delay time.Duration // of every wake-up
		send  func(p *pacer)
		want  []handedOver
	}{
		{
			"character by character on a slow line", tenKilobaud, 0,
			func(p *pacer) { p.send(at(500), []piece{{data: []byte("abc")}}) },
			[]handedOver{{1500, 1}, {2500, 1}, {3500, 1}},
		},
		{
			"about 1.5 ms at once on a fast line, the rest exactly on time",
			Line{Baud: 100_000},
			0,
			func(p *pacer) { p.send(at(0), []piece{{data: make([]byte, 32)}}) },
			[]handedOver{{1500, 15}, {3000, 15}, {3200, 2}},
		},
		{
			"without pace",
			Line{},
			0,
			func(p *pacer) { p.send(at(0), []piece{{data: make([]byte, 200)}}) },
			[]handedOver{{0, 200}},
		},
		{
			"late wake-ups do not add up", tenKilobaud, 300 * time.Microsecond,
			func(p *pacer) { p.send(at(0), []piece{{data: []byte("abcd")}}) },
			[]handedOver{{1300, 1}, {2300, 1}, {3300, 1}, {4300, 1}},
		},
		{
			"a very late wake-up catches up", tenKilobaud, 2500 * time.Microsecond,
			func(p *pacer) { p.send(at(0), []piece{{data: []byte("abcde")}}) },
			[]handedOver{{3500, 3}, {6500, 2}},
		},
		{
			"cut in two", tenKilobaud, 0,
			func(p *pacer) {
				p.send(at(0), []piece{{data: []byte("a")}, {pause: 5 * time.Millisecond, data: []byte("b")}})
			},
			[]handedOver{{1000, 1}, {7000, 1}},
		},
		{
			"what is planned for later lets others go first", tenKilobaud, 0,
			func(p *pacer) {
				p.send(at(0), []piece{{pause: 9 * time.Millisecond, data: []byte("late")}})
				p.send(at(0), []piece{{data: []byte("ab")}})
			},
			[]handedOver{{1000, 1}, {2000, 1}, {10000, 1}, {11000, 1}, {12000, 1}, {13000, 1}},
		},
		{
			"one after another, never both at once", tenKilobaud, 0,
			func(p *pacer) {
				p.send(at(0), []piece{{data: []byte("ab")}})
				p.send(at(1500), []piece{{data: []byte("cd")}})
			},
			[]handedOver{{1000, 1}, {2000, 1}, {3000, 1}, {4000, 1}},
		},
		{
			"nothing to send", tenKilobaud, 0,
			func(p *pacer) { p.send(at(0), []piece{{data: nil}}) },
			nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPacer(tt.line)
			tt.send(p)
			got, _ := drain(p, tt.delay)
			if len(got) != len(tt.want) {
				t.Fatalf("handed over %v, want %v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("handed over %v, want %v", got, tt.want)
				}
			}
		})
	}
}

func TestPacerOrderOfBytes(t *testing.T) {
	p := newPacer(Line{Baud: 115200})
	want := make([]byte, 200)
	for i := range want {
		want[i] = byte(i)
	}
	p.send(at(0), []piece{{data: want[:90]}, {pause: time.Millisecond, data: want[90:]}})
	if _, got := drain(p, 0); !bytes.Equal(got, want) {
		t.Errorf("handed over % X", got)
	}
}

func TestPacerEarlyRequests(t *testing.T) {
	tests := []struct {
		name string
		line Line
		us   float64 // at which a request begins; an answer lasts from 0 to 3000 us
		want bool
	}{
		{"in the middle of an answer", tenKilobaud, 1500, true},
		{"right behind an answer", tenKilobaud, 3000, true},
		{"just before t3.5", tenKilobaud, 3000 + 3499, true},
		{"at t3.5", tenKilobaud, 3000 + 3500, false},
		{"without pace", Line{}, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPacer(tt.line)
			p.send(at(0), []piece{{data: []byte("abc")}})
			for next := p.next(); !next.After(at(tt.us)) && !next.IsZero(); next = p.next() {
				p.due(next)
			}
			got := p.receive(at(tt.us), readTen)
			if len(got) == 0 {
				got = p.receive(p.frameEnd(), nil)
			}
			if len(got) != 1 || got[0].early != tt.want {
				t.Errorf("request = %+v, want early %v", got, tt.want)
			}
		})
	}
}

// TestPacerBlamesNobodyForItsOwnDelay has the last character handed over late; the silence counts from then.
func TestPacerBlamesNobodyForItsOwnDelay(t *testing.T) {
	p := newPacer(tenKilobaud)
	p.send(at(0), []piece{{data: []byte("a")}})
	p.due(at(1700))
	if !p.tooEarly(at(1700 + 3499)) {
		t.Error("3499 us after the last character is not too early")
	}
	if p.tooEarly(at(1700 + 3500)) {
		t.Error("t3.5 after the last character is too early")
	}
}

package sim

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// fakePort is a line whose other end is the test, in the fake time of a synctest bubble.
type fakePort struct {
	in      chan []byte
	stopped chan struct{} // holds one token after stop
	start   time.Time
	out     []handedOver
	data    []byte
	full    bool  // nobody reads
	fail    error // of the next read
}

func newFakePort() *fakePort {
	return &fakePort{in: make(chan []byte), stopped: make(chan struct{}, 1), start: time.Now()}
}

func (f *fakePort) readUntil(p []byte, deadline time.Time) (int, error) {
	var expired <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case data := <-f.in:
		return copy(p, data), f.fail
	case <-expired:
		return 0, nil
	case <-f.stopped:
		return 0, errStopped
	}
}

func (f *fakePort) write(p []byte) (int, error) {
	if f.full {
		return 0, nil
	}
	f.out = append(f.out, handedOver{float64(time.Since(f.start)) / 1000, len(p)})
	f.data = append(f.data, p...)
	return len(p), nil
}

func (f *fakePort) stop() {
	select {
	case f.stopped <- struct{}{}:
	default:
	}
}

func (f *fakePort) clear() {
	select {
	case <-f.stopped:
	default:
	}
}

// waitUntil lets the bubble's time pass to a moment after the port was made.
func (f *fakePort) waitUntil(us float64) {
	timer := time.NewTimer(time.Until(f.start.Add(time.Duration(us * 1000))))
	<-timer.C
	synctest.Wait()
}

// onFakeLine runs a slave with the fault unit as unit 7 while test plays the master.
func onFakeLine(t *testing.T, opts SlaveOptions, test func(port *fakePort, u *Unit, s *Slave)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		port, u := newFakePort(), faultUnit(t)
		s := newSlave(port, map[byte]*Unit{7: u, 8: faultUnit(t)}, opts)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		test(port, u, s)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

var (
	readTwo      = appendCRC([]byte{7, 3, 0, 0, 0, 2})
	readTwoReply = appendCRC([]byte{7, 3, 4, 1, 2, 3, 4})
)

// TestSlaveKeepsTheTimeOfTheWire follows the formula c(13+2N) + 2 t3.5 + Ts: 8 ms of request, 3.5 ms of silence, 2 ms of
// processing and 9 ms of answer, and not a nanosecond less.
func TestSlaveKeepsTheTimeOfTheWire(t *testing.T) {
	opts := SlaveOptions{Line: tenKilobaud, Processing: 2 * time.Millisecond}
	onFakeLine(t, opts, func(port *fakePort, _ *Unit, s *Slave) {
		port.in <- readTwo
		port.waitUntil(50_000)
		var want []handedOver
		for i := range 9 {
			want = append(want, handedOver{8000 + 3500 + 2000 + 1000*float64(i+1), 1})
		}
		if !slices.Equal(port.out, want) {
			t.Errorf("handed over %v, want %v", port.out, want)
		}
		if !slices.Equal(port.data, readTwoReply) {
			t.Errorf("answer = % X, want % X", port.data, readTwoReply)
		}
		if got, want := s.Stats(), (LineStats{Frames: 1}); got != want {
			t.Errorf("stats = %+v, want %+v", got, want)
		}
		if got, want := s.Answered(), port.start.Add(time.Duration(1000*want[8].us)); !got.Equal(want) {
			t.Errorf("answered at %v, want %v", got, want)
		}
	})
}

// Devices that are not simulated are asked when the silence behind the request is complete, and their answer starts when they give it.
func TestSlaveAsksOthers(t *testing.T) {
	var asked [][]byte
	opts := SlaveOptions{Line: tenKilobaud, Ask: func(frame []byte) []byte {
		<-time.After(2 * time.Millisecond)
		if asked = append(asked, slices.Clone(frame)); len(asked) == 1 {
			return nil
		}
		return readTwoReply
	}}
	onFakeLine(t, opts, func(port *fakePort, u *Unit, s *Slave) {
		port.in <- readTwo
		port.waitUntil(50_000)
		if len(port.out) > 0 {
			t.Errorf("handed over %v where they said nothing", port.out)
		}
		port.in <- readTwo
		port.waitUntil(100_000)
		if first, last := (handedOver{50_000 + 8000 + 3500 + 2000 + 1000, 1}), (handedOver{50_000 + 8000 + 3500 + 2000 + 9000, 1}); len(port.out) != 9 || port.out[0] != first || port.out[8] != last {
			t.Errorf("handed over %v, want 9 characters from %v to %v", port.out, first, last)
		}
		if !slices.Equal(port.data, readTwoReply) || len(asked) != 2 || !slices.Equal(asked[1], readTwo) {
			t.Errorf("answer = % X, asked % X", port.data, asked)
		}
		if got := u.Stats().Requests; got != 0 {
			t.Errorf("the simulated unit got %d requests", got)
		}
	})
}

func TestSlaveCycles(t *testing.T) {
	for _, line := range []Line{{Baud: 9600}, {Baud: 19200, Parity: EvenParity}, {Baud: 115200}} {
		t.Run(line.String(), func(t *testing.T) {
			onFakeLine(t, SlaveOptions{Line: line, StrictGap: true}, func(port *fakePort, _ *Unit, s *Slave) {
				cycle := line.Chars(8) + line.T35() + line.Chars(9) + line.T35()
				for i := range 5 {
					port.waitUntil(float64(time.Duration(i)*cycle) / 1000)
					port.in <- readTwo
				}
				port.waitUntil(float64(5*cycle) / 1000)
				if got, want := s.Stats(), (LineStats{Frames: 5}); got != want || len(port.data) != 5*len(readTwoReply) {
					t.Errorf("stats = %+v, %d bytes; a master that keeps t3.5 exactly gets 5 answers", got, len(port.data))
				}
			})
		})
	}
}

func TestSlaveAndHastyMaster(t *testing.T) {
	const answered = 8000 + 3500 + 9000 // us
	tests := []struct {
		name   string
		strict bool
		us     float64 // begin of the second request
		want   int     // answers
		stats  LineStats
	}{
		{"t3.5 kept", true, answered + 3500, 2, LineStats{Frames: 2}},
		{"too early, forgiven", false, answered + 3499, 2, LineStats{Frames: 2, GapViolations: 1}},
		{"too early, strict", true, answered + 3499, 1, LineStats{Frames: 1, GapViolations: 1}},
		{"into the answer, strict", true, answered - 4000, 1, LineStats{Frames: 1, GapViolations: 1}},
		{"into the first request", true, 1000, 0, LineStats{BadFrames: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onFakeLine(t, SlaveOptions{Line: tenKilobaud, StrictGap: tt.strict}, func(port *fakePort, _ *Unit, s *Slave) {
				port.in <- readTwo
				port.waitUntil(tt.us)
				port.in <- readTwo
				port.waitUntil(100_000)
				if got := len(port.data); got != tt.want*len(readTwoReply) {
					t.Errorf("%d bytes of answer, want %d answers", got, tt.want)
				}
				if got := s.Stats(); got != tt.stats {
					t.Errorf("stats = %+v, want %+v", got, tt.stats)
				}
			})
		})
	}
}

func TestSlaveFrames(t *testing.T) {
	tests := []struct {
		name  string
		send  []byte
		want  []byte
		stats LineStats
	}{
		{"right", readTwo, readTwoReply, LineStats{Frames: 1}},
		{"unit that is not there", appendCRC([]byte{9, 3, 0, 0, 0, 2}), nil, LineStats{Frames: 1}},
		{"wrong CRC", append(slices.Clone(readTwo[:7]), 0), nil, LineStats{BadFrames: 1}},
		{"noise", []byte{0}, nil, LineStats{BadFrames: 1}},
		{"unknown function", appendCRC([]byte{7, 0x14, 7, 6, 0, 4, 0, 1, 0, 2}), appendCRC([]byte{7, 0x94, 1}), LineStats{Frames: 1}},
		{"no function", appendCRC([]byte{7}), nil, LineStats{BadFrames: 1}},
	}
	for _, line := range []Line{tenKilobaud, {}} {
		for _, tt := range tests {
			t.Run(line.String()+"/"+tt.name, func(t *testing.T) {
				onFakeLine(t, SlaveOptions{Line: line}, func(port *fakePort, _ *Unit, s *Slave) {
					port.in <- tt.send
					port.waitUntil(100_000)
					if !slices.Equal(port.data, tt.want) {
						t.Errorf("answer = % X, want % X", port.data, tt.want)
					}
					if got := s.Stats(); got != tt.stats {
						t.Errorf("stats = %+v, want %+v", got, tt.stats)
					}
				})
			})
		}
	}
}

func TestSlaveBroadcast(t *testing.T) {
	onFakeLine(t, SlaveOptions{Line: tenKilobaud}, func(port *fakePort, u *Unit, s *Slave) {
		port.in <- appendCRC([]byte{0, 6, 0, 1, 0x12, 0x34})
		port.waitUntil(100_000)
		if len(port.data) != 0 {
			t.Errorf("a broadcast was answered with % X", port.data)
		}
		for id, unit := range s.units {
			if got := get(t, unit, HoldingRegisters, 1); got != 0x1234 {
				t.Errorf("unit %d has %04X, want 1234", id, got)
			}
		}
	})
}

// TestSlaveLateAnswerLeavesTheLineFree asks unit 8 while unit 7 takes its time.
func TestSlaveLateAnswerLeavesTheLineFree(t *testing.T) {
	onFakeLine(t, SlaveOptions{Line: tenKilobaud}, func(port *fakePort, u *Unit, s *Slave) {
		u.Inject(Late(100*time.Millisecond), 1)
		port.in <- readTwo
		port.waitUntil(50_000)
		port.in <- appendCRC([]byte{8, 3, 0, 0, 0, 2})
		port.waitUntil(200_000)
		want := slices.Concat(appendCRC([]byte{8, 3, 4, 1, 2, 3, 4}), readTwoReply)
		if !slices.Equal(port.data, want) {
			t.Errorf("answers = % X, want % X", port.data, want)
		}
		if got := port.out[9].us; got != 8000+3500+100_000+1000 {
			t.Errorf("the late answer begins at %v us", got)
		}
		if got := s.Stats().GapViolations; got != 0 {
			t.Errorf("%d violations by a master that waited", got)
		}
	})
}

func TestSlaveCountsLostBytes(t *testing.T) {
	onFakeLine(t, SlaveOptions{Line: tenKilobaud}, func(port *fakePort, _ *Unit, s *Slave) {
		port.full = true
		port.in <- readTwo
		port.waitUntil(100_000)
		if got, want := s.Stats(), (LineStats{Frames: 1, LostBytes: 9}); got != want {
			t.Errorf("stats = %+v, want %+v", got, want)
		}
	})
}

func TestSlaveRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		port := newFakePort()
		s := newSlave(port, map[byte]*Unit{7: faultUnit(t)}, SlaveOptions{})
		for range 3 {
			port.stop() // what an end that came late has left behind
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- s.Run(ctx) }()
			port.in <- readTwo
			synctest.Wait()
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run = %v", err)
			}
		}
		if got := s.Stats().Frames; got != 3 {
			t.Errorf("%d frames, want 3", got)
		}
	})
}

func TestSlaveRunFailsWithThePort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		port, broken := newFakePort(), errors.New("input/output error")
		port.fail = broken
		done := make(chan error)
		go func() { done <- newSlave(port, nil, SlaveOptions{}).Run(t.Context()) }()
		port.in <- nil
		if err := <-done; !errors.Is(err, broken) || err.Error() != "read from pty: input/output error" {
			t.Errorf("Run = %v", err)
		}
	})
}

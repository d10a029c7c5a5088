package bus

import (
	"testing"
	"time"
)

func TestLatenessIsTheMedian(t *testing.T) {
	var l lateness
	for i := range 3000 {
		l.note(time.Duration(50+i%21) * time.Microsecond) // 50 to 70 us
	}
	if got := l.usual; got < 55*time.Microsecond || got > 65*time.Microsecond {
		t.Errorf("usually %v late, want about 60us", got)
	}
	for range 3000 {
		l.note(time.Second)
	}
	if l.usual != mostLate {
		t.Errorf("always very late: %v, want %v", l.usual, mostLate)
	}
	for range 3000 {
		l.note(0)
	}
	if l.usual != 0 {
		t.Errorf("always in time: %v", l.usual)
	}
}

// A request never comes sooner than t3.5 after the answer before it, however late waits were until now.
func TestLateWaitsLeaveTheSilence(t *testing.T) {
	l := newFakeLink()
	var received time.Time
	l.answer = func([]byte) { l.in <- []byte("answer") }
	opts := Options{Port: "/dev/fake", Mode: Mode{Baud: 115200}}
	b := fakeBus(t, opts, func() (link, error) { return l, nil })
	for i := range 100 {
		b.late.usual = mostLate
		mustExchange(t, b, ask("request", "answer"), "answer")
		if i > 0 {
			if got := l.sentAt[i].Sub(received); got < opts.Mode.Silence() {
				t.Fatalf("sent %v after the answer, want t3.5 = %v", got, opts.Mode.Silence())
			}
		}
		received = b.last
	}
}

package bus

import (
	"testing"
	"time"
)

// A request never comes sooner than t3.5 after the answer before it, however late waits were until now.
func TestLateWaitsLeaveTheSilence(t *testing.T) {
	l := newFakeLink()
	var received time.Time
	l.answer = func([]byte) { l.in <- []byte("answer") }
	opts := Options{Port: "/dev/fake", Mode: Mode{Baud: 115200}}
	b := fakeBus(t, opts, func() (link, error) { return l, nil })
	for i := range 100 {
		for range 100 { // as late as is made up for
			b.late.Note(time.Second)
		}
		mustExchange(t, b, ask("request", "answer"), "answer")
		if i > 0 {
			if got := l.sentAt[i].Sub(received); got < opts.Mode.Silence() {
				t.Fatalf("sent %v after the answer, want t3.5 = %v", got, opts.Mode.Silence())
			}
		}
		received = b.last
	}
}

package bus

import (
	"testing"
	"testing/synctest"
	"time"
)

// A frame that nothing but silence ends is the answer when the line has fallen silent, and not before.
func TestSilenceEndsAnOpenFrame(t *testing.T) {
	for name, opts := range map[string]Options{"TCP": tcpOptions, "Serial": serialOptions} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newFakeLink()
				b := fakeBus(t, opts, func() (link, error) { return l, nil })
				l.answer = func([]byte) {
					l.in <- []byte("yes")
					time.AfterFunc(20*time.Millisecond, func() { l.in <- []byte("yes") })
				}
				start := time.Now()
				c := Conversation{Request: []byte("?"), Timeout: time.Second, Find: func(received []byte) (Found, error) {
					if len(received)%3 != 0 || len(received) == 0 {
						return Found{Need: 1}, nil
					}
					return Found{Frame: received, Open: true}, nil
				}}
				mustExchange(t, b, c, "yesyes")
				if took := time.Since(start); took > 100*time.Millisecond {
					t.Errorf("took %v, want the silence behind the answer and not the timeout", took)
				}
			})
		})
	}
}

package bus

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/drivers/bus/trace"
)

// short writes a conversation as "answer: ? at 4ms, ye at 5ms, s at 6ms".
func short(x trace.Exchange) string {
	parts := []string{fmt.Sprintf("%s at %v", x.Sent, x.SentAt.Round(time.Millisecond))}
	for _, c := range x.Received {
		parts = append(parts, fmt.Sprintf("%s at %v", c.Bytes, c.At.Round(time.Millisecond)))
	}
	return fmt.Sprintf("%s: %s, took %v", x.Outcome, strings.Join(parts, ", "), x.Took.Round(time.Millisecond))
}

// Each conversation is told once, with what left and what came, when, and how it ended.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []trace.Exchange
		o := serialOptions
		o.Trace = func(x trace.Exchange) { told = append(told, x) }
		l, up := newFakeLink(), false
		b := fakeBus(t, o, func() (link, error) {
			if !up {
				return nil, errBroken
			}
			return l, nil
		})
		says := func(parts ...string) func([]byte) {
			return func([]byte) {
				go func() {
					for _, p := range parts {
						<-time.After(10 * time.Millisecond)
						l.in <- []byte(p)
					}
				}()
			}
		}
		talk := func(want string, find Framer, answer func([]byte)) {
			t.Helper()
			told, l.answer = nil, answer
			c := ask("?", "yes")
			if find != nil {
				c.Find = find
			}
			start := time.Now()
			_, err := b.Exchange(t.Context(), c)
			if len(told) != 1 || short(told[0]) != want || told[0].Bus != "/dev/fake" || !told[0].Time.Equal(start) {
				t.Fatalf("told %v, want %s", told, want)
			}
			if x := told[0]; (err == nil) != (x.Error == "") || err != nil && err.Error() != x.Error {
				t.Errorf("told error %q of %v", x.Error, err)
			}
		}
		talk("offline:  at 0s, took 0s", nil, nil)
		up = true
		if err := b.Close(); err != nil { // ends the backoff
			t.Fatal(err)
		}
		talk("answer: ? at 4ms, ye at 14ms, s at 24ms, took 24ms", nil, says("ye", "s"))
		talk("timeout: ? at 4ms, took 1.008s", nil, nil)
		go func() { l.in <- []byte("late") }()
		synctest.Wait()
		talk("garbage: ? at 4ms, late at 0s, no at 14ms, took 1.008s", nil, says("no"))
		damaged := func(received []byte) (Found, error) { return Found{Need: 1, Damaged: len(received) > 0}, nil }
		talk("damaged: ? at 0s, yse at 10ms, took 44ms", damaged, says("yse"))
		talk("lost: ? at 0s, took 0s", func([]byte) (Found, error) { return Found{}, errBroken }, nil)
		l = newFakeLink()
		talk("panic: ? at 4ms, took 4ms", func([]byte) (Found, error) { panic("boom") }, nil)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		l = newFakeLink()
		ctx, cancel := context.WithCancel(t.Context())
		told, l.answer = nil, func([]byte) { cancel() }
		if _, err := b.Exchange(ctx, ask("?", "yes")); err == nil || len(told) != 1 || told[0].Outcome != trace.Cancelled {
			t.Errorf("told %v", told)
		}
		told, l.answer = nil, nil
		noise, quiet := time.NewTicker(time.Millisecond), make(chan struct{})
		defer noise.Stop()
		go func() {
			for {
				select {
				case <-noise.C:
					l.in <- []byte{0}
				case <-quiet:
					return
				}
			}
		}()
		_, err := b.Exchange(t.Context(), ask("?", "yes"))
		close(quiet)
		if err == nil || len(told) != 1 || told[0].Outcome != trace.Busy || told[0].Sent != nil || told[0].Cut == 0 {
			t.Errorf("told %v, %v, want a busy line with bytes left out", told, err)
		}
	})
}

// Without a listener a link is used as it is: tracing costs nothing when it is off.
func TestTraceIsOff(t *testing.T) {
	l := newFakeLink()
	l.answer = func([]byte) { l.in <- []byte("yes") }
	b := fakeBus(t, tcpOptions, func() (link, error) { return l, nil })
	mustExchange(t, b, ask("?", "yes"), "yes")
	if b.link != l {
		t.Errorf("the link is %T", b.link)
	}
}

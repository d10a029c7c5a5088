package bus

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestNewRefuses(t *testing.T) {
	mode := Mode{Baud: 9600}
	for _, tc := range []struct {
		name string
		opts Options
		want string
	}{
		{"Nothing", Options{}, "a bus needs either a serial port or a network endpoint"},
		{"Both", Options{Port: "/dev/ttyS0", Mode: mode, Endpoint: "h:502"}, "a bus needs either a serial port or a network endpoint"},
		{"NegativeBaud", Options{Port: "p", Mode: Mode{Baud: -1}}, "port p: baud -1 is outside 50 to 4000000: 9600, 19200, 38400 and 115200 are common"},
		{"NoBaud", Options{Port: "p"}, "port p: baud 0 is outside 50 to 4000000: 9600, 19200, 38400 and 115200 are common"},
		{"DataBits", Options{Port: "p", Mode: Mode{Baud: 9600, DataBits: 9}}, "port p: data bits 9: a character has 5 to 8"},
		{"StopBits", Options{Port: "p", Mode: Mode{Baud: 9600, StopBits: 3}}, "port p: stop bits 3: a character ends with 1 or 2"},
		{"Parity", Options{Port: "p", Mode: Mode{Baud: 9600, Parity: 3}}, "port p: parity 3: use none, even or odd"},
		{"Gap", Options{Endpoint: "h:502", Gap: -1}, "a duration of the bus is negative"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := New(tc.opts); err == nil || err.Error() != tc.want {
				t.Errorf("New() error = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestModeTiming(t *testing.T) {
	for _, tc := range []struct {
		mode    Mode
		text    string
		char    time.Duration
		silence time.Duration
	}{
		{Mode{Baud: 9600}, "9600 8N1", 1041666, 3645833},
		{Mode{Baud: 9600, Parity: ParityEven}, "9600 8E1", 1145833, 4010416},
		{Mode{Baud: 19200, StopBits: 2}, "19200 8N2", 572916, 2005208},
		{Mode{Baud: 38400, Parity: ParityOdd}, "38400 8O1", 286458, 1750000},
		{Mode{Baud: 115200}, "115200 8N1", 86805, 1750000},
	} {
		t.Run(tc.text, func(t *testing.T) {
			if got := tc.mode.String(); got != tc.text {
				t.Errorf("String() = %q, want %q", got, tc.text)
			}
			if got := tc.mode.Chars(1); got != tc.char {
				t.Errorf("Chars(1) = %d, want %d", got, tc.char)
			}
			if got := tc.mode.Silence(); got != tc.silence {
				t.Errorf("Silence() = %d, want %d", got, tc.silence)
			}
		})
	}
}

func TestBackoffRefusesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, up, dials := newFakeLink(), false, 0
		l.answer = func([]byte) { l.in <- []byte("yes") }
		b := fakeBus(t, tcpOptions, func() (link, error) {
			if dials++; !up {
				return nil, errBroken
			}
			return l, nil
		})
		start := time.Now()
		var attempts []time.Duration
		for time.Since(start) < time.Minute {
			before := dials
			_, err := b.Exchange(t.Context(), ask("?", "yes"))
			var offline *OfflineError
			if !errors.As(err, &offline) || !errors.Is(err, errBroken) {
				t.Fatalf("Exchange() error = %v, want an OfflineError with the reason", err)
			}
			if dials > before {
				attempts = append(attempts, time.Since(start))
			}
			<-time.After(10 * time.Millisecond)
		}
		if len(attempts) < 12 || len(attempts) > 30 {
			t.Errorf("%d attempts in a minute, want backoff up to 5 s", len(attempts))
		}
		if first, last := attempts[1]-attempts[0], attempts[len(attempts)-1]-attempts[len(attempts)-2]; last < 10*first {
			t.Errorf("waits %v and then %v, want them to grow", first, last)
		}
		up = true
		<-time.After(6 * time.Second)
		mustExchange(t, b, ask("?", "yes"), "yes")
		if s := b.Stats(); !s.Open || s.Opens != 1 {
			t.Errorf("Stats() = %+v, want one opening", s)
		}
	})
}

func TestLinkThatWorkedIsReopenedAtOnce(t *testing.T) {
	for name, opts := range map[string]Options{"TCP": tcpOptions, "Serial": serialOptions} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var links []*fakeLink
				b := fakeBus(t, opts, func() (link, error) {
					l := newFakeLink()
					l.answer = func([]byte) { l.in <- []byte("yes") }
					links = append(links, l)
					return l, nil
				})
				for i := range 5 {
					mustExchange(t, b, ask("?", "yes"), "yes")
					links[i].readErr = errBroken
					links[i].answer = nil
					var offline *OfflineError
					if _, err := b.Exchange(t.Context(), ask("?", "yes")); !errors.As(err, &offline) || offline.Wait != 0 {
						t.Fatalf("Exchange() error = %v, want an OfflineError without a wait", err)
					}
					if !links[i].closed {
						t.Fatal("the broken link was not closed")
					}
				}
			})
		})
	}
}

func TestLinkThatNeverWorkedBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		b := fakeBus(t, tcpOptions, func() (link, error) {
			dials++
			l := newFakeLink()
			l.readErr = errBroken
			return l, nil
		})
		for range 100 {
			_, _ = b.Exchange(t.Context(), ask("?", "yes"))
		}
		if dials != 1 {
			t.Errorf("%d connections to a peer that hangs up at once, want 1 before the backoff is over", dials)
		}
	})
}

// A late answer on a stream would be read as the answer to the next request (field notes: transaction id off by one for ever).
func TestTimeoutClosesAStreamWithoutBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var links []*fakeLink
		b := fakeBus(t, tcpOptions, func() (link, error) {
			links = append(links, newFakeLink())
			return links[len(links)-1], nil
		})
		for i := range 3 {
			_, err := b.Exchange(t.Context(), ask("?", "yes"))
			var reply *ReplyError
			if !errors.As(err, &reply) || reply.Error() != "no answer within 1s" {
				t.Fatalf("Exchange() error = %v, want no answer within 1s", err)
			}
			if len(links) != i+1 || !links[i].closed {
				t.Fatalf("after %d timeouts: %d connections, last one closed: %v", i+1, len(links), links[i].closed)
			}
		}
	})
}

func TestTimeoutKeepsASerialPortAndPurgesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dials := newFakeLink(), 0
		b := fakeBus(t, serialOptions, func() (link, error) { dials++; return l, nil })
		l.answer = func([]byte) { l.in <- []byte("n") }
		_, err := b.Exchange(t.Context(), ask("?", "yes"))
		var reply *ReplyError
		if !errors.As(err, &reply) || string(reply.Received) != "n" || err.Error() != "no valid answer within 1s, only other bytes" {
			t.Fatalf("Exchange() error = %v, want what was received", err)
		}
		l.answer = func([]byte) { l.in <- []byte("yes") }
		mustExchange(t, b, ask("?", "yes"), "yes")
		if dials != 1 || l.purges != 1 {
			t.Errorf("%d openings and %d purges, want 1 and 1", dials, l.purges)
		}
	})
}

// t3.5 after the last character, which may be a foreign one, and not earlier than NotBefore.
func TestSilenceBeforeARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newFakeLink()
		b := fakeBus(t, serialOptions, func() (link, error) { return l, nil })
		l.answer = func([]byte) { l.in <- []byte("yes") }
		silence := serialOptions.Mode.Silence()

		mustExchange(t, b, ask("1", "yes"), "yes")
		received := time.Now()
		mustExchange(t, b, ask("2", "yes"), "yes")
		if got := l.sentAt[1].Sub(received); got != silence {
			t.Errorf("sent %v after the answer, want t3.5 = %v", got, silence)
		}

		var noise time.Time
		time.AfterFunc(3*time.Millisecond, func() { noise = time.Now(); l.in <- []byte("yes") }) // what the framer would take
		mustExchange(t, b, ask("3", "yes"), "yes")
		if got := l.sentAt[2].Sub(noise); got != silence {
			t.Errorf("sent %v after a foreign character, want t3.5 = %v", got, silence)
		}

		late := time.Now().Add(700 * time.Millisecond)
		time.AfterFunc(600*time.Millisecond, func() { l.in <- []byte("yes") })
		c := ask("4", "yes")
		c.NotBefore = late
		mustExchange(t, b, c, "yes")
		if got := l.sentAt[3]; !got.Equal(late) {
			t.Errorf("sent %v after NotBefore, want 0s", got.Sub(late))
		}
	})
}

func TestGapAndConnectDelay(t *testing.T) {
	for name, opts := range map[string]Options{"TCP": tcpOptions, "Serial": serialOptions} {
		t.Run(name, func(t *testing.T) {
			opts.Gap, opts.ConnectDelay = 50*time.Millisecond, 2*time.Second
			synctest.Test(t, func(t *testing.T) {
				l, start := newFakeLink(), time.Now()
				b := fakeBus(t, opts, func() (link, error) { return l, nil })
				l.answer = func([]byte) { l.in <- []byte("yes") }
				mustExchange(t, b, ask("1", "yes"), "yes")
				first := time.Now()
				mustExchange(t, b, ask("2", "yes"), "yes")
				if got := l.sentAt[0].Sub(start); got != opts.ConnectDelay {
					t.Errorf("first request after %v, want %v", got, opts.ConnectDelay)
				}
				if got := l.sentAt[1].Sub(first); got != opts.Gap {
					t.Errorf("second request after %v, want %v", got, opts.Gap)
				}
			})
		})
	}
}

// lateLink is a link whose first read returns long after it has begun, as on a machine that is busy with other things.
type lateLink struct {
	*fakeLink
	stall time.Duration
}

func (l *lateLink) read(ctx context.Context, p []byte, deadline time.Time) (int, error) {
	n, err := l.fakeLink.read(ctx, p, deadline)
	stall := l.stall
	l.stall = 0
	return n, errors.Join(err, pause(ctx, stall))
}

// Stale characters that are seen late are no babble: the line was silent all the while.
func TestStaleInputSeenLateIsNoBabble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newFakeLink()
		l.in <- []byte("stale")
		l.answer = func([]byte) { l.in <- []byte("yes") }
		c := ask("1", "yes")
		b := fakeBus(t, serialOptions, func() (link, error) { return &lateLink{l, c.Timeout + time.Second}, nil })
		mustExchange(t, b, c, "yes")
	})
}

func TestBabblingLineIsNotWaitedForForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newFakeLink()
		b := fakeBus(t, serialOptions, func() (link, error) { return l, nil })
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() {
			for pause(ctx, time.Millisecond) == nil {
				l.in <- []byte{0x55}
			}
		}()
		_, err := b.Exchange(ctx, ask("?", "yes"))
		var reply *ReplyError
		if !errors.As(err, &reply) || !reply.Busy || len(l.sent) != 0 {
			t.Errorf("Exchange() error = %v with %d requests sent, want a busy line and none", err, len(l.sent))
		}
	})
}

// What arrives without end must neither fill memory nor hide an answer that comes at last.
func TestNoiseBeyondTheBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newFakeLink()
		b := fakeBus(t, serialOptions, func() (link, error) { return l, nil })
		l.answer = func([]byte) {
			for range 12 {
				l.in <- make([]byte, 256)
			}
			l.in <- []byte("yes")
		}
		c := ask("?", "yes")
		c.Find = func(received []byte) (Found, error) {
			if len(received) > len(b.buf) {
				t.Fatalf("%d bytes shown", len(received))
			}
			if i := strings.Index(string(received), "yes"); i >= 0 {
				return Found{Frame: received[i:]}, nil
			}
			return Found{Need: 1}, nil
		}
		mustExchange(t, b, c, "yes")
	})
}

func TestDamagedAnswerEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newFakeLink()
		b := fakeBus(t, serialOptions, func() (link, error) { return l, nil })
		l.answer = func([]byte) { l.in <- []byte("yEs") }
		c := ask("?", "yes")
		c.Find = func(received []byte) (Found, error) { return Found{Damaged: len(received) == 3}, nil }
		start := time.Now()
		_, err := b.Exchange(t.Context(), c)
		var reply *ReplyError
		if waited := time.Since(start); !errors.As(err, &reply) || !reply.Damaged || waited >= c.Timeout {
			t.Errorf("Exchange() error = %v after %v, want damaged before the timeout", err, waited)
		}
	})
}

func TestPanicIsContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var links []*fakeLink
		b := fakeBus(t, serialOptions, func() (link, error) {
			l := newFakeLink()
			l.answer = func([]byte) { l.in <- []byte("yes") }
			links = append(links, l)
			return l, nil
		})
		bad := ask("?", "yes")
		bad.Find = func([]byte) (Found, error) { panic("index out of range [17]") }
		_, err := b.Exchange(t.Context(), bad)
		var caught *PanicError
		if !errors.As(err, &caught) || len(caught.Stack) == 0 || err.Error() != "panic on the bus: index out of range [17]" {
			t.Fatalf("Exchange() error = %v, want the panic", err)
		}
		if !links[0].closed || b.Stats().Open || b.Stats().Panics != 1 {
			t.Errorf("after a panic: link closed %v, stats %+v", links[0].closed, b.Stats())
		}
		<-time.After(time.Second)
		mustExchange(t, b, ask("?", "yes"), "yes")
	})
}

func TestCancel(t *testing.T) {
	t.Run("WhileWaitingForTheTurn", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := fakeBus(t, serialOptions, func() (link, error) { return newFakeLink(), nil })
			b.turn <- struct{}{}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := b.Exchange(ctx, ask("?", "yes")); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Exchange() error = %v, want the context's", err)
			}
		})
	})
	for name, opts := range map[string]Options{"TCP": tcpOptions, "Serial": serialOptions} {
		t.Run("InConversation"+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newFakeLink()
				b := fakeBus(t, opts, func() (link, error) { return l, nil })
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				defer cancel()
				if _, err := b.Exchange(ctx, ask("?", "yes")); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Exchange() error = %v, want the context's", err)
				}
				if l.closed == b.line {
					t.Errorf("link closed: %v, want a stream closed and a port kept", l.closed)
				}
			})
		})
	}
}

func TestCloseAndUseAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var links []*fakeLink
		b := fakeBus(t, serialOptions, func() (link, error) {
			l := newFakeLink()
			l.answer = func([]byte) { l.in <- []byte("yes") }
			links = append(links, l)
			return l, nil
		})
		for i := range 3 {
			mustExchange(t, b, ask("?", "yes"), "yes")
			for range 2 { // the second Close has nothing to do
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if len(links) != i+1 || !links[i].closed || b.Stats().Open {
				t.Fatalf("after close %d: %d links, stats %+v", i, len(links), b.Stats())
			}
		}
	})
}

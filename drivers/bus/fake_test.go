package bus

import (
	"context"
	"errors"
	"testing"
	"time"
)

// fakeLink is a link whose other side the test plays. Its waits use timers only, so that it works in fake time.
type fakeLink struct {
	in      chan []byte // what the other side sends
	rest    []byte
	sent    [][]byte
	sentAt  []time.Time
	answer  func(request []byte) // called for each write
	readErr error
	purges  int
	closed  bool
	gone    bool
}

func newFakeLink() *fakeLink { return &fakeLink{in: make(chan []byte, 16)} }

func (l *fakeLink) read(ctx context.Context, p []byte, deadline time.Time) (int, error) {
	if l.closed {
		return 0, errClosed
	}
	if l.readErr != nil {
		return 0, l.readErr
	}
	if len(l.rest) == 0 {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		select { // what is there wins over a deadline that has passed
		case l.rest = <-l.in:
		default:
			select {
			case l.rest = <-l.in:
			case <-timer.C:
				return 0, errTimeout
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func (l *fakeLink) write(p []byte, _ time.Time) error {
	if l.closed {
		return errClosed
	}
	l.sent = append(l.sent, append([]byte(nil), p...))
	l.sentAt = append(l.sentAt, time.Now())
	if l.answer != nil {
		l.answer(p)
	}
	return nil
}

func (l *fakeLink) pause(ctx context.Context, d time.Duration) error { return pause(ctx, d) }
func (l *fakeLink) purge() error                                     { l.purges++; return nil }
func (l *fakeLink) standing() bool                                   { return !l.gone }

func (l *fakeLink) close() error {
	if l.closed {
		return errClosed
	}
	l.closed = true
	return nil
}

// fakeBus returns a bus whose links come from dial.
func fakeBus(t *testing.T, o Options, dial func() (link, error)) *Bus {
	t.Helper()
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	b.dial = func(context.Context) (link, error) { return dial() }
	return b
}

var (
	serialOptions = Options{Port: "/dev/fake", Mode: Mode{Baud: 9600}}
	tcpOptions    = Options{Endpoint: "fake:502"}
)

// wants returns a framer that waits for exactly this answer and skips nothing.
func wants(answer string) Framer {
	return func(received []byte) (Found, error) {
		if string(received) == answer {
			return Found{Frame: received}, nil
		}
		return Found{Need: max(1, len(answer)-len(received))}, nil
	}
}

func ask(request, answer string) Conversation {
	return Conversation{Request: []byte(request), Expect: len(answer), Timeout: time.Second, Find: wants(answer)}
}

func mustExchange(t *testing.T, b *Bus, c Conversation, want string) {
	t.Helper()
	got, err := b.Exchange(t.Context(), c)
	if err != nil || string(got) != want {
		t.Fatalf("Exchange() = %q, %v, want %q", got, err, want)
	}
}

var errBroken = errors.New("broken pipe")

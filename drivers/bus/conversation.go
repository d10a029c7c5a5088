package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// Conversation is one request and what its answer looks like.
type Conversation struct {
	Request []byte
	Expect  int // length of the usual answer in bytes; its time on the wire is granted on top of Timeout
	// Timeout is how long the device may think: from the end of the request to its answer.
	Timeout time.Duration
	// NotBefore is when the request may be sent at the earliest. Until then a serial line is listened to, and what comes is
	// thrown away: the way to let the late answer of an earlier request pass.
	NotBefore time.Time
	Gap       time.Duration // silence before this request, when longer than that of the bus
	// Find recognises the answer. Without it nobody answers: the request is a broadcast, and nothing else is sent until Timeout has
	// passed, which the devices need to carry it out.
	Find Framer
}

// Framer looks for the answer in what was received since the request was sent. It is called with nothing at first, then whenever more
// has come, each time with all bytes that it did not skip. An error ends the conversation and closes the bus.
type Framer func(received []byte) (Found, error)

// Found is what a Framer found.
type Found struct {
	Frame []byte // the answer, a part of what was received; nil while it is not complete
	Skip  int    // so many bytes at the beginning are no part of the answer, and are not shown again
	Need  int    // at least so many bytes are still missing: how long to sleep before it is worth looking again
	// Open says that nothing but silence tells whether the frame is complete: it is the answer if no more comes.
	Open bool
	// Damaged says that the answer is there but spoilt: give up as soon as the line is silent.
	Damaged bool
}

// settle is the time that a serial adapter may hold back characters that have already arrived (FTDI's latency timer: 16 ms).
const settle = 30 * time.Millisecond

// converse holds one conversation on the open link.
func (b *Bus) converse(ctx context.Context, c Conversation) ([]byte, error) {
	b.sent = false
	if err := b.quiet(ctx, c); err != nil {
		return nil, err
	}
	b.sent = true
	now := time.Now()
	if err := b.link.write(c.Request, now.Add(c.Timeout)); err != nil {
		return nil, b.lost("send to", err)
	}
	b.last = time.Now().Add(b.wire(len(c.Request)))
	if c.Find == nil {
		b.hold = b.last.Add(c.Timeout)
		return nil, nil
	}
	return b.receive(ctx, c, b.last.Add(c.Timeout+b.wire(c.Expect)))
}

// wire returns how long n characters take on a serial line; a network takes no time that would be worth waiting for.
func (b *Bus) wire(n int) time.Duration {
	if !b.line {
		return 0
	}
	return b.opts.Mode.Chars(n)
}

// silence returns how long the line must have been silent before a request.
func (b *Bus) silence() time.Duration {
	if !b.line || b.opts.Marked {
		return b.opts.Gap
	}
	return max(b.opts.Mode.Silence(), b.opts.Gap)
}

// quiet waits for the silence that comes before a request.
func (b *Bus) quiet(ctx context.Context, c Conversation) error {
	silence, notBefore := max(b.silence(), c.Gap), later(c.NotBefore, b.hold)
	if !b.line && !b.opts.Untagged {
		return b.link.pause(ctx, time.Until(later(b.last.Add(silence), notBefore)))
	}
	limit := later(time.Now(), notBefore).Add(silence + max(c.Timeout, settle))
	for over := false; ; over = b.last.After(limit) {
		n, err := b.listen(ctx, later(b.last.Add(silence), notBefore))
		if errors.Is(err, errTimeout) {
			return nil
		}
		if err != nil {
			return b.lost("listen on", err)
		}
		b.last = time.Now()
		if over { // and not what was seen after the limit for the first time: that may be stale, and this thread late
			return &ReplyError{Timeout: c.Timeout, Received: shown(b.buf[:n]), Busy: true}
		}
	}
}

// ahead is how much sooner than the last character a wait for it ends. What was received was seen late, and the wait would be late once more;
// a read is so only once.
const ahead = 250 * time.Microsecond

// receive reads until the framer has found the answer or the deadline has passed.
func (b *Bus) receive(ctx context.Context, c Conversation, deadline time.Time) ([]byte, error) {
	n := 0
	// An answer of that length is complete at that time if it comes without pauses. A port hands over what it has gathered now and then, so what it has
	// not yet handed over may already be there: the time stands while the length does.
	length, complete := 0, time.Time{}
	for {
		found, err := c.Find(b.buf[:n])
		if err != nil {
			return nil, fmt.Errorf("answer from %s: %w", b.where, err)
		}
		if found.Frame != nil && !found.Open {
			return found.Frame, nil
		}
		if n = b.forget(n, found.Skip); b.datagrams {
			n = 0 // what follows in the next one is no part of this
		}
		limit := deadline
		if found.Damaged || found.Open {
			limit = earlier(deadline, b.last.Add(b.silence()+settle))
		} else if n > 0 {
			if length != n+found.Need {
				length, complete = n+found.Need, b.last.Add(b.wire(found.Need))
			}
			if err := b.link.pause(ctx, time.Until(earlier(complete.Add(-ahead), deadline))); err != nil {
				return nil, err
			}
		}
		m, err := b.link.read(ctx, b.buf[n:], limit)
		if errors.Is(err, errTimeout) && found.Open {
			return found.Frame, nil
		}
		if errors.Is(err, errTimeout) {
			return nil, &ReplyError{Timeout: c.Timeout, Received: shown(b.buf[:n]), Damaged: found.Damaged}
		}
		if err != nil {
			return nil, b.lost("receive from", err)
		}
		n += m
		b.last = time.Now()
	}
}

// forget removes the first skip of n received bytes, and half of them when there is no room left for more; it returns how many remain.
func (b *Bus) forget(n, skip int) int {
	if skip = min(skip, n); n-skip == len(b.buf) {
		skip = n / 2
	}
	return copy(b.buf[:], b.buf[skip:n])
}

// lost words an error of the link; the context's own errors stay as they are.
func (b *Bus) lost(verb string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%s %s: %w", verb, b.where, err)
}

// shown copies as much of p as a ReplyError shows.
func shown(p []byte) []byte { return bytes.Clone(p[:min(len(p), maxShown)]) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

package bus

import (
	"context"
	"errors"
	"time"

	"github.com/tidegate/tidegate/drivers/bus/trace"
)

// recorder writes one conversation at a time down, at the link: what leaves and what comes, and when.
type recorder struct {
	tell func(trace.Exchange)
	x    trace.Exchange
}

// newRecorder returns nil when nobody wants to know.
func newRecorder(tell func(trace.Exchange)) *recorder {
	if tell == nil {
		return nil
	}
	return &recorder{tell: tell}
}

// begin starts a conversation; the function that it returns ends it with the error that Exchange returns.
func (r *recorder) begin(b *Bus) (end func(*error)) {
	if r == nil {
		return func(*error) {}
	}
	r.x = trace.Exchange{Time: time.Now(), Bus: b.where}
	return func(err *error) {
		r.x.Took = time.Since(r.x.Time)
		r.x.Outcome = outcome(*err)
		if *err != nil {
			r.x.Error = (*err).Error()
		}
		r.tell(r.x)
		r.x = trace.Exchange{}
	}
}

// listen returns the link with the recorder in between, or as it is when there is none.
func (r *recorder) listen(l link) link {
	if r == nil {
		return l
	}
	return &tracedLink{link: l, r: r}
}

// tracedLink is a link whose bytes are written down.
type tracedLink struct {
	link
	r *recorder
}

func (l *tracedLink) read(ctx context.Context, p []byte, deadline time.Time) (int, error) {
	n, err := l.link.read(ctx, p, deadline)
	if n > 0 && !l.r.x.Time.IsZero() {
		l.r.x.Receive(time.Since(l.r.x.Time), p[:n])
	}
	return n, err
}

// write notes the request before it is sent, so that its offset is not later than that of the answer.
func (l *tracedLink) write(p []byte, deadline time.Time) error {
	l.r.x.SentAt = time.Since(l.r.x.Time)
	l.r.x.Sent = append(l.r.x.Sent, p...)
	return l.link.write(p, deadline)
}

// outcome puts the error of an Exchange into the words of a trace.
func outcome(err error) trace.Outcome {
	var reply *ReplyError
	var offline *OfflineError
	var panicked *PanicError
	switch {
	case err == nil:
		return trace.Answer
	case errors.As(err, &reply):
		return reply.outcome()
	case errors.As(err, &panicked):
		return trace.Panic
	case errors.As(err, &offline) && !offline.Sent:
		return trace.Offline
	case errors.As(err, &offline):
		return trace.Lost
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return trace.Cancelled
	default:
		return trace.Lost
	}
}

// outcome tells the ways apart in which no valid answer came.
func (e *ReplyError) outcome() trace.Outcome {
	switch {
	case e.Busy:
		return trace.Busy
	case e.Damaged:
		return trace.Damaged
	case len(e.Received) > 0:
		return trace.Garbage
	default:
		return trace.Timeout
	}
}

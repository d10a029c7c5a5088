package bus

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/drivers/bus/trace"
	"github.com/tidegate/tidegate/gateway"
)

// Options describe a bus. Exactly one of Port and Endpoint is set.
type Options struct {
	Port string // device node of a serial port
	Mode Mode   // of the serial port
	// RS485 says who switches the transmitter of an RS-485 line; the zero value leaves that to the adapter.
	RS485 RS485

	Endpoint    string        // host:port of a network server
	Network     Network       // what leads to the endpoint
	TLS         *tls.Config   // for NetworkTLS; nil trusts what the system trusts. A name to check is taken from Endpoint when it has none
	DialTimeout time.Duration // for the connection; 0 means 3 s

	// Marked says that each frame carries a mark at its beginning and its end, so that a serial line needs no silence of t3.5 between them.
	Marked bool
	// Untagged says that an answer over a network carries nothing that tells it from a late one: what has come in before a request is
	// thrown away, as on a serial line.
	Untagged bool

	Gap          time.Duration // silence between conversations, when longer than the t3.5 of a serial line
	IdleClose    time.Duration // a network connection that was not used for so long is closed; 0 keeps it
	ConnectDelay time.Duration // between opening and the first request
	ReopenMin    time.Duration // backoff after the first failure to open; 0 means 100 ms
	ReopenMax    time.Duration // longest backoff; 0 means 5 s

	// Trace is told of each conversation when it has ended. It must not wait; nil for none.
	Trace func(trace.Exchange)

	Log *slog.Logger // told when the bus opens after it was not open, and for debugging what came in place of an answer; nil for none
}

// withDefaults fills in what was left out.
func (o Options) withDefaults() Options {
	o.DialTimeout = cmp.Or(o.DialTimeout, 3*time.Second)
	o.ReopenMin = cmp.Or(o.ReopenMin, 100*time.Millisecond)
	o.ReopenMax = max(cmp.Or(o.ReopenMax, 5*time.Second), o.ReopenMin)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Port != "" {
		o.Mode = o.Mode.withDefaults()
	}
	return o
}

func (o Options) check() error {
	switch {
	case (o.Port == "") == (o.Endpoint == ""):
		return errors.New("a bus needs either a serial port or a network endpoint")
	case o.Gap < 0 || o.ConnectDelay < 0 || o.DialTimeout < 0 || o.ReopenMin < 0 || o.ReopenMax < 0 || o.IdleClose < 0:
		return errors.New("a duration of the bus is negative")
	case o.Port != "":
		if err := errors.Join(o.Mode.check(), o.RS485.check()); err != nil {
			return fmt.Errorf("port %s: %w", o.Port, err)
		}
	case o.Network > NetworkUDP:
		return fmt.Errorf("endpoint %s: %v is not known", o.Endpoint, o.Network)
	}
	return nil
}

// link is an open port or connection. Only one goroutine uses it. After close it does nothing but return errClosed.
type link interface {
	// read waits for at least one byte. A deadline in the past takes what is there. It returns errTimeout when nothing came.
	read(ctx context.Context, p []byte, deadline time.Time) (int, error)
	// write sends all of p.
	write(p []byte, deadline time.Time) error
	// pause waits.
	pause(ctx context.Context, d time.Duration) error
	// purge throws away what was received and what is not sent yet.
	purge() error
	// standing reports whether the other side is still there, as far as that is known without asking it.
	standing() bool
	close() error
}

// Bus is one serial port or network endpoint. Its methods may be called from several goroutines; conversations take turns.
type Bus struct {
	opts  Options
	where string // for errors: the port or the endpoint
	line  bool   // a serial line: silences are kept, and a timeout does not close it
	// datagrams says that what comes is cut into frames already: none is a part of the one before.
	datagrams bool
	dial      func(context.Context) (link, error)

	turn chan struct{}    // holds a token while a conversation takes place; guards what follows
	link link             // nil while closed
	last time.Time        // end of the last character on the line
	hold time.Time        // until when a broadcast is being carried out
	used time.Time        // end of the last conversation
	late gateway.Lateness // of the waits for silence
	idle *time.Timer      // closes an unused connection; nil while there is none
	// proven is set by the first answer on an open link: it worked, so the first reopening need not wait.
	proven  bool
	sent    bool // the request of this conversation, at least in part
	fails   int  // failures to open, and links lost before they brought an answer, in a row
	retryAt time.Time
	lastErr error
	told    bool // that the bus is open
	log     gateway.Throttle
	buf     [1024]byte // four times the longest RTU frame
	rec     *recorder  // nil when nobody traces

	open     atomic.Bool
	opens    atomic.Uint64
	panics   atomic.Uint64
	busy     atomic.Int64 // nanoseconds
	failures failureCounts
}

// Stats is a snapshot of a bus. Counters start at 0 with the Bus.
type Stats struct {
	Open   bool
	Opens  uint64        // ports opened and connections made
	Panics uint64        // caught at the bus's boundary
	Busy   time.Duration // time spent in conversations
	// Failures counts by [Failure] how often the port or connection could not be opened or was lost.
	Failures map[string]uint64
}

// New returns a bus that is not open yet.
func New(o Options) (*Bus, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	b := &Bus{opts: o, turn: make(chan struct{}, 1), rec: newRecorder(o.Trace)}
	if o.Port != "" {
		b.where, b.line = o.Port, true
		b.dial = newSerialOpener(o.Port, o.Mode, o.RS485)
		return b, nil
	}
	b.where, b.datagrams = o.Endpoint, o.Network == NetworkUDP
	b.dial = newDialer(o)
	return b, nil
}

// Stats may be called at any time, also during a conversation.
func (b *Bus) Stats() Stats {
	return Stats{
		Open: b.open.Load(), Opens: b.opens.Load(), Panics: b.panics.Load(), Busy: time.Duration(b.busy.Load()),
		Failures: b.failures.snapshot(b.line),
	}
}

// Exchange sends a request and returns the answer, opening the bus first if it is closed. The answer lies in the bus's own memory
// and is valid until the next call. While the backoff after a failure to open runs, Exchange refuses at once with the last error.
func (b *Bus) Exchange(ctx context.Context, c Conversation) (answer []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { b.rest(); <-b.turn }()
	end := b.rec.begin(b)
	defer end(&err)
	defer b.contain(&err)
	if err := b.ensureOpen(ctx); err != nil {
		return nil, err
	}
	start := time.Now()
	if b.line {
		defer sharpen()()
	}
	answer, err = b.converse(ctx, c)
	b.busy.Add(int64(time.Since(start)))
	if err != nil {
		return nil, b.failed(ctx, c, err)
	}
	b.proven, b.fails = true, 0
	return answer, nil
}

// Close gives the port or connection back. It waits for the conversation that takes place; cancel its context to shorten that.
// The bus may be used again, it then opens anew and without waiting for a backoff.
func (b *Bus) Close() (err error) {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	defer b.contain(&err)
	b.fails, b.retryAt = 0, time.Time{}
	if b.idle != nil {
		b.idle.Stop()
	}
	if err := b.drop(); err != nil {
		return fmt.Errorf("close %s: %w", b.where, err)
	}
	return nil
}

// contain turns a panic into an error and closes the bus: nothing that one bus meets may end the process.
func (b *Bus) contain(err *error) {
	value := recover()
	if value == nil {
		return
	}
	b.panics.Add(1)
	*err = &PanicError{Value: value, Stack: debug.Stack()}
	b.lastErr = *err
	b.backOff()
	l := b.link
	b.link = nil
	b.open.Store(false)
	defer func() { _ = recover() }() // closing what just panicked may panic again, and there is nothing left to close
	if l != nil {
		_ = l.close()
	}
}

// ensureOpen opens the bus unless it is open already.
func (b *Bus) ensureOpen(ctx context.Context) error {
	if b.link != nil && !b.link.standing() {
		_ = b.drop() // closed by the other side while idle, as many devices do: no failure, it is opened again
	}
	if b.link != nil {
		return nil
	}
	if wait := time.Until(b.retryAt); wait > 0 {
		return &OfflineError{Err: b.lastErr, Wait: wait}
	}
	l, err := b.dial(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.lastErr, b.told = err, false
		b.failures.add(failureOf(err, FailureOpen))
		b.backOff()
		return &OfflineError{Err: err, Wait: time.Until(b.retryAt)}
	}
	b.link, b.proven, b.last = b.rec.listen(l), false, time.Now()
	b.open.Store(true)
	b.opens.Add(1)
	if !b.told {
		b.told = true
		b.tellOpen()
	}
	return l.pause(ctx, b.opts.ConnectDelay)
}

// failed brings the bus back into a state in which the next conversation starts clean, and returns the error for the caller.
func (b *Bus) failed(ctx context.Context, c Conversation, err error) error {
	var reply *ReplyError
	if errors.As(err, &reply) && len(reply.Received) > 0 {
		b.opts.Log.Debug("no valid answer", "where", b.where,
			"sent", fmt.Sprintf("% x", c.Request), "received", fmt.Sprintf("% x", reply.Received))
	}
	if reply == nil && ctx.Err() == nil {
		return b.lose(err)
	}
	if !b.line {
		_ = b.drop() // what closing says does not matter
		return err
	}
	if perr := b.link.purge(); perr != nil {
		return b.lose(fmt.Errorf("%s: %w", b.where, perr))
	}
	return err
}

// tellOpen logs that the bus is open again, unless that happens all the time.
func (b *Bus) tellOpen() {
	b.log.Do(time.Now(), func(leftOut uint64) {
		args := []any{"where", b.where}
		if leftOut > 0 {
			args = append(args, "left_out", leftOut)
		}
		b.opts.Log.Info("bus open", args...)
	})
}

// lose closes a link that is broken.
func (b *Bus) lose(err error) error {
	_ = b.drop()
	b.failures.add(failureOf(err, FailureLost))
	b.lastErr, b.told = err, false
	if b.proven {
		b.fails = 0 // the link worked until now: the first attempt to reopen follows at once
	} else {
		b.backOff()
	}
	return &OfflineError{Err: err, Wait: max(0, time.Until(b.retryAt)), Sent: b.sent}
}

// drop closes the link, if there is one.
func (b *Bus) drop() error {
	if b.link == nil {
		return nil
	}
	l := b.link
	b.link = nil
	b.open.Store(false)
	return l.close()
}

// backOff sets the time of the next attempt: doubled after each failure, with jitter so that many gateways do not knock together.
func (b *Bus) backOff() {
	d := b.opts.ReopenMin << min(b.fails, 16)
	if d > b.opts.ReopenMax || d <= 0 {
		d = b.opts.ReopenMax
	}
	b.fails++
	d = d/2 + rand.N(d/2+1)
	b.retryAt = time.Now().Add(d)
}

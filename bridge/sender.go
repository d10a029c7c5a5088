package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/tidegate/tidegate/gateway"
)

// farewell ends an epoch on purpose: the window is confirmed, and the upstream told why, before the connection is closed.
type farewell struct{ reason string }

func (f farewell) Error() string { return "connection ended: " + f.reason }

// sender is the only goroutine of an epoch that publishes records: paho blocks a publisher while a write is stuck.
type sender struct {
	e       *epoch
	w       *window
	lanes   []*laneReader // the most urgent first
	wake    chan struct{} // a queue has more, buffered
	timer   *time.Timer
	out     []outgoing // of the delivery at hand
	gathers []*gatherer
	parts   map[place]int // deliveries that are part of several gathered messages
	status  time.Time     // when the status is sent next; zero: never
	busy    time.Time     // when there was last something to send, for a lazy upstream
}

func newSender(e *epoch, w *window) *sender {
	s := &sender{e: e, w: w, wake: make(chan struct{}, 1), parts: map[place]int{}, timer: time.NewTimer(time.Hour), busy: time.Now()}
	if e.b.opts.Status != nil {
		s.status = time.Now()
	}
	for i, l := range e.b.opts.Lanes {
		s.lanes = append(s.lanes, openLane(i, l, func() {
			select {
			case s.wake <- struct{}{}:
			default:
			}
		}))
	}
	slices.SortStableFunc(s.lanes, func(a, b *laneReader) int { return int(a.Priority) - int(b.Priority) })
	return s
}

// run sends until the epoch ends and returns why.
func (s *sender) run() error {
	for {
		if err := s.ended(); err != nil {
			return err
		}
		if err := s.chores(); err != nil {
			return err
		}
		l, d, err := s.next()
		switch {
		case err != nil:
			return fmt.Errorf("read the queue: %w", err)
		case l != nil:
			err = s.deliver(l, d)
		default:
			err = s.idle()
		}
		if err != nil {
			return err
		}
	}
}

func (s *sender) close() {
	s.timer.Stop()
	for _, l := range s.lanes {
		l.Queue.Detach()
	}
}

// next returns the delivery that is to be sent next, of the most urgent lane that has one; no lane when there is none.
func (s *sender) next() (*laneReader, gateway.Delivery, error) {
	for _, l := range s.lanes {
		if d, ok, err := l.next(); err != nil || ok {
			return l, d, err
		}
	}
	return nil, gateway.Delivery{}, nil
}

// ended reports why the sender has to end, without waiting.
func (s *sender) ended() error {
	if s.e.ctx.Err() == nil && s.e.run.Err() == nil && len(s.e.leave) == 0 {
		return nil // the usual case, cheaply
	}
	select {
	case reason := <-s.e.leave:
		return farewell{reason}
	case <-s.e.run.Done():
		return farewell{reasonStopped}
	case <-s.e.ctx.Done():
		return context.Cause(s.e.ctx)
	default:
		return nil
	}
}

// pause waits for something from more, or for the time until; the zero time is never.
func (s *sender) pause(more <-chan struct{}, until time.Time) error {
	var due <-chan time.Time
	if !until.IsZero() {
		s.timer.Reset(time.Until(until))
		due = s.timer.C
	}
	select {
	case <-more:
	case <-due:
	case reason := <-s.e.leave:
		return farewell{reason}
	case <-s.e.run.Done():
		return farewell{reasonStopped}
	case <-s.e.ctx.Done():
		return context.Cause(s.e.ctx)
	}
	return nil
}

// idle waits for more to send. A lazy upstream is left when that takes too long.
func (s *sender) idle() error {
	until := earliest(s.lingered(), s.status)
	if !s.e.b.opts.Lazy.on() {
		return s.pause(s.wake, until)
	}
	bored := s.busy.Add(s.e.b.opts.Lazy.Idle)
	if err := s.pause(s.wake, earliest(until, bored)); err != nil {
		return err
	}
	if time.Now().Before(bored) {
		return nil
	}
	if s.w.inflight.Load() > 0 || !s.lingered().IsZero() || len(s.wake) > 0 {
		s.busy = time.Now()
		return nil
	}
	return farewell{reasonLazy}
}

// earliest returns the earlier of two times; the zero time is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// chores does what is due by the clock.
func (s *sender) chores() error {
	if s.status.IsZero() && len(s.gathers) == 0 {
		return nil
	}
	now := time.Now()
	if !s.status.IsZero() && !s.status.After(now) {
		s.e.publishStatus()
		s.status = now.Add(s.e.b.opts.StatusEvery)
	}
	return s.flushDue(now)
}

// deliver sends what the routes make of one delivery.
func (s *sender) deliver(l *laneReader, d gateway.Delivery) error {
	b := s.e.b
	if b.opts.Lazy.on() {
		s.busy = time.Now()
	}
	if s.e.suspect.guilty(l.index, d.Pos) {
		return s.park(l, d, s.e.suspect.reason(b.lastFailure()))
	}
	s.out = b.outgoing(s.out[:0], d.Record, l.routes(d.Pos), d.Pos <= l.last)
	defer clear(s.out)
	if reason := b.unsendable(s.out); reason != "" {
		return s.park(l, d, reason)
	}
	gathers := slices.ContainsFunc(s.out, func(m outgoing) bool { return m.batched() })
	for i := range s.out {
		m, err := &s.out[i], error(nil)
		if m.batched() {
			err = s.gather(l, d, m)
		} else {
			err = s.publish(m, flight{lane: l, pos: d.Pos, last: !gathers && i == len(s.out)-1})
		}
		if err != nil {
			return err
		}
	}
	switch {
	case gathers:
		return s.settle(l, d.Pos)
	case len(s.out) == 0:
		return s.put(flight{lane: l, pos: d.Pos, last: true})
	default:
		return nil
	}
}

// park sets a delivery aside.
func (s *sender) park(l *laneReader, d gateway.Delivery, reason string) error {
	s.e.b.counters.parked.Add(1)
	s.e.b.log.Warn("record set aside", "pos", d.Pos, "seq", d.Record.Seq, "reason", reason)
	return l.Queue.Park(s.e.ctx, d.Pos, reason)
}

// publish sends one message when rate and window allow it.
func (s *sender) publish(m *outgoing, f flight) error {
	if err := s.throttle(len(m.Topic) + len(m.Payload)); err != nil {
		return err
	}
	if err := s.room(); err != nil {
		return err
	}
	f.token, f.qos = s.e.publish(m), m.QoS
	s.e.b.counters.sent.Add(1)
	s.w.put(f)
	return nil
}

// pahoPatience is how long one call of paho's Publish may wait for a write that is stuck, or for a connection that has just ended: it cannot be
// cancelled. It is short and repeated instead.
const pahoPatience = 250 * time.Millisecond

// pahoGaveUp is the error of a publish that paho did not begin with.
const pahoGaveUp = "publish was broken by timeout"

// publish hands a message to paho, however long a write before it takes, as long as the connection lives.
func (e *epoch) publish(m *outgoing) mqtt.Token {
	e.b.echoes.sent(m.Topic, m.Payload)
	for {
		t := e.client.Publish(m.Topic, byte(m.QoS), m.Retain, m.Payload)
		select {
		case <-t.Done():
		default:
			return t
		}
		if err := t.Error(); err == nil || err.Error() != pahoGaveUp || e.ctx.Err() != nil {
			return t
		}
	}
}

// put puts a flight without a message into the window.
func (s *sender) put(f flight) error {
	if err := s.room(); err != nil {
		return err
	}
	s.w.put(f)
	return nil
}

func (s *sender) room() error {
	for s.w.full() {
		if err := s.pause(s.w.room, time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

// throttle waits until the rate allows a message of size bytes.
func (s *sender) throttle(size int) error {
	for s.e.b.opts.Rate != (Rate{}) {
		wait := s.e.b.rate.take(time.Now(), size)
		if wait == 0 {
			return nil
		}
		s.e.b.waits(waitRate, time.Time{})
		err := s.pause(nil, time.Now().Add(wait))
		s.e.b.waits("", time.Time{})
		if err != nil {
			return err
		}
	}
	return nil
}

// planned reports the reason of an epoch that ended on purpose.
func planned(err error) (reason string, ok bool) {
	var f farewell
	ok = errors.As(err, &f)
	return f.reason, ok
}

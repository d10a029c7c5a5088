package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/tidegate/tidegate/localbroker/client"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// The waits between attempts to connect again.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
)

// maxUnwritten is how many messages are gathered before they are written, when more wait already.
const maxUnwritten = 64

// errDone tells that sub has printed what it was to print.
var errDone = errors.New("done")

// subscriber is the verb sub at work.
type subscriber struct {
	*session
	flags       *subFlags
	subscribe   packet.Subscribe
	unsubscribe packet.Unsubscribe
	print       printer
	out, log    io.Writer

	count     uint64            // messages printed
	text      []byte            // printed and not yet written
	unwritten []*packet.Publish // whose text that is: they are acknowledged when it is written
}

// keepConnected serves one connection after the other. The first must succeed: a wrong address is not waited for.
func (s *subscriber) keepConnected(ctx context.Context) error {
	s.client.Session = new(client.Session)
	pause := firstPause
	for first := true; ; first = false {
		c, err := s.connect(ctx)
		if err == nil {
			if !first {
				fmt.Fprintf(s.log, "connected to %s again\n", s.target)
			}
			pause = firstPause
			err = s.serve(ctx, c)
		} else if first {
			return s.neverConnected(err)
		}
		var refusal *client.Refusal
		switch {
		case errors.Is(err, errDone), ctx.Err() != nil, lasting(err):
			return err
		case errors.As(err, &refusal) && refusal.Packet == packet.TypeSuback, errors.As(err, new(*writeError)):
			return err
		}
		fmt.Fprintf(s.log, "%v; connecting again in %v\n", err, pause)
		if err := wait(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, lastPause)
	}
}

// neverConnected keeps -W, which is a good end for who was connected, from hiding that nobody answered.
func (s *subscriber) neverConnected(err error) error {
	if errors.Is(err, errTimedOut) {
		return fmt.Errorf("connect to %s: no answer within %v s", s.target, s.flags.timeout)
	}
	return err
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// serve subscribes and prints until the connection or ctx ends, or there is a reason to end.
func (s *subscriber) serve(ctx context.Context, c *client.Client) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var asking sync.WaitGroup
	asking.Go(func() { // what waits in a persistent session may come before the answer, and must be taken
		if err := s.request(ctx, c); err != nil {
			cancel(err)
		}
	})
	err := s.receive(ctx, c)
	cancel(err)
	asking.Wait()
	if c.Err() != nil {
		c.Close()
		return fmt.Errorf("connection to %s: %w", s.target, err)
	}
	// The end is our own, and in order; an error of it changes nothing any more.
	_ = c.Disconnect(context.WithoutCancel(ctx), packet.Disconnect{Props: s.props.disconnect})
	return err
}

// request sends what the flags ask for. It returns errDone when that is all.
func (s *subscriber) request(ctx context.Context, c *client.Client) error {
	if len(s.unsubscribe.Filters) > 0 {
		if _, err := c.Unsubscribe(ctx, s.unsubscribe); err != nil {
			return err
		}
	}
	if len(s.subscribe.Subscriptions) > 0 {
		if _, err := c.Subscribe(ctx, s.subscribe); err != nil {
			return err
		}
	}
	if s.flags.exitSubscribed {
		return errDone
	}
	return nil
}

// receive prints messages. It writes them when no more is waiting.
func (s *subscriber) receive(ctx context.Context, c *client.Client) error {
	for {
		m, err := c.Receive(ctx)
		if err == nil {
			err = s.take(ctx, c, m)
		}
		if err != nil || c.Waiting() == 0 || len(s.unwritten) >= maxUnwritten {
			if failed := s.write(c); failed != nil {
				return failed
			}
		}
		if err != nil {
			return err
		}
	}
}

// take prints a message, unless the flags say not to. It returns errDone when it was the last.
func (s *subscriber) take(ctx context.Context, c *client.Client, m *packet.Publish) error {
	f := s.flags
	if f.retainedOnly && !m.Retain {
		return errDone // it is left to be acknowledged by who comes next
	}
	s.unwritten = append(s.unwritten, m)
	topic := string(m.Topic)
	matches := func(filter string) bool { return packet.Match(filter, topic) }
	if m.Retain && f.noRetained && !f.removeRetained || slices.ContainsFunc(f.without, matches) {
		return nil
	}
	if m.Retain && f.removeRetained {
		if err := c.Publish(ctx, &packet.Publish{Topic: m.Topic, Retain: true}); err != nil {
			return err
		}
	}
	if m.Retain && f.noRetained {
		return nil
	}
	s.text = s.print(s.text, m, time.Now())
	s.count++
	if s.count == f.count {
		return errDone
	}
	return nil
}

// writeError is that the output takes no more.
type writeError struct{ error }

func (e *writeError) Unwrap() error { return e.error }

// write writes what is printed, and then acknowledges it.
func (s *subscriber) write(c *client.Client) error {
	if len(s.text) > 0 {
		if _, err := s.out.Write(s.text); err != nil {
			return &writeError{fmt.Errorf("write messages: %w", err)}
		}
		s.text = s.text[:0]
	}
	for _, m := range s.unwritten {
		if c.Ack(m) != nil {
			break // the connection is lost; Receive says why
		}
	}
	s.unwritten = s.unwritten[:0]
	return nil
}

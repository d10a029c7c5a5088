package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/tidegate/tidegate/gateway"
)

// ErrRefused is wrapped by the errors of commands that have touched no device: it is not known, a point cannot be written, or a value is of the
// wrong type or out of range.
var ErrRefused = errors.New("refused")

// ErrNotBegun is wrapped by the errors of commands that never will be, because too many wait for their bus or because the wait took too long.
var ErrNotBegun = errors.New("bus is busy")

// direct is what an order has that came from [Engine.Set]: it has no entry in the journal, and one caller who waits.
type direct struct {
	taken atomic.Bool // by the lane, which begins it, or by the caller, who gives it up
	reply chan outcome
}

// Check says why a command to set these values would be refused, with an error that wraps ErrRefused; nil when it would not.
func (e *Engine) Check(device string, values []gateway.Setting) error {
	_, err := e.newOrder(device, values)
	return err
}

// Set carries out a command for a caller who waits for it: in one line with those from the journal, with the same checks, and at the next
// boundary between two conversations. It returns the values as they were read back. No result is published.
//
// Its errors wrap ErrRefused, ErrNotBegun, ErrNoAnswer or what the driver gave. When ctx ends before the command was begun it
// never is; else it goes on, and the error says that it may take place.
func (e *Engine) Set(ctx context.Context, device string, values []gateway.Setting) ([]gateway.Setting, error) {
	o, err := e.newOrder(device, values)
	if err != nil {
		return nil, err
	}
	select {
	case e.dispatcher.targets[device].lane.queue <- o:
	default:
		return nil, fmt.Errorf("%w: too many commands wait for it", ErrNotBegun)
	}
	out, err := o.wait(ctx)
	if err == nil {
		err = out.err
	}
	if err != nil {
		return out.values, fmt.Errorf("command to device %s: %w", device, err)
	}
	return out.values, nil
}

// newOrder checks a command.
func (e *Engine) newOrder(device string, values []gateway.Setting) (*order, error) {
	target, known := e.dispatcher.targets[device]
	if !known {
		return nil, fmt.Errorf("%w: device %.60s is not known", ErrRefused, device)
	}
	writes, err := target.device.check(values)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if len(writes) == 0 {
		return nil, fmt.Errorf("%w: it has no values", ErrRefused)
	}
	return &order{
		cmd: gateway.Command{Device: device, Values: values}, device: target.device.index, writes: writes,
		done: make(chan outcome, 1), direct: &direct{reply: make(chan outcome, 1)},
	}, nil
}

// wait waits for what comes of a direct order.
func (o *order) wait(ctx context.Context) (outcome, error) {
	select {
	case out := <-o.direct.reply:
		return out, nil
	case <-ctx.Done():
	}
	if o.direct.taken.CompareAndSwap(false, true) {
		return outcome{}, fmt.Errorf("%w: other commands took all the time that there was: %w", ErrNotBegun, ctx.Err())
	}
	select {
	case out := <-o.direct.reply: // it has come at the same time
		return out, nil
	default:
		return outcome{}, fmt.Errorf("the device may take the value yet: %w", ctx.Err())
	}
}

// carry brings a direct order to its end, unless its caller has given it up.
func (l *lane) carry(o *order) {
	if !o.direct.taken.CompareAndSwap(false, true) {
		return
	}
	out := l.hand(o)
	if out.state == "" {
		out.err = errInterrupted
	}
	l.answers.report(&o.cmd, out)
	o.direct.reply <- out
}

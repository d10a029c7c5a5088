package modbus

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/gateway"
)

// client holds conversations with the units of one bus and counts them. One goroutine uses it; the counters may be read by others.
type client struct {
	bus     *bus.Bus
	framing framing
	// late says for each unit of a serial line until when an answer to an earlier request may still come.
	late [256]time.Time
	// losses counts how often the bus was found closed or was lost; a timeout on TCP is none. What comes back may be another device.
	losses int

	requests, timeouts, errors, exceptions atomic.Uint64
}

// call is one conversation with one unit.
type call struct {
	unit    byte
	request request
	timeout time.Duration
	// repeat says that the request before was the same read of the same unit: a late answer to that one is as good.
	repeat bool
}

// do holds one conversation and returns the data of the answer, which lies in the bus's memory until the next one. Its errors are those
// of the context, or a *failure.
func (c *client) do(ctx context.Context, call call) ([]byte, error) {
	frame, err := c.framing.encode(call.unit, call.request)
	if err != nil {
		return nil, &failure{reason: gateway.ReasonFrame, err: err}
	}
	reply := c.framing.reply(frame, call.request)
	start := time.Now()
	answer, err := c.bus.Exchange(ctx, bus.Conversation{
		Request:   frame,
		Expect:    call.request.answerSize() + c.framing.overhead(),
		Timeout:   call.timeout,
		NotBefore: c.notBefore(call),
		Find:      reply.find,
	})
	if err != nil {
		if answerMayCome(err) {
			c.expectLate(call, time.Now().Add(call.timeout))
		}
		return nil, c.failed(ctx, reply, err)
	}
	c.requests.Add(1)
	if call.repeat { // two were sent, and one answer came
		c.expectLate(call, start.Add(2*call.timeout))
	}
	data, err := c.open(call.request, frame, answer)
	if err != nil {
		return nil, c.refused(err)
	}
	return data, nil
}

// open takes an answer apart and checks that it is the one to the request.
func (c *client) open(q request, frame, answer []byte) ([]byte, error) {
	pdu, err := c.framing.decode(frame, answer)
	if err != nil {
		return nil, err
	}
	return q.check(pdu.FunctionCode, pdu.Data)
}

// notBefore lets late answers to other requests pass.
func (c *client) notBefore(call call) time.Time {
	if call.repeat {
		return time.Time{}
	}
	return c.late[call.unit]
}

// expectLate notes until when the unit may still answer: twice the timeout after the request. On TCP nothing is to be waited for: the
// connection was closed.
func (c *client) expectLate(call call, until time.Time) {
	if _, serial := c.framing.(*rtuFraming); serial {
		c.late[call.unit] = until
	}
}

// answerMayCome reports whether the device may still answer a request that failed like this.
func answerMayCome(err error) bool {
	var offline *bus.OfflineError
	var noReply *bus.ReplyError
	switch {
	case errors.As(err, &offline):
		return offline.Sent
	case errors.As(err, &noReply):
		return !noReply.Damaged && !noReply.Busy
	}
	return true
}

// failed says why no answer was found, and counts it.
func (c *client) failed(ctx context.Context, r reply, err error) error {
	if ctx.Err() != nil {
		return err
	}
	var offline *bus.OfflineError
	var noReply *bus.ReplyError
	var frame *frameError
	isOffline := errors.As(err, &offline)
	if !isOffline || offline.Sent {
		c.requests.Add(1)
	}
	switch {
	case errors.As(err, &frame):
		c.errors.Add(1)
		return &failure{reason: gateway.ReasonFrame, err: err}
	case errors.As(err, &noReply):
		return c.unanswered(r, noReply)
	default:
		c.losses++
		return &failure{reason: gateway.ReasonOffline, gone: true, err: err}
	}
}

// unanswered tells silence from an answer that was spoilt.
func (c *client) unanswered(r reply, err *bus.ReplyError) error {
	if blamed := r.blame(err.Received); blamed != nil && !err.Busy {
		c.errors.Add(1)
		blamed.err = fmt.Errorf("%w: %w", blamed.err, err)
		return blamed
	}
	c.timeouts.Add(1)
	return &failure{reason: gateway.ReasonTimeout, gone: true, err: err}
}

// refused counts an answer that brings no data.
func (c *client) refused(err error) error {
	var exception *Error
	if !errors.As(err, &exception) {
		c.errors.Add(1)
		return &failure{reason: gateway.ReasonFrame, err: err}
	}
	c.exceptions.Add(1)
	gone := exception.Exception == gatewayNoPath || exception.Exception == gatewayNoReply
	return &failure{reason: exception.Reason(), gone: gone, err: err}
}

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
	// unit was asked last, and unitGap is the silence before another one is.
	unit    byte
	unitGap time.Duration
	pause   time.Duration // before the newest request, as unit and device ask for it
	mixup   mixup
	// inFlight bounds the requests under way, and ahead is what those brought whose turn has not come.
	inFlight int
	ahead    []ahead
	lacks    map[lack]bool // whether units do not know functions; what is not there has not been found out since the bus was opened
	most     map[lack]int  // how many values units are sent at once that do not take as many as Modbus allows, likewise
	silent   silences      // units that other masters have asked in vain

	requests, timeouts, errors, exceptions atomic.Uint64
}

func newClient(b *bus.Bus, o Options) *client {
	f := newFraming(o)
	c := &client{bus: b, framing: f, unitGap: o.UnitGap, inFlight: o.MaxInFlight}
	if o.Bus.Port == "" {
		c.mixup = newMixup(f, o.Bus.Network)
	}
	return c
}

func newFraming(o Options) framing {
	switch o.framing() {
	case FramingRTU:
		return newRTUFraming()
	case FramingASCII:
		return newASCIIFraming()
	}
	f := newTCPFraming()
	f.datagrams = o.Bus.Network == bus.NetworkUDP
	return f
}

// call is a conversation with the device.
func (dev *device) call(q request) call {
	return call{unit: dev.unit, request: q, timeout: dev.timeout, gap: dev.gap}
}

// call is one conversation with one unit.
type call struct {
	unit    byte
	request request
	timeout time.Duration
	gap     time.Duration // silence before it, when longer than that of the bus
	// repeat says that the request before was the same read of the same unit: a late answer to that one is as good.
	repeat bool
}

// do holds one conversation and returns the data of the answer, which lies in the bus's memory until the next one. Its errors are those
// of the context, or a *failure.
func (c *client) do(ctx context.Context, call call) ([]byte, error) {
	frame, answer, err := c.exchange(ctx, call)
	if err != nil || answer == nil {
		return nil, err
	}
	data, err := c.open(call.request, frame, answer)
	if err != nil {
		return nil, c.refused(err)
	}
	c.silent.heard(call.unit)
	return data, nil
}

// exchange sends a request and returns its frame and that of the answer, which is nil after a broadcast.
func (c *client) exchange(ctx context.Context, call call) (frame, answer []byte, err error) {
	c.stale(call.request)
	if c.mixup.due(call) {
		return nil, nil, c.probe(ctx, call)
	}
	frame, err = c.framing.encode(call.unit, call.request)
	if err != nil {
		return nil, nil, &failure{reason: gateway.ReasonFrame, err: err}
	}
	if c.broadcasts(call.unit) {
		return nil, nil, c.broadcast(ctx, call, frame)
	}
	reply := c.framing.reply(frame, call.request)
	start := time.Now()
	answer, err = c.bus.Exchange(ctx, bus.Conversation{
		Request:   frame,
		Expect:    c.framing.expect(call.request),
		Timeout:   call.timeout,
		NotBefore: c.notBefore(call),
		Gap:       c.gap(call),
		Find:      reply.find,
	})
	if err != nil {
		if answerMayCome(err) {
			c.expectLate(call, time.Now().Add(call.timeout))
		}
		return nil, nil, c.failed(ctx, call, reply, err)
	}
	c.requests.Add(1)
	c.mixup.heard()
	if call.repeat { // two were sent, and one answer came
		c.expectLate(call, start.Add(2*call.timeout))
	}
	return frame, answer, nil
}

// open takes an answer apart and checks that it is the one to the request.
func (c *client) open(q request, frame, answer []byte) ([]byte, error) {
	pdu, err := c.framing.decode(frame, answer)
	if err != nil {
		return nil, err
	}
	return q.check(pdu.FunctionCode, pdu.Data)
}

// broadcastUnit is unit 0 on a line: all devices carry the request out, and none answers (Modbus over Serial Line V1.02, 2.1).
const broadcastUnit = 0

// broadcasts reports whether a request to that unit is for all devices.
func (c *client) broadcasts(unit byte) bool { return unit == broadcastUnit && !c.framing.tagged() }

// turnaround is how long devices are given to carry a broadcast out. The specification has 100 to 200 ms in mind (2.4.1).
const turnaround = 200 * time.Millisecond

// broadcast sends a request that nobody answers, which must be a write.
func (c *client) broadcast(ctx context.Context, call call, frame []byte) error {
	if call.request.isRead() {
		return &failure{reason: gateway.ReasonFrame, err: framef("unit 0 is broadcast, which nobody answers: only writes make sense there")}
	}
	_, err := c.bus.Exchange(ctx, bus.Conversation{Request: frame, Timeout: turnaround, Gap: c.gap(call)})
	if err == nil {
		c.requests.Add(1)
		return nil
	}
	return c.failed(ctx, call, c.framing.reply(frame, call.request), err)
}

// gap returns the silence that a request needs before it.
func (c *client) gap(call call) time.Duration {
	c.pause = call.gap
	if call.unit != c.unit {
		c.unit = call.unit
		c.pause = max(call.gap, c.unitGap)
	}
	return c.pause
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
	if !c.framing.tagged() {
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
func (c *client) failed(ctx context.Context, call call, r reply, err error) error {
	if ctx.Err() != nil {
		return err
	}
	var offline *bus.OfflineError
	var noReply *bus.ReplyError
	var frame *frameError
	isOffline := errors.As(err, &offline)
	if !isOffline || offline.Sent {
		c.requests.Add(1)
		c.mixup.unheard()
	}
	switch {
	case errors.As(err, &frame):
		c.errors.Add(1)
		return &failure{reason: gateway.ReasonFrame, err: err}
	case errors.As(err, &noReply):
		return c.unanswered(call, r, noReply)
	default:
		c.losses++
		clear(c.lacks)
		clear(c.most)
		c.silent.forget()
		return &failure{reason: gateway.ReasonOffline, gone: true, err: c.mixup.explain(err)}
	}
}

// unanswered tells silence from an answer that was spoilt.
func (c *client) unanswered(call call, r reply, err *bus.ReplyError) error {
	if c.mixup.hint == errSpeaksTCP && speaksTCP(call.unit, call.request, err.Received) {
		c.errors.Add(1)
		return &failure{reason: gateway.ReasonFrame, err: fmt.Errorf("%w (%w)", errSpeaksTCP, err)}
	}
	if blamed := r.blame(err.Received); blamed != nil && !err.Busy {
		c.errors.Add(1)
		blamed.err = fmt.Errorf("%w: %w", blamed.err, err)
		return blamed
	}
	c.timeouts.Add(1)
	return &failure{reason: gateway.ReasonTimeout, gone: true, err: c.mixup.explain(err)}
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

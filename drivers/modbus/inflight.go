package modbus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/tidegate/tidegate/drivers/bus"
)

// volley recognises the answers to requests that were sent one right behind the other, in whatever order they come.
type volley struct {
	first   uint16   // transaction id of the first request; the others follow
	answers [][]byte // copies of the frames; nil where none has come
	open    int      // so many have not come
}

// find takes each answer that has come, and is content with the last one.
func (v *volley) find(received []byte) (bus.Found, error) {
	for skip := 0; ; {
		rest := received[skip:]
		if len(rest) < mbapSize {
			return bus.Found{Skip: skip, Need: mbapSize - len(rest)}, nil
		}
		size, err := frameSize(rest)
		if err != nil {
			return bus.Found{}, err
		}
		if len(rest) < size {
			return bus.Found{Skip: skip, Need: size - len(rest)}, nil
		}
		transaction := binary.BigEndian.Uint16(rest)
		i := int(transaction - v.first)
		switch {
		case i < len(v.answers) && v.answers[i] == nil:
			v.answers[i] = bytes.Clone(rest[:size])
			v.open--
		case i >= len(v.answers) && v.first-transaction >= 1<<15:
			return bus.Found{}, framef("answer has a transaction id that was never sent")
		}
		if v.open == 0 {
			return bus.Found{Frame: rest[:size]}, nil
		}
		skip += size
	}
}

// ahead is what was asked for together with another request and not used yet.
type ahead struct {
	unit    byte
	request request
	data    []byte
	err     error
}

// doAll sends several requests without waiting for an answer in between, and keeps what came of each. The connection is closed after a
// timeout, as after any.
func (c *client) doAll(ctx context.Context, calls []call) error {
	var sent []byte
	frames := make([][]byte, len(calls))
	v := &volley{answers: make([][]byte, len(calls)), open: len(calls)}
	expect := 0
	for i, call := range calls {
		frame, err := c.framing.encode(call.unit, call.request)
		if err != nil {
			return framef("%v", err)
		}
		frames[i] = frame
		sent, expect = append(sent, frame...), expect+c.framing.expect(call.request)
	}
	v.first = binary.BigEndian.Uint16(frames[0])
	_, err := c.bus.Exchange(ctx, bus.Conversation{Request: sent, Expect: expect, Timeout: calls[0].timeout, Gap: c.gap(calls[0]), Find: v.find})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	lost := c.losses
	for i, call := range calls {
		c.ahead = append(c.ahead, c.settle(ctx, call, frames[i], v.answers[i], err))
	}
	c.losses = min(c.losses, lost+1) // the bus was lost once, however many requests were under way
	return nil
}

// settle says what came of one of several requests.
func (c *client) settle(ctx context.Context, call call, frame, answer []byte, err error) ahead {
	a := ahead{unit: call.unit, request: call.request}
	if answer == nil {
		a.err = c.failed(ctx, call, c.framing.reply(frame, call.request), err)
		return a
	}
	c.requests.Add(1)
	c.mixup.heard()
	if a.data, a.err = c.open(call.request, frame, answer); a.err != nil {
		a.err = c.refused(a.err)
	}
	return a
}

// take returns what is known ahead of a request.
func (c *client) take(unit byte, q request) (ahead, bool) {
	i := slices.IndexFunc(c.ahead, func(a ahead) bool {
		return a.unit == unit && a.request.function == q.function && bytes.Equal(a.request.data, q.data)
	})
	if i < 0 {
		return ahead{}, false
	}
	a := c.ahead[i]
	c.ahead = slices.Delete(c.ahead, i, i+1)
	return a, true
}

// fetch reads the block that a poll is at. Where more than one request may be in flight it asks for the blocks behind it as well, and later
// steps take those answers, unless something was written in between: then they may be out of date.
func (d *Driver) fetch(ctx context.Context, dev *device, step int, q request) ([]byte, error) {
	c := d.client
	if c.inFlight <= 1 {
		return d.read(ctx, dev, q)
	}
	if step == 0 {
		c.ahead = nil // of a poll that was given up
	}
	a, known := c.take(dev.unit, q)
	if !known && len(dev.pending) > 0 {
		calls := []call{dev.call(q)}
		for _, b := range dev.pending[:min(len(dev.pending), c.inFlight-1)] {
			calls = append(calls, dev.call(newRead(b.at(), b.count)))
		}
		if err := c.doAll(ctx, calls); err != nil {
			return nil, err
		}
		a, known = c.take(dev.unit, q)
	}
	var exception *Error
	final := a.err == nil || errors.As(a.err, &exception) || refusedToOpen(a.err) || dev.retries == 0
	if !known || !final {
		return d.read(ctx, dev, q)
	}
	return a.data, a.err
}

// stale forgets what was asked for ahead when a request may change it.
func (c *client) stale(q request) {
	if !q.isPlain() {
		c.ahead = nil
	}
}

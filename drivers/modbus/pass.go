package modbus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/goburrow/modbus"

	"github.com/tidegate/tidegate/gateway"
)

// ErrOffline is wrapped by the errors of Pass when the bus cannot be opened or was lost during the conversation.
var ErrOffline = errors.New("bus is not open")

// GroupRef is one group of one device, both by their index.
type GroupRef struct{ Device, Group int }

// Pass carries out a request of another master: a protocol data unit (function code and data, 1 to 253 bytes) with any function, for any unit.
// It is sent once, with the timeout and the gap of the device with that unit, if there is one. The answer is that of the unit, whether it is an exception or
// not. A request that the specification does not allow is answered with exception 1 or 3 and not sent, and one that reads from all units at once
// with exception 11. A broadcast has no answer and no error. changed lists the groups with points that the request has written to.
//
// The error wraps ErrOffline or ErrNoAnswer. On a bus with devices a unit that does not answer is asked within 5 % of the time: in between
// ErrNoAnswer comes at once.
func (d *Driver) Pass(ctx context.Context, unit byte, pdu []byte) (answer []byte, changed []GroupRef, err error) {
	if len(pdu) == 0 {
		return nil, nil, errors.New("pass a request: it is empty")
	}
	q, code := newForeign(pdu)
	all := d.client.broadcasts(unit)
	switch {
	case code != 0:
		return exceptionTo(pdu, code), nil, nil
	case all && q.isRead():
		return exceptionTo(pdu, gatewayNoReply), nil, nil
	case len(d.devices) > 0 && !d.client.silent.mayAsk(unit, time.Now()):
		return nil, nil, fmt.Errorf("pass a request to unit %d: it has not answered before and is asked again later: %w", unit, ErrNoAnswer)
	}
	answer, err = d.pass(ctx, d.callFor(unit, q))
	if err != nil {
		return nil, nil, fmt.Errorf("pass a request to unit %d: %w", unit, outside(err))
	}
	if all {
		return nil, d.touched(unit, all, q), rest(ctx, turnaround) // else the time would be taken from the next conversation
	}
	if answer[0]&exceptionBit == 0 {
		changed = d.touched(unit, all, q)
	}
	return answer, changed, nil
}

// exceptionTo returns the answer that refuses a request.
func exceptionTo(pdu []byte, code byte) []byte { return []byte{pdu[0] | exceptionBit, code} }

// rest waits.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// outside says in the words of Pass what went wrong.
func outside(err error) error {
	var f *failure
	switch {
	case !errors.As(err, &f):
		return err // of the context
	case f.reason == gateway.ReasonOffline:
		return fmt.Errorf("%w: %w", ErrOffline, f.err)
	case f.gone:
		return err
	}
	return fmt.Errorf("%w: %w", ErrNoAnswer, err) // one that is damaged is none
}

// callFor returns the conversation for a request to a unit, with what is configured for its devices.
func (d *Driver) callFor(unit byte, q request) call {
	c := call{unit: unit, request: q}
	for _, dev := range d.devices {
		if dev.unit == unit {
			c.timeout, c.gap = max(c.timeout, dev.timeout), max(c.gap, dev.gap)
		}
	}
	if c.timeout == 0 {
		c.timeout = d.timeout
	}
	return c
}

// pass holds the conversation and draws the conclusions.
func (d *Driver) pass(ctx context.Context, c call) ([]byte, error) {
	start := time.Now()
	answer, err := d.client.pass(ctx, c)
	d.ended, d.clean = time.Now(), err == nil
	var f *failure
	switch {
	case errors.As(err, &f) && f.reason != gateway.ReasonOffline, err == nil && inVain(answer):
		d.client.silent.unheard(c.unit, d.ended, d.ended.Sub(start))
	case err == nil:
		d.client.silent.heard(c.unit)
	}
	return answer, err
}

// inVain reports whether an answer is that of a gateway on the way which did not reach the device.
func inVain(answer []byte) bool {
	return len(answer) == 2 && answer[0]&exceptionBit != 0 && (answer[1] == gatewayNoPath || answer[1] == gatewayNoReply)
}

// pass holds one conversation and returns the protocol data unit of the answer, in memory of its own; nil after a broadcast.
func (c *client) pass(ctx context.Context, call call) ([]byte, error) {
	frame, answer, err := c.exchange(ctx, call)
	if err != nil || answer == nil {
		return nil, err
	}
	pdu, err := c.framing.decode(frame, answer)
	if err == nil && pdu.FunctionCode&^exceptionBit != call.request.function {
		err = framef("answer has function %d, asked for %d", pdu.FunctionCode, call.request.function)
	}
	if err != nil {
		return nil, c.refused(err)
	}
	if pdu.FunctionCode != call.request.function {
		c.exceptions.Add(1)
	}
	return append([]byte{pdu.FunctionCode}, pdu.Data...), nil
}

// touched returns the groups with points that a request writes to.
func (d *Driver) touched(unit byte, all bool, q request) (groups []GroupRef) {
	at, count := q.written()
	for i, dev := range d.devices {
		if count == 0 || dev.unit != unit && !all {
			continue
		}
		for g, group := range dev.groups {
			if dev.hasAny(group.points, at, count) {
				groups = append(groups, GroupRef{Device: i, Group: g})
			}
		}
	}
	return groups
}

// hasAny reports whether one of these points lies among count bits or registers from an address on.
func (dev *device) hasAny(points []int, from Address, count int) bool {
	for _, i := range points {
		p := &dev.points[i]
		if p.Address.Table != from.Table {
			continue
		}
		if start, first := int(p.Address.Offset), int(from.Offset); start < first+count && first < start+p.width() {
			return true
		}
	}
	return false
}

// written returns the bits or registers that the request writes; none for one that reads, or of which that is not known.
func (q request) written() (from Address, count int) {
	word := func(at int) uint16 { return binary.BigEndian.Uint16(q.data[at:]) }
	switch q.function {
	case modbus.FuncCodeWriteSingleCoil:
		return Address{Coil, word(0)}, 1
	case modbus.FuncCodeWriteMultipleCoils:
		return Address{Coil, word(0)}, int(word(2))
	case modbus.FuncCodeWriteSingleRegister, modbus.FuncCodeMaskWriteRegister:
		return Address{Holding, word(0)}, 1
	case modbus.FuncCodeWriteMultipleRegisters:
		return Address{Holding, word(0)}, int(word(2))
	case modbus.FuncCodeReadWriteMultipleRegisters:
		return Address{Holding, word(4)}, int(word(6))
	}
	return Address{}, 0
}

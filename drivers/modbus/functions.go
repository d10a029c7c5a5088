package modbus

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/goburrow/modbus"

	"github.com/tidegate/tidegate/drivers/bus"
)

// illegalFunction is the exception of a device that does not know a function.
const illegalFunction = 1

// lack is a function that a unit does not know.
type lack struct{ unit, function byte }

// put sends a write once and returns what its answer holds: the registers that were read in the same request. Some devices know only the
// functions for several values: one that refuses that for a single value is sent the other, from now on at once. The refusal says that
// nothing was written.
func (c *client) put(ctx context.Context, to call) (data []byte, err error) {
	several, ok := to.request.several()
	if !ok {
		data, err = c.do(ctx, to)
		c.learn(to, err)
		return data, err
	}
	single := lack{to.unit, to.request.function}
	if !c.lacks[single] {
		_, err := c.do(ctx, to)
		if !lacksFunction(err) {
			return nil, err
		}
	}
	to.request = several
	if _, err := c.do(ctx, to); err != nil {
		return nil, err
	}
	c.remember(single, true)
	return nil, nil
}

// isElaborate reports whether the request writes in a way that not all devices know, and that can be done in plainer ones.
func (q request) isElaborate() bool {
	return q.function == modbus.FuncCodeMaskWriteRegister || q.function == modbus.FuncCodeReadWriteMultipleRegisters
}

// learn notes whether a unit knows an elaborate write. Silence says that it does not know the mask write, which nobody has promised, unless it
// has answered one before: there are devices that leave a function without an answer that they do not know.
func (c *client) learn(to call, err error) {
	if !to.request.isElaborate() {
		return
	}
	function := lack{to.unit, to.request.function}
	_, told := c.lacks[function]
	silent := leftUnanswered(err)
	switch {
	case err == nil:
		c.remember(function, false)
	case lacksFunction(err), silent && !told && function.function == modbus.FuncCodeMaskWriteRegister:
		c.remember(function, true)
	}
}

// remember keeps whether a unit lacks a function until the bus is lost: what comes back may be another device.
func (c *client) remember(l lack, lacking bool) {
	if c.lacks == nil {
		c.lacks = map[lack]bool{}
	}
	c.lacks[l] = lacking
}

// leftUnanswered reports whether a request was sent and nothing at all came. An answer that was damaged tells nothing of what the unit knows, and
// neither does a line that is so busy that nothing could be sent.
func leftUnanswered(err error) bool {
	var noReply *bus.ReplyError
	return errors.As(err, &noReply) && len(noReply.Received) == 0 && !noReply.Busy && !noReply.Damaged
}

func lacksFunction(err error) bool {
	var exception *Error
	return errors.As(err, &exception) && exception.Exception == illegalFunction
}

// several returns the request that does with the function for several values what q does with that for one.
func (q request) several() (request, bool) {
	if len(q.data) < 4 {
		return request{}, false
	}
	offset := binary.BigEndian.Uint16(q.data)
	switch q.function {
	case modbus.FuncCodeWriteSingleCoil:
		return newCoilsWrite(offset, 1, []byte{q.data[2] & 1}), true // 0xFF00 is on
	case modbus.FuncCodeWriteSingleRegister:
		return newRegistersWrite(offset, q.data[2:4]), true
	}
	return request{}, false
}

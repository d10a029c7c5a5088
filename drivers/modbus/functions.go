package modbus

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/goburrow/modbus"
)

// illegalFunction is the exception of a device that does not know a function.
const illegalFunction = 1

// lack is a function that a unit does not know.
type lack struct{ unit, function byte }

// put sends a write once. Some devices know only the functions for several values: one that refuses that for a single value is sent the
// other, from now on at once. The refusal says that nothing was written.
func (c *client) put(ctx context.Context, to call) error {
	several, ok := to.request.several()
	if !ok {
		_, err := c.do(ctx, to)
		return err
	}
	single := lack{to.unit, to.request.function}
	if !c.lacks[single] {
		_, err := c.do(ctx, to)
		if !lacksFunction(err) {
			return err
		}
	}
	to.request = several
	_, err := c.do(ctx, to)
	if err == nil {
		c.remember(single)
	}
	return err
}

// putBits changes those bits of a register that and leaves 0, to what or has there. A device that does not know how to do that at once
// is read and written, in which case what others write in between is lost.
func (c *client) putBits(ctx context.Context, to call, offset, and, or uint16) error {
	masking := lack{to.unit, modbus.FuncCodeMaskWriteRegister}
	if !c.lacks[masking] {
		to.request = newMaskWrite(offset, and, or)
		_, err := c.do(ctx, to)
		if !lacksFunction(err) {
			return err
		}
		c.remember(masking)
	}
	to.request = newRead(Address{Table: Holding, Offset: offset}, 1)
	data, err := c.do(ctx, to)
	if err != nil {
		return err
	}
	register := binary.BigEndian.Uint16(data)&and | or&^and
	to.request = newRegisterWrite(offset, binary.BigEndian.AppendUint16(nil, register))
	return c.put(ctx, to)
}

// remember keeps that a unit does not know a function until the bus is lost: what comes back may be another device.
func (c *client) remember(l lack) {
	if c.lacks == nil {
		c.lacks = map[lack]bool{}
	}
	c.lacks[l] = true
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

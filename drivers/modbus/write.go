package modbus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/goburrow/modbus"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/gateway"
)

// Write writes v to a point, reads the point back and returns that reading. A write is sent once: when its answer is lost, the error says that
// it may have taken place.
//
// Of a point that is a part of one register the device changes those bits alone, with a mask write. Where it does not know that, and where the
// part lies in several registers, the rest is read first and written back as it was; what the device itself changes in between is lost.
func (d *Driver) Write(ctx context.Context, device, point int, v gateway.Value) (gateway.Reading, error) {
	dev := d.devices[device]
	data, err := d.send(ctx, dev, point, v)
	if err != nil {
		return gateway.Reading{}, err
	}
	return d.readBack(ctx, dev, point, v, data)
}

// readBack reads a point that was written, unless data has it already.
func (d *Driver) readBack(ctx context.Context, dev *device, point int, v gateway.Value, data []byte) (back gateway.Reading, err error) {
	p := &dev.points[point]
	if len(data) == 0 {
		data, err = d.read(ctx, dev, newRead(p.Address, p.width()))
	}
	if err != nil {
		return gateway.Reading{}, fmt.Errorf("read %v of device %q back after it took the value %v: %w", p.Address, dev.info.Name, v, err)
	}
	back = dev.reading(point, data, 0, time.Now())
	if err := dev.confirm(point, v, back); err != nil {
		return gateway.Reading{}, err
	}
	return back, nil
}

// confirm compares what was read back of a point with what it was to take, if that is wanted.
func (dev *device) confirm(point int, v gateway.Value, back gateway.Reading) error {
	if !dev.points[point].Verify {
		return nil
	}
	if err := dev.verify(point, v, back); err != nil {
		return fmt.Errorf("verify %v of device %q: %w", dev.points[point].Address, dev.info.Name, err)
	}
	return nil
}

// Check implements engine.Checker: it says why a point cannot hold v, and asks nobody.
func (d *Driver) Check(device, point int, v gateway.Value) error {
	c := d.devices[device].codecs[point]
	if c.typ == Bool {
		_, err := c.encodeBit(v)
		return err
	}
	_, err := c.encode(v)
	return err
}

// send writes v to a point. The data is what was read back in the same request, if it was.
func (d *Driver) send(ctx context.Context, dev *device, point int, v gateway.Value) (data []byte, err error) {
	p := dev.points[point]
	q, err := d.prepare(ctx, dev, point, v)
	if err != nil {
		return nil, fmt.Errorf("write %v of device %q: %w", p.Address, dev.info.Name, err)
	}
	data, err = d.client.put(ctx, dev.call(q))
	if q.isElaborate() && lacksFunction(err) {
		return d.send(ctx, dev, point, v) // in the plain way: the client knows now
	}
	d.writes.Add(1)
	if err != nil {
		return nil, fmt.Errorf("write %v to %v of device %q: %w%s", v, p.Address, dev.info.Name, hintOffset(p.Address, err), doubt(err))
	}
	return data, nil
}

// prepare returns the request that writes v to a point.
func (d *Driver) prepare(ctx context.Context, dev *device, point int, v gateway.Value) (request, error) {
	p, c := dev.points[point], dev.codecs[point]
	switch {
	case !p.Address.Table.writable():
		return request{}, errors.New("only coils and holding registers can be written")
	case p.Type == Bool:
		on, err := c.encodeBit(v)
		return newCoilWrite(p.Address.Offset, on), err
	case c.partial():
		patches, err := c.patches(v)
		if err != nil {
			return request{}, err
		}
		return d.modify(ctx, dev, p, patches)
	}
	registers, err := c.encode(v)
	if err != nil {
		return request{}, err
	}
	return d.write(dev, p.Address, p.width(), p.Address.Offset, registers), nil
}

// write returns the request that writes registers from an offset on, which are some of those that are to be read back.
func (d *Driver) write(dev *device, back Address, count int, offset uint16, registers []byte) request {
	if d.readsBack(dev) && len(registers) <= 2*maxReadWritten {
		return newReadWrite(back.Offset, count, offset, registers)
	}
	return newRegisterWrite(offset, registers)
}

// readsBack reports whether a device is to read registers back in the request that writes them, and is not known to lack that.
func (d *Driver) readsBack(dev *device) bool {
	return dev.readWrite && !d.client.lacks[lack{dev.unit, modbus.FuncCodeReadWriteMultipleRegisters}]
}

// modify returns the request that changes a part of registers, which are neighbours. A single one is changed by the device if it knows how;
// otherwise they are read, to be written back with the change.
func (d *Driver) modify(ctx context.Context, dev *device, p Point, patches []patch) (request, error) {
	at := p.Address
	at.Offset += uint16(patches[0].register)
	if len(patches) == 1 && !d.client.lacks[lack{dev.unit, modbus.FuncCodeMaskWriteRegister}] {
		return newMaskWrite(at.Offset, patches[0].keep, patches[0].set), nil
	}
	content, err := d.read(ctx, dev, newRead(at, len(patches)))
	if err != nil {
		return request{}, fmt.Errorf("read what is to be kept: %w", err)
	}
	registers := make([]byte, 0, len(content))
	for i, patch := range patches {
		registers = binary.BigEndian.AppendUint16(registers, patch.apply(binary.BigEndian.Uint16(content[2*i:])))
	}
	return d.write(dev, p.Address, p.width(), at.Offset, registers), nil
}

// verify compares what was read back with what the point would read as if the device had taken v as it is.
func (dev *device) verify(point int, v gateway.Value, back gateway.Reading) error {
	want, err := dev.codecs[point].expect(v)
	switch {
	case err != nil:
		return err
	case back.Quality != gateway.QualityGood:
		return fmt.Errorf("device took the value %v, and reads as bad: %s", v, back.Reason)
	case back.Value != want:
		return fmt.Errorf("device took the value %v and now has %v: it may bound or round what it takes, or refuse writes without saying so", v, back.Value)
	}
	return nil
}

// doubt says whether a failed write may have taken place all the same: not when the device refused it or nothing was sent.
func doubt(err error) string {
	var exception *Error
	var noReply *bus.ReplyError
	if errors.As(err, &exception) || refusedToOpen(err) || errors.As(err, &noReply) && noReply.Busy {
		return ""
	}
	return " (the device may have taken the value)"
}

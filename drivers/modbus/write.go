package modbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// Write writes v to a point, reads the point back and returns that reading. A write is sent once: when its answer is lost, the error says that
// it may have taken place.
func (d *Driver) Write(ctx context.Context, device, point int, v gateway.Value) (gateway.Reading, error) {
	dev := d.devices[device]
	p := dev.points[point]
	q, err := dev.write(point, v)
	if err != nil {
		return gateway.Reading{}, fmt.Errorf("write %v of device %q: %w", p.Address, dev.info.Name, err)
	}
	d.writes.Add(1)
	if err := d.client.put(ctx, dev.call(q)); err != nil {
		return gateway.Reading{}, fmt.Errorf("write %v to %v of device %q: %w%s", v, p.Address, dev.info.Name, err, doubt(err))
	}
	data, err := d.read(ctx, dev, newRead(p.Address, p.Type.width()))
	if err != nil {
		return gateway.Reading{}, fmt.Errorf("read %v of device %q back after it took the value %v: %w", p.Address, dev.info.Name, v, err)
	}
	return dev.reading(point, data, 0, time.Now()), nil
}

// write returns the request that writes v to a point.
func (dev *device) write(point int, v gateway.Value) (request, error) {
	p := dev.points[point]
	if !p.Address.Table.writable() {
		return request{}, errors.New("only coils and holding registers can be written")
	}
	if p.Type == Bool {
		on, err := truth(v)
		return newCoilWrite(p.Address.Offset, on), err
	}
	registers, err := dev.codecs[point].encode(v)
	if err != nil {
		return request{}, err
	}
	return newRegisterWrite(p.Address.Offset, registers), nil
}

// doubt says whether a failed write may have taken place all the same: not when the device refused it or nothing was sent.
func doubt(err error) string {
	var exception *Error
	if errors.As(err, &exception) || refusedToOpen(err) {
		return ""
	}
	return " (the device may have taken the value)"
}

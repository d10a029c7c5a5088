package modbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/goburrow/modbus"

	"github.com/tidegate/tidegate/gateway"
)

// maxCoilsWritten is the largest number of coils that one write may have (Modbus Application Protocol V1.1b3, 6.11).
const maxCoilsWritten = 1968

// executionFailed is the exception of a device that began to carry a request out.
const executionFailed = 4

// apart is what is written one by one because the device has refused it in one request.
type apart struct {
	points   []int // that are still to be written, in their order
	function lack  // that was refused
	most     int   // values that are sent at once from then on, if the device takes all of these
}

// WriteBlock writes the first of these values to its point, and with it, in one request, as many of those behind it as lie one right behind
// the other in the device: never across an address that is not written to. What was written is read back in one request too. It returns
// the readings of the points that were written, in their order, and is called again for the rest. When it returns an error, that is what
// became of the point behind those of the readings, and of others that were in one request with it; such an error says so.
//
// Parts of registers are written alone, and a point that is verified is the last one of its request, so that nothing is written behind
// one that the device did not take. A device that refuses a request with exception 1, 2 or 3 has written nothing: it is then sent
// one value after the other, and fewer at once from then on if it takes those, until the bus was lost.
func (d *Driver) WriteBlock(ctx context.Context, device int, points []int, values []gateway.Value) ([]gateway.Reading, error) {
	dev := d.devices[device]
	if n := d.joint(dev, points); n > 1 {
		back, err := d.writeJoint(ctx, dev, points[:n], values[:n])
		if !dev.isApart(points[0]) {
			return back, err
		}
	}
	back, err := d.Write(ctx, device, points[0], values[0])
	d.separate(dev, points[0], err)
	if err != nil {
		return nil, err
	}
	return []gateway.Reading{back}, nil
}

// joint returns how many of the first of these points are written in one request; 0 and 1 are the first one alone.
func (d *Driver) joint(dev *device, points []int) (n int) {
	if dev.isApart(points[0]) {
		return 1
	}
	start := dev.points[points[0]].Address
	most, end := d.mostWritten(dev, start.Table), int(start.Offset)
	for ; n < len(points); n++ {
		i := points[n]
		p := &dev.points[i]
		switch {
		case !p.Address.Table.writable() || dev.codecs[i].partial():
			return n
		case p.Address.Table != start.Table || int(p.Address.Offset) != end || p.end()-int(start.Offset) > most:
			return n
		case p.Verify:
			return n + 1
		}
		end = p.end()
	}
	return n
}

// mostWritten returns how many registers or coils a device is sent at once.
func (d *Driver) mostWritten(dev *device, t Table) int {
	if learnt, ok := d.client.most[writeOf(dev, t)]; ok {
		return learnt // half of what was allowed, at most
	}
	most := maxWritten
	switch {
	case t.bits():
		most = maxCoilsWritten
	case d.readsBack(dev):
		most = maxReadWritten
	}
	return min(most, d.limits.of(t).count)
}

// writeOf is the function for several registers or coils of a device.
func writeOf(dev *device, t Table) lack {
	if t.bits() {
		return lack{dev.unit, modbus.FuncCodeWriteMultipleCoils}
	}
	return lack{dev.unit, modbus.FuncCodeWriteMultipleRegisters}
}

// writeJoint writes points that lie one right behind the other.
func (d *Driver) writeJoint(ctx context.Context, dev *device, points []int, values []gateway.Value) ([]gateway.Reading, error) {
	b := around(dev.points, points)
	q, err := d.prepareJoint(dev, b, values)
	if err != nil {
		return nil, fmt.Errorf("write %s for %d points: %w", dev.describe(b), len(points), err)
	}
	data, err := d.client.put(ctx, dev.call(q))
	if q.isElaborate() && lacksFunction(err) {
		return d.writeJoint(ctx, dev, points, values) // in the plain way: the client knows now
	}
	d.learnJoint(dev, b, err)
	if err != nil {
		d.writes.Add(1)
		return nil, fmt.Errorf("write %s of device %q, which are %d points: %w%s", dev.describe(b), dev.info.Name, len(points), err, doubtJoint(err))
	}
	d.writes.Add(uint64(len(points)))
	return d.readJoint(ctx, dev, b, values, data)
}

// prepareJoint returns the request that writes the points of a block.
func (d *Driver) prepareJoint(dev *device, b *block, values []gateway.Value) (request, error) {
	if b.table.bits() {
		bits := make([]byte, (b.count+7)/8)
		for n, i := range b.points {
			on, err := dev.codecs[i].encodeBit(values[n])
			if err != nil {
				return request{}, err
			}
			if on {
				bits[n/8] |= 1 << (n % 8)
			}
		}
		return newCoilsWrite(b.start, b.count, bits), nil
	}
	registers := make([]byte, 0, 2*b.count)
	for n, i := range b.points {
		content, err := dev.codecs[i].encode(values[n])
		if err != nil {
			return request{}, err
		}
		registers = append(registers, content...)
	}
	return d.write(dev, b.at(), b.count, b.start, registers), nil
}

// learnJoint draws the conclusions from a joint write: what was refused is written one by one.
func (d *Driver) learnJoint(dev *device, b *block, err error) {
	function := writeOf(dev, b.table)
	_, told := d.client.lacks[function]
	var exception *Error
	switch {
	case err == nil:
		d.client.remember(function, false)
	case lacksFunction(err):
		d.client.bound(function, 1)
		dev.apart = apart{points: slices.Clone(b.points), function: function, most: 1}
	case errors.As(err, &exception) && exception.refusesBlock():
		dev.apart = apart{points: slices.Clone(b.points), function: function, most: b.count / 2}
	case exception != nil && exception.Exception == executionFailed:
		d.client.bound(function, b.count/2)
	case leftUnanswered(err) && !told:
		d.client.bound(function, 1) // there are devices that leave a function without an answer that they do not know
	}
}

// isApart reports whether a point is the next of those that are written one by one.
func (dev *device) isApart(point int) bool {
	return len(dev.apart.points) > 0 && dev.apart.points[0] == point
}

// separate notes what became of a point that was written alone. When the device takes all values that it has refused together, it is
// sent fewer at once from then on.
func (d *Driver) separate(dev *device, point int, err error) {
	if err != nil || !dev.isApart(point) {
		dev.apart = apart{}
		return
	}
	dev.apart.points = dev.apart.points[1:]
	if len(dev.apart.points) == 0 {
		d.client.bound(dev.apart.function, dev.apart.most)
	}
}

// bound remembers how many values a unit is sent at once, until the bus is lost.
func (c *client) bound(function lack, count int) {
	if c.most == nil {
		c.most = map[lack]int{}
	}
	c.most[function] = count
}

// readJoint reads points back that were written together, unless data has them already.
func (d *Driver) readJoint(ctx context.Context, dev *device, b *block, values []gateway.Value, data []byte) (back []gateway.Reading, err error) {
	if len(data) == 0 {
		data, err = d.read(ctx, dev, newRead(b.at(), b.count))
	}
	var f *failure
	switch {
	case errors.As(err, &f) && f.refusesBlock():
		return d.readApart(ctx, dev, b.points, values)
	case err != nil:
		return nil, fmt.Errorf("read %s of device %q back after it took the values: %w", dev.describe(b), dev.info.Name, err)
	}
	now := time.Now()
	for n, i := range b.points {
		r := dev.reading(i, data, int(dev.points[i].Address.Offset-b.start), now)
		if err := dev.confirm(i, values[n], r); err != nil {
			return back, err
		}
		back = append(back, r)
	}
	return back, nil
}

// readApart reads points back one by one, because the device does not show them in one request.
func (d *Driver) readApart(ctx context.Context, dev *device, points []int, values []gateway.Value) (back []gateway.Reading, err error) {
	for n, i := range points {
		r, err := d.readBack(ctx, dev, i, values[n], nil)
		if err != nil {
			return back, err
		}
		back = append(back, r)
	}
	return back, nil
}

// doubtJoint says whether a failed write of several values may have taken place all the same, as a whole or in part.
func doubtJoint(err error) string {
	var exception *Error
	if errors.As(err, &exception) && exception.Exception == executionFailed {
		return " (the device may have taken some of the values)"
	}
	return doubt(err)
}

package modbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/gateway"
)

// Driver is one bus with its Modbus devices. One goroutine uses it, except for Stats, which any may call.
type Driver struct {
	name    string
	client  *client
	devices []*device
	writes  atomic.Uint64
}

// device is a unit and what is known about how to read it.
type device struct {
	info    DeviceInfo
	unit    byte
	timeout time.Duration
	retries int
	gap     time.Duration
	points  []Point
	codecs  []*codec
	planned []*block // as New made them
	blocks  []*block // in the order of asking; blocks that the device refuses as a whole are split
	pending []*block // of the poll under way
	heard   bool     // the device has answered in the poll under way
	losses  int      // of the bus, when blocks was last equal to planned
}

// New checks the options and plans the requests. It opens nothing.
func New(o Options) (*Driver, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("bus %q: %w", o.Name, err)
	}
	b, err := bus.New(o.line())
	if err != nil {
		return nil, fmt.Errorf("bus %q: %w", o.Name, err)
	}
	d := &Driver{name: o.Name, client: newClient(b, o)}
	for _, dev := range o.Devices {
		d.devices = append(d.devices, newDevice(dev, o))
	}
	return d, nil
}

func newDevice(d Device, o Options) *device {
	maxGap, maxCount := o.limits()
	dev := &device{
		info:    DeviceInfo{Name: d.Name, Interval: d.Interval, StaleAfter: d.StaleAfter, Publish: d.Publish},
		unit:    d.Unit,
		timeout: cmp.Or(d.Timeout, time.Second),
		retries: d.Retries,
		gap:     d.Gap,
		points:  slices.Clone(d.Points),
		planned: plan(d.Points, maxGap, maxCount),
	}
	dev.forget()
	for _, p := range d.Points {
		c := newCodec(p)
		p.Kind = c.kind()
		dev.codecs = append(dev.codecs, c)
		dev.info.Points = append(dev.info.Points, p.Point)
	}
	return dev
}

// Devices lists the devices in the order of the options.
func (d *Driver) Devices() []DeviceInfo {
	infos := make([]DeviceInfo, len(d.devices))
	for i, dev := range d.devices {
		infos[i] = dev.info
	}
	return infos
}

// Close gives the port or connection back. The driver may be used again; it then opens anew, and knows nothing of what devices refused.
func (d *Driver) Close() error {
	for _, dev := range d.devices {
		dev.forget()
	}
	return d.client.bus.Close()
}

// Stats is what the driver knows of the bus: the engine adds polls, missed slots and devices.
func (d *Driver) Stats() gateway.BusStats {
	b, c := d.client.bus.Stats(), d.client
	return gateway.BusStats{
		Name: d.name, Open: b.Open, Opens: b.Opens, Panics: b.Panics, Busy: b.Busy,
		Requests: c.requests.Load(), Timeouts: c.timeouts.Load(), Errors: c.errors.Load(), Exception: c.exceptions.Load(),
		Writes: d.writes.Load(),
	}
}

// Poll asks for one block of a device's points: step 0 begins a poll, and each further step asks for the next block. The readings of the
// block's points are set, good or bad; those of a block that the device refuses as a whole are set by the steps that ask for its halves.
//
// An error says why points are bad. It wraps ErrNoAnswer when the device has not answered at all in this poll, or its bus is not open.
// An error of ctx leaves the readings as they are.
func (d *Driver) Poll(ctx context.Context, device, step int, readings []gateway.Reading) (more bool, err error) {
	dev := d.devices[device]
	if step == 0 {
		dev.begin(d.client.losses)
	}
	if len(dev.pending) == 0 {
		return false, nil
	}
	b := dev.pending[0]
	dev.pending = dev.pending[1:]
	data, err := d.fetch(ctx, dev, step, newRead(b.at(), b.count))
	var failed *failure
	switch {
	case err == nil:
		dev.heard = true
		dev.store(b, data, readings)
	case !errors.As(err, &failed):
		return false, err
	case dev.bisect(b, failed):
	default:
		dev.spoil(b, failed, readings)
		return len(dev.pending) > 0, fmt.Errorf("device %q: read %s: %w", dev.info.Name, dev.describe(b), dev.judge(b, failed))
	}
	return len(dev.pending) > 0, nil
}

// read asks until there is an answer, or the retries are used up.
func (d *Driver) read(ctx context.Context, dev *device, q request) ([]byte, error) {
	c := dev.call(q)
	for try := 0; ; try++ {
		data, err := d.client.do(ctx, c)
		var exception *Error
		if err == nil || try >= dev.retries || ctx.Err() != nil || errors.As(err, &exception) || refusedToOpen(err) {
			return data, err
		}
		c.repeat = answerMayCome(err)
	}
}

// refusedToOpen reports whether the bus is closed, so that asking again at once is of no use.
func refusedToOpen(err error) bool {
	var offline *bus.OfflineError
	return errors.As(err, &offline) && !offline.Sent
}

// begin starts a poll with the first block.
func (dev *device) begin(losses int) {
	if losses != dev.losses {
		dev.forget()
		dev.losses = losses
	}
	dev.pending = append(dev.pending[:0:0], dev.blocks...)
	dev.heard = false
}

// forget returns to the plan: what the device refused may be another one's business by now.
func (dev *device) forget() {
	dev.blocks = slices.Clone(dev.planned)
	dev.pending = nil
}

// describe names a block for people.
func (dev *device) describe(b *block) string {
	if b.count == 1 {
		return fmt.Sprintf("%v of unit %d", b.at(), dev.unit)
	}
	what := "registers"
	if b.table.bits() {
		what = "bits"
	}
	return fmt.Sprintf("%d %s from %v of unit %d", b.count, what, b.at(), dev.unit)
}

// store sets the readings of a block from its answer.
func (dev *device) store(b *block, data []byte, readings []gateway.Reading) {
	now := time.Now()
	for _, i := range b.points {
		readings[i] = dev.reading(i, data, int(dev.points[i].Address.Offset-b.start), now)
	}
}

// reading makes the reading of point i from the bit or register number at of an answer.
func (dev *device) reading(i int, data []byte, at int, now time.Time) gateway.Reading {
	if dev.points[i].Type == Bool {
		on := data[at/8]>>(at%8)&1 == 1
		return gateway.Reading{Value: dev.codecs[i].decodeBit(on), Quality: gateway.QualityGood, Time: now}
	}
	v, reason := dev.codecs[i].decode(data[2*at:])
	if reason != gateway.ReasonNone {
		return gateway.Reading{Quality: gateway.QualityBad, Reason: reason, Time: now}
	}
	return gateway.Reading{Value: v, Quality: gateway.QualityGood, Time: now}
}

// spoil sets the readings of a block that brought nothing.
func (dev *device) spoil(b *block, f *failure, readings []gateway.Reading) {
	now := time.Now()
	for _, i := range b.points {
		readings[i] = gateway.Reading{Quality: gateway.QualityBad, Reason: f.reason, Time: now}
	}
}

// bisect splits a block of several points that the device refuses, so that one illegal address does not take the others' values. The
// halves are asked for next, and from now on in place of the block.
func (dev *device) bisect(b *block, f *failure) bool {
	var exception *Error
	if len(b.points) < 2 || !errors.As(f, &exception) || !exception.refusesBlock() {
		return false
	}
	dev.heard = true
	halves := b.split(dev.points)
	dev.pending = append(slices.Clone(halves), dev.pending...)
	at := slices.Index(dev.blocks, b)
	dev.blocks = slices.Replace(dev.blocks, at, at+1, halves...)
	return true
}

// judge decides what a failed block says about its device. Some devices do not answer requests for what they do not have: a block that stays
// without an answer is asked for last from now on, so that it cannot make the device look dead while others would be answered.
func (dev *device) judge(b *block, f *failure) *failure {
	if !f.gone {
		dev.heard = true
		return f
	}
	if f.reason == gateway.ReasonTimeout {
		at := slices.Index(dev.blocks, b)
		dev.blocks = append(slices.Delete(dev.blocks, at, at+1), b)
	}
	if dev.heard && f.reason != gateway.ReasonOffline {
		return &failure{reason: f.reason, err: f.err}
	}
	return f
}

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
	line    string // what of it to check when nobody answers
	client  *client
	devices []*device
	writes  atomic.Uint64
	pace    pace
	limits  limits
	timeout time.Duration // of passed requests to other units than those of devices
	ended   time.Time     // of the last conversation
	clean   bool          // it was answered
}

// device is a unit and what is known about how to read it.
type device struct {
	info    DeviceInfo
	unit    byte
	timeout time.Duration
	retries int
	gap     time.Duration
	// readWrite says that it is to write registers and read them back in one request.
	readWrite bool
	points    []Point
	codecs    []*codec
	groups    []*group
	group     *group   // of the poll under way
	pending   []*block // likewise
	heard     bool     // the device has answered in it
	known     bool     // the device has answered since the start
	silent    int      // polls in a row before it without any answer
	losses    int      // of the bus, when what was refused was last forgotten
	apart     apart    // what is being written one by one
	response
}

// usualTimeout is what a timeout of 0 means.
const usualTimeout = time.Second

// New checks the options and plans the requests. It opens nothing.
func New(o Options) (*Driver, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("bus %q: %w", o.Name, err)
	}
	b, err := bus.New(o.line())
	if err != nil {
		return nil, fmt.Errorf("bus %q: %w", o.Name, err)
	}
	d := &Driver{name: o.Name, line: lineToCheck(o), client: newClient(b, o), pace: newPace(o), limits: o.limits(), timeout: cmp.Or(o.Timeout, usualTimeout)}
	for _, dev := range o.Devices {
		d.devices = append(d.devices, newDevice(dev))
	}
	return d, nil
}

func newDevice(d Device) *device {
	dev := &device{
		info:    DeviceInfo{Name: d.Name, StaleAfter: d.StaleAfter, Publish: d.Publish},
		unit:    d.Unit,
		timeout: cmp.Or(d.Timeout, usualTimeout),
		retries: d.Retries,
		gap:     d.Gap, readWrite: d.ReadWrite,
		points: slices.Clone(d.Points),
		codecs: make([]*codec, len(d.Points)),
		groups: newGroups(d),
		heard:  true,
	}
	dev.info.Points = make([]gateway.Point, len(d.Points))
	dev.forget()
	for _, g := range dev.groups {
		dev.info.Groups = append(dev.info.Groups, GroupInfo{Interval: g.interval, Points: slices.Clone(g.points)})
	}
	for i, p := range d.Points {
		c := newCodec(p)
		p.Kind = c.kind()
		if c.labels != nil {
			p.Names = c.enum
		}
		dev.codecs[i], dev.info.Points[i] = c, p.Point
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
		Name: d.name, Open: b.Open, Opens: b.Opens, Failures: b.Failures, Panics: b.Panics, Busy: b.Busy,
		Requests: c.requests.Load(), Timeouts: c.timeouts.Load(), Errors: c.errors.Load(), Exception: c.exceptions.Load(),
		Writes: d.writes.Load(),
	}
}

// Poll asks for one block of a group of a device's points: step 0 begins a poll, and each further step asks for the next block. The readings of
// the block's points are set, good or bad; those of a block that the device refuses as a whole are set by the steps that ask for its halves.
// A point that was refused alone is not asked for in each poll: see the package's documentation.
//
// An error says why points are bad. It wraps ErrNoAnswer when the device has not answered at all in this poll, or its bus is not open.
// An error of ctx leaves the readings as they are.
func (d *Driver) Poll(ctx context.Context, device, group, step int, readings []gateway.Reading) (more bool, err error) {
	dev := d.devices[device]
	if step == 0 {
		d.begin(dev, dev.groups[group])
	}
	if len(dev.pending) == 0 {
		return false, nil
	}
	b := dev.pending[0]
	dev.pending = dev.pending[1:]
	data, err := d.fetch(ctx, dev, step, newRead(b.at(), b.count))
	dev.learn(err)
	var failed *failure
	switch {
	case err == nil:
		dev.heard = true
		dev.store(b, data, readings)
		dev.group.taken(b)
	case !errors.As(err, &failed):
		return false, err
	case dev.bisect(b, failed):
		err = nil
	default:
		err = d.fail(dev, b, failed, readings)
	}
	if len(dev.pending) == 0 && dev.heard {
		err = cmp.Or(err, dev.group.recall(readings))
	}
	return len(dev.pending) > 0, err
}

// fail draws the conclusions from a block that brought nothing.
func (d *Driver) fail(dev *device, b *block, f *failure, readings []gateway.Reading) error {
	dev.spoil(b, f, readings)
	err := fmt.Errorf("device %q: read %s: %w", dev.info.Name, dev.describe(b), hintOffset(b.at(), d.hintSilence(dev, dev.judge(b, f))))
	if f.refusesBlock() {
		dev.group.refuse(b, f.reason, err)
	}
	return err
}

// read asks until there is an answer, or the retries are used up.
func (d *Driver) read(ctx context.Context, dev *device, q request) ([]byte, error) {
	c := dev.call(q)
	retries := dev.retries
	if dev.silent >= probing {
		retries = 0
	}
	for try := 0; ; try++ {
		start := time.Now()
		data, err := d.client.do(ctx, c)
		d.measure(dev, q, start, err)
		var exception *Error
		if err == nil || try >= retries || ctx.Err() != nil || errors.As(err, &exception) || refusedToOpen(err) {
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

// probing is how many polls in a row may stay without any answer until nothing is repeated any more: that is for answers that were lost, and
// each repetition to a device that is not there takes the time of the others.
const probing = 2

// measure learns from an answer how long the device took. It leaves out those after an error, which may have waited for the line or have
// opened it.
func (d *Driver) measure(dev *device, q request, start time.Time, err error) {
	clean, waited := d.clean, max(0, d.ended.Add(max(d.pace.silence, d.client.pause)).Sub(start))
	d.ended, d.clean = time.Now(), err == nil
	if clean && err == nil && q.isPlain() {
		dev.response.add(d.ended.Sub(start) - waited - d.pace.wireTime(q.answerSize()-readHead))
	}
}

// begin starts a poll of a group with its first block.
func (d *Driver) begin(dev *device, g *group) {
	if losses := d.client.losses; losses != dev.losses {
		dev.forget()
		dev.losses = losses
	}
	if dev.silent++; dev.heard {
		dev.silent = 0
	}
	g.retry(time.Now())
	g.planFor(planner{points: dev.points, limits: d.limits, cost: d.pace.cost(dev.response.or(d.pace.usual), dev.gap)})
	dev.group, dev.pending, dev.heard = g, g.pending(dev.points), false
}

// forget returns to the plan: what the device refused may be another one's business by now.
func (dev *device) forget() {
	for _, g := range dev.groups {
		g.forget()
	}
	dev.pending = nil
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
	if !f.refusesBlock() || b.alike(dev.points) {
		return false
	}
	dev.heard = true
	dev.pending = append(dev.group.halve(b, dev.points), dev.pending...)
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
		dev.group.postpone(b)
	}
	if dev.heard && f.reason != gateway.ReasonOffline {
		return &failure{reason: f.reason, err: f.err}
	}
	return f
}

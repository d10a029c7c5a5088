package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tidegate/tidegate/gateway"
)

// order is a command that has passed all checks which need no time and no journal, on its way to its bus.
type order struct {
	pos    uint64 // in the journal
	cmd    gateway.Command
	device int
	writes []write // none: read the device
	done   chan outcome
	direct *direct // nil: it is from the journal
}

// write is a value on its way to a point.
type write struct {
	point int
	value gateway.Value
}

// outcome is what came of an order. Its state is "" when the gateway stops before that is known.
type outcome struct {
	state  gateway.State
	values []gateway.Setting // as read back
	err    error
}

// carryOut does what o asks for, conversation by conversation, and answers on o.done. Writing may take until late ends.
func (b *bus) carryOut(ctx, late context.Context, o *order) {
	if len(o.writes) == 0 {
		o.done <- b.read(ctx, o.device)
		return
	}
	o.done <- b.write(late, o)
}

// read polls all of a device at once. A poll of it that is under way is given up: this one takes its place.
func (b *bus) read(ctx context.Context, index int) outcome {
	if b.current != nil && b.current.index == index {
		b.current = nil
	}
	d := b.devices[index]
	d.asked = true
	p := b.begin(index, d.groups, b.now())
	for b.ask(ctx, p) {
		continue
	}
	if ctx.Err() != nil {
		return outcome{}
	}
	b.finish(p)
	b.outbox.flush()
	if !p.answered {
		return outcome{state: gateway.StateFailed, err: p.err}
	}
	return outcome{state: gateway.StateDone}
}

// write writes the values in their order until one fails, and has the device polled next, so that its state follows.
func (b *bus) write(ctx context.Context, o *order) outcome {
	out := outcome{state: gateway.StateDone}
	d := b.devices[o.device]
	next := b.writer(o)
	for at := 0; at < len(o.writes); at = len(out.values) {
		var back []gateway.Reading
		_, err := b.converse(func() (err error) {
			back, err = next(ctx, at)
			return err
		})
		failed := b.took(d, o.writes[at:], back, &out)
		switch {
		case err != nil && ctx.Err() != nil:
			return outcome{}
		case failed != nil:
			err = failed
		case err != nil:
			b.counters.writes.Add(1)
			err = fmt.Errorf("write %s: %w", d.names[o.writes[len(out.values)].point], err)
		}
		if err != nil {
			out.state, out.err = gateway.StateFailed, err
			if errors.Is(err, errPanic) {
				out.state = gateway.StateUnknown
			}
			return out
		}
	}
	d.asked = true
	b.hurryFor(d, o.writes)
	return out
}

// errNothing is what a driver is told that has neither written anything nor said why.
var errNothing = errors.New("driver has written nothing")

// writer returns what writes the values of an order from one of them on: at least that one, unless it fails.
func (b *bus) writer(o *order) func(ctx context.Context, at int) ([]gateway.Reading, error) {
	driver, ok := b.driver.(BlockWriter)
	if !ok || len(o.writes) == 1 {
		return func(ctx context.Context, at int) ([]gateway.Reading, error) {
			back, err := b.driver.Write(ctx, o.device, o.writes[at].point, o.writes[at].value)
			if err != nil {
				return nil, err
			}
			return []gateway.Reading{back}, nil
		}
	}
	points, values := make([]int, len(o.writes)), make([]gateway.Value, len(o.writes))
	for i, w := range o.writes {
		points[i], values[i] = w.point, w.value
	}
	return func(ctx context.Context, at int) ([]gateway.Reading, error) {
		back, err := driver.WriteBlock(ctx, o.device, points[at:], values[at:])
		if err == nil && len(back) == 0 {
			err = errNothing
		}
		return back, err
	}
}

// took notes what was read back of the first of these writes. It returns an error for the first that the device reads as bad, behind which
// nothing counts as done.
func (b *bus) took(d *device, writes []write, back []gateway.Reading, out *outcome) (err error) {
	for i, r := range back {
		point := writes[i].point
		b.counters.writes.Add(1)
		if r.Quality != gateway.QualityGood {
			err = cmp.Or(err, fmt.Errorf("read back %s: %s", d.names[point], r.Reason))
			continue
		}
		d.readings[point] = r
		if err == nil {
			out.values = append(out.values, gateway.Setting{Point: d.names[point], Value: r.Value})
		}
	}
	if len(back) > 0 {
		b.observe(d)
	}
	return err
}

// hurryFor has the groups polled next whose points were written.
func (b *bus) hurryFor(d *device, writes []write) {
	now := b.now()
	for g := range d.Groups {
		if slices.ContainsFunc(writes, func(w write) bool { return d.groupOf[w.point] == g }) {
			b.schedule.hurry(d.slots[g], now)
		}
	}
}

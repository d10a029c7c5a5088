package engine

import (
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
	if !p.answered {
		return outcome{state: gateway.StateFailed, err: p.err}
	}
	return outcome{state: gateway.StateDone}
}

// write writes the values in their order until one fails, and has the device polled next, so that its state follows.
func (b *bus) write(ctx context.Context, o *order) outcome {
	out := outcome{state: gateway.StateDone}
	d := b.devices[o.device]
	for _, w := range o.writes {
		var back gateway.Reading
		_, err := b.converse(func() (err error) {
			back, err = b.driver.Write(ctx, o.device, w.point, w.value)
			return err
		})
		b.counters.writes.Add(1)
		name := d.names[w.point]
		switch {
		case err != nil && ctx.Err() != nil:
			return outcome{}
		case errors.Is(err, errPanic):
			return outcome{gateway.StateUnknown, out.values, fmt.Errorf("write %s: %w", name, err)}
		case err != nil:
			return outcome{gateway.StateFailed, out.values, fmt.Errorf("write %s: %w", name, err)}
		case back.Quality != gateway.QualityGood:
			return outcome{gateway.StateFailed, out.values, fmt.Errorf("read back %s: %s", name, back.Reason)}
		}
		out.values = append(out.values, gateway.Setting{Point: name, Value: back.Value})
		d.readings[w.point] = back
		b.observe(d)
	}
	d.asked = true
	for g, group := range d.Groups {
		if slices.ContainsFunc(o.writes, func(w write) bool { return slices.Contains(group.Points, w.point) }) {
			b.schedule.hurry(d.slots[g], b.now())
		}
	}
	return out
}

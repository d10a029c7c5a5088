package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// The pause of a bus after a panic in its driver: doubled from the first to the longest, and short again after a clean conversation.
const (
	firstPause   = time.Second
	longestPause = 30 * time.Second
)

// errPanic is what a conversation returns whose driver panicked.
var errPanic = errors.New("driver panicked")

// bus owns a driver: all conversations take place on the goroutine of its run.
type bus struct {
	name     string
	driver   Driver
	devices  []*device
	topics   gateway.Topics
	outbox   *outbox
	observer Observer // may be nil
	now      func() time.Time
	log      *slog.Logger

	// orders is filled by the bus's lane, one at a time, and closed by it when no more will come.
	orders chan *order

	slots    []Place // what each slot of the schedule polls
	schedule *schedule
	current  *poll         // under way between two of its steps; nil when there is none
	lasted   time.Duration // the newest conversation
	pause    time.Duration // after the last panic; 0 after a clean conversation
	resume   time.Time     // no conversation before that
	panicLog gateway.Throttle
	alarm    Alarm // rung when there is something to look for before the next poll is due

	passages *passages // of other masters
	counters counters
}

func newBus(cfg Bus, o Options) (*bus, error) {
	b := &bus{
		name: cfg.Name, driver: cfg.Driver, topics: o.Topics, outbox: newOutbox(o.Publisher, o.Timer), observer: o.Observer, now: o.Now,
		log:    o.Logger.With("bus", cfg.Name),
		orders: make(chan *order, 1), alarm: o.Alarm(),
	}
	b.passages = newPassages(b.alarm.Ring)
	for i, cfg := range cfg.Driver.Devices() {
		if err := cfg.check(); err != nil {
			return nil, err
		}
		d := newDevice(i, cfg, o.Topics)
		d.checker, _ = b.driver.(Checker)
		for g := range d.Groups {
			d.slots = append(d.slots, len(b.slots))
			b.slots = append(b.slots, Place{i, g})
		}
		b.devices = append(b.devices, d)
	}
	b.counters.setUp(b.devices, b.now())
	return b, nil
}

// newSchedule gives each group of each device a slot.
func (b *bus) newSchedule() *schedule {
	intervals := make([]time.Duration, len(b.slots))
	for i, s := range b.slots {
		intervals[i] = b.devices[s.Device].Groups[s.Group].Interval
	}
	return newSchedule(b.now(), intervals)
}

// run holds conversations until ctx ends. A command that was recorded as started by then is carried out all the same, as long as
// late allows: nobody could tell afterwards whether it had been.
func (b *bus) run(ctx, late context.Context) {
	defer b.close()
	defer b.passages.end()
	defer b.end()
	defer context.AfterFunc(ctx, b.alarm.Ring)()
	b.schedule = b.newSchedule()
	for ctx.Err() == nil {
		if rest := b.resume.Sub(b.now()); rest > 0 {
			b.outbox.flush()
			b.atRest(ctx, rest)
			continue
		}
		b.turn(ctx, late)
	}
	b.outbox.flush()
	for o := range b.orders {
		b.carryOut(late, late, o)
	}
}

// turn holds the next conversation, or waits until there is one to hold.
func (b *bus) turn(ctx, late context.Context) {
	select {
	case o, ok := <-b.orders:
		if ok {
			b.outbox.flush()
			b.carryOut(ctx, late, o)
		}
		return
	default:
	}
	if b.current != nil {
		if !b.letPass(ctx, true) {
			b.outbox.keep(b.now(), b.lasted)
			b.step(ctx)
		}
		return
	}
	now := b.now()
	slot, due, wake := b.schedule.next(now)
	switch {
	case b.letPass(ctx, due):
	case due:
		s := b.slots[slot]
		b.current = b.begin(s.Device, b.devices[s.Device].groups[s.Group:s.Group+1], now)
	default:
		b.outbox.flush()
		b.idle(wake)
	}
}

// idle waits for the next poll that is due, or until the alarm is rung: for a command or a request of another master, or because the engine stops.
func (b *bus) idle(wake time.Time) {
	if wake.IsZero() { // a bus without devices
		b.alarm.Wait(-1)
		return
	}
	if d := wake.Sub(b.now()); d > 0 {
		b.alarm.Wait(d)
	}
}

// converse lets the driver hold one conversation and catches its panics: one bus must not take the gateway down. It returns the
// time that the conversation took.
func (b *bus) converse(talk func() error) (took time.Duration, err error) {
	start := b.now()
	defer func() {
		took = b.now().Sub(start)
		b.lasted = took
		b.counters.busy.Add(int64(took))
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanic, p)
			b.panicked(p, debug.Stack())
			return
		}
		b.pause = 0
	}()
	return 0, talk()
}

func (b *bus) panicked(p any, stack []byte) {
	b.counters.panics.Add(1)
	b.pause = min(max(firstPause, 2*b.pause), longestPause)
	b.resume = b.now().Add(b.pause)
	args := []any{"panic", p, "pause", b.pause, "stack", string(stack)}
	b.panicLog.Do(b.now(), func(leftOut uint64) {
		b.log.Error("driver panicked, the bus pauses and opens anew", withLeftOut(args, leftOut)...)
	})
	b.close()
}

// close gives the port back. It is also called after a panic, when the driver may be in any state.
func (b *bus) close() {
	defer func() {
		if p := recover(); p != nil {
			b.counters.panics.Add(1)
			b.log.Error("driver panicked while closing", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if err := b.driver.Close(); err != nil {
		b.log.Warn("bus did not close cleanly", "error", err)
	}
}

// end hands over what was published.
func (b *bus) end() {
	if err := b.outbox.close(); err != nil {
		b.log.Warn("timer of the bus did not close cleanly", "error", err)
	}
}

func (b *bus) publish(t time.Time, body gateway.Body) {
	b.outbox.add(&gateway.Record{Time: t, Body: body}, t)
}

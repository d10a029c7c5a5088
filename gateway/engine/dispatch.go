package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

// errInterrupted answers a command that a crash came between.
var errInterrupted = errors.New("the gateway stopped while the command was carried out; it may or may not have taken place and is not repeated")

// dispatcher reads the journal and gives each command to the lane of its bus. It never waits for a bus.
type dispatcher struct {
	journal Journal
	topics  gateway.Topics
	answers *answerer
	log     *slog.Logger
	targets map[string]target
}

// target is where the commands of a device go.
type target struct {
	lane   *lane
	device *device
}

func newDispatcher(o Options, answers *answerer) *dispatcher {
	return &dispatcher{journal: o.Journal, topics: o.Topics, answers: answers, log: o.Logger, targets: make(map[string]target)}
}

// add makes the devices of a lane's bus known.
func (d *dispatcher) add(l *lane) error {
	for _, dev := range l.bus.devices {
		if _, twice := d.targets[dev.Name]; twice {
			return fmt.Errorf("device %q is there twice", dev.Name)
		}
		d.targets[dev.Name] = target{l, dev}
	}
	return nil
}

// run takes entries in their order until ctx ends.
func (d *dispatcher) run(ctx, late context.Context) {
	var pos uint64
	failures := 0
	for ctx.Err() == nil {
		entry, err := d.journal.Next(ctx, pos)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			pause := backoff(time.Second, failures)
			failures++
			d.log.Error("commands cannot be read", "error", err, "again_in", pause)
			wait(pause, ctx.Done())
			continue
		}
		failures, pos = 0, entry.Pos
		d.take(late, entry)
	}
}

func (d *dispatcher) take(ctx context.Context, entry Entry) {
	m, ok := entry.Record.Body.(*gateway.Message)
	if !ok {
		d.drop(ctx, entry, "it is not a message")
		return
	}
	name, point, verb, ok := d.topics.ParseCommand(m.Topic)
	if !ok {
		d.drop(ctx, entry, "its topic is not that of a command")
		return
	}
	cmd, err := payload.ParseCommand(name, point, verb, m)
	if entry.Started && cmd.ID != "" {
		d.answers.settle(ctx, entry.Pos, &cmd, outcome{state: gateway.StateUnknown, err: errInterrupted})
		return
	}
	if m.Retain {
		err = errors.New("retained commands are refused, because they would come again at every connection; publish it without retain")
	}
	o := &order{pos: entry.Pos, cmd: cmd, done: make(chan outcome, 1)}
	target, known := d.targets[name]
	switch {
	case err != nil:
	case !known:
		err = fmt.Errorf("device %.60s is not known", name)
	default:
		o.device = target.device.index
		o.writes, err = target.device.check(cmd.Values)
	}
	if err != nil {
		d.answers.refuse(ctx, entry.Pos, &cmd, gateway.StateRejected, err)
		return
	}
	select {
	case target.lane.queue <- o:
	default:
		d.answers.refuse(ctx, entry.Pos, &cmd, gateway.StateFailed, errors.New("bus is busy: too many commands wait for it"))
	}
}

// drop closes an entry that nobody can answer.
func (d *dispatcher) drop(ctx context.Context, entry Entry, why string) {
	d.log.Error("entry of the command journal is dropped", "pos", entry.Pos, "why", why)
	d.answers.finish(ctx, entry.Pos, "", nil)
}

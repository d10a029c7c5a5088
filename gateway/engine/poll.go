package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// poll is one poll of some groups of a device, held step by step.
type poll struct {
	index    int               // of the device
	groups   []int             // to poll, one after the other
	at       int               // the one that is being polled
	step     int               // of it
	before   []gateway.Reading // as they were when it began, if the device may go offline with it
	answered bool              // anything came back
	cost     time.Duration     // of its conversations, without what came between them
	err      error             // the last
	failed   int               // the group that it is of
	errs     int               // how many there were
}

// begin starts a poll of groups that the schedule or a command says are due.
func (b *bus) begin(index int, groups []int, now time.Time) *poll {
	d := b.devices[index]
	var missed uint64
	for _, g := range groups {
		missed += b.schedule.begin(d.slots[g], now)
	}
	b.counters.miss(index, missed)
	p := &poll{index: index, groups: groups}
	if d.mayGo() {
		d.before = append(d.before[:0], d.readings...)
		p.before = d.before
	}
	return p
}

// step holds one conversation of the current poll, and ends the poll with the last one.
func (b *bus) step(ctx context.Context) {
	if more := b.ask(ctx, b.current); more {
		return
	}
	p := b.current
	b.current = nil
	if ctx.Err() == nil {
		b.finish(p)
	}
}

// ask holds the next conversation of p and says whether another one follows.
func (b *bus) ask(ctx context.Context, p *poll) (more bool) {
	readings := b.devices[p.index].readings
	took, err := b.converse(func() (err error) {
		more, err = b.driver.Poll(ctx, p.index, p.groups[p.at], p.step, readings)
		return err
	})
	p.step++
	p.cost += took
	b.passages.polled(took)
	if err != nil {
		p.err, p.failed = err, p.groups[p.at]
		p.errs++
	}
	if errors.Is(err, ErrNoAnswer) || errors.Is(err, errPanic) || ctx.Err() != nil {
		return false
	}
	p.answered = true
	if !more && p.at < len(p.groups)-1 {
		p.at, p.step, more = p.at+1, 0, true
	}
	return more
}

// finish draws the conclusions of a poll: availability, the batch, and when the next one is due.
func (b *bus) finish(p *poll) {
	now := b.now()
	d := b.devices[p.index]
	defer b.panicLog.Flush(now)
	defer d.log.Flush(now)
	b.counters.poll(p.index, p.answered)
	if p.answered {
		b.answered(d, p, now)
		return
	}
	stays := !d.mayGo()
	d.failures++
	if stays {
		b.report(d, p, now)
		b.publishPoll(d, p, now)
		return
	}
	if d.state != offline {
		b.goOffline(d, p, now)
	}
	b.postpone(d, p, now)
}

func (b *bus) answered(d *device, p *poll, now time.Time) {
	d.failures = 0
	b.report(d, p, now)
	if d.state != online {
		found := d.state == offline
		d.state = online
		b.tell(d, now, slog.LevelInfo, "device is online")
		b.publishAvailability(d, now)
		for _, slot := range d.slots {
			b.schedule.release(slot, now)
		}
		if found {
			b.probeAnother(now)
		}
	}
	b.publishPoll(d, p, now)
}

func (b *bus) goOffline(d *device, p *poll, now time.Time) {
	d.state = offline
	d.failures = 0 // from here on it counts probes
	clear(d.faults)
	b.tell(d, now, slog.LevelWarn, "device is offline", "error", p.err)
	reason := d.failure(p.before)
	for i := range d.readings {
		d.readings[i] = gateway.Reading{Reason: reason, Time: now}
	}
	b.publishAvailability(d, now)
	b.publishAll(d, now)
	b.probeSooner(now)
}

// postpone sets the next probe of an offline device: one of its groups is asked, the others wait until it answers. On a bus where others
// answer, all probes together take at most a twentieth of the time: with n devices to probe, each takes its cost once in 20n times that.
func (b *bus) postpone(d *device, p *poll, now time.Time) {
	pause := backoff(d.fastest, d.failures)
	if dead := b.offline(); dead < len(b.devices) {
		pause = max(pause, p.cost*time.Duration(20*dead-1))
	}
	for g, slot := range d.slots {
		if g == p.groups[p.at] {
			b.schedule.postpone(slot, now.Add(pause))
		} else {
			b.schedule.hold(slot)
		}
	}
}

// probeSooner cuts the pauses short that left the time to others, once no device of the bus is left that answers: a line that is cut
// or still starting up takes its devices down one by one, and the last of them would otherwise be looked for minutes after it is back.
func (b *bus) probeSooner(now time.Time) {
	if b.offline() < len(b.devices) {
		return
	}
	for _, d := range b.devices {
		for _, slot := range d.slots {
			b.schedule.advance(slot, now.Add(backoff(d.fastest, d.failures)))
		}
	}
}

// probeAnother hands the time that a probe in vain would have taken on to another offline device, the next that is due: what brought one
// back has often brought back its neighbours.
func (b *bus) probeAnother(now time.Time) {
	next := -1
	for _, d := range b.devices {
		if d.state != offline {
			continue
		}
		for _, slot := range d.slots {
			if b.schedule.sooner(slot, next) {
				next = slot
			}
		}
	}
	if next >= 0 {
		b.schedule.hurry(next, now)
	}
}

func (b *bus) offline() (n int) {
	for _, d := range b.devices {
		if d.state == offline {
			n++
		}
	}
	return n
}

func (b *bus) publishAvailability(d *device, now time.Time) {
	b.publish(now, &gateway.Message{Topic: d.availability, Payload: []byte(d.state), QoS: 1, Retain: true})
}

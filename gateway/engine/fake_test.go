package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// fakeDriver is a bus in memory. Its fields are set before the engine runs, or under mu.
type fakeDriver struct {
	devices []Device
	cost    time.Duration // of each conversation
	onPoll  func(ctx context.Context, device, step int, readings []gateway.Reading) (bool, error)
	onGroup func(group int, readings []gateway.Reading) error // in place of onPoll, one step for each group
	onWrite func(ctx context.Context, device, point int, v gateway.Value) (gateway.Reading, error)

	mu     sync.Mutex
	talks  []talk
	closes int
	dead   map[int]time.Duration // devices that do not answer, and how long that takes
}

// talk is one conversation: "poll 0.1" is step 1 of device 0, "write 0.2=7" point 2 of device 0.
type talk struct {
	what string
	at   time.Duration // since the start of the test
}

func (d *fakeDriver) Devices() []Device { return d.devices }

func (d *fakeDriver) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.talks = append(d.talks, talk{fmt.Sprintf(format, args...), time.Since(epoch)})
}

func (d *fakeDriver) Poll(ctx context.Context, device, group, step int, readings []gateway.Reading) (bool, error) {
	if group == 0 {
		d.note("poll %d.%d", device, step)
	} else {
		d.note("poll %d/%d.%d", device, group, step)
	}
	d.mu.Lock()
	timeout, dead := d.dead[device]
	d.mu.Unlock()
	if dead {
		wait(timeout, ctx.Done())
		readings[0] = gateway.Reading{Reason: gateway.ReasonCRC, Time: time.Now()} // what this step covers
		return false, fmt.Errorf("read registers: %w", ErrNoAnswer)
	}
	if d.onGroup != nil {
		return false, d.onGroup(group, readings)
	}
	if d.onPoll != nil {
		return d.onPoll(ctx, device, step, readings)
	}
	wait(d.cost, ctx.Done())
	for _, p := range d.devices[device].Groups[group].Points {
		readings[p] = good(gateway.Int(int64(step)))
	}
	return false, ctx.Err()
}

func (d *fakeDriver) Write(ctx context.Context, device, point int, v gateway.Value) (gateway.Reading, error) {
	d.note("write %d.%d=%s", device, point, v)
	if d.onWrite != nil {
		return d.onWrite(ctx, device, point, v)
	}
	wait(d.cost, ctx.Done())
	return good(v), ctx.Err()
}

func (d *fakeDriver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closes++
	return nil
}

func (d *fakeDriver) kill(device int, timeout time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead == nil {
		d.dead = make(map[int]time.Duration)
	}
	d.dead[device] = timeout
}

func (d *fakeDriver) revive(device int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.dead, device)
}

// taken returns the conversations until now that begin with prefix.
func (d *fakeDriver) taken(prefix string) (list []talk) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range d.talks {
		if strings.HasPrefix(t.what, prefix) {
			list = append(list, t)
		}
	}
	return list
}

func (d *fakeDriver) words() (list []string) {
	for _, t := range d.taken("") {
		list = append(list, t.what)
	}
	return list
}

func setAll(readings []gateway.Reading, r gateway.Reading) {
	for i := range readings {
		readings[i] = r
	}
}

func good(v gateway.Value) gateway.Reading {
	return gateway.Reading{Value: v, Quality: gateway.QualityGood, Time: time.Now()}
}

// fakePublisher keeps what was published.
type fakePublisher struct {
	mu      sync.Mutex
	records []*gateway.Record
}

func (p *fakePublisher) Publish(rec *gateway.Record, done func(error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records = append(p.records, rec)
	if done != nil {
		done(nil)
	}
}

func (p *fakePublisher) batches(topic string) (list []*gateway.Batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, rec := range p.records {
		if b, ok := rec.Body.(*gateway.Batch); ok && b.Topic == topic {
			list = append(list, b)
		}
	}
	return list
}

func (p *fakePublisher) messages(topic string) (list []*gateway.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, rec := range p.records {
		if m, ok := rec.Body.(*gateway.Message); ok && m.Topic == topic {
			list = append(list, m)
		}
	}
	return list
}

func (p *fakePublisher) payloads(topic string) (list []string) {
	for _, m := range p.messages(topic) {
		list = append(list, string(m.Payload))
	}
	return list
}

// fakeJournal is an inbox in memory that outlives an engine, like the buffer's.
type fakeJournal struct {
	mu       sync.Mutex
	entries  []Entry
	results  map[string][]byte
	finished []uint64
	changed  chan struct{}
	nextErr  error
	startErr error
	onStart  func()

	ignoreStop bool // Start has gone too far to notice that ctx has ended
}

func newJournal() *fakeJournal {
	return &fakeJournal{results: make(map[string][]byte), changed: make(chan struct{})}
}

func (j *fakeJournal) add(m *gateway.Message) (pos uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	pos = uint64(len(j.entries) + len(j.finished) + 1)
	j.entries = append(j.entries, Entry{Pos: pos, Record: &gateway.Record{Time: time.Now(), Body: m}})
	close(j.changed)
	j.changed = make(chan struct{})
	return pos
}

func (j *fakeJournal) Next(ctx context.Context, pos uint64) (Entry, error) {
	for {
		j.mu.Lock()
		err, changed := j.nextErr, j.changed
		for _, e := range j.entries {
			if e.Pos > pos && err == nil {
				j.mu.Unlock()
				return e, nil
			}
		}
		j.mu.Unlock()
		if err != nil {
			return Entry{}, err
		}
		select {
		case <-ctx.Done():
			return Entry{}, ctx.Err()
		case <-changed:
		}
	}
}

func (j *fakeJournal) Start(ctx context.Context, pos uint64) error {
	if j.onStart != nil {
		j.onStart()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.startErr != nil {
		return j.startErr
	}
	for i := range j.entries {
		if j.entries[i].Pos == pos {
			if err := ctx.Err(); err != nil && !j.ignoreStop {
				return err
			}
			j.entries[i].Started = true
			return nil
		}
	}
	return fmt.Errorf("start %d: no such entry", pos)
}

func (j *fakeJournal) Finish(ctx context.Context, pos uint64, id string, result []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range j.entries {
		if j.entries[i].Pos != pos {
			continue
		}
		j.entries = append(j.entries[:i], j.entries[i+1:]...)
		j.finished = append(j.finished, pos)
		if id != "" {
			j.results[id] = bytes.Clone(result)
		}
		return nil
	}
	return fmt.Errorf("finish %d: no such entry", pos)
}

func (j *fakeJournal) Result(_ context.Context, id string) ([]byte, bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	result, found := j.results[id]
	return result, found, nil
}

// open returns the positions that are not finished, those that were started negative.
func (j *fakeJournal) open() (list []int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.entries {
		if e.Started {
			list = append(list, -int(e.Pos))
		} else {
			list = append(list, int(e.Pos))
		}
	}
	return list
}

var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // where synctest's clock starts

var topics = gateway.Topics{Base: "t"}

// rig is an engine in a synctest bubble with everything around it faked.
type rig struct {
	*testing.T
	publisher *fakePublisher
	journal   *fakeJournal
	options   Options
	engine    *Engine
	cancel    func() // ends Run
	stop      func() // ends Run and waits for it
}

func newRig(t *testing.T, drivers ...*fakeDriver) *rig {
	r := &rig{T: t, publisher: &fakePublisher{}, journal: newJournal()}
	r.options = Options{
		Publisher: r.publisher, Journal: r.journal, Topics: topics,
		Logger:      slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		ClockSynced: func() bool { return true },
	}
	for i, d := range drivers {
		r.options.Buses = append(r.options.Buses, Bus{Name: fmt.Sprintf("bus%d", i), Driver: d})
	}
	return r
}

func (r *rig) start() {
	r.Helper()
	var err error
	if r.engine, err = New(r.options); err != nil {
		r.Fatal(err)
	}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(r.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.engine.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		r.cancel()
		if err := <-ended; err != nil {
			r.Errorf("Run: %v", err)
		}
	})
}

// after lets the bubble's clock run for d and everything come to rest.
func (r *rig) after(d time.Duration) {
	wait(d, nil)
	synctest.Wait()
}

// send puts a command into the inbox.
func (r *rig) send(topic, payload string) uint64 {
	return r.journal.add(&gateway.Message{Topic: topic, Payload: []byte(payload), QoS: 1})
}

// device has one-second polls and three points: a is a number of 0 to 100, b a switch, c cannot be written.
func meter(name string) Device {
	return Device{Name: name, Groups: every(time.Second, 0, 1, 2), Points: []gateway.Point{
		{Name: "a", Kind: gateway.KindFloat64, Writable: true, Max: 100},
		{Name: "b", Kind: gateway.KindBool, Writable: true},
		{Name: "c", Kind: gateway.KindInt},
	}}
}

// every is one group of these points.
func every(interval time.Duration, points ...int) []Group { return []Group{{interval, points}} }

func meters(names ...string) *fakeDriver {
	d := &fakeDriver{cost: 10 * time.Millisecond}
	for _, name := range names {
		d.devices = append(d.devices, meter(name))
	}
	return d
}

var errNoise = errors.New("check sum is wrong")

// writesFor makes an onWrite of a device that takes so long, or until it is to end, and then has the value.
func writesFor(d time.Duration) func(context.Context, int, int, gateway.Value) (gateway.Reading, error) {
	return func(ctx context.Context, _, _ int, v gateway.Value) (gateway.Reading, error) {
		wait(d, ctx.Done())
		return good(v), ctx.Err()
	}
}

// writesForEver is the onWrite of a device that never answers.
func writesForEver(ctx context.Context, _, _ int, _ gateway.Value) (gateway.Reading, error) {
	<-ctx.Done()
	return gateway.Reading{}, ctx.Err()
}

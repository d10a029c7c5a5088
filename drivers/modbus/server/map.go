package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tidegate/tidegate/drivers/modbus"
	"github.com/tidegate/tidegate/gateway"
)

// Commander carries out what masters write. Its errors wrap the [Exception] that the master is answered with; any other is exception 4.
type Commander interface {
	// Check says why values would be refused before anything of them is written; nil when they would not.
	Check(device string, values []gateway.Setting) error
	// Set writes values to a device in their order and returns when they were read back.
	Set(ctx context.Context, device string, values []gateway.Setting) error
}

// DefaultWriteTimeout is how long a write may take unless [MapOptions] say otherwise.
const DefaultWriteTimeout = 10 * time.Second

// MapOptions describe a [Map].
type MapOptions struct {
	// Unit is the unit id that is answered; 0: each of them. Other units are answered with exception 11, as by a gateway that has no such device.
	Unit byte
	// ZeroHoles makes what lies between registers read as 0, and not as exception 2.
	ZeroHoles bool
	Registers []Register
	Commander Commander // nil: nothing is writable
	// WriteTimeout bounds one request that writes; 0: DefaultWriteTimeout.
	WriteTimeout time.Duration
	Identity     Identity
	Logger       *slog.Logger     // nil: nothing is logged
	Now          func() time.Time // nil: time.Now
}

// Map answers requests with points. It is told of readings by [Map.Observe], and never waits for a device to answer a read.
//
// A value that takes several registers is always of one reading, and is read and written whole: a request that begins or ends inside it is
// refused. What is read of a point without a good reading is an exception for the whole request, unless the point has a value for that.
type Map struct {
	opts    MapOptions
	log     *slog.Logger
	mu      sync.RWMutex // of the readings
	tables  [4]cells     // by modbus.Table
	devices map[string][]*field
}

// NewMap checks the registers.
func NewMap(o MapOptions) (*Map, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = DefaultWriteTimeout
	}
	m := &Map{opts: o, log: o.Logger, devices: map[string][]*field{}}
	for _, r := range o.Registers {
		f, err := newField(r)
		if err != nil {
			return nil, fmt.Errorf("set up registers: %s/%s: %w", r.Device, r.Point, err)
		}
		if r.Writable && o.Commander == nil {
			return nil, fmt.Errorf("set up registers: %s/%s is writable, and there is nobody to write it", r.Device, r.Point)
		}
		m.tables[r.Layout.Address.Table].add(f)
		m.devices[r.Device] = append(m.devices[r.Device], f)
	}
	for _, t := range m.tables {
		if err := t.order(); err != nil {
			return nil, fmt.Errorf("set up registers: %w", err)
		}
	}
	return m, nil
}

// Observe takes the newest readings of a device, one for each of its points, and how old each may become before it is stale. It keeps
// neither slice.
func (m *Map) Observe(device string, readings []gateway.Reading, staleAfter []time.Duration) {
	fields := m.devices[device]
	if len(fields) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range fields {
		if f.Index >= len(readings) {
			continue
		}
		if err := f.take(&readings[f.Index], staleAfter[f.Index]); err != nil {
			m.log.Warn("a register reads as bad", "error", err)
		}
	}
}

// Serve implements [Handler].
func (m *Map) Serve(ctx context.Context, unit byte, pdu []byte) []byte {
	answer, exception := m.answer(ctx, unit, pdu)
	if exception != 0 {
		return exception.Answer(pdu[0])
	}
	return answer
}

func (m *Map) answer(ctx context.Context, unit byte, pdu []byte) ([]byte, Exception) {
	if m.opts.Unit != 0 && unit != m.opts.Unit {
		return nil, TargetFailed
	}
	q, exception := parse(pdu)
	switch {
	case exception != 0:
		return nil, exception
	case q.function == encapsulated:
		return m.opts.Identity.answer(q.rest)
	case q.read.count > 0 && q.write.count > 0:
		if exception := m.there(q.read); exception != 0 {
			return nil, exception // nothing is written for an answer that there will not be
		}
	}
	if q.write.count > 0 {
		if exception := m.write(ctx, q); exception != 0 {
			return nil, exception
		}
	}
	if q.read.count > 0 {
		return m.read(q)
	}
	return written(pdu), 0
}

// there tells whether a span may be read.
func (m *Map) there(s span) Exception {
	t := m.tables[s.table]
	cells := t.in(s)
	switch {
	case !cells.whole(s):
		return IllegalAddress
	case cells.gapless(s):
		return 0
	case m.opts.ZeroHoles && len(t) > 0 && s.address >= t[0].start && s.end() <= t[len(t)-1].end():
		return 0
	}
	return IllegalAddress
}

// read returns the answer to a read, which is of one moment.
func (m *Map) read(q request) ([]byte, Exception) {
	if exception := m.there(q.read); exception != 0 {
		return nil, exception
	}
	now := m.opts.Now()
	m.mu.RLock()
	defer m.mu.RUnlock()
	if q.read.table == modbus.Coil || q.read.table == modbus.Discrete {
		return m.readBits(q, now)
	}
	size := 2 * q.read.count
	b := make([]byte, 2, 2+size)
	b[0], b[1] = q.function, byte(size)
	for _, c := range m.tables[q.read.table].in(q.read) {
		b = b[:2+2*(c.start-q.read.address)] // what was skipped is 0
		var exception Exception
		if b, exception = c.read(b, now); exception != 0 {
			return nil, exception
		}
	}
	return b[:2+size], 0
}

func (m *Map) readBits(q request, now time.Time) ([]byte, Exception) {
	b := make([]byte, 2+(q.read.count+7)/8)
	b[0], b[1] = q.function, byte(len(b)-2)
	var one [1]byte
	for _, c := range m.tables[q.read.table].in(q.read) {
		bit, exception := c.read(one[:0], now)
		if exception != 0 {
			return nil, exception
		}
		at := c.start - q.read.address
		b[2+at/8] |= bit[0] << (at % 8)
	}
	return b, 0
}

// exceptionOf returns the exception that an error of the commander wraps.
func exceptionOf(err error) Exception {
	var e Exception
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e) && e != 0:
		return e
	}
	return DeviceFailure
}

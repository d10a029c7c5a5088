package sim

import (
	"sync"
	"time"
)

// Unit is one simulated device, which answers for one unit id. The same Unit may be served by several endpoints at once;
// it carries out one request at a time. It is safe for concurrent use.
type Unit struct {
	bank *Bank

	mu       sync.Mutex
	model    model
	now      func() time.Time
	start    time.Time
	elapsed  time.Duration // what the model was last told
	faults   []planned
	observer func(pdu []byte)
	stats    UnitStats
}

// UnitStats counts since the unit was made.
type UnitStats struct {
	Requests   uint64 // requests that reached the unit, broadcasts and those with an injected fault included
	Exceptions uint64 // requests answered with an exception
	Faults     uint64 // injected faults that took effect
}

// model gives a unit values that move. Its state depends only on the elapsed time and on what was written when, not on
// how often it is asked.
type model interface {
	// advance brings the tables to what they are so long after the unit was made; elapsed never decreases.
	advance(b *Bank, elapsed time.Duration)
}

// planned is a fault and how many requests it is still for; negative is without end.
type planned struct {
	fault Fault
	count int
}

// NewUnit makes a unit whose cells, all 0 at first, change only when a master or [Unit.Set] writes them.
func NewUnit(l Layout) *Unit { return newUnit(l, nil, nil) }

// newUnit makes a unit that moves by the clock now; nil is time.Now.
func newUnit(l Layout, m model, now func() time.Time) *Unit {
	if now == nil {
		now = time.Now
	}
	return &Unit{bank: NewBank(l), model: m, now: now, start: now()}
}

// Get returns count cells as a master would read them now. It fails with [ErrAddress].
func (u *Unit) Get(t Table, address uint16, count int) ([]uint16, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.advance()
	return u.bank.Get(t, address, count)
}

// Set writes cells as the device's own side, read-only tables included; a unit that moves overwrites those that it computes.
// It fails with [ErrAddress].
func (u *Unit) Set(t Table, address uint16, values ...uint16) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.advance()
	return u.bank.Set(t, address, values...)
}

// Inject makes the unit misbehave on its next count requests, without end if count is negative. Faults injected one after another
// take their turns in that order. Broadcasts are not affected.
func (u *Unit) Inject(f Fault, count int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if count != 0 {
		u.faults = append(u.faults, planned{fault: f, count: count})
	}
}

// Heal takes back all faults that were injected.
func (u *Unit) Heal() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.faults = nil
}

// Observe calls f with each request, function code and data, before it is carried out; nil ends that. f must keep neither
// the bytes nor the unit waiting, and must not call the unit.
func (u *Unit) Observe(f func(pdu []byte)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.observer = f
}

// Stats returns the counters.
func (u *Unit) Stats() UnitStats {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stats
}

// handle carries out one request that was sent to this unit alone.
func (u *Unit) handle(pdu []byte) exchange {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.begin(pdu)
	f := u.nextFault()
	if f.silent() {
		return exchange{fault: f}
	}
	answer := u.respond(pdu, f)
	if len(answer) > 0 && answer[0]&exceptionBit != 0 {
		u.stats.Exceptions++
	}
	return exchange{request: pdu, pdu: f.distort(answer), fault: f}
}

// broadcast carries out a request to all units, which none of them answers.
func (u *Unit) broadcast(pdu []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.begin(pdu)
	u.bank.Respond(pdu)
}

func (u *Unit) begin(pdu []byte) {
	u.stats.Requests++
	if u.observer != nil {
		u.observer(pdu)
	}
	u.advance()
}

// advance lets the model follow the clock; one that is set back stops it for that long.
func (u *Unit) advance() {
	if u.model == nil {
		return
	}
	u.elapsed = max(u.elapsed, u.now().Sub(u.start))
	u.model.advance(u.bank, u.elapsed)
}

func (u *Unit) respond(pdu []byte, f Fault) []byte {
	if f.kind == exceptionAnswer && len(pdu) > 0 {
		return Exception(f.number).pdu(pdu[0])
	}
	return u.bank.Respond(pdu)
}

// nextFault takes one fault from the plan.
func (u *Unit) nextFault() Fault {
	if len(u.faults) == 0 {
		return Fault{}
	}
	next := &u.faults[0]
	f := next.fault
	u.stats.Faults++
	if next.count > 0 {
		next.count--
	}
	if next.count == 0 {
		u.faults = u.faults[1:]
	}
	return f
}

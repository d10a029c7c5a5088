package sim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Table is one of the four tables of the Modbus data model (Modbus Application Protocol V1.1b3, section 4.3).
type Table int

const (
	// Coils are single bits that a master reads and writes.
	Coils Table = iota
	// DiscreteInputs are single bits that a master only reads.
	DiscreteInputs
	// HoldingRegisters are 16-bit words that a master reads and writes.
	HoldingRegisters
	// InputRegisters are 16-bit words that a master only reads.
	InputRegisters

	tableCount = iota
)

// String names the table as the configuration does: coil, discrete, holding, input.
func (t Table) String() string {
	switch t {
	case Coils:
		return "coil"
	case DiscreteInputs:
		return "discrete"
	case HoldingRegisters:
		return "holding"
	case InputRegisters:
		return "input"
	}
	return fmt.Sprintf("table %d", int(t))
}

// holdsBits tells whether the table's cells are single bits.
func (t Table) holdsBits() bool { return t == Coils || t == DiscreteInputs }

// addressSpace is the number of cells that a 16-bit address can name.
const addressSpace = 1 << 16

// ErrAddress says that an address is outside the ranges that a unit has.
var ErrAddress = errors.New("address outside the unit's ranges")

// Range is a run of Count cells that begins at the 0-based address First. What reaches beyond address 65535 is cut off.
type Range struct {
	First uint16
	Count int
}

// Layout says which addresses a unit has; all others are answered with exception 2. Ranges may touch or overlap: a request
// may read across the border of two ranges that touch.
type Layout struct {
	Coils            []Range
	DiscreteInputs   []Range
	HoldingRegisters []Range
	InputRegisters   []Range

	// Accept decides on each value that a master writes (for coils 0 or 1); false is answered with exception 3 and nothing of
	// the request is written. Nil accepts everything. It must not call the Bank or the Unit that it belongs to.
	Accept func(t Table, address, value uint16) bool
}

// Bank holds the four tables of one unit. It is safe for concurrent use.
type Bank struct {
	accept func(t Table, address, value uint16) bool

	mu     sync.Mutex
	tables [tableCount][]span
}

// span is a run of cells without a hole; bits are kept as 0 or 1.
type span struct {
	first int
	cells []uint16
}

func (s span) end() int { return s.first + len(s.cells) }

// NewBank makes tables of zeros.
func NewBank(l Layout) *Bank {
	b := &Bank{accept: l.Accept}
	b.tables[Coils] = newSpans(l.Coils)
	b.tables[DiscreteInputs] = newSpans(l.DiscreteInputs)
	b.tables[HoldingRegisters] = newSpans(l.HoldingRegisters)
	b.tables[InputRegisters] = newSpans(l.InputRegisters)
	return b
}

// newSpans joins ranges that touch or overlap, so that an access needs to look at one span only.
func newSpans(ranges []Range) []span {
	sorted := slices.SortedFunc(slices.Values(ranges), func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	var spans []span
	for _, r := range sorted {
		first, end := int(r.First), min(int(r.First)+r.Count, addressSpace)
		if end <= first {
			continue
		}
		if last := len(spans) - 1; last >= 0 && first <= spans[last].end() {
			grow := max(end-spans[last].end(), 0)
			spans[last].cells = append(spans[last].cells, make([]uint16, grow)...)
			continue
		}
		spans = append(spans, span{first: first, cells: make([]uint16, end-first)})
	}
	return spans
}

// window returns the cells themselves, or false if one of them does not exist. The caller holds the lock.
func (b *Bank) window(t Table, address, count int) ([]uint16, bool) {
	if t < 0 || t >= tableCount || count < 0 {
		return nil, false
	}
	for _, s := range b.tables[t] {
		if address >= s.first && address+count <= s.end() {
			return s.cells[address-s.first:][:count], true
		}
	}
	return nil, false
}

// Get returns a copy of count cells from address on; a bit is 0 or 1. It fails with [ErrAddress].
func (b *Bank) Get(t Table, address uint16, count int) ([]uint16, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	cells, ok := b.window(t, int(address), count)
	if !ok {
		return nil, fmt.Errorf("get %d cells from %s:%d: %w", count, t, address, ErrAddress)
	}
	return slices.Clone(cells), nil
}

// Set writes cells from address on, read-only tables included and without asking the layout's Accept: it is the device's
// own side. Any bit but 0 is taken as 1. It fails with [ErrAddress], and then nothing is written.
func (b *Bank) Set(t Table, address uint16, values ...uint16) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	cells, ok := b.window(t, int(address), len(values))
	if !ok {
		return fmt.Errorf("set %d cells from %s:%d: %w", len(values), t, address, ErrAddress)
	}
	for i, v := range values {
		if t.holdsBits() {
			v = min(v, 1)
		}
		cells[i] = v
	}
	return nil
}

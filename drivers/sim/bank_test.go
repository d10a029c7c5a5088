package sim

import (
	"errors"
	"slices"
	"testing"
)

func TestBankRanges(t *testing.T) {
	b := NewBank(Layout{HoldingRegisters: []Range{{First: 20, Count: 5}, {First: 0, Count: 4}, {First: 4, Count: 2}, {First: 65534, Count: 9}, {First: 21, Count: 1}, {First: 90, Count: 0}}})
	tests := []struct {
		name    string
		address uint16
		count   int
		want    bool
	}{
		{"whole range", 20, 5, true},
		{"across ranges that touch", 2, 4, true},
		{"into a hole", 4, 3, false},
		{"in a hole", 10, 1, false},
		{"before a range", 19, 2, false},
		{"behind a range", 24, 2, false},
		{"end of the address space", 65534, 2, true},
		{"beyond the address space", 65535, 2, false},
		{"empty range", 90, 1, false},
		{"negative count", 0, -1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := b.Get(HoldingRegisters, tt.address, tt.count)
			if (err == nil) != tt.want || (err != nil && !errors.Is(err, ErrAddress)) || (err == nil && len(got) != tt.count) {
				t.Errorf("Get(%d, %d) = %v, %v; want ok %v", tt.address, tt.count, got, err, tt.want)
			}
		})
	}
}

func TestBankTablesAreApart(t *testing.T) {
	b := NewBank(Layout{Coils: []Range{{0, 1}}, DiscreteInputs: []Range{{0, 1}}, HoldingRegisters: []Range{{0, 1}}, InputRegisters: []Range{{0, 1}}})
	for i, table := range []Table{Coils, DiscreteInputs, HoldingRegisters, InputRegisters} {
		if err := b.Set(table, 0, uint16(i)); err != nil {
			t.Fatal(err)
		}
	}
	for table, want := range map[Table]uint16{Coils: 0, DiscreteInputs: 1, HoldingRegisters: 2, InputRegisters: 3} {
		if got, err := b.Get(table, 0, 1); err != nil || got[0] != want {
			t.Errorf("%v = %v, %v; want %d", table, got, err, want)
		}
	}
	if _, err := b.Get(Table(9), 0, 1); !errors.Is(err, ErrAddress) {
		t.Errorf("Get from an unknown table: %v, want ErrAddress", err)
	}
}

func TestBankSetIsAllOrNothing(t *testing.T) {
	b := NewBank(Layout{Coils: []Range{{0, 3}}})
	if err := b.Set(Coils, 0, 1, 7, 0); err != nil {
		t.Fatal(err)
	}
	err := b.Set(Coils, 1, 0, 1, 1)
	if !errors.Is(err, ErrAddress) || err.Error() != "set 3 cells from coil:1: address outside the unit's ranges" {
		t.Errorf("Set beyond the end: %v", err)
	}
	if got, _ := b.Get(Coils, 0, 3); !slices.Equal(got, []uint16{1, 1, 0}) {
		t.Errorf("coils = %v, want [1 1 0]", got)
	}
}

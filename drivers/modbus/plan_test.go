package modbus

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// at makes points from words such as "holding:0 float32".
func at(t *testing.T, specs ...string) []Point {
	t.Helper()
	var points []Point
	for _, spec := range specs {
		var table string
		var p Point
		var typ string
		if _, err := fmt.Sscanf(strings.Replace(spec, ":", " ", 1), "%s %d %s", &table, &p.Address.Offset, &typ); err != nil {
			t.Fatalf("point %q: %v", spec, err)
		}
		for _, tab := range []Table{Coil, Discrete, Input, Holding} {
			if tab.String() == table {
				p.Address.Table = tab
			}
		}
		for _, ty := range Types() {
			if ty.String() == typ {
				p.Type = ty
			}
		}
		p.Name = spec
		points = append(points, p)
	}
	return points
}

// show writes blocks as "holding:0+2[0 1]".
func show(blocks []*block) string {
	var s []string
	for _, b := range blocks {
		s = append(s, fmt.Sprintf("%v:%d+%d%v", b.table, b.start, b.count, b.points))
	}
	return strings.Join(s, " ")
}

func TestPlan(t *testing.T) {
	for _, tc := range []struct {
		name     string
		points   []string
		gap, max int
		want     string
	}{
		{"None", nil, 10, 125, ""},
		{"One", []string{"holding:7 uint16"}, 10, 125, "holding:7+1[0]"},
		{"Adjacent", []string{"holding:0 uint16", "holding:1 float32", "holding:3 int16"}, 0, 125, "holding:0+4[0 1 2]"},
		{"OrderOfConfigurationDoesNotMatter", []string{"holding:3 int16", "holding:0 uint16", "holding:1 float32"}, 0, 125, "holding:0+4[1 2 0]"},
		{"GapAllowed", []string{"input:0 uint16", "input:11 uint16"}, 10, 125, "input:0+12[0 1]"},
		{"GapTooWide", []string{"input:0 uint16", "input:12 uint16"}, 10, 125, "input:0+1[0] input:12+1[1]"},
		{"NoGap", []string{"input:0 uint16", "input:2 uint16"}, 0, 125, "input:0+1[0] input:2+1[1]"},
		{"SamePlaceTwice", []string{"holding:4 uint16", "holding:4 int16", "holding:4 uint32"}, 0, 125, "holding:4+2[2 0 1]"},
		{"OverlapDoesNotShrink", []string{"holding:0 uint32", "holding:0 uint16", "holding:2 uint16"}, 0, 125, "holding:0+3[0 1 2]"},
		{
			"TablesApart",
			[]string{"holding:0 uint16", "input:0 uint16", "discrete:0 bool", "coil:0 bool"},
			10, 125,
			"coil:0+1[3] discrete:0+1[2] input:0+1[1] holding:0+1[0]",
		},
		{"LimitReached", []string{"holding:0 uint16", "holding:124 uint16", "holding:125 uint16"}, 124, 125, "holding:0+125[0 1] holding:125+1[2]"},
		{"WideValueDoesNotFit", []string{"holding:0 uint16", "holding:124 uint32"}, 124, 125, "holding:0+1[0] holding:124+2[1]"},
		{"SmallLimit", []string{"holding:0 uint16", "holding:1 uint16", "holding:2 uint16"}, 10, 2, "holding:0+2[0 1] holding:2+1[2]"},
		{"ValueWiderThanLimit", []string{"holding:0 float32", "holding:2 uint16"}, 10, 1, "holding:0+2[0] holding:2+1[1]"},
		{"BitsTakeASixteenthOfTheRoom", []string{"coil:0 bool", "coil:161 bool", "coil:323 bool"}, 10, 125, "coil:0+162[0 1] coil:323+1[2]"},
		{"BitLimit", []string{"coil:0 bool", "coil:1000 bool", "coil:1999 bool", "coil:2000 bool"}, 124, 125, "coil:0+2000[0 1 2] coil:2000+1[3]"},
		{"LastAddress", []string{"holding:65535 uint16", "holding:65533 uint32"}, 10, 125, "holding:65533+3[1 0]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := show(plan(at(t, tc.points...), tc.gap, tc.max)); got != tc.want {
				t.Errorf("plan() = %s\nwant     %s", got, tc.want)
			}
		})
	}
}

// Whatever the points are: each lies whole in exactly one block, no block is larger than allowed, and the result does not depend on order.
func TestPlanProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gap, limit := rapid.IntRange(0, 124).Draw(t, "gap"), rapid.IntRange(1, 125).Draw(t, "limit")
		var points []Point
		for range rapid.IntRange(0, 60).Draw(t, "points") {
			p := Point{Address: Address{Table: Table(rapid.IntRange(0, 3).Draw(t, "table"))}, Type: Bool}
			if !p.Address.Table.bits() {
				p.Type = rapid.SampledFrom(Types()[1:]).Draw(t, "type")
			}
			p.Address.Offset = uint16(rapid.IntRange(0, 65536-p.Type.width()).Draw(t, "offset"))
			points = append(points, p)
		}
		blocks := plan(points, gap, limit)
		seen := make([]int, len(points))
		for _, b := range blocks {
			checkBlock(t, b, points, max(limit, 4), seen)
		}
		for i, n := range seen {
			if n != 1 {
				t.Fatalf("point %d is in %d blocks", i, n)
			}
		}
		shuffled := rapid.Permutation(points).Draw(t, "another order")
		if a, b := ranges(blocks), ranges(plan(shuffled, gap, limit)); a != b {
			t.Fatalf("blocks %s and, in another order, %s", a, b)
		}
	})
}

func checkBlock(t *rapid.T, b *block, points []Point, limit int, seen []int) {
	if b.table.bits() {
		limit *= 16
	}
	if b.count > limit || b.count > b.table.limit() || int(b.start)+b.count > 65536 {
		t.Fatalf("block %v+%d is too large", b.at(), b.count)
	}
	for _, i := range b.points {
		p := points[i]
		seen[i]++
		if p.Address.Table != b.table || p.Address.Offset < b.start || int(p.Address.Offset)+p.width() > int(b.start)+b.count {
			t.Fatalf("point %v %v is not in block %v+%d", p.Address, p.Type, b.at(), b.count)
		}
	}
}

func ranges(blocks []*block) string {
	var s strings.Builder
	for _, b := range blocks {
		fmt.Fprintf(&s, "%v+%d ", b.at(), b.count)
	}
	return s.String()
}

func TestSplit(t *testing.T) {
	points := at(t, "holding:0 uint16", "holding:50 uint16", "holding:124 uint16")
	b := plan(points, 124, 125)[0]
	if got, want := show(b.split(points)), "holding:0+1[0] holding:50+75[1 2]"; got != want {
		t.Errorf("split() = %s, want %s", got, want)
	}
}

func TestAddressShowsBothNotations(t *testing.T) {
	for _, tc := range []struct {
		address Address
		want    string
	}{
		{Address{Holding, 0}, "holding:0 (40001)"},
		{Address{Holding, 9998}, "holding:9998 (49999)"},
		{Address{Holding, 9999}, "holding:9999 (410000)"},
		{Address{Holding, 65535}, "holding:65535 (465536)"},
		{Address{Input, 16}, "input:16 (30017)"},
		{Address{Discrete, 7}, "discrete:7 (10008)"},
		{Address{Coil, 3}, "coil:3 (00004)"},
	} {
		if got := tc.address.String(); got != tc.want {
			t.Errorf("String() = %q, want %q", got, tc.want)
		}
	}
}

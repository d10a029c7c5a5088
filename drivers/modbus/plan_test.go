package modbus

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/drivers/bus"
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
		{"LimitReached", []string{"holding:0 uint16", "holding:9 uint16", "holding:10 uint16"}, 124, 10, "holding:0+1[0] holding:9+2[1 2]"},
		{"LimitNotReached", []string{"holding:0 uint16", "holding:9 uint16", "holding:10 uint16"}, 124, 11, "holding:0+11[0 1 2]"},
		{"GapAllowedThatDoesNotPay", []string{"holding:0 uint16", "holding:12 uint16"}, 124, 125, "holding:0+1[0] holding:12+1[1]"},
		{"WideValueDoesNotFit", []string{"holding:0 uint16", "holding:124 uint32"}, 124, 125, "holding:0+1[0] holding:124+2[1]"},
		{"SmallLimit", []string{"holding:0 uint16", "holding:1 uint16", "holding:2 uint16"}, 10, 2, "holding:0+2[0 1] holding:2+1[2]"},
		{"ValueWiderThanLimit", []string{"holding:0 float32", "holding:2 uint16"}, 10, 1, "holding:0+2[0] holding:2+1[1]"},
		{"BitsTakeASixteenthOfTheRoom", []string{"coil:0 bool", "coil:161 bool", "coil:338 bool"}, 10, 125, "coil:0+162[0 1] coil:338+1[2]"},
		{"BitLimit", []string{"coil:0 bool", "coil:100 bool", "coil:159 bool", "coil:160 bool"}, 124, 10, "coil:0+1[0] coil:100+61[1 2 3]"},
		{"WideOneHoldsAll", []string{"holding:1 uint16", "holding:0 uint32", "holding:1 int16"}, 0, 1, "holding:0+2[1 0 2]"},
		{"LastAddress", []string{"holding:65535 uint16", "holding:65533 uint32"}, 10, 125, "holding:65533+3[1 0]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := show(planned(at(t, tc.points...), tc.gap, tc.max)); got != tc.want {
				t.Errorf("plan() = %s\nwant     %s", got, tc.want)
			}
		})
	}
}

// planned plans all points for a line at 9600 baud 8N1 and devices that answer at once.
func planned(points []Point, gap, limit int) []*block {
	p := planner{points: points, limits: limits{gap, limit}, cost: slow().cost(slow().usual, 0)}
	return p.plan(all(points))
}

func slow() pace { return newPace(Options{Bus: bus.Options{Port: "p", Mode: bus.Mode{Baud: 9600}}}) }

func all(points []Point) []int {
	which := make([]int, len(points))
	for i := range which {
		which[i] = i
	}
	return which
}

// The same two registers, 20 apart: whether they are asked for together depends on what characters, silences and answers cost there.
func TestPlanDependsOnTheBus(t *testing.T) {
	points := at(t, "holding:0 uint16", "holding:21 uint16")
	line := bus.Mode{Baud: 9600, Parity: bus.ParityEven}
	behind := Options{Bus: tcpBus("e:4001"), Framing: FramingRTU, Line: line}
	for _, tc := range []struct {
		name          string
		o             Options
		response, gap time.Duration
		together      bool
	}{
		{"Line", Options{Bus: bus.Options{Port: "p", Mode: line}}, 0, 0, false},
		{"SlowDevice", Options{Bus: bus.Options{Port: "p", Mode: line}}, 50 * time.Millisecond, 0, true},
		{"GapOfTheDevice", Options{Bus: bus.Options{Port: "p", Mode: line}}, 0, 50 * time.Millisecond, true},
		{"GapOfTheBus", Options{Bus: bus.Options{Port: "p", Mode: line, Gap: 50 * time.Millisecond}}, 0, 0, true},
		{"ASCII", Options{Bus: bus.Options{Port: "p", Mode: line}, Framing: FramingASCII}, 0, 0, false},
		{"ASCIISlowDevice", Options{Bus: bus.Options{Port: "p", Mode: line}, Framing: FramingASCII}, 50 * time.Millisecond, 0, false}, // each register takes twice the characters
		{"BehindADeviceServer", behind, 0, 0, false},
		{"BehindOneOfUnknownRate", Options{Bus: tcpBus("e:4001"), Framing: FramingRTU}, time.Millisecond, 0, true},
		{"Network", Options{Bus: tcpBus("e:502")}, 40 * time.Microsecond, 0, true},
		{"SharedWait", Options{Bus: tcpBus("e:502"), MaxInFlight: 16}, 10 * time.Microsecond, 0, false},
	} {
		p := planner{points: points, limits: limits{-1, 125}, cost: newPace(tc.o).cost(tc.response, tc.gap)}
		if got := len(p.plan(all(points))) == 1; got != tc.together {
			t.Errorf("%s: together %t, want %t", tc.name, got, tc.together)
		}
	}
}

// drawPlanner draws the cost and the limits of a plan.
func drawPlanner(t *rapid.T, points []Point) planner {
	baud := rapid.SampledFrom([]int{1200, 9600, 19200, 115200, 0}).Draw(t, "baud")
	mode := bus.Mode{Baud: baud, Parity: bus.ParityEven}
	o := Options{Bus: bus.Options{Port: "p", Mode: mode}, Framing: rapid.SampledFrom([]Framing{FramingRTU, FramingASCII}).Draw(t, "framing")}
	if baud == 0 || rapid.Bool().Draw(t, "over tcp") {
		o.Bus, o.Line = bus.Options{Endpoint: "e"}, mode // without a rate: what is behind the endpoint is not known
	}
	if baud == 0 {
		o.Framing, o.MaxInFlight = FramingTCP, rapid.IntRange(1, maxInFlight).Draw(t, "in flight")
	}
	wait := rapid.IntRange(0, 50)
	response := time.Duration(wait.Draw(t, "response")) * time.Millisecond
	o.Bus.Gap = time.Duration(wait.Draw(t, "gap of the bus")) * time.Millisecond
	gap := time.Duration(wait.Draw(t, "gap of the device")) * time.Millisecond
	return planner{
		points: points, cost: newPace(o).cost(response, gap),
		limits: limits{rapid.SampledFrom([]int{-1, 0, 1, 5, 20, 124}).Draw(t, "gap"), rapid.SampledFrom([]int{1, 2, 5, 20, 125}).Draw(t, "limit")},
	}
}

// drawPoints draws points in some tables within so many registers or bits.
func drawPoints(t *rapid.T, most, room int) (points []Point) {
	for range rapid.IntRange(0, most).Draw(t, "points") {
		p := Point{Address: Address{Table: Table(rapid.IntRange(2, 3).Draw(t, "table"))}}
		if p.Type = rapid.SampledFrom(Types()).Draw(t, "type"); p.Type == Bool {
			p.Address.Table -= 2
		}
		p.Address.Offset = uint16(rapid.IntRange(0, room-p.width()).Draw(t, "offset"))
		points = append(points, p)
	}
	return points
}

// Whatever the points are: each lies whole in exactly one block, no block is larger than allowed, and the result does not depend on order.
func TestPlanProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		points := drawPoints(t, 60, rapid.SampledFrom([]int{100, 1000, 65536}).Draw(t, "room"))
		p := drawPlanner(t, points)
		blocks := p.plan(all(points))
		seen := make([]int, len(points))
		for _, b := range blocks {
			checkBlock(t, b, points, max(p.limits.count, 4), seen)
		}
		for i, n := range seen {
			if n != 1 {
				t.Fatalf("point %d is in %d blocks", i, n)
			}
		}
		other := p
		other.points = rapid.Permutation(points).Draw(t, "another order")
		if a, b := ranges(blocks), ranges(other.plan(all(points))); a != b {
			t.Fatalf("blocks %s and, in another order, %s", a, b)
		}
	})
}

// A plan takes no more time than one request for each point, nor than putting together all that the limits allow.
func TestPlanIsNoDearerThanTheSimpleOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		points := drawPoints(t, 60, rapid.SampledFrom([]int{100, 1000}).Draw(t, "room"))
		p := drawPlanner(t, points)
		cost := p.cost.total(p.plan(all(points)))
		var single, merged []*block
		for i := range points {
			single = append(single, around(points, []int{i}))
		}
		free := p
		free.cost = cost1 // requests alone cost something: as few as possible
		merged = free.plan(all(points))
		if s, m := p.cost.total(single), p.cost.total(merged); cost > s || cost > m {
			t.Fatalf("the plan costs %d, single points %d, the fewest requests %d", cost, s, m)
		}
		if greedy := mergeAll(p, points); len(merged) > len(greedy) || cost > p.cost.total(greedy) {
			t.Fatalf("%d blocks for %d, one after the other %d for %d", len(merged), cost, len(greedy), p.cost.total(greedy))
		}
	})
}

var cost1 = cost{request: 1}

// mergeAll walks along the addresses and begins a new block only where the limits ask for it.
func mergeAll(p planner, points []Point) []*block {
	order := all(points)
	slices.SortStableFunc(order, func(i, j int) int {
		a, b := points[i], points[j]
		return cmp.Or(cmp.Compare(a.Address.Table, b.Address.Table), cmp.Compare(a.Address.Offset, b.Address.Offset), cmp.Compare(b.end(), a.end()))
	})
	var blocks []*block
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && allowed(p, order[from:to+1]) {
			to++
		}
		blocks = append(blocks, around(points, order[from:to]))
		from = to
	}
	return blocks
}

// allowed says in the plainest way whether one request may ask for points.
func allowed(p planner, which []int) bool {
	table, widest, low, high := p.points[which[0]].Address.Table, 0, 1<<20, 0
	wanted := map[int]bool{}
	for _, i := range which {
		q := p.points[i]
		if q.Address.Table != table || p.excluded(i) {
			return false
		}
		for r := int(q.Address.Offset); r < q.end(); r++ {
			wanted[r] = true
		}
		low, high, widest = min(low, int(q.Address.Offset)), max(high, q.end()), max(widest, q.width())
	}
	l := p.limits.of(table)
	if high-low > max(l.count, widest) {
		return false
	}
	unwanted := 0
	for r := low; r < high; r++ {
		if unwanted++; wanted[r] {
			unwanted = 0
		}
		if l.gap >= 0 && unwanted > l.gap {
			return false
		}
	}
	return true
}

// On small cases the plan is the cheapest of all ways to divide the points.
func TestPlanIsTheCheapest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		points := drawPoints(t, 7, rapid.SampledFrom([]int{8, 30, 120}).Draw(t, "room"))
		p := drawPlanner(t, points)
		blocks := p.plan(all(points))
		for _, b := range blocks {
			if !allowed(p, b.points) {
				t.Fatalf("block %v+%d is not allowed by %+v", b.at(), b.count, p.limits)
			}
		}
		if got, want := p.cost.total(blocks), cheapest(p, nil, all(points)); got != want {
			t.Fatalf("the plan %s costs %d, the cheapest %d", show(blocks), got, want)
		}
	})
}

// cheapest tries each way to divide points into blocks: the next point joins one of the blocks so far or begins one.
func cheapest(p planner, blocks [][]int, rest []int) int64 {
	if len(rest) == 0 {
		var sum int64
		for _, which := range blocks {
			if !allowed(p, which) {
				return 1 << 62
			}
			low, high := 1<<20, 0
			for _, i := range which {
				low, high = min(low, int(p.points[i].Address.Offset)), max(high, p.points[i].end())
			}
			sum += p.cost.read(p.points[which[0]].Address.Table, high-low)
		}
		return sum
	}
	best := cheapest(p, append(slices.Clone(blocks), rest[:1]), rest[1:])
	for i := range blocks {
		joined := slices.Clone(blocks)
		joined[i] = append(slices.Clone(blocks[i]), rest[0])
		best = min(best, cheapest(p, joined, rest[1:]))
	}
	return best
}

// What was refused parts the blocks: a point by itself, and two points that are not read together.
func TestPlanAroundRefusals(t *testing.T) {
	points := at(t, "holding:0 uint16", "holding:1 uint16", "holding:2 uint16", "holding:3 uint16", "holding:4 uint16", "coil:0 bool")
	p := planner{points: points, limits: limits{-1, 125}, cost: slow().cost(0, 0)}
	for _, tc := range []struct {
		refused []int
		apart   map[int]int
		want    string
	}{
		{nil, nil, "coil:0+1[5] holding:0+5[0 1 2 3 4]"},
		{[]int{2}, nil, "coil:0+1[5] holding:0+2[0 1] holding:3+2[3 4]"},
		{[]int{0, 4}, nil, "coil:0+1[5] holding:1+3[1 2 3]"},
		{[]int{1, 2, 5}, nil, "holding:0+1[0] holding:3+2[3 4]"},
		{all(points), nil, ""},
		{nil, map[int]int{1: 2}, "coil:0+1[5] holding:0+2[0 1] holding:2+3[2 3 4]"},
		{[]int{2}, map[int]int{1: 2}, "coil:0+1[5] holding:0+2[0 1] holding:3+2[3 4]"},
		{nil, map[int]int{0: 1, 3: 4}, "coil:0+1[5] holding:0+1[0] holding:1+3[1 2 3] holding:4+1[4]"},
		{nil, map[int]int{1: 3}, "coil:0+1[5] holding:0+3[0 1 2] holding:3+2[3 4]"},
	} {
		p.apart, p.without = tc.apart, func(i int) bool { return slices.Contains(tc.refused, i) }
		got := show(p.plan(all(points)))
		if got != tc.want && got != strings.Replace(tc.want, "holding:0+3[0 1 2] holding:3+2[3 4]", "holding:0+2[0 1] holding:2+3[2 3 4]", 1) {
			t.Errorf("without %v, apart %v: %s\nwant %s", tc.refused, tc.apart, got, tc.want)
		}
	}
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

func TestHalve(t *testing.T) {
	points := at(t, "holding:0 uint16", "holding:50 uint16", "holding:124 uint16")
	b := around(points, all(points))
	g := &group{blocks: []*block{b}}
	if got, want := show(g.halve(b, points)), "holding:0+1[0] holding:50+75[1 2]"; got != want || show(g.blocks) != want {
		t.Errorf("halve() = %s, blocks %s, want %s", got, show(g.blocks), want)
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

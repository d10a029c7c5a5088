package modbus

import (
	"cmp"
	"slices"
)

// block is one read request and the points whose values its answer holds.
type block struct {
	table  Table
	start  uint16
	count  int    // registers or bits
	points []int  // indices into the device's points, by address
	cut    *split // the block that the device refused and of which this is a half; nil for others
}

// at returns the address of the block's first register or bit.
func (b *block) at() Address { return Address{Table: b.table, Offset: b.start} }

// end returns the place behind the point's last register or bit.
func (p Point) end() int { return int(p.Address.Offset) + p.width() }

// limits bound what is asked for in one request, in registers; 16 bits take the room of one.
type limits struct {
	gap   int // unwanted between two wanted ones; negative: as many as pay
	count int
}

// of returns the limits in the units of a table.
func (l limits) of(t Table) limits {
	if t.bits() {
		l.gap, l.count = 16*l.gap, 16*l.count
	}
	l.count = min(l.count, t.limit())
	return l
}

// planner knows what the plan of a group depends on.
type planner struct {
	points []Point
	limits limits
	cost   cost
	// without holds points that are not asked for, and that no request must touch.
	without func(point int) bool
	// apart holds pairs of points, the first by address and the second, that the device does not read in one request.
	apart map[int]int
}

// plan puts points, given by their indices, into the requests that take the least time on the bus together. Points that share registers
// are asked for once, and none is split. Blocks are ordered by table and address; they do not depend on the order of the indices.
func (p planner) plan(which []int) []*block {
	order := slices.Clone(which)
	slices.SortStableFunc(order, func(i, j int) int {
		a, b := p.points[i], p.points[j]
		return cmp.Or(
			cmp.Compare(a.Address.Table, b.Address.Table),
			cmp.Compare(a.Address.Offset, b.Address.Offset),
			cmp.Compare(b.end(), a.end()), // the wider first: it holds the other
		)
	})
	var blocks []*block
	for len(order) > 0 {
		n := 0
		for n < len(order) && !p.excluded(order[n]) && p.table(order[n]) == p.table(order[0]) {
			n++
		}
		if n > 0 {
			blocks = append(blocks, p.run(order[:n])...)
		}
		if n < len(order) && p.excluded(order[n]) {
			n++
		}
		order = order[n:]
	}
	return blocks
}

func (p planner) table(i int) Table { return p.points[i].Address.Table }

func (p planner) excluded(i int) bool { return p.without != nil && p.without(i) }

// run plans points of one table in the order of their addresses.
//
// There is a cheapest plan whose blocks are runs of this order. For two blocks whose points do not follow each other so, the one that begins
// later either ends within the other, which can take all its points, or can take from it all that begin behind its own beginning: neither
// makes a block longer. So it is enough to find, for each number of points from the first on, the cheapest last block.
func (p planner) run(order []int) []*block {
	w := walk{planner: p, order: order, place: make(map[int]int, len(order)), limits: p.limits.of(p.table(order[0]))}
	for at, i := range order {
		w.place[i] = at
		w.widest = max(w.widest, p.points[i].end()-int(p.points[i].Address.Offset))
	}
	best := make([]choice, 1, len(order)+1)
	for n := range order {
		best = append(best, w.last(best, n+1))
	}
	var blocks []*block
	for n := len(order); n > 0; n = best[n].from {
		blocks = append(blocks, around(p.points, order[best[n].from:n]))
	}
	slices.Reverse(blocks)
	return blocks
}

// choice is the cheapest plan of the first points of a run.
type choice struct {
	cost   int64
	blocks int
	from   int // where its last block begins
}

// better prefers, of two that cost the same, the one with fewer requests.
func (c choice) better(than choice) bool {
	return than.blocks == 0 || c.cost < than.cost || c.cost == than.cost && c.blocks < than.blocks
}

// walk plans one run.
type walk struct {
	planner
	order  []int
	place  map[int]int // of each point in order
	limits limits
	widest int // of all points
	span   span
}

// last finds the cheapest last block for the first n points; best has the choices for fewer.
func (w *walk) last(best []choice, n int) (c choice) {
	w.span.clear()
	for from := n - 1; from >= 0 && w.together(w.order[from], n); from-- {
		w.span.add(w.points[w.order[from]], w.limits.gap)
		if w.span.count() > max(w.limits.count, w.widest) {
			break
		}
		if !w.span.fits(w.limits.count) {
			continue // a wider point, farther on, may hold it all
		}
		sum := best[from].cost + w.cost.read(w.table(w.order[from]), w.span.count())
		if other := (choice{sum, best[from].blocks + 1, from}); other.better(c) {
			c = other
		}
	}
	return c
}

// together reports whether a point may be in one block with those behind it, up to number n of the run.
func (w *walk) together(i, n int) bool {
	if len(w.apart) == 0 {
		return true
	}
	second, ok := w.apart[i]
	at, asked := w.place[second]
	return !ok || !asked || at >= n
}

// span is what a request for some points would ask for. Points are added by falling address.
type span struct {
	start, end int
	widest     int       // of its points
	gaps       []stretch // that are too wide
}

// stretch is what no point wants.
type stretch struct{ start, end int }

func (s *span) clear() { *s = span{start: -1, gaps: s.gaps[:0]} }

// add takes one more point in. A negative limit lets gaps be as wide as they like.
func (s *span) add(p Point, limit int) {
	start, end := int(p.Address.Offset), p.end()
	for i := range s.gaps {
		s.gaps[i].start = max(s.gaps[i].start, end)
	}
	if limit >= 0 && s.start-end > limit {
		s.gaps = append(s.gaps, stretch{end, s.start})
	}
	if len(s.gaps) > 0 {
		s.gaps = slices.DeleteFunc(s.gaps, func(g stretch) bool { return g.end-g.start <= limit })
	}
	s.start, s.end, s.widest = start, max(s.end, end), max(s.widest, end-start)
}

func (s *span) count() int { return s.end - s.start }

// fits reports whether the span can be asked for. A single point may be wider than the limit; what lies within it costs nothing more.
func (s *span) fits(limit int) bool {
	return len(s.gaps) == 0 && s.count() <= max(limit, s.widest)
}

// around returns the block that holds points, which are in the order of their addresses.
func around(points []Point, which []int) *block {
	head := points[which[0]].Address
	b := &block{table: head.Table, start: head.Offset, points: which}
	for _, i := range which {
		b.count = max(b.count, points[i].end()-int(head.Offset))
	}
	return b
}

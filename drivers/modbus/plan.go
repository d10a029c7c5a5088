package modbus

import (
	"cmp"
	"slices"
)

// defaultGap is how many unwanted registers cost less than a second request. Two blocks that lie g registers apart are cheaper in one
// request when 2g characters last shorter than 13 characters and two silences, which up to 19200 baud is so for g <= 10.
const defaultGap = 10

// block is one read request and the points whose values its answer holds. It is never changed once made.
type block struct {
	table  Table
	start  uint16
	count  int   // registers or bits
	points []int // indices into the device's points, by address
}

// at returns the address of the block's first register or bit.
func (b *block) at() Address { return Address{Table: b.table, Offset: b.start} }

// plan puts the points of a device into as few blocks as the limits allow. The result depends on nothing but its arguments:
// blocks are ordered by table and address.
func plan(points []Point, maxGap, maxCount int) []*block {
	order := make([]int, len(points))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		a, b := points[i], points[j]
		return cmp.Or(
			cmp.Compare(a.Address.Table, b.Address.Table),
			cmp.Compare(a.Address.Offset, b.Address.Offset),
			cmp.Compare(b.width(), a.width()), // the wider first: it holds the other
		)
	})
	return pack(points, order, maxGap, maxCount)
}

// pack walks the points in the order of their addresses and begins a new block where the next point does not fit.
func pack(points []Point, order []int, maxGap, maxCount int) []*block {
	var blocks []*block
	for _, i := range order {
		var last *block
		if len(blocks) > 0 {
			last = blocks[len(blocks)-1]
		}
		if last == nil || !last.extend(points[i], i, maxGap, maxCount) {
			a := points[i].Address
			blocks = append(blocks, &block{table: a.Table, start: a.Offset, count: points[i].width(), points: []int{i}})
		}
	}
	return blocks
}

// extend adds point number i to the block if it is near enough.
func (b *block) extend(p Point, i, maxGap, maxCount int) bool {
	limit := min(maxCount, b.table.limit())
	if b.table.bits() {
		limit, maxGap = min(16*maxCount, b.table.limit()), 16*maxGap // 16 bits take the room of one register
	}
	end := int(b.start) + b.count
	newEnd := max(end, int(p.Address.Offset)+p.width())
	if p.Address.Table != b.table || int(p.Address.Offset) > end+maxGap || newEnd-int(b.start) > limit {
		return false
	}
	b.count = newEnd - int(b.start)
	b.points = append(b.points, i)
	return true
}

// split halves a block of several points, for a device that refuses to answer it as a whole.
func (b *block) split(points []Point) []*block {
	half := len(b.points) / 2
	const whole = 1 << 16 // each half stays one block, as far apart as its points may be
	return append(pack(points, b.points[:half], whole, whole), pack(points, b.points[half:], whole, whole)...)
}

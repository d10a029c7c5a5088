package modbus

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// A refused address is asked for again after a pause, since a device that starts up may refuse everything: first after the shorter,
// doubled each time that something is still refused, up to the longest.
const (
	firstRefusal   = time.Minute
	longestRefusal = 24 * time.Hour
)

// How often a plan is compared with the one for the answer times of late: on a fast network those change all the time, and planning takes
// longer than a request. The pause is doubled each time that the plan stays as it is.
const (
	comparePlans  = 10 * time.Second
	longestReview = 5 * time.Minute
)

// group is the points of a device that are read together, and how.
type group struct {
	interval time.Duration
	points   []int    // indices into the device's points
	blocks   []*block // in the order of asking
	planned  bool
	best     bool          // whatever a request costs there is no better plan, see unbeatable
	cost     cost          // that blocks were planned with, or compared with last
	compared time.Time     // when that was
	review   time.Duration // until they are compared again

	refused map[int]refusal // by point
	apart   map[int]int     // see planner
	last    error           // of the newest refusal
	learned bool            // one of these since blocks were planned
	pause   time.Duration   // until what was refused is asked for again
	again   time.Time       // when that is; zero: nothing was refused
}

// refusal is a point that the device refused when asked for it alone.
type refusal struct {
	reason gateway.Reason
	at     time.Time
}

// split is a block that was refused and asked for in halves.
type split struct {
	left, right int // the last point of the left half and the first of the right one
	taken       int // halves that were answered
}

// newGroups makes a group for each interval that points of the device have, the shortest first.
func newGroups(d Device) []*group {
	var groups []*group
	for i, p := range d.Points {
		interval := p.Interval
		if interval == 0 {
			interval = d.Interval
		}
		at := slices.IndexFunc(groups, func(g *group) bool { return g.interval == interval })
		if at < 0 {
			at = len(groups)
			groups = append(groups, &group{interval: interval})
		}
		groups[at].points = append(groups[at].points, i)
	}
	slices.SortStableFunc(groups, func(a, b *group) int { return cmp.Compare(a.interval, b.interval) })
	return groups
}

// forget returns to the plan: what the device refused may be another one's business by now.
func (g *group) forget() {
	g.refused, g.apart, g.last = make(map[int]refusal), make(map[int]int), nil
	g.planned, g.pause, g.again = false, 0, time.Time{}
}

// retry forgets what was refused when it is time to ask for it again, but not how long that has lasted.
func (g *group) retry(now time.Time) {
	if g.again.IsZero() || now.Before(g.again) {
		return
	}
	pause := g.pause
	g.forget()
	g.pause = pause
}

// planFor brings the blocks up to what is known: of the cost of requests, and of what the device refuses.
func (g *group) planFor(p planner) {
	now, fresh := time.Now(), g.planned && !g.learned
	if fresh && (g.best || now.Sub(g.compared) < g.review || p.cost.near(g.cost)) {
		return
	}
	p.without = func(i int) bool { _, refused := g.refused[i]; return refused }
	p.apart = g.apart
	g.review = min(max(2*g.review, comparePlans), longestReview)
	if better := p.plan(g.points); !fresh || p.cost.pays(g.blocks, better) {
		g.blocks, g.review, g.best = better, comparePlans, unbeatable(better, p.points)
	}
	g.cost, g.compared, g.planned, g.learned = p.cost, now, true, false
}

// unbeatable reports whether no plan can be better at any cost of a request: there is one request for each table, and nothing is asked for in vain.
func unbeatable(blocks []*block, points []Point) bool {
	for i, b := range blocks {
		if i > 0 && b.table == blocks[i-1].table {
			return false
		}
		end := int(b.start)
		for _, p := range b.points { // by address
			if int(points[p].Address.Offset) > end {
				return false
			}
			end = max(end, points[p].end())
		}
	}
	return true
}

// pending returns what a poll asks for. When all points were refused one of them is asked for all the same, to see whether the device is there.
func (g *group) pending(points []Point) []*block {
	if len(g.blocks) == 0 && len(g.points) > 0 {
		return []*block{around(points, g.points[:1])}
	}
	return slices.Clone(g.blocks)
}

// taken notes that the device answers a block. When it answers both halves of one that it has refused, they stay apart.
func (g *group) taken(b *block) {
	for _, i := range b.points {
		if _, refused := g.refused[i]; refused {
			delete(g.refused, i)
			g.learned = true
		}
	}
	if b.cut == nil {
		return
	}
	if b.cut.taken++; b.cut.taken == 2 {
		g.apart[b.cut.left] = b.cut.right
		g.learn(time.Now())
	}
	b.cut = nil
}

// halve puts the halves of a block into its place.
func (g *group) halve(b *block, points []Point) []*block {
	n := len(b.points) / 2
	left, right := around(points, b.points[:n]), around(points, b.points[n:])
	cut := &split{left: b.points[n-1], right: b.points[n]}
	left.cut, right.cut = cut, cut
	if at := slices.Index(g.blocks, b); at >= 0 {
		g.blocks = slices.Replace(g.blocks, at, at+1, left, right)
	}
	return []*block{left, right}
}

// refuse remembers that the device does not answer a block, which cannot be halved.
func (g *group) refuse(b *block, reason gateway.Reason, err error) {
	now := time.Now()
	for _, i := range b.points {
		g.refused[i] = refusal{reason, now}
	}
	if at := slices.Index(g.blocks, b); at >= 0 {
		g.blocks = slices.Delete(g.blocks, at, at+1)
	}
	g.last = err
	g.learn(now)
}

// learn has the group planned anew, and what was refused asked for again in time.
func (g *group) learn(now time.Time) {
	g.learned = true
	if g.again.IsZero() {
		g.pause = min(max(firstRefusal, 2*g.pause), longestRefusal)
		g.again = now.Add(g.pause)
	}
}

// postpone has a block asked for last from now on.
func (g *group) postpone(b *block) {
	if at := slices.Index(g.blocks, b); at >= 0 {
		g.blocks = append(slices.Delete(g.blocks, at, at+1), b)
	}
}

// recall sets the readings of the points that were refused, and returns why if that was in an earlier poll.
func (g *group) recall(readings []gateway.Reading) error {
	for i, r := range g.refused {
		readings[i] = gateway.Reading{Quality: gateway.QualityBad, Reason: r.reason, Time: r.at}
	}
	if len(g.refused) == 0 || g.learned {
		return nil
	}
	return g.last
}

// alike reports whether all points of a block are the same bits or registers, so that asking for some of them is asking for all.
func (b *block) alike(points []Point) bool {
	for _, i := range b.points {
		if points[i].Address.Offset != b.start || points[i].end() != int(b.start)+b.count {
			return false
		}
	}
	return true
}

// describe names a block for people.
func (dev *device) describe(b *block) string {
	if b.count == 1 {
		return fmt.Sprintf("%v of unit %d", b.at(), dev.unit)
	}
	what := "registers"
	if b.table.bits() {
		what = "bits"
	}
	return fmt.Sprintf("%d %s from %v of unit %d", b.count, what, b.at(), dev.unit)
}

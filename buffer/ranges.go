package buffer

import "slices"

// span is the positions from lo through hi.
type span struct{ lo, hi uint64 }

// ranges is a set of positions, as rising spans that neither overlap nor touch. It holds what a queue knows to be done behind a position
// that is not: few spans, since a consumer's window is bounded and mostly answered in order.
type ranges []span

// add puts lo through hi into the set and returns how many of them are new.
func (r *ranges) add(lo, hi uint64) (added uint64) {
	from, _ := slices.BinarySearchFunc(*r, lo, func(s span, lo uint64) int {
		if s.hi+1 < lo {
			return -1
		}
		return 1
	})
	added = hi - lo + 1
	merged, to := span{lo, hi}, from
	for ; to < len(*r) && (*r)[to].lo <= hi+1; to++ {
		s := (*r)[to]
		added -= overlap(s, span{lo, hi})
		merged.lo, merged.hi = min(merged.lo, s.lo), max(merged.hi, s.hi)
	}
	*r = slices.Replace(*r, from, to, merged)
	return added
}

// overlap returns how many positions two spans share.
func overlap(a, b span) uint64 {
	lo, hi := max(a.lo, b.lo), min(a.hi, b.hi)
	if lo > hi {
		return 0
	}
	return hi - lo + 1
}

// has reports whether pos is in the set.
func (r ranges) has(pos uint64) bool {
	_, found := r.search(pos)
	return found
}

// search returns the index of the span that pos is in.
func (r ranges) search(pos uint64) (int, bool) {
	return slices.BinarySearchFunc(r, pos, func(s span, pos uint64) int {
		switch {
		case s.hi < pos:
			return -1
		case s.lo > pos:
			return 1
		}
		return 0
	})
}

// follow returns the last of the positions in the set that continue after without a break, after itself when there are none, and
// removes everything through it.
func (r *ranges) follow(after uint64) uint64 {
	for len(*r) > 0 && (*r)[0].lo <= after+1 {
		after = max(after, (*r)[0].hi)
		*r = (*r)[1:]
	}
	if len(*r) == 0 {
		*r = nil
	}
	return after
}

// after returns the first position from pos on that is not in the set.
func (r ranges) after(pos uint64) uint64 {
	i, found := r.search(pos)
	if found {
		return r[i].hi + 1
	}
	return pos
}

package buffer

import (
	"testing"

	"pgregory.net/rapid"
)

// ranges must behave as the plain set of positions that it stands for.
func TestRangesAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ranges
		set := map[uint64]bool{}
		position := rapid.Uint64Range(1, 60)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			lo := position.Draw(t, "lo")
			hi := lo + rapid.Uint64Range(0, 5).Draw(t, "length")
			var added uint64
			for p := lo; p <= hi; p++ {
				if !set[p] {
					added++
				}
				set[p] = true
			}
			if got := r.add(lo, hi); got != added {
				t.Fatalf("add(%d, %d) = %d, want %d", lo, hi, got, added)
			}
			for i := range r {
				if r[i].lo > r[i].hi || i > 0 && r[i].lo <= r[i-1].hi+1 {
					t.Fatalf("spans overlap or touch: %v", r)
				}
			}
			for p := uint64(1); p < 70; p++ {
				if r.has(p) != set[p] {
					t.Fatalf("has(%d) = %v in %v", p, r.has(p), r)
				}
				want := p
				for set[want] {
					want++
				}
				if got := r.after(p); got != want {
					t.Fatalf("after(%d) = %d, want %d in %v", p, got, want, r)
				}
			}
		}
		start := position.Draw(t, "start")
		want := start
		for set[want+1] {
			want++
		}
		for p := range set {
			if p <= start {
				delete(set, p) // a queue's set holds nothing up to where it stands
			}
		}
		rest := ranges(nil)
		for p := range set {
			rest.add(p, p)
		}
		if got := rest.follow(start); got != want {
			t.Fatalf("follow(%d) = %d, want %d", start, got, want)
		}
		for p := range set {
			if rest.has(p) != (p > want) {
				t.Fatalf("after follow(%d): has(%d) = %v", start, p, rest.has(p))
			}
		}
	})
}

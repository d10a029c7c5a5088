package config

import (
	"slices"
	"strconv"
	"strings"
)

// valueError is what an UnmarshalText of this package returns: what is wrong with the text, and what to do.
// The decoder adds the key, the text and the position.
type valueError struct{ reason, hint string }

func (e *valueError) Error() string { return e.reason + "; " + e.hint }

// indexOf returns the place of s in names; an empty name is never found, it stands for "not said".
func indexOf(names []string, s string) int {
	if s == "" {
		return -1
	}
	return slices.Index(names, s)
}

// hintFor asks whether one of names was meant, and falls back to otherwise when none is near.
func hintFor(got string, names []string, otherwise string) string {
	if near := nearest(got, names); near != "" {
		return "did you mean " + strconv.Quote(near) + "?"
	}
	return otherwise
}

// nearest returns the name closest to got, or "" when none is close enough to be a slip of the fingers.
func nearest(got string, names []string) string {
	best, bestDist := "", 2+min(len(got)/4, 2) // one slip in a short word, two from four letters on, three from eight
	for _, name := range names {
		if name == "" {
			continue
		}
		if d := distance(strings.ToLower(got), strings.ToLower(name)); d < bestDist && d < len(name) {
			best, bestDist = name, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of neighbours that make a into b (optimal string
// alignment). Inputs are short keys; a longer one is cut, it cannot be near anything.
func distance(a, b string) int {
	const longest = 64
	a, b = a[:min(len(a), longest)], b[:min(len(b), longest)]
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}

// quotedList joins names for a sentence, each in quotes: "a", "b" or "c".
func quotedList(names []string) string {
	var quoted []string
	for _, n := range names {
		if n != "" {
			quoted = append(quoted, strconv.Quote(n))
		}
	}
	if n := len(quoted); n > 1 {
		return strings.Join(quoted[:n-1], ", ") + " or " + quoted[n-1]
	}
	return strings.Join(quoted, "")
}

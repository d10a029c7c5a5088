package localbroker

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/gateway"
)

// A session's subscriptions are those that a map by filter would hold.
func TestSubsAreThoseOfAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l subs
		want := map[string]gateway.Subscription{}
		for range rapid.IntRange(0, 50).Draw(t, "steps") {
			filter := rapid.SampledFrom([]string{"a", "a/b", "a/+", "#", "$share/g/a", "b", ""}).Draw(t, "filter")
			if rapid.Bool().Draw(t, "remove") {
				_, there := want[filter]
				if delete(want, filter); l.remove(filter) != there {
					t.Fatalf("remove %q does not say %v", filter, there)
				}
				continue
			}
			sub := gateway.Subscription{Filter: filter, Identifier: rapid.Uint32().Draw(t, "identifier")}
			l.put(sub)
			want[filter] = sub
		}
		got := map[string]gateway.Subscription{}
		for _, sub := range l {
			got[sub.Filter] = sub
			if !l.has(sub.Filter) {
				t.Fatalf("%q is not found", sub.Filter)
			}
		}
		if !maps.Equal(got, want) || len(l) != len(want) || l.has("absent") {
			t.Fatalf("got %v, want %v", l, slices.Collect(maps.Values(want)))
		}
	})
}

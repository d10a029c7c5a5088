package localbroker

import (
	"cmp"
	"slices"

	"github.com/tidegate/tidegate/gateway"
)

// subs is the subscriptions of one session, in the order of their filters. It is a slice because most sessions have one or two, for which a
// map would take more memory than all the rest of the session.
type subs []gateway.Subscription

func (l subs) search(filter string) (at int, found bool) {
	return slices.BinarySearchFunc(l, filter, func(s gateway.Subscription, filter string) int { return cmp.Compare(s.Filter, filter) })
}

// has reports whether there is a subscription to a filter.
func (l subs) has(filter string) bool {
	_, found := l.search(filter)
	return found
}

// put adds a subscription, or replaces that to the same filter.
func (l *subs) put(sub gateway.Subscription) {
	if i, found := l.search(sub.Filter); found {
		(*l)[i] = sub
	} else {
		*l = slices.Insert(*l, i, sub)
	}
}

// remove removes the subscription to a filter, and reports whether there was one.
func (l *subs) remove(filter string) bool {
	i, found := l.search(filter)
	if found {
		*l = slices.Delete(*l, i, i+1)
	}
	return found
}

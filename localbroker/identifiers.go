package localbroker

import (
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// maxIDTopics is how many topics an idCache remembers.
const maxIDTopics = 256

// idCache remembers the subscription identifiers of the topics that come from a session's queue in the store, which are not kept with a
// delivery: a subscription that has changed meanwhile gives the one it has now.
type idCache struct {
	gen     uint64
	byTopic [2]map[string][]uint32 // through subscriptions of the session's own, and through shared ones
}

// identifiers returns the identifiers of the session's subscriptions that a topic matches (MQTT-3.3.4-4): of those that are shared, or of
// the others. Only the writer calls it.
func (c *conn) identifiers(topic string, shared bool) []uint32 {
	cache, s := &c.terms.ids, c.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if cache.gen != s.subGen || cache.byTopic[0] == nil {
		*cache = idCache{gen: s.subGen}
		for i := range cache.byTopic {
			cache.byTopic[i] = make(map[string][]uint32)
		}
	}
	known := cache.byTopic[0]
	if shared {
		known = cache.byTopic[1]
	}
	ids, ok := known[topic]
	if ok {
		return ids
	}
	if len(known) >= maxIDTopics {
		clear(known)
	}
	ids = s.identifiersOf(topic, shared)
	known[topic] = ids
	return ids
}

// greeting is the view of a retained message that greets a subscription: only that one's identifier goes with it (MQTT 5, 3.3.4).
func greeting(sub gateway.Subscription) uint16 {
	if sub.Identifier >= gateway.ViewGreeting {
		return 0
	}
	return gateway.ViewGreeting | uint16(sub.Identifier)
}

// identifiersOf returns the identifiers that go with a delivery from the store. Only the writer calls it.
func (c *conn) identifiersOf(topic string, g *gateway.Delivery) []uint32 {
	_, message := g.Record.Body.(*gateway.Message)
	switch {
	case !message || g.View&gateway.ViewGreeting == 0:
		return c.identifiers(topic, g.View&gateway.ViewShared != 0)
	case g.View == gateway.ViewGreeting:
		return nil
	}
	return []uint32{uint32(g.View &^ gateway.ViewGreeting)}
}

// identifiersOf matches a topic with all subscriptions. The session's lock is held.
func (s *session) identifiersOf(topic string, shared bool) (ids []uint32) {
	for _, sub := range s.subs {
		if sub.Identifier == 0 {
			continue
		}
		if _, rest, isShared := packet.SplitShare(sub.Filter); isShared == shared && packet.Match(rest, topic) {
			ids = append(ids, sub.Identifier)
		}
	}
	return ids
}

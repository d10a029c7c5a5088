package localbroker

import (
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

package localbroker

import (
	"strings"
	"sync"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// retained holds the retained message of each topic: a map for those who publish, a tree for those who subscribe. mu is a
// leaf lock; order is held around a change and its commit, so that the store ends with the same message as the memory.
type retained struct {
	order sync.Mutex
	told  time.Time // when the log was last told of one that was refused; order guards it

	mu      sync.RWMutex
	byTopic map[string]*kept
	root    keptNode
	count   int    // messages that the limits apply to
	bytes   int    // of these
	refused uint64 // messages that were not retained because of the limits

	maxCount, maxBytes int
}

// kept is the retained message of one topic.
type kept struct {
	msg     *message
	limited bool // came from a client or an upstream: the limits apply
}

// weigh returns what k counts against the limits.
func (k *kept) weigh() (count, bytes int) {
	if k == nil || !k.limited {
		return 0, 0
	}
	return 1, cost(&k.msg.Message)
}

// keptNode is one level of the topics.
type keptNode struct {
	children map[string]*keptNode
	kept     *kept
}

// set replaces the retained message of its topic; an empty payload removes it (MQTT 3.1.1, 3.3.1.3). topic is the topic of m in memory
// of its own. It refuses what goes beyond the limits, if they apply.
func (r *retained) set(topic string, m *message, limited bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.byTopic[topic]
	if len(m.Payload) == 0 {
		r.remove(topic, old)
		return true
	}
	k := kept{msg: m, limited: limited}
	count, bytes := k.weigh()
	oldCount, oldBytes := old.weigh()
	count, bytes = count-oldCount, bytes-oldBytes
	if limited && (count > 0 && r.count+count > r.maxCount || bytes > 0 && r.bytes+bytes > r.maxBytes) {
		r.refused++
		return false
	}
	r.count += count
	r.bytes += bytes
	if old != nil {
		*old = k
	} else {
		r.insert(topic, &k)
	}
	return true
}

func (r *retained) insert(topic string, k *kept) {
	r.byTopic[topic] = k
	n := &r.root
	for level := range strings.SplitSeq(topic, "/") {
		child := n.children[level]
		if child == nil {
			child = &keptNode{}
			if n.children == nil {
				n.children = make(map[string]*keptNode, 1)
			}
			n.children[level] = child
		}
		n = child
	}
	n.kept = k
}

func (r *retained) remove(topic string, old *kept) {
	if old == nil {
		return
	}
	count, bytes := old.weigh()
	r.count -= count
	r.bytes -= bytes
	delete(r.byTopic, topic)
	r.root.remove(topic)
}

// remove removes the message of topic below n, and the levels that are empty then.
func (n *keptNode) remove(topic string) {
	level, rest, more := strings.Cut(topic, "/")
	child := n.children[level]
	if more {
		child.remove(rest)
	} else {
		child.kept = nil
	}
	if child.kept == nil && len(child.children) == 0 {
		delete(n.children, level)
	}
}

// match calls visit for the retained messages whose topics match filter. It holds the lock meanwhile.
func (r *retained) match(filter string, visit func(*message)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !strings.ContainsAny(filter, "+#") {
		if k := r.byTopic[filter]; k != nil {
			visit(k.msg)
		}
		return
	}
	r.root.match(filter, true, visit)
}

// match visits what filter matches below n. Wildcards at the first level do not match topics that begin with $ (MQTT 3.1.1, 4.7.2-1).
func (n *keptNode) match(filter string, first bool, visit func(*message)) {
	level, rest, more := strings.Cut(filter, "/")
	switch level {
	case "#":
		n.visitAll(first, visit)
	case "+":
		for name, child := range n.children {
			if !first || !strings.HasPrefix(name, "$") {
				child.descend(rest, more, visit)
			}
		}
	default:
		if child := n.children[level]; child != nil {
			child.descend(rest, more, visit)
		}
	}
}

func (n *keptNode) descend(rest string, more bool, visit func(*message)) {
	if more {
		n.match(rest, false, visit)
	} else if n.kept != nil {
		visit(n.kept.msg)
	}
}

// visitAll visits n, which "#" includes, and all below it.
func (n *keptNode) visitAll(first bool, visit func(*message)) {
	if n.kept != nil {
		visit(n.kept.msg)
	}
	for name, child := range n.children {
		if !first || !strings.HasPrefix(name, "$") {
			child.visitAll(false, visit)
		}
	}
}

// stats returns how many messages are retained, and how many were refused.
func (r *retained) stats() (count int, refused uint64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.byTopic), r.refused
}

// restore takes over what the store has kept, also beyond limits that have become lower.
func (b *Broker) restoreRetained(list []gateway.PutRetained) {
	r := &b.retained
	for _, p := range list {
		k := &kept{b.newMessage(p.Message, p.Time, false), true}
		count, bytes := k.weigh()
		r.count += count
		r.bytes += bytes
		r.insert(p.Message.Topic, k)
	}
}

package localbroker

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tidegate/tidegate/gateway"
)

// subscriber is one subscription at its filter's place in the tree: of a session, of those who share one, or of a queue inside the process.
type subscriber struct {
	session *session
	share   *share
	queue   *QueueSub
	sub     gateway.Subscription
}

func (s *subscriber) same(o *subscriber) bool {
	return s.session == o.session && s.share == o.share && s.queue == o.queue
}

// node is one level of the filters; the wildcards are levels named "+" and "#".
type node struct {
	children map[string]*node
	subs     []subscriber
}

// tree finds the subscribers of a topic. Matching and changing take its lock for that alone; it is a leaf lock.
type tree struct {
	mu    sync.RWMutex
	root  node
	count int
	// mayReceive is asked before a session's messages of a topic are routed to it; nil: it may.
	mayReceive func(s *session, topic string) bool

	gen atomic.Uint64 // rises with every change, after it: what was matched under an older one has to be matched again
}

// add adds a subscription, or replaces that of the same subscriber to the same filter (MQTT 3.1.1, 3.8.4-3). It reports
// whether it is new.
func (t *tree) add(s subscriber) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.gen.Add(1)
	n := &t.root
	for level := range strings.SplitSeq(s.sub.Filter, "/") {
		child := n.children[level]
		if child == nil {
			child = &node{}
			if n.children == nil {
				n.children = make(map[string]*node, 1)
			}
			n.children[strings.Clone(level)] = child
		}
		n = child
	}
	for i := range n.subs {
		if n.subs[i].same(&s) {
			n.subs[i] = s
			return false
		}
	}
	n.subs = append(n.subs, s)
	t.count++
	return true
}

// remove removes a subscriber's subscription to a filter, and the levels that nobody needs any more.
func (t *tree) remove(s subscriber) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.gen.Add(1)
	t.removeBelow(&t.root, s.sub.Filter, &s)
}

func (t *tree) removeBelow(n *node, filter string, s *subscriber) {
	level, rest, more := strings.Cut(filter, "/")
	child := n.children[level]
	if child == nil {
		return
	}
	if more {
		t.removeBelow(child, rest, s)
	} else {
		t.drop(child, s)
	}
	if len(child.subs) == 0 && len(child.children) == 0 {
		delete(n.children, level)
	}
}

// drop keeps the order of the others: it is the order of delivery between subscribers.
func (t *tree) drop(n *node, s *subscriber) {
	for i := range n.subs {
		if n.subs[i].same(s) {
			n.subs = slices.Delete(n.subs, i, i+1)
			t.count--
			return
		}
	}
}

// match calls visit for each subscription whose filter matches topic, and returns the generation in which it did. A subscriber may
// come several times. Wildcards at the first level do not match topics that begin with $ (MQTT 3.1.1, 4.7.2-1).
func (t *tree) match(topic string, visit func(*subscriber)) (gen uint64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if !strings.HasPrefix(topic, "$") {
		t.root.match(topic, visit)
		return t.gen.Load()
	}
	level, rest, more := strings.Cut(topic, "/")
	if child := t.root.children[level]; child != nil {
		child.descend(rest, more, visit)
	}
	return t.gen.Load()
}

// match visits what matches topic below n.
func (n *node) match(topic string, visit func(*subscriber)) {
	if all := n.children["#"]; all != nil {
		all.visit(visit)
	}
	level, rest, more := strings.Cut(topic, "/")
	for _, name := range [2]string{level, "+"} {
		if child := n.children[name]; child != nil {
			child.descend(rest, more, visit)
		}
	}
}

// descend goes on below n when the topic has more levels, and else visits n, and "#" below it, which includes its parent level.
func (n *node) descend(rest string, more bool, visit func(*subscriber)) {
	if more {
		n.match(rest, visit)
		return
	}
	n.visit(visit)
	if all := n.children["#"]; all != nil {
		all.visit(visit)
	}
}

func (n *node) visit(visit func(*subscriber)) {
	for i := range n.subs {
		visit(&n.subs[i])
	}
}

// subscriptions returns the number of subscriptions.
func (t *tree) subscriptions() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.count
}

package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/gateway"
)

// What goes round. A message that came from an upstream is never offered to it again, so nothing goes round through one upstream
// alone. It does through two: what comes in from A goes out to B; B, as any broker, sends it to who subscribes to it, which is this
// gateway again; now it comes from B and goes out to A, and so on without an end. The same happens when two upstreams have one
// server. Such a circle is refused when a topic comes back as itself or longer each time; when it comes back shorter, or as one that
// no route takes, the message stops by itself. Routes replace one prefix by another, so this can be told exactly. Only where an earlier
// route of the same upstream takes some of the topics is it a warning.

// turn is one way of a message out through a route and in again: topic from+rest comes back as to+rest, if only matches rest.
type turn struct {
	out, in  routeRef
	from, to []string
	only     []string // a filter, in levels
}

// routeRef is the place of a route.
type routeRef struct{ upstream, route int }

// Bounds of the search. A real configuration has a handful of turns.
const (
	maxCircle = 6      // turns in one circle
	maxSteps  = 100000 // compositions tried
)

// circles reports routes through which a message would go round for ever.
func (c *checker) circles() {
	s := search{turns: c.turns()}
	for i, t := range s.turns {
		s.follow(t, []int{i})
	}
	for _, circle := range s.found {
		c.circle(s.turns, circle)
	}
}

// turns lists all ways out and in again.
func (c *checker) turns() []turn {
	var list []turn
	for _, out := range c.soundRoutes(Direction.Out) {
		for _, in := range c.soundRoutes(Direction.In) {
			if !c.sameBroker(out.upstream, in.upstream) {
				continue
			}
			if t, ok := turnOf(c.route(out), c.route(in)); ok {
				t.out, t.in = out, in
				list = append(list, t)
			}
		}
	}
	return list
}

func (c *checker) route(ref routeRef) Route { return c.cfg.Upstreams[ref.upstream].Routes[ref.route] }

func (c *checker) routePath(ref routeRef) string {
	return at(join(at("upstream", ref.upstream), "route"), ref.route)
}

// soundRoutes lists the routes of a direction that have no error.
func (c *checker) soundRoutes(way func(Direction) bool) []routeRef {
	var list []routeRef
	for i, u := range c.cfg.Upstreams {
		for j, r := range u.Routes {
			ref := routeRef{i, j}
			path := c.routePath(ref)
			sound := c.given(join(path, "filter")) && !c.anyKeyFailed(path, "filter", "local_prefix", "remote_prefix")
			if way(r.Direction) && sound {
				list = append(list, ref)
			}
		}
	}
	return list
}

func (c *checker) anyKeyFailed(path string, keys ...string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { return c.out.failed[join(path, key)] })
}

// sameBroker tells whether two upstreams have a server in common.
func (c *checker) sameBroker(i, j int) bool {
	return i == j || slices.ContainsFunc(c.cfg.Upstreams[i].Servers, func(s Server) bool {
		return slices.ContainsFunc(c.cfg.Upstreams[j].Servers, func(o Server) bool { return s.Addr() == o.Addr() })
	})
}

// turnOf follows a topic out through one route and in through the other.
func turnOf(out, in Route) (turn, bool) {
	a := turn{from: levels(out.LocalPrefix), to: levels(out.RemotePrefix), only: strings.Split(out.Filter, "/")}
	b := turn{from: levels(in.RemotePrefix), to: levels(in.LocalPrefix), only: strings.Split(in.Filter, "/")}
	return a.then(b)
}

// levels cuts a prefix that is empty or ends with "/".
func levels(prefix string) []string {
	if prefix == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(prefix, "/"), "/")
}

// then is t and, with what comes out of it, next. It is false when no topic goes that way.
func (t turn) then(next turn) (turn, bool) {
	from, to, first, second := t.from, next.to, t.only, next.only
	ok := true
	if more, longer := cutLevels(t.to, next.from); longer {
		to = slices.Concat(to, more)
		second, ok = afterLevels(second, more)
	} else if more, longer := cutLevels(next.from, t.to); longer {
		from = slices.Concat(from, more)
		first, ok = afterLevels(first, more)
	} else {
		return turn{}, false
	}
	if !ok {
		return turn{}, false
	}
	only, ok := meet(first, second)
	return turn{out: t.out, in: next.in, from: from, to: to, only: only}, ok
}

// cutLevels returns what list has behind prefix; it is false when list does not start with it.
func cutLevels(list, prefix []string) ([]string, bool) {
	if len(list) < len(prefix) || !slices.Equal(list[:len(prefix)], prefix) {
		return nil, false
	}
	return list[len(prefix):], true
}

// afterLevels returns the filter of what follows the given levels in the topics that filter matches, if there are such topics.
func afterLevels(filter, given []string) ([]string, bool) {
	for _, level := range given {
		switch {
		case filter[0] == "#":
			return filter, true
		case filter[0] != "+" && filter[0] != level, len(filter) == 1:
			return nil, false
		}
		filter = filter[1:]
	}
	return filter, true
}

// meet returns the filter of the topics that both filters match, if there are any.
func meet(a, b []string) ([]string, bool) {
	var both []string
	for i := 0; ; i++ {
		switch {
		case i < len(a) && a[i] == "#" && i <= len(b):
			return append(both, b[i:]...), i < len(b) || i > 0
		case i < len(b) && b[i] == "#" && i <= len(a):
			return append(both, a[i:]...), i < len(a) || i > 0
		case i == len(a) || i == len(b):
			return both, len(a) == len(b)
		case a[i] == b[i] || b[i] == "+":
			both = append(both, a[i])
		case a[i] == "+":
			both = append(both, b[i])
		default:
			return nil, false
		}
	}
}

// endless returns a topic that goes through t again and again, if there is one: it comes back as itself, or longer by the same levels each time.
func (t turn) endless() (topic string, ok bool) {
	more, longer := cutLevels(t.to, t.from)
	if !longer {
		return "", false
	}
	only := t.only
	for range len(t.only) + 1 { // by then the filter's own levels are used up
		next, ok := afterLevels(t.only, more)
		if !ok {
			return "", false
		}
		if only, ok = meet(only, next); !ok {
			return "", false
		}
		more = slices.Concat(more, t.to[len(t.from):])
	}
	sample := slices.Concat(t.from, only)
	for i, level := range sample {
		if wild(level) {
			sample[i] = "x"
		}
	}
	return strings.Join(sample, "/"), true
}

// search looks for circles among turns.
type search struct {
	turns []turn
	steps int
	found []circle
}

// circle is a list of turns, and a topic that goes round through them.
type circle struct {
	turns []int
	topic string
}

// follow extends a way by every turn that can come next. A circle is found from its first turn in the list and from no other.
func (s *search) follow(way turn, path []int) {
	if way.in.upstream != way.out.upstream {
		if topic, ok := way.endless(); ok {
			s.found = append(s.found, circle{slices.Clone(path), topic})
			return
		}
	}
	if len(path) == maxCircle {
		return
	}
	for i := path[0] + 1; i < len(s.turns) && s.steps < maxSteps; i++ {
		next := s.turns[i]
		if next.out.upstream == way.in.upstream || slices.Contains(path, i) {
			continue
		}
		s.steps++
		if longer, ok := way.then(next); ok {
			s.follow(longer, append(slices.Clip(path), i))
		}
	}
}

// circle reports one circle: an error when a topic really goes round, and a warning when an earlier route takes that topic.
func (c *checker) circle(turns []turn, found circle) {
	last := turns[found.turns[0]].in
	var ways []string
	for _, i := range found.turns {
		t := turns[i]
		if c.cfg.Pos(c.routePath(t.in)).Line > c.cfg.Pos(c.routePath(last)).Line {
			last = t.in
		}
		ways = append(ways, fmt.Sprintf("out to %q (%s), back from %q (%s)",
			c.cfg.Upstreams[t.out.upstream].Name, c.where(c.routePath(t.out)), c.cfg.Upstreams[t.in.upstream].Name, c.where(c.routePath(t.in))))
	}
	where, filter := join(c.routePath(last), "filter"), c.route(last).Filter
	hint := "narrow one of the filters, or give the routes prefixes of their own"
	switch {
	case c.commands(found.topic):
	case c.goesRound(turns, found):
		c.fail(where, filter, fmt.Sprintf("goes round for ever: %q goes %s", found.topic, strings.Join(ways, ", ")), hint)
	default:
		c.out.warn(where, fmt.Sprintf("filter %q: may have topics that go round for ever, beside those that an earlier route takes", filter), hint)
	}
}

// goesRound moves a topic round as the bridges do, and tells whether it comes back. One that grows is followed until it is longer than
// any prefix and filter.
func (c *checker) goesRound(turns []turn, found circle) bool {
	const rounds = 40
	topic, ok := found.topic, true
	for range rounds {
		for _, i := range found.turns {
			if topic, ok = c.carried(turns[i].out.upstream, topic, Direction.Out); !ok {
				return false
			}
			if topic, ok = c.carried(turns[i].in.upstream, topic, Direction.In); !ok {
				return false
			}
		}
		if topic == found.topic {
			return true
		}
	}
	return true
}

// carried maps a topic through the first route of an upstream that takes it that way, Direction.Out or Direction.In.
func (c *checker) carried(upstream int, topic string, way func(Direction) bool) (string, bool) {
	for _, r := range c.cfg.Upstreams[upstream].Routes {
		from, to := r.LocalPrefix, r.RemotePrefix
		if way(DirectionIn) {
			from, to = to, from
		}
		rest, ok := strings.CutPrefix(topic, from)
		if ok && way(r.Direction) && overlap(rest, r.Filter) {
			return to + rest, true
		}
	}
	return "", false
}

// commands tells whether a topic is a command to a device. Those never go out.
func (c *checker) commands(topic string) bool {
	_, _, _, ok := gateway.Topics{Base: c.cfg.Gateway.Base(c.cfg.Gateway.ID)}.ParseCommand(topic)
	return ok
}

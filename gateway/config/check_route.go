package config

import (
	"fmt"
	"strings"
	"time"
)

func (c *checker) routes(path string, u Upstream) {
	if len(u.Routes) == 0 {
		c.out.warn(path, fmt.Sprintf("upstream %q has no route: only its state is published", u.Name), "add [[upstream.route]]")
	}
	for i, r := range u.Routes {
		where := at(join(path, "route"), i)
		c.need(where, "direction", `add direction = "out" or direction = "in"`)
		within(c, join(where, "qos"), r.QoS, 0, 1)
		c.sending(where, r)
		c.batch(join(where, "batch"), r)
		if c.filter(where, r) {
			c.loops(join(path, "route"), u.Routes, i)
		}
	}
}

// filter checks the filter of a route and its prefixes. It tells whether they are fit for further checks.
func (c *checker) filter(path string, r Route) bool {
	ok := c.prefix(join(path, "local_prefix"), r.LocalPrefix)
	ok = c.prefix(join(path, "remote_prefix"), r.RemotePrefix) && ok
	where := join(path, "filter")
	if !c.need(path, "filter", `add filter = "#" or a narrower one`) || c.out.failed[where] {
		return false
	}
	if reason := topicProblem(r.Filter, true); reason != "" {
		c.fail(where, r.Filter, reason, `a filter is levels with "/" between them; "+" is any one level, "#" at the end all that follow`)
		return false
	}
	if !ok {
		return false
	}
	switch {
	case strings.HasPrefix(r.LocalPrefix+r.Filter, "$share/"), strings.HasPrefix(r.RemotePrefix+r.Filter, "$share/"):
		c.fail(where, r.Filter, "a route cannot use a shared subscription", `remove "$share/<group>/"`)
	case r.Direction.In() && strings.HasPrefix(r.LocalPrefix+r.Filter, "$"):
		c.fail(where, r.Filter, `topics that start with "$" belong to the broker`, "give the route a local_prefix")
	case len(r.LocalPrefix)+len(r.Filter) > maxTopic, len(r.RemotePrefix)+len(r.Filter) > maxTopic:
		c.fail(where, r.Filter, "longer than 65535 bytes with its prefix", "shorten it")
	default:
		return true
	}
	return false
}

func (c *checker) prefix(path, prefix string) bool {
	if prefix == "" {
		return !c.out.failed[path]
	}
	if reason := topicProblem(prefix, false); reason != "" {
		c.fail(path, prefix, reason, "a prefix is plain levels, each followed by \"/\"")
		return false
	}
	if !strings.HasSuffix(prefix, "/") {
		c.fail(path, prefix, `does not end with "/"`, fmt.Sprintf("the filter is put directly behind it; write %q", prefix+"/"))
		return false
	}
	return true
}

// sending reports keys that only a route with direction out has.
func (c *checker) sending(path string, r Route) {
	if r.Direction != DirectionIn {
		return
	}
	for _, key := range []string{"priority", "order", "payload"} {
		if c.given(join(path, key)) {
			c.out.atKey(join(path, key), fmt.Sprintf("%s: of what goes out, and this route has the direction in", key),
				`remove it, or say direction = "out" or "both"`)
		}
	}
}

// batch checks the bounds of a message that holds many records.
func (c *checker) batch(path string, r Route) {
	b := r.Batch
	within(c, join(path, "max_records"), b.MaxRecords, 1, 100000)
	within(c, join(path, "max_bytes"), b.MaxBytes, KiB, 64*MiB)
	within(c, join(path, "linger"), b.Linger, 0, time.Hour)
	if c.given(join(path, "topic")) {
		if reason := topicProblem(b.Topic, false); reason != "" {
			c.fail(join(path, "topic"), b.Topic, reason, `give the topic of one message, levels with "/" between them`)
		}
	}
	if c.given(path) && r.Payload != PayloadBatch && !c.out.failed[join(parent(path), "payload")] {
		c.out.atKey(path, fmt.Sprintf("batch: has no effect with payload = %q", r.Payload), `write payload = "batch", or remove it`)
	}
}

// loops reports a route that repeats an earlier one, or that closes a circle with it. The router does not send a message
// back to where it came from, but a client's own message on such a topic would go out, come in again, and be
// heard twice: a command would be executed twice.
func (c *checker) loops(path string, routes []Route, i int) {
	r, where := routes[i], at(path, i)
	for j, e := range routes[:i] {
		if r.Direction == 0 || e.Direction == 0 || c.out.failed[join(at(path, j), "filter")] {
			continue
		}
		line := c.cfg.Pos(at(path, j)).Line
		in, out := r, e
		if r.Direction == DirectionOut {
			in, out = e, r
		}
		opposite := in.Direction == DirectionIn && out.Direction == DirectionOut
		switch {
		case r.sameTopics(e):
			c.out.at(where, fmt.Sprintf("this route repeats the one in line %d", line), "remove one of the two")
		case opposite && echoes(in, out):
			c.fail(join(where, "filter"), r.Filter,
				fmt.Sprintf("a loop with the route in line %d: what goes out comes in again on the same topic", line),
				"narrow one of the filters, or give the two routes different prefixes")
		}
	}
}

// sameTopics tells whether two routes move the same topics the same way.
func (r Route) sameTopics(o Route) bool {
	sameWay := r.Direction.Out() && o.Direction.Out() || r.Direction.In() && o.Direction.In()
	return sameWay && r.Filter == o.Filter &&
		r.LocalPrefix == o.LocalPrefix && r.RemotePrefix == o.RemotePrefix
}

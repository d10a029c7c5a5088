package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/gateway"
)

// lintTopics looks for topics that the cloud would refuse: those of the devices, and what a route's filter says by itself.
func (c *checker) lintTopics(path string, u Upstream) {
	topics := c.deviceTopics(u)
	// The longest first: each route has one message, and that should show how far to go.
	slices.SortStableFunc(topics, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, topic := range topics {
		if i, remote, ok := u.outward(topic); ok {
			c.lintTopic(at(join(path, "route"), i), u, remote)
		}
	}
	for i, r := range u.Routes {
		where := at(join(path, "route"), i)
		if r.Direction.In() {
			c.tooLong(join(where, "filter"), u, r.RemotePrefix+r.Filter, "shorten remote_prefix or the filter")
		}
		switch {
		case !r.Direction.Out() || c.anyKeyFailed(where, "filter", "local_prefix", "remote_prefix"):
		case r.Payload == PayloadBatch:
			if r.Batch.Topic != "" {
				c.refused(join(where, "batch", "topic"), u, r.Batch.Topic, "choose another topic")
			} else if c.cfg.Gateway.ID != "" {
				t := gateway.Topics{Base: c.base()}
				c.lintTopic(where, u, r.RemotePrefix+strings.TrimPrefix(t.Batches(), r.LocalPrefix))
			}
		default:
			c.lintTopic(where, u, r.RemotePrefix+r.Filter)
		}
	}
}

// lintOwnTopics looks at what the gateway says of itself where no route takes it: then it keeps the name that it has on the LAN.
func (c *checker) lintOwnTopics(path string, u Upstream) {
	t := gateway.Topics{Base: c.base()}
	for _, topic := range []string{t.State(), t.Status(), t.Gap()} {
		if _, _, ok := u.outward(topic); !ok {
			c.refused(join(path, "profile"), u, topic,
				fmt.Sprintf(`add a route with direction = "out" and filter = %q, with the prefixes of the others`, t.Base+"/gateway/#"))
		}
	}
}

// deviceTopics lists what the devices publish, and what the gateway says itself.
func (c *checker) deviceTopics(u Upstream) []string {
	t := gateway.Topics{Base: c.base()}
	list := []string{t.State(), t.Status(), t.Gap()}
	for _, d := range c.cfg.Devices {
		list = append(list, t.Device(d.Name), t.Availability(d.Name), t.Result(d.Name))
		i, _, ok := u.outward(t.Device(d.Name))
		if d.Publish == PublishDevice && (!ok || u.Routes[i].Payload != PayloadPoints) {
			continue
		}
		for _, p := range d.Points {
			list = append(list, t.Point(d.Name, p.Name))
		}
	}
	return list
}

// lintTopic checks a topic on its way out through the route at path.
func (c *checker) lintTopic(path string, u Upstream, remote string) {
	hint := "shorten remote_prefix, base_topic or names"
	if prefix := u.Ceilings.Home(c.clientID(u)); prefix != "" {
		hint = fmt.Sprintf("write remote_prefix = %q", strings.ReplaceAll(prefix, "+", "<client_id>"))
	}
	c.refused(join(path, "filter"), u, remote, hint)
}

// refused reports a topic that the cloud does not take. What is not known of it is "+" and "#", and counts for as little as it can have.
func (c *checker) refused(path string, u Upstream, topic, hint string) {
	if len(u.Ceilings.PublishTo) > 0 && !c.allowed(u, topic) {
		c.out.at(path, fmt.Sprintf("%s lets a device publish below %q, and not to %q", u.Profile, u.Ceilings.Home(c.clientID(u)), topic), hint)
		return
	}
	c.tooLong(path, u, topic, hint)
}

// tooLong reports a topic or filter that is longer or deeper than the cloud takes.
func (c *checker) tooLong(path string, u Upstream, topic, hint string) {
	most := u.Ceilings
	least := strings.TrimSuffix(topic, "/#")
	switch n := strings.Count(least, "/") + 1; {
	case most.TopicBytes > 0 && len(least) > most.TopicBytes:
		c.out.at(path, fmt.Sprintf("%s takes topics of at most %d bytes, and %q has %d", u.Profile, most.TopicBytes, topic, len(least)), hint)
	case most.TopicLevels > 0 && n > most.TopicLevels:
		c.out.at(path, fmt.Sprintf("%s takes topics of at most %d levels, and %q has %d", u.Profile, most.TopicLevels, topic, n), hint)
	}
}

// allowed tells whether a client may publish to a topic.
func (c *checker) allowed(u Upstream, topic string) bool {
	id := c.clientID(u)
	return slices.ContainsFunc(u.Ceilings.PublishTo, func(filter string) bool {
		_, ok := meet(strings.Split(topic, "/"), strings.Split(strings.ReplaceAll(filter, "{client_id}", id), "/"))
		return ok
	})
}

package config

import (
	"fmt"
	"net"
	"strings"
)

// lints tells what the clouds behind the upstreams would refuse. It runs last: it looks at devices and routes together.
func (c *checker) lints() {
	for i, u := range c.cfg.Upstreams {
		path := at("upstream", i)
		if c.out.failed[join(path, "profile")] {
			continue
		}
		if u.Profile != ProfileGeneric {
			c.lintServers(path, u)
			c.lintConnection(path, u)
			c.lintRoutes(path, u)
			c.lintTopics(path, u)
			c.lintOwnTopics(path, u)
		}
		c.lintRate(path, u)
	}
}

// lintServers checks how the servers are spoken to. Loopback is spared: it is a tunnel or a test.
func (c *checker) lintServers(path string, u Upstream) {
	for i, s := range u.Servers {
		member := at(join(path, "servers"), i)
		switch {
		case c.out.failed[member] || loopback(s.Addr()):
		case u.Ceilings.NeedsTLS && !s.TLS:
			c.fail(member, s, fmt.Sprintf("%s takes TLS only", u.Profile), "write mqtts:// or wss://")
		case u.Ceilings.NeedsSNI && s.TLS && u.TLS.ServerName == "" && net.ParseIP(s.Host) != nil:
			c.fail(member, s, fmt.Sprintf("%s must hear its host name in the TLS handshake", u.Profile),
				"write the name instead of the address, or add server_name to [upstream.tls]")
		case u.Ceilings.ALPN != "" && s.Port == 443 && !s.WebSocket && len(u.TLS.ALPN) == 0:
			c.fail(member, s, fmt.Sprintf("%s takes MQTT on port 443 only with a protocol named in the TLS handshake", u.Profile),
				fmt.Sprintf("add alpn = [%q] to [upstream.tls], or use port 8883", u.Ceilings.ALPN))
		}
	}
}

// lintConnection checks what a CONNECT says, and the pace.
func (c *checker) lintConnection(path string, u Upstream) {
	most := u.Ceilings
	if most.NeedsLogin && u.Username == "" && u.Token.Kind == 0 && !c.given(join(path, "token")) && u.TLS.CertFile == "" {
		c.out.at(join(path, "profile"), fmt.Sprintf("%s lets nobody in without a user name", u.Profile), "add username and password, or a token")
	}
	if n := len(u.ClientID); most.ClientIDBytes > 0 && n > most.ClientIDBytes {
		c.fail(join(path, "client_id"), u.ClientID,
			fmt.Sprintf("%s takes at most %d bytes, and it has %d", u.Profile, most.ClientIDBytes, n), "shorten it")
	}
	if id := u.Token.Device; u.Profile == ProfileAzureIoTHub && id != "" && u.ClientID != "" && id != u.ClientID {
		c.fail(join(path, "client_id"), u.ClientID, fmt.Sprintf("%s knows this client as %q, the device of its token", u.Profile, id), "leave one of the two out")
	}
	if most.MaxKeepAlive > 0 && u.KeepAlive > most.MaxKeepAlive || u.KeepAlive < most.MinKeepAlive {
		c.fail(join(path, "keepalive"), u.KeepAlive,
			fmt.Sprintf("%s takes %s to %s", u.Profile, show(max(most.MinKeepAlive, 1e9)), show(most.MaxKeepAlive)), "leave the key out for 30s")
	}
	if most.MaxInflight > 0 && u.MaxInflight > most.MaxInflight {
		c.fail(join(path, "max_inflight"), u.MaxInflight, fmt.Sprintf("%s takes %d", u.Profile, most.MaxInflight), "lower it, or leave the key out")
	}
	if most.Messages > 0 && c.given(join(path, "rate", "messages")) && (u.Rate.Messages == 0 || u.Rate.Messages > most.Messages) {
		c.fail(join(path, "rate", "messages"), u.Rate.Messages,
			fmt.Sprintf("%s takes %v in a second", u.Profile, most.Messages), "lower it, or leave the key out")
	}
	if most.Bytes > 0 && c.given(join(path, "rate", "bytes")) && (u.Rate.Bytes == 0 || u.Rate.Bytes > most.Bytes) {
		c.fail(join(path, "rate", "bytes"), u.Rate.Bytes, fmt.Sprintf("%s takes %s in a second", u.Profile, most.Bytes), "lower it, or leave the key out")
	}
}

// lintRoutes checks what routes ask for, apart from their topics.
func (c *checker) lintRoutes(path string, u Upstream) {
	subscribed := map[string]bool{}
	for i, r := range u.Routes {
		where := at(join(path, "route"), i)
		if r.Direction.In() {
			subscribed[r.RemotePrefix+r.Filter] = true
		}
		if most := u.Ceilings.Subscriptions; most > 0 && r.Direction.In() && len(subscribed) > most {
			c.out.at(join(where, "direction"), fmt.Sprintf("%s takes %d subscriptions, and this is number %d", u.Profile, most, len(subscribed)),
				"join filters with + and #")
		}
		if u.Ceilings.Unordered && r.Order == OrderStrict && c.given(join(where, "order")) {
			c.out.warn(join(where, "order"), fmt.Sprintf("order \"strict\": %s does not promise to keep the order in which it gets messages", u.Profile),
				"let who reads them sort by seq")
		}
		if u.Ceilings.NoRetain && r.Retain == RetainSet && r.Direction.Out() {
			c.fail(join(where, "retain"), r.Retain.String(), fmt.Sprintf("%s takes no retained messages", u.Profile),
				"leave the key out; the flag is cleared")
		}
		if most := u.Ceilings.Payload; most > 0 && r.Payload == PayloadBatch && r.Batch.MaxBytes > most {
			c.fail(join(where, "batch", "max_bytes"), r.Batch.MaxBytes,
				fmt.Sprintf("%s takes messages of at most %s", u.Profile, most), "lower it, or leave the key out")
		}
	}
}

// base returns the base topic. Where the file does not say the gateway's id, a level that would hold it is "+".
func (c *checker) base() string {
	if id := c.cfg.Gateway.ID; id != "" {
		return c.cfg.Gateway.Base(id)
	}
	list := strings.Split(c.cfg.Gateway.BaseTopic, "/")
	for i, level := range list {
		if strings.Contains(level, "{id}") {
			list[i] = "+"
		}
	}
	return strings.Join(list, "/")
}

// clientID returns the id that an upstream will see, "+" where it cannot be known yet.
func (c *checker) clientID(u Upstream) string {
	switch {
	case u.ClientID != "":
		return u.ClientID
	case c.cfg.Gateway.ID != "":
		return c.cfg.Gateway.ID + "-" + u.Name
	}
	return "+"
}

// outward returns the first out route that takes a local topic, and the topic on the other side. Levels that are not known are "+".
func (u Upstream) outward(topic string) (route int, remote string, ok bool) {
	for i, r := range u.Routes {
		if !r.Direction.Out() || r.Filter == "" {
			continue
		}
		both, ok := meet(strings.Split(topic, "/"), strings.Split(r.LocalPrefix+r.Filter, "/"))
		if !ok {
			continue
		}
		if rest, ok := strings.CutPrefix(strings.Join(both, "/"), r.LocalPrefix); ok {
			return i, r.RemotePrefix + rest, true
		}
	}
	return 0, "", false
}

package config

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

func (c *checker) upstreams() {
	names, clients := map[string]string{}, map[string]string{}
	for i, u := range c.cfg.Upstreams {
		path := at("upstream", i)
		if c.need(path, "name", `add name = "cloud"`) {
			c.name(join(path, "name"), u.Name)
			c.unique(names, join(path, "name"), u.Name, "this name")
		}
		c.upstream(path, u)
		for _, s := range u.Servers {
			if u.ClientID != "" {
				c.clientID(clients, join(path, "client_id"), s, u.ClientID)
			}
		}
		c.servers(path, u)
		c.credentials(path, u)
		c.tls(path, u)
		c.routes(path, u)
	}
}

func (c *checker) upstream(path string, u Upstream) {
	within(c, join(path, "max_inflight"), u.MaxInflight, 1, 10000)
	keepalive := join(path, "keepalive")
	within(c, keepalive, u.KeepAlive, time.Second, 65535*time.Second) // 16 bits of seconds (MQTT 3.1.1, 3.1.2.10)
	if u.KeepAlive%time.Second != 0 {
		c.fail(keepalive, u.KeepAlive, "not whole seconds", "MQTT counts it in seconds; round it")
	}
}

// clientID reports an id that another upstream uses at the same server: the server would end the one connection
// whenever the other comes, for ever.
func (c *checker) clientID(clients map[string]string, path string, s Server, id string) {
	key := s.Addr() + " " + id
	if first, ok := clients[key]; ok && first != path {
		c.fail(path, id, fmt.Sprintf("the upstream in %s uses this id at the same server, %s", c.where(first), s),
			"two connections with one id throw each other out; give each its own")
		return
	}
	clients[key] = path
}

func (c *checker) servers(path string, u Upstream) {
	where := join(path, "servers")
	if !c.need(path, "servers", `add servers = ["mqtts://host:8883"]`) || c.out.failed[where] {
		return
	}
	if len(u.Servers) == 0 {
		c.out.at(where, "servers: the list is empty", `name at least one: servers = ["mqtts://host:8883"]`)
	}
	for i, s := range u.Servers {
		member := at(where, i)
		switch {
		case c.out.failed[member]:
		case slices.Contains(u.Servers[:i], s):
			c.fail(member, s, "listed twice", "remove one of the two")
		case s.TLS && s.Port == portMQTT:
			c.out.warn(member, fmt.Sprintf("%s: port 1883 is usually MQTT without TLS", s), "8883 is usual for mqtts")
		case !s.TLS && s.Port == portMQTTS:
			c.out.warn(member, fmt.Sprintf("%s: port 8883 is usually MQTT over TLS", s), "1883 is usual for mqtt; write mqtts:// for TLS")
		case !s.TLS && u.Password.IsSet() && !loopback(s.Addr()):
			c.out.warn(member, fmt.Sprintf("%s: the password travels in the clear", s), "use mqtts://")
		}
	}
}

func (c *checker) credentials(path string, u Upstream) {
	if c.given(join(path, "password")) && u.Username == "" {
		// MQTT 3.1.1 forbids it: MQTT-3.1.2-22.
		c.out.at(join(path, "password"), "password: needs a username", "add username = \"...\"")
	}
	if c.given(join(path, "client_id")) && u.ClientID == "" {
		c.fail(join(path, "client_id"), "", "empty", "leave the key out for the gateway's id and the upstream's name")
	}
}

func (c *checker) tls(path string, u Upstream) {
	path = join(path, "tls")
	if !c.given(path) {
		return
	}
	encrypted := slices.ContainsFunc(u.Servers, func(s Server) bool { return s.TLS })
	if !encrypted && len(u.Servers) > 0 && !c.anyFailed(join(parent(path), "servers"), len(u.Servers)) {
		c.out.about(path, "tls: none of the servers uses TLS", "write mqtts:// in servers, or remove tls")
	}
	where := join(path, "ca_file")
	if !c.given(where) || c.out.failed[where] {
		return
	}
	name := c.env.path(u.TLS.CAFile)
	pem, _, err := c.env.readFile(name)
	switch {
	case err != nil:
		c.out.at(where, "read ca_file: "+fileError(name, err), "name a file of certificates in PEM, or leave the key out for those of the system")
	case !x509.NewCertPool().AppendCertsFromPEM(pem):
		c.fail(where, u.TLS.CAFile, "contains no certificate in PEM", `it must have a block "-----BEGIN CERTIFICATE-----"`)
	}
}

// anyFailed tells whether a list or one of its members has an error.
func (c *checker) anyFailed(path string, members int) bool {
	for i := range members {
		if c.out.failed[at(path, i)] {
			return true
		}
	}
	return c.out.failed[path]
}

func (c *checker) routes(path string, u Upstream) {
	if len(u.Routes) == 0 {
		c.out.warn(path, fmt.Sprintf("upstream %q has no route: only its state is published", u.Name), "add [[upstream.route]]")
	}
	for i, r := range u.Routes {
		where := at(join(path, "route"), i)
		c.need(where, "direction", `add direction = "out" or direction = "in"`)
		within(c, join(where, "qos"), r.QoS, 0, 1)
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
	case r.Direction == DirectionIn && strings.HasPrefix(r.LocalPrefix+r.Filter, "$"):
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
		switch {
		case r.sameTopics(e):
			c.out.at(where, fmt.Sprintf("this route repeats the one in line %d", line), "remove one of the two")
		case r.Direction != e.Direction && echoes(in, out):
			c.fail(join(where, "filter"), r.Filter,
				fmt.Sprintf("a loop with the route in line %d: what goes out comes in again on the same topic", line),
				"narrow one of the filters, or give the two routes different prefixes")
		}
	}
}

// sameTopics tells whether two routes move the same topics the same way.
func (r Route) sameTopics(o Route) bool {
	return r.Direction == o.Direction && r.Filter == o.Filter &&
		r.LocalPrefix == o.LocalPrefix && r.RemotePrefix == o.RemotePrefix
}

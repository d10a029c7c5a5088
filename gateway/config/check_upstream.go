package config

import (
	"fmt"
	"slices"
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
				c.sameClientID(clients, join(path, "client_id"), s, u.ClientID)
			}
		}
		c.servers(path, u)
		c.credentials(path, u)
		c.token(join(path, "token"), u)
		c.proxy(path, u)
		c.tls(join(path, "tls"), u)
		c.queue(join(path, "queue"), u.Queue)
		c.routes(path, u)
	}
	c.circles()
}

func (c *checker) upstream(path string, u Upstream) {
	within(c, join(path, "max_inflight"), u.MaxInflight, 1, 10000)
	keepalive := join(path, "keepalive")
	within(c, keepalive, u.KeepAlive, time.Second, 65535*time.Second) // 16 bits of seconds (MQTT 3.1.1, 3.1.2.10)
	if u.KeepAlive%time.Second != 0 {
		c.fail(keepalive, u.KeepAlive, "not whole seconds", "MQTT counts it in seconds; round it")
	}
	zeroOr(c, join(path, "retry_primary"), u.RetryPrimary, 10*time.Second, 24*time.Hour)
	zeroOr(c, join(path, "spread"), u.Spread, time.Second, time.Hour)
	zeroOr(c, join(path, "status_interval"), u.StatusInterval, time.Second, 24*time.Hour)
	within(c, join(path, "live_share"), u.LiveShare, 1, 99)
	zeroOr(c, join(path, "rate", "messages"), u.Rate.Messages, 0.001, 1e6)
	zeroOr(c, join(path, "rate", "bytes"), u.Rate.Bytes, 256, TiB)
	within(c, join(path, "lazy", "records"), u.Lazy.Records, 1, maxRecords)
	within(c, join(path, "lazy", "after"), u.Lazy.After, time.Second, 30*24*time.Hour)
	if c.given(join(path, "lazy")) && u.Start != StartLazy && !c.out.failed[join(path, "start")] {
		c.out.warn(join(path, "lazy"), fmt.Sprintf("lazy: has no effect while start is %q", u.Start), `write start = "lazy", or remove it`)
	}
	hears := slices.ContainsFunc(u.Routes, func(r Route) bool { return r.Direction.In() })
	if u.InboundSession == InboundPersistent && !hears {
		c.out.warn(join(path, "inbound_session"), "inbound_session: nothing comes in, because no route has the direction in",
			`add a route with direction = "in", or remove it`)
	}
}

// queue checks the bounds of an upstream's queues.
func (c *checker) queue(path string, q Queue) {
	zeroOr(c, join(path, "max_size"), q.MaxSize, MiB, 8*TiB)
	zeroOr(c, join(path, "max_records"), q.MaxRecords, 1, maxRecords)
	if c.given(join(path, "max_age")) { // what flowed in is told at its own place
		c.maxAge(join(path, "max_age"), q.MaxAge)
	}
	if shared := c.cfg.Buffer.MaxSize; q.MaxSize > shared && !c.out.failed["buffer.max_size"] {
		c.fail(join(path, "max_size"), q.MaxSize, fmt.Sprintf("more than all upstreams share (%s)", shared), "raise max_size of [buffer], or lower it")
	}
}

// proxy checks what belongs to the proxy of an upstream.
func (c *checker) proxy(path string, u Upstream) {
	where := join(path, "proxy_password")
	switch {
	case !c.given(where), c.out.failed[join(path, "proxy")]:
	case !u.Proxy.IsSet():
		c.out.at(where, "proxy_password: there is no proxy", `add proxy = "http://host:3128", or remove it`)
	case u.Proxy.User == "":
		c.out.at(where, "proxy_password: needs a user", "write the user into proxy, before the host: user@"+u.Proxy.Addr())
	}
}

// sameClientID reports an id that another upstream uses at the same server: the server would end the one connection
// whenever the other comes, for ever.
func (c *checker) sameClientID(clients map[string]string, path string, s Server, id string) {
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
		case c.oddPort(member, s):
		case !s.TLS && (u.Password.IsSet() || u.Token.Kind != 0) && !loopback(s.Addr()):
			c.out.warn(member, fmt.Sprintf("%s: the password travels in the clear", s), "use mqtts://")
		}
	}
}

// oddPort warns of a port that usually speaks something else.
func (c *checker) oddPort(path string, s Server) bool {
	usual := func(message, hint string) bool {
		c.out.warn(path, fmt.Sprintf("%s: %s", s, message), hint)
		return true
	}
	switch {
	case s.WebSocket && s.TLS && s.Port == portWS:
		return usual("port 80 is usually without TLS", "443 is usual for wss")
	case s.WebSocket && !s.TLS && s.Port == portWSS:
		return usual("port 443 is usually over TLS", "write wss:// for TLS")
	case s.WebSocket:
		return false
	case s.TLS && s.Port == portMQTT:
		return usual("port 1883 is usually MQTT without TLS", "8883 is usual for mqtts")
	case !s.TLS && s.Port == portMQTTS:
		return usual("port 8883 is usually MQTT over TLS", "1883 is usual for mqtt; write mqtts:// for TLS")
	}
	return false
}

func (c *checker) credentials(path string, u Upstream) {
	if c.given(join(path, "password")) && u.Username == "" && !c.given(join(path, "token")) {
		// MQTT 3.1.1 forbids it: MQTT-3.1.2-22.
		c.out.at(join(path, "password"), "password: needs a username", "add username = \"...\"")
	}
	if c.given(join(path, "client_id")) && u.ClientID == "" {
		c.fail(join(path, "client_id"), "", "empty", "leave the key out for the gateway's id and the upstream's name")
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

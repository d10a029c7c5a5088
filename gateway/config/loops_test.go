package config

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestMeet(t *testing.T) {
	for _, tt := range []struct{ a, b, want string }{
		{"a/b", "a/b", "a/b"},
		{"a/b", "a/c", ""},
		{"a/b", "a/b/c", ""},
		{"a/+", "+/b", "a/b"},
		{"a/#", "+/b", "a/b"},
		{"a/#", "a", "a"},
		{"a/#", "#", "a/#"},
		{"#", "#", "#"},
		{"+/#", "a/b/+", "a/b/+"},
		{"a/+/#", "a/#", "a/+/#"},
		{"a/#", "b/#", ""},
		{"+", "a/b", ""},
	} {
		for _, pair := range [][2]string{{tt.a, tt.b}, {tt.b, tt.a}} {
			got, ok := meet(strings.Split(pair[0], "/"), strings.Split(pair[1], "/"))
			if strings.Join(got, "/") != tt.want && ok || ok != (tt.want != "") {
				t.Errorf("meet(%q, %q) = %q, %v; want %q", pair[0], pair[1], got, ok, tt.want)
			}
		}
	}
}

func TestAfterLevels(t *testing.T) {
	for _, tt := range []struct{ filter, given, want string }{
		{"a/b/c", "a", "b/c"},
		{"a/+/c", "a/x", "c"},
		{"a/#", "a/b/c", "#"},
		{"a/b", "b", ""},
		{"a", "a", ""},
		{"a/b/#", "a/b", "#"},
	} {
		got, ok := afterLevels(strings.Split(tt.filter, "/"), strings.Split(tt.given, "/"))
		if strings.Join(got, "/") != tt.want || ok != (tt.want != "") {
			t.Errorf("afterLevels(%q, %q) = %q, %v; want %q", tt.filter, tt.given, got, ok, tt.want)
		}
	}
}

// TestNoCircle has what looks like a circle and stops by itself.
func TestNoCircle(t *testing.T) {
	route := func(way, filter, local, remote string) string {
		return fmt.Sprintf("[[upstream.route]]\ndirection = %q\nfilter = %q\nlocal_prefix = %q\nremote_prefix = %q\n", way, filter, local, remote)
	}
	upstream := func(name, server string, routes ...string) string {
		return fmt.Sprintf("[[upstream]]\nname = %q\nservers = [%q]\n", name, server) + strings.Join(routes, "")
	}
	for _, tt := range []struct{ name, config string }{
		{"what came from an upstream is not offered to it", upstream("a", "mqtt://h1", route("out", "#", "p/", "p/")) +
			upstream("b", "mqtt://h1", route("in", "#", "q/", "p/"), route("out", "#", "q/", "r/"), route("in", "#", "p/", "r/"))},
		{"through one upstream", upstream("a", "mqtt://h1", route("in", "#", "p/", "r/"), route("out", "#", "p/", "s/"))},
		{"two brokers that do not send back", upstream("a", "mqtt://h1", route("in", "x/#", "", "")) + upstream("b", "mqtt://h2", route("out", "x/#", "", ""))},
		{"it comes back shorter", upstream("a", "mqtt://h1", route("in", "#", "", "")) + upstream("b", "mqtt://h1", route("out", "#", "p/", ""))},
		{"it comes back longer than the filter", upstream("a", "mqtt://h1", route("in", "+", "p/", "")) + upstream("b", "mqtt://h1", route("out", "+", "", ""))},
		{"other topics", upstream("a", "mqtt://h1", route("in", "x/#", "", "")) + upstream("b", "mqtt://h1", route("out", "y/#", "", ""))},
		{"a command is never sent", "gateway.id = \"g\"\n" + upstream("a", "mqtt://h1", route("in", "tidegate/g/+/set", "", "")) +
			upstream("b", "mqtt://h1", route("out", "tidegate/g/+/set", "", ""))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := mustParse(t, tt.config)
			for _, w := range cfg.Warnings {
				if strings.Contains(w.Message, "round") {
					t.Error(w)
				}
			}
		})
	}
}

// place is a message on the LAN: its topic, and the upstream that it came from.
type place struct {
	origin int
	topic  string
}

// walk moves a message one turn on, as gateway and brokers do.
func walk(c *checker, p place) []place {
	var next []place
	for u := range c.cfg.Upstreams {
		remote, ok := through(c.cfg.Upstreams[u].Routes, p.topic, Direction.Out)
		if u == p.origin || !ok {
			continue
		}
		for v := range c.cfg.Upstreams {
			if local, ok := through(c.cfg.Upstreams[v].Routes, remote, Direction.In); ok && c.sameBroker(u, v) {
				next = append(next, place{v, local})
			}
		}
	}
	return next
}

// through maps a topic by the first route that takes it.
func through(routes []Route, topic string, way func(Direction) bool) (string, bool) {
	for _, r := range routes {
		from, to := r.LocalPrefix, r.RemotePrefix
		if way(DirectionIn) {
			from, to = to, from
		}
		if rest, ok := strings.CutPrefix(topic, from); ok && way(r.Direction) && overlap(rest, r.Filter) {
			return to + rest, true
		}
	}
	return "", false
}

// endless tells whether a message is still on its way after more turns than there are places that it can be at without going round.
func endless(c *checker, from place, way []place) bool {
	if slices.Contains(way, from) || strings.Count(from.topic, "/") > 40 {
		return true
	}
	for _, next := range walk(c, from) {
		if endless(c, next, append(way, from)) {
			return true
		}
	}
	return false
}

// TestCirclesAgainstMessages moves messages through small random configurations and compares what happens with what is reported.
func TestCirclesAgainstMessages(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	counts := map[string]int{}
	for range 500 {
		c := randomUpstreams(rng)
		c.circles()
		for _, d := range c.out.errors {
			topic := strings.Split(d.Message, `"`)[3]
			if !slices.ContainsFunc(c.cfg.Upstreams, func(u Upstream) bool { return endless(c, place{upstreamIndex(c, u.Name), topic}, nil) }) {
				t.Fatalf("%s\nbut the message stops\n%s", d.Message, describe(c))
			}
		}
		goes := anyEndless(c)
		said := len(c.out.errors)+len(c.out.warnings) > 0
		if goes && !said {
			t.Fatalf("a message goes round, and nothing is said\n%s", describe(c))
		}
		counts[fmt.Sprintf("goes round %v, errors %v", goes, len(c.out.errors) > 0)]++
	}
	if counts["goes round true, errors true"] < 50 || counts["goes round false, errors false"] < 50 {
		t.Errorf("too few of a kind: %v", counts)
	}
	t.Log(counts)
}

func upstreamIndex(c *checker, name string) int {
	return slices.IndexFunc(c.cfg.Upstreams, func(u Upstream) bool { return u.Name == name })
}

func anyEndless(c *checker) bool {
	for u := range c.cfg.Upstreams {
		for _, a := range []string{"", "p/", "q/", "p/q/", "q/p/"} {
			for _, b := range []string{"p", "q", "x", "p/x", "q/x", "x/x", "x/p"} {
				if endless(c, place{u, a + b}, nil) {
					return true
				}
			}
		}
	}
	return false
}

// randomUpstreams makes two or three upstreams whose prefixes often fit together.
func randomUpstreams(rng *rand.Rand) *checker {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	var text strings.Builder
	for i := range 2 + rng.IntN(2) {
		fmt.Fprintf(&text, "[[upstream]]\nname = \"u%d\"\nservers = [\"mqtt://h%d\"]\n", i, rng.IntN(4))
		for range 1 + rng.IntN(3) {
			fmt.Fprintf(&text, "[[upstream.route]]\ndirection = %q\nfilter = %q\nlocal_prefix = %q\nremote_prefix = %q\n",
				pick("out", "in", "both"), pick("#", "#", "+", "x", "p/#", "+/x"), pick("", "", "p/", "q/", "p/q/"), pick("", "", "p/", "q/", "q/p/"))
		}
	}
	src := &source{name: "random.toml", data: text.String()}
	out := &report{src: src, failed: map[string]bool{}}
	tree, _ := parseTree(src, out)
	cfg := newConfig()
	cfg.src = src
	(&decoder{out: out}).document(tree, cfg)
	return &checker{cfg: cfg, out: out}
}

func describe(c *checker) string { return c.out.src.data }

package config

import (
	"cmp"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// checker validates what one value alone cannot tell. Each method looks at one table and reports by path.
type checker struct {
	cfg *Config
	env Env
	out *report
}

func (c *checker) check() {
	c.gateway()
	c.http()
	c.buffer()
	c.broker()
	taken := c.listeners()
	c.upstreams()
	c.buses()
	c.devices()
	c.modbusServers(taken)
	c.lints()
	if !c.given("broker.listener") && !c.given("upstream") && !c.given("modbus_server") {
		c.out.warn("", "no listener and no upstream: what is read goes nowhere",
			`add [[broker.listener]] with address = "127.0.0.1:1883", or an [[upstream]]`)
	}
}

func (c *checker) given(path string) bool { return c.out.src.has(path) }

// fail reports a value: "key value: reason".
func (c *checker) fail(path string, value any, reason, hint string) {
	c.out.at(path, fmt.Sprintf("%s %s: %s", lastKey(path), show(value), reason), hint)
}

// show writes a value as it would stand in the file.
func show(value any) string {
	switch v := value.(type) {
	case string:
		return strconv.Quote(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case time.Duration:
		s := v.String() // "2h0m0s", of which people write "2h"
		if strings.HasSuffix(s, "m0s") {
			s = strings.TrimSuffix(s, "0s")
		}
		if strings.HasSuffix(s, "h0m") {
			s = strings.TrimSuffix(s, "0m")
		}
		return s
	}
	return fmt.Sprint(value)
}

// where tells a person where the value at path was set.
func (c *checker) where(path string) string {
	if c.given(path) {
		return fmt.Sprintf("line %d", c.cfg.Pos(path).Line)
	}
	return "the defaults"
}

// need reports a key that the table at path must have. It tells whether the key is there.
func (c *checker) need(path, key, hint string) bool {
	if c.given(join(path, key)) {
		return true
	}
	if !c.out.failed[join(path, key)] {
		c.out.failed[join(path, key)] = true
		c.out.about(path, fmt.Sprintf("missing key %q in %s", key, tableName(path)), hint)
	}
	return false
}

// within reports a value outside its bounds.
func within[T cmp.Ordered](c *checker, path string, value, low, high T) {
	if value < low || value > high {
		c.fail(path, value, fmt.Sprintf("outside %s to %s", show(low), show(high)), "give a value in this range")
	}
}

// zeroOr reports a value that is neither 0, which turns something off, nor within its bounds.
func zeroOr[T cmp.Ordered](c *checker, path string, value, low, high T) {
	var zero T
	if value == zero || value >= low && value <= high {
		return
	}
	c.fail(path, value, fmt.Sprintf("neither %s nor from %s to %s", show(zero), show(low), show(high)), "give a value in this range")
}

// maxName bounds names. They become parts of topics and labels of metrics.
const maxName = 64

// name checks a name that becomes a level of topics.
func (c *checker) name(path, name string) {
	hint := `use letters, digits, "_" and "-", at most ` + strconv.Itoa(maxName)
	switch i := strings.IndexFunc(name, func(r rune) bool { return r > 127 || !bareKeyChar(byte(r)) }); {
	case name == "":
		c.out.at(path, lastKey(path)+` "": empty`, hint)
	case i >= 0:
		r, _ := utf8.DecodeRuneInString(name[i:])
		c.fail(path, name, fmt.Sprintf("character %q is not allowed", r), hint)
	case len(name) > maxName:
		c.fail(path, name, fmt.Sprintf("longer than %d characters", maxName), hint)
	}
}

// topicName checks the name of a device or a point, which must not look like one of the gateway's own topics.
func (c *checker) topicName(path, name string) {
	reserved := []string{"gateway", "alarm", "set", "get", "result", "availability"}
	if slices.Contains(reserved, name) {
		c.fail(path, name, "reserved for topics of the gateway", "reserved are "+strings.Join(reserved, ", "))
		return
	}
	c.name(path, name)
}

// unique reports a value that an earlier table already has. seen maps values to the path where each came first; a
// value that itself is wrong is left out.
func (c *checker) unique(seen map[string]string, path, value, what string) {
	if value == "" || c.out.failed[path] {
		return
	}
	if first, ok := seen[value]; ok {
		c.fail(path, value, what+" stands already in "+c.where(first), "each must be different")
		return
	}
	seen[value] = path
}

func (c *checker) gateway() {
	g := c.cfg.Gateway
	if c.given("gateway.id") {
		c.name("gateway.id", g.ID)
	}
	if g.DataDir == "" {
		c.fail("gateway.data_dir", "", "empty", `name a directory: data_dir = "/var/lib/tidegate"`)
	}
	base := strings.ReplaceAll(g.BaseTopic, "{id}", "id")
	hint := `write levels with "/" between them, as in "tidegate/{id}"`
	switch reason := topicProblem(base, false); {
	case reason != "":
		c.fail("gateway.base_topic", g.BaseTopic, reason, hint)
	case strings.HasPrefix(base, "$"), strings.HasPrefix(base, "/"), strings.HasSuffix(base, "/"), strings.Contains(base, "//"):
		c.fail("gateway.base_topic", g.BaseTopic, `starts or ends with "/", has an empty level, or starts with "$"`, hint)
	case strings.ContainsAny(base, "{}"):
		c.fail("gateway.base_topic", g.BaseTopic, "{id} is the only placeholder", hint)
	}
}

func (c *checker) http() {
	listen := c.cfg.HTTP.Listen
	if listen == "" || !c.hostPort("http.listen", listen, "127.0.0.1:8080", 0) {
		return
	}
	if !loopback(listen) {
		c.fail("http.listen", listen, "beyond loopback, and this HTTP server has neither users nor TLS",
			`write "127.0.0.1:8080", and put a reverse proxy with a login in front of it`)
	}
}

func (c *checker) buffer() {
	b := c.cfg.Buffer
	within(c, "buffer.commit_interval", b.CommitInterval, 10*time.Millisecond, time.Minute)
	within(c, "buffer.ack_hold", b.AckHold, 0, 5*time.Second)
	within(c, "buffer.max_size", b.MaxSize, MiB, 8*TiB)
	c.maxAge("buffer.max_age", b.MaxAge)
	within(c, "buffer.min_free", b.MinFree, 0, TiB)
	within(c, "buffer.orphan_age", b.OrphanAge, time.Hour, maxAge)
	within(c, "buffer.card_endurance", b.CardEndurance, GiB, 1024*TiB)
	if b.AckHold > b.CommitInterval {
		c.fail("buffer.ack_hold", b.AckHold, fmt.Sprintf("longer than commit_interval (%s)", show(b.CommitInterval)),
			"publishers cannot wait longer than readings do; shorten it")
	}
}

// maxAge is the longest time for which anything is kept.
const maxAge = 10 * 365 * 24 * time.Hour

// maxAge checks how old a record may become.
func (c *checker) maxAge(path string, age time.Duration) {
	zeroOr(c, path, age, time.Minute, maxAge)
}

// hostPort checks host:port. lowest is 1 for an address to call, 0 for one to listen at, where 0 means any free port.
func (c *checker) hostPort(path, value, example string, lowest int) bool {
	host, port, err := net.SplitHostPort(value)
	hint := fmt.Sprintf("write host and port: %q", example)
	if err != nil {
		reason := "not host:port"
		if !strings.Contains(value, ":") && value != "" {
			_, examplePort, _ := net.SplitHostPort(example)
			reason, hint = "no port", fmt.Sprintf("write %q", net.JoinHostPort(value, examplePort))
		}
		c.fail(path, value, reason, hint)
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || int(n) < lowest:
		c.fail(path, value, fmt.Sprintf("port outside %d to 65535", lowest), hint)
	case lowest > 0 && host == "":
		c.fail(path, value, "no host", hint)
	case strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == '/' || r == 0x7f }):
		c.fail(path, value, "not a host name or address", hint)
	default:
		return true
	}
	return false
}

// loopback tells whether an address can be reached from this machine only. A name other than localhost counts as
// reachable: what it resolves to may change.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// sameFile returns the name under which two spellings of one file are equal.
func (c *checker) sameFile(name string) string {
	return c.env.realPath(filepath.Clean(name))
}

package bridge

import (
	"strings"

	"github.com/tidegate/tidegate/gateway"
)

// Retain says what becomes of the retain flag on the way.
type Retain uint8

// What becomes of the retain flag.
const (
	RetainKeep Retain = iota
	RetainClear
	RetainSet
)

func (r Retain) apply(flag bool) bool {
	switch r {
	case RetainClear:
		return false
	case RetainSet:
		return true
	default:
		return flag
	}
}

// Route maps topics between the two brokers. The topic on the local side is LocalPrefix plus what Filter matches, the topic on the
// remote side is RemotePrefix plus the same.
type Route struct {
	Filter       string
	LocalPrefix  string
	RemotePrefix string
	QoS          gateway.QoS // of sending, or of subscribing: 0 or 1
	Retain       Retain
}

// Local is the route's topic filter on the local broker.
func (r Route) Local() string { return r.LocalPrefix + r.Filter }

// Remote is the route's topic filter on the upstream broker.
func (r Route) Remote() string { return r.RemotePrefix + r.Filter }

// outward maps a local topic; ok is false when the route does not cover it.
func (r Route) outward(topic string) (remote string, ok bool) {
	return remap(topic, r.LocalPrefix, r.Filter, r.RemotePrefix)
}

// inward maps a remote topic; ok is false when the route does not cover it.
func (r Route) inward(topic string) (local string, ok bool) {
	return remap(topic, r.RemotePrefix, r.Filter, r.LocalPrefix)
}

func remap(topic, from, filter, to string) (string, bool) {
	rest, found := strings.CutPrefix(topic, from)
	if !found || !covers(filter, rest) {
		return "", false
	}
	return to + rest, true
}

// covers reports whether filter matches topic (MQTT 3.1.1, 4.7). A filter that begins with a wildcard does not match a topic
// that begins with $ (4.7.2).
func covers(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && (strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")) {
		return false
	}
	for {
		f, fRest, fMore := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		t, tRest, tMore := strings.Cut(topic, "/")
		if f != "+" && f != t {
			return false
		}
		if !tMore {
			return !fMore || fRest == "#"
		}
		if !fMore {
			return false
		}
		filter, topic = fRest, tRest
	}
}

// firstOutward finds the first route that covers a local topic.
func firstOutward(routes []Route, topic string) (Route, string, bool) {
	for _, r := range routes {
		if remote, ok := r.outward(topic); ok {
			return r, remote, true
		}
	}
	return Route{}, "", false
}

// firstInward finds the first route that covers a remote topic.
func firstInward(routes []Route, topic string) (Route, string, bool) {
	for _, r := range routes {
		if local, ok := r.inward(topic); ok {
			return r, local, true
		}
	}
	return Route{}, "", false
}

package bridge

import (
	"strings"
	"time"

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

// Form is what a route makes of a record.
type Form uint8

// The forms.
const (
	FormMessage Form = iota // what was published, as it was published
	FormPoints              // of a batch one message for each point, whatever its device publishes on the LAN
	FormBatch               // many records in one message, see [Batch]
)

// Batch says how a route gathers records into messages. A message leaves when it is full or Linger has passed since its first record came.
type Batch struct {
	Topic      string        // on the upstream, complete: no prefix is put before it
	MaxRecords int           // 500
	MaxBytes   int           // 64 KiB, about: of the payload
	Linger     time.Duration // 1 s
}

// Route maps topics between the two brokers. The topic on the local side is LocalPrefix plus what Filter matches, the topic on the
// remote side is RemotePrefix plus the same. The first route of the list that covers a topic is the one that counts.
type Route struct {
	Filter       string
	LocalPrefix  string
	RemotePrefix string
	QoS          gateway.QoS // of sending, or of subscribing: 0 or 1
	Retain       Retain
	Lane         int  // outward: index of the lane whose queue holds its records
	Form         Form // outward
	Batch        Batch
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
	if from == to {
		return topic, true
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

// firstOutward finds the first route that covers a local topic; nil when none does.
func firstOutward(routes []Route, topic string) (*Route, string) {
	for i := range routes {
		if remote, ok := routes[i].outward(topic); ok {
			return &routes[i], remote
		}
	}
	return nil, ""
}

// firstForPoint finds the first route that covers the topic of a device's point, or sends the device's points one by one.
func firstForPoint(routes []Route, device, point string) (*Route, string) {
	for i := range routes {
		r := &routes[i]
		if remote, ok := r.outward(point); ok {
			return r, remote
		}
		if _, ok := r.outward(device); ok && r.Form == FormPoints {
			return r, r.RemotePrefix + strings.TrimPrefix(point, r.LocalPrefix)
		}
	}
	return nil, ""
}

// firstInward finds the first route that covers a remote topic; nil when none does.
func firstInward(routes []Route, topic string) (*Route, string) {
	for i := range routes {
		if local, ok := routes[i].inward(topic); ok {
			return &routes[i], local
		}
	}
	return nil, ""
}

// RemoteTopic is where a message of the gateway's own goes on the upstream: mapped by the first route that covers its local topic, or as it
// is, since it concerns the upstream whatever its routes are.
func RemoteTopic(routes []Route, local string) string {
	if r, remote := firstOutward(routes, local); r != nil {
		return remote
	}
	return local
}

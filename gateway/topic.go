package gateway

import (
	"fmt"
	"strings"
)

// Topics builds the names of the gateway's own topics below one base.
type Topics struct{ Base string }

// Device is the topic of a device's batches: base/<device>.
func (t Topics) Device(device string) string { return t.Base + "/" + device }

// Point is the topic of one point's value.
func (t Topics) Point(device, point string) string { return t.Base + "/" + device + "/" + point }

// Availability is the topic that says whether a device answers.
func (t Topics) Availability(device string) string { return t.Base + "/" + device + "/availability" }

// Result is the topic of a device's command results.
func (t Topics) Result(device string) string { return t.Base + "/" + device + "/result" }

// State is the topic of birth and last will.
func (t Topics) State() string { return t.Base + "/gateway/state" }

// UpstreamState is the LAN's mirror of one upstream's state.
func (t Topics) UpstreamState(name string) string {
	return t.Base + "/gateway/upstream/" + name + "/state"
}

// Status is the topic of the gateway's status.
func (t Topics) Status() string { return t.Base + "/gateway/status" }

// Batches is where a route that gathers many records in one message sends them, unless it names another topic.
func (t Topics) Batches() string { return t.Base + "/gateway/batch" }

// Gap is the topic of gap records.
func (t Topics) Gap() string { return t.Base + "/gateway/gap" }

// Commands are the topic filters of commands to devices: set of a point, set of a device, get of a device.
func (t Topics) Commands() []string {
	return []string{t.Base + "/+/+/set", t.Base + "/+/set", t.Base + "/+/get"}
}

// ParseCommand tells which device and point a topic commands; ok is false when it is not a command topic of this base.
func (t Topics) ParseCommand(topic string) (device, point, verb string, ok bool) {
	rest, found := strings.CutPrefix(topic, t.Base+"/")
	if !found {
		return "", "", "", false
	}
	switch p := strings.Split(rest, "/"); {
	case len(p) == 3 && p[2] == "set":
		return p[0], p[1], "set", true
	case len(p) == 2 && (p[1] == "set" || p[1] == "get"):
		return p[0], "", p[1], true
	}
	return "", "", "", false
}

// CheckName says whether s may name a device or a point: letters, digits, _ and -, and none of the reserved words.
func CheckName(s string) error {
	if s == "" {
		return fmt.Errorf("name is empty")
	}
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-') {
			return fmt.Errorf("name %q: %q is not allowed, use letters, digits, _ and -", s, r)
		}
	}
	switch s {
	case "gateway", "alarm", "set", "get", "result", "availability":
		return fmt.Errorf("name %q is reserved, choose another", s)
	}
	return nil
}

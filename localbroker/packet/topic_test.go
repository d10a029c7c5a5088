package packet_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/localbroker/packet"
)

var long = strings.Repeat("a", 65535)

func TestValidTopic(t *testing.T) {
	for _, topic := range []string{"a", "/", " ", "a/b", "a//b", "/a/", "$SYS/x", "温度", "\ufeff", "a\x01b", "\ufffd", long} {
		if err := packet.ValidTopic(topic); err != nil {
			t.Errorf("ValidTopic(%.20q) = %v", topic, err)
		}
	}
	bad := map[string]string{
		"":              "MQTT-4.7.3-1",
		"a\x00":         "MQTT-1.5.3-2",
		"a/+":           "MQTT-4.7.1-1",
		"#":             "MQTT-4.7.1-1",
		"温度/+":          "MQTT-4.7.1-1",
		"\xff":          "MQTT-1.5.3-1",
		"\xed\xa0\x80":  "MQTT-1.5.3-1",
		long + "a":      "MQTT-4.7.3-3",
		long[2:] + "ää": "MQTT-4.7.3-3",
	}
	for topic, clause := range bad {
		if err := packet.ValidTopic(topic); !strings.Contains(errText(err), "["+clause+"]") {
			t.Errorf("ValidTopic(%.20q) = %v, want %s", topic, err, clause)
		}
	}
}

func TestValidFilter(t *testing.T) {
	good := []string{"a", "#", "+", "/", "/#", "+/#", "+/+", "a/+/b", "a/+", "/+", "a/#", "$SYS/#", "$share/g/a", " ", long, "温/+/度"}
	for _, filter := range good {
		if err := packet.ValidFilter(filter); err != nil {
			t.Errorf("ValidFilter(%.20q) = %v", filter, err)
		}
	}
	bad := map[string]string{
		"":         "MQTT-4.7.3-1",
		"a\x00":    "MQTT-1.5.3-2",
		"\xc0\x80": "MQTT-1.5.3-1", // a null character in the overlong form of Java
		"a#":       "MQTT-4.7.1-2",
		"#/a":      "MQTT-4.7.1-2",
		"a/#/":     "MQTT-4.7.1-2",
		"##":       "MQTT-4.7.1-2",
		"a+":       "MQTT-4.7.1-3",
		"+a":       "MQTT-4.7.1-3",
		"a/b+/c":   "MQTT-4.7.1-3",
		"++":       "MQTT-4.7.1-3",
		long + "a": "MQTT-4.7.3-3",
	}
	for filter, clause := range bad {
		if err := packet.ValidFilter(filter); !strings.Contains(errText(err), "["+clause+"]") {
			t.Errorf("ValidFilter(%.20q) = %v, want %s", filter, err, clause)
		}
	}
}

// The examples of section 4.7 of the standard, and the corners between them.
func TestMatch(t *testing.T) {
	tests := []struct {
		filter, topic string
		want          bool
	}{
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/tennis/player1/#", "sport/tennis/player10", false},
		{"sport/#", "sport", true},
		{"sport/#", "sports", false},
		{"sport/#", "sport/", true},
		{"#", "a", true},
		{"#", "/", true},
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+/+", "/finance", true},
		{"/+", "/finance", true},
		{"+", "/finance", false},
		{"+", "finance", true},
		{"+", "", true},
		{"a/+/c", "a/b/c", true},
		{"a/+/c", "a//c", true},
		{"a/+/c", "a/b/d", false},
		{"a/+/#", "a", false},
		{"a/+/#", "a/b", true},
		{"a/b", "a/b", true},
		{"a/b", "a/b/", false},
		{"a/b/", "a/b", false},
		{"a/b", "A/b", false},
		{"#", "$SYS/monitor", false},
		{"+/monitor", "$SYS/monitor", false},
		{"+/#", "$SYS/monitor", false},
		{"$SYS/#", "$SYS/monitor", true},
		{"$SYS/#", "$SYS", true},
		{"$SYS/+", "$SYS/monitor", true},
		{"a/#", "a/$b", true},
		{"a/+", "a/$b", true},
	}
	for _, tt := range tests {
		if got := packet.Match(tt.filter, tt.topic); got != tt.want {
			t.Errorf("Match(%q, %q) = %v", tt.filter, tt.topic, got)
		}
	}
}

// Match agrees with the plainest way to write it down.
func TestMatchAgreesWithModel(t *testing.T) {
	level := rapid.SampledFrom([]string{"", "a", "b", "$", "$a"})
	wild := rapid.SampledFrom([]string{"", "a", "b", "$", "$a", "+"})
	rapid.Check(t, func(t *rapid.T) {
		topic := rapid.SliceOfN(level, 1, 4).Draw(t, "topic")
		filter := rapid.SliceOfN(wild, 1, 4).Draw(t, "filter")
		if rapid.Bool().Draw(t, "multi") {
			filter = append(filter, "#")
		}
		got := packet.Match(strings.Join(filter, "/"), strings.Join(topic, "/"))
		if want := matchModel(filter, topic); got != want {
			t.Fatalf("Match(%q, %q) = %v", filter, topic, got)
		}
	})
}

func matchModel(filter, topic []string) bool {
	if strings.HasPrefix(topic[0], "$") && (filter[0] == "+" || filter[0] == "#") {
		return false
	}
	for i, f := range filter {
		if f == "#" {
			return len(topic) >= i
		}
		if i >= len(topic) || f != "+" && f != topic[i] {
			return false
		}
	}
	return len(filter) == len(topic)
}

func TestSplitShare(t *testing.T) {
	tests := []struct {
		filter, name, rest string
		shared             bool
	}{
		{"$share/g/a/+", "g", "a/+", true},
		{"$share/g//a", "g", "/a", true},
		{"$share/g", "g", "", true},
		{"$share//a", "", "a", true},
		{"$share/", "", "", true},
		{"$share", "", "$share", false},
		{"$SHARE/g/a", "", "$SHARE/g/a", false},
		{"a/$share/g", "", "a/$share/g", false},
	}
	for _, tt := range tests {
		name, rest, shared := packet.SplitShare(tt.filter)
		if name != tt.name || rest != tt.rest || shared != tt.shared {
			t.Errorf("SplitShare(%q) = %q, %q, %v", tt.filter, name, rest, shared)
		}
	}
}

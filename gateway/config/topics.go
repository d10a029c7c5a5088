package config

import (
	"strings"
	"unicode/utf8"
)

// maxTopic is the longest topic or filter in bytes; MQTT counts them in 16 bits (MQTT 3.1.1, 1.5.3).
const maxTopic = 65535

// topicProblem says what is wrong with a topic, or with a filter when wildcards are allowed (MQTT 3.1.1, 4.7).
// It returns "" when nothing is.
func topicProblem(topic string, wildcards bool) string {
	switch {
	case topic == "":
		return "empty"
	case len(topic) > maxTopic:
		return "longer than 65535 bytes"
	case !utf8.ValidString(topic) || strings.ContainsRune(topic, 0):
		return "contains a character that MQTT forbids"
	case !wildcards && strings.ContainsAny(topic, "+#"):
		return `contains a wildcard, "+" or "#"`
	}
	levels := strings.Split(topic, "/")
	for i, level := range levels {
		switch {
		case strings.Contains(level, "#") && (level != "#" || i != len(levels)-1):
			return `"#" must be alone in the last level`
		case strings.Contains(level, "+") && level != "+":
			return `"+" must be alone in its level`
		}
	}
	return ""
}

// overlap tells whether some topic matches both filters.
func overlap(a, b string) bool {
	la, lb := strings.Split(a, "/"), strings.Split(b, "/")
	// A wildcard in the first level does not match topics that start with "$" (MQTT 3.1.1, 4.7.2).
	if hidden(la[0]) && wild(lb[0]) || hidden(lb[0]) && wild(la[0]) {
		return false
	}
	return overlapLevels(la, lb)
}

func overlapLevels(a, b []string) bool {
	for i := 0; ; i++ {
		switch {
		case i < len(a) && a[i] == "#", i < len(b) && b[i] == "#": // "x/#" matches "x" too
			return true
		case i == len(a) || i == len(b):
			return len(a) == len(b)
		case a[i] != b[i] && !wild(a[i]) && !wild(b[i]):
			return false
		}
	}
}

func wild(level string) bool   { return level == "+" || level == "#" }
func hidden(level string) bool { return strings.HasPrefix(level, "$") }

// echoes tells whether a message that in brings here from a remote topic can go back to that same remote topic through
// out. Both routes move what follows their prefixes. A topic can come back to where it was only if the two pairs of
// prefixes differ by the same levels; then it does if the local filters overlap.
func echoes(in, out Route) bool {
	sameShift := func(a, b Route) bool {
		local, ok := strings.CutPrefix(a.LocalPrefix, b.LocalPrefix)
		return ok && a.RemotePrefix == b.RemotePrefix+local
	}
	if !sameShift(in, out) && !sameShift(out, in) {
		return false
	}
	return overlap(in.LocalPrefix+in.Filter, out.LocalPrefix+out.Filter)
}

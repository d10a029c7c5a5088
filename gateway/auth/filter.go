package auth

import "strings"

// matchFilter tells whether a topic filter matches a topic (MQTT 3.1.1, 4.7). Wildcards at the first level do not match topics that begin with $.
func matchFilter(filter, topic string) bool {
	if dollar(filter) != dollar(topic) {
		return false
	}
	return coversFilter(filter, topic)
}

func dollar(s string) bool { return strings.HasPrefix(s, "$") }

// coversFilter tells whether all that the filter sub can match is matched by filter too. A topic is a filter that matches itself.
func coversFilter(filter, sub string) bool {
	for {
		f, filterRest, filterMore := strings.Cut(filter, "/")
		s, subRest, subMore := strings.Cut(sub, "/")
		switch {
		case f == "#":
			return true
		case s == "#", f != "+" && f != s:
			return false
		case !filterMore && !subMore:
			return true
		case !subMore:
			return filterRest == "#" // a/# includes a
		case !filterMore:
			return false
		}
		filter, sub = filterRest, subRest
	}
}

// commonFilter returns the filter of what both filters match. ok is false when there is no such topic.
func commonFilter(a, b string) (common string, ok bool) {
	if dollar(a) != dollar(b) { // a wildcard does not reach below $, and another name is another name
		return "", false
	}
	var levels []string
	for {
		x, restA, moreA := strings.Cut(a, "/")
		y, restB, moreB := strings.Cut(b, "/")
		switch {
		case x == "#":
			return strings.Join(append(levels, b), "/"), true
		case y == "#":
			return strings.Join(append(levels, a), "/"), true
		case x == "+":
			levels = append(levels, y)
		case y == "+" || x == y:
			levels = append(levels, x)
		default:
			return "", false
		}
		switch {
		case !moreA && !moreB, !moreA && restB == "#", !moreB && restA == "#":
			return strings.Join(levels, "/"), true
		case !moreA || !moreB:
			return "", false
		}
		a, b = restA, restB
	}
}

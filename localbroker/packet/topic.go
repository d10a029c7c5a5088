package packet

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// maxField is the length in bytes of the longest string or binary field.
const maxField = 65535

// ValidTopic returns an *Error if topic is not a topic name that a message can be published
// under: UTF-8 without the null character, 1 to 65535 bytes, no wildcards (3.1.1
// and 5, section 4.7). It says nothing about who may publish there.
func ValidTopic(topic string) error {
	if r := checkTopic(topic); r != 0 {
		return r.breach(TypePublish, V311, "topic name")
	}
	return nil
}

// ValidFilter returns an *Error if filter is not a topic filter that can be subscribed
// to: as [ValidTopic], but with "+" as a whole level and "#" as the whole last
// level allowed. The form of a shared subscription is not looked at; see [SplitShare].
func ValidFilter(filter string) error {
	if r := checkFilter(filter); r != 0 {
		return r.breach(TypeSubscribe, V311, "topic filter")
	}
	return nil
}

// SplitShare takes a shared subscription "$share/name/filter" apart. For any other
// filter shared is false and rest is the filter itself. A name that is empty, or a filter
// that is missing, comes back empty: the caller, or MQTT 5's Parse, refuses it.
func SplitShare(filter string) (name, rest string, shared bool) {
	tail, shared := strings.CutPrefix(filter, sharePrefix)
	if !shared {
		return "", filter, false
	}
	name, rest, _ = strings.Cut(tail, "/")
	return name, rest, true
}

const sharePrefix = "$share/"

// Match reports whether messages published under topic go to a subscription to
// filter. Both must be valid. A wildcard at the first level does not match a
// topic that begins with "$" [MQTT-4.7.2-1].
func Match(filter, topic string) bool {
	if topic != "" && topic[0] == '$' && filter != "" && (filter[0] == '#' || filter[0] == '+') {
		return false
	}
	for {
		want, filterRest, filterMore := strings.Cut(filter, "/")
		if want == "#" {
			return true
		}
		have, topicRest, topicMore := strings.Cut(topic, "/")
		if want != "+" && want != have {
			return false
		}
		if !topicMore {
			return !filterMore || filterRest == "#" // "a/#" includes "a"
		}
		if !filterMore {
			return false
		}
		filter, topic = filterRest, topicRest
	}
}

// view returns b as a string without a copy, for a check that ends before b can change.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// checkText returns the rule that a UTF-8 string breaks, 0 if none. Control characters and
// noncharacters are allowed: the standard only says that they should not be sent.
func checkText(s string) rule {
	switch {
	case len(s) > maxField:
		return ruleTooLong
	case strings.IndexByte(s, 0) >= 0:
		return ruleNull
	case !utf8.ValidString(s):
		return ruleUTF8
	}
	return 0
}

// checkTopic returns the rule that a topic name breaks, 0 if none.
// Every PUBLISH comes through here, so that plain ASCII is passed eight bytes at a time.
func checkTopic(topic string) rule {
	switch {
	case topic == "":
		return ruleTopicEmpty
	case len(topic) > maxField:
		return ruleTopicTooLong
	case plainTopic(unsafe.Slice(unsafe.StringData(topic), len(topic))):
		return 0
	}
	return checkOddTopic(topic)
}

// plainTopic reports whether b is ASCII without the null character and wildcards.
func plainTopic(b []byte) bool {
	for len(b) >= 8 {
		if oddBytes(binary.LittleEndian.Uint64(b)) {
			return false
		}
		b = b[8:]
	}
	var rest uint64 = eachByte * 'a'
	for _, c := range b {
		rest = rest<<8 | uint64(c)
	}
	return !oddBytes(rest)
}

const eachByte = 0x0101_0101_0101_0101

// oddBytes reports whether any byte of x is not ASCII, null or a wildcard.
func oddBytes(x uint64) bool {
	return (x|zeroBytes(x)|zeroBytes(x^eachByte*'+')|zeroBytes(x^eachByte*'#'))&(eachByte<<7) != 0
}

// zeroBytes sets the high bit of the lowest byte of x that is zero. Bits above that may be set
// without need, and others than high bits have no meaning.
func zeroBytes(x uint64) uint64 { return (x - eachByte) &^ x }

func checkOddTopic(topic string) rule {
	if r := checkText(topic); r != 0 {
		return r
	}
	if strings.ContainsAny(topic, "+#") {
		return ruleTopicWildcard
	}
	return 0
}

// checkFilter returns the rule that a topic filter breaks, 0 if none.
func checkFilter(filter string) rule {
	if filter == "" {
		return ruleTopicEmpty
	}
	if len(filter) > maxField {
		return ruleTopicTooLong
	}
	if r := checkText(filter); r != 0 {
		return r
	}
	last := len(filter) - 1
	for i := range filter {
		starts := i == 0 || filter[i-1] == '/'
		switch c := filter[i]; {
		case c == '#' && (!starts || i != last):
			return ruleMultiLevel
		case c == '+' && (!starts || i != last && filter[i+1] != '/'):
			return ruleSingleLevel
		}
	}
	return 0
}

// checkShare returns the rule of MQTT 5 on shared subscriptions that a filter
// breaks, 0 if none or if it is not shared.
func checkShare(filter string) rule {
	name, rest, shared := SplitShare(filter)
	switch {
	case !shared:
		return 0
	case name == "":
		return ruleShareName
	case rest == "" || strings.ContainsAny(name, "+#"):
		return ruleShareFilter
	}
	return 0
}

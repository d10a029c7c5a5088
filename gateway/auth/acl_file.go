package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// access is what a line of an ACL file says about its topics. 0 is deny.
type access uint8

const (
	canRead access = 1 << iota
	canWrite
)

// accessWords are the words that may stand before a topic. Without one the topic may be read and written.
func accessWords(word string) (a access, ok bool) {
	switch word {
	case "read":
		return canRead, true
	case "write":
		return canWrite, true
	case "readwrite":
		return canRead | canWrite, true
	case "deny":
		return 0, true
	}
	return 0, false
}

// rule is one topic or pattern line.
type rule struct {
	filter string
	access access
}

// rules is what an ACL file says. In each list the denials come first, which is why they win.
type rules struct {
	users    map[string][]rule // "": lines before the first user line, for anonymous clients
	patterns []rule            // for everybody
	named    []userLine
}

// userLine is a line of an ACL file that names a user.
type userLine struct {
	user string
	line int // from 1
}

// parseACL parses all lines of an ACL file and returns an error for each wrong one.
func parseACL(name, data string) (*rules, []error) {
	p := aclParser{rules: rules{users: map[string][]rule{}}}
	var errs []error
	for i, text := range strings.Split(strings.TrimSuffix(data, "\n"), "\n") {
		if err := p.take(i+1, strings.TrimRightFunc(text, unicode.IsSpace)); err != nil {
			errs = append(errs, &LineError{name, i + 1, err.Error()})
		}
		if len(errs) == maxErrors {
			errs = append(errs, fmt.Errorf("%s: more wrong lines are not shown", name))
			break
		}
	}
	for user, list := range p.users {
		p.users[user] = denialsFirst(list)
	}
	p.patterns = denialsFirst(p.patterns)
	return &p.rules, errs
}

// denialsFirst keeps the order within denials and grants.
func denialsFirst(list []rule) []rule {
	slices.SortStableFunc(list, func(a, b rule) int { return min(int(a.access), 1) - min(int(b.access), 1) })
	return list
}

type aclParser struct {
	rules
	user string // whose lines follow
}

// take takes one line, without the space at its end. As in mosquitto words are parted by spaces, and only a # in the very first place makes a
// comment.
func (p *aclParser) take(number int, text string) error {
	if text == "" || text[0] == '#' {
		return nil
	}
	if err := checkText(text); err != nil {
		return err
	}
	word, rest, _ := strings.Cut(strings.TrimLeft(text, " "), " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "user":
		if rest == "" {
			return errors.New(`no name after "user"`)
		}
		p.user = rest
		p.named = append(p.named, userLine{rest, number})
		return nil
	case "topic", "pattern":
		r, err := parseRule(word, rest)
		if err != nil {
			return err
		}
		if word == "pattern" {
			p.patterns = append(p.patterns, r)
		} else {
			p.users[p.user] = append(p.users[p.user], r)
		}
		return nil
	}
	return fmt.Errorf(`%.40q is not "user", "topic" or "pattern", followed by a space%s`, word, commentHint(word))
}

func commentHint(word string) string {
	if strings.HasPrefix(word, "#") {
		return "; a comment has its # in the first column"
	}
	return ""
}

// checkText tells what no line may hold. A tab is told of by the word that it stands in.
func checkText(text string) error {
	switch {
	case !utf8.ValidString(text):
		return errors.New("the line is not valid UTF-8")
	case strings.ContainsFunc(text, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }):
		return errors.New("the line contains a control character")
	}
	return nil
}

// parseRule parses what follows "topic" or "pattern": a topic filter, which may hold spaces when a word of access comes first.
func parseRule(keyword, text string) (rule, error) {
	first, rest, more := strings.Cut(text, " ")
	a, known := accessWords(first)
	switch {
	case text == "":
		return rule{}, fmt.Errorf("no topic after %q", keyword)
	case known && !more:
		// mosquitto takes the word for the topic, and grants it. That is never what was meant.
		return rule{}, fmt.Errorf("no topic after %q", keyword+" "+first)
	case more && !known:
		return rule{}, fmt.Errorf(`access %.40q is not read, write, readwrite or deny; a topic that holds spaces needs one of them before it`, first)
	case !known:
		a, rest = canRead|canWrite, first
	}
	filter := strings.TrimSpace(rest)
	return rule{filter, a}, checkFilter(filter)
}

// checkFilter tells what is wrong with a topic filter (MQTT 3.1.1, 4.7).
func checkFilter(filter string) error {
	if len(filter) > 65535 { // MQTT counts its bytes in 16 bits
		return errors.New("the topic is longer than 65535 bytes")
	}
	for level, rest, more := "", filter, true; more; {
		level, rest, more = strings.Cut(rest, "/")
		switch {
		case level == "#" && more:
			return fmt.Errorf(`topic %.80q: "#" must be the last level`, filter)
		case level != "#" && level != "+" && strings.ContainsAny(level, "+#"):
			return fmt.Errorf(`topic %.80q: a wildcard must be a level of its own, and %.40q holds one and more`, filter, level)
		}
	}
	return nil
}

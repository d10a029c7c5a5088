package auth

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
)

// ACL says who may publish and receive what, by a file in mosquitto's format. The file is read once, and again by Reload. All methods may be
// called at the same time.
type ACL struct {
	path  string
	rules atomic.Pointer[rules]
}

// LoadACL reads the ACL file at path. An error names every wrong line.
func LoadACL(path string) (*ACL, error) {
	a := &ACL{path: path}
	if err := a.Reload(); err != nil {
		return nil, err
	}
	return a, nil
}

// Reload reads the file again. On an error the rules stay as they were.
func (a *ACL) Reload() error {
	data, err := readAll(a.path, "an ACL file")
	if err != nil {
		return fmt.Errorf("read ACL file: %w", err)
	}
	r, errs := parseACL(a.path, string(data))
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	a.rules.Store(r)
	return nil
}

// Unknown returns an error of type *[LineError] for each user whom the file names and who is not known, at the first line that does.
func (a *ACL) Unknown(known func(user string) bool) []error {
	var errs []error
	seen := map[string]bool{}
	for _, l := range a.rules.Load().named {
		if !seen[l.user] && !known(l.user) {
			errs = append(errs, &LineError{a.path, l.line, fmt.Sprintf("user %q is not known: nobody can log in by this name, and what follows is never asked", l.user)})
		}
		seen[l.user] = true
	}
	return errs
}

// Rights returns what a client may do as the rules stand now: a later Reload does not change it. user is "" for an anonymous client.
func (a *ACL) Rights(user, clientID string) *Rights {
	r := a.rules.Load()
	return &Rights{user: user, client: clientID, own: r.users[user], patterns: r.patterns}
}

// Rights is what one client may do. It asks the lines of the client's user first and then the patterns, as mosquitto does: in both the
// denials come first, and the first line that matches decides.
type Rights struct {
	user, client  string
	own, patterns []rule
}

// MayPublish tells whether the client may publish to a topic.
func (r *Rights) MayPublish(topic string) bool { return r.may(canWrite, topic) }

// MayReceive tells whether the client may be sent messages of a topic.
func (r *Rights) MayReceive(topic string) bool { return r.may(canRead, topic) }

func (r *Rights) may(want access, topic string) bool {
	for _, l := range r.own {
		if (l.access == 0 || l.access&want != 0) && matchFilter(l.filter, topic) {
			return l.access != 0
		}
	}
	if !r.fitsPatterns() {
		return false
	}
	for _, l := range r.patterns {
		if l.access != 0 && l.access&want == 0 {
			continue
		}
		if filter, ok := r.fill(l); ok && matchFilter(filter, topic) {
			return l.access != 0
		}
	}
	return false
}

// MaySubscribe tells whether there is a topic that the filter matches and that the client may receive. That it may not receive all of them is no
// reason to refuse the subscription: what it may not is not delivered.
func (r *Rights) MaySubscribe(filter string) bool {
	var denied []string
	for _, l := range r.own {
		if grantsSome(l, l.filter, filter, &denied) {
			return true
		}
	}
	if !r.fitsPatterns() {
		return false
	}
	for _, l := range r.patterns {
		if own, ok := r.fill(l); ok && grantsSome(l, own, filter, &denied) {
			return true
		}
	}
	return false
}

// grantsSome tells whether a line, whose filter is own, grants reading something below filter that is not denied as a whole. It adds to what is
// denied.
func grantsSome(l rule, own, filter string, denied *[]string) bool {
	switch {
	case l.access == 0:
		*denied = append(*denied, own)
		return false
	case l.access&canRead == 0:
		return false
	}
	common, ok := commonFilter(own, filter)
	if !ok {
		return false
	}
	for _, d := range *denied {
		if dollar(d) == dollar(common) && coversFilter(d, common) {
			return false
		}
	}
	return true
}

// fitsPatterns tells whether the patterns may be asked for the client at all. A wildcard in a name would reach into the topics of others, or
// out of a denial.
func (r *Rights) fitsPatterns() bool {
	return !strings.ContainsAny(r.user, "+#") && !strings.ContainsAny(r.client, "+#")
}

// fill puts the client's names into a pattern. ok is false when the pattern does not count for the client: it names a user and the client is
// anonymous, or it grants something and the name would reach beyond its place: into another level with a slash, or below $.
func (r *Rights) fill(l rule) (filter string, ok bool) {
	withUser, withClient := strings.Contains(l.filter, "%u"), strings.Contains(l.filter, "%c")
	switch {
	case !withUser && !withClient:
		return l.filter, true
	case withUser && r.user == "":
		return "", false
	case l.access != 0 && (withUser && strings.Contains(r.user, "/") || withClient && strings.Contains(r.client, "/")):
		return "", false
	}
	filter = strings.NewReplacer("%u", r.user, "%c", r.client).Replace(l.filter)
	return filter, l.access == 0 || dollar(filter) == dollar(l.filter)
}

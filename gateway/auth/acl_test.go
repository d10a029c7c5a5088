package auth

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// loadACL reads an ACL file that holds text.
func loadACL(t testing.TB, text string) *ACL {
	t.Helper()
	path := filepath.Join(t.TempDir(), "acl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := LoadACL(path)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestACLFile(t *testing.T) {
	a := loadACL(t, plantACL)
	for _, q := range plantQuestions() {
		r := a.Rights(q.user, q.client)
		if got := r.MayPublish(q.topic); got != q.publish {
			t.Errorf("%s publishes to %s: %v, want %v", q.who(), q.topic, got, q.publish)
		}
		if got := r.MayReceive(q.topic); got != q.receive {
			t.Errorf("%s receives %s: %v, want %v", q.who(), q.topic, got, q.receive)
		}
		if got := r.MaySubscribe(q.topic); got != q.receive {
			t.Errorf("%s subscribes to %s: %v, want %v as the filter is a topic", q.who(), q.topic, got, q.receive)
		}
	}
}

// A name must not reach further than its place in a pattern.
func TestNamesDoNotWidenPatterns(t *testing.T) {
	a := loadACL(t, "pattern readwrite own/%u/#\npattern readwrite dev/%c/state\npattern read %u/info\npattern deny own/%u/secret\n"+
		"user +\ntopic read for/plus\n")
	for _, q := range []struct {
		user, client, topic string
		want                bool
	}{
		{"bob", "c1", "own/bob/x", true},
		{"bob", "c1", "dev/c1/state", true},
		{"bob", "c1", "bob/info", true},
		{"bob", "c1", "own/bob/secret", false},
		{"+", "c1", "own/bob/x", false},
		{"+", "c1", "own/+/x", false},
		{"+", "c1", "dev/c1/state", false}, // as in mosquitto no pattern counts
		{"+", "c1", "for/plus", true},      // its own lines do
		{"#", "c1", "own/bob/x", false},
		{"bob", "+", "dev/c1/state", false},
		{"bob", "#", "own/bob/x", false},
		{"bob/sub", "c1", "own/bob/sub/x", false},
		{"bob", "c1/state", "dev/c1/state", false},
		{"a/b", "c1", "a/b/info", false},
		{"a/b", "c1", "dev/c1/state", true}, // this one does not name the user
		{"$SYS", "c1", "$SYS/info", false},
		{"", "c1", "own//x", false},
		{"", "c1", "dev/c1/state", true},
		{"%c", "c1", "own/c1/x", false}, // what a name holds is not filled in again
		{"%c", "c1", "own/%c/x", true},
	} {
		if got := a.Rights(q.user, q.client).MayReceive(q.topic); got != q.want {
			t.Errorf("user %q, client %q, topic %q: %v, want %v", q.user, q.client, q.topic, got, q.want)
		}
	}
}

// A denial counts for a name with a slash too: leaving it out would grant more.
func TestDenialHoldsForNamesWithSlashes(t *testing.T) {
	a := loadACL(t, "pattern deny x/%c/y\npattern read x/#\n")
	if a.Rights("u", "a/b").MayReceive("x/a/b/y") {
		t.Error("the denial is not asked")
	}
	if !a.Rights("u", "a/b").MayReceive("x/a/b/z") {
		t.Error("what is granted to everybody is not")
	}
}

func TestMaySubscribe(t *testing.T) {
	a := loadACL(t, "user u\ntopic read a/+/c\ntopic read b/#\ntopic deny b/secret/#\ntopic write w/#\ntopic read $SYS/broker/#\ntopic read d/x\ntopic deny d/+\n"+
		"pattern read p/%u/%c\npattern deny b/#\n")
	r := a.Rights("u", "c")
	for filter, want := range map[string]bool{
		"#": true, "+/+/+": true, "a/#": true, "a/b/c": true, "+": true, "b": true, "b/+": true, "b/x/y": true,
		"b/secret": false, "b/secret/#": false, "b/secret/x/+": false, "b/+/x": true,
		"w/#": false, "w": false, "a": false, "a/+": false, "a/+/d": false, "+/+/+/+": true,
		"$SYS/#": true, "$SYS/broker": true, "$SYS/broker/uptime": true, "$SYS/other": false, "$other/#": false, "+/broker/#": true,
		"d/#": false, "d/x": false, "p/#": true, "p/u/c": true, "p/u/d": false, "p/+/c": true, "p/v/#": false,
	} {
		if got := r.MaySubscribe(filter); got != want {
			t.Errorf("%s: %v, want %v", filter, got, want)
		}
	}
	if loadACL(t, "topic read $SYS/#\n").Rights("", "c").MaySubscribe("#") {
		t.Error("# counts as a filter for $SYS")
	}
	if loadACL(t, "").Rights("u", "c").MaySubscribe("#") {
		t.Error("an empty file grants something")
	}
}

func TestACLNamesEveryWrongLine(t *testing.T) {
	lines := []struct{ text, reason string }{
		{"# a comment", ""},
		{"", ""},
		{" # not a comment", `"#" is not "user", "topic" or "pattern", followed by a space; a comment has its # in the first column`},
		{"topic read a b c \r", ""},
		{"user", `no name after "user"`},
		{"user bob marley", ""},
		{"topic", `no topic after "topic"`},
		{"pattern ", `no topic after "pattern"`},
		{"topic deny", `no topic after "topic deny"`},
		{"topic Read a", `access "Read" is not read, write, readwrite or deny; a topic that holds spaces needs one of them before it`},
		{"topic a b", `access "a" is not read, write, readwrite or deny; a topic that holds spaces needs one of them before it`},
		{"topic\tread a", `"topic\tread" is not "user", "topic" or "pattern", followed by a space`},
		{"topics a", `"topics" is not "user", "topic" or "pattern", followed by a space`},
		{"topic a/#/b", `topic "a/#/b": "#" must be the last level`},
		{"pattern write x%u/a+", `topic "x%u/a+": a wildcard must be a level of its own, and "a+" holds one and more`},
		{"topic a\x00", "the line contains a control character"},
		{"topic a\xff", "the line is not valid UTF-8"},
		{"  pattern   deny   %u/+/#", ""},
	}
	var text, want []string
	path := filepath.Join(t.TempDir(), "acl")
	for i, l := range lines {
		text = append(text, l.text)
		if l.reason != "" {
			want = append(want, fmt.Sprintf("%s:%d: %s", path, i+1, l.reason))
		}
	}
	if err := os.WriteFile(path, []byte(strings.Join(text, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := LoadACL(path)
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("got:\n%v\nwant:\n%s", err, strings.Join(want, "\n"))
	}
	var le *LineError
	if !errors.As(err, &le) || le.Line != 3 {
		t.Errorf("got %+v", le)
	}
	if _, err := LoadACL(path + "-missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	err = os.WriteFile(path, []byte(strings.Repeat("[gateway]\n", 1000)), 0o600)
	if _, got := LoadACL(path); err != nil || got == nil || strings.Count(got.Error(), "\n") != maxErrors {
		t.Errorf("a file of another kind: %v, %v", err, got)
	}
}

func TestACLReload(t *testing.T) {
	a := loadACL(t, "user u\ntopic a\n")
	before := a.Rights("u", "c")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(a.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("broken")
	if err := a.Reload(); err == nil || !a.Rights("u", "c").MayPublish("a") {
		t.Errorf("a broken file (%v) took the rights away", err)
	}
	write("user u\ntopic b\n")
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	if r := a.Rights("u", "c"); r.MayPublish("a") || !r.MayPublish("b") {
		t.Error("the old rules are still in force")
	}
	if !before.MayPublish("a") {
		t.Error("rights that were handed out have changed")
	}
}

// FuzzACL: whatever a file holds and whoever asks, nothing panics, nobody gets what no line grants, and subscribing is refused only where nothing
// could be received.
func FuzzACL(f *testing.F) {
	f.Add(plantACL, "bob", "c1", "plant/a", "plant/#")
	f.Add("pattern %u/%c/#\npattern deny +/+/x", "a", "b", "a/b/x", "+/+/+")
	f.Add("topic a/+\ntopic deny #\nuser x\ntopic read $SYS/#", "x", "", "$SYS/a", "#")
	f.Fuzz(func(t *testing.T, data, user, client, topic, filter string) {
		r, errs := parseACL("acl", data)
		if len(errs) > 0 {
			return
		}
		a := &ACL{}
		a.rules.Store(r)
		rights := a.Rights(user, client)
		if strings.ContainsAny(topic, "+#") || checkFilter(filter) != nil {
			return
		}
		publish, receive, subscribe := rights.MayPublish(topic), rights.MayReceive(topic), rights.MaySubscribe(filter)
		if receive && matchFilter(filter, topic) && !subscribe {
			t.Errorf("%q may be received, but %q is refused", topic, filter)
		}
		if (publish || receive) && !strings.Contains(data, "topic") && !strings.Contains(data, "pattern") {
			t.Errorf("%q is granted by nothing", topic)
		}
	})
}

package main

import (
	"encoding/json"
	"regexp"
	"strings"
)

// event is one line of go test -json: a test2json event, or a build event, which has ImportPath in place of Package.
type event struct {
	Action      string
	Package     string
	ImportPath  string
	Test        string
	Output      string
	FailedBuild string
	Elapsed     float64 // seconds
}

func parseEvent(line []byte) (event, bool) {
	var e event
	err := json.Unmarshal(line, &e)
	return e, err == nil && e.Action != ""
}

// status is how a test or a package ended.
type status string

const (
	unfinished status = ""
	passed     status = "pass"
	failed     status = "fail"
	skipped    status = "skip"
)

// test is one test, subtest, example or fuzz target.
type test struct {
	name      string
	status    status
	output    strings.Builder
	isParent  bool // has subtests, which count in its place
	childFail bool // a subtest failed, which is why this one failed too
}

// counts tells whether t stands for itself in the totals. A test with subtests passes or fails through them, unless it
// failed on its own.
func (t *test) counts() bool {
	switch {
	case !t.isParent:
		return true
	case t.status == failed:
		return !t.childFail
	default:
		return t.status == skipped || t.status == unfinished
	}
}

// skipReason matches the place in front of a message of the testing package: "    file_test.go:12: message".
var skipReason = regexp.MustCompile(`^\s*[^\s:]+\.go:\d+: ?(.*)$`)

// reason returns why t was skipped: the last message it logged, which is that of Skip.
func (t *test) reason() string {
	var words []string
	for line := range strings.Lines(t.output.String()) {
		line = strings.TrimRight(line, "\n")
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "=== ") || strings.HasPrefix(trimmed, "--- ") {
			continue
		}
		if m := skipReason.FindStringSubmatch(line); m != nil {
			words = strings.Fields(m[1])
			continue
		}
		words = append(words, strings.Fields(line)...)
	}
	if len(words) == 0 {
		return "no reason given"
	}
	return strings.Join(words, " ")
}

// testPackage is what happened in one package.
type testPackage struct {
	path    string
	status  status
	tests   map[string]*test
	order   []*test // as they started
	output  strings.Builder
	build   string // why it did not build
	elapsed float64

	passed, failed, skipped int
}

func (p *testPackage) test(name string) *test {
	if t := p.tests[name]; t != nil {
		return t
	}
	t := &test{name: name}
	p.tests[name] = t
	p.order = append(p.order, t)
	if parent := p.parent(t); parent != nil {
		parent.isParent = true
	}
	return t
}

// parent returns the test that t is a subtest of. The name of a subtest may itself contain slashes, so the longest known
// prefix is taken.
func (p *testPackage) parent(t *test) *test {
	for name := t.name; ; {
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return nil
		}
		name = name[:i]
		if parent := p.tests[name]; parent != nil {
			return parent
		}
	}
}

// skip is one skipped test, for the list at the end.
type skip struct {
	pkg, test, reason string
	missing           bool // a program is not installed
}

// testRun gathers the events of one go test.
type testRun struct {
	peersRequired bool
	packages      map[string]*testPackage
	builds        map[string]*strings.Builder // output of the builder, by import path

	passed, failed, skipped int
	failures                []string // "package  test"
	skips                   []skip
}

func newRun(peersRequired bool) *testRun {
	return &testRun{
		peersRequired: peersRequired,
		packages:      map[string]*testPackage{},
		builds:        map[string]*strings.Builder{},
	}
}

// add takes in one event. It returns the package that ended with it, or nil.
func (r *testRun) add(e event) *testPackage {
	if e.Action == "build-output" {
		r.build(e.ImportPath).WriteString(e.Output)
	}
	if e.Package == "" {
		return nil
	}
	p := r.pkg(e.Package)
	if e.Test != "" {
		p.addTest(e)
		return nil
	}
	switch e.Action {
	case "output":
		p.output.WriteString(e.Output)
	case "pass", "fail", "skip":
		p.status, p.elapsed = status(e.Action), e.Elapsed
		if e.FailedBuild != "" {
			p.build = r.build(e.FailedBuild).String()
		}
		r.close(p)
		return p
	}
	return nil
}

func (p *testPackage) addTest(e event) {
	t := p.test(e.Test)
	switch e.Action {
	case "output":
		t.output.WriteString(e.Output)
	case "pass":
		t.status = passed
		t.output.Reset() // nobody will ask for it
	case "skip":
		t.status = skipped
	case "fail":
		t.status = failed
		if parent := p.parent(t); parent != nil {
			parent.childFail = true
		}
	}
}

func (r *testRun) pkg(path string) *testPackage {
	p := r.packages[path]
	if p == nil {
		p = &testPackage{path: path, tests: map[string]*test{}}
		r.packages[path] = p
	}
	return p
}

func (r *testRun) build(path string) *strings.Builder {
	b := r.builds[path]
	if b == nil {
		b = &strings.Builder{}
		r.builds[path] = b
	}
	return b
}

// close counts the tests of p, which has ended.
func (r *testRun) close(p *testPackage) {
	for _, t := range p.order {
		if !t.counts() {
			continue
		}
		switch t.status {
		case passed:
			p.passed++
		case skipped:
			r.closeSkip(p, t)
		case failed:
			p.failed++
			r.failures = append(r.failures, shortPath(p.path)+"  "+t.name)
		case unfinished:
			p.failed++
			r.failures = append(r.failures, shortPath(p.path)+"  "+t.name+" did not finish")
		}
	}
	if p.status == failed && p.failed == 0 { // it did not build, or ended outside of any test
		p.failed++
		r.failures = append(r.failures, shortPath(p.path))
	}
	r.passed, r.failed, r.skipped = r.passed+p.passed, r.failed+p.failed, r.skipped+p.skipped
}

func (r *testRun) closeSkip(p *testPackage, t *test) {
	s := skip{pkg: shortPath(p.path), test: t.name, reason: t.reason()}
	s.missing = isMissing(s.reason)
	if s.missing && r.peersRequired {
		p.failed++
		r.failures = append(r.failures, s.pkg+"  "+s.test+" needs a peer: "+s.reason)
		return
	}
	p.skipped++
	r.skips = append(r.skips, s)
}

// end is called when go test has ended. A package that never did, or an error that no package accounts for (a pattern that
// matches nothing, a go.mod that does not parse), must not pass for success.
func (r *testRun) end(exit error) {
	for _, path := range sortedKeys(r.packages) {
		if p := r.packages[path]; p.status == unfinished {
			p.status = failed
			r.close(p)
		}
	}
	if exit != nil && r.failed == 0 {
		r.failed++
		r.failures = append(r.failures, "go test: "+exit.Error())
	}
}

// isMissing tells whether a reason to skip is that a peer is not there: it says so, or it names the Debian package that brings it, or it is
// what os/exec says.
func isMissing(reason string) bool {
	for _, sign := range []string{"not installed", "Debian", "executable file not found"} {
		if strings.Contains(reason, sign) {
			return true
		}
	}
	return false
}

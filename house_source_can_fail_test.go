package tidegate_test

import (
	"go/token"
	"strings"
	"testing"
)

// TestSourceRulesCanFail feeds each rule of the house source that breaks it and source that does not.
func TestSourceRulesCanFail(t *testing.T) {
	one := func(f func(source) []string) func([]source) []string {
		return func(files []source) []string { return f(files[0]) }
	}
	tests := []struct {
		name string
		rule func([]source) []string
		path string
		text string
		want []string // a part of each finding
	}{
		{"init", one(initFuncs), "a.go", "package a\nfunc init() {}", []string{"a.go:2:1: func init"}},
		{"init of a type", one(initFuncs), "a.go", "package a\ntype T int\nfunc (T) init() {}", nil},
		{"init in a test", one(initFuncs), "a_test.go", "package a\nfunc init() {}", nil},

		{"sleep", one(sleeps), "a_test.go", "package a\nimport \"time\"\nfunc f() { time.Sleep(1) }", []string{"a_test.go:3:12: time.Sleep"}},
		{"sleep renamed", one(sleeps), "a.go", "package a\nimport clock \"time\"\nvar f = clock.Sleep", []string{"time.Sleep"}},
		{"sleep of another", one(sleeps), "a.go", "package a\nfunc f(time bed) { time.Sleep() }", nil},

		{"skip", one(silentSkips), "a_test.go", "package a\nfunc f(t *testing.T) { t.Skip() }", []string{"Skip without a reason"}},
		{"skip now", one(silentSkips), "a_test.go", "package a\nfunc f(t *testing.T) { t.SkipNow() }", []string{"SkipNow without a reason"}},
		{"skip with reason", one(silentSkips), "a_test.go", "package a\nfunc f(t *testing.T) { t.Skip(`no fuse`) }", nil},

		{"func", one(undocumented), "a.go", "package a\nfunc Open() {}", []string{"Open is exported"}},
		{"method", one(undocumented), "a.go", "package a\nfunc (s *Store[K]) Open() {}", []string{"Open is exported"}},
		{"method of nobody", one(undocumented), "a.go", "package a\nfunc (s *store) Open() {}", nil},
		{"method that says it all", one(undocumented), "a.go", "package a\nfunc (s Store) String() {}", nil},
		{"type", one(undocumented), "a.go", "package a\ntype Store struct{}", []string{"Store is exported"}},
		{"type in a group", one(undocumented), "a.go", "package a\n// Both.\ntype (\nStore int\n)", []string{"Store is exported"}},
		{"constants", one(undocumented), "a.go", "package a\nconst A, b, C = 1, 2, 3", []string{"A is", "C is"}},
		{"constants in a group", one(undocumented), "a.go", "package a\n// States.\nconst (\nA = 1\nB = 2\n)", nil},
		{"documented", one(undocumented), "a.go", "package a\n// Open opens.\nfunc Open() {}\nvar X int // is X", nil},

		{"long", one(tooLong), "a.go", "package a" + strings.Repeat("\n", maxLines+1), []string{"601 lines"}},
		{"not long", one(tooLong), "a.go", "package a" + strings.Repeat("\n", maxLines), nil},

		{"package", packageDoc, "a/a.go", "package a", []string{"a: package a has no comment"}},
		{"package documented", packageDoc, "a/a.go", "// Package a is.\npackage a", nil},

		{"map", packageState, "a.go", "package a\nvar m = map[int]int{}", []string{"m is a variable of the package that holds a map"}},
		{"made", packageState, "a.go", "package a\nvar m = make(map[int]int)", []string{"a map"}},
		{"declared", packageState, "a.go", "package a\nvar m map[int]int", []string{"a map"}},
		{"pointer", packageState, "a.go", "package a\nimport \"sync\"\nvar mu = &sync.Mutex{}", []string{"a sync.Mutex"}},
		{"mutex", packageState, "a.go", "package a\nimport \"sync\"\nvar mu sync.Mutex", []string{"a sync.Mutex"}},
		{"pool", packageState, "a.go", "package a\nimport \"sync\"\nvar p = &sync.Pool{}", nil},
		{"atomic", packageState, "a.go", "package a\nimport \"sync/atomic\"\nvar n atomic.Pointer[int]", []string{"a atomic.Pointer"}},
		{"channel", packageState, "a.go", "package a\nvar c = make(chan int)", []string{"a channel"}},
		{"counter", packageState, "a.go", "package a\nvar n int\nfunc f() { n++ }", []string{"a.go:3:12: n is a variable of the package and is written to"}},
		{"table written to", packageState, "a.go", "package a\nvar m = map[int]int{1: 2}\nfunc f() { m[2] = 3; delete(m, 1) }", []string{"m is", "m is"}},
		{"field", packageState, "a.go", "package a\nvar x struct{ y []int }\nfunc f() { x.y[0] = 1 }", []string{"x is"}},
		{"table", packageState, "a.go", "package a\nvar m = map[int]int{1: 2}\nfunc f() int { return m[1] }", nil},
		{"error", packageState, "a.go", "package a\nimport \"errors\"\nvar ErrFull = errors.New(`full`)", nil},
		{"shadowed", packageState, "a.go", "package a\nvar n int\nfunc f(n int) { n++; var e int; e = n; _ = e }", nil},
		{"assertion", packageState, "a.go", "package a\nvar _ I = (*T)(nil)", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parseSource(token.NewFileSet(), tt.path, tt.text)
			if err != nil {
				t.Fatal(err)
			}
			wantFindings(t, tt.rule([]source{s}), tt.want)
		})
	}
}

func TestWordsCanFail(t *testing.T) {
	mark, home := "TO"+"DO", "/ro"+"ot/"
	wantFindings(t, unwantedWords("a.md", "fine\n"+mark+": later"), []string{"a.md:2: "})
	wantFindings(t, unwantedWords("a.md", "see "+home+"x"), []string{"a.md:1: "})
	wantFindings(t, unwantedWords("a.md", "metho"+"dTODOs and net"+home), nil)
}

// wantFindings fails t unless got has as many findings as want, each holding its text.
func wantFindings(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range got {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("got %q, want it to hold %q", got[i], want[i])
		}
	}
}

package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// module is the prefix that every package of ours has and that nobody wants to read a hundred times.
const module = "github.com/tidegate/tidegate"

func shortPath(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

// writePackage writes what failed in p, in full, and then its one line.
func writePackage(w io.Writer, p *testPackage) {
	if p.status == failed {
		writeFailures(w, p)
	}
	fmt.Fprintf(w, "%-5s %-28s %s\n", p.verdict(), shortPath(p.path), p.counted())
}

// verdict is the word in front of a package's line.
func (p *testPackage) verdict() string {
	switch {
	case p.failed > 0 || p.status == failed:
		return "FAIL"
	case len(p.order) == 0:
		return "-"
	default:
		return "ok"
	}
}

func (p *testPackage) counted() string {
	if len(p.order) == 0 && p.failed == 0 {
		return "no tests"
	}
	words := []string{fmt.Sprintf("%d passed", p.passed)}
	if p.failed > 0 {
		words = append(words, fmt.Sprintf("%d failed", p.failed))
	}
	if p.skipped > 0 {
		words = append(words, fmt.Sprintf("%d skipped", p.skipped))
	}
	return fmt.Sprintf("%-32s %6.2fs", strings.Join(words, ", "), p.elapsed)
}

// writeFailures writes the output of each test that failed or did not finish. The output of the package itself follows where no
// test explains the failure: it did not build, its TestMain exited, a race was found on the way out.
func writeFailures(w io.Writer, p *testPackage) {
	explained := false
	for _, t := range p.order {
		if t.status == passed || t.status == skipped {
			continue
		}
		explained = true
		writeBlock(w, t.output.String())
	}
	writeBlock(w, p.build)
	if !explained {
		writeBlock(w, p.output.String())
	}
}

func writeBlock(w io.Writer, text string) {
	for line := range strings.Lines(text) {
		if isFraming(line) {
			continue
		}
		_, _ = io.WriteString(w, strings.TrimRight(line, "\n")+"\n")
	}
}

// isFraming tells whether line only says that a test started, paused or went on.
func isFraming(line string) bool {
	for _, prefix := range []string{"=== RUN ", "=== PAUSE ", "=== CONT ", "=== NAME "} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

// writeSummary writes which tests failed, which were skipped and why, and the closing line.
func writeSummary(w io.Writer, r *testRun) {
	if len(r.failures) > 0 {
		fmt.Fprint(w, "\nFailed:\n")
		for _, f := range r.failures {
			fmt.Fprintf(w, "  %s\n", f)
		}
	}
	writeSkips(w, r.skips, true, "Skipped, because a program is not installed:")
	writeSkips(w, r.skips, false, "Skipped, for other reasons:")
	if r.passed+r.failed+r.skipped == 0 {
		fmt.Fprint(w, "\nNo test ran.\n")
	}
	fmt.Fprintf(w, "\n%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
}

// writeSkips writes those skips whose missing is as given, under their reasons, the most frequent first.
func writeSkips(w io.Writer, skips []skip, missing bool, title string) {
	byReason := map[string][]skip{}
	for _, s := range skips {
		if s.missing == missing {
			byReason[s.reason] = append(byReason[s.reason], s)
		}
	}
	if len(byReason) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	reasons := sortedKeys(byReason)
	slices.SortStableFunc(reasons, func(a, b string) int { return cmp.Compare(len(byReason[b]), len(byReason[a])) })
	for _, reason := range reasons {
		fmt.Fprintf(w, "  %s\n", reason)
		for _, s := range byReason[reason] {
			fmt.Fprintf(w, "      %s  %s\n", s.pkg, s.test)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

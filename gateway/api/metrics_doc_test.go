package api_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of metrics in docs/operation.md")

// TestMetricsDoc compares the table in docs/operation.md with what /metrics says of itself.
func TestMetricsDoc(t *testing.T) {
	const (
		page  = "../../docs/operation.md"
		begin = "<!-- metrics: written by TestMetricsDoc -update -->\n"
		end   = "<!-- end of metrics -->\n"
	)
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	have, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no table of metrics", page)
	}
	want := metricsTable(t)
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if have != want {
		t.Errorf("%s does not say what /metrics does; run the test with -update. It should be:\n%s", page, want)
	}
}

// metricsTable has a row for each metric: its name, labels and help.
func metricsTable(t *testing.T) string {
	_, body := get(t, "/metrics")
	help := regexp.MustCompile(`(?m)^# HELP (tidegate_\w+) (.*)$`).FindAllStringSubmatch(body, -1)
	if len(help) < 60 {
		t.Fatalf("/metrics describes %d metrics, want at least 60", len(help))
	}
	rows := make([]string, 0, len(help))
	for _, m := range help {
		name := "`" + m[1]
		if sample := regexp.MustCompile(`(?m)^` + m[1] + `\{(.*)\} `).FindStringSubmatch(body); sample != nil {
			labels := regexp.MustCompile(`(\w+)="[^"]*"`).ReplaceAllString(sample[1], "$1")
			name += "{" + labels + "}"
		}
		rows = append(rows, fmt.Sprintf("| %s` | %s |\n", name, strings.ReplaceAll(m[2], "|", `\|`)))
	}
	slices.Sort(rows)
	return "| metric | |\n|---|---|\n" + strings.Join(rows, "")
}

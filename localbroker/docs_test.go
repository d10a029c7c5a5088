package localbroker_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What docs/broker.md names as tests is there.
func TestBrokerDocNamesTests(t *testing.T) {
	doc, err := os.ReadFile("../docs/broker.md")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, pattern := range []string{"*_test.go", "../gateway/websocket/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(b)
		}
	}
	rows := 0
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !regexp.MustCompile(`^ \d+ $`).MatchString(cells[1]) {
			continue
		}
		rows++
		names := regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(cells[3], -1)
		if len(names) == 0 && !strings.Contains(cells[3], "the same") {
			t.Errorf("no test is named for mistake%s", cells[1])
		}
		for _, n := range names {
			if !strings.Contains(code.String(), "func "+n[1]+"(") && !strings.Contains(code.String(), `{"`+n[1]+`"`) {
				t.Errorf("mistake%s: there is no test %s", cells[1], n[1])
			}
		}
	}
	if rows != 17 {
		t.Errorf("%d mistakes are listed, want 17", rows)
	}
}

package config

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tidegate/tidegate/configs"
)

// FuzzParse holds for any input: no panic; what is not accepted has errors with places inside the file, in order, on
// printable lines; and where the TOML library accepts the file, the scanner finds the same keys.
func FuzzParse(f *testing.F) {
	for _, data := range goldenInputs(f) {
		f.Add([]byte(data))
	}
	for _, data := range [][]byte{configs.Reference, configs.Demo, configs.Cloud, configs.First, []byte(awkward)} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse("fuzz.toml", data, testEnv("testdata"))
		text := strings.TrimPrefix(string(data), "\xef\xbb\xbf")
		if err == nil {
			checkDiagnostics(t, text, cfg.Warnings)
		} else {
			var errs Errors
			if !errors.As(err, &errs) || len(errs) == 0 {
				t.Fatalf("error without a diagnostic: %v", err)
			}
			checkDiagnostics(t, text, errs)
		}
		if !strings.HasPrefix(text, "\xff\xfe") && !strings.HasPrefix(text, "\xfe\xff") { // UTF-16 is refused before the scanner sees it
			checkScan(t, text)
		}
	})
}

func checkDiagnostics(t *testing.T, text string, list []Diagnostic) {
	t.Helper()
	lines := strings.Split(text, "\n")
	before := Diagnostic{}
	for _, d := range list {
		if d.Line < 1 || d.Line > len(lines) {
			t.Fatalf("line %d of %d: %v", d.Line, len(lines), d)
		}
		if width := utf8.RuneCountInString(lines[d.Line-1]); d.Column < 1 || d.Column > width+1 {
			t.Fatalf("column %d in a line of %d: %v", d.Column, width, d)
		}
		if d.Line < before.Line || d.Line == before.Line && d.Column < before.Column {
			t.Fatalf("out of order: %v before %v", before, d)
		}
		if d.Message == "" || d.Hint == "" {
			t.Fatalf("says nothing: %+v", d)
		}
		if shown := d.Render(); strings.Count(shown, "\n") != 4 || printable(shown) != strings.ReplaceAll(shown, "\n", "?") {
			t.Fatalf("unprintable: %q", shown)
		}
		before = d
	}
}

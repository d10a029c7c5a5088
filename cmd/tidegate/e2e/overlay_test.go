package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// overlay is a gateway built from sources some of which are others, by absolute path.
type overlay struct {
	t       *testing.T
	dir     string
	replace map[string]string
}

func newOverlay(t *testing.T) *overlay {
	return &overlay{t: t, dir: t.TempDir(), replace: map[string]string{}}
}

// file puts the file at with in place of the one at path, which need not exist.
func (o *overlay) file(path, with string) {
	o.t.Helper()
	var err error
	if path, err = filepath.Abs(path); err == nil {
		o.replace[path], err = filepath.Abs(with)
	}
	if err != nil {
		o.t.Fatal(err)
	}
}

// word replaces a text that stands once in the file at path.
func (o *overlay) word(path, is, becomes string) {
	o.t.Helper()
	text := read(o.t, path)
	if n := strings.Count(text, is); n != 1 {
		o.t.Fatalf("%s says %d times %q, want once", path, n, is)
	}
	changed := filepath.Join(o.dir, filepath.Base(path))
	write(o.t, changed, strings.Replace(text, is, becomes, 1))
	o.file(path, changed)
}

// build returns the path of the gateway.
func (o *overlay) build() string {
	o.t.Helper()
	list, err := json.Marshal(map[string]map[string]string{"Replace": o.replace})
	if err != nil {
		o.t.Fatal(err)
	}
	write(o.t, filepath.Join(o.dir, "overlay.json"), string(list))
	out := filepath.Join(o.dir, "tidegate")
	build := exec.CommandContext(o.t.Context(), "go", "build", "-overlay", filepath.Join(o.dir, "overlay.json"), "-o", out, "github.com/tidegate/tidegate/cmd/tidegate")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		o.t.Fatalf("build with other sources: %v: %s", err, text)
	}
	return out
}

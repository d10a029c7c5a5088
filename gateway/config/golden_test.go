package config

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write want.txt from what the code says")

// testEnv is a machine with a few environment variables, the files of dir, and no links.
func testEnv(dir string) Env {
	vars := map[string]string{
		"CLOUD_PASSWORD": "correct horse", "PROXY_PASSWORD": "battery staple", "DEVICE_KEY": "c2VjcmV0IGtleSBvZiBhIGRldmljZQ==", "EMPTY": "",
	}
	return Env{
		Dir:       dir,
		LookupEnv: func(name string) (string, bool) { v, ok := vars[name]; return v, ok },
		ReadFile: func(name string) ([]byte, fs.FileMode, error) {
			data, _, err := readFile(name)
			return data, 0o600, err // what git checks out has no meaning here
		},
	}
}

// TestMistakes reads every directory of testdata/mistakes: config.toml has the mistake that the directory is named
// after, want.txt is the whole message that a person sees.
func TestMistakes(t *testing.T) {
	golden(t, "testdata/mistakes", 40, func(t *testing.T, cfg *Config, err error) string {
		if err == nil {
			t.Fatalf("the configuration was accepted")
		}
		return err.Error() + "\n"
	})
}

// TestWarnings does the same with what is accepted and probably not meant.
func TestWarnings(t *testing.T) {
	golden(t, "testdata/warnings", 8, func(t *testing.T, cfg *Config, err error) string {
		if err != nil {
			t.Fatalf("the configuration was refused:\n%v", err)
		}
		if len(cfg.Warnings) == 0 {
			t.Fatal("no warning")
		}
		var b strings.Builder
		for _, w := range cfg.Warnings {
			b.WriteString(w.Render())
		}
		return b.String()
	})
}

func golden(t *testing.T, root string, atLeast int, message func(*testing.T, *Config, error) string) {
	dirs, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) < atLeast {
		t.Errorf("%s has %d cases, want at least %d", root, len(dirs), atLeast)
	}
	for _, entry := range dirs {
		t.Run(entry.Name(), func(t *testing.T) {
			dir := filepath.Join(root, entry.Name())
			data, err := os.ReadFile(filepath.Join(dir, "config.toml"))
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := Parse("config.toml", data, testEnv(dir))
			got := message(t, cfg, err)
			compareFile(t, filepath.Join(dir, "want.txt"), got)
		})
	}
}

func compareFile(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("message differs (-want +got); run with -update to accept:\n%s", diff)
	}
}

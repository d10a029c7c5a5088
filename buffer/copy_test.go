package buffer

import (
	"os"
	"path/filepath"
	"testing"
)

// copyFiles copies a database with its log as they are at this moment, and returns the copy's path. No checkpoint may run meanwhile: the
// log must be shorter than one is made for.
func copyFiles(t testing.TB, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy.db")
	for _, suffix := range []string{"-wal", ""} {
		b, err := os.ReadFile(path + suffix)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

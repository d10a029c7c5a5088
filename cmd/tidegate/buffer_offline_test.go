package main

import (
	"path/filepath"
	"testing"

	"github.com/tidegate/tidegate/buffer"
)

// TestOfflineStoreHasRoom: where max_size is not known, a file that is larger than the usual bound must not lose its oldest records to a
// verb that adds one.
func TestOfflineStoreHasRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), bufferFile)
	s, err := buffer.Open(t.Context(), buffer.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := openStore(t.Context(), place{path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	stats, err := b.Overview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if most := stats.MaxBytes; most <= 1<<30 && stats.DiskFree > 1<<31 {
		t.Errorf("the file may grow to %d bytes", most)
	}
}

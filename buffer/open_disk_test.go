package buffer

import (
	"os"
	"path/filepath"
	"testing"
)

// A full disk is told as one, whatever SQLite calls it: its shared memory file is what it makes first. The file is not taken for damaged,
// and is good again when there is room.
func TestOpenOnAFullDiskSaysSo(t *testing.T) {
	folder := mountSmall(t, 4<<20)
	path := filepath.Join(folder, "buffer.db")
	r := running(t, Options{Path: path})
	r.close()
	ballast := filepath.Join(folder, "ballast")
	occupy(t, ballast)
	refusedAs(t, path, nil, "no room on the disk of "+folder, "delete something")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	running(t, Options{Path: path})
}

func TestOpenOnAFullDiskWithoutAFileSaysSo(t *testing.T) {
	folder := mountSmall(t, 4<<20)
	occupy(t, filepath.Join(folder, "ballast"))
	refusedAs(t, filepath.Join(folder, "buffer.db"), nil, "no room on the disk of "+folder, "delete something")
}

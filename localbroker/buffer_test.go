package localbroker_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/tidegate/tidegate/buffer"
	"github.com/tidegate/tidegate/localbroker"
)

var _ localbroker.Store = (*buffer.Store)(nil)

// TestOverBuffer is the suite over the store that the gateway has: real files, real commits.
func TestOverBuffer(t *testing.T) {
	for _, c := range suite {
		t.Run(c.name, func(t *testing.T) { c.run(t, &bufferHost{}) })
	}
}

// bufferHost is the host of a buffer in a folder of the test.
type bufferHost struct {
	path  string
	store *buffer.Store
	stop  context.CancelFunc
	end   chan error
}

func (h *bufferHost) open(t testing.TB) localbroker.Store {
	t.Helper()
	if h.path == "" {
		h.path = filepath.Join(t.TempDir(), "buffer.db")
	}
	store, err := buffer.Open(context.Background(), buffer.Options{Path: h.path})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- store.Run(ctx) }()
	h.store, h.stop, h.end = store, cancel, end
	return store
}

func (h *bufferHost) close(t testing.TB) {
	t.Helper()
	h.stop()
	if err := <-h.end; err != nil {
		t.Error(err)
	}
	if err := h.store.Close(); err != nil {
		t.Error(err)
	}
}

// crash goes on with a copy of the files as they are now. What the old store still does has no effect any more.
func (h *bufferHost) crash(t testing.TB) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "buffer.db")
	copyFile(t, h.path+"-wal", path+"-wal") // before the database: what it holds is not moved there meanwhile, there is too little of it
	copyFile(t, h.path, path)
	h.close(t)
	h.path = path
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, fs.FileMode(0o600)); err != nil {
		t.Fatal(err)
	}
}

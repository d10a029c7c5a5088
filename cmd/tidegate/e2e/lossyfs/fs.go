//go:build linux && (amd64 || arm64 || riscv64)

package lossyfs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// ErrUnavailable is wrapped by the error of [Mount] where this machine does not allow it: the test is then to be skipped.
var ErrUnavailable = errors.New("FUSE is not available")

// FS is a mounted file system. Its methods may be called from any goroutine.
type FS struct {
	server *fuse.Server
	dir    string

	mu    sync.Mutex // guards all nodes too
	root  *folder
	off   bool          // the power is cut: nothing changes any more, and every operation fails
	left  int64         // changes until the power is cut by itself; negative: it is not
	cut   chan struct{} // closed when off becomes true
	syncs int64
}

// Image is the content of a file system that has no power: files by their names, folders as images. The zero Image is an empty one.
type Image struct {
	Files   map[string]File
	Folders map[string]Image
}

// File is a file in an [Image].
type File struct {
	Bytes  []byte
	Mode   uint32 // permission bits
	Socket bool   // a name to which a unix socket was bound; nobody listens there any more
}

// Loss tells what a crash has taken.
type Loss struct {
	Sectors int // of files, changed and not synchronised; in a torn crash some of them survive
	Names   int // changes of names that no sync of their folder had made durable
	Syncs   int64
}

// Mount mounts a file system at dir, an empty folder, that holds what from holds, all of it durable.
func Mount(dir string, from Image) (*FS, error) {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	f := &FS{dir: dir, left: -1, cut: make(chan struct{})}
	f.root = f.newFolder(from)
	server, err := fs.Mount(dir, f.root, &fs.Options{MountOptions: fuse.MountOptions{
		DirectMount: true, FsName: "lossyfs", Name: "lossyfs", DisableXAttrs: true,
	}})
	if err != nil {
		return nil, fmt.Errorf("%w: mount %s: %w; it takes root or fusermount3", ErrUnavailable, dir, err)
	}
	f.server = server
	return f, nil
}

// CutAfter cuts the power at the n-th change from now on: a write, a truncation, a change of names or a sync. That one is the first to
// fail. The returned channel is closed when the power is off.
func (f *FS) CutAfter(n int64) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = n
	return f.cut
}

// Crash cuts the power, unless it is cut already: from now on every operation fails with EIO. It returns what a power cut leaves; the
// file system stays mounted, so that the programs that use it can be ended. With torn some of what was not durable survives too.
func (f *FS) Crash(rng *rand.Rand, torn bool) (Image, Loss) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.powerOff()
	loss := Loss{Syncs: f.syncs}
	f.root.count(&loss)
	return f.root.image(rng, torn, rng.Float64()), loss
}

// Unmount unmounts the file system. Whatever has files open there must have ended, else it only takes the file system out of sight.
func (f *FS) Unmount() error {
	if err := f.server.Unmount(); err != nil {
		return errors.Join(err, unix.Unmount(f.dir, unix.MNT_DETACH))
	}
	f.server.Wait()
	return nil
}

// powerOff is called with the lock held.
func (f *FS) powerOff() {
	if !f.off {
		f.off = true
		close(f.cut)
	}
}

// change is called with the lock held before anything changes, and tells whether it may.
func (f *FS) change() bool {
	if f.left > 0 {
		if f.left--; f.left == 0 {
			f.powerOff()
		}
	}
	return !f.off
}

// Write writes the image into dir, an existing folder, for the eyes of a person or of another program. It leaves sockets out.
func (im Image) Write(dir string) error {
	for name, file := range im.Files {
		if file.Socket {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), file.Bytes, os.FileMode(file.Mode)); err != nil {
			return err
		}
	}
	for name, sub := range im.Folders {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o750); err != nil {
			return err
		}
		if err := sub.Write(path); err != nil {
			return err
		}
	}
	return nil
}

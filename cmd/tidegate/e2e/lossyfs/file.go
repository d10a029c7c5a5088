//go:build linux && (amd64 || arm64 || riscv64)

package lossyfs

import (
	"context"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// file is a node that holds bytes, or none because it is the name of a unix socket. All but fs and Inode is guarded by the lock of fs.
type file struct {
	fs.Inode
	fs *FS
	content
	kind    uint32 // fuse.S_IFREG, or syscall.S_IFSOCK
	mode    uint32
	changed time.Time
}

var (
	_ fs.NodeOpener    = (*file)(nil)
	_ fs.NodeReader    = (*file)(nil)
	_ fs.NodeWriter    = (*file)(nil)
	_ fs.NodeFsyncer   = (*file)(nil)
	_ fs.NodeGetattrer = (*file)(nil)
	_ fs.NodeSetattrer = (*file)(nil)
)

func (f *FS) newFile(from File) *file {
	n := &file{fs: f, content: newContent(from.Bytes), kind: fuse.S_IFREG, mode: from.Mode, changed: time.Now()}
	if from.Socket {
		n.kind = syscall.S_IFSOCK
	}
	return n
}

// fill tells the attributes; it is called with the lock held.
func (n *file) fill(out *fuse.Attr) {
	out.Mode = n.kind | n.mode
	out.Nlink = 1
	out.Size = uint64(len(n.live))
	out.SetTimes(nil, &n.changed, &n.changed)
}

// Open has no handle of its own: all that counts is in the file. The kernel truncates by Setattr.
func (n *file) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if n.fs.off {
		return nil, 0, syscall.EIO
	}
	return nil, fuse.FOPEN_KEEP_CACHE, fs.OK
}

// Read reads the live state.
func (n *file) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if n.fs.off {
		return nil, syscall.EIO
	}
	return fuse.ReadResultData(dest[:n.readAt(dest, int(off))]), fs.OK
}

// Write changes the live state.
func (n *file) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if !n.fs.change() {
		return 0, syscall.EIO
	}
	n.writeAt(data, int(off))
	n.changed = time.Now()
	return uint32(len(data)), fs.OK
}

// Fsync makes the live state durable. The kernel has written pages of a shared mapping before it comes here.
func (n *file) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if !n.fs.change() {
		return syscall.EIO
	}
	n.sync()
	n.fs.syncs++
	return fs.OK
}

// Getattr tells size and mode.
func (n *file) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if n.fs.off {
		return syscall.EIO
	}
	n.fill(&out.Attr)
	return fs.OK
}

// Setattr truncates, or changes the mode.
func (n *file) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if !n.fs.change() {
		return syscall.EIO
	}
	if size, ok := in.GetSize(); ok {
		n.truncate(int(size))
	}
	if mode, ok := in.GetMode(); ok {
		n.mode = mode & 0o7777
	}
	n.changed = time.Now()
	n.fill(&out.Attr)
	return fs.OK
}

func (n *file) survive(rng *rand.Rand, torn bool, chance float64, to Image, name string) {
	to.Files[name] = File{n.content.survive(rng, torn, chance), n.mode, n.kind == syscall.S_IFSOCK}
}

func (n *file) count(l *Loss) { l.Sectors += len(n.dirty) }

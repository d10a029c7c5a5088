//go:build linux && (amd64 || arm64 || riscv64)

package lossyfs

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// size of the whole file system in blocks of 4 KiB, as statfs tells it: 4 GiB, of which nothing is ever used up.
const blocks = 1 << 20

// node is a file or a folder. Its methods are called with the lock of the file system held.
type node interface {
	fs.InodeEmbedder
	fill(*fuse.Attr)
	survive(rng *rand.Rand, torn bool, chance float64, to Image, name string)
	count(*Loss)
}

// folder is a node that holds names. The live ones are the children of its Inode, which the library keeps.
type folder struct {
	fs.Inode
	fs      *FS
	durable map[string]node
	pending []naming // since the last sync, in order
}

// naming is a change of names: one goes, or one comes, or both by one rename.
type naming struct {
	gone  string
	came  string
	child node
}

var (
	_ fs.NodeOnAdder   = (*folder)(nil)
	_ fs.NodeLookuper  = (*folder)(nil)
	_ fs.NodeGetattrer = (*folder)(nil)
	_ fs.NodeCreater   = (*folder)(nil)
	_ fs.NodeMknoder   = (*folder)(nil)
	_ fs.NodeMkdirer   = (*folder)(nil)
	_ fs.NodeUnlinker  = (*folder)(nil)
	_ fs.NodeRmdirer   = (*folder)(nil)
	_ fs.NodeRenamer   = (*folder)(nil)
	_ fs.NodeFsyncer   = (*folder)(nil)
	_ fs.NodeStatfser  = (*folder)(nil)
)

func (f *FS) newFolder(from Image) *folder {
	d := &folder{fs: f, durable: map[string]node{}}
	for name, file := range from.Files {
		d.durable[name] = f.newFile(file)
	}
	for name, sub := range from.Folders {
		d.durable[name] = f.newFolder(sub)
	}
	return d
}

// OnAdd shows what is durable from the start.
func (d *folder) OnAdd(ctx context.Context) {
	for name, child := range d.durable {
		d.AddChild(name, d.inode(ctx, child), false)
	}
}

func (d *folder) inode(ctx context.Context, child node) *fs.Inode {
	var attr fuse.Attr
	child.fill(&attr)
	return d.NewPersistentInode(ctx, child, fs.StableAttr{Mode: attr.Mode & syscall.S_IFMT})
}

func (d *folder) fill(out *fuse.Attr) {
	out.Mode = fuse.S_IFDIR | 0o755
	out.Nlink = 2
}

// Lookup finds a live name.
func (d *folder) Lookup(_ context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	child := d.GetChild(name)
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if d.fs.off {
		return nil, syscall.EIO
	}
	if child == nil {
		return nil, syscall.ENOENT
	}
	child.Operations().(node).fill(&out.Attr)
	return child, fs.OK
}

// Getattr tells that this is a folder.
func (d *folder) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	d.fill(&out.Attr)
	return fs.OK
}

// Create makes an empty file and opens it.
func (d *folder) Create(ctx context.Context, name string, _, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	child := d.fs.newFile(File{Mode: mode & 0o7777})
	if errno := d.name(naming{came: name, child: child}); errno != fs.OK {
		return nil, nil, 0, errno
	}
	child.fill(&out.Attr)
	return d.inode(ctx, child), nil, fuse.FOPEN_KEEP_CACHE, fs.OK
}

// Mknod makes the name of a unix socket, which the kernel serves.
func (d *folder) Mknod(ctx context.Context, name string, mode, _ uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if mode&syscall.S_IFMT != syscall.S_IFSOCK {
		return nil, syscall.EPERM
	}
	child := d.fs.newFile(File{Mode: mode & 0o7777, Socket: true})
	if errno := d.name(naming{came: name, child: child}); errno != fs.OK {
		return nil, errno
	}
	child.fill(&out.Attr)
	return d.inode(ctx, child), fs.OK
}

// Mkdir makes an empty folder.
func (d *folder) Mkdir(ctx context.Context, name string, _ uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	child := d.fs.newFolder(Image{})
	if errno := d.name(naming{came: name, child: child}); errno != fs.OK {
		return nil, errno
	}
	child.fill(&out.Attr)
	return d.inode(ctx, child), fs.OK
}

// Unlink removes a file's name.
func (d *folder) Unlink(_ context.Context, name string) syscall.Errno {
	return d.name(naming{gone: name})
}

// Rmdir removes an empty folder.
func (d *folder) Rmdir(_ context.Context, name string) syscall.Errno {
	if child := d.GetChild(name); child != nil && len(child.Children()) > 0 {
		return syscall.ENOTEMPTY
	}
	return d.name(naming{gone: name})
}

// Rename gives a child another name, or takes the name of another child away for it.
func (d *folder) Rename(_ context.Context, name string, parent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	child := d.GetChild(name)
	switch {
	case parent.EmbeddedInode() != d.EmbeddedInode():
		return syscall.EXDEV
	case flags&fs.RENAME_EXCHANGE != 0:
		return syscall.EINVAL
	case child == nil:
		return syscall.ENOENT
	}
	return d.name(naming{gone: name, came: newName, child: child.Operations().(node)})
}

// Fsync makes the names durable, not what they name.
func (d *folder) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if !d.fs.change() {
		return syscall.EIO
	}
	apply(d.durable, d.pending)
	d.pending = nil
	d.fs.syncs++
	return fs.OK
}

// Statfs tells of a disk that is empty: what is full is not the matter here.
func (d *folder) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	out.Bsize, out.Frsize, out.NameLen = 4096, 4096, 255
	out.Blocks, out.Bfree, out.Bavail = blocks, blocks, blocks
	out.Files, out.Ffree = blocks, blocks
	return fs.OK
}

// name notes a change of names, which the library carries out.
func (d *folder) name(n naming) syscall.Errno {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if !d.fs.change() {
		return syscall.EIO
	}
	d.pending = append(d.pending, n)
	return fs.OK
}

func apply(names map[string]node, changes []naming) {
	for _, c := range changes {
		if c.gone != "" {
			delete(names, c.gone)
		}
		if c.came != "" {
			names[c.came] = c.child
		}
	}
}

// image returns what a power cut leaves of the folder.
func (d *folder) image(rng *rand.Rand, torn bool, chance float64) Image {
	names := maps.Clone(d.durable)
	if torn {
		apply(names, d.pending[:rng.IntN(len(d.pending)+1)])
	}
	im := Image{map[string]File{}, map[string]Image{}}
	for _, name := range slices.Sorted(maps.Keys(names)) { // in order, so that a seed always gives the same
		names[name].survive(rng, torn, chance, im, name)
	}
	return im
}

func (d *folder) survive(rng *rand.Rand, torn bool, chance float64, to Image, name string) {
	to.Folders[name] = d.image(rng, torn, chance)
}

func (d *folder) count(l *Loss) {
	l.Names += len(d.pending)
	for _, child := range d.Children() {
		child.Operations().(node).count(l)
	}
}

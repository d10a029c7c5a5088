//go:build linux && (amd64 || arm64 || riscv64)

package lossyfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/cmd/tidegate/e2e/lossyfs"
)

// mapVariable makes the test binary the program that maps the file it names, see TestSharedMapping.
const mapVariable = "LOSSYFS_MAP"

func TestMain(m *testing.M) {
	if path := os.Getenv(mapVariable); path != "" {
		if err := writeThroughMapping(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// mount mounts a file system, or skips the test where that is not possible.
func mount(t *testing.T, from lossyfs.Image) (*lossyfs.FS, string) {
	t.Helper()
	dir := t.TempDir()
	f, err := lossyfs.Mount(dir, from)
	switch {
	case errors.Is(err, lossyfs.ErrUnavailable):
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Unmount(); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return f, dir
}

func rng() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func create(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func write(t *testing.T, f *os.File, off int64, b []byte) {
	t.Helper()
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

func syncFile(t *testing.T, f *os.File) {
	t.Helper()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// syncFolder makes names durable, as a program does that means it.
func syncFolder(t *testing.T, path string) {
	t.Helper()
	d, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	syncFile(t, d)
}

func TestBytesNeedASync(t *testing.T) {
	f, dir := mount(t, lossyfs.Image{})
	kept := create(t, filepath.Join(dir, "kept"))
	syncFolder(t, dir)
	write(t, kept, 0, []byte("safe"))
	if err := unix.Fdatasync(int(kept.Fd())); err != nil {
		t.Fatal(err)
	}
	write(t, kept, 0, []byte("lost, and longer"))
	if b, err := os.ReadFile(kept.Name()); err != nil || string(b) != "lost, and longer" {
		t.Errorf("before the crash the file reads %q, %v", b, err)
	}
	im, loss := f.Crash(rng(), false)
	if got := string(im.Files["kept"].Bytes); got != "safe" {
		t.Errorf("the crash left %q, want what was synchronised", got)
	}
	if loss.Sectors != 1 || loss.Syncs != 2 {
		t.Errorf("the loss is %+v, want one sector after two syncs", loss)
	}
}

func TestTruncationNeedsASync(t *testing.T) {
	whole, cut := strings.Repeat("x", 2000), "xxx"+strings.Repeat("\x00", 1797)
	f, dir := mount(t, lossyfs.Image{Files: map[string]lossyfs.File{
		"cut":     {Bytes: []byte(whole), Mode: 0o600},
		"cut too": {Bytes: []byte(whole), Mode: 0o600},
	}})
	for name, synced := range map[string]bool{"cut": false, "cut too": true} {
		path := filepath.Join(dir, name)
		if err := os.Truncate(path, 3); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 1800); err != nil { // what was cut does not come back
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != cut {
			t.Errorf("the file reads %.10q, %v", b, err)
		}
		if synced {
			file, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			syncFile(t, file)
			file.Close()
		}
	}
	im, _ := f.Crash(rng(), false)
	for name, want := range map[string]string{"cut": whole, "cut too": cut} {
		if got := string(im.Files[name].Bytes); got != want {
			t.Errorf("%s: the crash left %d bytes, %.10q, want %d, %.10q", name, len(got), got, len(want), want)
		}
	}
}

func TestNamesNeedASyncOfTheirFolder(t *testing.T) {
	f, dir := mount(t, lossyfs.Image{Files: map[string]lossyfs.File{
		"removed": {Mode: 0o600}, "old": {Bytes: []byte("old"), Mode: 0o600}, "new": {Bytes: []byte("new"), Mode: 0o600},
	}})
	at := func(name string) string { return filepath.Join(dir, name) }
	syncFile(t, create(t, at("created"))) // which does not make its name durable
	for _, err := range []error{os.Remove(at("removed")), os.Rename(at("new"), at("old")), os.Mkdir(at("folder"), 0o750)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, dir); got != "[created folder old]" {
		t.Errorf("before the crash there are %s", got)
	}
	im, loss := f.Crash(rng(), false)
	if len(im.Files) != 3 || len(im.Folders) != 0 || string(im.Files["old"].Bytes) != "old" || string(im.Files["new"].Bytes) != "new" {
		t.Errorf("the crash left %v, want what was there in the beginning", im)
	}
	if loss.Names != 4 {
		t.Errorf("the loss is %+v, want 4 changes of names", loss)
	}

	f, dir = mount(t, im)
	syncFile(t, create(t, at("created")))
	for _, err := range []error{os.Remove(at("removed")), os.Rename(at("new"), at("old")), os.Mkdir(at("folder"), 0o750)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	syncFolder(t, dir)
	im, _ = f.Crash(rng(), false)
	_, created := im.Files["created"]
	_, folder := im.Folders["folder"]
	if !created || !folder || len(im.Files) != 2 || string(im.Files["old"].Bytes) != "new" {
		t.Errorf("the crash left %v, want all changes", im)
	}
}

// TestSocket binds a unix socket, whose name is left like any other.
func TestSocket(t *testing.T) {
	f, dir := mount(t, lossyfs.Image{})
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	syncFolder(t, dir)
	im, _ := f.Crash(rng(), false)
	if !im.Files["s"].Socket {
		t.Fatalf("the crash left %+v, want a socket", im.Files)
	}
	_, dir = mount(t, im)
	path := filepath.Join(dir, "s")
	if _, err := net.Listen("unix", path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("bind where a name was left: %v, want EADDRINUSE", err)
	}
	if err := os.Remove(path); err != nil {
		t.Error(err)
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return fmt.Sprint(list)
}

// TestTornCrash expects a mixture of old and new sectors, each whole, and that a synchronised sector never gets lost.
func TestTornCrash(t *testing.T) {
	const sectors, sector = 256, 512
	f, dir := mount(t, lossyfs.Image{})
	file := create(t, filepath.Join(dir, "file"))
	syncFolder(t, dir)
	write(t, file, 0, bytes.Repeat([]byte{'o'}, sectors*sector))
	syncFile(t, file)
	write(t, file, 0, bytes.Repeat([]byte{'n'}, sectors/2*sector))
	im, _ := f.Crash(rng(), true)
	left := im.Files["file"].Bytes
	if len(left) != sectors*sector {
		t.Fatalf("the crash left %d bytes", len(left))
	}
	count := map[byte]int{}
	for s := range sectors {
		b := left[s*sector : (s+1)*sector]
		if !bytes.Equal(b, bytes.Repeat(b[:1], sector)) {
			t.Fatalf("sector %d is torn itself", s)
		}
		if s >= sectors/2 && b[0] != 'o' {
			t.Errorf("sector %d was not written, and is %q", s, b[0])
		}
		count[b[0]]++
	}
	if count['n'] == 0 || count['o'] <= sectors/2 || len(count) != 2 {
		t.Errorf("there are sectors %v, want some new ones and some lost ones", count)
	}
}

// TestCutAfter cuts at an exact change, and expects that nothing works from then on.
func TestCutAfter(t *testing.T) {
	f, dir := mount(t, lossyfs.Image{})
	file := create(t, filepath.Join(dir, "file"))
	syncFolder(t, dir)
	cut := f.CutAfter(3)
	write(t, file, 0, []byte("first"))
	syncFile(t, file)
	select {
	case <-cut:
		t.Fatal("the power is off too early")
	default:
	}
	if _, err := file.WriteAt([]byte("third"), 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("the third change says %v, want EIO", err)
	}
	<-cut
	_, creating := os.Create(filepath.Join(dir, "other"))
	for what, err := range map[string]error{
		"sync": file.Sync(), "create": creating, "remove": os.Remove(file.Name()),
		"truncate": file.Truncate(1), "rename": os.Rename(file.Name(), file.Name()+"2"),
	} {
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("%s without power says %v, want EIO", what, err)
		}
	}
	im, _ := f.Crash(rng(), false)
	if got := string(im.Files["file"].Bytes); got != "first" {
		t.Errorf("the crash left %q", got)
	}
}

// TestSharedMapping writes through a shared mapping, as SQLite does with its -shm file, in another process: a page fault that this
// process has to serve must not stop it.
func TestSharedMapping(t *testing.T) {
	f, dir := mount(t, lossyfs.Image{})
	path := filepath.Join(dir, "mapped")
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), mapVariable+"="+path)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	syncFolder(t, dir)
	im, _ := f.Crash(rng(), false)
	if b := im.Files["mapped"].Bytes; len(b) != 8192 || string(b[5000:5006]) != "mapped" {
		t.Errorf("the crash left %d bytes, want what was mapped and synchronised", len(b))
	}
}

func writeThroughMapping(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(8192); err != nil {
		return err
	}
	m, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	copy(m[5000:], "mapped")
	return errors.Join(unix.Munmap(m), f.Sync())
}

func TestImageIsWritten(t *testing.T) {
	dir := t.TempDir()
	im := lossyfs.Image{
		Files:   map[string]lossyfs.File{"a": {Bytes: []byte("x"), Mode: 0o640}},
		Folders: map[string]lossyfs.Image{"sub": {Files: map[string]lossyfs.File{"b": {Bytes: []byte("y"), Mode: 0o600}}}},
	}
	if err := im.Write(dir); err != nil {
		t.Fatal(err)
	}
	a, errA := os.ReadFile(filepath.Join(dir, "a"))
	b, errB := os.ReadFile(filepath.Join(dir, "sub", "b"))
	if string(a) != "x" || string(b) != "y" {
		t.Errorf("found %q (%v) and %q (%v)", a, errA, b, errB)
	}
}

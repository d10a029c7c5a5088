package trace

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
)

// Defaults of [FileOptions].
const (
	DefaultMaxSize = 64 << 20
	DefaultQueue   = 4096
)

// FileOptions say where conversations are written to. Only Path is needed.
type FileOptions struct {
	Path    string
	MaxSize int64        // in bytes: a file that has reached it becomes Path.1, in place of an older one, so that both hold at most twice that; 0: DefaultMaxSize
	Queue   int          // conversations that may wait for a slow disk; 0: DefaultQueue
	Log     *slog.Logger // told when conversations are left out, and when writing fails; nil: none
}

// Stats counts since the File was opened.
type Stats struct {
	Written uint64 // conversations
	Dropped uint64 // conversations that the queue had no room for, or that could not be written
}

// File writes conversations down.
type File struct {
	opts  FileOptions
	log   *slog.Logger
	queue chan Exchange
	out   output

	written, dropped atomic.Uint64
	told             uint64 // of dropped: what the file says
	failed           string // the last error, as logged
	line             []byte
}

// output is the file, or a fake in tests. size is where the next line belongs.
type output struct {
	file
	size int64
}

type file interface {
	io.WriteCloser
	Truncate(size int64) error
	Seek(offset int64, whence int) (int64, error)
}

// Open opens the file, to go on behind what it holds. Only the gateway's own user may read it: it holds all that is said on the buses.
func Open(o FileOptions) (*File, error) {
	o.MaxSize, o.Queue = cmp.Or(o.MaxSize, DefaultMaxSize), cmp.Or(o.Queue, DefaultQueue)
	f := &File{opts: o, log: cmp.Or(o.Log, slog.New(slog.DiscardHandler)), queue: make(chan Exchange, o.Queue)}
	if err := f.open(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) open() error {
	file, err := os.OpenFile(f.opts.Path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open trace: %w", err)
	}
	size, err := wholeLines(file)
	if err != nil {
		_ = file.Close()
		return fmt.Errorf("open trace %s: %w; a trace is written to a regular file", f.opts.Path, err)
	}
	f.out = output{file: file, size: size}
	return nil
}

// wholeLines cuts off a last line that was written in part, as a power cut leaves it, and returns the size of the rest.
func wholeLines(file *os.File) (size int64, err error) {
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	last := make([]byte, min(end, maxLine))
	if _, err := file.ReadAt(last, end-int64(len(last))); err != nil {
		return 0, err
	}
	size = end - int64(len(last)) + int64(bytes.LastIndexByte(last, '\n')+1)
	if err := file.Truncate(size); err != nil {
		return 0, err
	}
	return file.Seek(size, io.SeekStart)
}

// Bus returns the function that takes the conversations of the bus of that name. It may be called from any goroutine and never waits.
func (f *File) Bus(name string) func(Exchange) {
	return func(x Exchange) {
		x.Bus = name
		select {
		case f.queue <- x:
		default:
			f.dropped.Add(1)
		}
	}
}

// Stats may be called at any time.
func (f *File) Stats() Stats {
	return Stats{Written: f.written.Load(), Dropped: f.dropped.Load()}
}

// Run writes until ctx ends, then what waits by then, and closes the file. It is called once. An error while writing is logged and counted as
// dropped: a full disk must not end the gateway.
func (f *File) Run(ctx context.Context) error {
	for {
		select {
		case x := <-f.queue:
			f.write(x)
			continue
		default:
		}
		select {
		case x := <-f.queue:
			f.write(x)
		case <-ctx.Done():
			return f.finish()
		}
	}
}

// Close closes a File whose Run was never called.
func (f *File) Close() error {
	if err := f.out.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close trace: %w", err)
	}
	return nil
}

// finish writes what waits.
func (f *File) finish() error {
	for {
		select {
		case x := <-f.queue:
			f.write(x)
		default:
			return f.Close()
		}
	}
}

func (f *File) write(x Exchange) {
	missing := f.dropped.Load()
	x.Dropped = missing - f.told
	err := f.put(x)
	if err == nil {
		f.written.Add(1)
		f.told = missing
	} else {
		f.dropped.Add(1)
	}
	f.report(x.Dropped, err)
}

// put writes one line, whole or not at all.
func (f *File) put(x Exchange) (err error) {
	if f.line, err = x.AppendJSON(f.line[:0]); err != nil {
		return err
	}
	if f.out.size > 0 && f.out.size+int64(len(f.line)) > f.opts.MaxSize {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	if _, err := f.out.Write(f.line); err != nil {
		return errors.Join(fmt.Errorf("write trace: %w", err), f.repair())
	}
	f.out.size += int64(len(f.line))
	return nil
}

// repair takes back a line that was written in part.
func (f *File) repair() error {
	if err := f.out.Truncate(f.out.size); err != nil {
		return err
	}
	_, err := f.out.Seek(f.out.size, io.SeekStart)
	return err
}

// rotate begins a new file; the full one takes the place of the one before it.
func (f *File) rotate() error {
	if err := os.Rename(f.opts.Path, f.opts.Path+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("rotate trace: %w", err)
	}
	full := f.out
	if err := f.open(); err != nil {
		return err // the full file stays the one to write to, and the next line tries again
	}
	_ = full.Close() // all its lines are written
	return nil
}

// report logs what goes wrong with the file once for as long as it stays the same, and the first time that conversations are missing; how many
// are is in the file, and in the counters.
func (f *File) report(missing uint64, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != f.failed {
		f.log.Warn("conversations are not written to the trace", "file", f.opts.Path, "error", text)
	}
	if missing > 0 && missing == f.told && text == "" {
		f.log.Warn("conversations are missing in the trace: they came faster than the file could be written", "file", f.opts.Path, "missing", missing)
	}
	f.failed = text
}

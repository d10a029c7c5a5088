package buffer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/gateway"
)

// File is the file of a gateway that does not run, open for reading. While it is open no gateway can start on it. Its methods may be called
// from any goroutine.
type File struct {
	path   string
	lock   *os.File // nil when no gateway has ever run on this file where it lies
	reader *diskReader
	once   sync.Once // of Close
}

// OpenFile opens the buffer's file at path for reading and changes nothing: no migration, no mark of a restart. After a crash SQLite makes
// the index of the log anew, which is all that it leaves. It fails with [ErrInUse] while a gateway runs on the file, [ErrForeign] when
// it is no buffer, [ErrNewer] when it was written by a newer version, and [ErrDamaged] when not even its head can be read. A file that
// was set aside can be opened as well, as far as its damage allows.
func OpenFile(path string) (*File, error) {
	f := &File{path: path}
	if err := f.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open buffer %s: %w", path, explainFile(context.Background(), path, err)), f.Close())
	}
	return f, nil
}

func (f *File) open() (err error) {
	if _, err := os.Stat(f.path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no such file: %w", fs.ErrNotExist)
	}
	if f.lock, err = lockToRead(f.path); err != nil {
		return err
	}
	name, err := dsn(f.path, readOnly(f.path))
	if err != nil {
		return err
	}
	db, err := sql.Open(driverName, name)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(maxReaders)
	f.reader = &diskReader{db: db}
	if err := f.identify(); err != nil {
		return err
	}
	f.reader, err = newDiskReader(db)
	return err
}

// readOnly returns how to open the file at path: without a log it needs no lock and no second file.
func readOnly(path string) string {
	const always = "_query_only=1&_busy_timeout=5000"
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		return "mode=ro&" + always
	}
	return "immutable=1&mode=ro&" + always
}

// identify refuses a file that is not the buffer of this version or an older one.
func (f *File) identify() error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	c, err := f.reader.db.Conn(context.Background())
	if err != nil {
		return err
	}
	probe := &conn{c: c, db: f.reader.db, stmts: map[string]*sql.Stmt{}}
	version, err := probe.identify(len(steps))
	if err == nil && version == 0 {
		err = fmt.Errorf("%w: it is empty", ErrForeign)
	}
	for _, s := range probe.stmts {
		err = errors.Join(err, s.Close())
	}
	return errors.Join(err, c.Close())
}

// lockToRead keeps gateways off the file, other readers not. It makes no lock file: where there is none, there was no gateway.
func lockToRead(path string) (*os.File, error) {
	lock, err := os.Open(path + ".lock")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		holder := lockHolder(lock)
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w by %s: ask that one, or stop it", ErrInUse, holder)
		}
		return nil, fmt.Errorf("lock %s.lock: %w", path, err)
	}
	return lock, nil
}

// Close gives the file back. Closing twice does no harm.
func (f *File) Close() (err error) {
	f.once.Do(func() {
		err = f.reader.close()
		if f.lock != nil {
			err = errors.Join(err, unlock(f.lock))
		}
	})
	return err
}

// fileQueue is a row of the table queue.
type fileQueue struct {
	id    gateway.QueueID
	name  string
	acked uint64
	cuts  ranges // dropped behind that
}

func (f *File) queues(ctx context.Context) (list []fileQueue, err error) {
	rows, err := f.reader.db.QueryContext(ctx, `SELECT id, name, acked FROM queue WHERE name IS NOT NULL ORDER BY id`)
	if err != nil {
		return nil, explain(err)
	}
	err = eachRow(rows, func(rows *sql.Rows) error {
		var q fileQueue
		err := rows.Scan(&q.id, &q.name, &q.acked)
		list = append(list, q)
		return err
	})
	for i := 0; i < len(list) && err == nil; i++ {
		list[i].cuts, err = f.cuts(ctx, list[i].id)
	}
	return list, explain(err)
}

// cuts returns what the limits of a queue have dropped behind what its consumer had in hand.
func (f *File) cuts(ctx context.Context, q gateway.QueueID) (ranges, error) {
	var text string
	err := f.reader.db.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = ?`, cutKey(q)).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseRanges(text)
}

// walk is the reader's, without what is cut out.
func (f *File) walk(ctx context.Context, q *fileQueue, after uint64, fn func(*found) error) error {
	return f.reader.walk(ctx, q.id, max(after, q.acked), func(got *found) error {
		got.items = slices.DeleteFunc(got.items, func(it item) bool { return q.cuts.has(it.pos) })
		return fn(got)
	})
}

func (f *File) queue(ctx context.Context, name string) (fileQueue, error) {
	list, err := f.queues(ctx)
	if err != nil {
		return fileQueue{}, err
	}
	names := make([]string, 0, len(list))
	for _, q := range list {
		if q.name == name {
			return q, nil
		}
		names = append(names, q.name)
	}
	return fileQueue{}, noQueue(name, names)
}

// Overview returns what the file tells: its size, its wear, its queues with the deliveries that they hold, how many bytes these take, the
// original time of the first, and since when they are orphans, and how many records were set aside. It reads all queues, but not what is
// in their records.
func (f *File) Overview(ctx context.Context) (stats gateway.BufferStats, err error) {
	stats.FileBytes, stats.DiskFree = fileBytes(f.path), -1
	n, err := f.reader.countDead(ctx)
	if err != nil {
		return stats, err
	}
	stats.Dead = uint64(n)
	orphans, err := f.meta(ctx, &stats)
	if err != nil {
		return stats, fmt.Errorf("read what the gateway noted: %w", err)
	}
	list, err := f.queues(ctx)
	if err != nil {
		return stats, fmt.Errorf("read the queues: %w", err)
	}
	for _, q := range list {
		qs, err := f.overview(ctx, q)
		if err != nil {
			return stats, fmt.Errorf("read queue %s: %w", q.name, err)
		}
		qs.Orphan = orphans[q.name]
		stats.Queues = append(stats.Queues, qs)
	}
	return stats, nil
}

// meta reads what the disk has taken, what is still to be saved, and since when queues are orphans.
func (f *File) meta(ctx context.Context, stats *gateway.BufferStats) (orphans map[string]time.Time, err error) {
	rows, err := f.reader.db.QueryContext(ctx, `SELECT key, value FROM meta`)
	if err != nil {
		return nil, explain(err)
	}
	var w wear
	orphans = map[string]time.Time{}
	err = eachRow(rows, func(rows *sql.Rows) error {
		var key, value string
		if err := rows.Scan(&key, &value); err != nil {
			return err
		}
		if name, orphan := strings.CutPrefix(key, metaOrphan); orphan {
			ns, err := strconv.ParseInt(value, 10, 64)
			orphans[name] = time.Unix(0, ns).UTC()
			return err
		}
		if key == metaSalvage {
			stats.SetAside = filepath.Join(filepath.Dir(f.path), filepath.Base(value))
		}
		return w.load(key, value)
	})
	stats.WearBytes, stats.WearSince = w.bytes, w.since
	return orphans, explain(err)
}

// fileBytes is the size of the database and its log.
func fileBytes(path string) (n int64) {
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(path + suffix); err == nil {
			n += info.Size()
		}
	}
	return n
}

func (f *File) overview(ctx context.Context, q fileQueue) (gateway.QueueStats, error) {
	stats := gateway.QueueStats{Name: q.name}
	err := f.walk(ctx, &q, 0, func(got *found) error {
		for i := range got.items {
			it := &got.items[i]
			if stats.Depth++; stats.Oldest.IsZero() {
				stats.Oldest = it.time()
			}
			stats.Bytes += int64(len(it.body))
		}
		return nil
	})
	return stats, err
}

// time is the original time of the record, zero when it cannot be read.
func (it *item) time() time.Time {
	rec, err := it.record()
	if err != nil {
		return time.Time{}
	}
	return rec.Time
}

// Scan calls fn for each delivery of the queue after position after that is not acknowledged, in order. Deliveries that cannot be read are
// left out.
func (f *File) Scan(ctx context.Context, queue string, after uint64, fn func(gateway.Delivery) error) error {
	q, err := f.queue(ctx, queue)
	if err != nil {
		return err
	}
	return f.walk(ctx, &q, after, func(got *found) error { return eachDelivery(ctx, got.parse(), fn) })
}

// walk calls fn with what the disk holds of a queue after a position, in order and in small steps.
func (r *diskReader) walk(ctx context.Context, q gateway.QueueID, after uint64, fn func(*found) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		got, err := r.read(q, &wanted{span: span{after + 1, posMask}}, scanBatch)
		if err != nil {
			return explain(err)
		}
		if err := fn(got); err != nil {
			return err
		}
		if !got.more {
			return nil
		}
		after = got.through
	}
}

// Verify checks all of the file: its structure as SQLite sees it, the check sum of every record, and that every row can be reached.
// progress, which may be nil, is told how many of how many rows were read.
func (f *File) Verify(ctx context.Context, progress func(done, total int64)) (gateway.Verdict, error) {
	v := verifier{reader: f.reader, progress: progress}
	if err := v.structure(ctx); err != nil {
		return v.verdict, err
	}
	list, err := f.queues(ctx)
	if isDamage(err) {
		v.fault(err)
		return v.verdict, nil
	}
	if err != nil {
		return v.verdict, err
	}
	v.acked = make(map[gateway.QueueID]uint64, len(list))
	for _, q := range list {
		v.acked[q.id] = q.acked
	}
	return v.run(ctx)
}

// Dead calls fn for each record that was set aside, the oldest first.
func (f *File) Dead(ctx context.Context, fn func(gateway.DeadRecord) error) error {
	return f.reader.dead(ctx, fn)
}

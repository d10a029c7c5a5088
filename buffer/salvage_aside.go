package buffer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/tidegate/tidegate/gateway"
)

// What lies beside the database and belongs to it: a new database under way, the mark that a running gateway has met damage, and
// files that were set aside.
const (
	newSuffix     = ".new"
	suspectSuffix = ".suspect"
	asideInfix    = ".damaged-"
)

// keptAside is how many files that were set aside are kept, the newest.
const keptAside = 2

// setAside puts the damaged file at o.Path away, under a name with the time, and a new one in its place, with the state that could be
// read and the note that records are to be saved. The new file is made whole before the old one moves, so that a crash at any
// moment leaves one of them, and finishAside does the rest.
func setAside(ctx context.Context, o Options, cause error) error {
	o = o.withDefaults()
	state, err := brokenState(ctx, o.Path)
	if err != nil {
		return fmt.Errorf("read the damaged file: %w", err)
	}
	aside := asideName(o.Path, o.Now())
	state.epoch = max(state.epoch, epochNow(o))
	if err := buildNew(ctx, o, state, filepath.Base(aside)); err != nil {
		return fmt.Errorf("make a new file beside the damaged one: %w", err)
	}
	if err := moveAside(o.Path, aside); err != nil {
		return err
	}
	if err := finishAside(o.Path); err != nil {
		return err
	}
	o.Logger.Error("the buffer is damaged: it was set aside, and what can be read is saved in the background",
		"path", o.Path, "set_aside", aside, "sessions", len(state.sessions), "retained", len(state.retained), "complete", state.complete,
		"error", cause)
	return pruneAside(o.Path)
}

// brokenState reads the state that the damaged file at path holds, for a bounded time.
func brokenState(ctx context.Context, path string) (*broken, error) {
	p, err := openPages(path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, stateTime)
	defer cancel()
	state := p.readBroken(ctx)
	return state, p.close()
}

// epochNow is an epoch that none before can have reached: a connection takes longer than a second, so there were fewer than seconds since
// 1970. Where the clock was not set when the damage was found, the time at which the file was written last has to do.
func epochNow(o Options) uint64 {
	at := o.Now()
	if info, err := os.Stat(o.Path); err == nil && info.ModTime().After(at) {
		at = info.ModTime()
	}
	return uint64(max(at.Unix(), 0))
}

// asideTime is the form of the time in the name of a file that was set aside.
const asideTime = "20060102T150405Z"

// asideName is the name for a file that is set aside now. It comes behind all that are there, also when the clock went back: a second after
// the newest of them.
func asideName(path string, now time.Time) string {
	name := path + asideInfix + now.UTC().Format(asideTime)
	list := asides(path)
	if len(list) == 0 || name > list[len(list)-1] {
		return name
	}
	last, err := time.Parse(asideTime, strings.TrimPrefix(list[len(list)-1], path+asideInfix))
	if err != nil {
		return list[len(list)-1] + "-"
	}
	return path + asideInfix + last.Add(time.Second).Format(asideTime)
}

// moveAside renames the database with its log and the index of that.
func moveAside(path, aside string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set the damaged file aside: %w", err)
		}
	}
	return syncFolder(path)
}

// finishAside puts the new file in the place of one that was set aside. A crash may have come before: then the log of the old one may still
// lie there, or the new file may not be whole, which is so as long as the old one is in its place.
func finishAside(path string) error {
	if !exists(path + newSuffix) {
		return nil
	}
	if exists(path) {
		return removeFiles(path + newSuffix)
	}
	if list := asides(path); len(list) > 0 {
		if err := moveAside(path, list[len(list)-1]); err != nil {
			return err
		}
	}
	if err := os.Rename(path+newSuffix, path); err != nil {
		return fmt.Errorf("put the new file in place: %w", err)
	}
	if err := os.Remove(path + suspectSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncFolder(path)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// removeFiles removes a database with its log and the index of that.
func removeFiles(path string) error {
	for _, suffix := range []string{"-shm", "-wal", ""} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// syncFolder makes what was renamed in the folder of path last.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// asides lists the databases that were set aside, the oldest first.
func asides(path string) []string {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil
	}
	var list []string
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, filepath.Base(path)+asideInfix) && !strings.HasSuffix(name, "-wal") && !strings.HasSuffix(name, "-shm") {
			list = append(list, filepath.Join(filepath.Dir(path), name))
		}
	}
	slices.Sort(list)
	return list
}

// pruneAside keeps the newest of what was set aside: a disk that damages files must not fill up with them.
func pruneAside(path string) error {
	list := asides(path)
	for len(list) > keptAside {
		if err := removeFiles(list[0]); err != nil {
			return fmt.Errorf("remove what was set aside long ago: %w", err)
		}
		list = list[1:]
	}
	return nil
}

// buildNew makes the database that takes the place of a damaged one.
func buildNew(ctx context.Context, o Options, state *broken, aside string) error {
	path := o.Path + newSuffix
	if err := removeFiles(path); err != nil {
		return err
	}
	if err := makeFile(path); err != nil {
		return err
	}
	c, err := dial(ctx, path)
	if err != nil {
		return err
	}
	err = fillNew(c, o, state, aside)
	return errors.Join(err, c.close()) // which empties the log
}

func fillNew(c *conn, o Options, state *broken, aside string) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	if err := c.configure(o.MaxSize, o.pageSize); err != nil {
		return err
	}
	if err := c.migrate(0, steps); err != nil {
		return err
	}
	if err := c.exec(`BEGIN IMMEDIATE`); err != nil {
		return err
	}
	if err := c.putBroken(state); err != nil {
		return err
	}
	values := map[string]any{metaSalvage: aside, metaSalvaged: 0, metaEpoch: state.epoch}
	for key, n := range state.wear {
		values[key] = n
	}
	for key, value := range values {
		if err := c.exec(`INSERT INTO meta(key, value) VALUES(?, ?)`, key, value); err != nil {
			return err
		}
	}
	return c.exec(`COMMIT`)
}

// putBroken writes what a damaged file held beside the records of queues. Queues keep their ids and go on behind the positions that
// they had. Rows that contradict others, of which one was left behind by a b-tree, are left out.
func (c *conn) putBroken(b *broken) error {
	put := &brokenWriter{conn: c}
	for id, q := range b.queues {
		put.row(`INSERT OR IGNORE INTO queue(id, name, acked, next) VALUES(?, ?, ?, ?)`, id, q.name, q.next-1, q.next)
	}
	for id, r := range b.sessions {
		put.row(`INSERT OR IGNORE INTO session(queue, client_id, user, expiry, disconnected) VALUES(?, ?, ?, ?, ?)`, put.key(id, r, 5)...)
	}
	for key, r := range b.subscriptions {
		if _, known := b.sessions[key.queue]; known {
			put.row(`INSERT OR IGNORE INTO subscription(queue, filter, qos, no_local, retain_as_published, retain_handling, identifier)
				VALUES(?, ?, ?, ?, ?, ?, ?)`, put.values(r, 7)...)
		}
	}
	for key := range b.inbound {
		if _, known := b.sessions[gateway.QueueID(key>>16)]; known {
			put.row(`INSERT OR IGNORE INTO inbound(key) VALUES(?)`, key)
		}
	}
	for topic, body := range b.retained {
		put.row(`INSERT OR IGNORE INTO retained(topic, body) VALUES(?, ?)`, topic, body)
	}
	for client, w := range b.wills {
		put.row(`INSERT OR IGNORE INTO will(client_id, body, delay, due, user) VALUES(?, ?, ?, ?, ?)`, client, w.body, w.delay, w.due, w.user)
	}
	for _, r := range b.commands {
		put.row(`INSERT OR IGNORE INTO command(n, id, result, time) VALUES(?, ?, ?, ?)`, put.key(r.key, r, 4)...)
	}
	for _, r := range b.dead {
		put.row(`INSERT OR IGNORE INTO dead(n, queue, pos, time, reason, body) VALUES(?, ?, ?, ?, ?, ?)`, put.key(r.key, r, 6)...)
	}
	return put.err
}

// brokenWriter writes rows until one fails.
type brokenWriter struct {
	conn *conn
	err  error
}

func (w *brokenWriter) row(query string, args ...any) {
	if w.err == nil {
		w.err = w.conn.exec(query, args...)
	}
}

// key returns the values of a row of n columns whose first is its key.
func (w *brokenWriter) key(key any, r row, n int) []any {
	values := w.values(r, n)
	values[0] = key
	return values
}

// values returns the first n columns of a row.
func (w *brokenWriter) values(r row, n int) []any {
	values := make([]any, n)
	for i, c := range r.columns[:n] {
		switch c.kind {
		case isNumber:
			values[i] = c.n
		case isText:
			values[i] = string(c.value)
		case isBlob:
			values[i] = c.value
		}
	}
	return values
}

// explainFile says in words what to do about an error of the file at path, and tells a buffer whose head is lost from a file that is none.
func explainFile(ctx context.Context, path string, err error) error {
	if code(err) == sqlite3.SQLITE_NOTADB && ours(ctx, path) {
		return fmt.Errorf("%w (%w): %s", ErrDamaged, err, adviceDamaged)
	}
	if diskFull(path, err) {
		return fmt.Errorf("%w: there is no room on the disk of %s: delete something there, or name a folder on another disk", err, filepath.Dir(path))
	}
	return explain(err)
}

// ours reports whether a file that SQLite does not take for a database was a buffer: it holds rows that nobody else writes, or was written
// over with zeros, as some file systems leave a file after a power cut.
func ours(ctx context.Context, path string) bool {
	p, err := openPages(path)
	if err != nil {
		return false
	}
	defer p.close()
	ctx, cancel := context.WithTimeout(ctx, stateTime)
	defer cancel()
	b := p.readOurs(ctx)
	return b || p.zero(ctx)
}

// readOurs looks for the first row that nobody else writes.
func (p *pageFile) readOurs(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b := newBroken()
	p.eachRow(ctx, func(k rowKind) bool { return k == rowChunk || k == rowGap || k == rowMeta }, func(r row) {
		if b.take(r); b.ours {
			cancel()
		}
	})
	return b.ours
}

// zero reports whether the file has nothing but zeros.
func (p *pageFile) zero(ctx context.Context) bool {
	page := p.page()
	for n := uint32(1); n <= p.count; n++ {
		if !p.read(n, page) || ctx.Err() != nil || slices.ContainsFunc(page, func(b byte) bool { return b != 0 }) {
			return false
		}
	}
	return p.count > 0
}

// Damaged returns a channel that closes when a read or a commit has met damage in the file. From then on the store serves from memory what
// the file does not give; a new start sets the file aside and saves what can be read.
func (s *Store) Damaged() <-chan struct{} { return s.hurt }

// suspect notes beside the file that it is damaged, so that the next start sets it aside without having to find the place again.
func (s *Store) suspect(err error) {
	if !isDamage(err) {
		return
	}
	s.mu.Lock()
	first := !s.suspected
	s.suspected = true
	s.mu.Unlock()
	if !first {
		return
	}
	close(s.hurt)
	s.log.Error("the buffer is damaged: the gateway goes on from memory, and sets the file aside at its next start; restart it soon",
		"path", s.opts.Path, "error", err)
	if err := os.WriteFile(s.opts.Path+suspectSuffix, []byte(err.Error()+"\n"), 0o640); err != nil {
		s.log.Warn("the damage cannot be noted beside the file", "path", s.opts.Path, "error", err)
	}
}

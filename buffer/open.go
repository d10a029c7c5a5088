package buffer

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// Keys of the table meta.
const (
	metaStore = "store" // the store's id
	metaMark  = "seq_mark"
	metaBase  = "seq_base"
	metaClean = "clean" // 1 after a stop in order: seq_mark is then the exact next number
)

// checkTime bounds the check of the file after a crash, so that a large one does not hold up the start.
const checkTime = 100 * time.Millisecond

// Open opens the buffer at o.Path, creates it or brings its schema up to date, and takes stock of what it holds. After a crash it
// skips the sequence numbers that were reserved, and tells every upstream's queue with a gap record. A damaged file is set aside
// beside the new one that takes its place, under a name with the time; Run then saves from it what can be read. Open fails, and changes
// nothing, when somebody else has the file open ([ErrInUse]), when it was written by a newer version ([ErrNewer]), when it is no buffer
// ([ErrForeign]), or damaged where the options refuse that ([ErrDamaged]).
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := openOrReplace(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("open buffer %s: %w", o.Path, err)
	}
	return s, nil
}

func openOrReplace(ctx context.Context, o Options) (*Store, error) {
	lock, err := lockFile(o.Path)
	if err != nil {
		return nil, err
	}
	s, err := openLocked(ctx, o, lock)
	if errors.Is(err, ErrDamaged) && !o.RefuseDamaged {
		if err = setAside(ctx, o, err); err == nil {
			s, err = openLocked(ctx, o, lock)
		}
	}
	if err != nil {
		return nil, errors.Join(err, unlock(lock))
	}
	return s, nil
}

// openLocked opens the file, which nobody else can while lock is held.
func openLocked(ctx context.Context, o Options, lock *os.File) (*Store, error) {
	if err := finishAside(o.Path); err != nil {
		return nil, err
	}
	s := newStore(o)
	if err := s.open(ctx); err != nil {
		return nil, explainFile(ctx, o.Path, errors.Join(err, s.release()))
	}
	s.lock = lock
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if err := makeFile(s.opts.Path); err != nil {
		return err
	}
	if err := known(s.opts.Path); err != nil {
		return err
	}
	c, err := dial(ctx, s.opts.Path)
	if err != nil {
		return err
	}
	s.writer.applier = applier{
		conn: c, now: s.opts.Now, sweeping: sweepChunks,
		acked: map[gateway.QueueID]uint64{}, cuts: map[gateway.QueueID]ranges{}, begins: map[gateway.QueueID]uint64{},
	}
	if err := s.prepare(ctx, c); err != nil {
		return err
	}
	db, err := openReader(s.opts.Path)
	if err != nil {
		return err
	}
	if s.reader, err = newDiskReader(db); err != nil {
		return errors.Join(err, db.Close())
	}
	return s.begin()
}

// makeFile makes an empty file, unless there is one: SQLite would make it readable for everybody. Its log gets the same rights.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return err
	}
	return f.Close()
}

// known tells of damage that SQLite would not see: what the last run has met, and a log without its database, which SQLite would delete.
func known(path string) error {
	if text, err := os.ReadFile(path + suspectSuffix); err == nil {
		return fmt.Errorf("%w, as the gateway has met while it ran (%s): %s", ErrDamaged, strings.TrimSpace(string(text)), adviceDamaged)
	}
	db, err := os.Stat(path)
	if err != nil {
		return err
	}
	log, err := os.Stat(path + "-wal")
	switch {
	case err != nil || log.Size() == 0:
		return nil
	case db.Size() == 0:
		return fmt.Errorf("%w: it is empty, and its log is not: %s", ErrDamaged, adviceDamaged)
	}
	p, err := openPages(path)
	if err != nil {
		return err
	}
	if p.strange {
		err = fmt.Errorf("%w: the log beside it belongs to another buffer: %s", ErrDamaged, adviceDamaged)
	}
	return errors.Join(err, p.close())
}

// prepare makes the schema what it has to be and loads what memory has to know.
func (s *Store) prepare(ctx context.Context, c *conn) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	version, err := c.identify(len(steps))
	if err != nil {
		return err
	}
	if err := c.configure(s.opts.MaxSize, s.opts.pageSize); err != nil {
		return err
	}
	if version > 0 {
		if err := c.check(ctx); err != nil {
			return err
		}
	}
	if err := c.migrate(version, steps); err != nil {
		return err
	}
	if err := c.whole(); err != nil {
		return err
	}
	return s.load(c)
}

// check looks for damage in the file's structure, for a bounded time. What it does not find, reading finds.
func (c *conn) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	var verdict string
	err := c.c.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict)
	if err != nil && ctx.Err() != nil {
		return nil // large, and whole as far as it got
	}
	if err != nil || verdict == "ok" {
		return err
	}
	lines := strings.Split(verdict, "\n")
	return fmt.Errorf("%w (%s): %s", ErrDamaged, lines[len(lines)-1], adviceDamaged)
}

// whole looks whether all tables are there.
func (c *conn) whole() error {
	for _, name := range []string{
		"meta", "queue", "chunk", "ref", "gap", "session", "subscription", "inbound", "received", "retained", "will", "command_state",
		"command", "epoch", "dead",
	} {
		var n int
		if err := c.c.QueryRowContext(context.Background(), `SELECT count(*) FROM sqlite_schema WHERE name = ?`, name).Scan(&n); err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%w: its table %s is missing: %s", ErrDamaged, name, adviceDamaged)
		}
	}
	return nil
}

// load reads what memory has to know: queues, epochs, the inbox, how much is set aside.
func (s *Store) load(c *conn) error {
	if err := c.ints(`SELECT count(*) FROM dead`, &s.stats.Dead); err != nil {
		return fmt.Errorf("count what was set aside: %w", err)
	}
	if err := s.loadQueues(c); err != nil {
		return fmt.Errorf("load queues: %w", err)
	}
	err := c.each(func(rows *sql.Rows) error {
		var name string
		var value uint64
		err := rows.Scan(&name, &value)
		s.epochs[name] = value
		return err
	}, `SELECT name, value FROM epoch`)
	if err != nil {
		return fmt.Errorf("load epochs: %w", err)
	}
	if err := s.loadInbox(c); err != nil {
		return fmt.Errorf("load inbox: %w", err)
	}
	if err := s.loadLimits(c); err != nil {
		return fmt.Errorf("load limits: %w", err)
	}
	return nil
}

func (s *Store) loadQueues(c *conn) error {
	type row struct {
		id          gateway.QueueID
		name        sql.NullString
		acked, next uint64
	}
	var list []row
	err := c.each(func(rows *sql.Rows) error {
		var r row
		err := rows.Scan(&r.id, &r.name, &r.acked, &r.next)
		list = append(list, r)
		return err
	}, `SELECT id, name, acked, next FROM queue ORDER BY id`)
	if err != nil {
		return err
	}
	for _, r := range list {
		for int(r.id) > len(s.queues) {
			s.queues = append(s.queues, nil)
		}
		last, err := c.lastRow(r.id)
		if err != nil {
			return err
		}
		if r.next = max(r.next, last+1); last <= r.acked {
			r.acked = r.next - 1 // what lies between was never written
		}
		q := newQueue(r.id, r.name.String, r.acked, r.next)
		q.lastRow, q.received = last, true
		q.uncounted = uncounted{after: r.acked, through: r.next - 1}
		s.writer.acked[r.id] = r.acked
		s.queues = append(s.queues, q)
		switch {
		case r.name.Valid:
			s.names[q.name] = q
		case last > 0: // its session was dropped, and a crash came before all was deleted
			q.dropped, q.dirty = true, true
			s.dirty = append(s.dirty, q)
		default:
			q.dropped, s.queues[q.id] = true, nil
			s.free = append(s.free, q)
		}
	}
	return nil
}

// lastRow returns the highest position of a queue that has a row, 0 when none has.
func (c *conn) lastRow(q gateway.QueueID) (last uint64, err error) {
	for _, query := range []string{
		`SELECT key, span FROM chunk WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT ?`,
		`SELECT key, span FROM ref WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT ?`,
	} {
		// Chunks of one segment overlap, so the one that begins last need not end last. A segment has no more of them than this.
		err := c.each(func(rows *sql.Rows) error {
			var k int64
			var span uint64
			err := rows.Scan(&k, &span)
			last = max(last, keyPos(k)+span)
			return err
		}, query, key(q, 0), key(q, posMask), segmentRecords)
		if err != nil {
			return 0, err
		}
	}
	return last, nil
}

// begin sets out from where the last run ended: with the next number after a stop in order, else behind all that were reserved.
func (s *Store) begin() error {
	m, err := s.writer.meta()
	if err != nil {
		return err
	}
	s.resumeSalvage(m)
	crashed := m.mark > 0 && !m.clean
	s.seq, s.reserving = max(m.mark, 1), true
	s.mark = s.seq + uint64(len(s.queues)) // for tellRestart: the commit below reserves them too
	if s.id = m.store; s.id == "" {
		if err := s.name(); err != nil {
			return err
		}
	}
	if crashed {
		if err := s.tellRestart(m); err != nil {
			return err
		}
	}
	g := &s.writer.group
	s.take(g, s.list.n)
	if err := s.commit(g); err != nil {
		return err
	}
	s.settle(g)
	return nil
}

// meta is what the table of that name holds.
type meta struct {
	store      string
	mark, base uint64
	clean      bool
	salvage    string // name of a damaged file whose records are to be saved
	salvaged   uint64 // through this seq of it they are
	epochFloor uint64 // no epoch is lower
}

func (c *conn) meta() (m meta, err error) {
	err = c.each(func(rows *sql.Rows) error {
		var name, value string
		err := rows.Scan(&name, &value)
		if err != nil {
			return err
		}
		switch name {
		case metaStore:
			m.store = value
		case metaMark:
			_, err = fmt.Sscan(value, &m.mark)
		case metaBase:
			_, err = fmt.Sscan(value, &m.base)
		case metaClean:
			m.clean = value == "1"
		case metaSalvage:
			m.salvage = value
		case metaSalvaged:
			_, err = fmt.Sscan(value, &m.salvaged)
		case metaEpoch:
			_, err = fmt.Sscan(value, &m.epochFloor)
		}
		return err
	}, `SELECT key, value FROM meta`)
	return m, err
}

// name gives a new file its random id.
func (s *Store) name() error {
	var b [8]byte
	rand.Read(b[:]) // never fails
	s.id = hex.EncodeToString(b[:])
	return s.writer.exec(`INSERT INTO meta(key, value) VALUES(?, ?)`, metaStore, s.id)
}

// tellRestart puts a gap record into each upstream's queue: of the numbers up to the mark nobody knows which were given.
func (s *Store) tellRestart(m meta) error {
	from := max(m.base, 1)
	for _, q := range s.queues {
		if q == nil || q.lastRow <= q.acked {
			continue
		}
		rec, err := s.recordAt(q.id, q.lastRow)
		if err == nil {
			from = max(from, rec.Seq+1)
		}
	}
	if from >= m.mark {
		from = m.mark - 1
	}
	for _, q := range s.queues {
		if q == nil || !q.upstream() {
			continue
		}
		rec := s.gapRecord(0, gateway.Gap{Queue: q.name, From: from, To: m.mark - 1, Reason: "restart"})
		s.Commit(&gateway.Change{Record: rec, To: []gateway.Ref{{Queue: q.id, QoS: 1}}}, nil)
	}
	return nil
}

// release gives back what a failed Open has taken, but for the lock.
func (s *Store) release() error { return errors.Join(s.reader.close(), s.writer.conn.close()) }

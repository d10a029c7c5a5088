package buffer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// The shape of the file and of its log.
const (
	newPageSize     = 2048       // of a file that is made now; one that is there keeps the size it has, which was 4096 once
	checkpointBytes = 4000 << 10 // of pages in the log at most, after which they go into the database
	logLimit        = 4 << 20    // bytes; a log that grew beyond is cut when it starts anew
	logReserve      = 16 << 20   // of max_size for the log: a transaction may be as large as what waits for one slow fsync
	leastSize       = 256 << 10  // a smaller database could not hold anything
	cacheKiB        = 2000       // of pages that the writing connection keeps in memory
	applicationID   = 0x54644774 // "TdGt", in the file's header
	driverName      = "sqlite"   // as modernc registers itself
	maxReaders      = 4          // consumers that read the disk at the same time
)

// conn is the writing connection with its prepared statements.
type conn struct {
	db    *sql.DB
	c     *sql.Conn
	stmts map[string]*sql.Stmt

	pageSize int64 // of the file; known once it is configured
}

// dsn names the file at path. Everything about it is set by statements: in a DSN page_size would come too late.
func dsn(path, query string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	u := url.URL{Scheme: "file", Path: abs, RawQuery: query}
	return u.String(), nil
}

// dial opens the writing connection to the file at path, which need not exist, and changes nothing yet.
func dial(ctx context.Context, path string) (*conn, error) {
	name, err := dsn(path, "_busy_timeout=5000")
	if err != nil {
		return nil, err
	}
	db, err := sql.Open(driverName, name)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &conn{db: db, c: c, stmts: map[string]*sql.Stmt{}}, nil
}

// redial opens the writing connection to a file that was open before.
func redial(path string, maxSize int64) (*conn, error) {
	c, err := dial(context.Background(), path)
	if err != nil {
		return nil, err
	}
	if err := c.configure(maxSize, newPageSize); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// configure sets what holds for the file, which must come first and in this order, and what holds for the connection. pageSize is for a file
// that is new: SQLite lets one that is there keep its own.
func (c *conn) configure(maxSize, pageSize int64) error {
	err := c.pragmas(
		fmt.Sprintf("page_size = %d", pageSize),
		"auto_vacuum = INCREMENTAL", // pages come back after an outage, when there is time
		"journal_mode = WAL",
	)
	if err != nil {
		return err
	}
	if err := c.ints(`PRAGMA page_size`, &c.pageSize); err != nil {
		return fmt.Errorf("ask for the size of pages: %w", err)
	}
	return c.pragmas(
		"synchronous = FULL",     // NORMAL would lose acknowledged commits at a power cut
		"wal_autocheckpoint = 0", // the writer does it, after it has answered those who wait
		fmt.Sprintf("journal_size_limit = %d", logLimit),
		fmt.Sprintf("max_page_count = %d", mostBytes(maxSize)/c.pageSize),
		fmt.Sprintf("cache_size = -%d", cacheKiB),
		"temp_store = MEMORY",
	)
}

func (c *conn) pragmas(list ...string) error {
	for _, p := range list {
		if _, err := c.c.ExecContext(context.Background(), "PRAGMA "+p); err != nil {
			return fmt.Errorf("set %s: %w", p, err)
		}
	}
	return nil
}

// reserve is the part of max_size that is kept for the log.
func reserve(maxSize int64) int64 { return min(logReserve, maxSize/4) }

// mostBytes is how large the database itself may become.
func mostBytes(maxSize int64) int64 { return max(leastSize, maxSize-reserve(maxSize)) }

// pagesOf asks for a number of pages and returns their bytes.
func (c *conn) pagesOf(pragma string) (bytes int64, err error) {
	err = c.ints(pragma, &bytes)
	return bytes * c.pageSize, err
}

// fileBytes returns how large the database is, and how much of that is free.
func (c *conn) fileBytes() (have, free int64, err error) {
	if have, err = c.pagesOf(`PRAGMA page_count`); err != nil {
		return 0, 0, err
	}
	free, err = c.pagesOf(`PRAGMA freelist_count`)
	return have, free, err
}

// openReader opens the connections that only read.
func openReader(path string) (*sql.DB, error) {
	name, err := dsn(path, "mode=rw&_query_only=1&_busy_timeout=5000&_pragma=cache_size(-512)")
	if err != nil {
		return nil, err
	}
	db, err := sql.Open(driverName, name)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(maxReaders)
	db.SetMaxIdleConns(1)
	return db, nil
}

func (c *conn) stmt(query string) (*sql.Stmt, error) {
	if s := c.stmts[query]; s != nil {
		return s, nil
	}
	s, err := c.c.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	c.stmts[query] = s
	return s, nil
}

// exec runs a statement. Statements are prepared once: query must be one of a fixed set.
func (c *conn) exec(query string, args ...any) error {
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	_, err = s.Exec(args...)
	return err
}

// each runs a query and calls row for each row of its result.
func (c *conn) each(row func(*sql.Rows) error, query string, args ...any) error {
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	rows, err := s.Query(args...)
	if err != nil {
		return err
	}
	return eachRow(rows, row)
}

// eachRow calls row for each of rows and closes them.
func eachRow(rows *sql.Rows, row func(*sql.Rows) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// ints runs a query and scans the numbers of its only row.
func (c *conn) ints(query string, to ...any) error {
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	return s.QueryRow().Scan(to...)
}

func (c *conn) close() error {
	if c == nil {
		return nil
	}
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.c.Close(), c.db.Close())...)
}

// code returns SQLite's primary result code of err, 0 when err is not SQLite's.
func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// refused reports whether err lies in what was to be written, not in the disk: the same would fail again.
func refused(err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE:
		return true
	}
	return false
}

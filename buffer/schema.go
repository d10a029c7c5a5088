package buffer

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"

	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations returns the steps to the present schema: number n of them, from 1, makes version n out of version n-1.
func migrations() ([]string, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	steps := make([]string, 0, len(names))
	for i, name := range names {
		if want := fmt.Sprintf("%04d.sql", i+1); path.Base(name) != want {
			return nil, fmt.Errorf("migration %s stands where %s should", name, want)
		}
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		steps = append(steps, string(text))
	}
	return steps, nil
}

// identify refuses a file that is no buffer, or one that this version cannot read. version is 0 for a new file.
func (c *conn) identify(known int) (version int, err error) {
	var app int64
	var tables int
	for _, q := range []struct {
		query string
		to    any
	}{
		{`PRAGMA application_id`, &app}, {`PRAGMA user_version`, &version}, {`SELECT count(*) FROM sqlite_schema`, &tables},
	} {
		if err := c.ints(q.query, q.to); err != nil {
			return 0, err
		}
	}
	switch {
	case app == 0 && version == 0 && tables == 0:
		return 0, nil
	case app != applicationID:
		return 0, fmt.Errorf("%w but another program's database: move it away, or name another data folder", ErrForeign)
	case version > known:
		return 0, fmt.Errorf("%w of this program (schema %d, this one knows up to %d): install that version again, or move the file away",
			ErrNewer, version, known)
	}
	return version, nil
}

// migrate brings the schema from version to the last of steps, each step in a transaction of its own.
func (c *conn) migrate(version int, steps []string) error {
	for ; version < len(steps); version++ {
		script := fmt.Sprintf("BEGIN IMMEDIATE;\n%s\nPRAGMA application_id = %d;\nPRAGMA user_version = %d;\nCOMMIT;",
			steps[version], applicationID, version+1)
		if _, err := c.c.ExecContext(context.Background(), script); err != nil {
			_, _ = c.c.ExecContext(context.Background(), "ROLLBACK")
			return fmt.Errorf("migrate the schema to version %d: %w", version+1, err)
		}
	}
	return nil
}

const adviceDamaged = "move the file and its -wal away, to save what can be saved; the gateway starts a new one"

// explain says in words what to do about an error of SQLite at Open.
func explain(err error) error {
	if errors.Is(err, ErrDamaged) {
		return err
	}
	switch code(err) {
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w (%w): move the file away; the gateway starts a new one", ErrForeign, err)
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%w (%w): %s", ErrDamaged, err, adviceDamaged)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("%w: the file and its folder must be writable by the gateway's user", err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: there is no room on the disk, or the file is larger than max_size allows", err)
	case sqlite3.SQLITE_BUSY:
		return fmt.Errorf("%w by a program that does not know the gateway's lock, such as a database browser (%w): close it", ErrInUse, err)
	}
	return err
}

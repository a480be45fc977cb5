package index

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/callseal/callseal/gateway/fault"
)

//go:embed schema/*.sql
var schema embed.FS

// readers bounds the queries that run at once.
const readers = 4

// database is the rows' home: one connection that writes and several that read.
type database struct {
	writer, reader *sql.DB
	postgres       bool
	name           string // for people
}

// openDatabase opens the database and brings its schema up to date.
func openDatabase(ctx context.Context, config *Config) (*database, error) {
	db := &database{postgres: config.Postgres.DSN != ""}
	var err error
	if db.postgres {
		err = db.openPostgres(config.Postgres.DSN.Reveal())
	} else {
		err = db.openSQLite(config.SQLiteFile)
	}
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	if err := db.migrate(ctx); err != nil {
		return nil, errors.Join(err, db.close())
	}
	return db, nil
}

// openSQLite opens one file. What a power cut takes of its last transactions is
// projected again, so they are not synced one by one (WAL, synchronous NORMAL: the
// file is never damaged).
func (d *database) openSQLite(file string) (err error) {
	d.name = file
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("make the index's folder: %w", err)
	}
	dsn := func(pragmas ...string) string {
		values := url.Values{"_pragma": append([]string{"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(NORMAL)", "temp_store(MEMORY)"}, pragmas...)}
		return "file:" + (&url.URL{Path: file}).EscapedPath() + "?" + values.Encode()
	}
	// The cache is in KiB: with the readers' some 32 MB in all.
	if d.writer, err = sql.Open("sqlite", dsn("cache_size(-16384)", "wal_autocheckpoint(8000)")+"&_txlock=immediate"); err != nil {
		return fmt.Errorf("open the index %s: %w", file, err)
	}
	d.writer.SetMaxOpenConns(1)
	if d.reader, err = sql.Open("sqlite", dsn("cache_size(-4096)", "query_only(1)")); err != nil {
		return fmt.Errorf("open the index %s: %w", file, err)
	}
	d.reader.SetMaxOpenConns(readers)
	d.reader.SetMaxIdleConns(readers)
	return nil
}

// openPostgres opens a server's database. Commits need not wait for its disk, for
// the reason SQLite's need not.
func (d *database) openPostgres(dsn string) (err error) {
	d.name = "PostgreSQL"
	if d.writer, err = sql.Open("pgx", dsn); err != nil {
		return fmt.Errorf("open the index in PostgreSQL: %w", err)
	}
	d.writer.SetMaxOpenConns(1)
	if d.reader, err = sql.Open("pgx", dsn); err != nil {
		return fmt.Errorf("open the index in PostgreSQL: %w", err)
	}
	d.reader.SetMaxOpenConns(readers)
	d.reader.SetMaxIdleConns(readers)
	return nil
}

func (d *database) close() error {
	var errs []error
	for _, pool := range []*sql.DB{d.reader, d.writer} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(errs...)
}

// migrate brings the schema up to date.
func (d *database) migrate(ctx context.Context) error {
	dialect, files := goose.DialectSQLite3, fs.FS(schema)
	if d.postgres {
		dialect = goose.DialectPostgres
		var err error
		if files, err = postgresSchema(); err != nil {
			return err
		}
	}
	folder, err := fs.Sub(files, "schema")
	if err != nil {
		return fmt.Errorf("find the index's schema: %w", err)
	}
	provider, err := goose.NewProvider(dialect, d.writer, folder)
	if err != nil {
		return fmt.Errorf("prepare the index's schema: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("bring the index's schema in %s up to date: %w", d.name, err)
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return fmt.Errorf("draw a key for page tokens: %w", err)
	}
	if _, err := d.writer.ExecContext(ctx, "INSERT INTO token_key (id, key) VALUES (1, $1) ON CONFLICT (id) DO NOTHING", key); err != nil {
		return fmt.Errorf("keep the key for page tokens: %w", err)
	}
	return nil
}

// types are what PostgreSQL calls the types of the schema. Its integers are 64 bits
// wide as SQLite's are, and its texts compare by bytes as SQLite's do, whatever the
// server's locale is.
var types = []struct {
	word *regexp.Regexp
	is   string
}{
	{regexp.MustCompile(`\bINTEGER\b`), "BIGINT"},
	{regexp.MustCompile(`\bTEXT\b`), `TEXT COLLATE "C"`},
	{regexp.MustCompile(`\bBLOB\b`), "BYTEA"},
}

// postgresSchema is the schema in PostgreSQL's words.
func postgresSchema() (fs.FS, error) {
	translated := fstest.MapFS{}
	files, err := fs.Glob(schema, "schema/*.sql")
	if err != nil {
		return nil, fmt.Errorf("find the index's schema: %w", err)
	}
	for _, file := range files {
		text, err := schema.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the index's schema: %w", err)
		}
		for _, one := range types {
			text = one.word.ReplaceAll(text, []byte(one.is))
		}
		translated[file] = &fstest.MapFile{Data: text}
	}
	return translated, nil
}

// begin begins a transaction that writes. It holds the checkpoint's row, so that
// of several gateways on one database one writes at a time.
func (d *database) begin(ctx context.Context) (*sql.Tx, error) {
	tx, err := d.writer.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("begin to write the index: %w", err)
	}
	if d.postgres {
		if _, err := tx.ExecContext(ctx, "SET LOCAL synchronous_commit = off"); err != nil {
			return nil, errors.Join(fmt.Errorf("begin to write the index: %w", err), tx.Rollback())
		}
	}
	return tx, nil
}

// read runs queries on one snapshot.
func (d *database) read(ctx context.Context, queries func(*sql.Tx) error) error {
	tx, err := d.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: d.snapshot()})
	if err != nil {
		return unread(ctx, fmt.Errorf("read the index: %w", err))
	}
	if err := queries(tx); err != nil {
		return unread(ctx, errors.Join(err, tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return unread(ctx, fmt.Errorf("read the index: %w", err))
	}
	return nil
}

// awayFor is when to ask again for what is in a database that is away.
const awayFor = 2 * time.Second

// unread is the error of a query: a fault that passes where the database cannot be
// reached or ends the connection, unless nobody waits for it any more.
func unread(ctx context.Context, err error) error {
	var unreached *pgconn.ConnectError
	var broken *net.OpError
	var said *pgconn.PgError
	gone := errors.As(err, &unreached) || errors.As(err, &broken) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, driver.ErrBadConn) ||
		errors.As(err, &said) && strings.HasPrefix(said.Code, "57P") // it is shut down
	if !gone || ctx.Err() != nil {
		return err
	}
	return &fault.Error{
		Kind: fault.Unavailable, Stage: fault.StageEvaluate, RetryAfter: awayFor, Err: err,
		Message: "the index's database does not answer: lists wait until it does",
	}
}

// snapshot is the isolation under which all queries of a transaction see the same
// rows. SQLite's transactions always do, and its driver knows no name for it.
func (d *database) snapshot() sql.IsolationLevel {
	if d.postgres {
		return sql.LevelRepeatableRead
	}
	return sql.LevelDefault
}

// forUpdate is what makes a SELECT hold its row.
func (d *database) forUpdate() string {
	if d.postgres {
		return " FOR UPDATE"
	}
	return "" // SQLite's writer holds the whole database
}

package cdr

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/maphash"
	"regexp"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// A row is written when its call ends and found by when it began, so that it comes to
// stand among older ones; and it can be changed later. So the table is looked through
// again and again: often where calls that just ended began, and now and then as far
// back as a call may last.
const (
	// lately is looked at whenever there are more rows in it than before.
	lately = 15 * time.Minute
	// hours is looked at every minute.
	hours = 3 * time.Hour
	// LongestCall is looked at first, after each reconnect, and every quarter of an hour. The row of a call that lasts longer is found when the adapter is started
	// anew, or imported.
	LongestCall = 24 * time.Hour
	// slice is how much is read at once: nothing is held open in the database while rows
	// are taken, for Asterisk waits for the same table.
	slice = 10 * time.Minute
	// askTimeout bounds one question to the database.
	askTimeout = 20 * time.Second
)

// wallFormat is how a database writes a time, and compares it.
const wallFormat = "2006-01-02 15:04:05"

// TableName is what a table may be called, with its database's name before it or not.
var TableName = regexp.MustCompile(`^[A-Za-z0-9_$]+(\.[A-Za-z0-9_$]+)?$`)

// TableCheckpoint is how far a table was followed. The zero value is a day before now:
// what is older is imported.
type TableCheckpoint struct {
	// Swept is the start of the newest call when the table was last looked through, as
	// far back as LongestCall, as the table writes it.
	Swept string `json:"swept"`
}

// Table follows a table of CDRs that Asterisk's cdr_adaptive_odbc fills, such as
// FreePBX's asteriskcdrdb.cdr. It reads only: the user needs SELECT on the table.
type Table struct {
	// DB is the database, MariaDB or MySQL. Times must come as text, which is the
	// driver's default.
	DB *sql.DB
	// Name of the table.
	Name string
	// Zone of its times: UTC with usegmtime = yes in cdr_adaptive_odbc.conf, else the
	// PBX's own.
	Zone *time.Location
	// From is where to begin.
	From TableCheckpoint
	// Refused, if given, says of an error of the database that trying again is no use.
	Refused func(error) bool
	// Poll is how often to look; 0 means 1 s.
	Poll time.Duration

	// hoursEvery and longestEvery are how often so much is looked at.
	hoursEvery, longestEvery time.Duration

	layout *layout
	seed   maphash.Seed
	// seen are the rows that were delivered, by a hash of their key.
	seen map[uint64]seenRow
	// newest is the start of the newest call that was seen.
	newest string
	// counted is how many rows there were lately, from countedFrom on.
	counted     int
	countedFrom string
}

// seenRow is what a row was.
type seenRow struct {
	content uint64
	start   string
}

// TableHandler is told what is found, by one goroutine.
type TableHandler struct {
	// Row is a row that is new or was changed. Its error ends Run.
	Row func(Row) error
	// Bad is a row that cannot be taken, once until it is changed.
	Bad func(error)
	// Swept is called when the table was looked through. Its error ends Run.
	Swept func(TableCheckpoint) error
	// Connected is called when the database answers, attempt 1 being the first, and
	// Lost when it does not.
	Connected func(attempt int)
	Lost      func(error)
}

// handlerError is an error of the handler's.
type handlerError struct{ error }

func (e handlerError) Unwrap() error { return e.error }

// Run delivers rows until the context ends, or the handler fails, or the table cannot
// be used: a *MissingColumnError or ErrNoTable.
func (t *Table) Run(ctx context.Context, handler TableHandler) error {
	if t.Poll == 0 {
		t.Poll = time.Second
	}
	if t.hoursEvery == 0 {
		t.hoursEvery, t.longestEvery = time.Minute, 15*time.Minute
	}
	t.seed, t.seen = maphash.MakeSeed(), map[uint64]seenRow{}
	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval, retry.MaxInterval = 50*time.Millisecond, 2*time.Second
	for attempt := 1; ; {
		err := t.follow(ctx, handler, func() {
			retry.Reset()
			handler.Connected(attempt)
			attempt++
		})
		var own handlerError
		switch {
		case errors.As(err, &own):
			return own.error
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrMissingColumn), errors.Is(err, ErrNoTable):
			return err
		case t.Refused != nil && t.Refused(err):
			return t.refusal(err)
		}
		handler.Lost(err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retry.NextBackOff()):
		}
	}
}

// Past delivers every row that began before a time, from the first on, each once: what
// Run leaves out. Row and Bad of the handler are used. Errors are those of Run, and the
// database's.
func (t *Table) Past(ctx context.Context, from, before time.Time, handler TableHandler) error {
	t.seed = maphash.MakeSeed()
	if err := t.Check(ctx); err != nil {
		return err
	}
	end := before.In(t.Zone).Format(wallFormat)
	for at := from.In(t.Zone).Format(wallFormat); ; {
		start, err := t.next(ctx, at)
		if err != nil || start == "" || start >= end {
			return err
		}
		began, ok := wallClock(start)
		if !ok {
			return fmt.Errorf("column %s of the table of CDRs holds %q, which is no time", t.layout.start, start)
		}
		at = min(began.Add(slice).Format(wallFormat), end)
		rows, err := t.between(ctx, start, at)
		if err != nil {
			return err
		}
		for _, values := range rows {
			t.seen = map[uint64]seenRow{} // each is read once
			if err := t.deliver(values, handler); err != nil {
				return err
			}
		}
	}
}

// Check sees whether the table can be followed. Errors are those of Run.
func (t *Table) Check(ctx context.Context) error {
	err := t.learn(ctx)
	if err != nil && t.Refused != nil && t.Refused(err) {
		return t.refusal(err)
	}
	return err
}

func (t *Table) refusal(err error) error {
	return fmt.Errorf("%w: %w: check cdr.table's user, password and database, and GRANT SELECT ON %s to that user", ErrNoTable, err, t.Name)
}

// follow looks through the table for as long as the database answers.
func (t *Table) follow(ctx context.Context, handler TableHandler, connected func()) error {
	if err := t.learn(ctx); err != nil {
		return err
	}
	connected()
	var sweptHours, sweptAll time.Time
	poll := time.NewTicker(t.Poll)
	defer poll.Stop()
	for {
		var err error
		switch now := time.Now(); {
		case sweptAll.IsZero() || now.Sub(sweptAll) > t.longestEvery:
			err = t.sweep(ctx, handler)
			sweptAll, sweptHours = now, now
		case now.Sub(sweptHours) > t.hoursEvery:
			err = t.read(ctx, t.before(hours), handler)
			sweptHours = now
		default:
			err = t.lookLately(ctx, handler)
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
		}
	}
}

// learn finds out which columns there are.
func (t *Table) learn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	database, table, qualified := strings.Cut(t.Name, ".")
	if !qualified {
		database, table = "", t.Name
	}
	rows, err := t.DB.QueryContext(ctx, "SELECT column_name, COALESCE(character_maximum_length, 0) FROM information_schema.columns WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ?", database, table)
	if err != nil {
		return fmt.Errorf("ask which columns the table of CDRs has: %w", err)
	}
	defer rows.Close() //nolint:errcheck // only read
	var columns []Column
	for rows.Next() {
		var column Column
		if err := rows.Scan(&column.Name, &column.Chars); err != nil {
			return fmt.Errorf("read the columns of the table of CDRs: %w", err)
		}
		columns = append(columns, column)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the columns of the table of CDRs: %w", err)
	}
	if len(columns) == 0 {
		return fmt.Errorf("%w: there is no table %s, or the user may not read it: GRANT SELECT ON %s TO the adapter's user", ErrNoTable, t.Name, t.Name)
	}
	t.layout, err = layoutOf(t.Name, columns)
	return err
}

// before is so long before now, or before the newest call where that is older: clocks
// are set. It is a time as the table writes it.
func (t *Table) before(window time.Duration) string {
	from := time.Now().In(t.Zone).Add(-window).Format(wallFormat)
	if newest, ok := wallClock(t.newest); ok {
		from = min(from, newest.Add(-window).Format(wallFormat))
	}
	return from
}

// sweep looks through all of a longest call.
func (t *Table) sweep(ctx context.Context, handler TableHandler) error {
	if t.newest == "" {
		t.newest = t.From.Swept
	}
	from := t.before(LongestCall)
	if err := t.read(ctx, from, handler); err != nil {
		return err
	}
	for key, row := range t.seen {
		if row.start < from {
			delete(t.seen, key)
		}
	}
	if t.newest == "" {
		return nil
	}
	if err := handler.Swept(TableCheckpoint{Swept: t.newest}); err != nil {
		return handlerError{err}
	}
	return nil
}

// lookLately reads what began lately if there is more of it than before.
func (t *Table) lookLately(ctx context.Context, handler TableHandler) error {
	// The same stretch is counted until it is twice as long as it need be.
	if from := t.before(lately); t.countedFrom == "" || t.countedFrom < t.before(2*lately) || from < t.countedFrom {
		t.countedFrom, t.counted = from, -1
	}
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var count int
	if err := t.DB.QueryRowContext(asking, fmt.Sprintf("SELECT COUNT(*) FROM %s WHERE %s >= ?", quoted(t.Name), quoted(t.layout.start)), t.countedFrom).Scan(&count); err != nil {
		return fmt.Errorf("count the rows of the table of CDRs: %w", err)
	}
	if count == t.counted {
		return nil
	}
	if err := t.read(ctx, t.countedFrom, handler); err != nil {
		return err
	}
	t.counted = count
	return nil
}

// read delivers what is new from a time on.
func (t *Table) read(ctx context.Context, from string, handler TableHandler) error {
	for from != "" {
		start, err := t.next(ctx, from)
		if err != nil || start == "" {
			return err
		}
		began, ok := wallClock(start)
		if !ok {
			return fmt.Errorf("column %s of the table of CDRs holds %q, which is no time", t.layout.start, start)
		}
		from = began.Add(slice).Format(wallFormat)
		rows, err := t.between(ctx, start, from)
		if err != nil {
			return err
		}
		for _, values := range rows {
			if err := t.deliver(values, handler); err != nil {
				return err
			}
		}
	}
	return nil
}

// next is the first start from a time on; empty where there is none.
func (t *Table) next(ctx context.Context, from string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var start sql.NullString
	column := quoted(t.layout.start)
	err := t.DB.QueryRowContext(ctx, fmt.Sprintf("SELECT MIN(%s) FROM %s WHERE %s >= ?", column, quoted(t.Name), column), from).Scan(&start)
	if err != nil {
		return "", fmt.Errorf("search the table of CDRs: %w", err)
	}
	text, _, _ := strings.Cut(start.String, ".")
	return text, nil
}

// between reads the rows that began between two times, the later one excluded, all at
// once.
func (t *Table) between(ctx context.Context, from, to string) ([][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var names []string
	for _, column := range t.layout.columns {
		names = append(names, quoted(column.Name))
	}
	start := quoted(t.layout.start)
	found, err := t.DB.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM %s WHERE %s >= ? AND %s < ? ORDER BY %s, %s", strings.Join(names, ", "), quoted(t.Name), start, start, start, quoted("sequence")), from, to)
	if err != nil {
		return nil, fmt.Errorf("read the table of CDRs: %w", err)
	}
	defer found.Close() //nolint:errcheck // only read
	var rows [][]string
	for found.Next() {
		values, to := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			to[i] = &values[i]
		}
		if err := found.Scan(to...); err != nil {
			return nil, fmt.Errorf("read the table of CDRs: %w", err)
		}
		row := make([]string, len(names))
		for i := range values {
			row[i] = values[i].String
		}
		rows = append(rows, row)
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("read the table of CDRs: %w", err)
	}
	return rows, nil
}

// deliver passes a row on unless it was, as it is.
func (t *Table) deliver(values []string, handler TableHandler) error {
	key, content, start := t.hashes(values)
	t.newest = max(t.newest, start)
	if known, seen := t.seen[key]; seen && known.content == content {
		return nil
	}
	row, err := t.layout.parse(values, t.Zone)
	if err != nil {
		handler.Bad(fmt.Errorf("a row of the table of CDRs that began %s: %w", start, err))
	} else if err := handler.Row(row); err != nil {
		return handlerError{err}
	}
	t.seen[key] = seenRow{content, start}
	return nil
}

// hashes tell a row from others, and from what it was before.
func (t *Table) hashes(values []string) (key, content uint64, start string) {
	var name, all maphash.Hash
	name.SetSeed(t.seed)
	all.SetSeed(t.seed)
	for i, value := range values {
		field := fieldSet(1) << t.layout.fields[i]
		if field&(fieldUniqueID|fieldLinkedID|fieldSequence) != 0 {
			_, _ = name.WriteString(value)
			_ = name.WriteByte(0)
		}
		if field == fieldStart {
			start, _, _ = strings.Cut(value, ".")
		}
		_, _ = all.WriteString(value)
		_ = all.WriteByte(0)
	}
	return name.Sum64(), all.Sum64(), start
}

// quoted is a name as SQL takes it; TableName has been checked, columns are the
// database's own.
func quoted(name string) string {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		parts[i] = "`" + strings.ReplaceAll(part, "`", "``") + "`"
	}
	return strings.Join(parts, ".")
}

package cdr

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/cdr/mariadbtest"
)

const patience = time.Minute

// refused says whether a server turned the user away, or the table is not there.
func refused(err error) bool {
	var said *mysql.MySQLError
	return errors.As(err, &said) && said.Number < 1200 && said.Number != 1053 // which is of a server that shuts down
}

// listener is a TableHandler that remembers.
type listener struct {
	mu    sync.Mutex
	rows  []Row
	bad   []error
	swept []TableCheckpoint
	came  int
	lost  int
	// end has it end, await waits for the end by itself.
	end, await func() error
}

func listen(t *testing.T, table *Table) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	l := &listener{await: sync.OnceValue(func() error { return <-ended })}
	l.end = func() error { cancel(); return l.await() }
	table.Poll = 5 * time.Millisecond
	if table.hoursEvery == 0 {
		table.hoursEvery, table.longestEvery = time.Hour, time.Hour
	}
	locked := func(do func()) { l.mu.Lock(); defer l.mu.Unlock(); do() }
	go func() {
		ended <- table.Run(ctx, TableHandler{
			Row:       func(row Row) error { locked(func() { l.rows = append(l.rows, row) }); return nil },
			Bad:       func(err error) { locked(func() { l.bad = append(l.bad, err) }) },
			Swept:     func(at TableCheckpoint) error { locked(func() { l.swept = append(l.swept, at) }); return nil },
			Connected: func(attempt int) { locked(func() { l.came = attempt }) },
			Lost:      func(error) { locked(func() { l.lost++ }) },
		})
	}()
	t.Cleanup(func() { _ = l.end() })
	return l
}

func (l *listener) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	require.Eventually(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return holds() }, patience, 2*time.Millisecond, what)
}

// count is how often each leg came, by sequence.
func (l *listener) count() map[int64]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	times := map[int64]int{}
	for i := range l.rows {
		times[l.rows[i].Sequence]++
	}
	return times
}

// insert writes a call as cdr_adaptive_odbc does.
func insert(t *testing.T, db *sql.DB, zone *time.Location, began time.Time, sequence int, changes ...string) {
	t.Helper()
	values := map[string]any{
		"calldate": began.In(zone).Format(wallFormat), "answer": began.Add(2 * time.Second).In(zone).Format(wallFormat), "end": began.Add(7 * time.Second).In(zone).Format(wallFormat), "clid": `"Zé" <1001>`, "src": "1001", "dst": "1002", "dcontext": "from-internal",
		"channel": "PJSIP/1001-00000000", "dstchannel": "PJSIP/1002-00000001", "lastapp": "Dial", "lastdata": "PJSIP/1002,30", "duration": 7, "billsec": 5,
		"disposition": "ANSWERED", "amaflags": 3, "uniqueid": fmt.Sprintf("%d.%d", began.Unix(), sequence), "linkedid": fmt.Sprintf("%d.%d", began.Unix(), sequence),
		"sequence": sequence,
	}
	for i := 0; i < len(changes); i += 2 {
		values[changes[i]] = changes[i+1]
	}
	names := slices.Sorted(maps.Keys(values))
	var args []any
	for _, name := range names {
		args = append(args, values[name])
	}
	_, err := db.Exec("INSERT INTO cdr (`"+strings.Join(names, "`, `")+"`) VALUES (?"+strings.Repeat(", ?", len(names)-1)+")", args...)
	require.NoError(t, err)
}

// TestTable follows FreePBX's table in a real MariaDB, as a user who may read it and
// nothing else.
func TestTable(t *testing.T) {
	server := mariadbtest.Start(t)
	zone := lisbon(t)
	follow := func(name string) *Table {
		db := server.Open("callseal", "", name)
		t.Cleanup(func() { _ = db.Close() })
		return &Table{DB: db, Name: "cdr", Zone: zone, Refused: refused}
	}
	now := time.Now().Truncate(time.Second)

	t.Run("each row once, whenever it began", func(t *testing.T) {
		name, root := server.Database(mariadbtest.Times)
		insert(t, root, zone, now.Add(-23*time.Hour), 1)
		insert(t, root, zone, now.Add(-40*time.Hour), 2) // to be imported
		table := follow(name)
		l := listen(t, table)
		l.until(t, "what was there", func() bool { return len(l.rows) == 1 && len(l.swept) == 1 })
		row := l.rows[0]
		require.Equal(t, now.Add(-23*time.Hour).UTC(), row.Start)
		require.Equal(t, row.Start.Add(7*time.Second), row.End)
		require.Equal(t, row.Start.Add(2*time.Second), row.Answer)
		require.Empty(t, row.Absent())
		require.Equal(t, "DOCUMENTATION", row.AMAFlags)
		require.Equal(t, `"Zé" <1001>`, row.CLID)
		require.Equal(t, now.Add(-23*time.Hour).In(zone).Format(wallFormat), l.swept[0].Swept)

		const calls = 40
		for n := range calls {
			insert(t, root, zone, now.Add(-time.Duration(n)*time.Second), 100+n)
		}
		l.until(t, "calls that just ended", func() bool { return len(l.rows) == 1+calls })
		for sequence, times := range l.count() {
			require.Equal(t, 1, times, "sequence %d", sequence)
		}
		require.ErrorIs(t, l.end(), context.Canceled)
	})

	t.Run("a long call, a changed row and a bad one", func(t *testing.T) {
		name, root := server.Database(mariadbtest.Times)
		table := follow(name)
		table.hoursEvery, table.longestEvery = 20*time.Millisecond, 50*time.Millisecond
		l := listen(t, table)
		l.until(t, "it was looked through", func() bool { return l.came == 1 })
		insert(t, root, zone, now.Add(-2*time.Hour), 1)
		insert(t, root, zone, now.Add(-22*time.Hour), 2)
		insert(t, root, zone, now.Add(-time.Minute), 3, "disposition", "PERHAPS")
		l.until(t, "long calls", func() bool { return len(l.rows) == 2 && len(l.bad) == 1 && len(l.swept) > 3 })
		require.ErrorIs(t, l.bad[0], ErrBadField)
		require.NotContains(t, l.bad[0].Error(), "1001")
		_, err := root.Exec("UPDATE cdr SET userfield = 'changed' WHERE sequence = 1")
		require.NoError(t, err)
		_, err = root.Exec("UPDATE cdr SET disposition = 'BUSY' WHERE sequence = 3")
		require.NoError(t, err)
		l.until(t, "what was changed, and what was mended", func() bool { return len(l.rows) == 4 && len(l.swept) > 10 })
		require.Equal(t, map[int64]int{1: 2, 2: 1, 3: 1}, l.count())
		require.Len(t, l.bad, 1)
	})

	t.Run("the database is killed and restarted", func(t *testing.T) {
		name, root := server.Database(mariadbtest.Times)
		table := follow(name)
		l := listen(t, table)
		insert(t, root, zone, now, 1)
		l.until(t, "a row", func() bool { return len(l.rows) == 1 })
		for n := range 3 {
			// It began too long ago to be found by anything but a look through all of the
			// table, and the next of these comes with the next connection.
			insert(t, root, zone, now.Add(-20*time.Hour), 10+n)
			l.mu.Lock()
			lost, came := l.lost, l.came
			l.mu.Unlock()
			if n == 1 {
				server.Kill()
			} else {
				server.Stop()
			}
			l.until(t, "it is noticed", func() bool { return l.lost > lost })
			server.Again()
			l.until(t, "what was not seen before", func() bool { return len(l.rows) == 2+n && l.came > came })
			_, err := root.Exec("USE " + name) // said again on the new connection
			require.NoError(t, err)
		}
		require.Equal(t, map[int64]int{1: 1, 10: 1, 11: 1, 12: 1}, l.count())
	})

	t.Run("it goes on from its checkpoint", func(t *testing.T) {
		name, root := server.Database(mariadbtest.Times)
		long := now.AddDate(0, -2, 0)
		insert(t, root, zone, long.Add(-20*time.Hour), 1)
		insert(t, root, zone, long.Add(time.Hour), 2)
		insert(t, root, zone, now.AddDate(0, -1, 0), 3)
		insert(t, root, zone, long.Add(-30*time.Hour), 4)
		table := follow(name)
		table.From = TableCheckpoint{Swept: long.In(zone).Format(wallFormat)}
		l := listen(t, table)
		l.until(t, "all since", func() bool { return len(l.rows) == 3 })
		require.Equal(t, map[int64]int{1: 1, 2: 1, 3: 1}, l.count())
	})

	t.Run("what it cannot follow", func(t *testing.T) {
		for _, c := range []struct {
			name, table string
			as          string
			change      string
			want        error
			says        string
		}{
			{"as FreePBX makes it", "cdr", "callseal", "ALTER TABLE cdr DROP COLUMN answer, DROP COLUMN end", ErrMissingColumn, "run " + mariadbtest.Times},
			{"as older versions made it", "cdr", "callseal", "ALTER TABLE cdr DROP COLUMN linkedid, DROP COLUMN sequence", ErrMissingColumn, "run ALTER TABLE cdr ADD COLUMN `linkedid` VARCHAR(150) NOT NULL, ADD COLUMN `sequence` INT NOT NULL"},
			{"no such table", "calls", "callseal", "DO 0", ErrNoTable, "GRANT SELECT ON calls"},
			{"the user may not read it", "cdr", "callseal", "REVOKE SELECT ON cdr FROM callseal@'127.0.0.1'", ErrNoTable, "GRANT SELECT ON"},
			{"no such user", "cdr", "nobody", "DO 0", ErrNoTable, "check cdr.table's user"},
		} {
			t.Run(c.name, func(t *testing.T) {
				name, root := server.Database(mariadbtest.Times)
				_, err := root.Exec(c.change)
				require.NoError(t, err)
				db := server.Open(c.as, "", name)
				defer func() { require.NoError(t, db.Close()) }()
				l := listen(t, &Table{DB: db, Name: c.table, Zone: zone, Refused: refused})
				err = l.await()
				require.ErrorIs(t, err, c.want)
				require.ErrorContains(t, err, c.says)
			})
		}
	})
}

// layoutOfFreePBX is its table's, with the two columns that it needs.
func layoutOfFreePBX(t testing.TB) *layout {
	t.Helper()
	columns := []Column{{Name: "Calldate"}, {Name: "duration"}, {Name: "billsec"}, {Name: "sequence"}, {Name: "amaflags"}, {Name: "did", Chars: 50}}
	columns = append(columns, Column{Name: "answer"}, Column{Name: "end"})
	for _, name := range strings.Fields("clid src dst dcontext channel dstchannel lastapp lastdata peeraccount") {
		columns = append(columns, Column{name, 80})
	}
	columns = append(columns, Column{"disposition", 45}, Column{"accountcode", 20}, Column{"uniqueid", 32}, Column{"linkedid", 32}, Column{"userfield", 255})
	l, err := layoutOf("cdr", columns)
	require.NoError(t, err)
	return l
}

// valuesOf are a row's in the layout's order, as of the line that Asterisk wrote.
func valuesOf(l *layout, changes map[string]string) []string {
	values := make([]string, len(l.columns))
	for i, column := range l.columns {
		values[i] = map[string]string{
			"Calldate": "2026-11-21 07:04:10", "start": "2026-11-21 07:04:10", "answer": "2026-11-21 07:04:10", "end": "2026-11-21 07:04:12", "duration": "2", "billsec": "2",
			"sequence": "0", "amaflags": "3", "clid": `"Zé, "the" boss" <1001>`, "src": "1001", "dst": "1002", "dcontext": "lab", "channel": "PJSIP/1001-00000000",
			"dstchannel": "PJSIP/1002-00000001", "lastapp": "Dial", "lastdata": "PJSIP/1002,30", "disposition": "ANSWERED", "uniqueid": "1795244650.0", "linkedid": "1795244650.0",
			"userfield": "1-1-30761@127.34.27.2",
		}[column.Name]
		if value, changed := changes[column.Name]; changed {
			values[i] = value
		}
	}
	return values
}

func TestARowOfATable(t *testing.T) {
	file, err := ParseCSV([]byte(written), time.UTC)
	require.NoError(t, err)
	l := layoutOfFreePBX(t)
	row, err := l.parse(valuesOf(l, map[string]string{"end": "2026-11-21 07:04:12.250000"}), time.UTC)
	require.NoError(t, err)
	require.Equal(t, file.Columns(), row.Columns())
	require.Empty(t, row.Absent())
	older, err := layoutOf("cdr", slices.DeleteFunc(slices.Clone(l.columns), func(c Column) bool { return c.Name == "peeraccount" }))
	require.NoError(t, err)
	row, err = older.parse(valuesOf(older, nil), time.UTC)
	require.NoError(t, err)
	require.Equal(t, []string{"peeraccount"}, row.Absent())
	require.True(t, row.Equal(&file), "what the table does not tell is no difference")

	// What fills its column may have gone on.
	long := file
	long.LastData = strings.Repeat("x", 100)
	row, err = l.parse(valuesOf(l, map[string]string{"lastdata": strings.Repeat("x", 80)}), time.UTC)
	require.NoError(t, err)
	require.Equal(t, []string{"lastdata"}, row.Cut())
	require.True(t, row.Equal(&long))
	require.True(t, long.Equal(&row))
	long.LastData = "y" + long.LastData
	require.Len(t, row.Diff(&long), 1)

	// In the hour that comes twice the channel's creation tells which it was.
	zone := lisbon(t)
	autumn := time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC) // 01:30, the second time
	for _, at := range []time.Time{autumn, autumn.Add(-time.Hour)} {
		row, err = l.parse(valuesOf(l, map[string]string{"Calldate": "2026-10-25 01:30:00", "answer": "2026-10-25 01:30:00", "end": "2026-10-25 01:30:02", "uniqueid": fmt.Sprintf("%d.7", at.Unix())}), zone)
		require.NoError(t, err)
		require.Equal(t, at, row.Start)
	}
	row, err = l.parse(valuesOf(l, map[string]string{"answer": "0000-00-00 00:00:00", "billsec": "0", "disposition": "BUSY"}), time.UTC)
	require.NoError(t, err)
	require.True(t, row.Answer.IsZero())

	for name, changes := range map[string]map[string]string{
		"uniqueid not UTF-8": {"uniqueid": "\xff"}, "NUL": {"src": "1\x00"}, "no time": {"Calldate": "0000-00-00 00:00:00"}, "duration": {"duration": "-1"},
		"a uniqueid that may be cut": {"uniqueid": "systemname-abcdefg-1795244650.01"}, "disposition": {"disposition": ""}, "channel": {"channel": ""}, "sequence": {"sequence": "x"},
	} {
		_, err := l.parse(valuesOf(l, changes), time.UTC)
		require.Error(t, err, name)
	}
	_, err = layoutOf("cdr", []Column{{Name: "calldate"}})
	require.ErrorIs(t, err, ErrMissingColumn)
}

func FuzzRowOfATable(f *testing.F) {
	l := layoutOfFreePBX(f)
	for _, changes := range []map[string]string{nil, {"clid": "\xff"}, {"answer": "", "disposition": "BUSY"}, {"Calldate": "2026-10-25 01:30:00"}} {
		values := valuesOf(l, changes)
		f.Add(strings.Join(values, "\x1f"))
	}
	zone := lisbon(f)
	f.Fuzz(func(t *testing.T, text string) {
		values := strings.Split(text, "\x1f")
		if len(values) != len(l.columns) {
			return
		}
		for _, zone := range []*time.Location{time.UTC, zone} {
			row, err := l.parse(values, zone)
			if err != nil {
				continue
			}
			require.False(t, row.End.Before(row.Start))
			require.NotEmpty(t, row.Key().UniqueID)
			require.Empty(t, row.Diff(&row))
		}
	})
}

// BenchmarkRow takes one row of FreePBX's table, as the database's driver answers it:
// told from those that were seen, and parsed where it is new.
func BenchmarkRow(b *testing.B) {
	l := layoutOfFreePBX(b)
	values := valuesOf(l, nil)
	table := Table{Name: "cdr", Zone: lisbon(b), seed: maphash.MakeSeed(), layout: l}
	rows := 0
	handler := TableHandler{Row: func(Row) error { rows++; return nil }, Bad: func(err error) { b.Fatal(err) }}
	for name, seen := range map[string]bool{"new": false, "seen": true} {
		b.Run(name, func(b *testing.B) {
			table.seen = map[uint64]seenRow{}
			before := rows
			b.ReportAllocs()
			for b.Loop() {
				if !seen {
					clear(table.seen)
				}
				if err := table.deliver(values, handler); err != nil {
					b.Fatal(err)
				}
			}
			if want := map[bool]int{false: b.N, true: 1}[seen]; rows-before != want {
				b.Fatalf("%d rows were delivered, not %d", rows-before, want)
			}
		})
	}
}

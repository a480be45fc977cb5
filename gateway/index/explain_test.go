package index

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway/index/postgrestest"
	"github.com/callseal/callseal/gateway/setting"
)

// sorting is what a plan says that sorts or reads a whole table.
var sorting = map[bool]*regexp.Regexp{
	false: regexp.MustCompile(`SCAN t\b(?:$|[^U]*$)|TEMP B-TREE`),
	true:  regexp.MustCompile(`Seq Scan|Sort\b`),
}

// explained are the statements of every list, and whether few rows may be sorted.
func explained(t *testing.T) map[string]struct {
	text string
	args []any
	few  bool
} {
	t.Helper()
	all := map[string]struct {
		text string
		args []any
		few  bool
	}{}
	after := &place{sort: 5, tie: int64(7)}
	add := func(name string, few bool, query func(Page, *place) (string, []any)) {
		for _, page := range []Page{{Values: true}, {Ascending: true}} {
			for _, from := range []*place{nil, after} {
				text, args := query(page, from)
				all[fmt.Sprintf("%s ascending=%t from=%t", name, page.Ascending, from != nil)] = struct {
					text string
					args []any
					few  bool
				}{text, args, few}
			}
		}
	}
	for _, by := range []CallFilter{
		{}, {MSP: "m"}, {MSP: "m", PBX: "p"}, {Disposition: "BUSY"}, {MSP: "m", PBX: "p", Disposition: "BUSY"}, {Direction: "inbound"}, {PartyRef: "r"}, {CallRef: "r"}, {Held: true}, {Erased: true}, {Corrected: true, MSP: "m", PBX: "p"}, {Held: true, Erased: true, MSP: "m", Disposition: "BUSY"}, {MSP: "m", Disposition: "BUSY"},
		{MSP: "m", PBX: "p", LinkedID: "l"},
	} {
		filters, err := callFilters(&by)
		require.NoError(t, err)
		for i := range filters {
			add(fmt.Sprintf("calls %+v %d", by, i), by.LinkedID != "", func(page Page, from *place) (string, []any) { return calls.query(page, 50, from, from, &filters[i]) })
		}
	}
	for _, by := range []RecordingFilter{{}, {MSP: "m"}, {MSP: "m", PBX: "p"}, {SHA256: "s"}, {MSP: "m", PBX: "p", LinkedID: "l"}, {State: Gap}, {State: Held}, {State: Erased, MSP: "m", PBX: "p"}, {State: Retained}, {State: Anchored}} {
		f, err := recordingFilter(&by)
		require.NoError(t, err)
		add(fmt.Sprintf("recordings %+v", by), false, func(page Page, from *place) (string, []any) { return recordings.query(page, 50, from, from, &f) })
	}
	for _, by := range []SubjectFilter{{Epoch: 1}, {Epoch: 1, Type: "ip"}, {Epoch: 1, Standing: "low"}, {Epoch: 1, MinScore: 1, MaxScore: 9}} {
		f := subjectFilter(&by)
		add(fmt.Sprintf("subjects %+v", by), false, func(page Page, from *place) (string, []any) {
			if from != nil {
				from = &place{sort: 5, tie: "tel:a"}
			}
			return subjects.query(page, 50, from, nil, &f)
		})
	}
	for kind, how := range entryLists {
		for _, by := range []EntryFilter{{}, {MSP: "m"}} {
			f, err := how.filter(&by)
			require.NoError(t, err)
			l := how.list(kind)
			add(fmt.Sprintf("%s %+v", kind, by), false, func(page Page, from *place) (string, []any) { return l.query(page, 50, from, from, &f) })
		}
	}
	return all
}

// TestEveryListUsesAnIndex asks each database how it would answer each list.
func TestEveryListUsesAnIndex(t *testing.T) {
	embedded := DefaultConfig()
	embedded.SQLiteFile = filepath.Join(t.TempDir(), "index.db")
	served := DefaultConfig()
	served.Postgres.DSN = setting.Secret(postgrestest.Start(t).Database())
	for _, config := range []Config{embedded, served} {
		x, err := Open(t.Context(), config, Subject{MSP: "m", Channel: "c", Chaincode: "cc"}, slog.New(slog.DiscardHandler), nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, x.Close()) })
		for name, one := range explained(t) {
			plan := planOf(t, x, one.text, one.args)
			bad := sorting[x.db.postgres]
			if one.few {
				bad = regexp.MustCompile(`SCAN t\b(?:$|[^U]*$)|Seq Scan`)
				if !x.db.postgres { // PostgreSQL goes by how many rows there are, and there are none
					require.Contains(t, plan, "calls_leg", "%s\n%s", name, one.text)
				}
			}
			for _, line := range strings.Split(plan, "\n") {
				require.NotRegexp(t, bad, line, "%s\n%s\n%s", name, one.text, plan)
			}
		}
	}
}

// planOf is how the database would answer. The tables are empty, so PostgreSQL is
// told that reading them whole is dear.
func planOf(t *testing.T, x *Index, text string, args []any) string {
	t.Helper()
	var plan strings.Builder
	err := x.db.read(context.Background(), func(tx *sql.Tx) error {
		how := "EXPLAIN QUERY PLAN "
		if x.db.postgres {
			for _, setting := range []string{"enable_seqscan", "enable_bitmapscan", "enable_sort", "enable_incremental_sort"} {
				if _, err := tx.Exec("SET LOCAL " + setting + " = off"); err != nil {
					return err
				}
			}
			how = "EXPLAIN "
		}
		rows, err := tx.Query(how+text, args...)
		if err != nil {
			return err
		}
		type row struct {
			id, parent, unused int64
			line               string
		}
		lines, err := collect(rows, func(r *row) []any {
			if x.db.postgres {
				return []any{&r.line}
			}
			return []any{&r.id, &r.parent, &r.unused, &r.line}
		})
		for _, one := range lines {
			plan.WriteString(one.line + "\n")
		}
		return err
	})
	require.NoError(t, err)
	return plan.String()
}

func TestConditionsAreBound(t *testing.T) {
	filters, err := callFilters(&CallFilter{MSP: "a' OR 1=1 --", PartyRef: "b'"})
	require.NoError(t, err)
	text, args := calls.query(Page{}, 1, nil, nil, &filters[0])
	require.NotContains(t, text, "OR 1=1")
	require.Contains(t, args, any("a' OR 1=1 --"))
	_, err = callFilters(&CallFilter{PBX: "p"})
	require.ErrorContains(t, err, "name the msp")
}

package index_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/index"
	"github.com/callseal/callseal/gateway/index/chaintest"
	"github.com/callseal/callseal/gateway/index/indextest"
	"github.com/callseal/callseal/gateway/index/postgrestest"
	"github.com/callseal/callseal/gateway/setting"
)

// generated is a chain with everything in it.
func generated(blocks int) *chaintest.Chain {
	chain, world := chaintest.New("one"), chaintest.NewWorld(7)
	for n := range blocks {
		transactions := world.Traffic(30)
		if n%5 == 2 {
			transactions = append(transactions, world.Everything()...)
		}
		chain.Add(transactions...)
	}
	return chain
}

// afterwards is a time after all that a generated chain tells of.
func afterwards() ledger.Time {
	return ledger.TimeOf(chaintest.NewWorld(1).Time().Std().AddDate(0, 1, 0))
}

func openPostgres(t testing.TB, server *postgrestest.Server) *index.Index {
	t.Helper()
	config := index.DefaultConfig()
	config.Postgres.DSN = setting.Secret(server.Database())
	return openWith(t, config)
}

func openSQLite(t testing.TB) *index.Index {
	t.Helper()
	return openFile(t, filepath.Join(t.TempDir(), "index.db"))
}

func dump(t testing.TB, x *index.Index) string {
	t.Helper()
	var text bytes.Buffer
	require.NoError(t, x.Dump(t.Context(), &text))
	return text.String()
}

func TestSQLiteAndPostgreSQLAnswerAlike(t *testing.T) {
	chain := generated(30)
	embedded, served := openSQLite(t), openPostgres(t, postgrestest.Start(t))
	projected(t, embedded, chain)
	projected(t, served, chain)
	require.Equal(t, dump(t, embedded), dump(t, served))
	require.Equal(t, indextest.Answers(t, embedded, afterwards()), indextest.Answers(t, served, afterwards()))
}

func TestOnlyTheUnreadableIsUnreadable(t *testing.T) {
	x, chain, world := openSQLite(t), chaintest.New("one"), chaintest.NewWorld(7)
	chain.Add(world.Everything()...)
	projected(t, x, chain)
	changes, _, err := x.Changes(t.Context(), index.Cursor{}, 1000, index.Filter{})
	require.NoError(t, err)
	seen, reasons := map[index.Kind]bool{}, []string{}
	for _, change := range changes {
		seen[change.Kind] = true
		if change.Unreadable != "" {
			reasons = append(reasons, string(change.Kind)+": "+change.Unreadable)
		}
	}
	require.Len(t, reasons, 3, "%v", reasons)
	for _, kind := range index.Kinds() {
		if kind != index.KindLink && kind != index.KindOmission && kind != index.KindBeat { // the traffic has them
			require.True(t, seen[kind], kind)
		}
	}
}

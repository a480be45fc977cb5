package index_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/index"
	"github.com/callseal/callseal/gateway/index/chaintest"
)

// patience bounds what happens eventually.
const patience = time.Minute

var subject = index.Subject{MSP: "AtlasMSP", Channel: "calls", Chaincode: chaintest.Chaincode}

// quiet logs to the test.
func quiet(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// openFile opens an index in SQLite.
func openFile(t testing.TB, file string) *index.Index {
	t.Helper()
	config := index.DefaultConfig()
	config.SQLiteFile = file
	return openWith(t, config)
}

func openWith(t testing.TB, config index.Config) *index.Index {
	t.Helper()
	x, err := index.Open(t.Context(), config, subject, quiet(t), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, x.Close()) })
	return x
}

// run follows the source until the function it answers is called.
func run(t testing.TB, x *index.Index, source index.Source) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { x.Run(ctx, source) })
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return stop
}

// projected follows the source until it is all in the index.
func projected(t testing.TB, x *index.Index, source index.Source) {
	t.Helper()
	stop := run(t, x, source)
	defer stop()
	height, err := source.Height(t.Context())
	require.NoError(t, err)
	await(t, x, height)
}

func await(t testing.TB, x *index.Index, height uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, x.Await(ctx, height), "trouble: %v", x.Trouble())
}

func TestChangesFollowTheChain(t *testing.T) {
	x := openFile(t, filepath.Join(t.TempDir(), "index.db"))
	chain := chaintest.New("one")
	world := chaintest.NewWorld(1)
	for range 10 {
		chain.Add(world.Traffic(20)...)
	}
	projected(t, x, chain)
	require.Equal(t, uint64(11), x.Height())
	var all []index.Change
	for cursor := (index.Cursor{}); ; {
		page, next, err := x.Changes(t.Context(), cursor, 7, index.Filter{})
		require.NoError(t, err)
		all = append(all, page...)
		if cursor = next; len(page) == 0 {
			break
		}
	}
	for _, change := range all {
		require.Empty(t, change.Unreadable, "%s %q", change.Kind, change.Key)
	}
	require.Greater(t, len(all), 200)
}

// TestAFilterLooksAtABoundedStretch has one PBX's few changes among very many others.
func TestAFilterLooksAtABoundedStretch(t *testing.T) {
	x, chain := openSQLite(t), chaintest.New("one")
	const blocks, others = 30, 50
	x.Scan(10 * others)
	for block := range blocks {
		var puts []chaintest.Put
		for n := range others {
			puts = append(puts, chaintest.Put{Key: ledger.CallKey("BorealisMSP", "busy", ledger.LegID{LinkedID: fmt.Sprintf("%d.%d", block, n), UniqueID: "1"}), Deleted: true})
		}
		if block%12 == 5 {
			puts = append(puts, chaintest.Put{Key: ledger.CallKey("AtlasMSP", "rare", ledger.LegID{LinkedID: fmt.Sprint(block), UniqueID: "1"}), Deleted: true})
		}
		chain.Add(chaintest.Transaction{Puts: puts})
	}
	projected(t, x, chain)
	for _, kinds := range [][]index.Kind{nil, {index.KindCall}, {index.KindCall, index.KindHold}} {
		var found []uint64
		steps := 0
		for cursor := (index.Cursor{}); ; steps++ {
			changes, next, err := x.Changes(t.Context(), cursor, 200, index.Filter{Kinds: kinds, MSP: "AtlasMSP", PBX: "rare"})
			require.NoError(t, err)
			for _, change := range changes {
				require.True(t, cursor.Before(change.Cursor), "none comes twice")
				require.False(t, next.Before(change.Cursor), "none is passed over")
				found = append(found, change.Block)
			}
			if next == cursor {
				break
			}
			require.LessOrEqual(t, next.Block-cursor.Block, uint64(11), "a step looks at a bounded number of writes")
			cursor = next
		}
		require.Equal(t, []uint64{6, 18, 30}, found)
		require.Greater(t, steps, 2)
	}
}

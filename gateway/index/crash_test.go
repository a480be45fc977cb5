package index_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway/index"
	"github.com/callseal/callseal/gateway/index/chaintest"
	"github.com/callseal/callseal/gateway/index/postgrestest"
	"github.com/callseal/callseal/gateway/setting"
)

// Variables that make the test program the projecting child.
const (
	childFile = "CALLSEAL_INDEX_TEST_FILE"
	childDSN  = "CALLSEAL_INDEX_TEST_DSN"
)

func TestMain(m *testing.M) {
	if os.Getenv(childFile)+os.Getenv(childDSN) != "" {
		child()
		return
	}
	os.Exit(m.Run())
}

// child projects until it is killed or all is projected.
func child() {
	config := index.DefaultConfig()
	config.SQLiteFile, config.Postgres.DSN, config.BatchBlocks = os.Getenv(childFile), setting.Secret(os.Getenv(childDSN)), 3
	x, err := index.Open(context.Background(), config, subject, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		panic(err)
	}
	chain := generated(crashBlocks)
	ctx, cancel := context.WithCancel(context.Background())
	go x.Run(ctx, chain)
	height, _ := chain.Height(ctx)
	if err := x.Await(ctx, height); err != nil {
		panic(err)
	}
	cancel()
	os.Exit(0)
}

const crashBlocks = 60

// killed projects in child processes that are killed after ever longer times, until
// one gets to the end. It answers how many were killed within the chain.
func killed(t *testing.T, variable string, height func() uint64) (kills int) {
	t.Helper()
	for life := 150 * time.Millisecond; ; life += 40 * time.Millisecond {
		command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
		command.Env = append(os.Environ(), variable)
		var words strings.Builder
		command.Stderr = &words
		require.NoError(t, command.Start())
		ended := make(chan error, 1)
		go func() { ended <- command.Wait() }()
		select {
		case err := <-ended:
			require.NoError(t, err, words.String())
			return kills
		case <-time.After(life):
			require.NoError(t, command.Process.Kill())
			<-ended
		}
		if at := height(); at > 0 && at <= crashBlocks {
			kills++
		}
	}
}

func TestKilledAtAnyInstant(t *testing.T) {
	server := postgrestest.Start(t)
	whole := openSQLite(t)
	projected(t, whole, generated(crashBlocks))
	want := dump(t, whole)

	t.Run("SQLite", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "index.db")
		height := func() uint64 {
			x := openFile(t, file)
			return x.Height()
		}
		kills := killed(t, childFile+"="+file, height)
		require.Positive(t, kills)
		require.Equal(t, want, dump(t, openFile(t, file)))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		dsn := server.Database()
		config := index.DefaultConfig()
		config.Postgres.DSN = setting.Secret(dsn)
		x := openWith(t, config)
		kills := killed(t, childDSN+"="+dsn, func() uint64 {
			at, err := x.Stored(t.Context())
			require.NoError(t, err)
			return at
		})
		require.Positive(t, kills)
		require.Equal(t, want, dump(t, x))
	})
}

func TestRebuildGivesTheSameRows(t *testing.T) {
	chain := generated(20)
	for name, x := range map[string]*index.Index{"SQLite": openSQLite(t), "PostgreSQL": openPostgres(t, postgrestest.Start(t))} {
		t.Run(name, func(t *testing.T) {
			projected(t, x, chain)
			before := dump(t, x)
			page, err := x.Calls(t.Context(), index.CallFilter{}, index.Page{Size: 3})
			require.NoError(t, err)
			require.NoError(t, x.Clear(t.Context()))
			require.Zero(t, x.Height())
			projected(t, x, chain)
			require.Equal(t, before, dump(t, x))
			_, err = x.Calls(t.Context(), index.CallFilter{}, index.Page{Size: 3, Token: page.Next})
			require.NoError(t, err, "page tokens outlive a rebuild")
		})
	}
}

func TestTwoGatewaysShareADatabase(t *testing.T) {
	config := index.DefaultConfig()
	config.Postgres.DSN, config.BatchBlocks = setting.Secret(postgrestest.Start(t).Database()), 1
	first, second := openWith(t, config), openWith(t, config)
	chain := generated(40)
	run(t, first, chain)
	run(t, second, chain)
	await(t, first, 41)
	await(t, second, 41)
	alone := openSQLite(t)
	projected(t, alone, chain)
	require.Equal(t, dump(t, alone), dump(t, first))
}

func TestAnotherChainIsTold(t *testing.T) {
	chain := generated(10)
	file := filepath.Join(t.TempDir(), "index.db")
	projected(t, openFile(t, file), chain)
	troubled := func(t *testing.T, source index.Source, says string) {
		t.Helper()
		x := openFile(t, file)
		stop := run(t, x, source)
		defer stop()
		require.Eventually(t, func() bool { return x.Trouble() != nil }, patience, 10*time.Millisecond)
		require.ErrorContains(t, x.Trouble(), says)
		require.ErrorContains(t, x.Trouble(), "callseal gateway index rebuild")
		require.Equal(t, uint64(11), x.Height(), "nothing of it is taken")
	}
	t.Run("a new network", func(t *testing.T) {
		other := chaintest.New("another")
		for range 20 {
			other.Add(chaintest.NewWorld(9).Traffic(3)...)
		}
		troubled(t, other, "it begins with block")
	})
	t.Run("another branch", func(t *testing.T) {
		branch := chain.Branch(8)
		for range 9 {
			branch.Add(chaintest.NewWorld(9).Traffic(3)...)
		}
		troubled(t, branch, "block 11 does not follow the block 10")
	})
	t.Run("a peer that lags is waited for", func(t *testing.T) {
		behind := chain.Branch(8)
		x := openFile(t, file)
		stop := run(t, x, behind)
		defer stop()
		require.Never(t, func() bool { return x.Trouble() != nil }, time.Second, 50*time.Millisecond)
	})
	t.Run("damaged data", func(t *testing.T) {
		damaged := generated(10)
		block := damaged.Add(chaintest.NewWorld(9).Traffic(3)...)
		block.Data.Data[0] = []byte("other")
		x := openFile(t, file)
		stop := run(t, x, damaged)
		defer stop()
		require.Eventually(t, func() bool { return x.Trouble() != nil }, patience, 10*time.Millisecond)
		require.ErrorContains(t, x.Trouble(), "not what its header names")
	})
}

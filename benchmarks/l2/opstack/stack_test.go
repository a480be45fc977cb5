package opstack

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
	gopsutil "github.com/shirou/gopsutil/v4/process"
	"github.com/stretchr/testify/require"
)

func TestTheToolModulesAreThoseThatAreBuilt(t *testing.T) {
	for file, copied := range map[string][]byte{"stack/go.mod": stackModule, "stack/go.sum": stackSums, "l1/go.mod": l1Module, "l1/go.sum": l1Sums} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.True(t, bytes.Equal(text, copied), "copy opstack/%s over toolmodule/%s.txt", file, strings.ReplaceAll(file, "/", "."))
	}
	for version, module := range map[string][]byte{
		"github.com/ethereum-optimism/optimism " + OptimismVersion: stackModule,
		"github.com/ethereum-optimism/op-geth " + OpGethVersion:    stackModule,
		"github.com/ethereum/go-ethereum " + GethVersion:           l1Module,
	} {
		require.True(t, bytes.Contains(module, []byte(version)), "%s is not what is built", version)
	}
}

// broken are programs of which one is a script.
func broken(t *testing.T, name, script string) (Binaries, string) {
	t.Helper()
	folder := t.TempDir()
	file := filepath.Join(folder, name)
	require.NoError(t, os.WriteFile(file, []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	return Binaries{geth: file, opGeth: file, opNode: file, opBatcher: file}, folder
}

func TestAProgramThatDiesIsNamed(t *testing.T) {
	binaries, folder := broken(t, "geth", "echo 'Fatal: no space left on device' >&2; exit 1")
	_, err := Start(t.Context(), binaries, folder, Options{})
	require.ErrorContains(t, err, "start the OP Stack: write the genesis of the L1: geth: exit status 1: Fatal: no space left on device")

	binaries, folder = broken(t, "geth", `case "$*" in *dumpgenesis*) echo '{}';; *) echo 'Fatal: bind: address already in use' >&2; exit 1;; esac`)
	_, err = Start(t.Context(), binaries, folder, Options{})
	require.EqualError(t, err, "start the OP Stack: l1-geth ended with exit status 1; the last of its log: Fatal: bind: address already in use")
}

func TestABuildThatFailsLeavesNothing(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "cache")
	require.NoError(t, os.Mkdir(folder, 0o755))
	none := program{"op-node", "example.com/nothing", []byte("module x\n"), nil}
	err := none.build(t.Context(), "/bin/false", folder, func(string) {})
	require.ErrorIs(t, err, ErrBuild)
	require.ErrorContains(t, err, "op-node")
	stopped := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)
	require.ErrorIs(t, none.build(ctx, "/bin/false", folder, func(string) {}), stopped)
	left, err := filepath.Glob(filepath.Join(folder, "..", "*", "*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

var build = flag.Bool("opstack.real", false, "build and start the OP Stack, which takes minutes on a machine that never did")

// TestARealStack is run by make bench-l2: make test cannot wait for the build.
func TestARealStack(t *testing.T) {
	if !*build {
		return
	}
	binaries, err := Build(t.Context(), func(line string) { t.Log(line) })
	require.NoError(t, err)
	folder := t.TempDir()
	stack, err := Start(t.Context(), binaries, folder, Options{Recommit: 100 * time.Millisecond, ChannelBlocks: 1})
	require.NoError(t, err)
	t.Cleanup(stack.Stop)
	client, err := ethclient.DialContext(t.Context(), stack.URL())
	require.NoError(t, err)
	t.Cleanup(client.Close)

	var names []string
	for _, process := range stack.Daemons() {
		names = append(names, process.Name())
		watched, err := gopsutil.NewProcess(int32(process.PID()))
		require.NoError(t, err)
		connections, err := watched.Connections()
		require.NoError(t, err)
		for _, connection := range connections {
			if connection.Status == "LISTEN" {
				require.Equal(t, "127.0.0.1", connection.Laddr.IP, "%s listens on port %d", process.Name(), connection.Laddr.Port)
			}
		}
	}
	require.Equal(t, []string{"l1-geth", "op-geth", "op-node", "op-batcher"}, names)

	head, err := client.HeaderByNumber(t.Context(), nil)
	require.NoError(t, err)
	require.EqualValues(t, gasLimit, head.GasLimit)
	before, err := client.HeaderByNumber(t.Context(), new(big.Int).Sub(head.Number, big.NewInt(1)))
	require.NoError(t, err)
	require.EqualValues(t, blockTime, head.Time-before.Time)
	// The batcher's work comes back as the safe head.
	require.Eventually(t, func() bool {
		safe, err := client.HeaderByNumber(t.Context(), big.NewInt(int64(rpc.SafeBlockNumber)))
		return err == nil && safe.Number.Cmp(head.Number) >= 0
	}, 2*time.Minute, 100*time.Millisecond)

	stack.Stop()
	for _, process := range stack.Daemons() {
		<-process.Done()
		require.NoError(t, process.Err())
	}
}

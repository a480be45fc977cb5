package anvil

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/l2/npm"
)

func program(t *testing.T) string {
	t.Helper()
	tools, err := npm.Install(t.Context(), func(line string) { t.Log(line) })
	require.NoError(t, err)
	return tools.Anvil
}

func TestItMinesByTheClock(t *testing.T) {
	a, err := Start(t.Context(), program(t), t.TempDir(), 100*time.Millisecond)
	require.NoError(t, err)
	t.Cleanup(a.Stop)
	client, err := ethclient.DialContext(t.Context(), a.URL())
	require.NoError(t, err)
	t.Cleanup(client.Close)
	require.Eventually(t, func() bool {
		height, err := client.BlockNumber(t.Context())
		return err == nil && height >= 2
	}, 30*time.Second, 10*time.Millisecond)
	a.Stop()
	require.NoError(t, a.Daemons()[0].Err())
}

func TestAPortThatIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	_, err = startOn(t.Context(), program(t), t.TempDir(), Automine, taken.Addr().(*net.TCPAddr).Port)
	require.ErrorContains(t, err, "anvil ended with ")
	require.ErrorContains(t, err, "Address already in use")
}

func TestAProgramThatIsNotAnvil(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "program")
	require.NoError(t, os.WriteFile(file, []byte("#!/bin/sh\necho 'No space left on device' >&2\nexit 1\n"), 0o755))
	_, err := Start(t.Context(), file, folder, Automine)
	require.EqualError(t, err, "anvil ended with exit status 1; the last of its log: No space left on device")
}

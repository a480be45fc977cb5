package driver

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/caliper/workspace"
	"github.com/callseal/callseal/benchmarks/npm"
)

func TestWhatCaliperComplainsOfIsOneSentence(t *testing.T) {
	for name, c := range map[string]struct{ log, want string }{
		"nothing": {"2026.11.30-16:56:42.181 info  [caliper] [caliper-engine] \tStarting benchmark flow\n", ""},
		"a look at the network": {
			"2026.11.30-16:56:42.181 error [caliper] [caliper-engine] \tError while performing \"init\" step: Error: the network is down\n" +
				"2026.11.30-16:56:42.182 error [caliper] [cli-launch-manager] \tBenchmark execution failed with error code: 4\n",
			"the network is down",
		},
		"the connector": {
			"2026.11.30-16:56:42.181 error [caliper] [caliper-engine] \tError while performing \"test\" step: Error: path property /x does not point to a file\n    at Object (x.js:1)\n",
			"path property /x does not point to a file",
		},
		"a transaction": {
			"2026.11.30-16:56:42.181 info  [caliper] [caliper-worker] \tInfo\n" +
				"2026.11.30-16:56:42.182 error [caliper] [connectors/peer-gateway/PeerGateway] \tFailed to perform submit transaction [calls:Anchor]\nDetails:\n-  a:1:chaincode response 500\n" +
				"2026.11.30-16:56:42.183 error [caliper] [caliper-worker] \tlater\n",
			"Failed to perform submit transaction [calls:Anchor] Details: - a:1:chaincode response 500",
		},
	} {
		file := filepath.Join(t.TempDir(), "caliper.log")
		require.NoError(t, os.WriteFile(file, []byte(c.log), 0o600))
		require.Equal(t, c.want, problemIn(file), name)
	}
	require.Empty(t, problemIn(filepath.Join(t.TempDir(), "none")))
	long := shorten(strings.Repeat("a", 10_000) + "the reason")
	require.Less(t, len(long), 700)
	require.True(t, strings.HasSuffix(long, "the reason"))
}

func TestPortsInARowAreFree(t *testing.T) {
	first, err := consecutivePorts(t.Context(), 3)
	require.NoError(t, err)
	held, err := net.Listen("tcp", ":"+strconv.Itoa(first+2))
	require.NoError(t, err)
	defer func() { _ = held.Close() }()
	require.False(t, free(t.Context(), first, 3))
	require.True(t, free(t.Context(), first, 2))
}

// installed is a Caliper that a script stands for.
func installed(t *testing.T, script string) Program {
	t.Helper()
	node := filepath.Join(t.TempDir(), "node")
	require.NoError(t, os.WriteFile(node, []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	return Program{npm.Installed{Node: node, Modules: t.TempDir()}}
}

const oneRound = "test: { workers: { number: 1 }, rounds: [{ label: a, txDuration: 1 }] }"

func TestACaliperThatFailsIsToldOf(t *testing.T) {
	for says, script := range map[string]string{
		"caliper ended with exit status 1; the last of its log: Error: no space left on device": "echo 'Error: no space left on device'; exit 1",
		"caliper: the network is down":                                                `printf '2026 error [caliper] [caliper-engine] \tError while performing "init" step: Error: the network is down\n'; exit 1`,
		"what worker 1 measured in the round a":                                       "exit 0",
		"Caliper's first complaint: what round 0 (a) measured cannot be kept: ENOSPC": `printf '2026 error [caliper] [monitor] \twhat round 0 (a) measured cannot be kept: ENOSPC\n'`,
	} {
		_, err := Run(t.Context(), installed(t, script), t.TempDir(), []byte(oneRound), func(string) {})
		require.ErrorContains(t, err, says)
	}
}

func TestTheWorkspacePinsWhatItNeeds(t *testing.T) {
	for _, name := range []string{"caliper-cli", "caliper-core", "caliper-fabric"} {
		require.Contains(t, string(workspace.Manifest), `"@hyperledger/`+name+`": "`+workspace.CaliperVersion+`"`)
	}
	require.ErrorIs(t, func() error {
		folder := t.TempDir()
		require.NoError(t, workspace.Write(folder))
		return workspace.Write(folder)
	}(), os.ErrExist, "a workspace is not written over")
}

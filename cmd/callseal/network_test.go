package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/networktest"
)

// networkCLI runs `callseal network …` and returns what it printed and its exit
// status.
func networkCLI(t *testing.T, bin string, arguments ...string) (stdout, stderr string, status int) {
	t.Helper()
	command := exec.Command(filepath.Join(bin, "callseal"), append([]string{"network"}, arguments...)...)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return out.String(), errs.String(), command.ProcessState.ExitCode()
}

func TestNetworkCommands(t *testing.T) {
	bin := networktest.Build(t, "callseal", "callseal-chaincode", "callseal-gateway")
	state := filepath.Join(t.TempDir(), "network")
	offset := networktest.Ports(t)
	run := func(arguments ...string) string {
		t.Helper()
		stdout, stderr, status := networkCLI(t, bin, append(arguments, "--state", state)...)
		require.Zero(t, status, stderr)
		return stdout
	}
	t.Cleanup(func() { _, _, _ = networkCLI(t, bin, "clean", "--state", state) })

	require.Contains(t, run("up", fmt.Sprintf("--port-offset=%d", offset)), "network up in ")
	table := run("status")
	require.Equal(t, 14, strings.Count(table, "running"), table)
	var report []network.NodeStatus
	require.NoError(t, json.Unmarshal([]byte(run("status", "--json")), &report))
	require.Len(t, report, 14)
	require.Contains(t, run("env", "borealis"), "export CORE_PEER_LOCALMSPID='BorealisMSP'\n")
	require.Contains(t, run("logs", "atlas-gateway"), "gateway")
	require.Contains(t, run("revoke", "corvus", "auditor"), "auditor of Corvus revoked")
	var revoked network.Revoked
	require.NoError(t, json.Unmarshal([]byte(run("revoke", "corvus", "corvus-pbx-1", "--json")), &revoked))
	require.Equal(t, "corvus-pbx-1", revoked.Identity)
	_, stderr, status := networkCLI(t, bin, "revoke", "corvus", "admin", "--state", state)
	require.NotZero(t, status)
	require.Contains(t, stderr, "cannot withdraw itself")
	require.Equal(t, "network down\n", run("down"))
	require.NotContains(t, run("status"), "running")
	require.Equal(t, "network removed\n", run("clean"))
	require.NoDirExists(t, state)
}

// TestNetworkRefusals checks that what cannot be done is refused in one line
// and with an exit status.
func TestNetworkRefusals(t *testing.T) {
	bin := networktest.Build(t, "callseal", "callseal-chaincode", "callseal-gateway")
	offset := networktest.Ports(t)
	moved, err := network.Development().WithPortOffset(offset)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", moved.Operators[0].Gateway.Address)
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	for _, test := range []struct {
		want      string
		arguments []string
	}{
		{"and it belongs to Atlas's gateway", []string{"up", fmt.Sprintf("--port-offset=%d", offset)}},
		{`the consensus "solo" is unknown: use bft or raft`, []string{"up", "--consensus", "solo"}},
		{"none.yaml", []string{"up", "--consortium", "none.yaml"}},
		{"the program callseal-chaincode is missing", []string{"up", "--bin", t.TempDir()}},
		{`no member is called "zephyr"`, []string{"env", "zephyr"}},
		{`no node is called "zephyr-peer"`, []string{"logs", "zephyr-peer"}},
		{"atlas-peer has no log yet", []string{"logs", "atlas-peer"}},
	} {
		_, stderr, status := networkCLI(t, bin, append(test.arguments, "--state", filepath.Join(t.TempDir(), "none"))...)
		require.NotZero(t, status, test.arguments)
		require.Contains(t, stderr, test.want)
		require.Equal(t, 1, strings.Count(strings.TrimSpace(stderr)+"\n", "\n"), stderr)
	}
}

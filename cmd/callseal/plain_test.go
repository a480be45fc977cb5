package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network/networktest"
)

// fabricCLI is Fabric's own `peer` program as a member's admin.
type fabricCLI struct {
	program     string
	environment []string
	values      map[string]string
}

// asAdmin finds the program that runs the member's peer.
func asAdmin(t *testing.T, n *networktest.Network, member string) *fabricCLI {
	t.Helper()
	report, err := n.Status(t.Context())
	require.NoError(t, err)
	cli := &fabricCLI{environment: os.Environ(), values: map[string]string{}}
	for _, node := range report {
		if node.Node == member+"-peer" {
			cli.program, err = os.Readlink(fmt.Sprintf("/proc/%d/exe", node.PID))
			require.NoError(t, err)
		}
	}
	variables, err := n.Env(member)
	require.NoError(t, err)
	for _, variable := range variables {
		cli.environment = append(cli.environment, variable.Name+"="+variable.Value)
		cli.values[variable.Name] = variable.Value
	}
	return cli
}

// run answers what the program printed on standard output, and all of it.
func (c *fabricCLI) run(t *testing.T, arguments ...string) (answer, all string, err error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), c.program, append([]string{"chaincode"}, arguments...)...)
	command.Env = c.environment
	var errors strings.Builder
	command.Stderr = &errors
	out, err := command.Output()
	return strings.TrimSpace(string(out)), string(out) + errors.String(), err
}

func invocation(t *testing.T, function string, arguments ...string) string {
	t.Helper()
	text, err := json.Marshal(map[string][]string{"Args": append([]string{function}, arguments...)})
	require.NoError(t, err)
	return string(text)
}

// TestFabricsOwnProgramCallsTheContracts uses nothing of ours but the chaincode:
// plain JSON in, plain JSON out.
func TestFabricsOwnProgramCallsTheContracts(t *testing.T) {
	n := networktest.Start(t)
	atlas, borealis := asAdmin(t, n, "atlas"), asAdmin(t, n, "borealis")
	query := func(cli *fabricCLI, function string, arguments ...string) string {
		t.Helper()
		answer, all, err := cli.run(t, "query", "-C", "calls", "-n", "callseal", "-c", invocation(t, function, arguments...))
		require.NoError(t, err, all)
		return answer
	}
	invoke := func(function string, arguments ...string) (string, error) {
		t.Helper()
		line := []string{"invoke", "-C", "calls", "-n", "callseal", "-c", invocation(t, function, arguments...), "--waitForEvent",
			"-o", atlas.values["CALLSEAL_ORDERER"], "--tls", "--cafile", atlas.values["CORE_PEER_TLS_ROOTCERT_FILE"],
			"--clientauth", "--certfile", atlas.values["CORE_PEER_TLS_CLIENTCERT_FILE"], "--keyfile", atlas.values["CORE_PEER_TLS_CLIENTKEY_FILE"]}
		for _, cli := range []*fabricCLI{atlas, borealis} {
			line = append(line, "--peerAddresses", cli.values["CORE_PEER_ADDRESS"], "--tlsRootCertFiles", cli.values["CORE_PEER_TLS_ROOTCERT_FILE"])
		}
		_, all, err := atlas.run(t, line...)
		return all, err
	}

	var version struct {
		Schema int `json:"schema"`
	}
	require.NoError(t, json.Unmarshal([]byte(query(atlas, "about:Version")), &version))

	ref, err := ledger.AORRef([]byte(strings.Repeat("k", 32)), "sip:600@pbx.atlas.example")
	require.NoError(t, err)
	device := ledger.DeviceRegistration{
		Credentials: ledger.DeviceCredentials{AORRefs: []string{ref}, DetailsDigest: strings.Repeat("ab", 32), KeyEpoch: 1},
		ID:          strings.Repeat("0d", 16), Kind: ledger.DevicePhone,
	}
	text, err := ledger.Canonical(&device)
	require.NoError(t, err)
	all, err := invoke("devices:Register", string(text))
	require.NoError(t, err, all)

	var seen ledger.Device
	require.NoError(t, ledger.DecodeStrict([]byte(query(borealis, "devices:Get", "AtlasMSP", device.ID)), &seen))
	require.Equal(t, ledger.DeviceActive, seen.Status)
	require.Equal(t, ref, seen.Credentials.AORRefs[0])

	// A refusal is a coded sentence there too, and changes nothing.
	all, err = invoke("devices:Suspend", device.ID, "7", ledger.DeviceReasonLost)
	require.Error(t, err)
	require.Contains(t, all, "FAILED_PRECONDITION|the device is at version 1, not 7")
	require.NoError(t, ledger.DecodeStrict([]byte(query(borealis, "devices:Get", "AtlasMSP", device.ID)), &seen))
	require.EqualValues(t, 1, seen.N)
}

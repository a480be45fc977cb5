package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network/networktest"
)

// TestReputationsByCommand tells P2's scenarios and what people may do about them.
func TestReputationsByCommand(t *testing.T) {
	n := networktest.Start(t, networktest.WithGateways())
	state := n.Layout().Root()
	run := func(says string, args ...string) string {
		t.Helper()
		printed, err := typed(append(append([]string{"reputation"}, args...), "--state", state)...)
		require.NoError(t, err)
		require.Contains(t, printed, says)
		require.NotContains(t, printed, "351210004711")
		return printed
	}
	// Another operator's peer learns of it a moment later.
	soon := func(says string, args ...string) {
		t.Helper()
		require.Eventually(t, func() bool {
			printed, err := typed(append(append([]string{"reputation"}, args...), "--state", state)...)
			return err == nil && strings.Contains(printed, says)
		}, time.Minute, 50*time.Millisecond, says)
	}
	refused := func(says string, args ...string) {
		t.Helper()
		_, err := typed(append(append([]string{"reputation"}, args...), "--state", state)...)
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "rpc error")
		require.NotContains(t, err.Error(), "351210004711")
	}
	const extension, address, number = "aor:221@pbx2.example.net", "ip:203.0.113.9", "tel:+351210004711"

	run("5.000", "get", extension)
	run("6.000", "report", extension, "--kind", "long_call")
	soon("6.000", "get", extension, "--operator", "borealis")
	run("4.000", "report", number, "--kind", "short_call")

	run("6.000", "report", address, "--kind", "auth_success")
	run("2.307", "report", address, "--kind", "auth_failure", "--count", "8")
	run("provisionally_blocked", "get", address)
	run("AtlasMSP", "opinions", address)
	run("STANDING_PROVISIONALLY_BLOCKED", "get", address, "--json")
	run(`"failures": "8000"`, "opinions", address, "--json")
	run("9.", "report", address, "--kind", "long_call", "--count", "40", "--operator", "corvus")
	soon("good", "get", address)
	// An INVITE from outside that names an internal extension as its caller.
	run("4.000", "report", "ip:198.51.100.77", "--kind", "internal_from_outside")
	refused("emergency number", "report", "tel:112", "--kind", "short_call")
	refused("not a well-formed address", "report", "351210004711", "--kind", "short_call")
	refused("private", "report", "ip:192.168.1.9", "--kind", "auth_failure")
	refused("does not name", "report", number, "--kind", "rumour", "--attempts", "1")
	refused("may not call", "report", number, "--kind", "short_call", "--role", "auditor")
	run("allowed", "get", "tel:112")

	run("remedied", "pardon", number, "--for", "720h", "--reason", "remedied")
	run("unknown", "get", number)
	run("AtlasMSP", "pardon", number, "--for", "0s", "--reason", "remedied", "--json")
	run("reported", "get", number)
	refused("the reason must be one of", "pardon", number, "--for", "1h", "--reason", "because")
	refused("the role", "pardon", number, "--for", "1h", "--reason", "remedied", "--role", "auditor")

	run("partner", "allow", number, "--reason", "partner", "--operator", "corvus")
	soon("allowed", "get", number, "--operator", "corvus")
	run("reported", "get", number, "--operator", "atlas")
	run("CorvusMSP", "disallow", number, "--operator", "corvus")
	soon("reported", "get", number, "--operator", "corvus")
	refused("not on the operator's allowlist", "disallow", number)

	trace := filepath.Join(t.TempDir(), "trace.pcap")
	require.NoError(t, os.WriteFile(trace, []byte("packets"), 0o600))
	run("open", "appeal", number, "--against", "AtlasMSP", "--reason", "spoofed", "--evidence", trace, "--operator", "borealis")
	refused("is open", "appeal", number, "--against", "AtlasMSP", "--reason", "spoofed", "--evidence", trace, "--operator", "borealis")
	refused("with --evidence", "appeal", number, "--against", "AtlasMSP", "--reason", "spoofed", "--operator", "borealis")
	refused("either --uphold", "decide", number, "--appellant", "BorealisMSP")
	refused("no such appeal", "decide", number, "--appellant", "CorvusMSP", "--uphold")
	soon("pardoned", "decide", number, "--appellant", "BorealisMSP", "--pardon", "24h")
	run("unknown", "get", number)
	var appeals []ledger.Appeal
	require.NoError(t, json.Unmarshal([]byte(run("", "appeals", "--against", "AtlasMSP", "--json")), &appeals))
	require.Len(t, appeals, 1)
	require.Equal(t, ledger.Digest([]byte("packets")), appeals[0].EvidenceDigest)
	require.Equal(t, "[]\n", run("", "appeals", "--against", "BorealisMSP", "--json"))
}

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

func TestPoliciesByCommand(t *testing.T) {
	n := networktest.Start(t)
	state := n.Layout().Root()
	run := func(args ...string) string {
		t.Helper()
		printed, err := typed(append(append([]string{"policy"}, args...), "--state", state)...)
		require.NoError(t, err)
		return printed
	}
	// Another operator's peer may be a block behind for a moment.
	elsewhere := func(operator string, args ...string) string {
		t.Helper()
		var printed string
		require.Eventually(t, func() bool {
			var err error
			printed, err = typed(append(append([]string{"policy"}, args...), "--state", state, "--operator", operator)...)
			return err == nil && printed != "[]\n"
		}, 20*time.Second, 50*time.Millisecond)
		return printed
	}
	refused := func(says string, args ...string) {
		t.Helper()
		_, err := typed(append(append([]string{"policy"}, args...), "--state", state)...)
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "rpc error")
		require.NotContains(t, err.Error(), "\n")
	}
	all := run("show")
	for _, name := range ledger.PolicyNames() {
		require.Contains(t, all, name)
	}
	require.Equal(t, len(ledger.PolicyNames())-1, strings.Count(all, "built in"), "all but the consortium's, which the network founded")
	require.Contains(t, run("history", "consortium"), "AtlasMSP, BorealisMSP, CorvusMSP")
	require.Contains(t, run("pending"), "nothing is put to the vote")

	// What is shown can be edited and proposed.
	document := run("show", "devices", "--operator", "corvus")
	require.Contains(t, document, "# devices: built in\n")
	folder := t.TempDir()
	file := filepath.Join(folder, "devices.yaml")
	require.NoError(t, os.WriteFile(file, []byte(document), 0o600))
	refused("changes nothing", "propose", file)
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(document, "unregistered: flag", "unregistered: reject", 1)), 0o600))
	const change = "devices.unregistered: flag becomes reject\n"
	require.Equal(t, change, run("propose", file, "--dry-run"))
	require.Contains(t, run("pending"), "nothing is put to the vote", "that was dry")
	refused("the role", "propose", file, "--role", "gateway")
	refused("no such file", "propose", filepath.Join(folder, "none.yaml"))

	printed := run("propose", file, "--operator", "atlas")
	require.True(t, strings.HasPrefix(printed, change), printed)
	var pending []ledger.BallotState
	require.NoError(t, json.Unmarshal([]byte(elsewhere("borealis", "pending", "--json")), &pending))
	require.Len(t, pending, 1)
	digest := pending[0].Ballot.Digest
	require.Contains(t, printed, "callseal policy vote devices "+digest)
	require.Contains(t, run("pending"), change)

	refused("has voted", "vote", "devices", digest)
	refused("8 digits", "vote", "devices", digest[:7], "--operator", "borealis")
	refused("see `callseal policy pending`", "vote", "retention", digest, "--operator", "borealis")
	refused("see `callseal policy pending`", "vote", "devices", strings.Repeat("0", 64), "--operator", "borealis")
	require.Contains(t, run("withdraw", "devices", digest[:8]), "it is off the agenda")
	require.Contains(t, elsewhere("borealis", "propose", file), "votes of BorealisMSP, needs 2 of AtlasMSP, BorealisMSP, CorvusMSP")
	voted := elsewhere("corvus", "vote", "devices", digest[:8])
	require.True(t, strings.HasPrefix(voted, change), voted)
	require.Contains(t, voted, "it is in force")

	require.Eventually(t, func() bool {
		return strings.Contains(run("show", "devices"), "# devices: version 1, in force since 20")
	}, 20*time.Second, 50*time.Millisecond)
	require.Contains(t, run("show", "devices"), "unregistered: reject")
	require.Contains(t, run("show", "devices", "--version", "0"), "unregistered: flag")
	refused("no such version", "show", "devices", "--version", "7")
	refused("no policy document has that name", "show", "device")
	require.Contains(t, run("history", "devices"), "BorealisMSP, CorvusMSP")
	var history []ledger.Enactment
	require.NoError(t, json.Unmarshal([]byte(run("history", "devices", "--json")), &history))
	require.Len(t, history, 1)
	require.Equal(t, digest, history[0].Digest)
}

func TestAPolicyFileIsReadStrictly(t *testing.T) {
	folder := t.TempDir()
	for content, says := range map[string]string{
		"":                    "is no policy document",
		"- a":                 "is no policy document",
		"devices: [":          "neither YAML nor JSON",
		"nonsense: {}":        "does not fit",
		"v: 2":                "holds 0",
		"devices: {a: b}":     "does not fit",
		`{"devices":{"v":1}}`: "does not fit",
		"devices: {expired: reject, revoked: reject, suspended: reject, unregistered: maybe}":                              "unregistered must be",
		"devices: {expired: reject, revoked: reject, suspended: reject, unregistered: flag}\ndevices: {}":                  "",
		"reconciliation: {duration_ms: 1.5, late_ms: 1, start_ms: 1}":                                                      "does not fit",
		"v: 4\nreconciliation: {duration_ms: 1, late_ms: 1, start_ms: 1}":                                                  "newer",
		"reconciliation: {duration_ms: 1, late_ms: 1, start_ms: 1}\nconsortium: {operators: [AMSP, BMSP, CMSP], votes: 2}": "holds 2",
		"consortium: {operators: [AMSP, BMSP], votes: 2}":                                                                  "three operators",
	} {
		file := filepath.Join(folder, "policy.yaml")
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		_, err := readPolicyFile(file, nil)
		require.Error(t, err, content)
		require.ErrorContains(t, err, says, content)
	}
	policy, err := readPolicyFile("-", strings.NewReader(`{"reconciliation":{"duration_ms":1,"late_ms":9007199254740991,"start_ms":2}}`))
	require.ErrorContains(t, err, "late_ms is 9007199254740991", "no digit is lost")
	require.Nil(t, policy)
	policy, err = readPolicyFile("-", strings.NewReader("reconciliation:\n  duration_ms: 1\n  late_ms: 3\n  start_ms: 2\n"))
	require.NoError(t, err)
	require.Equal(t, ledger.Policy{Reconciliation: &ledger.ReconciliationPolicy{DurationMS: 1, LateMS: 3, StartMS: 2}, V: ledger.SchemaVersion}, *policy)
}

func TestDifferencesAreSaidInWords(t *testing.T) {
	type rules struct {
		Operators []string         `json:"operators"`
		Terms     []map[string]int `json:"terms,omitempty"`
		Votes     int              `json:"votes"`
	}
	lines, err := difference(
		rules{Operators: []string{"A", "B", "C"}, Votes: 2, Terms: []map[string]int{{"a": 1}}},
		rules{Operators: []string{"B", "C", "D"}, Votes: 3, Terms: []map[string]int{{"a": 1}, {"a": 9007199254740991}}})
	require.NoError(t, err)
	require.Equal(t, []string{
		"operators[A]: A is gone", "operators[D]: D is new", "terms[1].a: 9007199254740991 is new", "votes: 2 becomes 3",
	}, lines)
	lines, err = difference(rules{}, rules{})
	require.NoError(t, err)
	require.Empty(t, lines)
}

// TestABallotIsWhatItsDigestSays guards against a peer that shows one document and
// has another voted on.
func TestABallotIsWhatItsDigestSays(t *testing.T) {
	policy := ledger.Policy{Reconciliation: &ledger.ReconciliationPolicy{StartMS: 1}, V: ledger.SchemaVersion}
	digest, err := policy.Digest()
	require.NoError(t, err)
	pending := []ledger.BallotState{{Ballot: ledger.Ballot{Digest: digest, Name: "reconciliation", Policy: policy, Version: 1}}}
	found, err := findBallot(pending, "reconciliation", strings.ToUpper(digest[:12]))
	require.NoError(t, err)
	require.Equal(t, digest, found.Digest)
	pending[0].Ballot.Policy.Reconciliation.StartMS = 2
	_, err = findBallot(pending, "reconciliation", digest)
	require.ErrorContains(t, err, "do not vote")
}

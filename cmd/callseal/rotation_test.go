package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network/networktest"
)

// TestTheConsortiumsKeyIsReplaced takes a live network to a new epoch of pseudonyms,
// with what an operator holds on a subject.
func TestTheConsortiumsKeyIsReplaced(t *testing.T) {
	n := networktest.Start(t, networktest.WithGateways())
	run := func(args ...string) (string, error) { return typed(append(args, "--state", n.Layout().Root())...) }
	does := func(says string, args ...string) string {
		t.Helper()
		printed, err := run(args...)
		require.NoError(t, err)
		require.Contains(t, printed, says)
		return printed
	}
	const extension = "aor:221@pbx2.example.net"
	does("6.000", "reputation", "report", extension, "--kind", "long_call")
	before := does("good", "reputation", "get", extension)

	folder := t.TempDir()
	key, document := filepath.Join(folder, "epoch2.key"), filepath.Join(folder, "epoch2.yaml")
	written := does("epoch: 2", "reputation", "rotate", key)
	require.Equal(t, written, does("exempt:", "reputation", "rotate", key), "the key stays, once it was drawn")
	require.NoError(t, os.WriteFile(document, []byte(written), 0o600))
	var ballot ledger.BallotState
	require.NoError(t, json.Unmarshal([]byte(does("pseudonyms", "policy", "propose", document, "--json")), &ballot))
	require.Eventually(t, func() bool {
		_, err := run("policy", "vote", "pseudonyms", ballot.Ballot.Digest, "--operator", "borealis")
		return err == nil
	}, time.Minute, 50*time.Millisecond)

	// A gateway with the old key counts nothing any more.
	require.Eventually(t, func() bool {
		_, err := run("reputation", "report", extension, "--kind", "long_call")
		return err != nil && strings.Contains(err.Error(), "the gateway's consortium key is not that of epoch 2")
	}, time.Minute, 100*time.Millisecond)

	for _, operator := range []string{"Atlas", "Borealis"} {
		org := n.Layout().Operator(operator)
		old, err := os.ReadFile(org.ConsortiumKeyFile())
		require.NoError(t, err)
		previous := filepath.Join(folder, operator+"-previous.key")
		require.NoError(t, os.WriteFile(previous, old, 0o600))
		next, err := os.ReadFile(key)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(org.ConsortiumKeyFile(), next, 0o600))
		config, err := os.ReadFile(org.GatewayConfig())
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(org.GatewayConfig(), bytes.Replace(config, []byte("reputation:\n"), fmt.Appendf(nil, "reputation:\n  previous_consortium_key_file: %q\n", previous), 1), 0o600))
		n.Stop(strings.ToLower(operator) + "-gateway")
		n.StartNode(strings.ToLower(operator) + "-gateway")
	}
	// One long call carried over, and another: (2+2)/(4+2).
	does("6.666", "reputation", "report", extension, "--kind", "long_call")
	var after string
	require.Eventually(t, func() bool {
		printed, err := run("reputation", "get", extension, "--operator", "borealis")
		after = printed
		return err == nil && strings.Contains(printed, "6.666")
	}, time.Minute, 50*time.Millisecond)
	require.NotEqual(t, subjectIn(t, before), subjectIn(t, after), "the pseudonym is another")
	_, err := run("reputation", "report", "tel:112", "--kind", "short_call")
	require.ErrorContains(t, err, "emergency number")
}

// subjectIn finds the pseudonym in a printed table.
func subjectIn(t *testing.T, printed string) string {
	t.Helper()
	for _, field := range strings.Fields(printed) {
		if strings.HasPrefix(field, "aor:") {
			return field
		}
	}
	t.Fatalf("no pseudonym in %q", printed)
	return ""
}

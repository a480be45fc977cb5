package network_test

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/network/networktest"
)

// requireRevocation revokes identities and asks with them before and after.
func requireRevocation(t *testing.T, n *networktest.Network) {
	t.Helper()
	ask := func(contract *client.Contract) error {
		_, err := contract.EvaluateWithContext(t.Context(), "adapters:List", client.WithArguments("AtlasMSP"))
		return err
	}
	for _, member := range []string{"borealis", "meridian"} {
		auditor, admin := contractAs(t, n, member, "auditor"), contractAs(t, n, member, "admin")
		require.NoError(t, ask(auditor))
		revoked, err := n.Revoke(t.Context(), member, "auditor")
		require.NoError(t, err)
		require.Equal(t, "auditor", revoked.Identity)
		require.Len(t, revoked.Fingerprint, 64)
		require.Error(t, ask(auditor), "%s's auditor", member)
		require.NoError(t, ask(admin), "nobody else of %s", member)
		again, err := n.Revoke(t.Context(), member, "auditor")
		require.NoError(t, err)
		require.Equal(t, revoked, again)
		require.FileExists(t, filepath.Join(n.Layout().Operator(member).MSPDir(), "crls", "enrolment-ca.pem"))
	}

	gateway := contractAs(t, n, "borealis", "gateway")
	require.NoError(t, ask(gateway))
	_, err := n.Revoke(t.Context(), "borealis", "gateway")
	require.NoError(t, err)
	require.Error(t, ask(gateway))
	require.Error(t, ask(contractAs(t, n, "borealis", "auditor")), "the list before is not lost")

	adapter, err := n.Revoke(t.Context(), "borealis", "borealis-pbx-1")
	require.NoError(t, err)
	stored, err := contractOf(t, n, "atlas").EvaluateWithContext(t.Context(), "adapters:Get", client.WithArguments("BorealisMSP", adapter.Fingerprint))
	require.NoError(t, err)
	var enrolment map[string]any
	require.NoError(t, json.Unmarshal(stored, &enrolment))
	require.NotEmpty(t, enrolment["revoked_at"])

	n.Stop("borealis-peer")
	n.StartNode("borealis-peer") // It reads the list in its local MSP.

	_, err = n.Revoke(t.Context(), "borealis", "admin")
	require.ErrorContains(t, err, "cannot withdraw itself")
	_, err = n.Revoke(t.Context(), "borealis", "janitor")
	require.ErrorContains(t, err, `no identity "janitor"`)
	_, err = n.Revoke(t.Context(), "nemo", "gateway")
	require.ErrorContains(t, err, "nemo")
}

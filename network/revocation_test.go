package network_test

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

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
	// at is an identity at each of its member's peers.
	at := func(member, identity string) (all []*client.Contract) {
		for _, seat := range seats(t, n, member) {
			all = append(all, contractAt(t, n, seat, identity, n.Consortium().Chaincode))
		}
		return all
	}
	crls := func(member, folder string) string {
		return filepath.Join(filepath.Dir(n.Layout().Operator(member).MSPDir()), folder, "crls", "enrolment-ca.pem")
	}
	for _, member := range []string{"borealis", "meridian"} {
		auditors, admins := at(member, "auditor"), at(member, "admin")
		for _, auditor := range auditors {
			require.NoError(t, ask(auditor))
		}
		revoked, err := n.Revoke(t.Context(), member, "auditor")
		require.NoError(t, err)
		require.Equal(t, "auditor", revoked.Identity)
		require.Len(t, revoked.Fingerprint, 64)
		for i := range auditors {
			require.Error(t, ask(auditors[i]), "%s's auditor at peer %d", member, i+1)
			require.NoError(t, ask(admins[i]), "nobody else of %s at peer %d", member, i+1)
		}
		again, err := n.Revoke(t.Context(), member, "auditor")
		require.NoError(t, err)
		require.Equal(t, revoked, again)
		require.FileExists(t, filepath.Join(n.Layout().Operator(member).MSPDir(), "crls", "enrolment-ca.pem"))
	}

	// A peer that is away is not waited for, and learns of it when it is back.
	gateway, admin := at("borealis", "gateway"), at("borealis", "admin")
	require.Len(t, gateway, 2)
	for _, one := range gateway {
		require.NoError(t, ask(one))
	}
	n.Stop("borealis-peer2")
	_, err := n.Revoke(t.Context(), "borealis", "gateway")
	require.NoError(t, err)
	require.Error(t, ask(gateway[0]))
	n.StartNode("borealis-peer2")
	require.Eventually(t, func() bool { return ask(admin[1]) == nil && ask(gateway[1]) != nil }, 30*time.Second, 50*time.Millisecond)
	require.Error(t, ask(contractAs(t, n, "borealis", "auditor")), "the list before is not lost")

	adapter, err := n.Revoke(t.Context(), "borealis", "borealis-pbx-1")
	require.NoError(t, err)
	stored, err := contractOf(t, n, "atlas").EvaluateWithContext(t.Context(), "adapters:Get", client.WithArguments("BorealisMSP", adapter.Fingerprint))
	require.NoError(t, err)
	var enrolment map[string]any
	require.NoError(t, json.Unmarshal(stored, &enrolment))
	require.NotEmpty(t, enrolment["revoked_at"])

	for i, node := range []string{"peer", "peer2"} {
		require.FileExists(t, crls("borealis", filepath.Join(node, "msp")))
		n.Stop("borealis-" + node)
		n.StartNode("borealis-" + node) // It reads the list in its local MSP.
		require.Eventually(t, func() bool { return ask(admin[i]) == nil && ask(gateway[i]) != nil }, 30*time.Second, 50*time.Millisecond)
	}

	_, err = n.Revoke(t.Context(), "borealis", "admin")
	require.ErrorContains(t, err, "cannot withdraw itself")
	_, err = n.Revoke(t.Context(), "borealis", "janitor")
	require.ErrorContains(t, err, `no identity "janitor"`)
	_, err = n.Revoke(t.Context(), "nemo", "gateway")
	require.ErrorContains(t, err, "nemo")
}

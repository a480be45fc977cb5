package network_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/networktest"
)

// agreed submits until the transaction is valid: a peer that is a block behind
// counts other votes than the rest for a moment.
func agreed(t *testing.T, contract *client.Contract, function string, options ...client.ProposalOption) string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		result, code, err := tried(t, contract, function, options...)
		if err == nil && code == peer.TxValidationCode_VALID {
			return result
		}
		if time.Now().After(deadline) {
			require.NoError(t, err)
			require.Equal(t, peer.TxValidationCode_VALID, code)
		}
	}
}

func arguments(args ...string) client.ProposalOption { return client.WithArguments(args...) }

func endorsedBy(msps ...string) client.ProposalOption {
	return client.WithEndorsingOrganizations(msps...)
}

// councillor is an operator's admin before the governance chaincode.
func councillor(t *testing.T, n *networktest.Network, member string) *client.Contract {
	t.Helper()
	return contractIn(t, n, member, "admin", ledger.GovernanceChaincode)
}

// proposed puts a document to the vote.
func proposed(t *testing.T, contract *client.Contract, policy ledger.Policy) ledger.Ballot {
	t.Helper()
	text, err := ledger.Canonical(&policy)
	require.NoError(t, err)
	var state ledger.BallotState
	require.NoError(t, ledger.DecodeStrict([]byte(agreed(t, contract, "governance:Propose", arguments(string(text)))), &state))
	require.False(t, state.Enacted)
	return state.Ballot
}

func ballotArguments(ballot ledger.Ballot) client.ProposalOption {
	return arguments(ballot.Name, strconv.FormatInt(ballot.Version, 10), ballot.Digest)
}

var operatorMSPs = map[string]string{"atlas": "AtlasMSP", "borealis": "BorealisMSP", "corvus": "CorvusMSP"}

func TestGovernance(t *testing.T) {
	n := networktest.Start(t, own())

	// What the chaincode of calls says on each operator's peer of a device that
	// nobody registered: that is the policy's to decide.
	consequences := func() map[string]string {
		t.Helper()
		said := map[string]string{}
		for member, msp := range operatorMSPs {
			var answer struct {
				Consequence string `json:"consequence"`
			}
			require.NoError(t, json.Unmarshal([]byte(evaluated(t, contractAs(t, n, member, "gateway"), msp, "devices:Check", "", hexOf(32), "")), &answer))
			said[member] = answer.Consequence
		}
		return said
	}
	everywhere := func(consequence string) map[string]string {
		return map[string]string{"atlas": consequence, "borealis": consequence, "corvus": consequence}
	}
	require.Equal(t, everywhere(ledger.ConsequenceFlag), consequences())
	strict := ledger.Policy{Devices: &ledger.DevicePolicy{
		Expired: ledger.ConsequenceReject, Revoked: ledger.ConsequenceReject, Suspended: ledger.ConsequenceReject, Unregistered: ledger.ConsequenceReject,
	}, V: ledger.SchemaVersion}
	atlas, borealis := councillor(t, n, "atlas"), councillor(t, n, "borealis")
	ballot := proposed(t, atlas, strict)
	for msp, member := range map[string]string{"AtlasMSP": "atlas", "BorealisMSP": "borealis", "CorvusMSP": "corvus"} {
		require.Eventually(t, func() bool {
			return strings.Contains(evaluated(t, councillor(t, n, member), msp, "governance:Pending"), ballot.Digest)
		}, 30*time.Second, 50*time.Millisecond, "every peer knows the ballot")
	}

	t.Run("one operator alone changes nothing", func(t *testing.T) {
		_, _, err := tried(t, atlas, "governance:Vote", ballotArguments(ballot))
		require.ErrorContains(t, err, "ALREADY_EXISTS|AtlasMSP has voted")
		require.Equal(t, everywhere(ledger.ConsequenceFlag), consequences())
	})
	t.Run("who is no admin of an operator has no vote", func(t *testing.T) {
		for _, who := range [][2]string{{"borealis", "gateway"}, {"borealis", "compliance"}, {"corvus", "auditor"}, {"meridian", "admin"}} {
			contract := contractIn(t, n, who[0], who[1], ledger.GovernanceChaincode)
			_, _, err := tried(t, contract, "governance:Vote", ballotArguments(ballot), endorsedBy("AtlasMSP", "BorealisMSP", "CorvusMSP"))
			require.ErrorContains(t, err, "PERMISSION_DENIED|", "%v", who)
		}
	})
	t.Run("two operators' endorsements are not enough", func(t *testing.T) {
		// Both chaincodes are honest here. With altered ones they could count a vote
		// that was never cast, and this is what the third is for.
		_, code, err := tried(t, borealis, "governance:Vote", ballotArguments(ballot), endorsedBy("AtlasMSP", "BorealisMSP"))
		require.NoError(t, err)
		require.Equal(t, peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE, code)
		require.Equal(t, everywhere(ledger.ConsequenceFlag), consequences())
	})
	t.Run("two votes, endorsed by all, change it for every peer", func(t *testing.T) {
		var state ledger.BallotState
		require.NoError(t, ledger.DecodeStrict([]byte(agreed(t, borealis, "governance:Vote", ballotArguments(ballot))), &state))
		require.True(t, state.Enacted)
		require.Eventually(t, func() bool { return fmt.Sprint(consequences()) == fmt.Sprint(everywhere(ledger.ConsequenceReject)) }, 20*time.Second, 50*time.Millisecond)
		for member, msp := range operatorMSPs {
			var history []ledger.Enactment
			require.NoError(t, ledger.DecodeStrict([]byte(evaluated(t, councillor(t, n, member), msp, "governance:History", ledger.PolicyDevices)), &history))
			require.Len(t, history, 1)
			require.Equal(t, strict, history[0].Policy)
			require.Equal(t, []string{"AtlasMSP", "BorealisMSP"}, []string{history[0].Votes[0].MSP, history[0].Votes[1].MSP})
		}
	})
	t.Run("a write that reads a policy takes two endorsements, named or found", func(t *testing.T) { requireNestedReads(t, n) })
	require.Eventually(t, func() bool {
		report := requireAll(t, n, network.StateRunning)
		return report["atlas-peer"].Height == report["meridian-peer"].Height
	}, 20*time.Second, 50*time.Millisecond, "the regulator's peer, which runs no chaincode, keeps up")
}

// requireNestedReads retains a recording, which reads the policy on retention from
// the governance chaincode.
func requireNestedReads(t *testing.T, n *networktest.Network) {
	t.Helper()
	adapter := newPBX1(t, n)
	leg := ledger.LegID{LinkedID: "pbx1-1772366400.10", UniqueID: "pbx1-1772366400.11", Sequence: 7}
	text, err := ledger.Canonical([]*ledger.SignedSegment{adapter.segment(1, callRecord(leg, 16), recordingRecord(leg))})
	require.NoError(t, err)
	submitted(t, contractAs(t, n, "atlas", "gateway"), "calls:Anchor", arguments(string(text)), endorsedBy("AtlasMSP", "BorealisMSP"))
	standard, err := ledger.DefaultPolicy(ledger.PolicyRetention)
	require.NoError(t, err)
	closed := recordingRecord(leg).Recording.ClosedAt
	first, _ := standard.Policy.Retention.Recordings.Bounds(closed)
	until := func(days int) client.ProposalOption {
		return arguments("AtlasMSP", "atlas-pbx-1", hexOf(16), "1", ledger.TimeOf(first.Std().AddDate(0, 0, days)).String())
	}
	compliance := contractAs(t, n, "atlas", "compliance")
	agreed(t, compliance, "recordings:Retain", until(1))
	for i, partner := range []string{"BorealisMSP", "CorvusMSP"} {
		agreed(t, compliance, "recordings:Retain", until(2+i), endorsedBy("AtlasMSP", partner))
	}
	_, code, err := tried(t, compliance, "recordings:Retain", until(9), endorsedBy("AtlasMSP"))
	require.NoError(t, err)
	require.Equal(t, peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE, code, "reading governance takes no stricter policy, and writing calls none weaker")

	// Endorsed under one policy, ordered under another: it does not count.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	proposal, err := compliance.NewProposal("recordings:Retain", until(5))
	require.NoError(t, err)
	stale, err := proposal.EndorseWithContext(ctx)
	require.NoError(t, err)
	changed := *standard.Policy.Retention
	changed.Recordings.DefaultMS++
	ballot := proposed(t, councillor(t, n, "borealis"), ledger.Policy{Retention: &changed, V: ledger.SchemaVersion})
	agreed(t, councillor(t, n, "corvus"), "governance:Vote", ballotArguments(ballot))
	commit, err := stale.SubmitWithContext(ctx)
	require.NoError(t, err)
	status, err := commit.StatusWithContext(ctx)
	require.NoError(t, err)
	require.Equal(t, peer.TxValidationCode_MVCC_READ_CONFLICT, status.Code)
	agreed(t, compliance, "recordings:Retain", until(6))
}

package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/networktest"
)

// consortium is a real network with an adapter at each operator.
type consortium struct {
	*networktest.Network
	bin string
}

// adapter is an operator's PBX that anchors through its gateway.
type adapter struct {
	*gatewaytest.Adapter
	anchor pb.AnchorServiceClient
}

func (c *consortium) adapter(t *testing.T, member network.Member) *adapter {
	t.Helper()
	org := c.Layout().Operator(member.Name)
	identity := org.Identity(member.PBXs[0])
	connection, err := connect.Dial(connect.Config{Address: member.Gateway.Address, CAFile: org.TLSCAFile(), CertFile: identity.CertFile(), KeyFile: identity.KeyFile()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	return &adapter{gatewaytest.Load(t, member.MSP, member.PBXs[0], identity.CertFile(), identity.KeyFile()), pb.NewAnchorServiceClient(connection)}
}

// send anchors a segment and answers what became of it.
func (a *adapter) send(t *testing.T, segment *pb.SignedSegment) pb.Outcome {
	t.Helper()
	response, err := a.anchor.AnchorSegment(t.Context(), &pb.AnchorSegmentRequest{Segment: segment})
	require.NoError(t, err)
	return response.GetReceipt().GetOutcome()
}

// call runs `callseal call …` at an operator's peer.
func (c *consortium) call(t *testing.T, operator string, arguments ...string) (stdout, stderr string, status int) {
	t.Helper()
	command := exec.Command(filepath.Join(c.bin, "callseal"), append([]string{"call"}, append(arguments, "--operator", operator, "--state", c.Layout().Root())...)...)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return out.String(), errs.String(), command.ProcessState.ExitCode()
}

// gaps walks an operator's history at another's peer.
func (c *consortium) gaps(t *testing.T, operator string, owner network.Member) (kinds map[string]int, shown string, status int) {
	t.Helper()
	arguments := []string{"gaps", "--msp", owner.MSP, "--pbx", owner.PBXs[0]}
	shown, stderr, status := c.call(t, operator, arguments...)
	require.Empty(t, stderr)
	text, _, again := c.call(t, operator, append(arguments, "--json")...)
	require.Equal(t, status, again)
	var found ledger.Gaps
	require.NoError(t, json.Unmarshal([]byte(text), &found))
	require.True(t, found.Complete)
	kinds = map[string]int{}
	for _, finding := range found.Findings {
		if finding.Alarm {
			kinds[finding.Kind]++
		}
		require.Contains(t, shown, finding.Sentence())
	}
	return kinds, shown, status
}

// TestHistoriesOnARealNetwork anchors histories that are not as they should be, and
// has other operators find out, then corrects, compares and disputes calls, all by
// the commands people type.
func TestHistoriesOnARealNetwork(t *testing.T) {
	c := &consortium{Network: networktest.Start(t, networktest.WithGateways()), bin: networktest.Build(t, "callseal")}
	operators := c.Consortium().Operators
	atlas, borealis, corvus := operators[0], operators[1], operators[2]

	t.Run("a history with a segment removed before anchoring", func(t *testing.T) {
		a := c.adapter(t, atlas)
		a.send(t, a.Segment(t, []gatewaytest.Entry{gatewaytest.Opening()}))
		a.send(t, a.Segment(t, gatewaytest.Calls(t, 2)))
		kinds, shown, status := c.gaps(t, "borealis", atlas)
		require.Empty(t, kinds)
		require.Zero(t, status, shown)
		require.Contains(t, shown, "No gap")
		a.Segment(t, gatewaytest.Calls(t, 3)) // numbered and signed, and never sent
		a.send(t, a.Segment(t, gatewaytest.Calls(t, 1)))
		kinds, shown, status = c.gaps(t, "borealis", atlas)
		require.Equal(t, map[string]int{ledger.FindingMissing: 1}, kinds)
		require.Equal(t, 1, status)
		require.Contains(t, shown, "records 4 to 6 are numbered and not on the ledger")
		require.Contains(t, shown, "One finding")
	})
	t.Run("a cloned PBX", func(t *testing.T) {
		b := c.adapter(t, borealis)
		b.send(t, b.Segment(t, []gatewaytest.Entry{gatewaytest.Opening()}))
		twin := &adapter{b.Twin(), b.anchor}
		require.Equal(t, pb.Outcome_OUTCOME_ANCHORED, b.send(t, b.Segment(t, gatewaytest.Calls(t, 3))))
		require.Equal(t, pb.Outcome_OUTCOME_CONFLICT, twin.send(t, twin.Segment(t, gatewaytest.Calls(t, 1))))
		require.Equal(t, pb.Outcome_OUTCOME_ANCHORED, twin.send(t, twin.Segment(t, gatewaytest.Calls(t, 1))))
		kinds, shown, status := c.gaps(t, "corvus", borealis)
		require.Equal(t, map[string]int{ledger.FindingForked: 1, ledger.FindingOverlapping: 1, ledger.FindingBroken: 1}, kinds, shown)
		require.Equal(t, 1, status)
	})
	t.Run("two histories of one PBX", func(t *testing.T) {
		h := c.adapter(t, corvus)
		h.send(t, h.Segment(t, []gatewaytest.Entry{gatewaytest.Opening()}))
		other := &adapter{h.Reborn(t), h.anchor}
		other.send(t, other.Segment(t, []gatewaytest.Entry{gatewaytest.Opening()}))
		h.send(t, h.Segment(t, gatewaytest.Calls(t, 1)))
		other.send(t, other.Segment(t, gatewaytest.Calls(t, 1)))
		kinds, shown, status := c.gaps(t, "atlas", corvus)
		require.Equal(t, map[string]int{ledger.FindingLostEpoch: 1, ledger.FindingTwoHistories: 1}, kinds, shown)
		require.Equal(t, 1, status)
	})
	t.Run("conversations and corrections", func(t *testing.T) { testConversation(t, c, atlas) })
	t.Run("late segments", func(t *testing.T) { testLate(t, c, corvus) })
	t.Run("reconciliation", func(t *testing.T) { testReconciliation(t, c, atlas, borealis) })
}

func testConversation(t *testing.T, c *consortium, atlas network.Member) {
	t.Helper()
	a := c.adapter(t, atlas)
	calls := gatewaytest.Calls(t, 2)
	from, to := calls[0].Record.Call.Leg, calls[1].Record.Call.Leg
	at := ledger.TimeOf(time.Date(2026, 3, 1, 9, 30, 15, 0, time.UTC))
	a.send(t, a.Segment(t, append(calls,
		gatewaytest.Entry{Record: ledger.Record{Link: &ledger.Link{At: at, From: from.LinkedID, FromLeg: &from, Kind: ledger.LinkBlindTransfer, To: to.LinkedID}}},
		gatewaytest.Entry{Record: ledger.Record{Omission: &ledger.Omission{At: at, Leg: to, Reason: ledger.OmissionMissing}}},
	)))
	owner := []string{"--msp", atlas.MSP, "--pbx", atlas.PBXs[0]}
	shown, stderr, status := c.call(t, "borealis", append([]string{"conversation", to.LinkedID}, owner...)...)
	require.Zero(t, status, stderr)
	for _, part := range []string{from.LinkedID, to.LinkedID, "blind_transfer", "no recording of " + to.UniqueID} {
		require.Contains(t, shown, part)
	}
	shown, _, status = c.call(t, "borealis", append([]string{"omissions", to.LinkedID}, owner...)...)
	require.Zero(t, status)
	require.Contains(t, shown, "file_missing")
	_, stderr, status = c.call(t, "borealis", append([]string{"conversation", "unknown"}, owner...)...)
	require.Equal(t, 2, status)
	require.Contains(t, stderr, "nothing of conversation unknown")

	correct := []string{"correct", from.LinkedID, from.UniqueID, "0", "--reason", "clock"}
	for i, change := range []string{"--duration=31s", "--billed=27s"} {
		shown, stderr, status = c.call(t, "atlas", append(correct, change, "--json")...)
		require.Zero(t, status, stderr)
		var anchored ledger.AnchoredCorrection
		require.NoError(t, json.Unmarshal([]byte(shown), &anchored))
		require.EqualValues(t, i+1, anchored.Correction.N)
	}
	_, stderr, status = c.call(t, "atlas", append(correct, "--billed=27s")...)
	require.Equal(t, 2, status)
	require.Contains(t, stderr, "changes nothing")
	_, stderr, status = c.call(t, "borealis", append(append(correct, "--billed=1s"), owner...)...)
	require.Equal(t, 2, status)
	require.Contains(t, stderr, "may not act for AtlasMSP")
	shown, _, _ = c.call(t, "corvus", append([]string{"conversation", to.LinkedID}, owner...)...)
	require.Contains(t, shown, "correction 2 of "+from.UniqueID)
}

func testReconciliation(t *testing.T, c *consortium, atlas, borealis network.Member) {
	t.Helper()
	ref := ledger.CallRef([]byte("the consortium's key of the epoch"), gatewaytest.Random(t, 8)+"@pc33.example.com")
	shared := func(billed int64) []gatewaytest.Entry {
		entry := gatewaytest.Call(t)
		entry.Record.Call.CallRef, entry.Record.Call.BillsecMS = ref, billed
		return []gatewaytest.Entry{entry}
	}
	a, b := c.adapter(t, atlas), c.adapter(t, borealis)
	a.send(t, a.Segment(t, shared(28_000)))
	shown, stderr, status := c.call(t, "corvus", "reconcile", ref)
	require.Zero(t, status, stderr)
	require.Contains(t, shown, "Not comparable")
	b.send(t, b.Segment(t, shared(20_000)))
	shown, _, status = c.call(t, "corvus", "reconcile", ref)
	require.Equal(t, 1, status)
	require.Contains(t, shown, "billsec_ms: AtlasMSP says 28000, BorealisMSP says 20000 (8000 ms apart)")
	_, stderr, status = c.call(t, "corvus", "dispute", ref)
	require.Equal(t, 2, status)
	require.Contains(t, stderr, "there is nothing to dispute")
	shown, stderr, status = c.call(t, "borealis", "dispute", ref)
	require.Zero(t, status, stderr)
	require.Contains(t, shown, "raised by BorealisMSP")
	for _, operator := range []string{"atlas", "borealis"} {
		shown, _, status = c.call(t, operator, "disputes")
		require.Zero(t, status)
		require.Contains(t, shown, "call "+ref)
	}
	shown, _, _ = c.call(t, "corvus", "disputes")
	require.Contains(t, shown, "There is no dispute.")
}

// testLate revokes an adapter while its journal holds a segment, which the gateway
// refuses from then on and the admin anchors.
func testLate(t *testing.T, c *consortium, corvus network.Member) {
	t.Helper()
	a := c.adapter(t, corvus)
	path := filepath.Join(t.TempDir(), "journal.db")
	book, err := journal.Open(path, a.MSP, a.PBX)
	require.NoError(t, err)
	segment, err := book.CloseSegment(&journal.Signer{MSP: a.MSP, PBX: a.PBX, Fingerprint: a.Fingerprint, Key: a.Key}, []journal.Entry{{
		Opening: &ledger.Opening{At: ledger.TimeOf(time.Now()), PrevEpoch: 1, PrevRoot: gatewaytest.Random(t, 32), PrevSeq: 1, Why: ledger.OpeningLost},
	}})
	require.NoError(t, err)
	require.NoError(t, book.Close())
	late := []string{"late", path, "--msp", a.MSP, "--pbx", a.PBX}
	_, stderr, status := c.call(t, "corvus", late...)
	require.Equal(t, 2, status)
	require.Contains(t, stderr, "is good still: the gateway anchors segment 1")

	time.Sleep(10 * time.Millisecond) // the segment was closed before
	org := c.Layout().Operator(corvus.Name)
	identity := org.Identity("admin")
	channel, err := fabric.Open(fabric.Config{
		MSP: corvus.MSP, Channel: c.Consortium().Channel, Chaincode: c.Consortium().Chaincode, Peers: []fabric.PeerConfig{{Address: corvus.Peer.Address, CAFile: org.TLSCAFile()}},
		TLSCertFile: identity.TLSCertFile(), TLSKeyFile: identity.TLSKeyFile(), CertFile: identity.CertFile(), KeyFile: identity.KeyFile(),
	})
	require.NoError(t, err)
	defer func() { _ = channel.Close() }()
	_, err = channel.Transact(t.Context(), fabric.Proposal{Function: "adapters:Revoke", Args: []string{a.Fingerprint}})
	require.NoError(t, err)

	header, err := ledger.Canonical(&segment.Header)
	require.NoError(t, err)
	_, err = a.anchor.AnchorSegment(t.Context(), &pb.AnchorSegmentRequest{Segment: &pb.SignedSegment{
		SegmentJson: header, Signature: segment.Signature, RecordsJson: [][]byte{segment.Records[0]}, DetailsJson: [][]byte{nil},
	}})
	require.ErrorContains(t, err, "was revoked")
	_, stderr, status = c.call(t, "atlas", late...)
	require.Equal(t, 2, status)
	require.Contains(t, stderr, "AtlasMSP may not act for CorvusMSP")
	shown, stderr, status := c.call(t, "corvus", late...)
	require.Zero(t, status, stderr)
	require.Contains(t, shown, "Segments of the journal that are on the ledger now: 1.")
	shown, _, _ = c.call(t, "borealis", "gaps", "--msp", a.MSP, "--pbx", a.PBX)
	require.Contains(t, shown, "late_by_admin")
	_, stderr, status = c.call(t, "corvus", "late", path+".none", "--pbx", a.PBX)
	require.Equal(t, 2, status)
	require.Contains(t, stderr, "open the journal")
}

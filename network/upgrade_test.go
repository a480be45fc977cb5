package network_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/networktest"
)

// buildVersion1 builds the chaincode program of version 1.0 from its own sources.
func buildVersion1(t *testing.T) string {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("testdata", "chaincode-1.0.txtar"))
	require.NoError(t, err)
	source, bin := t.TempDir(), t.TempDir()
	for _, file := range archive.Files {
		name := filepath.Join(source, filepath.FromSlash(file.Name))
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
		require.NoError(t, os.WriteFile(name, file.Data, 0o600))
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "callseal-chaincode"), "./cmd/callseal-chaincode")
	build.Dir = source
	output, err := build.CombinedOutput()
	require.NoError(t, err, string(output))
	return bin
}

// pbx1 is an adapter of Atlas that signs segments in the first version of their
// format.
type pbx1 struct {
	t      *testing.T
	key    *ecdsa.PrivateKey
	signer string
	epoch  int64
}

func newPBX1(t *testing.T, n *networktest.Network) *pbx1 {
	t.Helper()
	files := n.Layout().Operator("atlas").Identity("atlas-pbx-1")
	content, err := os.ReadFile(files.KeyFile())
	require.NoError(t, err)
	block, _ := pem.Decode(content)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(t, err)
	content, err = os.ReadFile(files.CertFile())
	require.NoError(t, err)
	certificate, err := ledger.ParseCertificate(content)
	require.NoError(t, err)
	return &pbx1{t: t, key: key.(*ecdsa.PrivateKey), signer: ledger.Fingerprint(certificate.Raw), epoch: time.Now().UnixMilli()}
}

// segment signs records that begin at a number.
func (p *pbx1) segment(first int64, records ...ledger.Record) *ledger.SignedSegment {
	p.t.Helper()
	signed := &ledger.SignedSegment{Records: records, Segment: ledger.Segment{
		ClosedAt: ledger.TimeOf(time.Now()), Count: int64(len(records)), Epoch: p.epoch, FirstSeq: first, MSP: "AtlasMSP", PBX: "atlas-pbx-1", Signer: p.signer, V: 1,
	}}
	if first > 1 {
		signed.Segment.PrevFirstSeq, signed.Segment.PrevRoot = 1, hexOf(32)
	}
	var leaves [][]byte
	for i := range signed.Records {
		record := &signed.Records[i]
		record.Epoch, record.MSP, record.PBX, record.Segment, record.Seq, record.V = p.epoch, "AtlasMSP", "atlas-pbx-1", first, first+int64(i), 1
		leaf, err := ledger.Canonical(record)
		require.NoError(p.t, err)
		leaves = append(leaves, leaf)
	}
	var err error
	signed.Segment.Root, err = ledger.Root(leaves)
	require.NoError(p.t, err)
	signed.Signature, err = signed.Segment.Sign(p.key)
	require.NoError(p.t, err)
	return signed
}

func hexOf(n int) string { return strings.Repeat("5a", n) }

// callRecord and recordingRecord are what a PBX of version 1 sent.
func callRecord(leg ledger.LegID, cause int64) ledger.Record {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return ledger.Record{Call: &ledger.Call{
		Answer: ledger.TimeOf(start.Add(2 * time.Second)), BillsecMS: 28_000, DetailsDigest: hexOf(32), Direction: "inbound", Disposition: ledger.Answered,
		DurationMS: 30_000, End: ledger.TimeOf(start.Add(30 * time.Second)), HangupCause: cause, Leg: leg,
		RecordingDue: true, Software: "Asterisk 22.10.1", Start: ledger.TimeOf(start), Technology: "PJSIP",
	}}
}

func recordingRecord(leg ledger.LegID) ledger.Record {
	return ledger.Record{Recording: &ledger.Recording{
		Bytes: 96_044, ClosedAt: ledger.TimeOf(time.Date(2026, 3, 1, 12, 0, 31, 0, time.UTC)), DetailsDigest: hexOf(32), ID: hexOf(16), Leg: leg,
		MediaType: "audio/wav", Method: "mixmonitor", Revision: 1, SHA256: hexOf(32), SHA512: hexOf(64),
	}}
}

// submitted runs a transaction until it is valid, and answers its result. An
// endorser that is a block behind the other endorses something else, for a moment;
// one that was just started again is found once the others have heard of it.
func submitted(t *testing.T, contract *client.Contract, function string, options ...client.ProposalOption) string {
	t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(20 * time.Millisecond) {
		result, code, err := tried(t, contract, function, options...)
		if err != nil && (strings.Contains(err.Error(), "ProposalResponsePayloads do not match") || strings.Contains(err.Error(), "failed to find any endorsing peers")) {
			continue
		}
		require.NoError(t, err)
		require.Equal(t, peer.TxValidationCode_VALID, code)
		return result
	}
	t.Fatalf("%s: the endorsers never agreed", function)
	return ""
}

// tried endorses and orders one transaction and answers what became of it.
func tried(t *testing.T, contract *client.Contract, function string, options ...client.ProposalOption) (string, peer.TxValidationCode, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	proposal, err := contract.NewProposal(function, options...)
	require.NoError(t, err)
	transaction, err := proposal.EndorseWithContext(ctx)
	if err != nil {
		return "", 0, err
	}
	commit, err := transaction.SubmitWithContext(ctx)
	require.NoError(t, err)
	status, err := commit.StatusWithContext(ctx)
	require.NoError(t, err)
	return string(transaction.Result()), status.Code, nil
}

// evaluated asks the own peer.
func evaluated(t *testing.T, contract *client.Contract, msp, function string, args ...string) string {
	t.Helper()
	answer, err := contract.Evaluate(function, client.WithArguments(args...), client.WithEndorsingOrganizations(msp))
	require.NoError(t, err, function)
	return string(answer)
}

// requireEveryPeer asks each operator's peers one by one, the others being away, for
// their version and what else is to be seen.
func requireEveryPeer(t *testing.T, n *networktest.Network, version string, see func(contract *client.Contract, msp string)) {
	t.Helper()
	for i, away := range []string{"-peer2", "-peer"} {
		for _, operator := range n.Consortium().Operators {
			n.Stop(operator.ID() + away)
		}
		for _, operator := range n.Consortium().Operators {
			contract := contractAt(t, n, seats(t, n, operator.ID())[i], "auditor", n.Consortium().Chaincode)
			// A peer sends questions to its neighbour until it has noticed that it is away.
			require.Eventually(t, func() bool {
				_, err := contract.Evaluate("about:Version", client.WithEndorsingOrganizations(operator.MSP))
				return err == nil
			}, 30*time.Second, 50*time.Millisecond)
			require.Contains(t, evaluated(t, contract, operator.MSP, "about:Version"), fmt.Sprintf("%q:%q", "chaincode", version))
			see(contract, operator.MSP)
		}
		for _, operator := range n.Consortium().Operators {
			n.StartNode(operator.ID() + away)
		}
	}
}

// TestUpgradeFromVersion1 takes a ledger that the real version 1.0 wrote over to
// this version, back, and over again.
func TestUpgradeFromVersion1(t *testing.T) {
	old := buildVersion1(t)
	current := networktest.Build(t, "callseal-chaincode", "callseal-gateway")
	require.NoError(t, os.Link(filepath.Join(current, "callseal-gateway"), filepath.Join(old, "callseal-gateway")))
	n := networktest.Start(t, own(), twoPeersEach(), networktest.WithGateways(), networktest.WithBin(old), func(o *network.Options) {
		o.ChaincodeVersion, o.WithoutGovernance = "1.0", true
	})
	requireDefined := func(version string, calls, governance int64) {
		t.Helper()
		var want []network.Definition
		if governance > 0 {
			want = append(want, network.Definition{Name: ledger.GovernanceChaincode, Version: version, Sequence: governance})
		}
		want = append(want, network.Definition{Name: "callseal", Version: version, Sequence: calls})
		for _, operator := range []string{"atlas", "borealis", "corvus"} {
			require.Equal(t, want, requireAll(t, n, network.StateRunning)[operator+"-chaincode"].Chaincodes)
		}
	}
	requireDefined("1.0", 1, 0)

	// One of every kind that version 1 knew.
	writer := contractAs(t, n, "atlas", "gateway")
	compliance := contractAs(t, n, "atlas", "compliance")
	elsewhere := contractAs(t, n, "corvus", "auditor")
	adapter := newPBX1(t, n)
	leg := ledger.LegID{LinkedID: "pbx1-1772366400.10", UniqueID: "pbx1-1772366400.11", Sequence: 7}
	first := adapter.segment(1, callRecord(leg, 16), recordingRecord(leg))
	forged := adapter.segment(3, callRecord(leg, 1))
	anchor := func(segments ...*ledger.SignedSegment) string {
		t.Helper()
		text, err := ledger.Canonical(segments)
		require.NoError(t, err)
		return submitted(t, writer, "calls:Anchor", client.WithArguments(string(text)), client.WithEndorsingOrganizations("AtlasMSP", "BorealisMSP"))
	}
	require.Contains(t, anchor(first), `"outcome":"anchored"`)
	require.Contains(t, anchor(forged), `"outcome":"conflict"`)
	sealed, err := ledger.Canonical([]ledger.SealedRecord{{
		Key: ledger.CallKey("AtlasMSP", "atlas-pbx-1", leg), Sealed: ledger.Sealed{Algorithm: "A256GCM", Ciphertext: make([]byte, 48), Nonce: make([]byte, 12), V: 1},
	}})
	require.NoError(t, err)
	submitted(t, writer, "details:Put", client.WithTransient(map[string][]byte{"details": sealed}), client.WithEndorsingOrganizations("AtlasMSP"))

	readable := func() map[string]string {
		t.Helper()
		all := map[string]string{}
		for _, question := range [][]string{
			{"calls:Get", "AtlasMSP", "atlas-pbx-1", leg.LinkedID, leg.UniqueID, "7"},
			{"calls:Segment", "AtlasMSP", "atlas-pbx-1", fmt.Sprint(adapter.epoch), "1"},
			{"calls:Segment", "AtlasMSP", "atlas-pbx-1", fmt.Sprint(adapter.epoch), "3"},
			{"calls:Incidents", "AtlasMSP", "atlas-pbx-1"},
			{"calls:ByLinkedID", "AtlasMSP", "atlas-pbx-1", leg.LinkedID},
			{"recordings:Get", "AtlasMSP", "atlas-pbx-1", hexOf(16), "1"},
			{"recordings:ByLinkedID", "AtlasMSP", "atlas-pbx-1", leg.LinkedID},
			{"recordings:BySHA256", hexOf(32)},
			{"adapters:List", "AtlasMSP"},
			{"adapters:Get", "AtlasMSP", adapter.signer},
		} {
			// Another operator's peer, which may be a block behind.
			require.Eventually(t, func() bool {
				_, err := elsewhere.Evaluate(question[0], client.WithArguments(question[1:]...), client.WithEndorsingOrganizations("CorvusMSP"))
				return err == nil
			}, 20*time.Second, 50*time.Millisecond, strings.Join(question, " "))
			all[strings.Join(question, " ")] = evaluated(t, elsewhere, "CorvusMSP", question[0], question[1:]...)
		}
		all["details"] = evaluated(t, compliance, "AtlasMSP", "details:GetCall", "AtlasMSP", "atlas-pbx-1", leg.LinkedID, leg.UniqueID, "7")
		return all
	}
	before := readable()
	canonical, err := ledger.Canonical(&first.Records[0])
	require.NoError(t, err)
	require.Equal(t, string(canonical), before[fmt.Sprintf("calls:Get AtlasMSP atlas-pbx-1 %s %s 7", leg.LinkedID, leg.UniqueID)])

	// A program of another version does not pass for the old one.
	plain, err := network.Open(network.Options{State: n.Layout().Root(), Bin: current})
	require.NoError(t, err)
	require.ErrorContains(t, plain.Up(t.Context(), nil), "are version 1.0 and the program callseal-chaincode is 2.0: `callseal network upgrade`")

	upgrade := func(bin string, change func(*network.Options)) []string {
		t.Helper()
		options := network.Options{State: n.Layout().Root()}
		change(&options)
		opened, err := network.Open(options)
		require.NoError(t, err)
		var steps []string
		require.NoError(t, opened.Upgrade(t.Context(), bin, func(line string) {
			t.Log(line)
			steps = append(steps, line)
		}))
		n.Network = opened
		return steps
	}
	present := func(*network.Options) {}
	gatewayBefore := states(t, n)["atlas-gateway"].PID
	n.Stop("corvus-peer2") // it is started and upgraded like any other
	upgrade(current, present)
	requireDefined("2.0", 2, 1)
	requireEveryPeer(t, n, "2.0", func(contract *client.Contract, msp string) {
		question := fmt.Sprintf("calls:Get AtlasMSP atlas-pbx-1 %s %s 7", leg.LinkedID, leg.UniqueID)
		require.Equal(t, before[question], evaluated(t, contract, msp, "calls:Get", strings.Fields(question)[1:]...))
	})
	require.NotEqual(t, gatewayBefore, states(t, n)["atlas-gateway"].PID, "gateways start again from the new folder")
	require.Equal(t, before, readable(), "byte for byte")
	var result ledger.AnchorResult
	require.NoError(t, ledger.DecodeStrict([]byte(anchor(first)), &result))
	require.Equal(t, ledger.OutcomeAlready, result.Segments[0].Outcome)
	require.Empty(t, result.Segments[0].Exceptions)
	require.Equal(t, before, readable(), "a replay changes nothing")

	// The same segment's successor, and what version 1 had not.
	other := ledger.LegID{LinkedID: "pbx1-1772366400.10", UniqueID: "pbx1-1772366400.12", Sequence: 8}
	require.Contains(t, anchor(adapter.segment(4, callRecord(other, 16))), `"outcome":"anchored"`)
	governance := contractIn(t, n, "corvus", "auditor", ledger.GovernanceChaincode)
	require.Contains(t, evaluated(t, governance, "CorvusMSP", "governance:Current", ledger.PolicyConsortium), `"version":1`)
	require.Contains(t, evaluated(t, elsewhere, "CorvusMSP", "about:Version"), `"chaincode":"2.0"`)

	steps := upgrade(current, present)
	require.Equal(t, []string{"the chaincodes are version 2.0 already"}, steps)
	requireDefined("2.0", 2, 1)

	t.Run("it outlives a restart", func(t *testing.T) {
		require.NoError(t, n.Down(t.Context()))
		requireGone(t, n)
		require.NoError(t, n.Network.Up(t.Context(), nil))
		requireDefined("2.0", 2, 1)
	})
	t.Run("and back, and over again", func(t *testing.T) {
		height := states(t, n)["atlas-peer"].Height
		upgrade(old, func(o *network.Options) { o.ChaincodeVersion, o.WithoutGovernance = "1.0", true })
		definition := requireAll(t, n, network.StateRunning)["atlas-chaincode"].Chaincodes
		require.Equal(t, []network.Definition{{Name: "callseal", Version: "1.0", Sequence: 3}}, definition)
		after := readable()
		linked := "calls:ByLinkedID AtlasMSP atlas-pbx-1 " + leg.LinkedID
		require.Contains(t, after[linked], other.UniqueID, "version 1 reads what it could have written itself")
		delete(after, linked)
		was := maps.Clone(before)
		delete(was, linked)
		require.Equal(t, was, after)

		// Interrupted half-way, on a network that is then stopped, it goes on.
		opened, err := network.Open(network.Options{State: n.Layout().Root()})
		require.NoError(t, err)
		ctx, interrupt := context.WithCancel(t.Context())
		require.ErrorContains(t, opened.Upgrade(ctx, current, func(line string) {
			if strings.Contains(line, "served beside") {
				interrupt()
			}
		}), "context canceled")
		n.Network = opened
		require.Equal(t, network.StateRunning, states(t, n)["corvus-chaincode-next"].State)
		require.ErrorContains(t, opened.Up(t.Context(), nil), "to version 2.0 was interrupted: `callseal network upgrade` goes on with it")
		require.NoError(t, n.Down(t.Context()))
		requireGone(t, n)
		upgrade(current, present)
		require.NoError(t, n.Network.Up(t.Context(), nil))
		definition = requireAll(t, n, network.StateRunning)["atlas-chaincode"].Chaincodes
		require.Equal(t, network.Definition{Name: "callseal", Version: "2.0", Sequence: 4}, definition[1])
		require.Greater(t, states(t, n)["atlas-peer"].Height, height)
		require.Contains(t, anchor(first), `"outcome":"already_anchored"`)
	})
}

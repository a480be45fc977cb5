package contract_test

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/contract"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/stub"
)

const (
	atlas    = "AtlasMSP"
	borealis = "BorealisMSP"
	corvus   = "CorvusMSP"
	epoch    = 1_772_366_400_000
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// operator is one member with an identity for each role and the adapter of its
// pbx1.
type operator struct {
	authority *stub.Authority
	chaincode *contract.Chaincode
	roles     map[ledger.Role]*stub.Identity
	adapter   *stub.Identity
}

// operators are made once: keys take time.
var operators = sync.OnceValue(func() map[string]*operator {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	all := map[string]*operator{}
	for _, msp := range []string{atlas, borealis, corvus} {
		authority, err := stub.NewAuthority(msp)
		must(err)
		chaincode, err := contract.New(msp)
		must(err)
		member := &operator{authority: authority, chaincode: chaincode, roles: map[ledger.Role]*stub.Identity{}}
		for _, role := range []ledger.Role{ledger.RoleGateway, ledger.RoleAdapter, ledger.RoleAuditor, ledger.RoleCompliance, ledger.RoleAdmin} {
			member.roles[role], err = authority.Issue(stub.Request{Attributes: map[string]string{ledger.AttributeRole: string(role)}})
			must(err)
		}
		member.adapter, err = authority.Issue(adapterRequest("pbx1"))
		must(err)
		all[msp] = member
	}
	return all
})

func adapterRequest(pbx string) stub.Request {
	return stub.Request{
		Attributes: map[string]string{ledger.AttributeRole: string(ledger.RoleAdapter), ledger.AttributePBX: pbx},
		NotBefore:  noon.Add(-time.Hour), NotAfter: noon.Add(24 * time.Hour),
	}
}

// channel is a world whose transactions are checked for what must always hold.
type channel struct {
	*stub.World
	governance *stub.World // the governance chaincode's state
	t          testing.TB
}

func newChannel(t testing.TB) *channel {
	governance, err := contract.NewGovernance()
	require.NoError(t, err)
	world := stub.NewWorld(atlas, borealis, corvus)
	return &channel{World: world, governance: world.Deploy(ledger.GovernanceChaincode, governance), t: t}
}

// enrolled is a channel on which the adapters of every operator's pbx1 may sign.
func enrolled(t testing.TB) *channel {
	c := newChannel(t)
	for msp, member := range operators() {
		c.do(as(msp, ledger.RoleAdmin, "adapters:Enrol", string(member.adapter.PEM)))
	}
	return c
}

// as is a call by a role of an operator, on its own peer.
func as(msp string, role ledger.Role, args ...string) stub.Call {
	return stub.Call{Args: args, Creator: operators()[msp].roles[role].Creator(), Time: noon.Add(time.Hour), PeerMSP: msp}
}

// simulate runs a call on its peer and checks what must hold of every
// transaction.
func (c *channel) simulate(call stub.Call) (*peer.Response, *stub.Tx) {
	c.t.Helper()
	response, tx := c.Invoke(operators()[call.PeerMSP].chaincode, call)
	if response.GetStatus() >= shim.ERRORTHRESHOLD {
		requireCleanFailure(c.t, response, tx)
		return response, tx
	}
	require.Empty(c.t, response.GetMessage())
	for _, write := range tx.Writes() {
		if write.Purge {
			continue
		}
		require.NotEmpty(c.t, write.Value, "an empty value would delete %q", write.Key)
		canonical := jsontext.Value(bytes.Clone(write.Value))
		require.NoError(c.t, canonical.Canonicalize())
		require.Equal(c.t, string(canonical), string(write.Value), "values are canonical JSON")
		objectType, _, err := ledger.SplitKey(write.Key)
		require.NoError(c.t, err)
		require.Contains(c.t, []string{
			ledger.TypeCall, ledger.TypeSegment, ledger.TypeRecording, ledger.TypeRecordingByCall, ledger.TypeRecordingByHash,
			ledger.TypeIncident, ledger.TypeAdapter,
			ledger.TypeOpinion, ledger.TypePardon, ledger.TypeAllowance, ledger.TypeAppeal,
			ledger.TypeLink, ledger.TypeLinkTo, ledger.TypeOmission, ledger.TypeOpening, ledger.TypeBeat, ledger.TypeCallByRef, ledger.TypeProgress, ledger.TypeDisagreement,
			ledger.TypeCorrection, ledger.TypeDispute, ledger.TypeDisputeOf,
			ledger.TypeDevice, ledger.TypeDeviceVersion, ledger.TypeDeviceByAOR, ledger.TypeDeviceByFingerprint,
			ledger.TypeConsent, ledger.TypeViolation,
			ledger.TypeHold, ledger.TypeHoldVersion, ledger.TypeRetention, ledger.TypeRetentionVersion, ledger.TypeErasure,
		}, objectType)
	}
	require.False(c.t, tx.Scanned() && len(tx.Writes()) > 0, "a transaction that writes must not scan")
	require.Nil(c.t, tx.Event(), "events can be forged: none is set")
	return response, tx
}

// requireCleanFailure asserts that an error is one coded sentence and that
// nothing was written.
func requireCleanFailure(t testing.TB, response *peer.Response, tx *stub.Tx) {
	t.Helper()
	require.Empty(t, tx.Writes(), "nothing is written on an error")
	require.Nil(t, tx.Event())
	require.Empty(t, response.GetPayload())
	coded, found := ledger.ParseError(response.GetMessage())
	require.True(t, found, response.GetMessage())
	require.True(t, strings.HasPrefix(response.GetMessage(), string(coded.Code)+"|"), "the code comes first: %s", response.GetMessage())
	require.NotEmpty(t, coded.Message)
	require.NotContains(t, coded.Message, "\n")
	require.Less(t, len(coded.Message), 600)
}

// do runs and commits a call that must succeed, and answers its payload.
func (c *channel) do(call stub.Call) []byte {
	c.t.Helper()
	response, tx := c.simulate(call)
	require.EqualValues(c.t, shim.OK, response.GetStatus(), response.GetMessage())
	require.Equal(c.t, peer.TxValidationCode_VALID, c.Commit(tx)[0])
	return response.GetPayload()
}

// ask runs a query, which must write nothing, and decodes the answer.
func (c *channel) ask(call stub.Call, answer any) {
	c.t.Helper()
	response, tx := c.simulate(call)
	require.EqualValues(c.t, shim.OK, response.GetStatus(), response.GetMessage())
	require.Empty(c.t, tx.Writes())
	require.NoError(c.t, json.Unmarshal(response.GetPayload(), answer))
}

// refuse runs a call that must fail with the code, and answers the sentence.
func (c *channel) refuse(code ledger.Code, call stub.Call) string {
	c.t.Helper()
	response, _ := c.simulate(call)
	require.GreaterOrEqual(c.t, int(response.GetStatus()), shim.ERRORTHRESHOLD, "it succeeded")
	coded, _ := ledger.ParseError(response.GetMessage())
	require.Equal(c.t, code, coded.Code, coded.Message)
	return coded.Message
}

// anchor is the call by which an operator's gateway anchors segments.
func anchor(t testing.TB, msp string, segments ...*ledger.SignedSegment) stub.Call {
	return as(msp, ledger.RoleGateway, "calls:Anchor", canonical(t, segments))
}

func canonical(t testing.TB, v any) string {
	t.Helper()
	text, err := ledger.Canonical(v)
	require.NoError(t, err)
	return string(text)
}

// anchored runs and commits calls:Anchor and answers its result.
func (c *channel) anchored(segments ...*ledger.SignedSegment) *ledger.AnchorResult {
	c.t.Helper()
	var result ledger.AnchorResult
	require.NoError(c.t, ledger.DecodeStrict(c.do(anchor(c.t, segments[0].Segment.MSP, segments...)), &result))
	return &result
}

// hexOf is n bytes in hexadecimal.
func hexOf(n int) string { return strings.Repeat("5a", n) }

// leg names the i-th leg of a linkedid.
func leg(linkedID string, i int) ledger.LegID {
	return ledger.LegID{LinkedID: linkedID, UniqueID: "pbx1-1772366400.11", Sequence: int64(i)}
}

// callRecord is a good CDR leg, but for its place.
func callRecord(l ledger.LegID) ledger.Record {
	return ledger.Record{Call: &ledger.Call{
		Answer: ledger.TimeOf(noon.Add(2 * time.Second)), BillsecMS: 28_000, CalleeRef: hexOf(16), CallerRef: hexOf(16),
		DetailsDigest: hexOf(32), Direction: "inbound", Disposition: ledger.Answered, DurationMS: 30_000,
		End: ledger.TimeOf(noon.Add(30 * time.Second)), HangupCause: 16, Leg: l,
		Observed: &ledger.Observed{
			Answer: ledger.TimeOf(noon.Add(2_100 * time.Millisecond)), End: ledger.TimeOf(noon.Add(30_010 * time.Millisecond)), Start: ledger.TimeOf(noon.Add(12 * time.Millisecond)),
		},
		RecordingDue: true, Software: "Asterisk 22.10.1", Start: ledger.TimeOf(noon), Technology: "PJSIP",
	}}
}

// recordingRecord is a good recording, but for its place.
func recordingRecord(l ledger.LegID, id string, revision int64, sha256 string) ledger.Record {
	return ledger.Record{Recording: &ledger.Recording{
		Bytes: 96_044, ClosedAt: ledger.TimeOf(noon.Add(31 * time.Second)), DetailsDigest: hexOf(32), ID: id, Leg: l,
		MediaType: "audio/wav", Method: "mixmonitor", Revision: revision, SHA256: sha256, SHA512: hexOf(64),
	}}
}

// legs are n good CDR legs of one linkedid.
func legs(n int) []ledger.Record {
	records := make([]ledger.Record, n)
	for i := range records {
		records[i] = callRecord(leg("pbx1-1772366400.10", i))
	}
	return records
}

// segment places records into a segment of pbx1 that begins at firstSeq, and has
// the operator's adapter sign it.
func segment(t testing.TB, msp string, firstSeq int64, records []ledger.Record) *ledger.SignedSegment {
	t.Helper()
	signed := &ledger.SignedSegment{Records: records, Segment: ledger.Segment{
		ClosedAt: ledger.TimeOf(noon.Add(time.Minute)), Count: int64(len(records)), Epoch: epoch, FirstSeq: firstSeq, MSP: msp, PBX: "pbx1", V: 1,
	}}
	if firstSeq > 1 {
		signed.Segment.PrevFirstSeq, signed.Segment.PrevRoot = max(1, firstSeq-ledger.MaxRecords), hexOf(32)
	}
	resign(t, operators()[msp].adapter, signed)
	return signed
}

// resign gives the records their places and signs.
func resign(t testing.TB, signer *stub.Identity, signed *ledger.SignedSegment) {
	t.Helper()
	resignAs(t, signer, signed, 1)
}

// resignAs is resign with records of at least the given version.
func resignAs(t testing.TB, signer *stub.Identity, signed *ledger.SignedSegment, version int) {
	t.Helper()
	header := &signed.Segment
	leaves := make([][]byte, len(signed.Records))
	for i := range signed.Records {
		record := &signed.Records[i]
		record.Epoch, record.MSP, record.PBX, record.Segment, record.Seq, record.V = header.Epoch, header.MSP, header.PBX, header.FirstSeq, header.FirstSeq+int64(i), max(record.V, version)
		var err error
		leaves[i], err = ledger.Canonical(record)
		require.NoError(t, err)
	}
	var err error
	header.Root, err = ledger.Root(leaves)
	require.NoError(t, err)
	header.Signer = ledger.Fingerprint(signer.Certificate.Raw)
	signed.Signature, err = header.Sign(signer.Key.(*ecdsa.PrivateKey))
	require.NoError(t, err)
}

// outcomes are the outcomes of a segment's n records.
func outcomes(s ledger.SegmentOutcome, n int) []ledger.Outcome {
	all := []ledger.Outcome{}
	for i := range n {
		all = append(all, s.Of(s.FirstSeq+int64(i)))
	}
	return all
}

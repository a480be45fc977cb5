package contract_test

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/stub"
)

func TestAnchorStoresRecordsAndTheirSegment(t *testing.T) {
	for _, transient := range []bool{false, true} {
		c := enrolled(t)
		signed := segment(t, atlas, 1, legs(3))
		call := anchor(t, atlas, signed)
		if transient {
			call.Transient = map[string][]byte{"segments": []byte(call.Args[1])}
			call.Args[1] = ""
		}
		call.TxID = "the transaction"
		var result ledger.AnchorResult
		require.NoError(t, ledger.DecodeStrict(c.do(call), &result))
		require.Equal(t, "the transaction", result.TxID)
		require.Len(t, result.Segments, 1)
		require.Equal(t, ledger.OutcomeAnchored, result.Segments[0].Outcome)
		require.EqualValues(t, epoch, result.Segments[0].Epoch)
		require.EqualValues(t, 1, result.Segments[0].FirstSeq)
		require.Empty(t, result.Segments[0].Exceptions, "what is usual is not repeated")
		for i := range signed.Records {
			record := &signed.Records[i]
			require.Equal(t, canonical(t, record), string(c.Get(record.Key())), "the leaf is stored as it was hashed")
		}
		var stored ledger.AnchoredSegment
		require.NoError(t, ledger.DecodeStrict(c.Get(signed.Segment.Key()), &stored))
		require.Equal(t, ledger.AnchoredSegment{
			AnchoredAt: ledger.TimeOf(noon.Add(time.Hour)), LateMS: (time.Hour - 30*time.Second).Milliseconds(),
			Segment: signed.Segment, Signature: signed.Signature, TxID: "the transaction", V: ledger.SchemaVersion,
		}, stored)
		require.NoError(t, stored.Segment.VerifySignature(operators()[atlas].adapter.Certificate, stored.Signature))
		require.Len(t, c.Keys(), 3+3+1, "three enrolments, three records, one segment")
	}
}

func TestAnchorIsNotLateWhereThePBXClockRunsAhead(t *testing.T) {
	c := enrolled(t)
	signed := segment(t, atlas, 1, legs(1))
	call := anchor(t, atlas, signed)
	call.Time = noon
	c.do(call)
	var stored ledger.AnchoredSegment
	require.NoError(t, ledger.DecodeStrict(c.Get(signed.Segment.Key()), &stored))
	require.Zero(t, stored.LateMS)
}

func TestAnchorTakesItsInputOnce(t *testing.T) {
	c := enrolled(t)
	good := anchor(t, atlas, segment(t, atlas, 1, legs(1)))
	text := good.Args[1]
	for name, c2 := range map[string]struct {
		argument  string
		transient map[string][]byte
	}{
		"both":                       {text, map[string][]byte{"segments": []byte(text)}},
		"an empty transient as well": {text, map[string][]byte{"segments": {}}},
		"a nil transient as well":    {text, map[string][]byte{"segments": nil}},
		"neither":                    {"", nil},
		"an empty transient":         {"", map[string][]byte{"segments": {}}},
		"another name":               {"", map[string][]byte{"segment": []byte(text)}},
	} {
		call := good
		call.Args = []string{"calls:Anchor", c2.argument}
		call.Transient = c2.transient
		require.Contains(t, c.refuse(ledger.CodeInvalid, call), "segments", name)
	}
}

func TestReplaysAreRecognised(t *testing.T) {
	c := enrolled(t)
	signed := segment(t, atlas, 1, legs(2))
	c.anchored(signed)
	before := c.Keys()

	// The same segment again, as a gateway sends it after a crash.
	response, tx := c.simulate(anchor(t, atlas, signed))
	require.Empty(t, tx.Writes())
	var result ledger.AnchorResult
	require.NoError(t, ledger.DecodeStrict(response.GetPayload(), &result))
	require.Equal(t, ledger.OutcomeAlready, result.Segments[0].Outcome)
	require.Equal(t, []ledger.Outcome{ledger.OutcomeAlready, ledger.OutcomeAlready}, outcomes(result.Segments[0], 2))
	require.Equal(t, before, c.Keys())

	// The same records in another segment, as after a lost journal.
	again := segment(t, atlas, 1, legs(2))
	again.Segment.Epoch++
	resign(t, operators()[atlas].adapter, again)
	outcome := c.anchored(again).Segments[0]
	require.Equal(t, ledger.OutcomeAnchored, outcome.Outcome)
	require.Equal(t, []ledger.Outcome{ledger.OutcomeAlready, ledger.OutcomeAlready}, outcomes(outcome, 2))
	require.Equal(t, canonical(t, &signed.Records[0]), string(c.Get(signed.Records[0].Key())), "the first stays")
	require.Len(t, c.Keys(), len(before)+1)
	var incidents []ledger.Incident
	c.ask(as(atlas, ledger.RoleAuditor, "calls:Incidents", atlas, "pbx1"), &incidents)
	require.Empty(t, incidents)
}

func TestAConflictingReplayIsRefusedAndRecordedOnce(t *testing.T) {
	c := enrolled(t)
	first := segment(t, atlas, 1, legs(1))
	c.anchored(first)
	altered := legs(2)
	altered[0].Call.DurationMS++
	second := segment(t, atlas, 2, altered)
	firstTx := ""
	for range 3 {
		result := c.anchored(second)
		firstTx = cmp.Or(firstTx, result.TxID)
		require.Equal(t, ledger.OutcomeConflict, result.Segments[0].Of(2))
		require.NotEqual(t, ledger.OutcomeConflict, result.Segments[0].Of(3), "the others are anchored")
	}
	// The same content in yet another segment is the same refusal.
	third := segment(t, atlas, 9, altered[:1])
	require.Equal(t, []ledger.Outcome{ledger.OutcomeConflict}, outcomes(c.anchored(third).Segments[0], 1))

	require.Equal(t, canonical(t, &first.Records[0]), string(c.Get(first.Records[0].Key())), "what was first stays")
	var incidents []ledger.Incident
	c.ask(as(borealis, ledger.RoleAuditor, "calls:Incidents", atlas, "pbx1"), &incidents)
	require.Len(t, incidents, 1)
	offered, err := second.Records[0].ContentDigest()
	require.NoError(t, err)
	stored, err := first.Records[0].ContentDigest()
	require.NoError(t, err)
	incident := incidents[0]
	require.Equal(t, ledger.Incident{
		At: ledger.TimeOf(noon.Add(time.Hour)), Key: first.Records[0].Key(), Kind: ledger.IncidentReplay, MSP: atlas, PBX: "pbx1",
		OfferedDigest: offered, StoredDigest: stored, Signer: first.Segment.Signer, TxID: firstTx, V: ledger.SchemaVersion,
	}, incident, "as it was recorded first")

	// Other content again is another refusal.
	altered[0].Call.DurationMS++
	c.anchored(segment(t, atlas, 20, altered[:1]))
	c.ask(as(atlas, ledger.RoleAuditor, "calls:Incidents", atlas, "pbx1"), &incidents)
	require.Len(t, incidents, 2)
}

// rebuiltRoot computes a segment's root from what the ledger holds.
func rebuiltRoot(t *testing.T, c *channel, signed *ledger.SignedSegment) (root string, absent []ledger.AbsentLeaf) {
	var stored ledger.AnchoredSegment
	require.NoError(t, ledger.DecodeStrict(c.Get(signed.Segment.Key()), &stored))
	hashes := map[int64]string{}
	for _, leaf := range stored.Absent {
		hashes[leaf.Seq] = leaf.LeafHash
	}
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	tree := factory.NewEmptyRange(0)
	for i := range signed.Records {
		hash, found := hashes[signed.Records[i].Seq]
		if !found {
			hash = ledger.LeafHash(c.Get(signed.Records[i].Key()))
		}
		raw, err := hex.DecodeString(hash)
		require.NoError(t, err)
		require.NoError(t, tree.Append(raw, nil))
	}
	raw, err := tree.GetRootHash(nil)
	require.NoError(t, err)
	return hex.EncodeToString(raw), stored.Absent
}

func TestRootsCanBeComputedFromTheLedger(t *testing.T) {
	c := enrolled(t)
	first := segment(t, atlas, 1, legs(3))
	c.anchored(first)
	mixed := legs(5) // 0 is altered, 1 and 2 are replays, 3 and 4 are new
	mixed[0].Call.HangupCause = 1
	mixed[4].Call.Leg = mixed[3].Call.Leg // and 4 comes twice
	second := segment(t, atlas, 4, mixed)
	c.anchored(second)
	for _, signed := range []*ledger.SignedSegment{first, second} {
		root, _ := rebuiltRoot(t, c, signed)
		require.Equal(t, signed.Segment.Root, root)
	}
	_, absent := rebuiltRoot(t, c, first)
	require.Nil(t, absent)
	_, absent = rebuiltRoot(t, c, second)
	require.Len(t, absent, 4)
	require.Equal(t, []ledger.Outcome{ledger.OutcomeConflict, ledger.OutcomeAlready, ledger.OutcomeAlready, ledger.OutcomeAlready},
		[]ledger.Outcome{absent[0].Outcome, absent[1].Outcome, absent[2].Outcome, absent[3].Outcome})
	before := string(c.Get(second.Segment.Key()))
	c.anchored(second)
	require.Equal(t, before, string(c.Get(second.Segment.Key())), "a replay changes nothing of it")
}

func TestAForkIsRefusedWholeAndRecordedOnce(t *testing.T) {
	c := enrolled(t)
	c.anchored(segment(t, atlas, 1, legs(2)))
	fork := segment(t, atlas, 1, []ledger.Record{callRecord(leg("pbx1-1772366499.1", 0)), callRecord(leg("pbx1-1772366499.1", 1)), callRecord(leg("pbx1-1772366499.1", 2))})
	for range 2 {
		outcome := c.anchored(fork).Segments[0]
		require.Equal(t, ledger.OutcomeConflict, outcome.Outcome)
		require.Equal(t, []ledger.Outcome{ledger.OutcomeConflict, ledger.OutcomeConflict, ledger.OutcomeConflict}, outcomes(outcome, 3))
	}
	for i := range fork.Records {
		require.Nil(t, c.Get(fork.Records[i].Key()))
	}
	var incidents []ledger.Incident
	c.ask(as(atlas, ledger.RoleAuditor, "calls:Incidents", atlas, "pbx1"), &incidents)
	require.Len(t, incidents, 1)
	require.Equal(t, ledger.IncidentFork, incidents[0].Kind)
	require.Equal(t, fork.Segment.Key(), incidents[0].Key)
	require.Equal(t, fork.Segment.Root, incidents[0].OfferedDigest)
}

func TestOneKeyTwiceInOneTransaction(t *testing.T) {
	twice := func(change func(*ledger.Record)) []ledger.Record {
		records := []ledger.Record{callRecord(leg("pbx1-1772366400.10", 0)), callRecord(leg("pbx1-1772366400.10", 0))}
		change(&records[1])
		return records
	}
	same := func(*ledger.Record) {}
	other := func(r *ledger.Record) { r.Call.HangupCause = 17 }

	c := enrolled(t)
	require.Equal(t, []ledger.Outcome{ledger.OutcomeAnchored, ledger.OutcomeAlready}, outcomes(c.anchored(segment(t, atlas, 1, twice(same))).Segments[0], 2))
	c = enrolled(t)
	require.Equal(t, []ledger.Outcome{ledger.OutcomeAnchored, ledger.OutcomeConflict}, outcomes(c.anchored(segment(t, atlas, 1, twice(other))).Segments[0], 2))
	require.Len(t, c.Keys(), 3+1+1+1, "the enrolments, one record, its segment, one incident")

	// Spread over two segments, and a whole segment twice.
	c = enrolled(t)
	records := twice(other)
	first, second := segment(t, atlas, 1, records[:1]), segment(t, atlas, 2, records[1:])
	result := c.anchored(first, second, first)
	require.Equal(t, []ledger.Outcome{ledger.OutcomeAnchored, ledger.OutcomeAnchored, ledger.OutcomeAlready}, []ledger.Outcome{result.Segments[0].Outcome, result.Segments[1].Outcome, result.Segments[2].Outcome})
	require.Equal(t, []ledger.Outcome{ledger.OutcomeConflict}, outcomes(result.Segments[1], 1))

	// Two histories in one transaction.
	c = enrolled(t)
	fork := segment(t, atlas, 1, []ledger.Record{callRecord(leg("pbx1-1772366499.1", 0))})
	result = c.anchored(first, fork)
	require.Equal(t, ledger.OutcomeConflict, result.Segments[1].Outcome)
	require.Nil(t, c.Get(fork.Records[0].Key()))
}

func TestAnchorWritesTheRecordingsIndexes(t *testing.T) {
	c := enrolled(t)
	id, l := strings.Repeat("ab", 16), leg("pbx1-1772366400.10", 0)
	signed := segment(t, atlas, 1, []ledger.Record{callRecord(l), recordingRecord(l, id, 1, hexOf(32)), recordingRecord(l, id, 2, strings.Repeat("c3", 32))})
	require.Equal(t, []ledger.Outcome{ledger.OutcomeAnchored, ledger.OutcomeAnchored, ledger.OutcomeAnchored}, outcomes(c.anchored(signed).Segments[0], 3))
	for _, key := range []string{
		ledger.RecordingByCallKey(atlas, "pbx1", l, id, 1), ledger.RecordingByCallKey(atlas, "pbx1", l, id, 2),
		ledger.RecordingByHashKey(hexOf(32), atlas, "pbx1", id, 1), ledger.RecordingByHashKey(strings.Repeat("c3", 32), atlas, "pbx1", id, 2),
	} {
		require.Equal(t, "{}", string(c.Get(key)), "%q", key)
	}
	var stored ledger.AnchoredSegment
	require.NoError(t, ledger.DecodeStrict(c.Get(signed.Segment.Key()), &stored))
	require.Equal(t, (time.Hour - 31*time.Second).Milliseconds(), stored.LateMS, "the file's closing is the latest moment")
}

func TestARefusedRecordingGetsNoIndex(t *testing.T) {
	c := enrolled(t)
	id, l := strings.Repeat("ab", 16), leg("pbx1-1772366400.10", 0)
	c.anchored(segment(t, atlas, 1, []ledger.Record{recordingRecord(l, id, 1, hexOf(32))}))
	forged := recordingRecord(l, id, 1, strings.Repeat("c3", 32))
	require.Equal(t, []ledger.Outcome{ledger.OutcomeConflict}, outcomes(c.anchored(segment(t, atlas, 2, []ledger.Record{forged})).Segments[0], 1))
	require.Nil(t, c.Get(ledger.RecordingByHashKey(strings.Repeat("c3", 32), atlas, "pbx1", id, 1)))
}

func TestTheBoundsOfOneTransaction(t *testing.T) {
	c := enrolled(t)
	require.Equal(t, slices.Repeat([]ledger.Outcome{ledger.OutcomeAnchored}, 500), outcomes(c.anchored(segment(t, atlas, 1, legs(500))).Segments[0], 500))
	c = enrolled(t)
	c.refuse(ledger.CodeTooLarge, anchor(t, atlas, segment(t, atlas, 1, legs(501))))
	// So many in all, not in each.
	full := []*ledger.SignedSegment{segment(t, atlas, 1, legs(500)), segment(t, atlas, 501, legs(500)), segment(t, atlas, 1001, legs(300))}
	c.refuse(ledger.CodeTooLarge, anchor(t, atlas, append(full, segment(t, atlas, 1301, legs(201)))...))
	require.Len(t, c.anchored(append(full, segment(t, atlas, 1301, legs(200)))...).Segments, 4)

	huge := segment(t, atlas, 1, legs(1))
	huge.Records[0].Call.Software = strings.Repeat("s", 2<<20)
	resign(t, operators()[atlas].adapter, huge)
	require.Contains(t, c.refuse(ledger.CodeTooLarge, anchor(t, atlas, huge)), "at most")
	huge.Records[0].Call.Software = strings.Repeat("s", 1<<20)
	resign(t, operators()[atlas].adapter, huge)
	require.Contains(t, c.refuse(ledger.CodeInvalid, anchor(t, atlas, huge)), "record 1: software")
	call := anchor(t, atlas, segment(t, atlas, 1, legs(1)))
	call.Args[1] = strings.Repeat(" ", 10<<20) + call.Args[1]
	c.refuse(ledger.CodeTooLarge, call)
	call.Transient = map[string][]byte{"segments": []byte(call.Args[1])}
	call.Args[1] = ""
	c.refuse(ledger.CodeTooLarge, call)
}

func TestWhoMayAnchor(t *testing.T) {
	c := enrolled(t)
	text := canonical(t, []*ledger.SignedSegment{segment(t, atlas, 1, legs(1))})
	for role := range operators()[atlas].roles {
		if role != ledger.RoleGateway {
			require.Contains(t, c.refuse(ledger.CodeDenied, as(atlas, role, "calls:Anchor", text)), string(role))
		}
	}
	c.refuse(ledger.CodeDenied, as(borealis, ledger.RoleGateway, "calls:Anchor", text))
	for name, request := range map[string]stub.Request{
		"no role":           {},
		"an empty role":     {Attributes: map[string]string{ledger.AttributeRole: ""}},
		"a role in capital": {Attributes: map[string]string{ledger.AttributeRole: "Gateway"}},
		"other attributes":  {Attributes: map[string]string{"role": "gateway"}},
		"broken attributes": {Extension: []byte("{")},
	} {
		identity, err := operators()[atlas].authority.Issue(request)
		require.NoError(t, err)
		call := as(atlas, ledger.RoleGateway, "calls:Anchor", text)
		call.Creator = identity.Creator()
		require.NotEmpty(t, c.refuse(ledger.CodeDenied, call), name)
	}
	for _, creator := range [][]byte{nil, {}, []byte("nonsense"), {0x0a, 0xff}} {
		call := as(atlas, ledger.RoleGateway, "calls:Anchor", text)
		call.Creator = creator
		c.refuse(ledger.CodeDenied, call)
	}
	// One's own and another's segment in one transaction.
	c.refuse(ledger.CodeDenied, as(atlas, ledger.RoleGateway, "calls:Anchor", canonical(t, []*ledger.SignedSegment{segment(t, atlas, 1, legs(1)), segment(t, borealis, 1, legs(1))})))
}

func TestWhoseSignatureCounts(t *testing.T) {
	member := operators()[atlas]
	issue := func(request stub.Request) *stub.Identity {
		identity, err := member.authority.Issue(request)
		require.NoError(t, err)
		return identity
	}
	enrol := func(c *channel, identity *stub.Identity) {
		c.do(as(atlas, ledger.RoleAdmin, "adapters:Enrol", string(identity.PEM)))
	}
	signedBy := func(identity *stub.Identity, change ...func(*ledger.SignedSegment)) *ledger.SignedSegment {
		signed := segment(t, atlas, 1, legs(1))
		for _, apply := range change {
			apply(signed)
		}
		resign(t, identity, signed)
		return signed
	}
	pbx2 := issue(adapterRequest("pbx2"))

	for name, c2 := range map[string]struct {
		code ledger.Code
		call func(c *channel) stub.Call
	}{
		"not enrolled":                 {ledger.CodeDenied, func(*channel) stub.Call { return anchor(t, atlas, signedBy(pbx2)) }},
		"enrolled by another operator": {ledger.CodeDenied, func(*channel) stub.Call { return anchor(t, atlas, signedBy(operators()[borealis].adapter)) }},
		"another PBX's adapter": {ledger.CodeDenied, func(c *channel) stub.Call {
			enrol(c, pbx2)
			return anchor(t, atlas, signedBy(pbx2))
		}},
		"another PBX's segment": {ledger.CodeDenied, func(*channel) stub.Call {
			return anchor(t, atlas, signedBy(member.adapter, func(s *ledger.SignedSegment) { s.Segment.PBX = "pbx2" }))
		}},
		"expired": {ledger.CodeDenied, func(*channel) stub.Call {
			call := anchor(t, atlas, signedBy(member.adapter))
			call.Time = noon.Add(24*time.Hour + time.Second)
			return call
		}},
		"not yet valid": {ledger.CodeDenied, func(*channel) stub.Call {
			call := anchor(t, atlas, signedBy(member.adapter))
			call.Time = noon.Add(-time.Hour - time.Second)
			return call
		}},
		"revoked": {ledger.CodeDenied, func(c *channel) stub.Call {
			c.do(as(atlas, ledger.RoleAdmin, "adapters:Revoke", ledger.Fingerprint(member.adapter.Certificate.Raw)))
			return anchor(t, atlas, signedBy(member.adapter))
		}},
		"signed with another key": {ledger.CodeUnauthentic, func(*channel) stub.Call {
			signed := signedBy(pbx2)
			signed.Segment.Signer = ledger.Fingerprint(member.adapter.Certificate.Raw)
			return anchor(t, atlas, signed)
		}},
		"no signature": {ledger.CodeUnauthentic, func(*channel) stub.Call {
			signed := signedBy(member.adapter)
			signed.Signature = nil
			return anchor(t, atlas, signed)
		}},
		"another segment's signature": {ledger.CodeUnauthentic, func(*channel) stub.Call {
			signed := signedBy(member.adapter)
			signed.Signature = segment(t, atlas, 2, legs(1)).Signature
			return anchor(t, atlas, signed)
		}},
		"an altered header": {ledger.CodeUnauthentic, func(*channel) stub.Call {
			signed := signedBy(member.adapter)
			signed.Segment.ClosedAt = ledger.TimeOf(noon)
			return anchor(t, atlas, signed)
		}},
		"an altered record": {ledger.CodeUnauthentic, func(*channel) stub.Call {
			signed := signedBy(member.adapter)
			signed.Records[0].Call.DurationMS++
			return anchor(t, atlas, signed)
		}},
		"the second of two forged": {ledger.CodeUnauthentic, func(*channel) stub.Call {
			forged := segment(t, atlas, 2, legs(1))
			forged.Signature = nil
			return anchor(t, atlas, signedBy(member.adapter), forged)
		}},
		"a replay with a broken signature": {ledger.CodeUnauthentic, func(c *channel) stub.Call {
			signed := signedBy(member.adapter)
			c.anchored(signed)
			signed.Signature = nil
			return anchor(t, atlas, signed)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := enrolled(t)
			call := c2.call(c)
			before := c.Keys()
			c.refuse(c2.code, call)
			require.Equal(t, before, c.Keys())
		})
	}
}

func TestMalformedSegments(t *testing.T) {
	c := enrolled(t)
	good := canonical(t, []*ledger.SignedSegment{segment(t, atlas, 1, legs(2))})
	for name, text := range map[string]string{
		"not JSON":              "segments",
		"no segment":            "[]",
		"null":                  "null",
		"an object":             "{}",
		"an empty segment":      "[{}]",
		"a duplicate member":    strings.Replace(good, `"records":`, `"records":[],"records":`, 1),
		"an unknown member":     strings.Replace(good, `"records":`, `"note":"x","records":`, 1),
		"a float":               strings.Replace(good, `"duration_ms":30000`, `"duration_ms":30000.0`, 1),
		"a null":                strings.Replace(good, `"duration_ms":30000`, `"duration_ms":null`, 1),
		"an end before start":   strings.Replace(good, `"end":"2026-03-01T12:00:30.000Z"`, `"end":"2026-03-01T11:00:30.000Z"`, 1),
		"a gap":                 strings.Replace(good, `"seq":2`, `"seq":3`, 1),
		"another epoch":         strings.Replace(good, `"epoch":1772366400000`, `"epoch":1772366400001`, 1),
		"trailing data":         good + "[]",
		"an MSP with a space":   strings.ReplaceAll(good, atlas, "Atlas MSP"),
		"an MSP without end":    strings.ReplaceAll(good, atlas, strings.Repeat("A", 1000)),
		"text that is not UTF8": strings.Replace(good, "PJSIP", "PJ\xffSIP", 1),
	} {
		require.NotEmpty(t, c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleGateway, "calls:Anchor", text)), name)
	}
	// White space and order are the writer's own.
	loose := strings.ReplaceAll(good, `,"`, ",\n \"")
	response, _ := c.simulate(as(atlas, ledger.RoleGateway, "calls:Anchor", loose))
	require.EqualValues(t, 200, response.GetStatus(), response.GetMessage())
}

func TestOfTwoConcurrentAnchorsOneWins(t *testing.T) {
	for _, sameBlock := range []bool{true, false} {
		c := enrolled(t)
		honest, altered := legs(1), legs(1)
		altered[0].Call.HangupCause = 17
		var transactions []*stub.Tx
		for _, signed := range []*ledger.SignedSegment{segment(t, atlas, 1, honest), segment(t, atlas, 2, altered)} {
			response, tx := c.simulate(anchor(t, atlas, signed))
			require.Contains(t, string(response.GetPayload()), `"outcome":"anchored"`)
			transactions = append(transactions, tx)
		}
		var codes []peer.TxValidationCode
		if sameBlock {
			codes = c.Commit(transactions...)
		} else {
			codes = append(c.Commit(transactions[0]), c.Commit(transactions[1])...)
		}
		require.Equal(t, []peer.TxValidationCode{peer.TxValidationCode_VALID, peer.TxValidationCode_MVCC_READ_CONFLICT}, codes)
		require.Equal(t, canonical(t, &honest[0]), string(c.Get(honest[0].Key())))
		// Endorsed again, as the gateway does, it is a conflict.
		require.Equal(t, []ledger.Outcome{ledger.OutcomeConflict}, outcomes(c.anchored(segment(t, atlas, 2, altered)).Segments[0], 1))
	}
}

func TestConcurrentAnchorsOfOthersDoNotMeet(t *testing.T) {
	c := enrolled(t)
	var transactions []*stub.Tx
	for _, msp := range []string{atlas, borealis, corvus} {
		for i := range 3 {
			records := []ledger.Record{callRecord(leg(fmt.Sprintf("pbx1-%d", i), 0))}
			_, tx := c.simulate(anchor(t, msp, segment(t, msp, int64(i+1), records)))
			transactions = append(transactions, tx)
		}
	}
	for _, code := range c.Commit(transactions...) {
		require.Equal(t, peer.TxValidationCode_VALID, code)
	}
}

func TestARevocationBeatsAnAnchorInFlight(t *testing.T) {
	c := enrolled(t)
	_, anchoring := c.simulate(anchor(t, atlas, segment(t, atlas, 1, legs(1))))
	_, revocation := c.simulate(as(atlas, ledger.RoleAdmin, "adapters:Revoke", ledger.Fingerprint(operators()[atlas].adapter.Certificate.Raw)))
	require.Equal(t, []peer.TxValidationCode{peer.TxValidationCode_VALID, peer.TxValidationCode_MVCC_READ_CONFLICT}, c.Commit(revocation, anchoring))
}

func TestEndorsersAgree(t *testing.T) {
	// The same proposal on peers of different operators gives the same bytes.
	c := enrolled(t)
	l := leg("pbx1-1772366400.10", 0)
	call := anchor(t, atlas, segment(t, atlas, 1, []ledger.Record{callRecord(l), recordingRecord(l, hexOf(16), 1, hexOf(32))}))
	call.TxID = "one"
	responseA, txA := c.simulate(call)
	call.PeerMSP = borealis
	responseB, txB := c.simulate(call)
	require.Equal(t, responseA.GetPayload(), responseB.GetPayload())
	require.Equal(t, txA.Writes(), txB.Writes())
	require.Equal(t, txA.Reads(), txB.Reads())
}

func TestAnchorReadsOnlyWhatItMustAndByName(t *testing.T) {
	c := enrolled(t)
	signed := segment(t, atlas, 1, legs(2))
	_, tx := c.simulate(anchor(t, atlas, signed))
	want := []string{ledger.AdapterKey(atlas, signed.Segment.Signer), signed.Segment.Key(), signed.Records[0].Key(), signed.Records[1].Key()}
	slices.Sort(want)
	require.Equal(t, want, tx.Reads())
}

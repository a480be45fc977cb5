package contract_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/contract"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/stub"
)

// detailsOnly asks for the erasure of details on a person's request.
func detailsOnly() ledger.ErasureRequest {
	return ledger.ErasureRequest{
		Details: &ledger.DestroyedKey{KeyCommitment: digit("c")}, EvidenceDigest: digit("e"), Reason: ledger.EraseSubjectRequest,
	}
}

func eraseRecording(t testing.TB, id string, revision int64, request ledger.ErasureRequest) stub.Call {
	return as(atlas, ledger.RoleCompliance, "recordings:Erase", atlas, "pbx1", id, number(revision), canonical(t, request))
}

func eraseCall(t testing.TB, l ledger.LegID, request ledger.ErasureRequest) stub.Call {
	return as(atlas, ledger.RoleCompliance, "calls:Erase", atlas, "pbx1", l.LinkedID, l.UniqueID, number(l.Sequence), canonical(t, request))
}

// purge is the call by which Atlas's gateway purges the details of records.
func purge(t testing.TB, keys ...string) stub.Call {
	call := as(atlas, ledger.RoleGateway, "details:Purge")
	call.Transient = map[string][]byte{"keys": []byte(canonical(t, keys))}
	return call
}

// withDetails is a channel whose first leg and recording have details.
func withDetails(t testing.TB) (c *channel, l ledger.LegID, id string) {
	c, first, _, id := populated(t)
	l = leg(first, 0)
	_, tx := c.invokeDetails(putDetails(t, atlas,
		ledger.SealedRecord{Key: ledger.CallKey(atlas, "pbx1", l), Sealed: sealed("call")},
		ledger.SealedRecord{Key: ledger.RecordingKey(atlas, "pbx1", id, 1), Sealed: sealed("recording")}))
	require.Equal(t, peer.TxValidationCode_VALID, c.Commit(tx)[0])
	return c, l, id
}

func TestErasure(t *testing.T) {
	c, l, id := withDetails(t)
	keys := []string{ledger.CallKey(atlas, "pbx1", l), ledger.RecordingKey(atlas, "pbx1", id, 1)}
	before := [][]byte{c.Get(keys[0]), c.Get(keys[1])}
	c.refuse(ledger.CodeState, purge(t, keys[0]))

	erasure := c.erased(eraseCall(t, l, detailsOnly()))
	want := sha256.Sum256([]byte(canonical(t, sealed("call"))))
	require.Equal(t, &ledger.Destruction{
		At: ledger.TimeOf(noon.Add(time.Hour)), By: ledger.RoleCompliance, EvidenceDigest: digit("e"), KeyCommitment: digit("c"),
		Reason: ledger.EraseSubjectRequest, SealedDigest: hex.EncodeToString(want[:]), TxID: erasure.Details.TxID,
	}, erasure.Details)
	require.NotEmpty(t, erasure.Details.TxID)
	require.Nil(t, erasure.Audio)
	require.Equal(t, l, *erasure.Call)

	// The gateway acts for a person of that role, and says so.
	request := detailsOnly()
	request.RequestedBy = digit("9")
	byGateway := eraseRecording(t, id, 1, request)
	byGateway.Creator = operators()[atlas].roles[ledger.RoleGateway].Creator()
	erasure = c.erased(byGateway)
	require.Equal(t, ledger.RoleGateway, erasure.Details.By)
	require.Equal(t, digit("9"), erasure.Details.RequestedBy)
	require.Equal(t, ledger.RecordingID{ID: id, Revision: 1}, *erasure.Recording)

	// The records stay as they were, and their state is told.
	for i, key := range keys {
		require.Equal(t, string(before[i]), string(c.Get(key)))
	}
	custody := c.custody(noon.Add(2*time.Hour), "recordings:State", atlas, "pbx1", id, "1")
	require.Equal(t, ledger.StateErased, custody.State)
	require.Equal(t, erasure, custody.Erasure)
	require.Equal(t, ledger.StateErased, c.custody(noon, "calls:State", atlas, "pbx1", l.LinkedID, l.UniqueID, "0").State)
	require.Equal(t, ledger.StateAnchored, c.custody(noon, "calls:State", atlas, "pbx1", l.LinkedID, l.UniqueID, "1").State)

	// Until they are purged the sealed details are there, without their key.
	var got ledger.Sealed
	c.ask(as(atlas, ledger.RoleGateway, "details:GetCall", atlas, "pbx1", l.LinkedID, l.UniqueID, "0"), &got)
	result := c.purged(purge(t, keys...))
	require.Equal(t, contract.PurgeResult{Purged: 2}, result)
	for _, key := range keys {
		hash, err := c.Begin(stub.Call{}).GetPrivateDataHash("_implicit_org_"+atlas, key)
		require.NoError(t, err)
		require.Nil(t, hash)
	}
	message := c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleCompliance, "details:GetRecording", atlas, "pbx1", id, "1"))
	require.Contains(t, message, "were erased at 2026-03-01T13:00:00.000Z (subject_request)")

	// Everything again changes nothing, and nothing comes back.
	for _, call := range []stub.Call{eraseCall(t, l, detailsOnly()), byGateway, purge(t, keys...)} {
		response, tx := c.simulate(call)
		require.EqualValues(t, shim.OK, response.GetStatus(), response.GetMessage())
		require.Empty(t, tx.Writes())
	}
	again, tx := c.invokeDetails(putDetails(t, atlas, ledger.SealedRecord{Key: keys[0], Sealed: sealed("call")},
		ledger.SealedRecord{Key: ledger.CallKey(atlas, "pbx1", leg(l.LinkedID, 1)), Sealed: sealed("other")}))
	require.Equal(t, contract.PutResult{Erased: 1, Stored: 1}, again)
	require.Len(t, tx.Writes(), 1)
}

// erased runs and commits an erasure.
func (c *channel) erased(call stub.Call) *ledger.Erasure {
	c.t.Helper()
	var erasure ledger.Erasure
	require.NoError(c.t, ledger.DecodeStrict(c.do(call), &erasure))
	return &erasure
}

// purged runs and commits details:Purge, which may write to the collection only.
func (c *channel) purged(call stub.Call) contract.PurgeResult {
	c.t.Helper()
	response, tx := c.simulate(call)
	require.EqualValues(c.t, shim.OK, response.GetStatus(), response.GetMessage())
	for _, write := range tx.Writes() {
		require.True(c.t, write.Purge)
		require.Equal(c.t, "_implicit_org_"+atlas, write.Collection)
	}
	var result contract.PurgeResult
	require.NoError(c.t, json.Unmarshal(response.GetPayload(), &result))
	require.Equal(c.t, peer.TxValidationCode_VALID, c.Commit(tx)[0])
	return result
}

func TestAudioIsErasedApartFromDetails(t *testing.T) {
	c, l, id := withDetails(t)
	key := ledger.RecordingKey(atlas, "pbx1", id, 1)
	c.do(eraseRecording(t, id, 1, ledger.ErasureRequest{Audio: &ledger.DestroyedKey{KeyCommitment: digit("a")}, Reason: ledger.EraseCourtOrder}))
	c.refuse(ledger.CodeState, purge(t, key))
	var got ledger.Sealed
	c.ask(as(atlas, ledger.RoleGateway, "details:GetRecording", atlas, "pbx1", id, "1"), &got)
	c.refuse(ledger.CodeState, retain(id, 1, closed.Add(50*day)))

	both := ledger.ErasureRequest{Audio: &ledger.DestroyedKey{}, Details: &ledger.DestroyedKey{}, Reason: ledger.EraseSubjectRequest}
	erasure := c.erased(eraseRecording(t, id, 1, both))
	require.Equal(t, ledger.EraseCourtOrder, erasure.Audio.Reason, "what was stated first stays")
	require.Equal(t, digit("a"), erasure.Audio.KeyCommitment)
	require.Empty(t, erasure.Audio.SealedDigest)
	require.Equal(t, ledger.EraseSubjectRequest, erasure.Details.Reason)
	require.Empty(t, erasure.Details.KeyCommitment)
	require.NotEmpty(t, erasure.Details.SealedDigest)
	c.purged(purge(t, key))

	erasure = c.erased(eraseRecording(t, id, 2, both))
	require.Empty(t, erasure.Details.SealedDigest, "there were none")
	require.Contains(t, c.refuse(ledger.CodeInvalid, eraseCall(t, l, both)), "has no audio")
}

func TestWhatForbidsAnErasure(t *testing.T) {
	expired := ledger.ErasureRequest{Details: &ledger.DestroyedKey{}, Reason: ledger.EraseRetentionExpired}
	t.Run("a hold", func(t *testing.T) {
		c, l, id := withDetails(t)
		c.do(hold(t, l.LinkedID, ledger.HoldRequest{CaseDigest: digit("a"), Reason: ledger.HoldCourtOrder, Until: ledger.TimeOf(noon.Add(5 * day))}))
		for _, reason := range ledger.EraseReasons {
			request := detailsOnly()
			request.Reason = reason
			for _, call := range []stub.Call{eraseCall(t, l, request), eraseRecording(t, id, 1, request), on(noon.Add(5*day-time.Millisecond), eraseCall(t, l, request))} {
				require.Contains(t, c.refuse(ledger.CodeState, call), "a legal hold of 1 cases")
			}
		}
		c.do(on(noon.Add(5*day), eraseCall(t, l, detailsOnly())))
		c.do(release(l.LinkedID, digit("a"), 1))
		c.do(eraseRecording(t, id, 1, detailsOnly()))
		// One that is placed after the erasure keeps what is left of the details.
		c.do(hold(t, l.LinkedID, ledger.HoldRequest{After: 2, CaseDigest: digit("b"), Reason: ledger.HoldDispute}))
		for _, key := range []string{ledger.CallKey(atlas, "pbx1", l), ledger.RecordingKey(atlas, "pbx1", id, 1)} {
			c.refuse(ledger.CodeState, purge(t, key))
		}
		response, tx := c.simulate(eraseCall(t, l, detailsOnly()))
		require.EqualValues(t, shim.OK, response.GetStatus(), "what is erased stays erased")
		require.Empty(t, tx.Writes())
		c.do(release(l.LinkedID, digit("b"), 3))
		c.purged(purge(t, ledger.CallKey(atlas, "pbx1", l), ledger.RecordingKey(atlas, "pbx1", id, 1)))
	})
	t.Run("the term", func(t *testing.T) {
		c, l, id := withDetails(t)
		message := c.refuse(ledger.CodeState, on(closed.Add(180*day-time.Millisecond), eraseRecording(t, id, 1, expired)))
		require.Contains(t, message, "is kept until "+ledger.TimeOf(closed.Add(180*day)).String())
		c.do(retain(id, 1, closed.Add(40*day)))
		c.refuse(ledger.CodeState, on(closed.Add(40*day-time.Millisecond), eraseRecording(t, id, 1, expired)))
		c.do(on(closed.Add(40*day), eraseRecording(t, id, 1, expired)))
		c.refuse(ledger.CodeState, on(ended.Add(365*day-time.Millisecond), eraseCall(t, l, expired)))
		c.do(on(ended.Add(365*day), eraseCall(t, l, expired)))
	})
	t.Run("another's commit comes first", func(t *testing.T) {
		c, l, _ := withDetails(t)
		_, erasing := c.simulate(eraseCall(t, l, detailsOnly()))
		_, holding := c.simulate(hold(t, l.LinkedID, ledger.HoldRequest{CaseDigest: digit("a"), Reason: ledger.HoldDispute}))
		require.Equal(t, []peer.TxValidationCode{peer.TxValidationCode_VALID, peer.TxValidationCode_MVCC_READ_CONFLICT}, c.Commit(holding, erasing))
	})
}

// TestTheOperatorsPolicyDecides votes for other terms and against early erasures.
func TestTheOperatorsPolicyDecides(t *testing.T) {
	c, l, id := withDetails(t)
	term := func(days int64) ledger.RetentionTerm {
		day := day.Milliseconds()
		return ledger.RetentionTerm{DefaultMS: days * day, MaximumMS: 2 * days * day, MinimumMS: day}
	}
	c.enact(ledger.Policy{Retention: &ledger.RetentionPolicy{Calls: term(10), EarlyReasons: []string{ledger.EraseCourtOrder}, Recordings: term(20)}, V: ledger.SchemaVersion})
	require.Equal(t, closed.Add(20*day), c.custody(noon, "recordings:State", atlas, "pbx1", id, "1").RetentionUntil.Std())
	require.Contains(t, c.refuse(ledger.CodeState, eraseRecording(t, id, 1, detailsOnly())), "subject_request is no reason to erase it before")
	c.do(on(ended.Add(10*day), eraseCall(t, l, detailsOnly())))
	ordered := detailsOnly()
	ordered.Reason = ledger.EraseCourtOrder
	c.do(eraseRecording(t, id, 1, ordered))
	c.refuse(ledger.CodeState, retain(id, 2, closed.Add(41*day)))
	c.do(retain(id, 2, closed.Add(day)))

	// An erasure that was endorsed under a policy that is replaced is not valid.
	_, erasing := c.simulate(on(closed.Add(20*day), eraseRecording(t, id, 2, detailsOnly())))
	c.enact(ledger.Policy{Retention: &ledger.RetentionPolicy{Calls: term(100), Recordings: term(100)}, V: ledger.SchemaVersion})
	require.Equal(t, peer.TxValidationCode_MVCC_READ_CONFLICT, c.Commit(erasing)[0])
}

func TestOnlyTheOwnerErases(t *testing.T) {
	c, l, id := withDetails(t)
	keys := []string{ledger.CallKey(atlas, "pbx1", l), ledger.RecordingKey(atlas, "pbx1", id, 1)}
	for msp, member := range operators() {
		for role := range member.roles {
			may := msp == atlas && (role == ledger.RoleCompliance || role == ledger.RoleGateway)
			for _, call := range []stub.Call{eraseCall(t, l, detailsOnly()), eraseRecording(t, id, 1, detailsOnly())} {
				call.Creator, call.PeerMSP = member.roles[role].Creator(), msp
				if !may {
					c.refuse(ledger.CodeDenied, call)
				}
			}
		}
	}
	c.do(eraseCall(t, l, detailsOnly()))
	c.do(eraseRecording(t, id, 1, detailsOnly()))
	for msp, member := range operators() {
		for role := range member.roles {
			for _, peerMSP := range []string{atlas, borealis, corvus} {
				if msp == atlas && peerMSP == atlas && (role == ledger.RoleCompliance || role == ledger.RoleGateway) {
					continue
				}
				call := purge(t, keys...)
				call.Creator, call.PeerMSP = member.roles[role].Creator(), peerMSP
				c.refuse(ledger.CodeDenied, call)
			}
		}
	}
	// One's own role on another's record.
	call := as(borealis, ledger.RoleGateway, "details:Purge")
	call.Transient = purge(t, keys...).Transient
	c.refuse(ledger.CodeDenied, call)
	byCompliance := purge(t, keys...)
	byCompliance.Creator = operators()[atlas].roles[ledger.RoleCompliance].Creator()
	require.Equal(t, contract.PurgeResult{Purged: 2}, c.purged(byCompliance))
}

func TestMalformedErasures(t *testing.T) {
	c, l, id := withDetails(t)
	good := canonical(t, detailsOnly())
	for name, text := range map[string]string{
		"nothing": "", "null": "null", "not JSON": "erase", "nothing to erase": `{"reason":"court_order"}`, "not UTF-8": "\xff",
		"an unknown reason":   strings.Replace(good, ledger.EraseSubjectRequest, "Beatriz asked", 1),
		"no reason":           strings.Replace(good, ledger.EraseSubjectRequest, "", 1),
		"an unknown member":   strings.Replace(good, `"reason"`, `"number":"+351912345678","reason"`, 1),
		"a short commitment":  strings.Replace(good, digit("c"), "cc", 1),
		"evidence in clear":   strings.Replace(good, digit("e"), "letter of Beatriz", 1),
		"a name of who asked": strings.Replace(good, `"reason"`, `"requested_by":"Beatriz","reason"`, 1),
	} {
		for _, call := range []stub.Call{
			as(atlas, ledger.RoleCompliance, "recordings:Erase", atlas, "pbx1", id, "1", text),
			as(atlas, ledger.RoleCompliance, "calls:Erase", atlas, "pbx1", l.LinkedID, l.UniqueID, "0", text),
		} {
			message := c.refuse(ledger.CodeInvalid, call)
			require.NotContains(t, message, "912345678", name)
			require.NotContains(t, message, "Beatriz", name)
		}
	}
	c.refuse(ledger.CodeNotFound, eraseRecording(t, hexOf(16), 1, detailsOnly()))
	c.refuse(ledger.CodeInvalid, eraseRecording(t, "x", 1, detailsOnly()))
	c.refuse(ledger.CodeInvalid, eraseCall(t, ledger.LegID{LinkedID: "x", UniqueID: "x", Sequence: -1}, detailsOnly()))

	c.do(eraseCall(t, l, detailsOnly()))
	key := ledger.CallKey(atlas, "pbx1", l)
	for name, text := range map[string]string{
		"nothing": "", "null": "null", "none": "[]", "not an array": `"key"`, "a number": "[1]", "twice": canonical(t, []string{key, key}),
		"a segment's key": canonical(t, []string{ledger.SegmentKey(atlas, "pbx1", 1, 1)}), "a phone number": `["+351912345678"]`, "not UTF-8": "[\"\xff\"]",
	} {
		call := purge(t)
		call.Transient["keys"] = []byte(text)
		require.NotContains(t, c.refuse(ledger.CodeInvalid, call), "912345678", name)
	}
	many := make([]string, ledger.MaxRecords+1)
	for i := range many {
		many[i] = ledger.CallKey(atlas, "pbx1", leg("pbx1-3", i))
	}
	c.refuse(ledger.CodeTooLarge, purge(t, many...))
	c.refuse(ledger.CodeState, purge(t, many[1:]...))

	// Key names as an argument would stand in the block.
	named := purge(t)
	named.Transient = nil
	message := c.refuse(ledger.CodeInvalid, named)
	require.Contains(t, message, "transient")
	require.NotContains(t, message, "argument")
	named.Args = append(named.Args, canonical(t, []string{key}))
	c.refuse(ledger.CodeInvalid, named)
}

// TestAnErasedNumberCannotBeGuessed: the salt lived in the sealed details alone,
// so once they are gone a guess cannot be tried against the digest that stays.
func TestAnErasedNumberCannotBeGuessed(t *testing.T) {
	c := enrolled(t)
	details := ledger.Details{Call: &ledger.CallDetails{Dst: "911223344", Src: "+351912345678"}, Salt: hexOf(32), V: 2}
	digest, err := details.Digest()
	require.NoError(t, err)
	record := callRecord(leg("pbx1-1", 0))
	record.Call.DetailsDigest = digest
	signed := segment(t, atlas, 1, []ledger.Record{record})
	c.anchored(signed)
	key := signed.Records[0].Key()
	_, tx := c.invokeDetails(putDetails(t, atlas, ledger.SealedRecord{Key: key, Sealed: sealed(canonical(t, &details))}))
	c.Commit(tx)
	// With the salt one guess is enough: that is what the salt is for.
	guess, err := (&ledger.Details{Call: details.Call, Salt: details.Salt, V: 2}).Digest()
	require.NoError(t, err)
	require.Equal(t, digest, guess)

	c.do(eraseCall(t, leg("pbx1-1", 0), detailsOnly()))
	c.purged(purge(t, key))
	for _, name := range c.Keys() {
		require.NotContains(t, name+string(c.Get(name)), details.Salt)
	}
	_, readable := c.simulate(as(atlas, ledger.RoleGateway, "details:GetCall", atlas, "pbx1", "pbx1-1", leg("", 0).UniqueID, "0"))
	require.Empty(t, readable.Writes())
	for _, salt := range []string{"", strings.Repeat("00", 32), digest} {
		guess, err := (&ledger.Details{Call: details.Call, Salt: salt, V: 2}).Digest()
		require.NoError(t, err)
		require.NotEqual(t, digest, guess, "the right number without the salt proves nothing")
	}
}

func FuzzErase(f *testing.F) {
	f.Add(canonical(f, detailsOnly()), strings.Repeat("ab", 16), int64(1))
	f.Add(`{"audio":{},"details":{},"reason":"court_order"}`, strings.Repeat("ab", 16), int64(2))
	f.Add("{}", "", int64(0))
	c := withEverything(f)
	l := leg("pbx1-1772366400.10", 0)
	f.Fuzz(func(t *testing.T, request, id string, n int64) {
		fuzzed(t, c, ledger.RoleCompliance, nil, "recordings:Erase", atlas, "pbx1", id, number(n), request)
		fuzzed(t, c, ledger.RoleCompliance, nil, "calls:Erase", atlas, "pbx1", l.LinkedID, l.UniqueID, number(n), request)
	})
}

func FuzzPurge(f *testing.F) {
	c := withEverything(f)
	l := leg("pbx1-1772366400.10", 0)
	c.do(eraseCall(f, l, detailsOnly()))
	f.Add([]byte(canonical(f, []string{ledger.CallKey(atlas, "pbx1", l)})))
	f.Add([]byte(canonical(f, []string{ledger.RecordingKey(atlas, "pbx1", hexOf(16), 1), ledger.CallKey(atlas, "pbx1", l)})))
	f.Add([]byte(`["\u0000cdr\u0000"]`))
	f.Fuzz(func(t *testing.T, keys []byte) {
		fuzzed(t, c, ledger.RoleGateway, map[string][]byte{"keys": keys}, "details:Purge")
	})
}

package contract_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/contract"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/stub"
)

// sealed is a sealed record of the right shape whose ciphertext holds text.
func sealed(text string) ledger.Sealed {
	return ledger.Sealed{Algorithm: ledger.SealAlgorithm, Ciphertext: fmt.Appendf(nil, "%-32s", text), Nonce: make([]byte, 12), V: 1}
}

// putDetails is the call by which an operator's gateway stores details.
func putDetails(t testing.TB, msp string, records ...ledger.SealedRecord) stub.Call {
	call := as(msp, ledger.RoleGateway, "details:Put")
	call.Transient = map[string][]byte{"details": []byte(canonical(t, records))}
	return call
}

// invokeDetails runs a call that may write to private collections only.
func (c *channel) invokeDetails(call stub.Call) (contract.PutResult, *stub.Tx) {
	c.t.Helper()
	response, tx := c.Invoke(operators()[call.PeerMSP].chaincode, call)
	require.EqualValues(c.t, shim.OK, response.GetStatus(), response.GetMessage())
	for _, write := range tx.Writes() {
		require.Equal(c.t, "_implicit_org_"+atlas, write.Collection, "details go to the owner's collection alone")
	}
	for _, key := range tx.Reads() {
		objectType, _, err := ledger.SplitKey(key)
		require.NoError(c.t, err)
		require.Equal(c.t, ledger.TypeErasure, objectType, "of public state only what was erased is asked")
	}
	var result contract.PutResult
	require.NoError(c.t, json.Unmarshal(response.GetPayload(), &result))
	return result, tx
}

func TestAnOperatorKeepsItsDetails(t *testing.T) {
	c := enrolled(t)
	l := leg("pbx1-1", 0)
	call, recording := ledger.CallKey(atlas, "pbx1", l), ledger.RecordingKey(atlas, "pbx1", hexOf(16), 1)
	result, tx := c.invokeDetails(putDetails(t, atlas, ledger.SealedRecord{Key: call, Sealed: sealed("call")}, ledger.SealedRecord{Key: recording, Sealed: sealed("recording")}))
	require.Equal(t, contract.PutResult{Stored: 2}, result)
	require.Equal(t, peer.TxValidationCode_VALID, c.Commit(tx)[0])

	for _, role := range []ledger.Role{ledger.RoleGateway, ledger.RoleCompliance} {
		var got ledger.Sealed
		c.ask(as(atlas, role, "details:GetCall", atlas, "pbx1", l.LinkedID, l.UniqueID, "0"), &got)
		require.Equal(t, sealed("call"), got)
		c.ask(as(atlas, role, "details:GetRecording", atlas, "pbx1", hexOf(16), "1"), &got)
		require.Equal(t, sealed("recording"), got)
	}
	c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleGateway, "details:GetRecording", atlas, "pbx1", hexOf(16), "2"))

	// What is there stays, and one key counts once.
	result, tx = c.invokeDetails(putDetails(t, atlas,
		ledger.SealedRecord{Key: call, Sealed: sealed("other")}, ledger.SealedRecord{Key: ledger.CallKey(atlas, "pbx1", leg("pbx1-2", 0)), Sealed: sealed("new")},
		ledger.SealedRecord{Key: ledger.CallKey(atlas, "pbx1", leg("pbx1-2", 0)), Sealed: sealed("new again")}))
	require.Equal(t, contract.PutResult{Already: 2, Stored: 1}, result)
	require.Equal(t, peer.TxValidationCode_VALID, c.Commit(tx)[0])
	var got ledger.Sealed
	c.ask(as(atlas, ledger.RoleGateway, "details:GetCall", atlas, "pbx1", l.LinkedID, l.UniqueID, "0"), &got)
	require.Equal(t, sealed("call"), got)

	// A batch as large as may be.
	records := make([]ledger.SealedRecord, ledger.MaxTransactionRecords)
	for i := range records {
		records[i] = ledger.SealedRecord{Key: ledger.CallKey(atlas, "pbx1", leg("pbx1-3", i)), Sealed: sealed("many")}
	}
	result, _ = c.invokeDetails(putDetails(t, atlas, records...))
	require.Equal(t, contract.PutResult{Stored: ledger.MaxTransactionRecords}, result)
	c.refuse(ledger.CodeTooLarge, putDetails(t, atlas, append(records, records[0])...))
}

func TestOthersReachNoDetails(t *testing.T) {
	c := enrolled(t)
	l := leg("pbx1-1", 0)
	put := putDetails(t, atlas, ledger.SealedRecord{Key: ledger.CallKey(atlas, "pbx1", l), Sealed: sealed("secret")})
	_, tx := c.invokeDetails(put)
	require.Equal(t, peer.TxValidationCode_VALID, c.Commit(tx)[0])
	get := []string{"details:GetCall", atlas, "pbx1", l.LinkedID, l.UniqueID, "0"}
	recording := []string{"details:GetRecording", atlas, "pbx1", hexOf(16), "1"}

	for msp, member := range operators() {
		for role := range member.roles {
			for _, peerMSP := range []string{atlas, borealis, corvus} {
				owner := msp == atlas && peerMSP == atlas
				for _, arguments := range [][]string{get, recording} {
					call := as(msp, role, arguments...)
					call.PeerMSP = peerMSP
					if owner && (role == ledger.RoleGateway || role == ledger.RoleCompliance) {
						continue
					}
					require.NotContains(t, c.refuse(ledger.CodeDenied, call), "secret")
				}
				if owner && role == ledger.RoleGateway {
					continue // an admin may store, but not of calls
				}
				call := put
				call.Creator, call.PeerMSP = member.roles[role].Creator(), peerMSP
				c.refuse(ledger.CodeDenied, call)
			}
		}
	}
	// One's own details under another's name.
	c.refuse(ledger.CodeDenied, putDetails(t, borealis, ledger.SealedRecord{Key: ledger.CallKey(atlas, "pbx1", leg("pbx1-2", 0)), Sealed: sealed("x")}))
	call := as(atlas, ledger.RoleGateway, get...)
	call.Creator = nil
	c.refuse(ledger.CodeDenied, call)
}

func TestDetailsAreStoredUnderARecordsKey(t *testing.T) {
	c := enrolled(t)
	good := ledger.CallKey(atlas, "pbx1", leg("pbx1-1", 0))
	_, parts, err := ledger.SplitKey(good)
	require.NoError(t, err)
	for _, key := range []string{
		"", "\x00", "cdr", good[1:], good[:len(good)-1], good + "more\x00", strings.Replace(good, "cdr", "seg", 1), strings.Replace(good, "cdr", "rec", 1),
		ledger.CompositeKey("cdr", parts[:4]...), ledger.CompositeKey("cdr", parts[0], "", parts[2], parts[3], parts[4]),
		ledger.CompositeKey("cdr", parts[0], "a b", parts[2], parts[3], parts[4]), ledger.CompositeKey("cdr", parts[0], parts[1], parts[2], parts[3], "0"),
		ledger.CompositeKey("cdr", parts[0], parts[1], parts[2], parts[3], "-000000000000001"), ledger.CompositeKey("cdr", parts[0], "\U0010ffff", parts[2], parts[3], parts[4]),
		ledger.SegmentKey(atlas, "pbx1", 1, 1), ledger.AdapterKey(atlas, hexOf(32)), ledger.RecordingByHashKey(hexOf(32), atlas, "pbx1", hexOf(16), 1),
		ledger.CompositeKey("rec", atlas, "pbx1", hexOf(16)), "+351912345678",
	} {
		require.NotContains(t, c.refuse(ledger.CodeInvalid, putDetails(t, atlas, ledger.SealedRecord{Key: key, Sealed: sealed("x")})), "912345678")
	}
}

func TestMalformedDetails(t *testing.T) {
	c := enrolled(t)
	key := ledger.CallKey(atlas, "pbx1", leg("pbx1-1", 0))
	good := canonical(t, []ledger.SealedRecord{{Key: key, Sealed: sealed("x")}})
	for name, text := range map[string]string{
		"nothing":               "",
		"null":                  "null",
		"none":                  "[]",
		"not JSON":              "details",
		"plaintext":             `[{"key":"k","details":{"src":"+351912345678"}}]`,
		"an unknown member":     strings.Replace(good, `"key"`, `"number":"+351912345678","key"`, 1),
		"another algorithm":     strings.Replace(good, "A256GCM", "none", 1),
		"a short nonce":         strings.Replace(good, `"nonce":"AAAAAAAAAAAAAAAA"`, `"nonce":"AAAA"`, 1),
		"a second, broken one":  strings.Replace(good, `]`, `,{}]`, 1),
		"text that is not UTF8": "\xff",
	} {
		call := putDetails(t, atlas)
		call.Transient["details"] = []byte(text)
		require.NotContains(t, c.refuse(ledger.CodeInvalid, call), "912345678", name)
	}
	call := putDetails(t, atlas)
	call.Transient = nil
	message := c.refuse(ledger.CodeInvalid, call)
	require.Contains(t, message, "transient")
	require.NotContains(t, message, "argument", "nobody is told to put details into the block")
	call.Args = append(call.Args, good)
	c.refuse(ledger.CodeInvalid, call)

	large := sealed("x")
	large.Ciphertext = make([]byte, ledger.MaxDetailsBytes+17)
	c.refuse(ledger.CodeTooLarge, putDetails(t, atlas, ledger.SealedRecord{Key: key, Sealed: large}))
	call = putDetails(t, atlas)
	call.Transient["details"] = make([]byte, 3<<20)
	c.refuse(ledger.CodeTooLarge, call)
}

// personal is text that must appear nowhere but in the owner's collection.
var personal = []string{"351912345678", "911223344", "Beatriz", "Almeida", "pjsip-beatriz", "192.0.2.77", "sip-account-17", "beatriz-almeida.wav"}

func TestNothingPersonalEntersTheBlock(t *testing.T) {
	c := enrolled(t)
	l := leg("pbx1-1772366400.10", 0)
	details := []ledger.Details{
		{Call: &ledger.CallDetails{
			AccountCode: "sip-account-17", Channel: "PJSIP/pjsip-beatriz-00000001", CLID: `"Beatriz Almeida" <+351912345678>`, DContext: "from-beatriz",
			Dst: "911223344", DstChannel: "PJSIP/trunk@192.0.2.77", LastData: "PJSIP/911223344@trunk", Src: "+351912345678", UserField: "Almeida",
		}, Salt: hexOf(32), V: 1},
		{Recording: &ledger.RecordingDetails{File: "2026/03/beatriz-almeida.wav"}, Salt: hexOf(32), V: 1},
	}
	records := []ledger.Record{callRecord(l), recordingRecord(l, hexOf(16), 1, hexOf(32))}
	var seals []ledger.SealedRecord
	for i := range records {
		digest, err := details[i].Digest()
		require.NoError(t, err)
		if records[i].Call != nil {
			records[i].Call.DetailsDigest = digest
			records[i].Call.CallerRef = ledger.PartyRef([]byte("operator key"), "tel:+351912345678")
			records[i].Call.CalleeRef = ledger.PartyRef([]byte("operator key"), "tel:+351911223344")
		} else {
			records[i].Recording.DetailsDigest = digest
		}
	}
	signed := segment(t, atlas, 1, records)
	for i := range signed.Records {
		// Even where a gateway forgets to seal, the ledger is no leak.
		seals = append(seals, ledger.SealedRecord{Key: signed.Records[i].Key(), Sealed: sealed(canonical(t, &details[i]))})
	}
	put := putDetails(t, atlas, seals...)

	calls := []stub.Call{anchor(t, atlas, signed), put, putDetails(t, borealis, seals...), anchor(t, atlas, signed)}
	altered := segment(t, atlas, 9, append([]ledger.Record{}, records...))
	altered.Records[1].Recording.Bytes++
	resign(t, operators()[atlas].adapter, altered)
	calls = append(calls, anchor(t, atlas, altered))
	// Personal text where it does not belong is refused, and the refusal is mute.
	misplaced := strings.NewReplacer(
		`"technology":"PJSIP"`, `"technology":"PJSIP/pjsip-beatriz-00000001"`,
	).Replace(canonical(t, []*ledger.SignedSegment{signed}))
	mute := []stub.Call{}
	for _, text := range []string{
		misplaced,
		strings.Replace(misplaced, `"callee_ref":"`, `"callee_ref":"+351912345678`, 1),
		strings.Replace(misplaced, `"billsec_ms":28000`, `"billsec_ms":"911223344"`, 1),
		strings.Replace(misplaced, `"call":{`, `"call":{"src":"+351912345678",`, 1),
		strings.Replace(misplaced, `"call":{`, `"call":{"Beatriz Almeida":1,`, 1),
		`Beatriz Almeida`,
	} {
		call := as(atlas, ledger.RoleGateway, "calls:Anchor", "")
		call.Transient = map[string][]byte{"segments": []byte(text)}
		mute = append(mute, call)
	}
	for _, call := range append(calls, mute...) {
		response, tx := c.Invoke(operators()[call.PeerMSP].chaincode, call)
		for _, piece := range tx.Published(response) {
			for _, text := range personal {
				require.NotContains(t, string(piece), text)
			}
		}
		if response.GetStatus() < shim.ERRORTHRESHOLD {
			require.Equal(t, peer.TxValidationCode_VALID, c.Commit(tx)[0])
		}
	}
	for _, key := range c.Keys() {
		for _, text := range personal {
			require.NotContains(t, key, text)
			require.NotContains(t, string(c.Get(key)), text)
		}
	}
	// They are where they belong.
	hash, err := c.Begin(stub.Call{}).GetPrivateDataHash("_implicit_org_"+atlas, seals[0].Key)
	require.NoError(t, err)
	want := sha256.Sum256([]byte(canonical(t, &seals[0].Sealed)))
	require.Equal(t, want[:], hash)
}

package contract_test

import (
	"strings"
	"testing"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
)

// fuzzed runs one transaction on a channel that holds something of everything,
// and checks what must hold of all of them.
func fuzzed(t *testing.T, c *channel, role ledger.Role, transient map[string][]byte, args ...string) {
	call := as(atlas, role, args...)
	call.Transient = transient
	response, tx := c.Invoke(operators()[atlas].chaincode, call)
	if response.GetStatus() < shim.ERRORTHRESHOLD {
		for _, write := range tx.Writes() {
			require.NotEqual(t, write.Purge, len(write.Value) > 0)
			objectType, parts, err := ledger.SplitKey(write.Key)
			require.NoError(t, err)
			switch objectType {
			case ledger.TypeRecordingByHash, ledger.TypeViolation: // anyone may report a violation, which is checked
			case ledger.TypeDispute, ledger.TypeDisputeOf: // either operator of a call may raise one, which is checked
			case ledger.TypeCallByRef:
				require.Equal(t, atlas, parts[1], "an operator writes of its own legs alone")
			case ledger.TypeDeviceByAOR, ledger.TypeDeviceByFingerprint:
				require.Equal(t, atlas, parts[1], "an operator writes of its own devices alone")
			case ledger.TypeOpinion, ledger.TypePardon, ledger.TypeAllowance:
				require.Equal(t, atlas, parts[2], "an operator writes its own opinions alone")
			case ledger.TypeAppeal:
				require.Contains(t, []string{parts[0], parts[3]}, atlas, "an operator appeals and decides for itself alone")
			default:
				require.Equal(t, atlas, parts[0], "an operator writes under its own name alone")
			}
			if write.Collection != "" {
				require.Equal(t, "_implicit_org_"+atlas, write.Collection)
			}
		}
		return
	}
	requireCleanFailure(t, response, tx)
	coded, _ := ledger.ParseError(response.GetMessage())
	require.NotEqual(t, ledger.CodeInternal, coded.Code, "input is never our own failure: %s", coded.Message)
}

// withEverything is a channel with calls, recordings, an incident and details.
func withEverything(t testing.TB) *channel {
	c, first, _, _ := populated(t)
	altered := []ledger.Record{callRecord(leg(first, 0))}
	altered[0].Call.HangupCause = 1
	c.anchored(segment(t, atlas, 100, altered))
	_, tx := c.invokeDetails(putDetails(t, atlas, ledger.SealedRecord{Key: ledger.CallKey(atlas, "pbx1", leg(first, 0)), Sealed: sealed("x")}))
	c.Commit(tx)
	return c
}

func FuzzAnchor(f *testing.F) {
	l := leg("pbx1-9", 0)
	good := canonical(f, []*ledger.SignedSegment{segment(f, atlas, 200, []ledger.Record{callRecord(l), recordingRecord(l, hexOf(16), 1, hexOf(32))})})
	f.Add(good, false, "")
	f.Add(good, true, "")
	f.Add(good, true, "x")
	f.Add(strings.Replace(good, atlas, borealis, 1), false, "")
	f.Add(strings.Replace(good, `"count":2`, `"count":9007199254740993`, 1), false, "")
	f.Add("[]", false, "")
	c := withEverything(f)
	f.Fuzz(func(t *testing.T, segments string, hidden bool, argument string) {
		if hidden {
			fuzzed(t, c, ledger.RoleGateway, map[string][]byte{"segments": []byte(segments)}, "calls:Anchor", argument)
		} else {
			fuzzed(t, c, ledger.RoleGateway, nil, "calls:Anchor", segments)
		}
	})
}

func FuzzPutDetails(f *testing.F) {
	good := canonical(f, []ledger.SealedRecord{{Key: ledger.CallKey(atlas, "pbx1", leg("pbx1-9", 0)), Sealed: sealed("x")}, {Key: ledger.RecordingKey(atlas, "pbx1", hexOf(16), 1), Sealed: sealed("y")}})
	f.Add([]byte(good))
	f.Add([]byte(strings.Replace(good, "cdr", "seg", 1)))
	f.Add([]byte(strings.Replace(good, atlas, borealis, 1)))
	c := withEverything(f)
	f.Fuzz(func(t *testing.T, details []byte) {
		fuzzed(t, c, ledger.RoleGateway, map[string][]byte{"details": details}, "details:Put")
	})
}

func FuzzEnrol(f *testing.F) {
	f.Add(string(operators()[atlas].adapter.PEM), "")
	f.Add(string(operators()[atlas].roles[ledger.RoleGateway].PEM), hexOf(32))
	f.Add("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", ledger.Fingerprint(operators()[atlas].adapter.Certificate.Raw))
	c := withEverything(f)
	f.Fuzz(func(t *testing.T, certificate, fingerprint string) {
		fuzzed(t, c, ledger.RoleAdmin, nil, "adapters:Enrol", certificate)
		fuzzed(t, c, ledger.RoleAdmin, nil, "adapters:Revoke", fingerprint)
	})
}

// FuzzInvoke tries every function, and none, with any arguments.
func FuzzInvoke(f *testing.F) {
	first := "pbx1-1772366400.10"
	f.Add("calls:Get", atlas, "pbx1", first, leg(first, 0).UniqueID, "0", uint8(5))
	f.Add("calls:ByLinkedID", atlas, "pbx1", first, "", "", uint8(3))
	f.Add("calls:List", atlas, "pbx1", "2", "", "", uint8(4))
	f.Add("calls:List", atlas, "pbx1", "2", ledger.CallKey(atlas, "pbx1", leg(first, 1)), "", uint8(4))
	f.Add("calls:Segment", atlas, "pbx1", number(epoch), "1", "", uint8(4))
	f.Add("calls:Incidents", atlas, "pbx1", "", "", "", uint8(2))
	f.Add("recordings:Get", atlas, "pbx1", strings.Repeat("ab", 16), "1", "", uint8(4))
	f.Add("recordings:ByLinkedID", atlas, "pbx1", first, "", "", uint8(3))
	f.Add("recordings:BySHA256", hexOf(32), "", "", "", "", uint8(1))
	f.Add("adapters:Get", atlas, hexOf(32), "", "", "", uint8(2))
	f.Add("adapters:List", atlas, "", "", "", "", uint8(1))
	f.Add("details:GetCall", atlas, "pbx1", first, leg(first, 0).UniqueID, "0", uint8(5))
	f.Add("details:GetRecording", atlas, "pbx1", strings.Repeat("ab", 16), "1", "", uint8(4))
	f.Add("details:Put", "", "", "", "", "", uint8(0))
	f.Add("details:Purge", "", "", "", "", "", uint8(0))
	f.Add("recordings:State", atlas, "pbx1", strings.Repeat("ab", 16), "1", "", uint8(4))
	f.Add("recordings:Holds", atlas, "pbx1", first, "", "", uint8(3))
	f.Add("recordings:Release", atlas, "pbx1", first, hexOf(32), "1", uint8(5))
	f.Add("recordings:Retentions", atlas, "pbx1", strings.Repeat("ab", 16), "1", "", uint8(4))
	f.Add("calls:State", atlas, "pbx1", first, leg(first, 0).UniqueID, "0", uint8(5))
	f.Add("devices:Check", atlas, hexOf(32), "2026-03-01T12:00:00.000Z", "", "", uint8(3))
	f.Add("devices:Version", atlas, hexOf(16), "1", "", "", uint8(3))
	f.Add("devices:List", atlas, "2", ledger.DeviceKey(atlas, hexOf(16)), "", "", uint8(3))
	f.Add("consents:ForCall", atlas, "pbx1", first, "", "", uint8(3))
	f.Add("consents:Violating", atlas, "pbx1", first, "", "", uint8(3))
	f.Add("consents:Violations", atlas, "pbx1", "", "", "", uint8(2))
	f.Add("org.hyperledger.fabric:GetMetadata", "", "", "", "", "", uint8(0))
	f.Add("calls:anchor", "[]", "", "", "", "", uint8(1))
	f.Add("get", "\x00", "\U0010ffff", "\xff", "-1", "1e3", uint8(5))
	c := withEverything(f)
	f.Fuzz(func(t *testing.T, function, a, b, d, e, g string, n uint8) {
		args := append([]string{function}, []string{a, b, d, e, g}[:n%6]...)
		fuzzed(t, c, ledger.RoleGateway, nil, args...)
		fuzzed(t, c, ledger.RoleAdmin, nil, args...)
	})
}

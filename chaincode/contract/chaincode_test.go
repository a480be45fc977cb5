package contract_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/contract"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/stub"
)

// callable are all functions, and whether they only read.
var callable = map[string]bool{
	"about:Version":  true,
	"adapters:Enrol": false, "adapters:Get": true, "adapters:List": true, "adapters:Revoke": false,
	"calls:Anchor": false, "calls:ByLinkedID": true, "calls:Get": true, "calls:Incidents": true, "calls:List": true, "calls:Segment": true,
	"calls:Erase": false, "calls:State": true, "calls:Chain": true, "calls:Gaps": true,
	"calls:AnchorLate": false, "calls:Conversation": true, "calls:Correct": false, "calls:Corrections": true, "calls:Dispute": false, "calls:Disputes": true,
	"calls:Omissions": true, "calls:Progress": true, "calls:Reconcile": true,
	"details:GetCall": true, "details:GetDevice": true, "details:GetRecording": true, "details:Purge": false, "details:Put": false,
	"consents:Declare": false, "consents:ForCall": true, "consents:Get": true, "consents:Report": false, "consents:Standing": true,
	"consents:Violating": true, "consents:Violations": true,
	"devices:ByAOR": true, "devices:ByFingerprint": true, "devices:Check": true, "devices:Erase": false, "devices:Get": true, "devices:History": true, "devices:List": true,
	"devices:Register": false, "devices:Reinstate": false, "devices:Revoke": false, "devices:Rotate": false, "devices:Suspend": false, "devices:Version": true,
	"recordings:ByLinkedID": true, "recordings:BySHA256": true, "recordings:Get": true,
	"recordings:Erase": false, "recordings:Hold": false, "recordings:Holds": true, "recordings:Release": false,
	"recordings:Retain": false, "recordings:Retentions": true, "recordings:State": true,
	"reputation:Allow": false, "reputation:Appeal": false, "reputation:Appeals": true, "reputation:Carry": false, "reputation:Decide": false,
	"reputation:Disallow": false, "reputation:Get": true, "reputation:Opinion": true, "reputation:Opinions": true, "reputation:Pardon": false, "reputation:Record": false, "reputation:Written": true,
	"org.hyperledger.fabric:GetMetadata": true,
}

func TestExactlyTheDocumentedFunctionsCanBeCalled(t *testing.T) {
	c := newChannel(t)
	var described struct {
		Contracts map[string]struct {
			Default      bool
			Info         struct{ Title, Version, Description string }
			Transactions []struct {
				Name string
				Tag  []string
			}
		}
	}
	c.ask(as(atlas, ledger.RoleAuditor, "org.hyperledger.fabric:GetMetadata"), &described)
	var names []string
	for name, one := range described.Contracts {
		for _, function := range one.Transactions {
			names = append(names, name+":"+function.Name)
			if name != "org.hyperledger.fabric" {
				require.Equal(t, callable[name+":"+function.Name], slices.Contains(function.Tag, "EVALUATE"), function.Name)
				require.Equal(t, "Callseal "+name, one.Info.Title)
				require.Equal(t, contract.Version, one.Info.Version)
				require.NotEmpty(t, one.Info.Description)
			}
		}
	}
	slices.Sort(names)
	require.Equal(t, slices.Sorted(maps.Keys(callable)), names)

	for _, function := range []string{
		"", ":", "calls", "calls:", ":Anchor", "Nothing", "calls:Nothing", "calls:ANCHOR", "calls:GetName", "calls:GetEvaluateTransactions", "GetInfo",
		"calls:GetIgnoredFunctions", "calls:calls:Anchor", "calls:Anchor:", "Calls:Anchor", "devices:Gets", "org.hyperledger.fabric:Nothing", "calls:Anchor\x00", "\xff", "calls: Anchor",
	} {
		for n := range 3 {
			message := c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleGateway, append([]string{function}, make([]string, n)...)...))
			require.Contains(t, message, "calls:Anchor", function)
		}
	}
	call := as(atlas, ledger.RoleGateway)
	c.refuse(ledger.CodeInvalid, call)
	require.EqualValues(t, shim.OK, operators()[atlas].chaincode.Init(c.Begin(call)).GetStatus())
}

func TestNothingButTheArgumentsEntersTheBlock(t *testing.T) {
	c := enrolled(t)
	for _, function := range slices.Collect(maps.Keys(callable)) {
		call := as(atlas, ledger.RoleGateway, append([]string{function}, make([]string, 12)...)...)
		require.Contains(t, c.refuse(ledger.CodeInvalid, call), "12 were given")
	}
}

func TestAPanicIsAnErrorAndTheServiceGoesOn(t *testing.T) {
	c := enrolled(t)
	good := anchor(t, atlas, segment(t, atlas, 1, legs(1)))
	for _, reason := range []any{"+351912345678", errors.New("+351912345678"), 17} {
		bad := good
		bad.TxID = "the transaction"
		bad.Fault = func(string, string) error { panic(reason) }
		message := c.refuse(ledger.CodeInternal, bad)
		require.Contains(t, message, "the transaction")
		require.NotContains(t, message, "912345678")
	}
	bad := good
	bad.Fault = func(string, string) error {
		var nothing []int
		_ = nothing[len(good.Args)]
		return nil
	}
	c.refuse(ledger.CodeInternal, bad)
	c.do(good)
}

// faulty gives up with one error on every access to the ledger in turn.
func TestAPeerThatFailsIsAnInternalError(t *testing.T) {
	c := enrolled(t)
	l := leg("pbx1-1", 0)
	signed := segment(t, atlas, 1, []ledger.Record{callRecord(l), recordingRecord(l, hexOf(16), 1, hexOf(32))})
	c.anchored(signed)
	put := putDetails(t, atlas, ledger.SealedRecord{Key: ledger.CallKey(atlas, "pbx1", l), Sealed: sealed("x")})
	altered := legs(3)
	altered[0].Call.Leg, altered[0].Call.HangupCause = l, 1
	renewed, err := operators()[atlas].authority.Issue(adapterRequest("pbx1"))
	require.NoError(t, err)
	fingerprint := ledger.Fingerprint(operators()[atlas].adapter.Certificate.Raw)
	for _, call := range []stub.Call{
		anchor(t, atlas, segment(t, atlas, 3, altered)), put,
		as(atlas, ledger.RoleAdmin, "adapters:Enrol", string(renewed.PEM)), as(atlas, ledger.RoleAdmin, "adapters:Revoke", fingerprint),
		as(atlas, ledger.RoleAuditor, "adapters:Get", atlas, fingerprint), as(atlas, ledger.RoleAuditor, "adapters:List", atlas),
		as(atlas, ledger.RoleAuditor, "calls:Get", atlas, "pbx1", l.LinkedID, l.UniqueID, "0"), as(atlas, ledger.RoleAuditor, "calls:List", atlas, "pbx1", "10", ""),
		as(atlas, ledger.RoleAuditor, "calls:ByLinkedID", atlas, "pbx1", l.LinkedID), as(atlas, ledger.RoleAuditor, "calls:Incidents", atlas, "pbx1"),
		as(atlas, ledger.RoleAuditor, "calls:Segment", atlas, "pbx1", number(epoch), "1"), as(atlas, ledger.RoleAuditor, "recordings:Get", atlas, "pbx1", hexOf(16), "1"),
		as(atlas, ledger.RoleAuditor, "recordings:ByLinkedID", atlas, "pbx1", l.LinkedID), as(atlas, ledger.RoleAuditor, "recordings:BySHA256", hexOf(32)),
		as(atlas, ledger.RoleGateway, "details:GetCall", atlas, "pbx1", l.LinkedID, l.UniqueID, "0"), as(atlas, ledger.RoleGateway, "details:GetRecording", atlas, "pbx1", hexOf(16), "1"),
	} {
		for fail := 1; ; fail++ {
			accesses := 0
			broken := call
			broken.Fault = func(string, string) error {
				if accesses++; accesses == fail {
					return errors.New("disk full")
				}
				return nil
			}
			response, _ := c.Invoke(operators()[atlas].chaincode, broken)
			if accesses < fail {
				require.Greater(t, fail, 1, "%s never reached the ledger", call.Args[0])
				break
			}
			require.GreaterOrEqual(t, int(response.GetStatus()), shim.ERRORTHRESHOLD, "%s ignored failure %d", call.Args[0], fail)
			if !strings.HasPrefix(response.GetMessage(), "failed send batch") {
				coded, found := ledger.ParseError(response.GetMessage())
				require.True(t, found, response.GetMessage())
				require.Equal(t, ledger.CodeInternal, coded.Code, coded.Message)
			}
		}
	}
}

// short is a peer whose database fails: it answers with fewer values.
type short struct {
	*stub.Tx
	left int
}

func (s short) GetMultipleStates(keys ...string) ([][]byte, error) {
	values, err := s.Tx.GetMultipleStates(keys...)
	return values[:min(s.left, len(values))], err
}

func TestAPeerThatAnswersTooFewKeys(t *testing.T) {
	c := enrolled(t)
	call := anchor(t, atlas, segment(t, atlas, 1, legs(2)))
	for left := range 4 {
		tx := c.Begin(call)
		response := operators()[atlas].chaincode.Invoke(short{tx, left})
		requireCleanFailure(t, response, tx)
		require.Contains(t, response.GetMessage(), "INTERNAL|read state: the peer answered")
	}
}

func TestStoredValuesThatCannotBeReadAreNotTheCallersFault(t *testing.T) {
	l := leg("pbx1-1", 0)
	signed := segment(t, atlas, 1, []ledger.Record{callRecord(l)})
	fingerprint := ledger.Fingerprint(operators()[atlas].adapter.Certificate.Raw)
	for key, call := range map[string]stub.Call{
		signed.Segment.Key():                  anchor(t, atlas, signed),
		signed.Records[0].Key():               anchor(t, atlas, signed),
		ledger.AdapterKey(atlas, fingerprint): anchor(t, atlas, signed),
	} {
		c := enrolled(t)
		tx := c.Begin(stub.Call{})
		require.NoError(t, tx.PutState(key, []byte(`{"v":2}`)))
		c.Commit(tx)
		c.refuse(ledger.CodeInternal, call)
	}
	c := enrolled(t)
	tx := c.Begin(stub.Call{})
	require.NoError(t, tx.PutState(ledger.CallKey(atlas, "pbx1", l), []byte(`{"v":2}`)))
	require.NoError(t, tx.PutState(ledger.AdapterKey(atlas, fingerprint), []byte(`{"v":2}`)))
	require.NoError(t, tx.PutState(ledger.RecordingByHashKey(hexOf(32), atlas, "pbx1", hexOf(16), 1), []byte(`{}`)))
	require.NoError(t, tx.PutState(ledger.CompositeKey(ledger.TypeRecordingByHash, strings.Repeat("00", 32), atlas, "pbx1", "id", "x"), []byte(`{}`)))
	c.Commit(tx)
	c.refuse(ledger.CodeInternal, as(atlas, ledger.RoleAuditor, "calls:List", atlas, "pbx1", "10", ""))
	c.refuse(ledger.CodeInternal, as(atlas, ledger.RoleAdmin, "adapters:Revoke", fingerprint))
	c.refuse(ledger.CodeInternal, as(atlas, ledger.RoleAdmin, "adapters:Enrol", string(operators()[atlas].adapter.PEM)))
	c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleAuditor, "recordings:BySHA256", hexOf(32)))
	c.refuse(ledger.CodeInternal, as(atlas, ledger.RoleAuditor, "recordings:BySHA256", strings.Repeat("00", 32)))
}

func TestATransactionNeedsATimeThatCanBeWritten(t *testing.T) {
	c := enrolled(t)
	for _, at := range []time.Time{time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(10001, 1, 1, 0, 0, 0, 0, time.UTC)} {
		call := anchor(t, atlas, segment(t, atlas, 1, legs(1)))
		call.Time = at
		c.refuse(ledger.CodeInvalid, call)
	}
}

func TestTheChaincodeNeedsToKnowItsPeer(t *testing.T) {
	for _, msp := range []string{"", "Atlas MSP", "a\x00b"} {
		_, err := contract.New(msp)
		require.ErrorContains(t, err, "CORE_PEER_LOCALMSPID")
	}
}

func TestAnswersAreCanonicalJSON(t *testing.T) {
	c, first, _, id := populated(t)
	for _, arguments := range [][]string{
		{"calls:Get", atlas, "pbx1", first, leg(first, 0).UniqueID, "0"}, {"calls:ByLinkedID", atlas, "pbx1", first}, {"calls:List", atlas, "pbx1", "2", ""},
		{"calls:Segment", atlas, "pbx1", number(epoch), "1"}, {"calls:Incidents", atlas, "pbx1"}, {"recordings:Get", atlas, "pbx1", id, "1"},
		{"recordings:BySHA256", hexOf(32)}, {"adapters:List", atlas},
	} {
		response, _ := c.simulate(as(atlas, ledger.RoleAuditor, arguments...))
		require.EqualValues(t, shim.OK, response.GetStatus(), response.GetMessage())
		var loose any
		require.NoError(t, json.Unmarshal(response.GetPayload(), &loose))
		text, err := ledger.Canonical(loose)
		if err == nil { // ledger.Canonical takes no floats, which any holds
			require.Equal(t, string(text), string(response.GetPayload()))
		}
	}
}

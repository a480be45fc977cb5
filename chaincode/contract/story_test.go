package contract_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/stub"
)

// act is one transaction or query of a story. Its call is made when its time
// comes, because it may name what came before.
type act struct {
	name       string // contract:Function
	call       func() stub.Call
	governance bool
}

// story is a short history of three operators in which every function of both
// chaincodes is called, each when it has something to do.
type story struct {
	*channel
	council *council
	acts    []act
}

func newStory(t testing.TB) *story {
	c := newChannel(t)
	s := &story{channel: c, council: c.council()}
	s.found(t)
	s.enrol()
	s.calls(t)
	s.consents(t)
	s.devices(t)
	s.reputation(t)
	s.custody(t)
	return s
}

// then adds an act of the main chaincode.
func (s *story) then(call func() stub.Call) { s.add(call, false) }

func (s *story) add(call func() stub.Call, governance bool) {
	s.acts = append(s.acts, act{call: call, governance: governance})
}

// invoke simulates an act's call on its peer.
func (s *story) invoke(one act, call stub.Call) (*peer.Response, *stub.Tx) {
	if one.governance {
		return s.council.Invoke(s.council.chaincode, call)
	}
	return s.Invoke(operators()[call.PeerMSP].chaincode, call)
}

// commit keeps what an act wrote.
func (s *story) commit(one act, tx *stub.Tx) {
	world := s.World
	if one.governance {
		world = s.channel.governance
	}
	require.Equal(s.t, valid, world.Commit(tx)[0])
}

// tell plays the story and calls visit before each act takes effect.
func (s *story) tell(visit func(one act, call stub.Call)) {
	for _, one := range s.acts {
		call := one.call()
		one.name = call.Args[0]
		visit(one, call)
		response, tx := s.invoke(one, call)
		require.EqualValues(s.t, shim.OK, response.GetStatus(), "%s: %s", one.name, response.GetMessage())
		s.commit(one, tx)
	}
}

func (s *story) found(t testing.TB) {
	ballot := func(policy ledger.Policy, version int64) ledger.Ballot {
		digest, err := policy.Digest()
		require.NoError(t, err)
		return ledger.Ballot{Digest: digest, Name: policy.Name(), Version: version}
	}
	founding, rules := consortium(2, atlas, borealis, corvus), document(t)
	for _, call := range []func() stub.Call{
		func() stub.Call { return proposal(t, atlas, founding) },
		func() stub.Call { return ballotCall(borealis, "governance:Vote", ballot(founding, 1)) },
		func() stub.Call { return ballotCall(corvus, "governance:Vote", ballot(founding, 1)) },
		func() stub.Call { return proposal(t, atlas, rules) },
		func() stub.Call { return ballotCall(atlas, "governance:Withdraw", ballot(rules, 1)) },
		func() stub.Call { return proposal(t, corvus, rules) },
		func() stub.Call { return as(corvus, ledger.RoleAuditor, "governance:Pending") },
		func() stub.Call { return ballotCall(borealis, "governance:Vote", ballot(rules, 1)) },
		func() stub.Call {
			return as(corvus, ledger.RoleAuditor, "governance:Current", ledger.PolicyReconciliation)
		},
		func() stub.Call {
			return as(corvus, ledger.RoleAuditor, "governance:Version", ledger.PolicyReconciliation, "1")
		},
		func() stub.Call {
			return as(corvus, ledger.RoleAuditor, "governance:History", ledger.PolicyReconciliation)
		},
		func() stub.Call { return as(corvus, ledger.RoleAuditor, "about:Version") },
	} {
		s.add(call, true)
	}
	s.then(func() stub.Call { return as(corvus, ledger.RoleAuditor, "about:Version") })
}

func (s *story) enrol() {
	for _, msp := range []string{atlas, borealis, corvus} {
		s.then(func() stub.Call {
			return as(msp, ledger.RoleAdmin, "adapters:Enrol", string(operators()[msp].adapter.PEM))
		})
	}
	fingerprint := ledger.Fingerprint(operators()[corvus].adapter.Certificate.Raw)
	s.ask4(corvus, "adapters:Get", corvus, fingerprint)
	s.ask4(corvus, "adapters:List", corvus)
	// Corvus's adapter leaves the story here.
	s.then(func() stub.Call {
		return at(as(corvus, ledger.RoleAdmin, "adapters:Revoke", fingerprint), 14)
	})
}

// ask4 adds a query by an operator's auditor.
func (s *story) ask4(msp string, args ...string) {
	s.then(func() stub.Call { return as(msp, ledger.RoleAuditor, args...) })
}

const trunkRef = "c0ffeec0ffeec0ffeec0ffeec0ffee00"

// trunkLeg is an operator's leg of a call that crosses to the other's.
func trunkLeg(billsecMS int64) ledger.Record {
	record := callRecord(leg("pbx1-1772366400.90", 0))
	record.V, record.Call.CallRef, record.Call.BillsecMS = 2, trunkRef, billsecMS
	return record
}

// signedAs2 is a segment whose records are of version 2.
func signedAs2(t testing.TB, msp string, firstSeq int64, records []ledger.Record) *ledger.SignedSegment {
	signed := segment(t, msp, firstSeq, records)
	resignAs(t, operators()[msp].adapter, signed, 2)
	return signed
}

func (s *story) calls(t testing.TB) {
	first := leg(conversation, 0)
	transferred := ledger.Record{Link: &ledger.Link{At: ledger.TimeOf(noon.Add(20 * time.Second)), From: conversation, Kind: ledger.LinkBlindTransfer, To: "pbx1-1772366400.90"}}
	omitted := ledger.Record{Omission: &ledger.Omission{At: ledger.TimeOf(noon.Add(time.Minute)), Leg: leg(conversation, 1), Reason: ledger.OmissionMissing}}
	records := append(legs(2), recordingRecord(first, hexOf(16), 1, hexOf(32)), transferred, omitted, trunkLeg(28_000))
	s.then(func() stub.Call { return anchor(t, atlas, signedAs2(t, atlas, 1, records)) })
	s.then(func() stub.Call {
		return anchor(t, borealis, signedAs2(t, borealis, 1, []ledger.Record{trunkLeg(3_000)}))
	})
	altered := []ledger.Record{callRecord(first)}
	altered[0].Call.HangupCause = 1
	s.then(func() stub.Call { return anchor(t, atlas, segment(t, atlas, 7, altered)) })
	s.then(func() stub.Call {
		late := segment(t, corvus, 1, legs(1))
		late.Segment.ClosedAt = ledger.TimeOf(noon.Add(time.Minute))
		resign(t, operators()[corvus].adapter, late)
		return at(as(corvus, ledger.RoleAdmin, "calls:AnchorLate", canonical(t, []*ledger.SignedSegment{late})), 15)
	})
	s.then(func() stub.Call {
		stored := ledger.Record{}
		require.NoError(t, ledger.DecodeStrict(s.Get(ledger.CallKey(atlas, "pbx1", first)), &stored))
		digest, err := stored.ContentDigest()
		require.NoError(t, err)
		cause := int64(17)
		return as(atlas, ledger.RoleCompliance, "calls:Correct", canonical(t, &ledger.Correction{
			Amends: ledger.Amended{Digest: digest, Key: stored.Key()}, Changes: &ledger.Changes{HangupCause: &cause}, Leg: first, MSP: atlas, N: 1, PBX: "pbx1",
			Reason: ledger.CorrectSoftware, V: ledger.SchemaVersion,
		}))
	})
	side := func(msp string) string {
		return canonical(t, &ledger.LegPlace{Leg: leg("pbx1-1772366400.90", 0), MSP: msp, PBX: "pbx1"})
	}
	s.ask4(borealis, "calls:Reconcile", trunkRef)
	s.then(func() stub.Call {
		return as(borealis, ledger.RoleCompliance, "calls:Dispute", side(atlas), side(borealis))
	})
	s.ask4(atlas, "calls:Disputes", atlas)
	for _, query := range [][]string{
		{"calls:Get", atlas, "pbx1", first.LinkedID, first.UniqueID, "0"},
		{"calls:ByLinkedID", atlas, "pbx1", conversation},
		{"calls:List", atlas, "pbx1", "100", ""},
		{"calls:Segment", atlas, "pbx1", number(epoch), "1"},
		{"calls:Incidents", atlas, "pbx1"},
		{"calls:Chain", atlas, "pbx1"},
		{"calls:Gaps", atlas, "pbx1", "0", "0", "100"},
		{"calls:Conversation", atlas, "pbx1", conversation},
		{"calls:Corrections", atlas, "pbx1", first.LinkedID, first.UniqueID, "0"},
		{"calls:Omissions", atlas, "pbx1", conversation},
		{"calls:Progress", atlas, "pbx1", conversation},
		{"recordings:Get", atlas, "pbx1", hexOf(16), "1"},
		{"recordings:ByLinkedID", atlas, "pbx1", conversation},
		{"recordings:BySHA256", hexOf(32)},
	} {
		s.ask4(borealis, query...)
	}
	s.then(func() stub.Call {
		return putDetails(t, atlas,
			ledger.SealedRecord{Key: ledger.CallKey(atlas, "pbx1", first), Sealed: sealed("call")},
			ledger.SealedRecord{Key: ledger.RecordingKey(atlas, "pbx1", hexOf(16), 1), Sealed: sealed("recording")})
	})
	s.then(func() stub.Call {
		return as(atlas, ledger.RoleCompliance, "details:GetCall", atlas, "pbx1", first.LinkedID, first.UniqueID, "0")
	})
	s.then(func() stub.Call {
		return as(atlas, ledger.RoleCompliance, "details:GetRecording", atlas, "pbx1", hexOf(16), "1")
	})
}

func (s *story) consents(t testing.TB) {
	s.then(func() stub.Call { return declaration(t, atlas, statement(alice, ledger.ConsentDenied)) })
	s.ask4(borealis, "consents:Get", atlas, "pbx1", conversation, alice, ledger.PurposeRecording, "1")
	s.ask4(borealis, "consents:ForCall", atlas, "pbx1", conversation)
	s.ask4(borealis, "consents:Standing", atlas, "pbx1", conversation, canonical(t, ledger.ConsentQuestion{Purpose: ledger.PurposeRecording}))
	s.ask4(borealis, "consents:Violating", atlas, "pbx1", conversation)
	s.then(func() stub.Call {
		return reporting(t, borealis, ledger.RoleAuditor, reported(hexOf(16), alice, 1))
	})
	s.ask4(borealis, "consents:Violations", atlas, "pbx1")
}

func (s *story) devices(t testing.TB) {
	const aor = "sip:600@pbx1.atlas.example"
	device := registration(t, 1, aor)
	device.Credentials.FingerprintRefs = []string{fingerprintRef(t, digit("f"))}
	rotated := ledger.DeviceRotation{After: 1, Credentials: device.Credentials, Reason: ledger.DeviceReasonScheduled}
	rotated.Credentials.CredentialRef = digit("7")
	admin := func(args ...string) func() stub.Call {
		return func() stub.Call { return as(atlas, ledger.RoleAdmin, args...) }
	}
	s.then(admin("devices:Register", canonical(t, device)))
	s.then(admin("devices:Rotate", device.ID, canonical(t, rotated)))
	s.then(admin("devices:Suspend", device.ID, "2", ledger.DeviceReasonLost))
	s.then(admin("devices:Reinstate", device.ID, "3", ledger.DeviceReasonRecovered))
	for _, query := range [][]string{
		{"devices:Get", atlas, device.ID}, {"devices:Version", atlas, device.ID, "2"}, {"devices:History", atlas, device.ID},
		{"devices:ByAOR", aorRef(t, aor)}, {"devices:ByFingerprint", device.Credentials.FingerprintRefs[0]},
		{"devices:List", atlas, "100", ""}, {"devices:Check", atlas, aorRef(t, aor), ""},
	} {
		s.ask4(borealis, query...)
	}
	s.then(func() stub.Call {
		return putDetails(t, atlas, ledger.SealedRecord{Key: ledger.DeviceVersionKey(atlas, device.ID, 1), Sealed: sealed("device")})
	})
	s.then(func() stub.Call {
		return as(atlas, ledger.RoleCompliance, "details:GetDevice", atlas, device.ID, "1")
	})
	s.then(admin("devices:Revoke", device.ID, "4", ledger.DeviceReasonStolen))
	s.then(admin("devices:Erase", atlas, device.ID, "1", canonical(t, detailsOnly())))
}

func (s *story) reputation(t testing.TB) {
	first := opine(t, atlas, extension, nil, good(1))
	s.then(func() stub.Call { return record(t, atlas, first) })
	s.then(func() stub.Call { return record(t, atlas, opine(t, atlas, extension, first, bad(8))) })
	s.ask4(borealis, "reputation:Get", "1", extension)
	s.ask4(borealis, "reputation:Opinion", "1", extension, atlas, "1")
	s.ask4(borealis, "reputation:Written", "1", atlas, "1", `["`+extension+`"]`)
	s.ask4(borealis, "reputation:Opinions", "1", extension)
	compliance := func(msp string, args ...string) {
		s.then(func() stub.Call { return as(msp, ledger.RoleCompliance, args...) })
	}
	compliance(borealis, "reputation:Appeal", "1", extension, atlas, ledger.ReasonSpoofed, hexOf(32))
	s.ask4(borealis, "reputation:Appeals", atlas, "1", extension)
	compliance(atlas, "reputation:Decide", "1", extension, borealis, ledger.AppealPardoned, number(int64(time.Hour/time.Millisecond)))
	compliance(atlas, "reputation:Pardon", "1", address, number(int64(time.Hour/time.Millisecond)), ledger.ReasonFalsePositive)
	compliance(atlas, "reputation:Allow", "1", extension, ledger.ReasonOwnSubscriber)
	compliance(atlas, "reputation:Disallow", "1", extension)
	// The consortium's key is replaced, and operators carry over what they hold.
	second := ledger.Policy{Pseudonyms: &ledger.PseudonymPolicy{Commitment: hexOf(32), Epoch: 2}, V: ledger.SchemaVersion}
	s.add(func() stub.Call { return proposal(t, atlas, second) }, true)
	s.add(func() stub.Call {
		digest, err := second.Digest()
		require.NoError(t, err)
		return ballotCall(borealis, "governance:Vote", ledger.Ballot{Digest: digest, Name: second.Name(), Version: 1})
	}, true)
	s.then(func() stub.Call {
		carried := opine(t, borealis, extension, nil)
		carried.Epoch, carried.Carried = 2, &first.Totals
		var err error
		carried.Totals, err = carried.Next(standardReputation(t))
		require.NoError(t, err)
		return as(borealis, ledger.RoleGateway, "reputation:Carry", canonical(t, []*ledger.Opinion{carried}))
	})
}

func (s *story) custody(t testing.TB) {
	first := leg(conversation, 0)
	s.then(func() stub.Call {
		return hold(t, conversation, ledger.HoldRequest{CaseDigest: digit("1"), Reason: ledger.HoldInvestigation})
	})
	s.ask4(borealis, "recordings:Holds", atlas, "pbx1", conversation)
	s.then(func() stub.Call { return release(conversation, digit("1"), 1) })
	s.then(func() stub.Call { return retain(hexOf(16), 1, noon.Add(400*day)) })
	s.ask4(borealis, "recordings:Retentions", atlas, "pbx1", hexOf(16), "1")
	s.ask4(borealis, "recordings:State", atlas, "pbx1", hexOf(16), "1")
	s.then(func() stub.Call { return eraseRecording(t, hexOf(16), 1, detailsOnly()) })
	s.then(func() stub.Call { return eraseCall(t, first, detailsOnly()) })
	s.ask4(borealis, "calls:State", atlas, "pbx1", first.LinkedID, first.UniqueID, "0")
	s.then(func() stub.Call {
		return purge(t, ledger.CallKey(atlas, "pbx1", first), ledger.RecordingKey(atlas, "pbx1", hexOf(16), 1))
	})
}

// functionsOf are the functions a chaincode has, by its own metadata.
func functionsOf(t testing.TB, c *channel, governance bool) map[string]bool {
	t.Helper()
	const metadata = "org.hyperledger.fabric:GetMetadata"
	var chaincode shim.Chaincode = operators()[atlas].chaincode
	if governance {
		chaincode = c.council().chaincode
	}
	response, _ := c.Invoke(chaincode, as(atlas, ledger.RoleAuditor, metadata))
	require.EqualValues(t, shim.OK, response.GetStatus())
	var described struct {
		Contracts map[string]struct {
			Transactions []struct {
				Name string `json:"name"`
			} `json:"transactions"`
		} `json:"contracts"`
	}
	require.NoError(t, json.Unmarshal(response.GetPayload(), &described))
	all := map[string]bool{}
	for name, contract := range described.Contracts {
		for _, transaction := range contract.Transactions {
			if name != "org.hyperledger.fabric" {
				all[name+":"+transaction.Name] = true
			}
		}
	}
	return all
}

func TestTheStoryCallsEveryFunction(t *testing.T) {
	s := newStory(t)
	missing := map[bool]map[string]bool{false: functionsOf(t, s.channel, false), true: functionsOf(t, s.channel, true)}
	s.tell(func(one act, _ stub.Call) { delete(missing[one.governance], one.name) })
	require.Empty(t, missing[false])
	require.Empty(t, missing[true])
}

// spoilt are the ways in which any argument may be bad whatever it means, each with
// what it does to a good one.
var spoilt = map[string]func(good string) string{
	"not UTF-8":        func(good string) string { return good + "\xff" },
	"NUL":              func(good string) string { return good + "\x00" },
	"the largest rune": func(good string) string { return good + "\U0010ffff" },
}

// tooLong is a 10 MB argument.
var tooLong = strings.Repeat("9", 10<<20)

// spoiltNumbers are ways in which an integer may be none.
var spoiltNumbers = map[string]func(good string) string{
	"negative":     func(good string) string { return "-" + good + "1" },
	"a float":      func(good string) string { return good + ".0" },
	"an exponent":  func(good string) string { return good + "e0" },
	"empty":        func(string) string { return "" },
	"in words":     func(string) string { return "one" },
	"beyond 2^63":  func(string) string { return "9223372036854775808" },
	"leading zero": func(good string) string { return "0" + good },
	"blank":        func(good string) string { return " " + good },
}

var integerMember = regexp.MustCompile(`:(\d+)([,}])`)

// spoiltValues are ways in which a JSON value may be no good one. What finds
// nothing to spoil changes nothing, and is left out.
var spoiltValues = map[string]func(good string) string{
	"broken":             func(good string) string { return good + "}" },
	"half":               func(good string) string { return good[:len(good)/2] },
	"an unknown member":  func(good string) string { return strings.Replace(good, "{", `{"x":1,`, 1) },
	"a repeated member":  func(good string) string { return strings.Replace(good, `{"`, `{"v":2,"v":2,"`, 1) },
	"a float":            func(good string) string { return integerMember.ReplaceAllString(good, ":$1.5$2") },
	"an exponent":        func(good string) string { return integerMember.ReplaceAllString(good, ":${1}e0$2") },
	"negative":           func(good string) string { return integerMember.ReplaceAllString(good, ":-1$2") },
	"beyond 2^53":        func(good string) string { return integerMember.ReplaceAllString(good, ":9007199254740993$2") },
	"numbers as strings": func(good string) string { return integerMember.ReplaceAllString(good, `:"$1"$2`) },
	"null":               func(string) string { return "null" },
	"another kind":       func(string) string { return "7" },
	"no text":            func(string) string { return `""` },
	"1501 of it": func(good string) string {
		inner, isArray := strings.CutPrefix(good, "[")
		if !isArray {
			return good
		}
		inner = strings.TrimSuffix(inner, "]")
		return "[" + strings.Repeat(inner+",", 1500) + inner + "]"
	},
	"nothing in it": func(good string) string {
		if good[0] == '[' {
			return "[]"
		}
		return "{}"
	},
}

// waysToSpoil are those that fit the argument.
func waysToSpoil(good string) map[string]string {
	all := map[string]string{}
	sets := []map[string]func(string) string{spoilt}
	if _, err := strconv.ParseInt(good, 10, 64); err == nil {
		sets = append(sets, spoiltNumbers)
	} else if good != "" && (good[0] == '{' || good[0] == '[') {
		sets = append(sets, spoiltValues)
	}
	for _, set := range sets {
		for why, spoil := range set {
			if bad := spoil(good); bad != good {
				all[why] = bad
			}
		}
	}
	return all
}

// TestBadArgumentsChangeNothing spoils each argument of each function where all
// others are good: a coded error, and no write.
func TestBadArgumentsChangeNothing(t *testing.T) {
	s := newStory(t)
	s.tell(func(one act, call stub.Call) {
		for i := 1; i < len(call.Args); i++ {
			for why, spoiled := range waysToSpoil(call.Args[i]) {
				bad := call
				bad.Args = slices.Clone(call.Args)
				bad.Args[i] = spoiled
				s.mustFail(t, one, bad, "%s, argument %d: %s", one.name, i, why)
			}
		}
		for name, good := range call.Transient {
			for why, spoiled := range waysToSpoil(string(good)) {
				bad := call
				bad.Transient = map[string][]byte{name: []byte(spoiled)}
				s.mustFail(t, one, bad, "%s, transient %s: %s", one.name, name, why)
			}
		}
		if len(call.Args) > 1 {
			long := call
			long.Args = slices.Clone(call.Args)
			long.Args[len(long.Args)-1] = tooLong
			s.mustFail(t, one, long, "%s with 10 MB", one.name)
		}
		more := call
		more.Args = append(slices.Clone(call.Args), "one more")
		s.mustFail(t, one, more, "%s with one more argument", one.name)
	})
}

// TestStrangersChangeNothing has each writing function called by those who may
// not: without a role, in each role of another operator, and with a certificate
// that says nothing readable. That what an operator's own roles may do is each
// contract's own test.
func TestStrangersChangeNothing(t *testing.T) {
	stranger, err := stub.NewAuthority("StrangerMSP")
	require.NoError(t, err)
	roleless, err := operators()[atlas].authority.Issue(stub.Request{})
	require.NoError(t, err)
	broken, err := operators()[atlas].authority.Issue(stub.Request{Extension: []byte("{")})
	require.NoError(t, err)
	creators := map[string][]byte{"no role": roleless.Creator(), "unreadable attributes": broken.Creator(), "no identity": []byte("nobody")}
	for _, role := range []ledger.Role{ledger.RoleGateway, ledger.RoleAdapter, ledger.RoleAuditor, ledger.RoleCompliance, ledger.RoleAdmin} {
		identity, err := stranger.Issue(stub.Request{Attributes: map[string]string{ledger.AttributeRole: string(role)}})
		require.NoError(t, err)
		creators["a stranger's "+string(role)] = identity.Creator()
	}
	s := newStory(t)
	s.tell(func(one act, call stub.Call) {
		if _, tx := s.invoke(one, call); len(tx.Writes()) == 0 && !strings.HasPrefix(one.name, "details:") {
			return // reading is free to all members
		}
		for who, creator := range creators {
			if strings.HasPrefix(who, "a stranger's") && (one.name == "adapters:Enrol" || strings.HasPrefix(one.name, "reputation:") || one.name == "devices:Register" || one.name == "consents:Declare" || one.name == "consents:Report") {
				continue // a member writes of its own there, and who is none is kept out by the channel
			}
			bad := call
			bad.Creator = creator
			s.mustFail(t, one, bad, "%s by %s", one.name, who)
		}
	})
}

// mustFail runs a call that must not write, and whose failure must be in words.
func (s *story) mustFail(t *testing.T, one act, call stub.Call, format string, args ...any) {
	t.Helper()
	response, tx := s.invoke(one, call)
	require.Emptyf(t, tx.Writes(), format, args...)
	if response.GetStatus() < shim.ERRORTHRESHOLD {
		require.Failf(t, "it succeeded", format, args...)
	}
	require.Lessf(t, len(response.GetMessage()), 600, format, args...)
	requireCleanFailure(t, response, tx)
	coded, _ := ledger.ParseError(response.GetMessage())
	require.NotEqualf(t, ledger.CodeInternal, coded.Code, format, args...)
}

// BenchmarkFunction measures every function where it stands in the story.
func BenchmarkFunction(b *testing.B) {
	s := newStory(b)
	seen := map[string]bool{}
	s.tell(func(one act, call stub.Call) {
		name := one.name
		if one.governance && name == "about:Version" || seen[name] {
			return
		}
		seen[name] = true
		b.Run(name, func(b *testing.B) {
			written := 0
			b.ReportAllocs()
			for b.Loop() {
				_, tx := s.invoke(one, call)
				written = 0
				for _, write := range tx.Writes() {
					written += len(write.Key) + len(write.Value)
				}
			}
			b.ReportMetric(float64(written), "written-B/op")
		})
	})
}

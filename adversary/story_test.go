package adversary_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/network/msp"
)

// act is one honest transaction or query of a story. What it says is made when its
// turn comes, because it may name what came before.
type act struct {
	function string
	// by is an operator and one of its identities, such as "Atlas admin".
	by   string
	args func(*testing.T) []string
	// transient is sent beside the arguments.
	transient func(*testing.T) map[string][]byte
	// governance says that it is the governance chaincode's.
	governance bool
	// private says that only the caller's own peer answers, and endorses.
	private bool
}

// texts are arguments that are known beforehand.
func texts(args ...string) func(*testing.T) []string {
	return func(*testing.T) []string { return args }
}

// value is one argument in canonical JSON.
func value(of any) func(*testing.T) []string {
	return func(t *testing.T) []string {
		t.Helper()
		return []string{string(gatewaytest.JSON(t, of))}
	}
}

const (
	digestOfSomething = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"
	borealisMSP       = "BorealisMSP"
	borealisPBX       = "borealis-pbx-1"
	anHour            = "3600000"
)

// story is a short history of honest operators in which every function of both
// chaincodes is called when it has something to do. It is told on the records of a
// call of Atlas's of its own, so that it can be erased in the end.
func (w *world) story(t *testing.T) []act {
	t.Helper()
	call := gatewaytest.Call(t)
	shared := *call.Record.Call
	shared.CallRef = gatewaytest.Random(t, 16)
	call.Record.Call = &shared
	recording := gatewaytest.Recording(t, shared.Leg, []byte(shared.CallRef))
	atlasOwn := w.atlas.Reborn(t).Segment(t, []gatewaytest.Entry{call, recording})
	header := decode[ledger.Segment](t, atlasOwn.GetSegmentJson())
	leg, id := shared.Leg, recording.Record.Recording.ID
	record, file := signed(t, atlasOwn).Records[0], signed(t, atlasOwn).Records[1]

	// The other operator's side of the same call, told differently.
	other := gatewaytest.Call(t)
	theirs := *other.Record.Call
	theirs.CallRef, theirs.BillsecMS = shared.CallRef, 3_000
	other.Record.Call = &theirs
	borealisOwn := w.adapterOf(t, borealis, borealisPBX).Segment(t, []gatewaytest.Entry{other})

	ofLeg := texts(atlasMSP, atlasPBX, leg.LinkedID, leg.UniqueID, sequenceOf(leg))
	ofCall := texts(atlasMSP, atlasPBX, leg.LinkedID)
	ofFile := texts(atlasMSP, atlasPBX, id, "1")
	ofPBX := texts(atlasMSP, atlasPBX)
	asked := func(function string, args func(*testing.T) []string) act {
		return act{function: function, by: "Borealis auditor", args: args}
	}
	acts := []act{
		{function: "calls:Anchor", by: "Atlas gateway", args: texts(""), transient: func(t *testing.T) map[string][]byte { return anchoring(t, atlasOwn) }},
		{function: "calls:Anchor", by: "Borealis gateway", args: func(t *testing.T) []string { return []string{string(wire(t, borealisOwn))} }},
		{function: "details:Put", by: "Atlas gateway", args: texts(), private: true, transient: func(t *testing.T) map[string][]byte {
			return map[string][]byte{"details": sealedFor(t, record.Key(), file.Key())}
		}},
		{function: "details:GetCall", by: "Atlas compliance", args: ofLeg, private: true},
		{function: "details:GetRecording", by: "Atlas compliance", args: ofFile, private: true},
		asked("calls:Get", ofLeg), asked("calls:ByLinkedID", ofCall), asked("calls:List", texts(atlasMSP, atlasPBX, "5", "")),
		asked("calls:Segment", texts(atlasMSP, atlasPBX, fmt.Sprint(header.Epoch), fmt.Sprint(header.FirstSeq))),
		asked("calls:Incidents", ofPBX), asked("calls:Chain", ofPBX), asked("calls:Gaps", texts(atlasMSP, atlasPBX, "0", "0", "100")),
		asked("calls:Conversation", ofCall), asked("calls:Omissions", ofCall), asked("calls:Progress", ofCall), asked("calls:State", ofLeg),
		asked("recordings:Get", ofFile), asked("recordings:ByLinkedID", ofCall), asked("recordings:State", ofFile),
		asked("recordings:BySHA256", texts(recording.Record.Recording.SHA256)),
		asked("calls:Reconcile", texts(shared.CallRef)),
		{function: "calls:Dispute", by: "Borealis compliance", args: func(t *testing.T) []string {
			side := func(msp, pbx string, leg ledger.LegID) string {
				return string(gatewaytest.JSON(t, &ledger.LegPlace{Leg: leg, MSP: msp, PBX: pbx}))
			}
			return []string{side(atlasMSP, atlasPBX, leg), side(borealisMSP, borealisPBX, theirs.Leg)}
		}},
		asked("calls:Disputes", texts(atlasMSP)),
		{function: "calls:Correct", by: "Atlas compliance", args: func(t *testing.T) []string {
			digest, err := record.ContentDigest()
			require.NoError(t, err)
			cause := int64(17)
			return value(&ledger.Correction{
				Amends: ledger.Amended{Digest: digest, Key: record.Key()}, Changes: &ledger.Changes{HangupCause: &cause},
				Leg: leg, MSP: atlasMSP, N: 1, PBX: atlasPBX, Reason: ledger.CorrectSoftware, V: ledger.SchemaVersion,
			})(t)
		}},
		asked("calls:Corrections", ofLeg),
		asked("about:Version", texts()), {function: "about:Version", by: "Borealis auditor", args: texts(), governance: true},
	}
	acts = append(acts, w.lateActs(t)...)
	acts = append(acts, consentActs(t, leg, id)...)
	acts = append(acts, deviceActs(t)...)
	acts = append(acts, reputationActs(t)...)
	acts = append(acts, governanceActs(t)...)
	return append(acts, custodyActs(leg, id, record.Key(), file.Key())...)
}

// lateActs enrol an adapter, revoke it, and anchor what it had closed before.
func (w *world) lateActs(t *testing.T) []act {
	t.Helper()
	org := w.Layout().Operator(atlas)
	read := func(file string) []byte {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		return content
	}
	issuer, err := msp.ParseIssuer(msp.Pair{CertPEM: read(org.EnrolmentCAFile()), KeyPEM: read(org.EnrolmentCAKeyFile())})
	require.NoError(t, err)
	pair, err := issuer.Issue(msp.Request{
		CommonName: "late." + atlasPBX, Unit: msp.UnitClient, NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Attributes: map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: atlasPBX},
	})
	require.NoError(t, err)
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	require.NoError(t, os.WriteFile(certFile, pair.CertPEM, 0o600))
	require.NoError(t, os.WriteFile(keyFile, pair.KeyPEM, 0o600))
	adapter := gatewaytest.Load(t, atlasMSP, atlasPBX, certFile, keyFile)
	segment := adapter.Segment(t, gatewaytest.Calls(t, 1))
	return []act{
		{function: "adapters:Enrol", by: "Atlas admin", args: texts(string(pair.CertPEM))},
		{function: "adapters:Get", by: "Borealis auditor", args: texts(atlasMSP, adapter.Fingerprint)},
		{function: "adapters:List", by: "Borealis auditor", args: texts(atlasMSP)},
		{function: "adapters:Revoke", by: "Atlas admin", args: texts(adapter.Fingerprint)},
		{function: "calls:AnchorLate", by: "Atlas admin", args: func(t *testing.T) []string { return []string{string(wire(t, segment))} }},
	}
}

func consentActs(t *testing.T, leg ledger.LegID, recording string) []act {
	t.Helper()
	party := gatewaytest.Random(t, 16)
	question := string(gatewaytest.JSON(t, ledger.ConsentQuestion{Purpose: ledger.PurposeRecording}))
	return []act{
		{function: "consents:Declare", by: "Atlas gateway", args: value(ledger.ConsentStatement{
			EvidenceDigest: digestOfSomething, GivenAt: ledger.TimeOf(time.Date(2026, 3, 1, 9, 30, 1, 0, time.UTC)), Jurisdiction: "PT",
			LinkedID: leg.LinkedID, Method: ledger.MethodDTMF, N: 1, PartyRef: party, PBX: atlasPBX, Purpose: ledger.PurposeRecording, Status: ledger.ConsentDenied,
		})},
		{function: "consents:Get", by: "Borealis auditor", args: texts(atlasMSP, atlasPBX, leg.LinkedID, party, ledger.PurposeRecording, "1")},
		{function: "consents:ForCall", by: "Borealis auditor", args: texts(atlasMSP, atlasPBX, leg.LinkedID)},
		{function: "consents:Standing", by: "Borealis auditor", args: texts(atlasMSP, atlasPBX, leg.LinkedID, question)},
		{function: "consents:Violating", by: "Borealis auditor", args: texts(atlasMSP, atlasPBX, leg.LinkedID)},
		{function: "consents:Report", by: "Borealis auditor", args: value(ledger.ViolationReport{
			MSP: atlasMSP, N: 1, PartyRef: party, PBX: atlasPBX, Recording: ledger.RecordingID{ID: recording, Revision: 1},
		})},
		{function: "consents:Violations", by: "Borealis auditor", args: texts(atlasMSP, atlasPBX)},
	}
}

func deviceActs(t *testing.T) []act {
	t.Helper()
	key := []byte("a consortium's key of these tests")
	aor, err := ledger.AORRef(key, "sip:600@atlas.example")
	require.NoError(t, err)
	fingerprint, err := ledger.FingerprintRef(key, strings.Repeat("f", 64))
	require.NoError(t, err)
	device := ledger.DeviceRegistration{ID: gatewaytest.Random(t, 16), Kind: ledger.DevicePhone, Credentials: ledger.DeviceCredentials{
		AORRefs: []string{aor}, CredentialRef: digestOfSomething, DetailsDigest: digestOfSomething, FingerprintRefs: []string{fingerprint}, KeyEpoch: 1,
	}}
	rotation := ledger.DeviceRotation{After: 1, Credentials: device.Credentials, Reason: ledger.DeviceReasonScheduled}
	rotation.Credentials.CredentialRef = gatewaytest.Random(t, 32)
	admin := func(function string, args func(*testing.T) []string) act {
		return act{function: function, by: "Atlas admin", args: args}
	}
	asked := func(function string, args ...string) act {
		return act{function: function, by: "Borealis auditor", args: texts(args...)}
	}
	return []act{
		admin("devices:Register", value(device)),
		admin("devices:Rotate", func(t *testing.T) []string { return []string{device.ID, value(rotation)(t)[0]} }),
		admin("devices:Suspend", texts(device.ID, "2", ledger.DeviceReasonLost)),
		admin("devices:Reinstate", texts(device.ID, "3", ledger.DeviceReasonRecovered)),
		asked("devices:Get", atlasMSP, device.ID), asked("devices:Version", atlasMSP, device.ID, "2"), asked("devices:History", atlasMSP, device.ID),
		asked("devices:ByAOR", aor), asked("devices:ByFingerprint", fingerprint), asked("devices:List", atlasMSP, "100", ""),
		asked("devices:Check", atlasMSP, aor, ""),
		{function: "details:Put", by: "Atlas gateway", args: texts(), private: true, transient: func(t *testing.T) map[string][]byte {
			return map[string][]byte{"details": sealedFor(t, ledger.DeviceVersionKey(atlasMSP, device.ID, 1))}
		}},
		{function: "details:GetDevice", by: "Atlas compliance", args: texts(atlasMSP, device.ID, "1"), private: true},
		admin("devices:Revoke", texts(device.ID, "4", ledger.DeviceReasonStolen)),
		admin("devices:Erase", func(t *testing.T) []string { return []string{atlasMSP, device.ID, "1", value(erasure())(t)[0]} }),
	}
}

// opinion is what an operator's gateway holds on a subject, as of now.
func opinion(t *testing.T, mspID, subject string, last *ledger.Opinion, evidence ...ledger.EvidenceItem) *ledger.Opinion {
	t.Helper()
	standard, err := ledger.DefaultPolicy(ledger.PolicyReputation)
	require.NoError(t, err)
	o := &ledger.Opinion{At: ledger.TimeOf(time.Now()), Epoch: 1, Evidence: evidence, MSP: mspID, Seq: 1, Subject: subject, V: ledger.SchemaVersion, Writer: 1}
	if last != nil {
		totals := last.Totals
		o.Seq, o.Previous, o.PrevDigest = last.Seq+1, &totals, ledger.Digest(gatewaytest.JSON(t, last))
	}
	o.Totals, err = o.Next(standard.Policy.Reputation)
	require.NoError(t, err)
	return o
}

func reputationActs(t *testing.T) []act {
	t.Helper()
	extension, address := "aor:"+gatewaytest.Random(t, 32), "ip:"+gatewaytest.Random(t, 32)
	by := func(who, function string, args ...string) act {
		return act{function: function, by: who, args: texts(args...)}
	}
	return []act{
		{function: "reputation:Record", by: "Atlas gateway", args: func(t *testing.T) []string {
			return value([]*ledger.Opinion{opinion(t, atlasMSP, extension, nil, ledger.EvidenceItem{Attempts: 8, Count: 8, Kind: ledger.EvidenceAuthFailure})})(t)
		}},
		by("Borealis auditor", "reputation:Get", "1", extension), by("Borealis auditor", "reputation:Opinions", "1", extension),
		by("Borealis auditor", "reputation:Opinion", "1", extension, atlasMSP, "1"),
		by("Borealis auditor", "reputation:Written", "1", atlasMSP, "1", `["`+extension+`"]`),
		by("Borealis compliance", "reputation:Appeal", "1", extension, atlasMSP, ledger.ReasonSpoofed, digestOfSomething),
		by("Borealis auditor", "reputation:Appeals", atlasMSP, "1", extension),
		by("Atlas compliance", "reputation:Decide", "1", extension, borealisMSP, ledger.AppealPardoned, anHour),
		by("Atlas compliance", "reputation:Pardon", "1", address, anHour, ledger.ReasonFalsePositive),
		by("Atlas compliance", "reputation:Allow", "1", extension, ledger.ReasonOwnSubscriber),
		by("Atlas compliance", "reputation:Disallow", "1", extension),
	}
}

// governanceActs replace the consortium's key, and carry an opinion over.
func governanceActs(t *testing.T) []act {
	t.Helper()
	policy := ledger.Policy{Pseudonyms: &ledger.PseudonymPolicy{Commitment: digestOfSomething, Epoch: 2}, V: ledger.SchemaVersion}
	digest, err := policy.Digest()
	require.NoError(t, err)
	vote := func(function, by string) act {
		return act{function: function, by: by, args: texts(policy.Name(), "1", digest), governance: true}
	}
	asked := func(function string, args ...string) act {
		return act{function: function, by: "Corvus auditor", args: texts(args...), governance: true}
	}
	subject := "aor:" + gatewaytest.Random(t, 32)
	return []act{
		{function: "governance:Propose", by: "Atlas admin", args: value(&policy), governance: true},
		asked("governance:Pending"),
		vote("governance:Withdraw", "Atlas admin"),
		{function: "governance:Propose", by: "Borealis admin", args: value(&policy), governance: true},
		vote("governance:Vote", "Atlas admin"),
		asked("governance:Current", policy.Name()), asked("governance:Version", policy.Name(), "1"), asked("governance:History", policy.Name()),
		{function: "reputation:Carry", by: "Borealis gateway", args: func(t *testing.T) []string {
			standard, err := ledger.DefaultPolicy(ledger.PolicyReputation)
			require.NoError(t, err)
			held := opinion(t, borealisMSP, subject, nil, ledger.EvidenceItem{Count: 1, Kind: ledger.EvidenceLongCall})
			carried := opinion(t, borealisMSP, subject, nil)
			carried.Epoch, carried.Carried = 2, &held.Totals
			carried.Totals, err = carried.Next(standard.Policy.Reputation)
			require.NoError(t, err)
			return value([]*ledger.Opinion{carried})(t)
		}},
	}
}

// erasure is a person's request.
func erasure() ledger.ErasureRequest {
	return ledger.ErasureRequest{
		Details: &ledger.DestroyedKey{KeyCommitment: digestOfSomething}, EvidenceDigest: digestOfSomething, Reason: ledger.EraseSubjectRequest,
	}
}

// custodyActs hold, keep and erase the story's records.
func custodyActs(leg ledger.LegID, id string, keys ...string) []act {
	mine := func(function string, args ...string) act {
		return act{function: function, by: "Atlas compliance", args: texts(args...)}
	}
	asked := func(function string, args ...string) act {
		return act{function: function, by: "Borealis auditor", args: texts(args...)}
	}
	with := func(request any, function string, args ...string) act {
		return act{function: function, by: "Atlas compliance", args: func(t *testing.T) []string {
			return append(append([]string{}, args...), value(request)(t)[0])
		}}
	}
	return []act{
		with(ledger.HoldRequest{CaseDigest: digestOfSomething, Reason: ledger.HoldInvestigation}, "recordings:Hold", atlasMSP, atlasPBX, leg.LinkedID),
		asked("recordings:Holds", atlasMSP, atlasPBX, leg.LinkedID),
		mine("recordings:Release", atlasMSP, atlasPBX, leg.LinkedID, digestOfSomething, "1"),
		mine("recordings:Retain", atlasMSP, atlasPBX, id, "1", ledger.TimeOf(time.Now().AddDate(2, 0, 0)).String()),
		asked("recordings:Retentions", atlasMSP, atlasPBX, id, "1"),
		with(erasure(), "recordings:Erase", atlasMSP, atlasPBX, id, "1"),
		with(erasure(), "calls:Erase", atlasMSP, atlasPBX, leg.LinkedID, leg.UniqueID, sequenceOf(leg)),
		{function: "details:Purge", by: "Atlas gateway", args: texts(), private: true, transient: func(t *testing.T) map[string][]byte {
			return map[string][]byte{"keys": gatewaytest.JSON(t, keys)}
		}},
	}
}

// sealedFor are details as details:Put takes them.
func sealedFor(t *testing.T, keys ...string) []byte {
	t.Helper()
	var records []ledger.SealedRecord
	for _, key := range keys {
		records = append(records, ledger.SealedRecord{Key: key, Sealed: ledger.Sealed{
			Algorithm: ledger.SealAlgorithm, Ciphertext: make([]byte, 64), KeyCommitment: digestOfSomething, Nonce: make([]byte, 12), V: ledger.SchemaVersion,
		}})
	}
	return gatewaytest.JSON(t, records)
}

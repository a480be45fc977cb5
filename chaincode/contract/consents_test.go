package contract_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/stub"
)

const conversation = "pbx1-1772366400.10"

// The parties of these tests.
var (
	alice = strings.Repeat("a1", 16)
	bob   = strings.Repeat("b0", 16)
)

// statement is a party's first word on the recording, at noon, somewhere in
// Portugal.
func statement(party, status string, change ...func(*ledger.ConsentStatement)) ledger.ConsentStatement {
	s := ledger.ConsentStatement{
		EvidenceDigest: hexOf(32), GivenAt: ledger.TimeOf(noon), Jurisdiction: "PT", LinkedID: conversation, Method: ledger.MethodDTMF, N: 1,
		PartyRef: party, PBX: "pbx1", Purpose: ledger.PurposeRecording, Status: status,
	}
	for _, apply := range change {
		apply(&s)
	}
	return s
}

func given(after time.Duration) func(*ledger.ConsentStatement) {
	return func(s *ledger.ConsentStatement) { s.GivenAt = ledger.TimeOf(noon.Add(after)) }
}

func expiring(after time.Duration) func(*ledger.ConsentStatement) {
	return func(s *ledger.ConsentStatement) { s.ExpiresAt = ledger.TimeOf(noon.Add(after)) }
}

func living(jurisdiction string) func(*ledger.ConsentStatement) {
	return func(s *ledger.ConsentStatement) { s.Jurisdiction = jurisdiction }
}

func about(purpose string) func(*ledger.ConsentStatement) {
	return func(s *ledger.ConsentStatement) { s.Purpose = purpose }
}

// supersedes makes a statement the next after one.
func supersedes(t testing.TB, before *ledger.Consent) func(*ledger.ConsentStatement) {
	return func(s *ledger.ConsentStatement) {
		digest, err := before.Digest()
		require.NoError(t, err)
		s.N, s.Supersedes = before.Statement.N+1, digest
	}
}

func declaration(t testing.TB, msp string, s ledger.ConsentStatement) stub.Call {
	return as(msp, ledger.RoleGateway, "consents:Declare", canonical(t, s))
}

// declare puts a statement of Atlas on the ledger.
func (c *channel) declare(s ledger.ConsentStatement) *ledger.Consent {
	c.t.Helper()
	consent := &ledger.Consent{}
	require.NoError(c.t, ledger.DecodeStrict(c.do(declaration(c.t, atlas, s)), consent))
	require.Equal(c.t, canonical(c.t, consent), string(c.Get(consent.Key())))
	return consent
}

// decided asks whether the conversation may be recorded after some time.
func (c *channel) decided(after time.Duration, change ...func(*ledger.ConsentQuestion)) ledger.ConsentDecision {
	c.t.Helper()
	question := ledger.ConsentQuestion{At: ledger.TimeOf(noon.Add(after)), Purpose: ledger.PurposeRecording}
	for _, apply := range change {
		apply(&question)
	}
	var decision ledger.ConsentDecision
	c.ask(as(borealis, ledger.RoleAuditor, "consents:Standing", atlas, "pbx1", conversation, canonical(c.t, question)), &decision)
	return decision
}

func parties(refs ...string) func(*ledger.ConsentQuestion) {
	return func(q *ledger.ConsentQuestion) { q.Parties = refs }
}

func jurisdictions(codes ...string) func(*ledger.ConsentQuestion) {
	return func(q *ledger.ConsentQuestion) { q.Jurisdictions = codes }
}

func TestStatementsAreAddedAndSuperseded(t *testing.T) {
	c := newChannel(t)
	call := declaration(t, atlas, statement(alice, ledger.ConsentGranted))
	call.TxID = "first"
	first := &ledger.Consent{}
	stored := c.do(call)
	require.NoError(t, ledger.DecodeStrict(stored, first))
	require.Equal(t, &ledger.Consent{
		At: ledger.TimeOf(noon.Add(time.Hour)), By: ledger.RoleGateway, MSP: atlas, Statement: statement(alice, ledger.ConsentGranted), TxID: "first", V: ledger.SchemaVersion,
	}, first)

	// Again it changes nothing; with other content it is refused.
	call.TxID = "again"
	response, tx := c.simulate(call)
	require.Empty(t, tx.Writes())
	require.Equal(t, string(stored), string(response.GetPayload()))
	c.refuse(ledger.CodeExists, declaration(t, atlas, statement(alice, ledger.ConsentDenied)))

	revoked := c.declare(statement(alice, ledger.ConsentRevoked, given(time.Minute), supersedes(t, first)))
	require.EqualValues(t, 2, revoked.Statement.N)
	again := c.declare(statement(alice, ledger.ConsentGranted, given(2*time.Minute), supersedes(t, revoked)))
	require.Equal(t, string(stored), string(c.Get(first.Key())), "nothing is ever changed")

	for _, reader := range []string{atlas, borealis, corvus} {
		var got ledger.Consent
		c.ask(as(reader, ledger.RoleAuditor, "consents:Get", atlas, "pbx1", conversation, alice, ledger.PurposeRecording, "2"), &got)
		require.Equal(t, *revoked, got)
		var all []ledger.Consent
		c.ask(as(reader, ledger.RoleAuditor, "consents:ForCall", atlas, "pbx1", conversation), &all)
		require.Equal(t, []ledger.Consent{*first, *revoked, *again}, all)
		c.ask(as(reader, ledger.RoleAuditor, "consents:ForCall", borealis, "pbx1", conversation), &all)
		require.Empty(t, all)
	}
	c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleAuditor, "consents:Get", atlas, "pbx1", conversation, alice, ledger.PurposeRecording, "4"))
	c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleAuditor, "consents:Get", atlas, "pbx1", conversation, alice, ledger.PurposeTraining, "1"))

	for after, allowed := range map[time.Duration]bool{-time.Second: false, 0: true, 59 * time.Second: true, time.Minute: false, 2 * time.Minute: true} {
		require.Equal(t, allowed, c.decided(after).Allowed, after)
	}
}

func TestAStatementFollowsTheOneBefore(t *testing.T) {
	c := newChannel(t)
	first := c.declare(statement(alice, ledger.ConsentGranted))
	next := supersedes(t, first)
	wrongDigest := func(s *ledger.ConsentStatement) { s.Supersedes = hexOf(32) }
	gap := func(s *ledger.ConsentStatement) { s.N = 3 }
	for name, bad := range map[string]ledger.ConsentStatement{
		"another digest":         statement(alice, ledger.ConsentRevoked, given(time.Minute), next, wrongDigest),
		"a gap":                  statement(alice, ledger.ConsentRevoked, given(time.Minute), next, gap),
		"older":                  statement(alice, ledger.ConsentRevoked, given(-time.Minute), next),
		"denied after a grant":   statement(alice, ledger.ConsentDenied, given(time.Minute), next),
		"of another party":       statement(bob, ledger.ConsentRevoked, given(time.Minute), next),
		"on another purpose":     statement(alice, ledger.ConsentRevoked, given(time.Minute), next, about(ledger.PurposeTraining)),
		"on another call":        statement(alice, ledger.ConsentRevoked, given(time.Minute), next, func(s *ledger.ConsentStatement) { s.LinkedID = "pbx1-2" }),
		"on another PBX's call":  statement(alice, ledger.ConsentRevoked, given(time.Minute), next, func(s *ledger.ConsentStatement) { s.PBX = "pbx2" }),
		"the digest of the next": statement(alice, ledger.ConsentRevoked, given(time.Minute), next, func(s *ledger.ConsentStatement) { s.Supersedes = ledger.Digest([]byte(canonical(t, s))) }),
	} {
		require.NotEmpty(t, c.refuse(ledger.CodeState, declaration(t, atlas, bad)), name)
	}
	// An objection that stands is not repeated: its beginning would be lost.
	revoked := c.declare(statement(alice, ledger.ConsentRevoked, given(time.Minute), next))
	for _, status := range []string{ledger.ConsentRevoked, ledger.ConsentDenied} {
		require.Contains(t, c.refuse(ledger.CodeState, declaration(t, atlas, statement(alice, status, given(2*time.Minute), supersedes(t, revoked)))), "objected already")
	}
	// One that has expired may be followed by any; a first word may be each.
	denied := c.declare(statement(bob, ledger.ConsentDenied, expiring(time.Minute)))
	c.declare(statement(bob, ledger.ConsentDenied, given(time.Minute), supersedes(t, denied)))
	lapsed := c.declare(statement(bob, ledger.ConsentGranted, expiring(time.Minute), about(ledger.PurposeQuality)))
	c.declare(statement(bob, ledger.ConsentDenied, given(time.Hour), supersedes(t, lapsed), about(ledger.PurposeQuality)))
	c.declare(statement(bob, ledger.ConsentRevoked, about(ledger.PurposeTraining)))
	// A PBX's clock may be a little ahead of the transaction's.
	c.declare(statement(bob, ledger.ConsentGranted, given(time.Hour+time.Minute), about(ledger.PurposeBiometrics)))
	c.refuse(ledger.CodeInvalid, declaration(t, atlas, statement(bob, ledger.ConsentGranted, given(time.Hour+time.Minute+time.Millisecond), about(ledger.PurposeAnalytics))))
}

func TestTwoStatementsAtOnce(t *testing.T) {
	c := newChannel(t)
	_, granted := c.simulate(declaration(t, atlas, statement(alice, ledger.ConsentGranted)))
	_, denied := c.simulate(declaration(t, atlas, statement(alice, ledger.ConsentDenied)))
	require.Equal(t, []peer.TxValidationCode{peer.TxValidationCode_VALID, peer.TxValidationCode_MVCC_READ_CONFLICT}, c.Commit(granted, denied))
	c.refuse(ledger.CodeExists, declaration(t, atlas, statement(alice, ledger.ConsentDenied)))
	// Two parties do not wait for each other.
	_, first := c.simulate(declaration(t, atlas, statement(bob, ledger.ConsentGranted)))
	_, second := c.simulate(declaration(t, atlas, statement(strings.Repeat("c1", 16), ledger.ConsentGranted)))
	require.Equal(t, []peer.TxValidationCode{peer.TxValidationCode_VALID, peer.TxValidationCode_VALID}, c.Commit(first, second))
}

func TestWhoStatesAndWhoReports(t *testing.T) {
	c := newChannel(t)
	declare := canonical(t, statement(alice, ledger.ConsentGranted))
	report := canonical(t, ledger.ViolationReport{MSP: atlas, N: 1, PartyRef: alice, PBX: "pbx1", Recording: ledger.RecordingID{ID: hexOf(16), Revision: 1}})
	for role := range operators()[atlas].roles {
		if role != ledger.RoleGateway && role != ledger.RoleCompliance {
			c.refuse(ledger.CodeDenied, as(atlas, role, "consents:Declare", declare))
		}
		want := ledger.CodeNotFound
		if role == ledger.RoleAdmin || role == ledger.RoleAdapter {
			want = ledger.CodeDenied
		}
		c.refuse(want, as(borealis, role, "consents:Report", report))
	}
	for _, function := range []string{"consents:Declare", "consents:Report"} {
		call := as(atlas, ledger.RoleGateway, function, declare)
		call.Creator = nil
		c.refuse(ledger.CodeDenied, call)
	}
	// What Borealis states, it states of its own calls.
	require.Contains(t, string(c.do(declaration(t, borealis, statement(alice, ledger.ConsentDenied)))), `"msp":"BorealisMSP"`)
	require.Empty(t, c.decided(0).Parties)
	var consent ledger.Consent
	require.NoError(t, ledger.DecodeStrict(c.do(as(atlas, ledger.RoleCompliance, "consents:Declare", declare)), &consent))
	require.Equal(t, ledger.RoleCompliance, consent.By)
}

func TestWhatIsNoStatement(t *testing.T) {
	c := newChannel(t)
	good := canonical(t, statement(alice, ledger.ConsentGranted, expiring(time.Hour)))
	swap := func(from, to string) string {
		require.Contains(t, good, from)
		return strings.Replace(good, from, to, 1)
	}
	for name, text := range map[string]string{
		"nothing": "{}", "null": "null", "an array": "[]", "no JSON": "granted", "no text": "",
		"an unknown status":           swap(`"granted"`, `"perhaps"`),
		"absent":                      swap(`"granted"`, `"absent"`),
		"an unknown purpose":          swap(`"recording"`, `"fun"`),
		"an unknown method":           swap(`"dtmf"`, `"telepathy"`),
		"free text":                   swap(`"method"`, `"comment":"Beatriz said yes","method"`),
		"a number for a party":        swap(alice, "+351912345678"),
		"a short party":               swap(alice, alice[2:]),
		"no party":                    swap(`"party_ref":"`+alice+`",`, ""),
		"a country's name":            swap(`"PT"`, `"Portugal"`),
		"lower case":                  swap(`"PT"`, `"pt"`),
		"a long subdivision":          swap(`"PT"`, `"PT-ABCD"`),
		"an empty subdivision":        swap(`"PT"`, `"PT-"`),
		"an empty jurisdiction":       swap(`"PT"`, `""`),
		"no evidence":                 swap(`"evidence_digest":"`+hexOf(32)+`",`, ""),
		"evidence that is none":       swap(`"evidence_digest":"`+hexOf(32)+`"`, `"evidence_digest":"file.wav"`),
		"a zeroth":                    swap(`"n":1`, `"n":0`),
		"a negative one":              swap(`"n":1`, `"n":-1`),
		"a float":                     swap(`"n":1`, `"n":1.5`),
		"a float that is whole":       swap(`"n":1`, `"n":1.0`),
		"beyond 2^53":                 swap(`"n":1`, `"n":9007199254740993`),
		"a second without a first":    swap(`"n":1`, `"n":2`),
		"a first that supersedes":     swap(`"status":"granted"`, `"status":"granted","supersedes":"`+hexOf(32)+`"`),
		"expired at once":             swap("T13:00:00.000Z", "T12:00:00.000Z"),
		"no time":                     strings.Replace(good, `"given_at":"2026-03-01T12:00:00.000Z",`, "", 1),
		"a time without milliseconds": swap("T12:00:00.000Z", "T12:00:00Z"),
		"a NUL in the linkedid":       swap(conversation, `a\u0000b`),
		"the last rune":               swap(conversation, "\U0010ffff"),
		"a space":                     swap(conversation, "a b"),
		"a long linkedid":             swap(conversation, strings.Repeat("x", 151)),
		"oversize text":               swap(`"dtmf"`, `"`+strings.Repeat("x", 100_000)+`"`),
		"invalid UTF-8":               swap("pbx1", "pb\xff"),
		"no PBX":                      swap(`"pbx":"pbx1",`, ""),
		"a duplicate member":          swap(`"n":1`, `"n":1,"n":1`),
		"an escaped surrogate":        swap("pbx1", `\ud800`),
	} {
		message := c.refuse(ledger.CodeInvalid, declarationText(text))
		for _, secret := range []string{"912345678", "Beatriz", "file.wav"} {
			require.NotContains(t, message, secret, name)
		}
	}
	c.refuse(ledger.CodeTooLarge, declarationText(strings.Repeat(" ", 10<<20)))
	call := declarationText("")
	call.Transient = map[string][]byte{"statement": []byte(good)}
	c.do(call)
}

func declarationText(text string) stub.Call {
	return as(atlas, ledger.RoleGateway, "consents:Declare", text)
}

func TestWhatIsNoQuestion(t *testing.T) {
	c := newChannel(t)
	good := canonical(t, ledger.ConsentQuestion{Jurisdictions: []string{"PT", "US-CA"}, Parties: []string{alice, bob}, Purpose: ledger.PurposeRecording})
	c.ask(as(atlas, ledger.RoleAuditor, "consents:Standing", atlas, "pbx1", conversation, good), &ledger.ConsentDecision{})
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprintf("%032x", i)
	}
	for _, text := range []string{
		"", "{}", "null", "[]", `{"purpose":"fun"}`, strings.Replace(good, `"PT","US-CA"`, `"US-CA","PT"`, 1), strings.Replace(good, `"PT","US-CA"`, `"PT","PT"`, 1),
		strings.Replace(good, `"PT","US-CA"`, ``, 1), strings.Replace(good, bob, "+351912345678", 1), strings.Replace(good, bob, alice, 1), strings.Replace(good, "US-CA", "U1", 1),
		strings.Replace(good, `{`, `{"at":"noon",`, 1), strings.Replace(good, `{`, `{"at":12,`, 1), strings.Replace(good, "PT", "P\xff", 1),
		canonical(t, ledger.ConsentQuestion{Parties: many, Purpose: ledger.PurposeRecording}),
	} {
		require.NotContains(t, c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleAuditor, "consents:Standing", atlas, "pbx1", conversation, text)), "912345678", text)
	}
	for _, arguments := range [][]string{
		{"consents:Standing", "Atlas MSP", "pbx1", conversation, good}, {"consents:Standing", atlas, "", conversation, good}, {"consents:Standing", atlas, "pbx1", "\x00", good},
		{"consents:ForCall", atlas, "pbx1", "\U0010ffff"}, {"consents:Violating", atlas, "\xff", conversation}, {"consents:Violations", "", "pbx1"},
		{"consents:Get", atlas, "pbx1", conversation, "600", ledger.PurposeRecording, "1"}, {"consents:Get", atlas, "pbx1", conversation, alice, "fun", "1"},
		{"consents:Get", atlas, "pbx1", conversation, alice, ledger.PurposeRecording, "-1"}, {"consents:Get", "", "pbx1", conversation, alice, ledger.PurposeRecording, "1"},
	} {
		c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleAuditor, arguments...))
	}
}

func TestWhoMustConsent(t *testing.T) {
	granted, denied := ledger.ConsentGranted, ledger.ConsentDenied
	for name, one := range map[string]struct {
		statements []ledger.ConsentStatement
		question   []func(*ledger.ConsentQuestion)
		after      time.Duration
		allowed    bool
		rule       string
		says       []string // of the parties, in the order of their refs
	}{
		"nobody known":                    {nil, nil, 0, false, ledger.RuleAllParty, nil},
		"one silent":                      {nil, []func(*ledger.ConsentQuestion){parties(alice)}, 0, false, ledger.RuleAllParty, []string{ledger.ConsentAbsent}},
		"all granted":                     {[]ledger.ConsentStatement{statement(alice, granted), statement(bob, granted)}, nil, 0, true, ledger.RuleAllParty, []string{granted, granted}},
		"one of two silent":               {[]ledger.ConsentStatement{statement(alice, granted)}, []func(*ledger.ConsentQuestion){parties(alice, bob)}, 0, false, ledger.RuleAllParty, []string{granted, ledger.ConsentAbsent}},
		"one of two denied":               {[]ledger.ConsentStatement{statement(alice, granted), statement(bob, denied)}, nil, 0, false, ledger.RuleAllParty, []string{granted, denied}},
		"before it was given":             {[]ledger.ConsentStatement{statement(alice, granted)}, nil, -time.Millisecond, false, ledger.RuleAllParty, []string{ledger.ConsentAbsent}},
		"expired":                         {[]ledger.ConsentStatement{statement(alice, granted, expiring(time.Minute))}, nil, time.Minute, false, ledger.RuleAllParty, []string{ledger.ConsentExpired}},
		"not yet expired":                 {[]ledger.ConsentStatement{statement(alice, granted, expiring(time.Minute))}, nil, time.Minute - time.Millisecond, true, ledger.RuleAllParty, []string{granted}},
		"an expired denial":               {[]ledger.ConsentStatement{statement(alice, granted), statement(bob, denied, expiring(time.Minute))}, nil, time.Hour, false, ledger.RuleAllParty, []string{granted, ledger.ConsentExpired}},
		"another purpose":                 {[]ledger.ConsentStatement{statement(alice, granted, about(ledger.PurposeTraining))}, nil, 0, false, ledger.RuleAllParty, nil},
		"one party is enough in Texas":    {[]ledger.ConsentStatement{statement(alice, granted, living("US-TX"))}, []func(*ledger.ConsentQuestion){parties(alice, bob), jurisdictions("US-NY")}, 0, true, ledger.RuleOneParty, []string{granted, ledger.ConsentAbsent}},
		"but not with a Californian":      {[]ledger.ConsentStatement{statement(alice, granted, living("US-TX"))}, []func(*ledger.ConsentQuestion){parties(alice, bob), jurisdictions("US-CA")}, 0, false, ledger.RuleAllParty, []string{granted, ledger.ConsentAbsent}},
		"nor somewhere in the US":         {[]ledger.ConsentStatement{statement(alice, granted, living("US"))}, []func(*ledger.ConsentQuestion){parties(alice, bob)}, 0, false, ledger.RuleAllParty, []string{granted, ledger.ConsentAbsent}},
		"nor with one abroad":             {[]ledger.ConsentStatement{statement(alice, granted, living("US-TX")), statement(bob, granted, living("DE"), expiring(time.Minute))}, nil, time.Hour, false, ledger.RuleAllParty, []string{granted, ledger.ConsentExpired}},
		"unless all consent":              {[]ledger.ConsentStatement{statement(alice, granted, living("US-CA")), statement(bob, granted, living("DE"))}, nil, 0, true, ledger.RuleAllParty, []string{granted, granted}},
		"one party, and one who objects":  {[]ledger.ConsentStatement{statement(alice, granted, living("US-TX")), statement(bob, denied, living("US-NY"))}, nil, 0, false, ledger.RuleOneParty, []string{granted, denied}},
		"one party, and nobody consented": {[]ledger.ConsentStatement{statement(alice, denied, living("US-TX"), expiring(time.Minute))}, nil, time.Hour, false, ledger.RuleOneParty, []string{ledger.ConsentExpired}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChannel(t)
			for _, s := range one.statements {
				c.declare(s)
			}
			decision := c.decided(one.after, one.question...)
			require.Equal(t, one.allowed, decision.Allowed)
			require.Equal(t, one.rule, decision.Rule)
			var says []string
			for _, party := range decision.Parties {
				says = append(says, party.Status)
			}
			require.Equal(t, one.says, says)
			require.True(t, slices.IsSortedFunc(decision.Parties, func(a, b ledger.ConsentStanding) int { return strings.Compare(a.PartyRef, b.PartyRef) }))
			require.True(t, slices.IsSorted(decision.Jurisdictions))
		})
	}
}

// closedAt is a recording of the conversation that was closed some time after
// noon.
func closedAt(id string, after time.Duration) ledger.Record {
	record := recordingRecord(leg(conversation, 0), id, 1, hexOf(32))
	record.Recording.ClosedAt = ledger.TimeOf(noon.Add(after))
	return record
}

// reported is the report of a violation of Atlas.
func reported(id, party string, n int64) ledger.ViolationReport {
	return ledger.ViolationReport{MSP: atlas, N: n, PartyRef: party, PBX: "pbx1", Recording: ledger.RecordingID{ID: id, Revision: 1}}
}

func reporting(t testing.TB, msp string, role ledger.Role, report ledger.ViolationReport) stub.Call {
	return as(msp, role, "consents:Report", canonical(t, report))
}

func (c *channel) violating(linkedID string) []ledger.ViolationReport {
	c.t.Helper()
	var due []ledger.ViolationReport
	c.ask(as(borealis, ledger.RoleAuditor, "consents:Violating", atlas, "pbx1", linkedID), &due)
	return due
}

func TestARecordingAgainstADenial(t *testing.T) {
	c := enrolled(t)
	early, late, during := strings.Repeat("e1", 16), strings.Repeat("1a", 16), strings.Repeat("d0", 16)
	denied := c.declare(statement(bob, ledger.ConsentDenied, given(10*time.Second)))
	c.declare(statement(alice, ledger.ConsentGranted))
	require.Empty(t, c.violating(conversation), "nothing is recorded")
	c.anchored(segment(t, atlas, 1, []ledger.Record{closedAt(early, 9*time.Second), closedAt(during, 15*time.Second), closedAt(late, 15*time.Second+time.Millisecond)}))
	require.Equal(t, []ledger.ViolationReport{reported(late, bob, 1)}, c.violating(conversation), "one ended before, one in time")
	require.Empty(t, c.violating("pbx1-2"))

	// Anyone may report it, of any operator, once.
	call := reporting(t, borealis, ledger.RoleAuditor, reported(late, bob, 1))
	call.TxID = "reported"
	stored := c.do(call)
	var violation ledger.Violation
	require.NoError(t, ledger.DecodeStrict(stored, &violation))
	digest, err := denied.Digest()
	require.NoError(t, err)
	require.Equal(t, ledger.Violation{
		At: ledger.TimeOf(noon.Add(time.Hour)), By: ledger.RoleAuditor, ByMSP: borealis, ClosedAt: ledger.TimeOf(noon.Add(15*time.Second + time.Millisecond)),
		GivenAt: ledger.TimeOf(noon.Add(10 * time.Second)), LinkedID: conversation, Report: reported(late, bob, 1), Rule: ledger.RuleAllParty,
		StatementDigest: digest, Status: ledger.ConsentDenied, TxID: "reported", V: ledger.SchemaVersion,
	}, violation)
	response, tx := c.simulate(reporting(t, atlas, ledger.RoleGateway, reported(late, bob, 1)))
	require.Empty(t, tx.Writes())
	require.Equal(t, string(stored), string(response.GetPayload()))
	require.Empty(t, c.violating(conversation), "it is reported")
	var all []ledger.Violation
	c.ask(as(corvus, ledger.RoleAuditor, "consents:Violations", atlas, "pbx1"), &all)
	require.Equal(t, []ledger.Violation{violation}, all)
	c.ask(as(corvus, ledger.RoleAuditor, "consents:Violations", borealis, "pbx1"), &all)
	require.Empty(t, all)

	for name, bad := range map[string]struct {
		code   ledger.Code
		report ledger.ViolationReport
	}{
		"ended before":          {ledger.CodeState, reported(early, bob, 1)},
		"ended in time":         {ledger.CodeState, reported(during, bob, 1)},
		"granted":               {ledger.CodeState, reported(late, alice, 1)},
		"no such statement":     {ledger.CodeNotFound, reported(early, bob, 2)},
		"no such party":         {ledger.CodeNotFound, reported(late, strings.Repeat("cc", 16), 1)},
		"no such recording":     {ledger.CodeNotFound, reported(hexOf(16), bob, 1)},
		"another's recording":   {ledger.CodeNotFound, ledger.ViolationReport{MSP: borealis, N: 1, PartyRef: bob, PBX: "pbx1", Recording: ledger.RecordingID{ID: late, Revision: 1}}},
		"a zeroth statement":    {ledger.CodeInvalid, reported(late, bob, 0)},
		"a party in clear":      {ledger.CodeInvalid, reported(late, "+351912345678", 1)},
		"a file":                {ledger.CodeInvalid, reported("call.wav", bob, 1)},
		"an operator with NUL":  {ledger.CodeInvalid, ledger.ViolationReport{MSP: "a\x00", N: 1, PartyRef: bob, PBX: "pbx1", Recording: ledger.RecordingID{ID: late, Revision: 1}}},
		"no PBX":                {ledger.CodeInvalid, ledger.ViolationReport{MSP: atlas, N: 1, PartyRef: bob, Recording: ledger.RecordingID{ID: late, Revision: 1}}},
		"a zeroth revision":     {ledger.CodeInvalid, ledger.ViolationReport{MSP: atlas, N: 1, PartyRef: bob, PBX: "pbx1", Recording: ledger.RecordingID{ID: late}}},
		"a revision of nothing": {ledger.CodeNotFound, ledger.ViolationReport{MSP: atlas, N: 1, PartyRef: bob, PBX: "pbx1", Recording: ledger.RecordingID{ID: late, Revision: 2}}},
	} {
		require.NotContains(t, c.refuse(bad.code, reporting(t, corvus, ledger.RoleCompliance, bad.report)), "912345678", name)
	}
	for _, text := range []string{"", "{}", "null", "[]", strings.Replace(canonical(t, reported(late, bob, 1)), `"n":1`, `"n":1.0`, 1)} {
		c.refuse(ledger.CodeInvalid, as(corvus, ledger.RoleAuditor, "consents:Report", text))
	}
}

func TestAGrantThatCameInTimeIsNoViolation(t *testing.T) {
	c := enrolled(t)
	before, after := strings.Repeat("b1", 16), strings.Repeat("af", 16)
	denied := c.declare(statement(bob, ledger.ConsentDenied))
	granted := c.declare(statement(bob, ledger.ConsentGranted, given(time.Minute), supersedes(t, denied)))
	c.declare(statement(bob, ledger.ConsentRevoked, given(10*time.Minute), supersedes(t, granted)))
	c.declare(statement(alice, ledger.ConsentDenied, expiring(30*time.Second)))
	c.anchored(segment(t, atlas, 1, []ledger.Record{
		closedAt(before, 59*time.Second), closedAt(after, time.Minute), closedAt(strings.Repeat("0f", 16), 9*time.Minute), closedAt(hexOf(16), 20*time.Minute),
	}))
	require.Equal(t, []ledger.ViolationReport{reported(hexOf(16), bob, 3), reported(before, bob, 1)}, c.violating(conversation))
	require.Contains(t, c.refuse(ledger.CodeState, reporting(t, corvus, ledger.RoleAuditor, reported(after, bob, 1))), "superseded")
	require.Contains(t, c.refuse(ledger.CodeState, reporting(t, corvus, ledger.RoleAuditor, reported(before, alice, 1))), "expired")
	require.Contains(t, c.refuse(ledger.CodeState, reporting(t, corvus, ledger.RoleAuditor, reported(hexOf(16), bob, 1))), "superseded", "the later statement is the one")
	for _, report := range c.violating(conversation) {
		c.do(reporting(t, atlas, ledger.RoleGateway, report))
	}
	require.Empty(t, c.violating(conversation))
}

func TestTheStatementAndTheRecordingAreOfOneCall(t *testing.T) {
	c := enrolled(t)
	c.declare(statement(bob, ledger.ConsentDenied))
	other := recordingRecord(leg("pbx1-2", 0), hexOf(16), 1, hexOf(32))
	c.anchored(segment(t, atlas, 1, []ledger.Record{other}))
	c.refuse(ledger.CodeNotFound, reporting(t, corvus, ledger.RoleAuditor, reported(hexOf(16), bob, 1)))
	// A denial of training is none of recording.
	c.declare(statement(bob, ledger.ConsentDenied, about(ledger.PurposeTraining), func(s *ledger.ConsentStatement) { s.LinkedID = "pbx1-2" }))
	require.Empty(t, c.violating("pbx1-2"))
	c.refuse(ledger.CodeNotFound, reporting(t, corvus, ledger.RoleAuditor, reported(hexOf(16), bob, 1)))
}

// consentCalls is one call of each function.
func consentCalls(t testing.TB, c *channel) []stub.Call {
	denied := c.declare(statement(bob, ledger.ConsentDenied))
	c.anchored(segment(t, atlas, 1, []ledger.Record{closedAt(hexOf(16), time.Minute)}))
	return []stub.Call{
		declaration(t, atlas, statement(bob, ledger.ConsentGranted, given(time.Hour), supersedes(t, denied))), declaration(t, atlas, statement(alice, ledger.ConsentGranted)),
		reporting(t, borealis, ledger.RoleGateway, reported(hexOf(16), bob, 1)),
		as(atlas, ledger.RoleAuditor, "consents:Get", atlas, "pbx1", conversation, bob, ledger.PurposeRecording, "1"),
		as(atlas, ledger.RoleAuditor, "consents:ForCall", atlas, "pbx1", conversation), as(atlas, ledger.RoleAuditor, "consents:Violating", atlas, "pbx1", conversation),
		as(atlas, ledger.RoleAuditor, "consents:Violations", atlas, "pbx1"),
		as(atlas, ledger.RoleAuditor, "consents:Standing", atlas, "pbx1", conversation, `{"purpose":"recording"}`),
	}
}

func TestConsentsOnAPeerThatFails(t *testing.T) {
	c := enrolled(t)
	requireFaultsAreInternal(t, c, consentCalls(t, c))
}

func TestConsentsAreEndorsedAlike(t *testing.T) {
	c := enrolled(t)
	for i := range 20 { // parties come from a map
		c.declare(statement(fmt.Sprintf("%032x", i), ledger.ConsentDenied))
	}
	requireEndorsedAlike(t, c, consentCalls(t, c))
}

func FuzzConsents(f *testing.F) {
	c := withEverything(f)
	denied := c.declare(statement(bob, ledger.ConsentDenied))
	c.anchored(segment(f, atlas, 300, []ledger.Record{closedAt(strings.Repeat("0d", 16), time.Minute)}))
	f.Add(canonical(f, statement(alice, ledger.ConsentGranted)), canonical(f, ledger.ConsentQuestion{Jurisdictions: []string{"PT"}, Parties: []string{alice}, Purpose: ledger.PurposeRecording}), canonical(f, reported(strings.Repeat("0d", 16), bob, 1)))
	f.Add(canonical(f, statement(bob, ledger.ConsentGranted, given(time.Minute), supersedes(f, denied))), `{"at":"2026-03-01T12:00:00.000Z","purpose":"training"}`, "{}")
	f.Add("null", "\xff", `{"msp":"\u0000"}`)
	f.Fuzz(func(t *testing.T, statement, question, report string) {
		fuzzed(t, c, ledger.RoleGateway, nil, "consents:Declare", statement)
		fuzzed(t, c, ledger.RoleAuditor, nil, "consents:Standing", atlas, "pbx1", conversation, question)
		fuzzed(t, c, ledger.RoleGateway, nil, "consents:Report", report)
	})
}

// What the operators vote holds from then on, for decisions and for violations.
func TestThePolicyOnConsentIsVoted(t *testing.T) {
	c := enrolled(t)
	c.declare(statement(alice, ledger.ConsentGranted))
	c.declare(statement(bob, ledger.ConsentDenied))
	c.anchored(segment(t, atlas, 1, []ledger.Record{closedAt(hexOf(16), time.Minute)}))
	require.False(t, c.decided(time.Minute).Allowed)
	require.Len(t, c.violating(conversation), 1)
	_, before := c.simulate(reporting(t, corvus, ledger.RoleAuditor, reported(hexOf(16), bob, 1)))

	policy := ledger.ConsentPolicy{DefaultRule: ledger.RuleOneParty, OnePartyObjection: ledger.ObjectionIgnored, StopWithinMS: 1000}
	c.enact(ledger.Policy{Consent: &policy, V: ledger.SchemaVersion})
	decision := c.decided(time.Minute)
	require.True(t, decision.Allowed)
	require.Equal(t, ledger.RuleOneParty, decision.Rule)
	require.EqualValues(t, 1, decision.PolicyVersion)
	require.Empty(t, c.violating(conversation))
	require.Contains(t, c.refuse(ledger.CodeState, reporting(t, corvus, ledger.RoleAuditor, reported(hexOf(16), bob, 1))), "policy")
	require.Equal(t, []peer.TxValidationCode{peer.TxValidationCode_MVCC_READ_CONFLICT}, c.Commit(before), "endorsed under a policy that is replaced")

	policy.Jurisdictions = []ledger.JurisdictionRule{{Jurisdiction: "PT", Rule: ledger.RuleAllParty}}
	c.enact(ledger.Policy{Consent: &policy, V: ledger.SchemaVersion})
	require.False(t, c.decided(time.Minute).Allowed)
	var violation ledger.Violation
	require.NoError(t, ledger.DecodeStrict(c.do(reporting(t, corvus, ledger.RoleAuditor, reported(hexOf(16), bob, 1))), &violation))
	require.EqualValues(t, 2, violation.PolicyVersion)
}

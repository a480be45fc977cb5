package ledger

import (
	"crypto/sha256"
	"slices"
	"strings"
)

// Object types of consents.
const (
	TypeConsent   = "consent"
	TypeViolation = "violation"
)

const (
	// maxParties bounds the parties of one question.
	maxParties = 100
	// maxAheadMS is by how much the clock of a PBX may be ahead of a
	// transaction's time.
	maxAheadMS = 60_000
)

// ConsentKey is the key of one statement, counted from 1 for each call, party and
// purpose: consent ⟨msp, pbx, linkedid, party_ref, purpose, n⟩. It is put once.
func ConsentKey(msp, pbx, linkedID, partyRef, purpose string, n int64) string {
	return CompositeKey(TypeConsent, msp, pbx, linkedID, partyRef, purpose, keyNumber(n))
}

// ViolationKey is the key of a recording's violation of one party's denial:
// violation ⟨msp, pbx, recording_id, revision, party_ref⟩. It is put once.
func ViolationKey(msp, pbx, id string, revision int64, partyRef string) string {
	return CompositeKey(TypeViolation, msp, pbx, id, keyNumber(revision), partyRef)
}

// What a party consents to.
const (
	PurposeAnalytics     = "analytics"
	PurposeBiometrics    = "biometrics"
	PurposeQuality       = "quality"
	PurposeRecording     = "recording"
	PurposeTraining      = "training"
	PurposeTranscription = "transcription"
)

// ConsentPurposes are what a party consents to, sorted.
var ConsentPurposes = []string{PurposeAnalytics, PurposeBiometrics, PurposeQuality, PurposeRecording, PurposeTraining, PurposeTranscription}

// What a statement says.
const (
	ConsentGranted = "granted"
	// ConsentDenied: the party was asked and said no.
	ConsentDenied = "denied"
	// ConsentRevoked: the party withdrew what it had granted, on this call or,
	// where it is the first statement, before it.
	ConsentRevoked = "revoked"
)

// Where no statement is in force.
const (
	ConsentAbsent  = "absent"
	ConsentExpired = "expired"
)

// ConsentStatuses are what a statement says, sorted.
var ConsentStatuses = []string{ConsentDenied, ConsentGranted, ConsentRevoked}

// How a party stated it.
const (
	MethodAnnouncement = "announcement" // it heard the announcement and stayed
	MethodContract     = "contract"
	MethodDTMF         = "dtmf"
	MethodPortal       = "portal"
	MethodVerbal       = "verbal"
	MethodWritten      = "written"
)

// ConsentMethods are how a party may state it, sorted.
var ConsentMethods = []string{MethodAnnouncement, MethodContract, MethodDTMF, MethodPortal, MethodVerbal, MethodWritten}

// ConsentStatement is what consents:Declare takes: a party's word on one purpose
// on one call (P1: proof of consent with a certified time in a contract instead
// of a mutable table).
type ConsentStatement struct {
	// EvidenceDigest is the SHA-256 of the proof, kept elsewhere: the audio of the
	// announcement and the digit, the contract, the letter.
	EvidenceDigest string `json:"evidence_digest"`
	// ExpiresAt is until when it holds, that instant excluded; not set: without
	// end.
	ExpiresAt Time `json:"expires_at,omitzero"`
	// GivenAt is when the party said so, by the PBX's clock.
	GivenAt Time `json:"given_at"`
	// Jurisdiction is where the party is, ISO 3166; absent where unknown.
	Jurisdiction string `json:"jurisdiction,omitzero"`
	// LinkedID names the call.
	LinkedID string `json:"linkedid"`
	// Method is one of ConsentMethods.
	Method string `json:"method"`
	// N counts the party's statements on this purpose and call from 1.
	N int64 `json:"n"`
	// PartyRef is the PartyRef of the party.
	PartyRef string `json:"party_ref"`
	PBX      string `json:"pbx"`
	// Purpose is one of ConsentPurposes.
	Purpose string `json:"purpose"`
	// Status is one of ConsentStatuses.
	Status string `json:"status"`
	// Supersedes is the Digest of statement N−1 as it is stored; absent for the
	// first.
	Supersedes string `json:"supersedes,omitzero"`
}

// Consent is a statement on the ledger.
type Consent struct {
	// At is the transaction's time.
	At Time `json:"at"`
	// By is the role that signed, of the operator MSP.
	By        Role             `json:"by"`
	MSP       string           `json:"msp"`
	Statement ConsentStatement `json:"statement"`
	TxID      string           `json:"tx_id"`
	V         int              `json:"v"`
}

// Check answers CodeInvalid unless the statement is well formed.
func (s *ConsentStatement) Check() error {
	if err := CheckHex("evidence_digest", s.EvidenceDigest, sha256.Size); err != nil {
		return err
	}
	if s.GivenAt.IsZero() {
		return Errorf(CodeInvalid, "given_at must be set")
	}
	if !s.ExpiresAt.IsZero() && !s.GivenAt.Before(s.ExpiresAt) {
		return Errorf(CodeInvalid, "expires_at must lie after given_at")
	}
	if s.Jurisdiction != "" {
		if err := CheckJurisdiction("jurisdiction", s.Jurisdiction); err != nil {
			return err
		}
	}
	if err := CheckConsentChain(s.PBX, s.LinkedID, s.PartyRef, s.Purpose); err != nil {
		return err
	}
	if err := CheckNumber("n", s.N); err != nil {
		return err
	}
	if err := checkCode("method", s.Method, ConsentMethods); err != nil {
		return err
	}
	if err := checkCode("status", s.Status, ConsentStatuses); err != nil {
		return err
	}
	switch {
	case s.N == 0:
		return Errorf(CodeInvalid, "n is 0, statements are counted from 1")
	case s.N == 1 && s.Supersedes != "":
		return Errorf(CodeInvalid, "the first statement supersedes none: leave supersedes out")
	case s.N > 1:
		return CheckHex("supersedes", s.Supersedes, sha256.Size)
	}
	return nil
}

// CheckConsentChain answers CodeInvalid unless these can name a party's
// statements on a purpose and call.
func CheckConsentChain(pbx, linkedID, partyRef, purpose string) error {
	if err := CheckName("pbx", pbx); err != nil {
		return err
	}
	if err := CheckName("linkedid", linkedID); err != nil {
		return err
	}
	if err := CheckPartyRef("party_ref", partyRef); err != nil {
		return err
	}
	return checkCode("purpose", purpose, ConsentPurposes)
}

// CheckPartyRef answers CodeInvalid unless ref is a PartyRef.
func CheckPartyRef(field, ref string) error { return CheckHex(field, ref, partyRefBytes) }

// Follows answers unless the statement may stand after the one before it (nil for
// the first), as of a transaction's time: CodeInvalid for a time to come,
// CodeState where it does not follow.
//
// A party's statements are in order of time, and an objection that stands is not
// repeated, so that the one in force at an instant is one and its beginning is
// when the party objected.
func (s *ConsentStatement) Follows(before *Consent, at Time) error {
	if s.GivenAt.Sub(at) > maxAheadMS {
		return Errorf(CodeInvalid, "given_at lies %d ms in the future: check the PBX's clock", s.GivenAt.Sub(at))
	}
	if before == nil {
		return nil
	}
	last := &before.Statement
	switch {
	case s.GivenAt.Before(last.GivenAt):
		return Errorf(CodeState, "the statement before this one was given at %s, later than this one: state them in order", last.GivenAt)
	case last.expired(s.GivenAt):
		return nil
	case last.Status == ConsentGranted && s.Status == ConsentDenied:
		return Errorf(CodeState, "the party granted this before: what is withdrawn is %s, not %s", ConsentRevoked, ConsentDenied)
	case last.Status != ConsentGranted && s.Status != ConsentGranted:
		return Errorf(CodeState, "the party objected already, at %s, and that stands", last.GivenAt)
	}
	return nil
}

func (s *ConsentStatement) expired(at Time) bool {
	return !s.ExpiresAt.IsZero() && !at.Before(s.ExpiresAt)
}

// Objects says whether the statement is a denial or a revocation.
func (s *ConsentStatement) Objects() bool { return s.Status != ConsentGranted }

// Key is the key the consent is stored under.
func (c *Consent) Key() string {
	s := &c.Statement
	return ConsentKey(c.MSP, s.PBX, s.LinkedID, s.PartyRef, s.Purpose, s.N)
}

// Digest is what the next statement names as superseded.
func (c *Consent) Digest() (string, error) {
	canonical, err := Canonical(c)
	if err != nil {
		return "", err
	}
	return Digest(canonical), nil
}

// ConsentQuestion is what consents:Standing is asked.
type ConsentQuestion struct {
	// At is the time asked about; not set: the transaction's.
	At Time `json:"at,omitzero"`
	// Jurisdictions are where the parties are, sorted. Those that statements name
	// come to them.
	Jurisdictions []string `json:"jurisdictions,omitzero"`
	// Parties are the PartyRef of those on the call, sorted. One who has stated
	// nothing has not consented. Parties that have stated something come to them.
	Parties []string `json:"parties,omitzero"`
	// Purpose is one of ConsentPurposes.
	Purpose string `json:"purpose"`
}

// Check answers CodeInvalid unless the question is well formed.
func (q *ConsentQuestion) Check() error {
	if err := checkCode("purpose", q.Purpose, ConsentPurposes); err != nil {
		return err
	}
	for _, list := range []struct {
		field  string
		values []string
		check  func(field, value string) error
	}{{"jurisdictions", q.Jurisdictions, CheckJurisdiction}, {"parties", q.Parties, CheckPartyRef}} {
		if list.values != nil && len(list.values) == 0 {
			return Errorf(CodeInvalid, "%s holds none: leave it out", list.field)
		}
		if len(list.values) > maxParties {
			return Errorf(CodeInvalid, "%s holds %d, at most %d are allowed", list.field, len(list.values), maxParties)
		}
		for i, value := range list.values {
			if err := list.check(list.field, value); err != nil {
				return err
			}
			if i > 0 && list.values[i-1] >= value {
				return Errorf(CodeInvalid, "%s must be sorted and named once", list.field)
			}
		}
	}
	return nil
}

// ConsentStanding is what holds of one party at a time.
type ConsentStanding struct {
	// Jurisdiction is the one its statement names.
	Jurisdiction string `json:"jurisdiction,omitzero"`
	// N is the statement in force, or the last that was; absent where there is none.
	N        int64  `json:"n,omitzero"`
	PartyRef string `json:"party_ref"`
	// Status is one of ConsentStatuses, ConsentAbsent or ConsentExpired.
	Status string `json:"status"`
}

// ConsentDecision answers whether a call may be recorded, or used for another
// purpose, at a time.
type ConsentDecision struct {
	Allowed bool `json:"allowed"`
	// At is the time asked about.
	At Time `json:"at"`
	// Jurisdictions are those that were taken into account, sorted.
	Jurisdictions []string `json:"jurisdictions,omitzero"`
	// Parties are those asked about and those that stated something, by their ref.
	Parties []ConsentStanding `json:"parties,omitzero"`
	// PolicyVersion is the version of the policy "consent" that was applied.
	PolicyVersion int64  `json:"policy_version"`
	Purpose       string `json:"purpose"`
	// Rule is the strictest rule of the jurisdictions.
	Rule string `json:"rule"`
	V    int    `json:"v"`
}

// InForce is the party's statement in force at a time among those of one chain,
// in order; nil before the first. One that has expired is answered too.
func InForce(chain []Consent, at Time) *Consent {
	var found *Consent
	for i := range chain {
		if !at.Before(chain[i].Statement.GivenAt) {
			found = &chain[i]
		}
	}
	return found
}

// Decide answers a question from all statements of a call, in the order of their
// keys.
//
// Under RuleAllParty every party must have granted it. Under RuleOneParty one is
// enough, unless a party objects and the policy heeds it (see
// ConsentPolicy.OnePartyObjection). The strictest jurisdiction decides which.
// Without any party known nothing is allowed.
func (q *ConsentQuestion) Decide(consents []Consent, policy *ConsentPolicy, policyVersion int64) *ConsentDecision {
	decision := &ConsentDecision{
		At: q.At, Jurisdictions: slices.Clone(q.Jurisdictions), PolicyVersion: policyVersion, Purpose: q.Purpose, V: SchemaVersion,
	}
	chains := chainsOf(consents, q.Purpose)
	parties := slices.Clone(q.Parties)
	for party := range chains {
		parties = append(parties, party)
	}
	slices.Sort(parties)
	granted, objected := 0, false
	for _, party := range slices.Compact(parties) {
		standing := ConsentStanding{PartyRef: party, Status: ConsentAbsent}
		if consent := InForce(chains[party], q.At); consent != nil {
			statement := &consent.Statement
			standing.Jurisdiction, standing.N, standing.Status = statement.Jurisdiction, statement.N, statement.Status
			if statement.expired(q.At) {
				standing.Status = ConsentExpired
			}
			if statement.Jurisdiction != "" {
				decision.Jurisdictions = append(decision.Jurisdictions, statement.Jurisdiction)
			}
		}
		switch standing.Status {
		case ConsentGranted:
			granted++
		case ConsentDenied, ConsentRevoked:
			objected = true
		}
		decision.Parties = append(decision.Parties, standing)
	}
	slices.Sort(decision.Jurisdictions)
	decision.Jurisdictions = slices.Compact(decision.Jurisdictions)
	decision.Rule = policy.RuleOf(decision.Jurisdictions...)
	if decision.Rule == RuleAllParty {
		decision.Allowed = granted > 0 && granted == len(decision.Parties)
	} else {
		decision.Allowed = granted > 0 && (!objected || !policy.Forbids(RuleOneParty))
	}
	return decision
}

// chainsOf sorts a call's statements on one purpose by party.
func chainsOf(consents []Consent, purpose string) map[string][]Consent {
	chains := map[string][]Consent{}
	for _, consent := range consents {
		if consent.Statement.Purpose == purpose {
			chains[consent.Statement.PartyRef] = append(chains[consent.Statement.PartyRef], consent)
		}
	}
	return chains
}

// ViolationReport is what consents:Report takes: which recording stands against
// which statement.
type ViolationReport struct {
	MSP string `json:"msp"`
	// N is the number of the party's statement on PurposeRecording.
	N        int64  `json:"n"`
	PartyRef string `json:"party_ref"`
	PBX      string `json:"pbx"`
	// Recording names the recording.
	Recording RecordingID `json:"recording"`
}

// Violation records that a recording stands against a party's denial. Everything
// in it can be checked against what is public on the ledger.
type Violation struct {
	// At is the transaction's time.
	At Time `json:"at"`
	// By is the role that reported it, of the operator ByMSP, which may be any.
	By    Role   `json:"by"`
	ByMSP string `json:"by_msp"`
	// ClosedAt is when the recording ended.
	ClosedAt Time `json:"closed_at"`
	// GivenAt is when the party objected.
	GivenAt  Time   `json:"given_at"`
	LinkedID string `json:"linkedid"`
	// PolicyVersion is the version of the policy "consent" that was applied.
	PolicyVersion int64           `json:"policy_version"`
	Report        ViolationReport `json:"report"`
	// Rule is the rule of the party's jurisdiction.
	Rule string `json:"rule"`
	// StatementDigest is the digest of the party's statement as stored.
	StatementDigest string `json:"statement_digest"`
	// Status is ConsentDenied or ConsentRevoked.
	Status string `json:"status"`
	TxID   string `json:"tx_id"`
	V      int    `json:"v"`
}

// Check answers CodeInvalid unless the report is well formed.
func (r *ViolationReport) Check() error {
	if err := CheckName("msp", r.MSP); err != nil {
		return err
	}
	if err := CheckName("pbx", r.PBX); err != nil {
		return err
	}
	if err := CheckNumber("n", r.N); err != nil {
		return err
	}
	if r.N == 0 {
		return Errorf(CodeInvalid, "n is 0, statements are counted from 1")
	}
	if err := CheckPartyRef("party_ref", r.PartyRef); err != nil {
		return err
	}
	return r.Recording.Check()
}

// Key is the key the violation is stored under.
func (r *ViolationReport) Key() string {
	return ViolationKey(r.MSP, r.PBX, r.Recording.ID, r.Recording.Revision, r.PartyRef)
}

// Violates answers CodeState, with the reason, unless the recording stands
// against the statement. Next is the statement after it, nil where there is none.
//
// It does where the party had objected, longer before the file was closed than
// the policy gives to stop, and that was in force when it was closed. What was
// recorded before a grant that came in time is not judged: a recording does not
// say when it began.
func (s *ConsentStatement) Violates(recording *Recording, next *Consent, policy *ConsentPolicy) error {
	closed := recording.ClosedAt
	switch {
	case s.Purpose != PurposeRecording:
		return Errorf(CodeState, "the statement is not on recording")
	case recording.Leg.LinkedID != s.LinkedID:
		return Errorf(CodeState, "the recording belongs to another call than the statement")
	case !s.Objects():
		return Errorf(CodeState, "the party granted the recording: there is no violation")
	case closed.Sub(s.GivenAt) <= policy.StopWithinMS:
		return Errorf(CodeState, "the recording ended before the objection, or within the %d ms the policy gives to stop: there is no violation", policy.StopWithinMS)
	case s.expired(closed):
		return Errorf(CodeState, "the objection had expired when the recording ended: there is no violation")
	case next != nil && !closed.Before(next.Statement.GivenAt):
		return Errorf(CodeState, "another statement had superseded this one when the recording ended: name that one, if it objects")
	case !policy.Forbids(policy.RuleOf(s.jurisdictions()...)):
		return Errorf(CodeState, "the policy lets one party's consent stand against another's objection in that jurisdiction: there is no violation")
	}
	return nil
}

func (s *ConsentStatement) jurisdictions() []string {
	if s.Jurisdiction == "" {
		return nil
	}
	return []string{s.Jurisdiction}
}

// Rule is the rule of the party's jurisdiction.
func (s *ConsentStatement) Rule(policy *ConsentPolicy) string {
	return policy.RuleOf(s.jurisdictions()...)
}

// Violating are the reports that are due: every recording that stands against an
// objection among a call's statements, in the order of recordings and parties.
func Violating(recordings []Record, consents []Consent, policy *ConsentPolicy) []ViolationReport {
	var due []ViolationReport
	for i := range recordings {
		record := &recordings[i]
		if record.Recording == nil {
			continue
		}
		for party, chain := range chainsOf(consents, PurposeRecording) {
			standing := InForce(chain, record.Recording.ClosedAt)
			if standing == nil || standing.Statement.Violates(record.Recording, nil, policy) != nil {
				continue
			}
			due = append(due, ViolationReport{
				MSP: record.MSP, N: standing.Statement.N, PartyRef: party, PBX: record.PBX,
				Recording: RecordingID{ID: record.Recording.ID, Revision: record.Recording.Revision},
			})
		}
	}
	slices.SortFunc(due, func(a, b ViolationReport) int { return strings.Compare(a.Key(), b.Key()) })
	return due
}

// Succeed numbers the statement after the party's last one on its purpose, among all
// of a call in their order, and has it name that one.
func (s *ConsentStatement) Succeed(consents []Consent) (err error) {
	s.N, s.Supersedes = 1, ""
	for i := range consents {
		last := &consents[i]
		if last.Statement.PartyRef != s.PartyRef || last.Statement.Purpose != s.Purpose {
			continue
		}
		s.N = last.Statement.N + 1
		if s.Supersedes, err = last.Digest(); err != nil {
			return err
		}
	}
	return nil
}

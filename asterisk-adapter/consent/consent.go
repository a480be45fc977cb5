// Package consent has the parties of a call say whether it may be recorded, and knows
// what they said: a channel is asked by announcement and keys (ask.go), what it
// answers is on disk, with its proof, before anything is recorded (book.go,
// evidence.go), travels to the ledger until it is there (deliver.go), and what is
// objected to later, on the PBX (mark.go) or elsewhere (follow.go), ends the recording.
package consent

import (
	"github.com/callseal/callseal/chaincode/ledger"
)

// What becomes of a party that hears the announcement, stays and presses nothing.
const (
	// SilenceByPolicy: it has granted where the law of its jurisdiction is satisfied
	// with one party's consent, and denied elsewhere.
	SilenceByPolicy = "policy"
	// SilenceGrants: it has granted, everywhere.
	SilenceGrants = "granted"
	// SilenceDenies: it has denied, everywhere.
	SilenceDenies = "denied"
)

// Rules are an operator's choices.
type Rules struct {
	// Grant and Deny are the keys for yes and no.
	Grant, Deny string
	// Silence is one of the above.
	Silence string
	// Jurisdiction is where the PBX's callers are when the dialplan does not say, ISO
	// 3166; empty where unknown.
	Jurisdiction string
	// StaffEvidence is the SHA-256 of what has those who are called consent by
	// contract; empty where nothing is stated for them.
	StaffEvidence string
}

// Answer is what a party did when it was asked.
type Answer struct {
	// Heard says that the announcement was played, or was being played, to the party.
	Heard bool
	// Digit is the key that counted; empty for silence.
	Digit string
	// Stayed says that the party was there to the end.
	Stayed bool
}

// read is what an answer means under a jurisdiction's rule; an empty status where it
// means nothing, because the party was not asked to the end.
func (r *Rules) read(answer Answer, rule string) (status, method string) {
	switch {
	case !answer.Heard || !answer.Stayed:
		return "", ""
	case answer.Digit == r.Grant:
		return ledger.ConsentGranted, ledger.MethodDTMF
	case answer.Digit == r.Deny:
		return ledger.ConsentDenied, ledger.MethodDTMF
	case r.Silence == SilenceGrants, r.Silence == SilenceByPolicy && rule == ledger.RuleOneParty:
		return ledger.ConsentGranted, ledger.MethodAnnouncement
	}
	// It was asked for a key and gave none.
	return ledger.ConsentDenied, ledger.MethodDTMF
}

// Statement is a party's word on the recording of a call, as it travels.
type Statement struct {
	// Key is the idempotency key of its delivery.
	Key      string `json:"key"`
	LinkedID string `json:"linkedid"`
	// Party is the pseudonym that stands on the ledger.
	Party        string      `json:"party"`
	Status       string      `json:"status"`
	Method       string      `json:"method"`
	Jurisdiction string      `json:"jurisdiction,omitempty"`
	Evidence     string      `json:"evidence"`
	GivenAt      ledger.Time `json:"given_at"`
}

func (s *Statement) objects() bool { return s.Status != ledger.ConsentGranted }

// on is the statement as the contract would store it.
func (s *Statement) on() ledger.Consent {
	return ledger.Consent{Statement: ledger.ConsentStatement{
		GivenAt: s.GivenAt, Jurisdiction: s.Jurisdiction, LinkedID: s.LinkedID, Method: s.Method, PartyRef: s.Party,
		Purpose: ledger.PurposeRecording, Status: s.Status,
	}}
}

// allowed decides by the contract's own rule whether a call may be recorded.
func allowed(statements []Statement, jurisdiction string, policy *ledger.PolicyVersion, at ledger.Time) bool {
	question := ledger.ConsentQuestion{At: at, Purpose: ledger.PurposeRecording}
	if jurisdiction != "" {
		question.Jurisdictions = []string{jurisdiction}
	}
	var consents []ledger.Consent
	for i := range statements {
		consents = append(consents, statements[i].on())
	}
	return question.Decide(consents, policy.Policy.Consent, policy.Version).Allowed
}

// ruleOf is the rule of a jurisdiction, which may be unknown.
func ruleOf(policy *ledger.PolicyVersion, jurisdiction string) string {
	if jurisdiction == "" {
		return policy.Policy.Consent.RuleOf()
	}
	return policy.Policy.Consent.RuleOf(jurisdiction)
}

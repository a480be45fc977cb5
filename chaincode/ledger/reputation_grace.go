package ledger

import (
	"slices"
	"strings"
)

// This file holds what people decide about a subject, in place of the arithmetic.

// Reasons of pardons, allowances and appeals.
const (
	ReasonAppeal        = "appeal"
	ReasonCourtOrder    = "court_order"
	ReasonFalsePositive = "false_positive"
	ReasonOwnSubscriber = "own_subscriber"
	ReasonPartner       = "partner"
	ReasonPublicService = "public_service"
	ReasonReassigned    = "reassigned"
	ReasonRemedied      = "remedied"
	ReasonSharedAddress = "shared_address"
	ReasonSpoofed       = "spoofed"
	ReasonTestEquipment = "test_equipment"
)

// maxPardonMS is a year: a pardon for ever would be an amnesty.
const maxPardonMS = 366 * daysMS

// States of an appeal.
const (
	// AppealOpen waits for the operator that holds the evidence.
	AppealOpen = "open"
	// AppealUpheld: the operator stands by its evidence.
	AppealUpheld = "upheld"
	// AppealPardoned: the operator disregards its negative evidence for a time.
	AppealPardoned = "pardoned"
)

var (
	pardonReasons    = []string{ReasonAppeal, ReasonCourtOrder, ReasonFalsePositive, ReasonReassigned, ReasonRemedied, ReasonSharedAddress, ReasonSpoofed}
	allowanceReasons = []string{ReasonCourtOrder, ReasonOwnSubscriber, ReasonPartner, ReasonPublicService, ReasonTestEquipment}
	appealReasons    = []string{ReasonFalsePositive, ReasonReassigned, ReasonRemedied, ReasonSharedAddress, ReasonSpoofed}
)

// Pardon has an operator's own negative evidence on a subject disregarded for a
// time.
type Pardon struct {
	// At is the transaction's time.
	At     Time   `json:"at"`
	Epoch  int64  `json:"epoch"`
	MSP    string `json:"msp"`
	Reason string `json:"reason"`
	// Subject is a pseudonym.
	Subject string `json:"subject"`
	TxID    string `json:"tx_id"`
	// Until is when it ends; not after At where it was ended early.
	Until Time `json:"until"`
	V     int  `json:"v"`
}

// Allowance is an entry of an operator's own allowlist: it holds nothing against
// the subject, whatever others do.
type Allowance struct {
	// At is the transaction's time.
	At     Time   `json:"at"`
	Epoch  int64  `json:"epoch"`
	MSP    string `json:"msp"`
	Reason string `json:"reason"`
	// Subject is a pseudonym.
	Subject string `json:"subject"`
	TxID    string `json:"tx_id"`
	V       int    `json:"v"`
	// WithdrawnAt is set once the operator took it back.
	WithdrawnAt Time `json:"withdrawn_at,omitzero"`
}

// Appeal is an operator's objection to another's evidence on a subject.
type Appeal struct {
	// Against is the operator that holds the evidence and decides.
	Against string `json:"against"`
	// At is the time of the transaction that appealed.
	At Time `json:"at"`
	// DecidedAt is the time of the one that decided.
	DecidedAt Time  `json:"decided_at,omitzero"`
	Epoch     int64 `json:"epoch"`
	// EvidenceDigest is the SHA-256 of what the appellant shows; it is handed over
	// outside the ledger.
	EvidenceDigest string `json:"evidence_digest"`
	// MSP is the appellant.
	MSP    string `json:"msp"`
	Reason string `json:"reason"`
	// State is one of the states above.
	State string `json:"state"`
	// Subject is a pseudonym.
	Subject string `json:"subject"`
	TxID    string `json:"tx_id"`
	V       int    `json:"v"`
}

// PardonKey is the key of an operator's pardon of a subject:
// rep-pardon ⟨epoch, subject, msp⟩.
func PardonKey(epoch int64, subject, msp string) string {
	return CompositeKey(TypePardon, keyNumber(epoch), subject, msp)
}

// AllowanceKey is the key of an entry of an operator's allowlist:
// rep-allow ⟨epoch, subject, msp⟩.
func AllowanceKey(epoch int64, subject, msp string) string {
	return CompositeKey(TypeAllowance, keyNumber(epoch), subject, msp)
}

// AppealKey is the key of an appeal: rep-appeal ⟨against, epoch, subject, msp⟩. The
// first operator is appealed against, the second appeals.
func AppealKey(against string, epoch int64, subject, msp string) string {
	return CompositeKey(TypeAppeal, against, keyNumber(epoch), subject, msp)
}

// NewPardon is a pardon that begins now and ends after so many milliseconds; 0
// ends one that stands. Place, transaction and version are for the caller to add.
func NewPardon(at Time, durationMS int64, reason string) (*Pardon, error) {
	if err := checkReason(reason, pardonReasons); err != nil {
		return nil, err
	}
	if durationMS < 0 || durationMS > maxPardonMS {
		return nil, Errorf(CodeInvalid, "duration_ms is %d, it must lie between 0 and a year", durationMS)
	}
	return &Pardon{At: at, Reason: reason, Until: at.after(durationMS)}, nil
}

// CheckAllowanceReason answers CodeInvalid unless a subject may be allowed for it.
func CheckAllowanceReason(reason string) error { return checkReason(reason, allowanceReasons) }

// CheckAppealReason answers CodeInvalid unless it may be appealed for it.
func CheckAppealReason(reason string) error { return checkReason(reason, appealReasons) }

func checkReason(reason string, allowed []string) error {
	if !slices.Contains(allowed, reason) {
		return Errorf(CodeInvalid, "the reason must be one of %s", strings.Join(allowed, ", "))
	}
	return nil
}

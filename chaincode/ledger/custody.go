package ledger

import (
	"crypto/sha256"
	"slices"
	"strings"
)

// Object types of what is decided about records after they were anchored.
const (
	TypeHold             = "hold"
	TypeHoldVersion      = "hold-version"
	TypeRetention        = "retention"
	TypeRetentionVersion = "retention-version"
)

// maxCases bounds the cases that hold one conversation at a time.
const maxCases = 20

// HoldKey is the key of what holds a conversation: hold ⟨msp, pbx, linkedid⟩.
func HoldKey(msp, pbx, linkedID string) string {
	return CompositeKey(TypeHold, msp, pbx, linkedID)
}

// HoldVersionKey is the key of one version of it, from 1:
// hold-version ⟨msp, pbx, linkedid, n⟩.
func HoldVersionKey(msp, pbx, linkedID string, n int64) string {
	return CompositeKey(TypeHoldVersion, msp, pbx, linkedID, keyNumber(n))
}

// RetentionKey is the key of a recording's term, where its owner changed it:
// retention ⟨msp, pbx, recording_id, revision⟩.
func RetentionKey(msp, pbx, id string, revision int64) string {
	return CompositeKey(TypeRetention, msp, pbx, id, keyNumber(revision))
}

// RetentionVersionKey is the key of one version of it, from 1:
// retention-version ⟨msp, pbx, recording_id, revision, n⟩.
func RetentionVersionKey(msp, pbx, id string, revision, n int64) string {
	return CompositeKey(TypeRetentionVersion, msp, pbx, id, keyNumber(revision), keyNumber(n))
}

// Reasons of a legal hold.
const (
	HoldCourtOrder    = "court_order"
	HoldDispute       = "dispute"
	HoldInvestigation = "investigation"
	HoldRegulator     = "regulator"
)

// HoldReasons are the reasons of a legal hold, sorted.
var HoldReasons = []string{HoldCourtOrder, HoldDispute, HoldInvestigation, HoldRegulator}

// HeldCase is one case that holds a conversation.
type HeldCase struct {
	// CaseDigest is the SHA-256 of the order or file that is kept elsewhere.
	CaseDigest string `json:"case_digest"`
	// PlacedAt is the transaction's time.
	PlacedAt Time   `json:"placed_at"`
	Reason   string `json:"reason"`
	TxID     string `json:"tx_id"`
	// Until is when the case lets go by itself; not set: when it is released.
	Until Time `json:"until,omitzero"`
}

// What a version of a Hold changed.
const (
	HoldPlaced   = "placed"
	HoldReleased = "released"
)

// Hold is the legal hold of a conversation: the cases that forbid the erasure of
// any of its legs' details and recordings. Several cases may hold at once, and
// the release of one leaves the others.
type Hold struct {
	// At is the time of the transaction that wrote this version.
	At Time `json:"at"`
	// CaseDigest names the case that this version placed or released.
	CaseDigest string `json:"case_digest"`
	// Cases are those that hold, by digest, as of this version.
	Cases []HeldCase `json:"cases,omitzero"`
	// Change is HoldPlaced or HoldReleased.
	Change string `json:"change"`
	// LinkedID names the conversation.
	LinkedID string `json:"linkedid"`
	MSP      string `json:"msp"`
	// N counts the versions from 1.
	N    int64  `json:"n"`
	PBX  string `json:"pbx"`
	TxID string `json:"tx_id"`
	V    int    `json:"v"`
}

// HoldRequest is what the owner's compliance asks for. A case that holds already
// is placed anew, with the reason and end given.
type HoldRequest struct {
	// After is the version this one follows, 0 for the first: who acts on an old
	// version is told so.
	After      int64  `json:"after"`
	CaseDigest string `json:"case_digest"`
	Reason     string `json:"reason"`
	Until      Time   `json:"until,omitzero"`
}

// Check answers CodeInvalid unless the request is well formed.
func (r *HoldRequest) Check() error {
	if err := CheckNumber("after", r.After); err != nil {
		return err
	}
	if err := CheckHex("case_digest", r.CaseDigest, sha256.Size); err != nil {
		return err
	}
	return checkCode("the reason of a hold", r.Reason, HoldReasons)
}

// Version is the number of the last version, 0 where there is none.
func (h *Hold) Version() int64 {
	if h == nil {
		return 0
	}
	return h.N
}

// InForce is the hold as it stands at a time: without the cases that have let go
// by themselves; nil where none is left.
func (h *Hold) InForce(at Time) *Hold {
	if h == nil {
		return nil
	}
	standing := *h
	standing.Cases = nil
	for _, held := range h.Cases {
		if held.Until.IsZero() || at.Before(held.Until) {
			standing.Cases = append(standing.Cases, held)
		}
	}
	if len(standing.Cases) == 0 {
		return nil
	}
	return &standing
}

// Place is the next version of the hold with the case in it. The receiver may be
// nil, for the first. It answers CodeInvalid for an end that has passed and
// CodeTooLarge for one case too many.
func (h *Hold) Place(request *HoldRequest, at Time, txID string) (*Hold, error) {
	if !request.Until.IsZero() && !at.Before(request.Until) {
		return nil, Errorf(CodeInvalid, "the hold would end at %s, which has passed: give a later time or none", request.Until)
	}
	next := h.next(request.CaseDigest, HoldPlaced, at, txID)
	if len(next.Cases) >= maxCases {
		return nil, Errorf(CodeTooLarge, "%d cases hold this conversation, which is the most: release one first", maxCases)
	}
	next.Cases = append(next.Cases, HeldCase{CaseDigest: request.CaseDigest, PlacedAt: at, Reason: request.Reason, TxID: txID, Until: request.Until})
	slices.SortFunc(next.Cases, func(a, b HeldCase) int { return strings.Compare(a.CaseDigest, b.CaseDigest) })
	return next, nil
}

// Release is the next version of the hold without the case, or CodeNotFound.
func (h *Hold) Release(caseDigest string, at Time, txID string) (*Hold, error) {
	holds := func(held HeldCase) bool { return held.CaseDigest == caseDigest }
	if h == nil || !slices.ContainsFunc(h.Cases, holds) {
		return nil, Errorf(CodeNotFound, "this case does not hold this conversation")
	}
	return h.next(caseDigest, HoldReleased, at, txID), nil
}

// next is the following version, without the case and without those that have
// let go by themselves.
func (h *Hold) next(caseDigest, change string, at Time, txID string) *Hold {
	next := &Hold{At: at, CaseDigest: caseDigest, Change: change, N: h.Version() + 1, TxID: txID, V: SchemaVersion}
	if h == nil {
		return next
	}
	next.LinkedID, next.MSP, next.PBX = h.LinkedID, h.MSP, h.PBX
	for _, held := range h.Cases {
		if held.CaseDigest != caseDigest && (held.Until.IsZero() || at.Before(held.Until)) {
			next.Cases = append(next.Cases, held)
		}
	}
	return next
}

// Retention is one version of a recording's term, as its owner changed it.
type Retention struct {
	// At is the time of the transaction that wrote this version.
	At Time `json:"at"`
	// ID and Revision name the recording.
	ID  string `json:"id"`
	MSP string `json:"msp"`
	// N counts the versions from 1.
	N        int64  `json:"n"`
	PBX      string `json:"pbx"`
	Revision int64  `json:"revision"`
	TxID     string `json:"tx_id"`
	// Until is until when the recording is kept.
	Until Time `json:"until"`
	V     int  `json:"v"`
}

// The states of a record.
const (
	// StateAnchored: nothing of the record was erased.
	StateAnchored = "anchored"
	// StateErased: its owner erased details, audio or both; see Custody.Erasure.
	StateErased = "erased"
)

// Custody is what stands at a time about a record after it was anchored.
type Custody struct {
	// Erasure is what was erased, where something was.
	Erasure *Erasure `json:"erasure,omitzero"`
	// Hold is the legal hold in force on the record's conversation.
	Hold *Hold `json:"hold,omitzero"`
	// Pauses are a recording's: stretches without audio, on purpose.
	Pauses []Pause `json:"pauses,omitzero"`
	// RetentionUntil is until when the record is kept, under the policy in force.
	RetentionUntil Time `json:"retention_until"`
	// State is StateAnchored or StateErased.
	State string `json:"state"`
	V     int    `json:"v"`
}

// checkCode answers CodeInvalid unless the value is one of the codes.
func checkCode(field, value string, codes []string) error {
	if !slices.Contains(codes, value) {
		return Errorf(CodeInvalid, "%s must be one of %s", field, strings.Join(codes, ", "))
	}
	return nil
}

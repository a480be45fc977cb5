package ledger

import "strconv"

// Object types of disputes.
const (
	TypeDispute   = "dispute"
	TypeDisputeOf = "dispute-of"
)

// Outcomes of a comparison.
const (
	// OutcomeAgree: the operators' records agree within the tolerance.
	OutcomeAgree = "agree"
	// OutcomeDiffer: they do not.
	OutcomeDiffer = "differ"
	// OutcomeNotComparable: the call was not seen by two operators.
	OutcomeNotComparable = "not_comparable"
)

// LegPlace names a leg of any operator.
type LegPlace struct {
	Leg LegID  `json:"leg"`
	MSP string `json:"msp"`
	PBX string `json:"pbx"`
}

// Check answers CodeInvalid unless the names can stand in a key.
func (p *LegPlace) Check() error {
	if err := CheckName("msp", p.MSP); err != nil {
		return err
	}
	if err := CheckName("pbx", p.PBX); err != nil {
		return err
	}
	return p.Leg.Check()
}

// Side is one operator's word about a call that two operators share, after its own
// corrections.
type Side struct {
	// Answered says that the call was answered.
	Answered bool `json:"answered"`
	// BillsecMS is from answer to end, in ms.
	BillsecMS int64 `json:"billsec_ms"`
	// Corrections is how many corrections it takes into account.
	Corrections int64 `json:"corrections,omitzero"`
	// Digest is the ContentDigest of the leg's record.
	Digest string `json:"digest"`
	// Legs is how many legs of the operator have the call_ref; the first that was
	// answered counts, else the first.
	Legs  int64    `json:"legs,omitzero"`
	Place LegPlace `json:"place"`
	Start Time     `json:"start"`
}

// SideOf is the side that a leg's record and its corrections tell.
func SideOf(record *Record, corrections []AnchoredCorrection) (*Side, error) {
	digest, err := record.ContentDigest()
	if err != nil {
		return nil, err
	}
	call, err := Corrected(record.Call, corrections)
	if err != nil {
		return nil, err
	}
	return &Side{
		Answered: call.Disposition == Answered, BillsecMS: call.BillsecMS, Corrections: int64(len(corrections)), Digest: digest,
		Place: LegPlace{Leg: call.Leg, MSP: record.MSP, PBX: record.PBX}, Start: call.Start,
	}, nil
}

// Difference is one field that two operators tell differently.
type Difference struct {
	// A and B are what each says, as text.
	A string `json:"a"`
	B string `json:"b"`
	// ByMS is by how much times or durations differ, in ms.
	ByMS int64 `json:"by_ms,omitzero"`
	// Field is "answered", "billsec_ms" or "start".
	Field string `json:"field"`
}

// Compare answers what two sides tell differently beyond the tolerance. Where one
// says that the call was never answered, durations are not compared.
func (p *ReconciliationPolicy) Compare(a, b *Side) []Difference {
	found := []Difference{}
	if a.Answered != b.Answered {
		found = append(found, Difference{Field: "answered", A: strconv.FormatBool(a.Answered), B: strconv.FormatBool(b.Answered)})
	} else if by := abs(a.BillsecMS - b.BillsecMS); a.Answered && by > p.DurationMS {
		found = append(found, Difference{Field: "billsec_ms", A: strconv.FormatInt(a.BillsecMS, 10), B: strconv.FormatInt(b.BillsecMS, 10), ByMS: by})
	}
	if by := abs(a.Start.Sub(b.Start)); by > p.StartMS {
		found = append(found, Difference{Field: "start", A: a.Start.String(), B: b.Start.String(), ByMS: by})
	}
	return found
}

func abs(n int64) int64 { return max(n, -n) }

// Comparison is what two operators say of one call.
type Comparison struct {
	A           Side         `json:"a"`
	B           Side         `json:"b"`
	Differences []Difference `json:"differences"`
	// Outcome is OutcomeAgree or OutcomeDiffer.
	Outcome string `json:"outcome"`
}

// Reconciliation is what all operators say of one call_ref.
type Reconciliation struct {
	CallRef string `json:"call_ref"`
	// Comparisons are of each operator with each, in order of their MSPs.
	Comparisons []Comparison `json:"comparisons"`
	// Outcome is OutcomeDiffer if any two differ.
	Outcome string `json:"outcome"`
	// PolicyVersion is the version of the policy "reconciliation" that held.
	PolicyVersion int64 `json:"policy_version"`
	// Sides are the operators that have a leg with the call_ref.
	Sides []Side `json:"sides"`
	V     int    `json:"v"`
}

// Dispute records that two operators tell one call differently. It stays when they
// correct their records: the corrections are beside the legs.
type Dispute struct {
	// A and B are the two sides, in order of their MSPs.
	A Side `json:"a"`
	// At is the transaction's time.
	At          Time         `json:"at"`
	B           Side         `json:"b"`
	CallRef     string       `json:"call_ref"`
	Differences []Difference `json:"differences"`
	// PolicyVersion is the version of the policy "reconciliation" that held.
	PolicyVersion int64 `json:"policy_version"`
	// RaisedBy is the operator that raised it, one of the two.
	RaisedBy string `json:"raised_by"`
	TxID     string `json:"tx_id"`
	V        int    `json:"v"`
}

// pairDigest names a pair of legs in the order given.
func pairDigest(a, b *LegPlace) string {
	return Digest([]byte(CallKey(a.MSP, a.PBX, a.Leg) + CallKey(b.MSP, b.PBX, b.Leg)))
}

// DisputeKey is the key of a dispute: dispute ⟨call_ref, digest of the two legs'
// keys⟩. The legs are in order of their MSPs.
func DisputeKey(callRef string, a, b *LegPlace) string {
	return CompositeKey(TypeDispute, callRef, pairDigest(a, b))
}

// DisputeOfKey lets an operator find its disputes: dispute-of ⟨msp, call_ref,
// digest⟩. Its value is empty of meaning.
func DisputeOfKey(msp, callRef string, a, b *LegPlace) string {
	return CompositeKey(TypeDisputeOf, msp, callRef, pairDigest(a, b))
}

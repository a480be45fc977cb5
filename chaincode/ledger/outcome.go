package ledger

import (
	"cmp"
	"slices"
)

// Outcome says what became of a segment or of a record in it.
type Outcome string

// The outcomes.
const (
	// OutcomeAnchored: it is on the ledger by this transaction.
	OutcomeAnchored Outcome = "anchored"
	// OutcomeAlready: the same content is on the ledger by an earlier one.
	OutcomeAlready Outcome = "already_anchored"
	// OutcomeConflict: other content stands under its key; it was refused and an
	// incident was recorded.
	OutcomeConflict Outcome = "conflict"
)

// AnchorResult is what calls:Anchor answers.
type AnchorResult struct {
	Segments []SegmentOutcome `json:"segments"`
	TxID     string           `json:"tx_id"`
	V        int              `json:"v"`
}

// SegmentOutcome is the outcome of one segment. A segment in conflict (another
// one stands at its place in the epoch) is refused whole.
type SegmentOutcome struct {
	Epoch int64 `json:"epoch"`
	// Exceptions are the records whose outcome is not the segment's, in order of
	// Seq: the answer stands in the block, so it does not repeat what is usual.
	Exceptions []RecordOutcome `json:"exceptions,omitzero"`
	FirstSeq   int64           `json:"first_seq"`
	Outcome    Outcome         `json:"outcome"`
}

// RecordOutcome is the outcome of one record.
type RecordOutcome struct {
	Outcome Outcome `json:"outcome"`
	Seq     int64   `json:"seq"`
}

// Of is the outcome of the record with that number.
func (s *SegmentOutcome) Of(seq int64) Outcome {
	i, found := slices.BinarySearchFunc(s.Exceptions, seq, func(record RecordOutcome, seq int64) int { return cmp.Compare(record.Seq, seq) })
	if found {
		return s.Exceptions[i].Outcome
	}
	return s.Outcome
}

// Incident kinds.
const (
	// IncidentReplay: a record came again under its key with other content.
	IncidentReplay = "conflicting_replay"
	// IncidentFork: a second segment claims a place in an epoch: two histories.
	IncidentFork = "forked_segment"
	// IncidentDisagreement: two sources of one PBX tell a leg differently. Nothing was
	// refused: Key is the disagreement's, OfferedDigest its content digest, and
	// StoredDigest the leg's (version 3).
	IncidentDisagreement = "disagreement"
)

// Incident records what was refused and by whom it was offered. It holds digests
// only: the refused content stays out of the ledger.
type Incident struct {
	// At is the transaction's time.
	At Time `json:"at"`
	// Key is the key under which other content stands.
	Key  string `json:"key"`
	Kind string `json:"kind"`
	MSP  string `json:"msp"`
	// OfferedDigest and StoredDigest are the content digests (of a record) or
	// roots (of a segment).
	OfferedDigest string `json:"offered_digest"`
	PBX           string `json:"pbx"`
	// Signer is the fingerprint of the adapter that signed what was refused.
	Signer string `json:"signer"`
	// Sources are the two that disagree, the one as which the leg stands first; of
	// IncidentDisagreement alone (version 3).
	Sources      []string `json:"sources,omitzero"`
	StoredDigest string   `json:"stored_digest"`
	TxID         string   `json:"tx_id"`
	V            int      `json:"v"`
}

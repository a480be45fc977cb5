package ledger

// Reasons of a pause.
const (
	// PauseCard: a payment card's number was being told (PCI DSS 3.3.1 forbids to
	// keep its security code).
	PauseCard = "payment_card"
)

var pauseReasons = map[string]bool{PauseCard: true}

// maxPauses bounds the pauses of one recording.
const maxPauses = 100

// Pause is a stretch of a recording in which nothing was recorded on purpose.
type Pause struct {
	// FromMS is where it begins, in ms from the recording's start.
	FromMS int64 `json:"from_ms"`
	// Reason is PauseCard.
	Reason string `json:"reason"`
	// ToMS is where it ends, in ms from the recording's start, after FromMS.
	ToMS int64 `json:"to_ms"`
}

// checkAdded answers CodeInvalid unless the members that version 2 added are
// well formed, and absent in a record of version 1.
func (r *Recording) checkAdded(version int) error {
	if r.Pauses == nil && r.RetentionUntil.IsZero() && r.SegmentRoot == "" && r.VaultManifest == "" {
		return nil
	}
	if version < 2 {
		return Errorf(CodeInvalid, "pauses, retention_until, segment_root and vault_manifest are members of version 2: write the record with v 2")
	}
	if err := checkPauses(r.Pauses); err != nil {
		return err
	}
	for _, digest := range []struct{ field, value string }{{"segment_root", r.SegmentRoot}, {"vault_manifest", r.VaultManifest}} {
		if digest.value == "" {
			continue
		}
		if err := CheckHex(digest.field, digest.value, 32); err != nil {
			return err
		}
	}
	return nil
}

// checkPauses answers CodeInvalid unless the pauses are in order and apart.
func checkPauses(pauses []Pause) error {
	if pauses != nil && len(pauses) == 0 {
		return Errorf(CodeInvalid, "pauses holds none: leave it out")
	}
	if len(pauses) > maxPauses {
		return Errorf(CodeInvalid, "there are %d pauses, at most %d are allowed", len(pauses), maxPauses)
	}
	var last int64
	for i, pause := range pauses {
		if !pauseReasons[pause.Reason] {
			return Errorf(CodeInvalid, "the reason of a pause must be %s", PauseCard)
		}
		if pause.FromMS < 0 || pause.ToMS <= pause.FromMS || pause.ToMS > maxDurationMS {
			return Errorf(CodeInvalid, "pause %d must begin at 0 ms or later and end after it begins", i+1)
		}
		if pause.FromMS < last {
			return Errorf(CodeInvalid, "pause %d begins before the one before it ends: sort them and join those that overlap", i+1)
		}
		last = pause.ToMS
	}
	return nil
}

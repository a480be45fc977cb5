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

// What became of a file that a crash left without lengths in its header.
const (
	// RecoveredRepaired: the adapter wrote the lengths in, then digested it.
	RecoveredRepaired = "repaired"
	// RecoveredAsFound: it could not be written to and was digested as it was.
	RecoveredAsFound = "as_found"
)

// Which voices are on a recording that is not mixed.
const (
	// TrackReceived: what the recorded channel's far end said.
	TrackReceived = "received"
	// TrackTransmitted: what it heard.
	TrackTransmitted = "transmitted"
	// TrackStereo: both, a channel each.
	TrackStereo = "stereo"
)

var tracks = map[string]bool{"": true, TrackReceived: true, TrackTransmitted: true, TrackStereo: true}

// checkAdded answers CodeInvalid unless the members that later versions added are
// well formed, and absent in a record of an earlier one.
func (r *Recording) checkAdded(version int) error {
	if err := r.checkVersion3(version); err != nil {
		return err
	}
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

func (r *Recording) checkVersion3(version int) error {
	if r.FoundSHA256 == "" && !r.Imported && !r.NoCDR && r.Recovered == "" && r.Track == "" {
		return nil
	}
	if version < 3 {
		return Errorf(CodeInvalid, "found_sha256, imported, no_cdr, recovered and track are members of version 3: write the record with v 3")
	}
	if r.NoCDR && r.Leg.Sequence != 0 {
		return Errorf(CodeInvalid, "with no_cdr the leg names the channel alone: its sequence is 0")
	}
	if !tracks[r.Track] {
		return Errorf(CodeInvalid, "the track must be %s, %s or %s, or left out", TrackReceived, TrackTransmitted, TrackStereo)
	}
	switch r.Recovered {
	case "", RecoveredAsFound:
		if r.FoundSHA256 != "" {
			return Errorf(CodeInvalid, "found_sha256 goes with recovered %s alone: the file was not changed", RecoveredRepaired)
		}
		return nil
	case RecoveredRepaired:
		if r.FoundSHA256 == r.SHA256 {
			return Errorf(CodeInvalid, "found_sha256 is the digest of the repaired file: nothing was repaired")
		}
		return CheckHex("found_sha256", r.FoundSHA256, 32)
	default:
		return Errorf(CodeInvalid, "recovered must be %s or %s, or left out", RecoveredRepaired, RecoveredAsFound)
	}
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
